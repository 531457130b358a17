"""PAPA made small, on the digits task, and the noise schedule of its paper."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from papa.benchmark.tasks.digits.task import Digits
from papa.methods._finetune import Update
from papa.methods.papa import Papa, PapaSettings
from papa.rng import Stream
from support import tiny

PUBLISHED_BETAS = np.linspace(1e-4, 0.02, 1000)
ABAR = torch.from_numpy(np.cumprod(1 - PUBLISHED_BETAS)).float()


def method(digits: Digits, cls: type[PapaSettings] = PapaSettings, seed: int = 0, **given: Any) -> Papa:
    return Papa(tiny.small(cls, **given), digits.model, Stream(seed), lambda n: torch.zeros(n, *digits.model.shape))


def update(digits: Digits, feedback: Any, stream: Stream | None = None) -> Update:
    """The items of one Adam step with feedback r in [-1, 1], whatever they show."""
    r = np.asarray(feedback, dtype=np.float64)
    return Update(torch.zeros(len(r), *digits.model.shape), (1 + r) / 2, stream or Stream(0))
