"""Runs of a task whose features and judges are its pixels, so that measures can be worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from papa.benchmark.config import Measures
from papa.benchmark.machine import Machine
from papa.benchmark.metrics.interface import Bench, RunView
from papa.benchmark.runs.record import Meta
from papa.benchmark.tasks.interface import References
from papa.rng import Stream

DIM = 3
META = Meta(
    kind="run",
    key="k",
    task="digits",
    method="m",
    user="u",
    seed=0,
    asked={},
    seconds={"total": 1.0},
    peak_memory_mib=1.0,
    device="cpu",
    machine=Machine(system="", processor="", cores=1, threads=1, gpu=None, versions={}, commit=None),
    weights={},
)


class Flat(nn.Module):
    """Features are the pixels."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


class OneHotJudge:
    """The class is the place of the largest pixel."""

    def probabilities(self, images: Tensor) -> np.ndarray:
        return np.eye(DIM)[images.flatten(1).argmax(1).numpy()]


class Likes:
    """A user of class `classes` whose preference is the share of pixels there."""

    def __init__(self, classes: tuple[int, ...] | None = (0, 1)) -> None:
        self.classes, self.exact = classes, None

    def preference(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, list(self.classes or ())].sum(1)

    def held_out_verdicts(self) -> dict[str, Any]:
        return {}

    def verdict(self, images: Tensor) -> np.ndarray:
        return np.isin(OneHotJudge().probabilities(images).argmax(1), self.classes or ()).astype(float)


def normal(n: int, at: float = 0.0, scale: float = 1.0, name: str = "x") -> Tensor:
    return at + scale * torch.from_numpy(Stream(0).at(name).normal(n, DIM, dtype=np.float64))


def bench(real: Tensor | None = None, labels: np.ndarray | None = None, **measures: Any) -> Bench:
    real = normal(1200) if real is None else real
    labels = np.arange(len(real)) % DIM if labels is None else labels
    task: Any = SimpleNamespace(
        judges=lambda: {"gold": OneHotJudge(), "held_out": OneHotJudge()},
        references=lambda: References(real, labels, Flat(), DIM),
        other_real_images=lambda: (normal(1500, name="other"), np.arange(1500) % DIM),
        training_images=lambda: None,
    )
    return Bench(task, Measures(**{"kid_subset": 50, "kid_subsets": 5, **measures}), Stream(0).at("score"))


def view(of: Bench, final: Tensor | None = None, base: Tensor | None = None, user: Any = None, **given: Any) -> RunView:
    meta = META.model_copy(update=given.pop("meta", {}))
    images = {} if final is None else {"final": final}
    base = normal(64, name="base") if base is None else base
    return RunView(
        of,
        meta,
        given.pop("images", images),
        base,
        given.pop("feedback", [{"preference": [1.0]}]),
        given.pop("rounds", []),
        user or Likes(),
        **given,
    )


def values(rows: list, stage: str = "final") -> dict[str, float]:
    found = {row.metric: row.value for row in rows if row.stage == stage}
    assert len(found) == len([row for row in rows if row.stage == stage]), "a measure stands there twice"
    return found


def one_hot(counts: list[int]) -> Tensor:
    return torch.eye(DIM)[np.repeat(np.arange(DIM), counts)].double()
