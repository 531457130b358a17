"""Shared by the trainings of the `fruits` recipe: batches, one optimization step, progress."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recipes.shared import Log


def batches(n: int, size: int, steps: int, rng: np.random.Generator) -> Iterator[tuple[int, np.ndarray]]:
    """(step, indices) for `steps` batches: every index once before any comes again."""
    order = np.zeros(0, dtype=np.int64)
    for step in range(steps):
        if len(order) < size:
            order = np.concatenate([order, rng.permutation(n)])
        yield step, order[:size]
        order = order[size:]


class Trainer:
    """AdamW with a one-cycle learning rate, clipped gradients, a running loss in the log."""

    def __init__(
        self, name: str, modules: list[nn.Module], lr: float, steps: int, log: Log, decay: float = 1e-3
    ) -> None:
        self.parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=lr, weight_decay=decay, betas=(0.9, 0.99))
        cycle: Any = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, lr, steps + 1, pct_start=0.05)
        self.cycle, self.name, self.steps, self.log = cycle, name, steps, log
        self.done, self.running, self.start = 0, 0.0, time.monotonic()

    def step(self, loss: Tensor) -> None:
        """One update; every 500th is logged."""
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.cycle.step()
        self.done += 1
        self.running += (loss.item() - self.running) * max(0.005, 1 / self.done)
        if self.done % 500 == 0 or self.done == self.steps:
            spent = time.monotonic() - self.start
            left = spent / self.done * (self.steps - self.done)
            self.log(
                f"{self.name}: step {self.done}/{self.steps}, loss {self.running:.4f}, {spent:.0f} s, {left:.0f} s left"
            )
