"""Users of `gmm2d`: rewards in nats whose tilted density p(x) exp(beta u(x)) / Z is known exactly."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.users.interface import User
from papa.errors import PapaError
from papa.models.mixture import Mixture


class RewardUser(User):
    """A user whose taste is a function u of the point.

    `liking` is u itself, in nats, unbounded: what the golden tests tilt by. Methods that learn from
    answers are told `verdict`, a logistic curve of u centred on the base's mean reward (see there).
    """

    _mixture: Mixture
    _middle: float

    def meet(self, task: Any) -> None:
        """Take over the task's mixture (`task.mixture`).

        Raises:  PapaError for a task that is no mixture.
        """
        mixture = getattr(task, "mixture", None)
        if not isinstance(mixture, Mixture):
            raise PapaError(
                f"{type(self).__name__} knows its tilted density on a Gaussian mixture alone; use it on task gmm2d."
            )
        self._mixture = mixture
        self._middle = self.liking(mixture.mean[None]).item()

    @abstractmethod
    def liking(self, images: Tensor) -> Tensor:
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
            return torch.sigmoid(self.liking(images) - self._middle).cpu().numpy().astype(np.float64)


class QuadraticReward(RewardUser):
    """u(x) = <slope, x> - curvature/2 |x - centre|^2.

    Args:    slope: nats per unit of length, a direction that is liked. centre: a point that is liked.
             curvature: nats per squared length; negative dislikes the centre, and then too large a beta
             has no tilted density.
    """

    def __init__(
        self, slope: tuple[float, ...], centre: tuple[float, ...] | None = None, curvature: float = 0.0
    ) -> None:
        self._slope = torch.tensor(slope, dtype=torch.float64)
        self._centre = torch.zeros_like(self._slope) if centre is None else torch.tensor(centre, dtype=torch.float64)
        self._curvature = curvature

    def liking(self, images: Tensor) -> Tensor:
        x = images.double()
        away = (x - self._centre.to(x.device)).square().sum(1)
        return x @ self._slope.to(x.device) - self._curvature / 2 * away

    def tilted(self, beta: float) -> tuple[Mixture, float]:
        return self._mixture.tilt(beta * self._slope, beta * self._curvature, self._centre)


class LinearReward(QuadraticReward):
    """u(x) = <slope, x>: the tilt shifts each component by beta S_k slope and reweighs it.

    Args:    slope: nats per unit of length.
    """

    def __init__(self, slope: tuple[float, ...]) -> None:
        super().__init__(slope)


class ComponentReward(RewardUser):
    """Likes one component c of the mixture, `bonus` nats more than the others.

    A component is a hidden variable and no function of the point, so the reward of a point is what it
    says about it, averaged over the posterior r_c(x) = P(c | x) in the way that leaves the tilt exact:

        u(x) = (1/b) log E[ exp(b bonus 1[component = c]) | x ] = (1/b) log( 1 + r_c(x) (exp(b bonus) - 1) )

    Tilting by exp(b u) is then exactly counting component c exp(b bonus) times. u runs from 0 where
    another component is certain to `bonus` where c is. At b = `exact_at` (and at 0) the tilted density
    is a mixture; at any other beta it has no closed form, and `tilted` says so.

    Args:    component: index c. bonus: nats. exact_at: the inverse temperature b, positive.
    """

    def __init__(self, component: int, bonus: float = 1.0, exact_at: float = 1.0) -> None:
        if exact_at <= 0:
            raise PapaError(f"exact_at is an inverse temperature and must be positive, not {exact_at:g}.")
        self._component, self._bonus, self._exact_at = component, bonus, exact_at

    def liking(self, images: Tensor) -> Tensor:
        share = self._mixture.log_responsibilities(images)[:, self._component].exp()
        return torch.log1p(share * math.expm1(self._exact_at * self._bonus)) / self._exact_at

    def tilted(self, beta: float) -> tuple[Mixture, float]:
        if beta not in (0, self._exact_at):
            raise PapaError(
                f"the per-component reward is tilted in closed form at beta = 0 and beta = {self._exact_at:g} alone, "
                f"not at {beta:g}; set exact_at to the beta that is wanted."
            )
        log_factors = torch.zeros_like(self._mixture.weights)
        log_factors[self._component] = beta * self._bonus
        return self._mixture.reweigh(log_factors)
