"""Task `gmm2d`: a Gaussian mixture in the plane, its exact score, and rewards with known tilts.

The golden reference of every sampler and loss, and figure F7. There is no network: the denoiser is
the exact posterior mean, so what differs from the closed form is the sampler's own error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from papa.benchmark.config import Gmm2dSettings
from papa.benchmark.registry import USERS
from papa.benchmark.runs.record import npz_bytes, write_atomic
from papa.benchmark.tasks.interface import Task
from papa.diffusion.denoiser import Cost, Denoiser
from papa.diffusion.schedule import log_spaced_sigmas
from papa.errors import PapaError
from papa.models.mixture import Mixture

# Unit scale: the centres stand at distance 1 from the origin. Two components lean on each
# other and overlap, the third stands apart, so both kinds of mistake would show.
WEIGHTS = (0.4, 0.35, 0.25)
MEANS = ((-1.0, 0.0), (0.6, 0.8), (0.6, -0.8))
COVARIANCES = (((0.16, 0.06), (0.06, 0.20)), ((0.20, -0.08), (-0.08, 0.14)), ((0.10, 0.02), (0.02, 0.16)))

FIGURE_BETAS = (0.5, 1.0, 2.0, 3.0, 4.0)
"""Inverse temperatures whose exact densities are written for figures."""

EDGE = 3.0
"""The density grid covers [-EDGE, EDGE] along both axes."""


@dataclass
class Gmm2d(Task):
    """The mixture above; latents are the points themselves, float64."""

    # Narrower than the parent's, and never reassigned.
    settings: Gmm2dSettings = field(default_factory=Gmm2dSettings)  # pyright: ignore[reportIncompatibleVariableOverride]
    mixture: Mixture = field(init=False)

    def __post_init__(self) -> None:
        self.dtype = torch.float64
        self.shape = (2,)
        parts = (torch.tensor(part, dtype=self.dtype, device=self.device) for part in (WEIGHTS, MEANS, COVARIANCES))
        self.mixture = Mixture(*parts)
        self.spread = self.mixture.spread

    def sigmas(self) -> Tensor:
        return log_spaced_sigmas(self.settings.sigma_max, self.settings.sigma_min, self.settings.steps)

    def denoiser(self, cost: Cost, unet: nn.Module | None = None) -> Denoiser:
        """The exact posterior mean, one evaluation per point counted in `cost`.

        Raises:  PapaError if a network is given: there is none to stand in for.
        """
        if unet is not None:
            self.unet()

        def denoise(y: Tensor, sigma: float) -> Tensor:
            cost.forward += len(y)
            if y.requires_grad:
                cost.backward += len(y)
            return self.mixture.denoise(y, sigma)

        return denoise

    def decode(self, latents: Tensor) -> Tensor:
        return latents

    def prepare(self, results: Path, log: Callable[[str], None]) -> list[Path]:
        """The exact densities of every user, for figure F7."""
        return [self.write_density(results / "gmm2d" / "density", user, FIGURE_BETAS) for user in USERS["gmm2d"]]

    def write_density(self, folder: str | Path, user: str, betas: Sequence[float], points: int = 161) -> Path:
        """Write the base density and its tilts by a user's reward on a grid, for figure F7.

        Args:    folder: made if missing. user: a name in `papa.benchmark.registry.USERS["gmm2d"]`. betas: inverse
                 temperatures. points: grid points along each axis.
        Returns: folder/{user}.npz with x (nx,), y (ny,), base (ny, nx) and, for every beta,
                 tilted_{beta:g} (ny, nx): densities per unit of area. A tilt without a closed form is
                 normalized by its sum over the grid.
        Raises:  PapaError for a user that there is not.
        """
        if user not in USERS["gmm2d"]:
            raise PapaError(f"task gmm2d has no user {user!r}; known: {', '.join(USERS['gmm2d'])}.")
        taste = USERS["gmm2d"][user].load()
        taste.meet(self)
        axis = np.linspace(-EDGE, EDGE, points)
        grid = torch.from_numpy(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)).to(self.device)
        log_base, reward = self.mixture.log_density(grid), taste.liking(grid)
        density = {"base": log_base.exp()}
        for beta in betas:
            unnormalized = (log_base + beta * reward).exp()
            try:
                z = math.exp(taste.tilted(beta)[1])
            except PapaError:
                z = unnormalized.sum() * (axis[1] - axis[0]) ** 2
            density[f"tilted_{beta:g}"] = unnormalized / z
        images = {name: values.cpu().numpy().reshape(points, points) for name, values in density.items()}
        file = Path(folder) / f"{user}.npz"
        write_atomic(file, npz_bytes({"x": axis, "y": axis, **images}))
        return file
