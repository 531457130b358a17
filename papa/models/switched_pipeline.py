"""A pipeline of two networks: the aligned one while much noise is left, and below that the one it was made from.

papa saves this file into the folder of a model that was aligned so (EPAPA, arXiv 2607.00486). It needs diffusers alone:

    pipe = DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)

Loaded without `custom_pipeline`, the folder is a plain pipeline that draws with the aligned network all the way.
"""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMPipeline as Pipeline
from torch import nn

PART, CLEAN, ABOUT = "unet", "clean_unet", "papa.json"


class Switch(nn.Module):
    """A network that is called like each of the two.

    Args:    least: the smallest timestep, as the networks are told it, at which `noisy` answers.
    """

    def __init__(self, noisy: nn.Module, clean: nn.Module, least: float) -> None:
        super().__init__()
        self.noisy, self.clean, self.least = noisy, clean, least

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        time = torch.as_tensor(kwargs["timestep"] if "timestep" in kwargs else args[1]).flatten()[0]
        return (self.noisy if float(time) >= self.least else self.clean)(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """What a pipeline asks of its network beside this (its configuration, type, device) is the same for both."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("noisy"), name)


class SwitchedPipeline(Pipeline):  # type: ignore[misc, valid-type]
    """The pipeline of the folder that it lies in."""

    _clean: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As the plain pipeline is called."""
        noisy: Any = getattr(self, PART)
        config: Any = self.config
        folder = Path(config._name_or_path)
        if self._clean is None:
            self._clean = type(noisy).from_pretrained(folder / CLEAN).to(noisy.dtype).eval()
        least = json.loads((folder / ABOUT).read_text(encoding="utf-8"))["aligned_from"]
        setattr(self, PART, Switch(noisy, self._clean.to(noisy.device), least))
        try:
            return super().__call__(*args, **kwargs)
        finally:
            setattr(self, PART, noisy)
