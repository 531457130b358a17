"""A pipeline of two networks: the aligned one at high noise levels, the base network at low ones.

papa writes this file into the folder of a model aligned by EPAPA (arXiv 2607.00486). It needs diffusers alone:

    pipe = DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)

Without `custom_pipeline`, the folder loads as a plain pipeline that uses the aligned network at every noise level.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn


class Switch(nn.Module):
    """Two networks with one interface.

    Args:
        noisy: the network for timesteps from `least` on.
        clean: the network below.
        least: smallest timestep of `noisy`, in the network's own units.
    """

    def __init__(self, noisy: nn.Module, clean: nn.Module, least: float) -> None:
        super().__init__()
        self.noisy, self.clean, self.least = noisy, clean, least

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        time = torch.as_tensor(kwargs["timestep"] if "timestep" in kwargs else args[1]).flatten()[0]
        return (self.noisy if float(time) >= self.least else self.clean)(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Other attributes (config, dtype, device) are the same for both networks."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("noisy"), name)


def switched(network: Any, folder: Path, part: str) -> Any:
    """The network of a folder, with the base network where the folder has one (`clean_unet`, `clean_transformer`)."""
    if not (folder / f"clean_{part}").is_dir():
        return network
    clean = type(network).from_pretrained(folder / f"clean_{part}").to(network.device, network.dtype).eval()
    return Switch(network, clean, json.loads((folder / "papa.json").read_text(encoding="utf-8"))["aligned_from"])


class TwoNetworks:
    """A mixin for the pipeline class of a folder."""

    _switch: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        pipe: Any = self
        part = "unet" if hasattr(self, "unet") else "transformer"
        network = getattr(self, part)
        if self._switch is None:
            self._switch = switched(network, Path(pipe.config._name_or_path), part)
        setattr(self, part, self._switch.to(network.device, network.dtype))
        try:
            return super().__call__(*args, **kwargs)  # type: ignore[misc]
        finally:
            setattr(self, part, network)
