"""A network that is used from a timestep on, and the model's own below it: what EPAPA learns, and how it is saved."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

from papa.files import write_atomic
from papa.models import switched_pipeline


class FromTimestep(nn.Module):
    """A tuned network for the timesteps from `first` on; below, whoever has it takes the model's own."""

    def __init__(self, network: nn.Module, first: int) -> None:
        super().__init__()
        self.network, self.first = network, first

    def forward(self, x_t: Tensor, t: Tensor) -> SimpleNamespace:
        """The tuned network's answer.

        Raises:  ValueError for a timestep below `first`.
        """
        if bool((t < self.first).any()):
            raise ValueError(f"this network is for timesteps from {self.first} on")
        return self.network(x_t, t)


def add_clean(folder: Path, clean: Any, part: str, pipeline: str) -> None:
    """Put the second network into a saved folder, and the pipeline that switches between the two.

    Args:    clean: the network below. part: what the pipeline calls its network. pipeline: name of its class.
    """
    clean.save_pretrained(folder / f"clean_{part}")
    source = Path(switched_pipeline.__file__).read_text(encoding="utf-8")
    for before, after in (
        ("import DDPMPipeline as", f"import {pipeline} as"),
        ('"unet", "clean_unet"', f'"{part}", "clean_{part}"'),
    ):
        assert source.count(before) == 1, before
        source = source.replace(before, after)
    write_atomic(folder / "pipeline.py", source)
