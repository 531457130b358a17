"""PAPA and EPAPA: fine-tune the diffusion model on what one user liked and disliked.

Source: PAPA: Online Personalized Active Preference Alignment (arXiv 2607.00486), Theorem 4.2. EPAPA is
PAPA with `frozen_below` > 0: timesteps below k are neither trained nor sampled with the tuned model.

Why c_qpde = c_pref. Let p be the share of liked items among those that could have made x_t, and eps_L,
eps_D the mean noise of the liked and of the disliked ones, so that the base is f* = p eps_L + (1-p) eps_D.
With equal timestep weights the loss at x_t is least where

    (2p - 1) f + c f = p eps_L - (1-p) eps_D + c f*,        c = c_qpde / c_pref

and for c = 1 that is f = eps_L exactly: the model conditioned on being liked, no more and no less. Below 1
it extrapolates beyond the liked items and loses diversity (for p < (1-c)/2 without bound); above 1 it falls
short. The balance is the same at every timestep, so EPAPA's anchor term is the same sum over fewer ones.

On a guided model this optimum is of the conditional model; what guidance makes of it is a heuristic, as in the base.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from papa.diffusion.denoiser import Denoiser, SwitchedDenoiser
from papa.diffusion.schedule import sigmas_of
from papa.errors import SettingsError
from papa.feedback import Feedback, Query
from papa.methods.papa import PapaSettings
from papa.methods.papa.loss import Networks, Pairs, accumulate_gradients, lambda_weights
from papa.methods.shared.finetune.training import FineTuned, Update
from papa.models.lora import twin


class Papa(FineTuned[PapaSettings]):
    """Online fine-tuning without a reward model."""

    terms = ("loss_preference", "loss_anchor")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.anchor: nn.Module = self.base
        self.first = round(self.settings.frozen_below * self.total)

    def denoiser(self) -> Denoiser:
        """theta for t >= k, the frozen base below."""
        tuned = super().denoiser()
        if self.first == 0:
            return tuned
        threshold = (
            sigmas_of(self.alphas_cumprod.double())[self.first].item() if self.first < self.total else float("inf")
        )
        return SwitchedDenoiser(tuned, self.model.denoiser(self.cost, self.base), threshold)

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.seen.add(query, feedback)
        if self.settings.anchor == "previous":
            self.anchor = twin(self.network)
        latents, liking = (self.seen.latents, self.seen.liking) if self.settings.accumulate else self.seen.last()
        usable = ~np.isnan(liking)
        if self.settings.negatives == "none":
            usable &= liking > 0.5
        chosen = np.flatnonzero(usable)
        self.train(latents[torch.from_numpy(chosen)], liking[chosen])

    def gradient(self, update: Update) -> tuple[float, ...]:
        return accumulate_gradients(
            Networks(self.network, self.base, self.anchor),
            self.alphas_cumprod,
            update.x0,
            self.noise(update, self.settings.shared_noise),
            self.pairs(update),
            self.settings.chunk,
            self.cost,
            update.scale,
        )

    def pairs(self, update: Update) -> Pairs:
        """The (item, timestep) pairs of one update with the weights of both terms; feedback r = 2s - 1."""
        settings, strata, trained = self.settings, self.strata, self.total - self.first
        timesteps = self.timesteps(update)
        r = torch.from_numpy(2 * update.liking - 1)[:, None]
        mean = 1 / len(update.liking)
        preference = settings.c_pref * mean * r * self._timestep_weights()[timesteps] * (trained / strata)
        near = torch.full_like(preference, settings.c_qpde * mean * (trained / self.total) / strata)
        if settings.qpde_timesteps == "last":
            near = torch.where(timesteps == self.total - 1, near * strata, 0.0)
        if settings.qpde_on == "liked":
            near = torch.where(r > 0, near, 0.0)
        ceiling = 1 + settings.margin if settings.negatives == "bounded" else None
        return Pairs(timesteps, preference.float(), near.float(), ceiling)

    def _timestep_weights(self) -> Tensor:
        """(T,) weights of sum 1 over all T timesteps."""
        if self.settings.weights == "uniform":
            return torch.full((self.total,), 1 / self.total, dtype=torch.float64)
        return lambda_weights(self.alphas_cumprod, self.settings.first_weight)

    def aligned(self) -> nn.Module:
        """The tuned network.

        Raises:  SettingsError for EPAPA, which samples with two networks.
        """
        if self.first:
            raise SettingsError(
                f"frozen_below: {self.settings.frozen_below:g} samples with two networks, the tuned one and below "
                f"timestep {self.first} the base, and a pipeline folder holds one. Export a run with frozen_below: 0."
            )
        return self.network
