"""Task `gmm2d`: a Gaussian mixture in the plane with its exact score, and rewards with known tilts."""

from __future__ import annotations

from papa.benchmark.tasks.declaration import TaskDeclaration
from papa.models.settings import SamplingSettings
from papa.settings import Positive, Rate


class Gmm2dSettings(SamplingSettings):
    """The 2-D Gaussian mixture with its exact score."""

    steps: Positive = 100
    """Denoising steps of every sampler of the task."""
    sigma_max: Rate = 20.0
    """Largest noise level."""
    sigma_min: Rate = 0.01
    """Smallest noise level before 0."""


GMM2D = TaskDeclaration(
    Gmm2dSettings,
    "papa.benchmark.tasks.gmm2d.task:Gmm2d",
    users={
        "linear": {"kind": "reward", "slope": [0.6, -0.3]},
        "quadratic": {"kind": "reward", "slope": [0.8, -0.2], "centre": [0.2, 0.2], "curvature": 0.3},
        "component": {"kind": "component", "component": 1, "bonus": 0.75, "exact_at": 2.0},
    },
    offers=frozenset({"density"}),
    scored=False,
    finetunes=False,
)
