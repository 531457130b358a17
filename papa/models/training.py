"""Shared by long trainings: checkpoints and a learning-rate schedule."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from papa.errors import PapaError
from papa.files import replacing


class Checkpoint:
    """The checkpoint of a training; without a file nothing is kept, and one with other settings is refused."""

    def __init__(self, file: Path | None, settings: str) -> None:
        self.file, self.settings = file, settings

    def keep(self, state: dict[str, Any]) -> None:
        """Write the state atomically."""
        if self.file is not None:
            with replacing(self.file) as temporary:
                torch.save(state | {"settings": self.settings}, temporary)

    def kept(self) -> dict[str, Any] | None:
        """The last state; None without one."""
        if self.file is None or not self.file.is_file():
            return None
        try:
            state: dict[str, Any] = torch.load(self.file, map_location="cpu", weights_only=True)
            same = state["settings"] == self.settings
        except Exception as error:  # torch.load raises what pickle, zip and the file system raise
            raise PapaError(
                f"the checkpoint {self.file} cannot be read ({error}); delete it to start this training again."
            ) from error
        if not same:
            raise PapaError(
                f"the checkpoint {self.file} is of a training with other settings; delete it to start again."
            )
        return state


def scheduled(step: int, steps: int) -> float:
    """The factor of the learning rate: linear warm-up over a twentieth of the steps, then a cosine to zero."""
    warm = max(1, steps // 20)
    return (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
