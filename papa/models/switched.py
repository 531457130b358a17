"""EPAPA's result: a tuned network from a timestep on, the base network below, and its folder."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

from papa.errors import ModelError
from papa.files import write_atomic
from papa.models import switched_pipeline
from papa.models.switched_pipeline import Switch


class FromTimestep(nn.Module):
    """A tuned network for the timesteps from `first` on; below, the base network is used."""

    def __init__(self, network: nn.Module, first: int) -> None:
        super().__init__()
        self.network, self.first = network, first

    def forward(self, x_t: Tensor, t: Tensor) -> SimpleNamespace:
        if bool((t < self.first).any()):
            raise ValueError(f"this network is for timesteps from {self.first} on")
        return self.network(x_t, t)


def save_clean(folder: Path, clean: Any, part: str, pipeline: str) -> None:
    """Add the base network to a saved folder, and a pipeline class that switches between the two."""
    clean.save_pretrained(folder / f"clean_{part}")
    source = Path(switched_pipeline.__file__).read_text(encoding="utf-8")
    own = f'class SwitchedPipeline(TwoNetworks, {pipeline}):\n    """The pipeline of this folder."""\n'
    write_atomic(folder / "pipeline.py", f"{source}\n\nfrom diffusers import {pipeline}\n\n\n{own}")


def refuse_switch(network: nn.Module) -> None:
    """Refuse to fine-tune a model that switches between two networks."""
    if isinstance(network, Switch):
        raise ModelError(
            "this model was aligned by EPAPA and has two networks; it can be sampled, also by fkc and best_of_n, but "
            "not fine-tuned again. Fine-tune the model it was made from, with all answers of its log."
        )
