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
from papa.methods.shared.dpo import dpo_loss
from papa.methods.shared.finetune.training import FineTuned, Update
from papa.rng import Stream


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


def matched(liking: np.ndarray, stream: Stream) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a liked item (s > 1/2) and a disliked one, as many as the larger class has items.

    Each item of the larger class stands in one pair; those of the other class are dealt out evenly, at random.

    Returns: the liked and the disliked items' indices, (pairs,) each; none where a class is empty.
    """
    classes = np.flatnonzero(liking > 0.5), np.flatnonzero(liking <= 0.5)
    if not all(map(len, classes)):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    pairs, rng = max(map(len, classes)), stream.generator()
    liked, disliked = (
        np.concatenate([rng.permutation(of) for _ in range(-(-pairs // len(of)))])[:pairs] for of in classes
    )
    return liked, disliked
