"""DiffusionNFT: likes against dislikes on the forward process, by two implicit models.

    eps+ = (1 - b) eps_old + b eps_theta,      eps- = (1 + b) eps_old - b eps_theta
    L = mean over items and t of  s MSE(eps, eps+) + (1 - s) MSE(eps, eps-)

eps_old is a moving average of the trained network over the rounds. With s = 1 for all and b = 1 this is plain
fine-tuning.

Comparison with PAPA, in the first round (eps_old is the base), for s in {0, 1}, b = 1 and equal timestep weights: for a
liked item both descend ||eps - eps_theta||^2. For a disliked one NFT descends ||eps - (2 eps_old - eps_theta)||^2,
whose gradient at eps_theta = eps_old is minus that of the denoising error, as PAPA's ascent. Away from there PAPA's
ascent is unbounded (hence its margin), while NFT's parabola has its minimum at the mirror image of the noise,
eps_theta = 2 eps_old - eps. PAPA's second term anchors the model at the base for ever, NFT only at its recent past; in
later rounds NFT may leave the base and PAPA may not.

Source: Zheng et al. 2025, "DiffusionNFT: Online Diffusion Reinforcement with Forward Process" (arXiv 2509.16117); see
`papa.methods.losses.nft_loss`.
"""

from __future__ import annotations

from typing import Any

from papa.feedback import Feedback, Query
from papa.methods._finetune import FineTuned, FinetuneSettings, Update
from papa.methods._lazy import Tensor, denoising, lora, losses, nn, torch
from papa.methods.declaration import Declaration
from papa.settings import Fraction, Rate


class DiffusionNftSettings(FinetuneSettings):
    """DiffusionNFT: an implicit positive and an implicit negative model, made of the trained one and an older one."""

    beta: Rate = 1.0
    """b: distance of the implicit models from the older one. At 1 the positive one is the trained model."""
    ema_decay: Fraction = 0.5
    """Decay of the moving average: the older model's share at the end of a round."""


class DiffusionNft(FineTuned[DiffusionNftSettings]):
    """Online fine-tuning on likes and dislikes by two implicit models."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.old: nn.Module = lora.copy_sharing_frozen(self.network)

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.seen.add(query, feedback)
        self.train(*self.seen.answered())
        with torch.no_grad():
            for name, average in self._average().items():
                average.lerp_(self.trained[name], 1 - self.settings.ema_decay)

    def gradient(self, update: Update) -> tuple[float, ...]:
        total = 0.0
        chunks, preference = self.noised(update)
        for part in chunks:
            old = self.frozen(self.old, part)
            eps = denoising.predicted(self.network, part, self.cost)
            each = losses.nft_loss(eps, old, part.noise, preference[part.chosen].to(eps), self.settings.beta)
            loss = each.sum() / len(preference)
            denoising.backward(loss, update.scale)
            total += loss.item()
        return (total,)

    def _average(self) -> dict[str, Tensor]:
        """The trained weights' moving average, by name."""
        return {name: weight for name, weight in self.old.named_parameters() if name in self.trained}


DIFFUSION_NFT = Declaration(DiffusionNftSettings, DiffusionNft, "DiffusionNFT (arXiv 2509.16117)")
