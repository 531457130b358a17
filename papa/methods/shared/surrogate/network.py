"""The surrogate reward: a small network that learns a user's preference of latents from few labels."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from papa.errors import DivergedError
from papa.methods.shared.surrogate import SurrogateSettings
from papa.rng import Stream


def initialize(module: nn.Module, stream: Stream) -> None:
    """PyTorch's default uniform initialization of convolutions and linear layers, from a named stream."""
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            for kind, parameter in layer.named_parameters(recurse=False):
                values = (2 * stream.at(name, kind).uniform(*parameter.shape) - 1) * bound
                parameter.data.copy_(torch.from_numpy(values))


class Surrogate(nn.Module):
    """Conv2d(C -> 128, 3x3) - ReLU - AdaptiveAvgPool2d(1) - MLP(128 -> 256 -> 128 -> 1).

    Source:  the FKC document, "Surrogate Reward Model"; the ReLU before the pooling is ours, for
             without it the pooled features are linear in the image.
    Input (n, C, H, W) clean latents, or (n, d) points; output (n,) preference. Points have no image
    plane, so the convolution becomes a linear layer there.
    """

    def __init__(self, shape: tuple[int, ...], settings: SurrogateSettings, stream: Stream) -> None:
        super().__init__()
        width = settings.channels
        if len(shape) == 3:
            lift = (nn.Conv2d(shape[0], width, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        else:
            lift = (nn.Linear(shape[0], width), nn.ReLU())
        mlp = (nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 1))
        self.net = nn.Sequential(*lift, *mlp)
        self.settings = settings
        initialize(self, stream.at("init"))
        self.optimizer = torch.optim.Adam(self.parameters(), lr=settings.lr, fused=True)

    def forward(self, latents: Tensor) -> Tensor:
        return self.net(latents.float()).squeeze(-1)

    def fit(self, latents: Tensor, preference: np.ndarray, stream: Stream) -> float:
        """Fit the preference of all labelled items, in at most `epochs` passes; unanswered items (NaN) are left out.

        Returns: the mean squared error of the last step, NaN where nothing was answered.
        Raises:  DivergedError where the error is NaN or infinite.
        """
        answered = np.flatnonzero(~np.isnan(preference))
        if not len(answered):
            return math.nan
        x = latents[torch.from_numpy(answered)].float()
        y = torch.from_numpy(preference[answered]).to(x)
        rng, loss = stream.generator(), torch.zeros(())
        with torch.enable_grad():
            for _ in range(self.settings.epochs):
                order = torch.from_numpy(rng.permutation(len(answered))).to(latents.device)
                missed = []
                for part in order.split(self.settings.batch):
                    error = self(x[part]) - y[part]
                    loss = error.square().mean()
                    self.optimizer.zero_grad()
                    loss.backward()
                    self.optimizer.step()
                    missed.append(error.detach().abs().max())
                if torch.stack(missed).max().item() < self.settings.within:
                    break
        if not math.isfinite(loss.item()):
            raise DivergedError("the surrogate's error is NaN or infinite; lower surrogate.lr")
        return loss.item()

    def state(self) -> dict[str, Any]:
        """Weights and optimizer, as copies that later fits leave alone."""
        return copy.deepcopy({"weights": self.state_dict(), "optimizer": self.optimizer.state_dict()})

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state made by `state`."""
        state = copy.deepcopy(state)
        self.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
