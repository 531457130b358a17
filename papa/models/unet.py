"""A pixel-space diffusion model: a `UNet2DModel` and the scheduler that it was trained with."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from diffusers import DDPMPipeline, UNet2DModel
from torch import Tensor, nn

from papa.diffusion.denoiser import Cost, Denoiser, UNetDenoiser
from papa.diffusion.predictions import Epsilon, NoisePredictor
from papa.errors import ModelError
from papa.files import forget_paths, write_json
from papa.models.interface import Model
from papa.models.parts import (
    from_largest_sigma,
    latent_shape,
    load_scheduler,
    loading,
    prediction_of,
    refuse_other_conditions,
    sampling_sigmas,
)
from papa.models.settings import SamplingSettings
from papa.models.switched import FromTimestep, refuse_switch, save_clean
from papa.models.switched_pipeline import switched

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey level (ITU-R BT.601)."""


class UNetModel(Model):
    """A DDPM whose latents are its images.

    Args:
        unet: an unconditional `UNet2DModel`; it is moved to the device and frozen there (`network` gives a copy).
        scheduler: the diffusers scheduler that it was trained with.
        settings: steps and chunk.
        clip: range of clean estimates.
        spread: standard deviation of the data per coordinate.
        device: where it runs.
    """

    def __init__(
        self,
        unet: nn.Module,
        scheduler: Any,
        settings: SamplingSettings | None = None,
        clip: tuple[float, float] | None = (-1.0, 1.0),
        spread: float = 0.5,
        device: str = "cpu",
    ) -> None:
        settings = settings or SamplingSettings()
        self._prediction = prediction_of(scheduler)
        refuse_other_conditions(unet)
        self.shape = latent_shape(unet)
        self.device, self.steps, self.chunk = device, settings.steps, settings.chunk
        self.spread, self._clip = spread, clip
        self._unet = unet.float().to(device).eval().requires_grad_(False)
        self._scheduler = from_largest_sigma(scheduler)
        self.alphas_cumprod = self._scheduler.alphas_cumprod

    @classmethod
    def from_folder(cls, folder: str | Path, **given: Any) -> UNetModel:
        """A folder with `unet/` and `scheduler/`, as diffusers' `DDPMPipeline` saves it."""
        with loading(folder, "a DDPM", "unet/ and scheduler/, as DDPMPipeline.save_pretrained writes them"):
            place = Path(folder)
            unet = UNet2DModel.from_pretrained(place / "unet", use_safetensors=True, low_cpu_mem_usage=False)
            scheduler = load_scheduler(place / "scheduler")
            unet = switched(unet, place, "unet")
        return cls(cast(nn.Module, unet), scheduler, **given)

    def sigmas(self) -> Tensor:
        return sampling_sigmas(dict(self._scheduler.config), self.steps)

    def denoiser(self, cost: Cost, network: nn.Module | None = None) -> Denoiser:
        assert self.alphas_cumprod is not None
        return UNetDenoiser(network or self._asked(self._unet), self.alphas_cumprod, self._clip, self.chunk, cost)

    def _asked(self, unet: nn.Module) -> nn.Module:
        """The UNet as a network that predicts noise."""
        return unet if isinstance(self._prediction, Epsilon) else NoisePredictor(unet, self._prediction)

    def decode(self, latents: Tensor) -> Tensor:
        return latents

    def encode(self, images: Tensor) -> Tensor:
        """The images themselves; their grey levels for a model of one channel."""
        channels, *size = self.shape
        if images.shape[1:] != (3, *size):
            raise ModelError(f"images of shape {tuple(images.shape[1:])} were given; this model needs {(3, *size)}.")
        if channels == 3:
            return images
        if channels != 1:
            raise ModelError(f"this model has {channels} channels, neither grey nor RGB, so it cannot encode images.")
        return (images * images.new_tensor(GREY)[:, None, None]).sum(1, keepdim=True)

    def network(self) -> nn.Module:
        refuse_switch(self._unet)
        return self._asked(copy.deepcopy(self._unet).requires_grad_(True))

    def save(self, folder: Path, network: nn.Module, about: Mapping[str, Any] | None = None) -> None:
        from papa.models.lora import merged

        tuned = network.network if isinstance(network, FromTimestep) else network
        unet = tuned.network if isinstance(tuned, NoisePredictor) else tuned
        DDPMPipeline(unet=cast(Any, merged(unet)), scheduler=self._scheduler).save_pretrained(folder)
        sampling = {"steps": self.steps, "scheduler": "EulerAncestralDiscreteScheduler", "clip": self._clip}
        if isinstance(network, FromTimestep):
            save_clean(folder, self._unet, "unet", "DDPMPipeline")
            sampling["aligned_from"] = network.first
        forget_paths(folder)
        write_json(folder / "papa.json", sampling | dict(about or {}))
