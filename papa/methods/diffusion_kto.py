"""Diffusion-KTO: fine-tuning on likes and dislikes without pairs.

    g = beta T omega (||eps - eps_ref||^2 - ||eps - eps_theta||^2)     for each (item, timestep)
    z = max(0, mean of g over the update), without a gradient
    L = mean of s (1 - sigma(g - z)) + (1 - s) (1 - sigma(z - g))

Source: Li et al. 2024 (arXiv 2404.04465), equation 8; see `papa.methods.losses.kto_loss`.
"""

from __future__ import annotations

from papa.feedback import Feedback, Query
from papa.methods._finetune import FineTuned, FinetuneSettings, Update
from papa.methods._lazy import Tensor, denoising, losses, torch
from papa.methods.declaration import Declaration
from papa.settings import Rate


class DiffusionKtoSettings(FinetuneSettings):
    """Diffusion-KTO: the expected utility of likes and dislikes, against a common reference point."""

    beta: Rate = 15.0
    """beta T omega of the loss, for errors that are means over the entries of a latent."""


class DiffusionKto(FineTuned[DiffusionKtoSettings]):
    """Online fine-tuning on likes and dislikes, regularized to the pre-trained model by the loss itself."""

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.seen.add(query, feedback)
        self.train(*self.seen.answered())

    def gain(self, part: denoising.Noised, reference: Tensor) -> Tensor:
        """(c,) g of a chunk of pairs. reference: (c,) their errors under the base."""
        error = denoising.errors(denoising.predicted(self.network, part, self.cost), part.noise)
        return self.settings.beta * (reference - error)

    def gradient(self, update: Update) -> tuple[float, ...]:
        """The reference point needs all pairs of the update, so they go through the network twice."""
        chunks, preference = self.noised(update)
        parts, total = list(chunks), 0.0
        references = [denoising.errors(self.frozen(self.base, part), part.noise) for part in parts]
        point = self._point(parts, references)
        for part, reference in zip(parts, references, strict=True):
            gain = self.gain(part, reference)
            loss = losses.kto_loss(gain, point, preference[part.chosen].to(gain)).sum() / len(preference)
            denoising.backward(loss, update.scale)
            total += loss.item()
        return (total,)

    def _point(self, parts: list[denoising.Noised], references: list[Tensor]) -> float:
        """z, the reference point."""
        before = self.cost.backward
        with torch.no_grad():
            gains = [self.gain(part, reference) for part, reference in zip(parts, references, strict=True)]
        self.cost.backward = before  # no gradient was computed
        return max(0.0, torch.cat(gains).double().mean().item())


DIFFUSION_KTO = Declaration(DiffusionKtoSettings, DiffusionKto, "Diffusion-KTO (arXiv 2404.04465)")
