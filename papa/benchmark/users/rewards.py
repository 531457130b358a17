"""Users of `gmm2d`: rewards in nats whose tilted density p(x) exp(beta u(x)) / Z is known exactly."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from papa.benchmark.users.interface import Taste, User, UserKind
from papa.errors import PapaError, SettingsError

if TYPE_CHECKING:
    from torch import Tensor

    from papa.models.mixture import Mixture

Coordinate = Annotated[float, Field(ge=-1e6, le=1e6)]


class RewardTaste(Taste):
    """u(x) = <slope, x> - curvature/2 |x - centre|^2."""

    slope: Annotated[tuple[Coordinate, ...], Field(min_length=1)]
    """The preferred direction, in nats per unit of length."""
    centre: tuple[Coordinate, ...] | None = None
    """The preferred point; None is the origin."""
    curvature: Coordinate = 0.0
    """Nats per squared length; if negative, the tilted density exists for small beta only."""


class ComponentTaste(Taste):
    """One component of the mixture is worth `bonus` nats more than the others."""

    component: Annotated[int, Field(ge=0, le=10**6)]
    """Its index."""
    bonus: Coordinate = 1.0
    """Nats."""
    exact_at: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    """The inverse temperature at which the tilted density is a mixture."""


class RewardUser(User):
    """A user with a reward u(x) of the point.

    `preference` is u itself, in nats, unbounded: the golden tests tilt by it. Methods that learn from answers get
    `verdict`, a logistic curve of u centred on its value at the base's mean point.
    """

    def calibrate(self, task: Any) -> None:
        self._mixture, self.exact = task.mixture, self
        self._middle = self.preference(self._mixture.mean[None]).item()

    @abstractmethod
    def preference(self, images: Tensor) -> Tensor:
        """u at (n, d) points: (n,) float64, nats, differentiable."""

    @abstractmethod
    def tilted(self, beta: float) -> tuple[Mixture, float]:
        """The density tilted by exp(beta u), and its log Z in nats.

        Raises:
            PapaError: without a closed form at this beta.
            ValueError: if Z is infinite.
        """

    def verdict(self, images: Tensor) -> np.ndarray:
        """Grades in (0, 1): 1 / (1 + exp(u(m) - u(x))) with m the mean of the base density."""
        return (self.preference(images) - self._middle).sigmoid().detach().cpu().numpy().astype(np.float64)


class QuadraticReward(RewardUser):
    """u(x) = <slope, x> - curvature/2 |x - centre|^2.

    Without curvature the tilt shifts component k by beta S_k slope and reweights it.
    """

    def __init__(self, taste: RewardTaste) -> None:
        import torch

        super().__init__(taste)
        self._slope = torch.tensor(taste.slope, dtype=torch.float64)
        centre = [0.0] * len(taste.slope) if taste.centre is None else taste.centre
        self._centre = torch.tensor(centre, dtype=torch.float64)

    def calibrate(self, task: Any) -> None:
        """Load the mixture.

        Raises:
            SettingsError: for a slope or centre of another dimension.
        """
        dimensions = task.mixture.means.shape[1]
        if {len(self._slope), len(self._centre)} != {dimensions}:
            raise SettingsError(f"slope and centre of a reward need {dimensions} coordinates on this task.")
        super().calibrate(task)

    def preference(self, images: Tensor) -> Tensor:
        x = images.double()
        squared = (x - self._centre.to(x.device)).square().sum(1)
        return x @ self._slope.to(x.device) - self.taste.curvature / 2 * squared

    def tilted(self, beta: float) -> tuple[Mixture, float]:
        return self._mixture.tilt(beta * self._slope, beta * self.taste.curvature, self._centre)


class ComponentReward(RewardUser):
    """Prefers one component c of the mixture by `bonus` nats.

    The reward of a point averages over the posterior r_c(x) = P(c | x) so that the tilt stays exact:

        u(x) = (1/b) log E[ exp(b bonus 1[component = c]) | x ] = (1/b) log( 1 + r_c(x) (exp(b bonus) - 1) )

    Tilting by exp(b u) multiplies the weight of component c by exp(b bonus). u runs from 0 where another component is
    certain to `bonus` where c is. At b = `exact_at` (and at 0) the tilted density is a mixture; at any other beta it
    has no closed form.
    """

    def calibrate(self, task: Any) -> None:
        """Load the mixture.

        Raises:
            SettingsError: for a component that it does not have.
        """
        known = len(task.mixture.weights)
        if self.taste.component >= known:
            raise SettingsError(f"component {self.taste.component}: the mixture has 0 to {known - 1}.")
        super().calibrate(task)

    def preference(self, images: Tensor) -> Tensor:
        share, b = self._mixture.log_responsibilities(images)[:, self.taste.component].exp(), self.taste.exact_at
        return (share * math.expm1(b * self.taste.bonus)).log1p() / b

    def tilted(self, beta: float) -> tuple[Mixture, float]:
        import torch

        if beta not in (0, self.taste.exact_at):
            raise PapaError(
                f"the component reward has a tilt in closed form at beta = 0 and beta = {self.taste.exact_at:g} only, "
                f"not at {beta:g}; set exact_at to the beta that is needed."
            )
        log_factors = torch.zeros_like(self._mixture.weights)
        log_factors[self.taste.component] = beta * self.taste.bonus
        return self._mixture.reweigh(log_factors)


REWARD = UserKind(RewardTaste, QuadraticReward, needs="density")
COMPONENT = UserKind(ComponentTaste, ComponentReward, needs="density")
