"""Diffusion-DPO on likes and dislikes: every liked item is preferred to every disliked one.

Where pairs themselves are told (labels that were given), they are learned from beside those; ties say nothing.

The loss is that of `papa.methods.shared.dpo`, with one timestep and one noise for both items of a pair, and its mean
over pairs and timesteps. The paper draws t evenly; here they are stratified, which has the same mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from papa.diffusion.losses import backward, errors, frozen, noised, predicted
from papa.feedback import Feedback, Query
from papa.methods.diffusion_dpo import DiffusionDpoSettings
from papa.methods.shared.dpo import dpo_loss, matched
from papa.methods.shared.finetune.training import FineTuned, Update


class DiffusionDpo(FineTuned[DiffusionDpoSettings]):
    """Online fine-tuning on pairs, near the pre-trained model by the loss itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._told: list[np.ndarray] = []
        """(m, 2) int64 pairs that were told, as numbers of items in `seen`."""

    @property
    def items(self) -> int:
        return max(1, self.settings.items // 2)

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.seen.add(query, feedback)
        if feedback.pairs is not None:
            before = len(self.seen.preference) - len(feedback.preference)
            self._told.append(np.asarray(feedback.pairs, dtype=np.int64).reshape(-1, 2) + before)
        liked, disliked = matched(self.seen.preference, self.stream.at("pairs", round=self.round))
        which = torch.from_numpy(np.concatenate([np.stack([liked, disliked], 1), *self._told]))
        pairs = self.seen.latents[which]
        self.train(pairs, np.ones(len(pairs)))

    def gradient(self, update: Update) -> tuple[float, ...]:
        """update.x0: (m, 2, ...) pairs, what was preferred first."""
        timesteps, total = self.timesteps(update), 0.0
        mean = 1 / timesteps.numel()
        items = [
            noised(x0, timesteps, self.noise(update), self.alphas_cumprod, self.settings.chunk)
            for x0 in update.x0.unbind(1)
        ]
        for pair in zip(*items, strict=True):
            model, reference = [], []
            for part in pair:
                model.append(errors(predicted(self.network, part, self.cost), part.noise))
                reference.append(errors(frozen(self.base, part, torch.ones_like(part.t), self.cost), part.noise))
            loss = mean * dpo_loss(torch.stack(model), torch.stack(reference), self.settings.strength).sum()
            backward(loss, update.scale)
            total += loss.item()
        return (total,)

    def state(self) -> dict[str, Any]:
        return super().state() | {"told": list(self._told)}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._told = list(state["told"])
