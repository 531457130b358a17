"""Diffusion-DPO on likes and dislikes: every liked item is preferred to every disliked one.

Given pairs are learned from as well; ties are ignored. The loss is `papa.methods.losses.dpo_loss`, with one timestep
and one noise for both items of a pair, and its mean over pairs and timesteps. The paper samples t uniformly; here
timesteps are stratified, which has the same mean.

Source: Wallace et al. 2023 (arXiv 2311.12908).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from papa.feedback import Feedback, Query
from papa.methods._finetune import FineTuned, FinetuneSettings, Update
from papa.methods._lazy import denoising, losses, torch
from papa.methods.declaration import Declaration
from papa.settings import Rate


class DiffusionDpoSettings(FinetuneSettings):
    """Diffusion-DPO: an update takes `items` / 2 pairs, so that it costs as much as an update of PAPA."""

    beta: Rate = 15.0
    """beta T omega of the loss, for errors that are means over the entries of a latent."""


class DiffusionDpo(FineTuned[DiffusionDpoSettings]):
    """Online fine-tuning on pairs, regularized to the pre-trained model by the loss itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._given: list[np.ndarray] = []
        """(m, 2) int64 given pairs, as indices of items in `seen`."""

    @property
    def items(self) -> int:
        return max(1, self.settings.items // 2)

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.seen.add(query, feedback)
        if feedback.pairs is not None:
            before = len(self.seen.preference) - len(feedback.preference)
            self._given.append(np.asarray(feedback.pairs, dtype=np.int64).reshape(-1, 2) + before)
        liked, disliked = losses.matched(self.seen.preference, self.stream.at("pairs", round=self.round))
        pairs = torch.from_numpy(np.concatenate([np.stack([liked, disliked], 1), *self._given]))
        self.train(self.seen.latents[pairs], np.ones(len(pairs)))

    def gradient(self, update: Update) -> tuple[float, ...]:
        """update.x0: (m, 2, ...) pairs, the preferred item first."""
        timesteps, total = self.timesteps(update), 0.0
        mean = 1 / timesteps.numel()
        items = [
            denoising.noised(x0, timesteps, self.noise(update), self.alphas_cumprod, self.settings.chunk)
            for x0 in update.x0.unbind(1)
        ]
        for pair in zip(*items, strict=True):
            model, reference = [], []
            for part in pair:
                model.append(denoising.errors(denoising.predicted(self.network, part, self.cost), part.noise))
                reference.append(denoising.errors(self.frozen(self.base, part), part.noise))
            loss = mean * losses.dpo_loss(torch.stack(model), torch.stack(reference), self.settings.beta).sum()
            denoising.backward(loss, update.scale)
            total += loss.item()
        return (total,)


DIFFUSION_DPO = Declaration(
    DiffusionDpoSettings,
    DiffusionDpo,
    "Diffusion-DPO (arXiv 2311.12908)",
    pictures=frozenset({"grades", "pairs"}),
)
