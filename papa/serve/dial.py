"""The strength of the aligned result, changed without new training.

    trained networks    W = W_base + s (W_aligned - W_base), s in [0, 1.5]: 0 is the base, 1 what was learned
                        (adapters: W_base + s B A, which is the same)
    tilted sampling     the inverse temperature beta of the final samples, in [0, 3 beta_max]
    best of n           the number n of candidates, in [1, 4 n]

Source of the first: linear paths between a pre-trained network and its fine-tuned version, Wortsman et al. 2022
(arXiv 2109.01903). Nothing that was learned is changed: each function here makes a copy of the method that shares all
but what the dial sets.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from papa.methods.best_of_n.method import BestOfN
from papa.methods.interface import Method
from papa.methods.shared.finetune.training import FineTuned
from papa.methods.shared.tilted.method import Tilted
from papa.models.lora import twin
from papa.session import Session

FARTHEST = 1.5
"""Largest scale of what a network learned."""
SCALED = "0 is the model before, 1 is what it learned. “Save the model” saves it at this strength."
MIXED = "From the same noise this method draws many pictures and chooses, so the two rows are not pairs."
TILTED = f"{{:g}} is the method's own; 0 is the model before, and more holds closer to what you like. {MIXED}"
AMONG = f"{{}} is the method's own; 1 is the model before, and more holds closer to what you like. {MIXED}"


@dataclass(frozen=True)
class Dial:
    """A setting of the result. name, help: in words. least, most, step: its range. start: what the method itself takes.
    turned: (method, value) -> a method that samples at that value."""

    name: str
    least: float
    most: float
    step: float
    start: float
    turned: Callable[[Any, float], Method[Any]]
    help: str

    def nearest(self, value: float) -> float:
        """The value in the range that is nearest to this one."""
        return min(max(value, self.least), self.most)


def session_at(session: Session, value: float | None) -> Session:
    """The same session, whose result is that of the dial at this value; None is the method's own."""
    dial = dial_of(session.method)
    if dial is None or value is None:
        return session
    other = copy.copy(session)
    other.method = dial.turned(session.method, value)
    return other


def dial_of(method: Method[Any]) -> Dial | None:
    """The dial of a method; None for one without, such as the base or a model that is told about a person."""
    if isinstance(method, FineTuned):
        return Dial("strength of what was learned", 0.0, FARTHEST, 0.05, 1.0, _scaled, SCALED)
    if isinstance(method, Tilted) and (beta := method.settings.beta_max) > 0:
        return Dial("inverse temperature", 0.0, 3 * beta, beta / 20, beta, _tilted, TILTED.format(beta))
    if isinstance(method, BestOfN):
        n = method.settings.n
        return Dial("candidates for each picture", 1, 4 * n, 1, n, _among, AMONG.format(n))
    return None


def _scaled(method: FineTuned[Any], scale: float) -> FineTuned[Any]:
    """A trained method at another scale. At 1 it is the method itself, bit for bit."""
    if scale == 1:
        return method
    other = copy.copy(method)
    other.network = twin(method.network)
    base = dict(method.base.named_parameters())
    with torch.no_grad():
        for name, weight in other.network.named_parameters():
            if (
                name in method.trained and "lora_A" not in name
            ):  # an adapter is B A: one factor is scaled, B, 0 at first
                weight.lerp_(base[name], 1 - scale)
    return other


def _tilted(method: Tilted[Any], beta: float) -> Tilted[Any]:
    other = copy.copy(method)
    other.settings = method.settings.model_copy(update={"beta_max": beta})
    return other


def _among(method: BestOfN[Any], n: float) -> BestOfN[Any]:
    other = copy.copy(method)
    other.settings = method.settings.model_copy(update={"n": max(1, round(n))})
    return other
