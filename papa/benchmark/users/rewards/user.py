"""Users of `gmm2d`: rewards in nats whose tilted density p(x) exp(beta u(x)) / Z is known exactly."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.tasks.interface import KnowsDensity
from papa.benchmark.users.declaration import Taste
from papa.benchmark.users.interface import User
from papa.benchmark.users.rewards import ComponentTaste, RewardTaste
from papa.errors import PapaError, SettingsError
from papa.models.mixture import Mixture

R = TypeVar("R", bound=Taste)


class RewardUser(User[R, KnowsDensity]):
    """A user whose taste is a function u of the point.

    `preference` is u itself, in nats, unbounded: what the golden tests tilt by. Methods that learn from
    answers are given `verdict`, a logistic curve of u centred on its value at the base's mean point.
    """

    _mixture: Mixture
    _middle: float

    def meet(self, task: KnowsDensity) -> None:
        """Take over the task's mixture."""
        self._mixture, self.exact = task.mixture, self
        self._middle = self.preference(self._mixture.mean[None]).item()

    @abstractmethod
    def preference(self, images: Tensor) -> Tensor:
        """u at (n, d) points: (n,) float64, nats, differentiable."""

    @abstractmethod
    def tilted(self, beta: float) -> tuple[Mixture, float]:
        """The density tilted by exp(beta u), and its log Z in nats.

        Raises:  PapaError where there is no closed form at this beta; ValueError where Z is infinite.
        """

    def verdict(self, images: Tensor) -> np.ndarray:
        """Graded answers in (0, 1): 1 / (1 + exp(u(m) - u(x))) with m the mean of the base density.

        The map is increasing, so it keeps the order of u; it gives 1/2 at the base's mean point, and its
        log-odds are u up to a constant.
        """
        with torch.no_grad():
            return torch.sigmoid(self.preference(images) - self._middle).cpu().numpy().astype(np.float64)


class QuadraticReward(RewardUser[RewardTaste]):
    """u(x) = <slope, x> - curvature/2 |x - centre|^2; without a curvature the tilt shifts each component by
    beta S_k slope and reweighs it."""

    def __init__(self, taste: RewardTaste) -> None:
        super().__init__(taste)
        self._slope = torch.tensor(taste.slope, dtype=torch.float64)
        centre = taste.centre
        self._centre = torch.zeros_like(self._slope) if centre is None else torch.tensor(centre, dtype=torch.float64)
        self._curvature = taste.curvature

    def meet(self, task: KnowsDensity) -> None:
        """Take over the task's mixture.

        Raises:  SettingsError for a slope or centre of another dimension.
        """
        dimensions = task.mixture.means.shape[1]
        if {len(self._slope), len(self._centre)} != {dimensions}:
            raise SettingsError(f"slope and centre of a reward need {dimensions} coordinates on this task.")
        super().meet(task)

    def preference(self, images: Tensor) -> Tensor:
        x = images.double()
        away = (x - self._centre.to(x.device)).square().sum(1)
        return x @ self._slope.to(x.device) - self._curvature / 2 * away

    def tilted(self, beta: float) -> tuple[Mixture, float]:
        return self._mixture.tilt(beta * self._slope, beta * self._curvature, self._centre)


class ComponentReward(RewardUser[ComponentTaste]):
    """Likes one component c of the mixture, `bonus` nats more than the others.

    A component is a hidden variable and no function of the point, so the reward of a point is what the
    point says about it, averaged over the posterior r_c(x) = P(c | x) in the way that leaves the tilt exact:

        u(x) = (1/b) log E[ exp(b bonus 1[component = c]) | x ] = (1/b) log( 1 + r_c(x) (exp(b bonus) - 1) )

    Tilting by exp(b u) is then exactly counting component c exp(b bonus) times. u runs from 0 where
    another component is certain to `bonus` where c is. At b = `exact_at` (and at 0) the tilted density
    is a mixture; at any other beta it has no closed form, and `tilted` says so.
    """

    def __init__(self, taste: ComponentTaste) -> None:
        super().__init__(taste)
        self._component, self._bonus, self._exact_at = taste.component, taste.bonus, taste.exact_at

    def meet(self, task: KnowsDensity) -> None:
        """Take over the task's mixture.

        Raises:  SettingsError for a component that it does not have.
        """
        if self._component >= len(task.mixture.weights):
            raise SettingsError(f"component {self._component}: the mixture has 0 to {len(task.mixture.weights) - 1}.")
        super().meet(task)

    def preference(self, images: Tensor) -> Tensor:
        share = self._mixture.log_responsibilities(images)[:, self._component].exp()
        return torch.log1p(share * math.expm1(self._exact_at * self._bonus)) / self._exact_at

    def tilted(self, beta: float) -> tuple[Mixture, float]:
        if beta not in (0, self._exact_at):
            raise PapaError(
                f"the per-component reward is tilted in closed form at beta = 0 and beta = {self._exact_at:g} alone, "
                f"not at {beta:g}; set exact_at to the beta that is needed."
            )
        log_factors = torch.zeros_like(self._mixture.weights)
        log_factors[self._component] = beta * self._bonus
        return self._mixture.reweigh(log_factors)
