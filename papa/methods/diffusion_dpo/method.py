"""Diffusion-DPO on likes and dislikes: every liked item is preferred to every disliked one.

The loss is that of `papa.methods.shared.dpo`, with one timestep and one noise for both items of a pair, and its mean
over pairs and timesteps. The paper draws t evenly; here they are stratified, which has the same mean.
"""

from __future__ import annotations

import numpy as np
import torch

from papa.diffusion.losses import backward, errors, frozen, noised, predicted
from papa.feedback import Feedback, Query
from papa.methods.diffusion_dpo import DiffusionDpoSettings
from papa.methods.shared.dpo import dpo_loss, matched
from papa.methods.shared.finetune.training import FineTuned, Update


class DiffusionDpo(FineTuned[DiffusionDpoSettings]):
    """Online fine-tuning on pairs, near the pre-trained model by the loss itself."""

    @property
    def items(self) -> int:
        return max(1, self.settings.items // 2)

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.seen.add(query, feedback)
        liked, disliked = matched(self.seen.liking, self.stream.at("pairs", round=self.round))
        pairs = torch.stack([self.seen.latents[torch.from_numpy(which)] for which in (liked, disliked)], 1)
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
