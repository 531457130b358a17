"""Diffusion-KTO.

    g = beta T omega (||eps - eps_ref||^2 - ||eps - eps_theta||^2)     for each (item, timestep)
    z = max(0, mean of g over the update), without a gradient
    L = mean of s (1 - sigma(g - z)) + (1 - s) (1 - sigma(z - g))

Source: Li et al. 2024, "Aligning Diffusion Models by Optimizing Human Utility" (arXiv 2404.04465), equation 8, with the
sigmoid utility that it chose. s is 0 or 1 there; a grade in between weighs both sides. ||.||^2 is the mean over the
entries of a latent.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from papa.diffusion.losses import Noised, backward, errors, frozen, noised, predicted
from papa.feedback import Feedback, Query
from papa.methods.diffusion_kto import DiffusionKtoSettings
from papa.methods.shared.finetune.training import FineTuned, Update


def kto_loss(gain: Tensor, point: float, preference: Tensor) -> Tensor:
    """(n,) losses in [0, 1]. gain: (n,) g. point: z. preference: (n,) s in [0, 1]."""
    kept = torch.sigmoid(gain - point)
    return preference * (1 - kept) + (1 - preference) * kept


class DiffusionKto(FineTuned[DiffusionKtoSettings]):
    """Online fine-tuning on likes and dislikes, near the pre-trained model by the loss itself."""

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.seen.add(query, feedback)
        answered = np.flatnonzero(~np.isnan(self.seen.preference))
        self.train(self.seen.latents[torch.from_numpy(answered)], self.seen.preference[answered])

    def gain(self, part: Noised, reference: Tensor) -> Tensor:
        """g of a chunk of pairs. reference: their errors under the base."""
        return self.settings.strength * (reference - errors(predicted(self.network, part, self.cost), part.noise))

    def gradient(self, update: Update) -> tuple[float, ...]:
        """The reference point needs all pairs of the update, so they go through the network twice."""
        timesteps, total = self.timesteps(update), 0.0
        preference = torch.from_numpy(update.preference)[:, None].expand(timesteps.shape).flatten()
        parts = list(noised(update.x0, timesteps, self.noise(update), self.alphas_cumprod, self.settings.chunk))
        references = [errors(frozen(self.base, part, torch.ones_like(part.t), self.cost), part.noise) for part in parts]
        point = self._point(parts, references)
        for part, reference in zip(parts, references, strict=True):
            gain = self.gain(part, reference)
            loss = kto_loss(gain, point, preference[part.chosen].to(gain)).sum() / len(preference)
            backward(loss, update.scale)
            total += loss.item()
        return (total,)

    @torch.no_grad()
    def _point(self, parts: list[Noised], references: list[Tensor]) -> float:
        before = self.cost.backward
        gains = [self.gain(part, reference) for part, reference in zip(parts, references, strict=True)]
        self.cost.backward = before  # no gradient was taken
        return max(0.0, torch.cat(gains).double().mean().item())
