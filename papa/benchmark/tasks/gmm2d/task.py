"""The reference that every sampler and loss, and figure F7, are compared with.

The denoiser is the exact posterior mean, so a deviation from the closed form is the sampler's own error.
"""

from __future__ import annotations

import torch

from papa.benchmark.tasks.interface import Task
from papa.models.mixture import Mixture, MixtureModel

# Unit scale: all means have distance 1 from the origin. Two components overlap, the third is separate.
WEIGHTS = (0.4, 0.35, 0.25)
MEANS = ((-1.0, 0.0), (0.6, 0.8), (0.6, -0.8))
COVARIANCES = (((0.16, 0.06), (0.06, 0.20)), ((0.20, -0.08), (-0.08, 0.14)), ((0.10, 0.02), (0.02, 0.16)))


class Gmm2d(Task):
    """The mixture above."""

    def load_model(self) -> MixtureModel:
        parts = (torch.tensor(part, dtype=torch.float64) for part in (WEIGHTS, MEANS, COVARIANCES))
        settings = self.settings
        return MixtureModel(Mixture(*parts), settings.steps, settings.sigma_max, settings.sigma_min, self.device)

    @property
    def mixture(self) -> Mixture:
        """The density of the base."""
        return self.model.mixture
