"""Users of `gmm2d`: rewards in nats whose tilted density is known exactly."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from papa.benchmark.users.declaration import Taste, UserKind

Coordinate = Annotated[float, Field(ge=-1e6, le=1e6)]


class RewardTaste(Taste):
    """u(x) = <slope, x> - curvature/2 |x - centre|^2."""

    slope: Annotated[tuple[Coordinate, ...], Field(min_length=1)]
    """A direction that is liked, in nats per unit of length."""
    centre: tuple[Coordinate, ...] | None = None
    """A point that is liked; None is the origin."""
    curvature: Coordinate = 0.0
    """Nats per squared length; negative dislikes the centre, and then too large a beta has no tilted density."""


class ComponentTaste(Taste):
    """Likes one component of the mixture, `bonus` nats more than the others."""

    component: Annotated[int, Field(ge=0, le=10**6)]
    """Its index."""
    bonus: Coordinate = 1.0
    """Nats."""
    exact_at: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    """The inverse temperature at which the tilted density is a mixture."""


REWARD = UserKind(RewardTaste, "papa.benchmark.users.rewards.user:QuadraticReward", needs="density")
COMPONENT = UserKind(ComponentTaste, "papa.benchmark.users.rewards.user:ComponentReward", needs="density")
