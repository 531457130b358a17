"""DiffusionNFT.

    eps+ = (1 - b) eps_old + b eps_theta,      eps- = (1 + b) eps_old - b eps_theta
    L = mean over items and t of  s MSE(eps, eps+) + (1 - s) MSE(eps, eps-)

eps_old is a slow average of the trained network over the rounds. With s = 1 for all and b = 1 this is plain
fine-tuning.

Where it agrees with PAPA, and where not. Take the first round, where eps_old is the base, s in {0, 1}, b = 1 and equal
weights of the timesteps. For a liked item both descend ||eps - eps_theta||^2. For a disliked one NFT descends
||eps - (2 eps_old - eps_theta)||^2. Its gradient at eps_theta = eps_old is minus that of the denoising error, which is
PAPA's ascent; away from there PAPA's ascent has no end (hence its margin), while NFT's parabola has its minimum at the
mirror image of the noise, eps_theta = 2 eps_old - eps. PAPA's second term holds the model near the base for ever, NFT
near its own recent past alone; so in later rounds NFT may leave the base and PAPA may not.

Source: Zheng et al. 2025, "DiffusionNFT: Online Diffusion Reinforcement with Forward Process" (arXiv 2509.16117),
equations 5 and 6, there for the velocity with a weight of each timestep of its own; here for the noise, all timesteps
equal, as in PAPA's loss.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from papa.diffusion.losses import backward, errors, frozen, noised, predicted
from papa.feedback import Feedback, Query
from papa.methods.diffusion_nft import DiffusionNftSettings
from papa.methods.shared.finetune.training import FineTuned, Update
from papa.models.lora import copy_sharing_frozen


def nft_loss(predicted: Tensor, old: Tensor, noise: Tensor, preference: Tensor, strength: float) -> Tensor:
    """(n,) losses of predictions (n, ...) of the trained and the older network. preference: (n,) in [0, 1]."""
    positive = (1 - strength) * old + strength * predicted
    negative = (1 + strength) * old - strength * predicted
    return preference * errors(positive, noise) + (1 - preference) * errors(negative, noise)


class DiffusionNft(FineTuned[DiffusionNftSettings]):
    """Online fine-tuning on likes and dislikes by two implicit models."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.old: nn.Module = copy_sharing_frozen(self.network)

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.seen.add(query, feedback)
        answered = np.flatnonzero(~np.isnan(self.seen.preference))
        self.train(self.seen.latents[torch.from_numpy(answered)], self.seen.preference[answered])
        with torch.no_grad():
            for name, average in self._average().items():
                average.lerp_(self.trained[name], 1 - self.settings.keep)

    def gradient(self, update: Update) -> tuple[float, ...]:
        timesteps, total = self.timesteps(update), 0.0
        preference = torch.from_numpy(update.preference)[:, None].expand(timesteps.shape).flatten()
        for part in noised(update.x0, timesteps, self.noise(update), self.alphas_cumprod, self.settings.chunk):
            old = frozen(self.old, part, torch.ones_like(part.t), self.cost)
            eps = predicted(self.network, part, self.cost)
            each = nft_loss(eps, old, part.noise, preference[part.chosen].to(eps), self.settings.strength)
            loss = each.sum() / len(preference)
            backward(loss, update.scale)
            total += loss.item()
        return (total,)

    def _average(self) -> dict[str, Tensor]:
        """The weights of the older network that are trained in the other one."""
        return {name: weight for name, weight in self.old.named_parameters() if name in self.trained}

    def state(self) -> dict[str, Any]:
        return super().state() | {"old": {name: weight.detach().clone() for name, weight in self._average().items()}}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        with torch.no_grad():
            for name, average in self._average().items():
                average.copy_(state["old"][name])
