"""The dial: the strength of the aligned result, changed without new training.

    weights     W = W_base + s (W_aligned - W_base), s in [0, 1.5]; 0 is the base, 1 the trained model
                (LoRA: W_base + s B A, the same)
    beta_max    inverse temperature of the final samples, in [0, 3 beta_max]
    n           number of candidates, in [1, 4 n]

The first follows WiSE-FT (Wortsman et al. 2022, arXiv 2109.01903). A method's settings declare which one it has
(`dial`). The functions here return a copy of the method; the method itself never changes.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch

from papa.methods.interface import Method
from papa.models.lora import copy_sharing_frozen
from papa.session import Session

MIXED = "This method picks from many images, so the two rows are not pairs."


@dataclass(frozen=True)
class Dial:
    """Range and texts of a method's dial. default: the method's own strength."""

    name: str
    least: float
    most: float
    step: float
    default: float
    help: str

    def clip(self, value: float) -> float:
        """The nearest value in the range."""
        return min(max(value, self.least), self.most)


def dial_of(method: Method[Any]) -> Dial | None:
    """The dial of a method, or None where its settings declare none."""
    strength = method.settings.dial
    if strength == "weights":
        note = "0 is the model before, 1 the model now. “Save the model” saves it at this strength."
        return Dial("strength", 0.0, 1.5, 0.05, 1.0, note)
    if strength is None or not (own := getattr(method.settings, strength)):
        return None
    note = f"{own:g} is the method's default; higher follows your taste more closely. {MIXED}"
    if strength == "n":
        return Dial("candidates per image", 1, 4 * own, 1, own, f"1 is the model before. {note}")
    return Dial("inverse temperature", 0.0, 3 * own, own / 20, own, f"0 is the model before. {note}")


def method_at(method: Method[Any], value: float) -> Method[Any]:
    """A copy of the method whose result has another strength, within the range of its dial."""
    other: Any = copy.copy(method)
    strength = method.settings.dial
    if strength == "n":
        other.settings = method.settings.model_copy(update={"n": round(value)})
    elif strength == "beta_max":
        other.settings = method.settings.model_copy(update={"beta_max": value})
    elif value != 1:  # at 1 it is the method itself, bit for bit
        other.network = copy_sharing_frozen(other.network)
        base = dict(other.base.named_parameters())
        with torch.no_grad():
            for name, weight in other.network.named_parameters():
                if name in other.trained and "lora_A" not in name:  # of B A, scaling B is enough; it is 0 in the base
                    weight.lerp_(base[name], 1 - value)
    return other


def session_at(session: Session, value: float | None) -> Session:
    """The same session with its result at another strength; None is the method's own."""
    if value is None:
        return session
    other = copy.copy(session)
    other.method = method_at(session.method, value)
    return other
