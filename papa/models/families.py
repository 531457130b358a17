"""Families of text-to-image pipelines: the name of the network, its conditioning on a prompt, the shape of its latents.

Everything else (sampling, guidance, particles, training, saving) is the same for all of them: `pipeline.py`.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import diffusers
import numpy as np
import torch
from diffusers import EulerAncestralDiscreteScheduler, FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from torch import Tensor, nn

from papa.diffusion.predictions import Flow, Prediction, alphas_of_flow, flow_sigmas
from papa.diffusion.schedule import sigmas_of
from papa.errors import ModelError, SettingsError
from papa.models.parts import (
    from_largest_sigma,
    latent_shape,
    prediction_of,
    refuse_other_conditions,
    sampling_sigmas,
)

PATCH = 2
"""Side of the patches of latents that Stable Diffusion 3's and Flux's transformers see."""
T5_TOKENS = 512
"""Tokens of Flux's T5, padding included: diffusers' default."""
Condition = Mapping[str, Tensor]
"""Conditioning of a network beside x_t and t: name -> (1, ...)."""


class Family(ABC):
    """One pipeline class of diffusers. The methods take the pipeline; a family has no state."""

    pipeline: ClassVar[str]
    """Name of the class in diffusers."""
    network: ClassVar[str] = "unet"
    """The part that is sampled from and trained."""
    encoders: ClassVar[Sequence[tuple[str, str]]] = (("tokenizer", "text_encoder"),)
    """The tokenizers and text encoders that are required."""
    guidance: ClassVar[float] = 7.5
    """diffusers' default guidance scale of the class."""
    guides: ClassVar[bool] = True
    """Whether guidance is classifier-free; otherwise the scale is a part of the condition."""

    def text_encoders(self, pipe: Any) -> list[str]:
        """The names of the text encoders that the pipeline has."""
        names = ("text_encoder", "text_encoder_2", "text_encoder_3")
        return [name for name in names if getattr(pipe, name, None) is not None]

    def shape(self, pipe: Any, size: int | None = None) -> tuple[int, int, int]:
        """(C, H, W) of one latent, for images of `size` pixels on a side or of the pipeline's own size."""
        channels, height, width = self.own_shape(pipe)
        if size is None:
            return channels, height, width
        unit = pipe.vae_scale_factor * self.multiple(pipe)
        if size % unit:
            raise SettingsError(f"size: {size} pixels is not supported; this pipeline needs a multiple of {unit}.")
        return channels, size // pipe.vae_scale_factor, size // pipe.vae_scale_factor

    def own_shape(self, pipe: Any) -> tuple[int, int, int]:
        """(C, H, W) of one latent by the pipeline's configuration."""
        return latent_shape(pipe.unet)

    def multiple(self, pipe: Any) -> int:
        """The side of a latent is a multiple of this."""
        return 2 ** (len(pipe.unet.config.block_out_channels) - 1)

    def scheduler(self, pipe: Any) -> Any:
        """The scheduler that aligned models are sampled and saved with."""
        prediction_of(pipe.scheduler)
        return EulerAncestralDiscreteScheduler.from_config(from_largest_sigma(pipe.scheduler).config)

    def alphas_cumprod(self, scheduler: Any) -> Tensor:
        """(T,) of the training schedule, in the VP view."""
        return scheduler.alphas_cumprod

    def prediction(self, scheduler: Any) -> Prediction:
        """The parameterization of the network."""
        return prediction_of(scheduler)

    def sigmas(self, scheduler: Any, shape: tuple[int, ...], steps: int) -> Tensor:
        """(steps + 1,) float64 noise levels of the sampler in the VE view, the last one 0."""
        return sampling_sigmas(dict(scheduler.config), steps)

    def time(self, scheduler: Any, first: int) -> float:
        """The training timestep `first` in the network's own units."""
        return float(first)

    def assembled(self, pipe: Any, parts: Mapping[str, Any]) -> Any:
        """A pipeline of diffusers' own class with the options of `pipe` and these parts, to be saved."""
        own = getattr(diffusers, self.pipeline)
        given = dict(pipe.config) | dict(parts) | {"requires_safety_checker": False}
        return own(**{name: given[name] for name in inspect.signature(own).parameters if name in given})

    @abstractmethod
    def condition(self, pipe: Any, prompt: str, device: str, shape: tuple[int, ...], scale: float) -> Condition:
        """The encoded prompt, "" for the unconditional branch; `shape` is (C, H, W) of a latent."""

    @abstractmethod
    def predicted(self, network: Any, x: Tensor, t: Tensor, given: Condition) -> Tensor:
        """The network's prediction for (n, ...) x, (n,) t and a condition of n rows."""

    def check_vae(self, vae: Any) -> None:
        """Check that the autoencoder's configuration has a scale."""
        factor, shift = vae.config.get("scaling_factor"), vae.config.get("shift_factor")
        if not _finite(factor) or factor <= 0:
            raise ModelError(f"vae: scaling_factor is {factor!r} and has to be a number above 0; see vae/config.json.")
        if shift is not None and not _finite(shift):
            raise ModelError(f"vae: shift_factor is {shift!r} and has to be a number or null; see vae/config.json.")

    def latents_of(self, vae: Any, codes: Tensor) -> Tensor:
        """Latents of the network from codes of the autoencoder."""
        return (codes - _shift(vae)) * vae.config.scaling_factor

    def codes_of(self, vae: Any, latents: Tensor) -> Tensor:
        """The inverse of `latents_of`."""
        return latents / vae.config.scaling_factor + _shift(vae)

    def check_prompt(self, pipe: Any, prompt: str) -> None:
        """Check that no text encoder truncates the prompt."""
        limits = [
            min(
                getattr(pipe, name).model_max_length,
                getattr(getattr(pipe, encoder).config, "max_position_embeddings", None) or 10**6,
            )
            for name, encoder in self.encoders
        ]
        self._check_length(prompt, len(getattr(pipe, self.encoders[0][0])(prompt).input_ids), min(limits))

    def _check_length(self, prompt: str, length: int, limit: int) -> None:
        if length > limit:
            raise SettingsError(
                f"the prompt {prompt[:60]!r}... has {length} tokens, start and end included, and the limit of the "
                f"model is {limit}; shorten it."
            )


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shift(vae: Any) -> float:
    return vae.config.get("shift_factor") or 0.0


class StableDiffusion(Family):
    """Stable Diffusion 1 and 2: a UNet that attends to the tokens of one CLIP encoder."""

    pipeline = "StableDiffusionPipeline"

    def own_shape(self, pipe: Any) -> tuple[int, int, int]:
        refuse_other_conditions(pipe.unet, "cross_attention_dim")
        return super().own_shape(pipe)

    def condition(self, pipe: Any, prompt: str, device: str, shape: tuple[int, ...], scale: float) -> Condition:
        return {"prompt": pipe.encode_prompt(prompt, device, 1, False)[0]}

    def predicted(self, network: Any, x: Tensor, t: Tensor, given: Condition) -> Tensor:
        return network(x, t, given["prompt"]).sample


class StableDiffusionXL(Family):
    """Stable Diffusion XL: two CLIP encoders, their pooled state, and the size of the image."""

    pipeline = "StableDiffusionXLPipeline"
    encoders = (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2"))
    guidance = 5.0

    def own_shape(self, pipe: Any) -> tuple[int, int, int]:
        refuse_other_conditions(pipe.unet, "cross_attention_dim", "addition_embed_type")
        return super().own_shape(pipe)

    def condition(self, pipe: Any, prompt: str, device: str, shape: tuple[int, ...], scale: float) -> Condition:
        tokens, _, pooled, _ = pipe.encode_prompt(prompt, None, device, 1, False)
        if prompt == "" and pipe.config.force_zeros_for_empty_prompt:
            tokens, pooled = torch.zeros_like(tokens), torch.zeros_like(pooled)
        height, width = (side * pipe.vae_scale_factor for side in shape[1:])
        size = torch.tensor([[height, width, 0, 0, height, width]], dtype=tokens.dtype, device=device)
        return {"prompt": tokens, "pooled": pooled, "size": size}

    def predicted(self, network: Any, x: Tensor, t: Tensor, given: Condition) -> Tensor:
        also = {"text_embeds": given["pooled"], "time_ids": given["size"]}
        return network(x, t, given["prompt"], added_cond_kwargs=also).sample


class _Flow(Family):
    """A transformer that predicts the velocity of a straight path."""

    network = "transformer"

    def multiple(self, pipe: Any) -> int:
        return PATCH

    def scheduler(self, pipe: Any) -> Any:
        if not isinstance(pipe.scheduler, FlowMatchEulerDiscreteScheduler):
            raise ModelError(
                f"this pipeline has a {type(pipe.scheduler).__name__}; a {self.pipeline} needs a "
                "FlowMatchEulerDiscreteScheduler."
            )
        return pipe.scheduler

    def alphas_cumprod(self, scheduler: Any) -> Tensor:
        return alphas_of_flow(type(scheduler).from_config(scheduler.config).sigmas.flip(0))

    def prediction(self, scheduler: Any) -> Prediction:
        return Flow.of(self.alphas_cumprod(scheduler))

    def time(self, scheduler: Any, first: int) -> float:
        sigma = float(sigmas_of(self.alphas_cumprod(scheduler))[first])
        return sigma / (1 + sigma)

    def sigmas(self, scheduler: Any, shape: tuple[int, ...], steps: int) -> Tensor:
        own, config = type(scheduler).from_config(scheduler.config), scheduler.config
        given = self._steps(steps)
        if config.use_dynamic_shifting:  # mu shifts the times towards noise for larger images
            ends = config.base_image_seq_len, config.max_image_seq_len, config.base_shift, config.max_shift
            given["mu"] = calculate_shift((shape[1] // PATCH) * (shape[2] // PATCH), *ends)
        own.set_timesteps(**given)
        return flow_sigmas(own.sigmas, float(sigmas_of(self.alphas_cumprod(scheduler))[-1]))

    def _steps(self, steps: int) -> dict[str, Any]:
        """The scheduler's arguments, as the pipeline's class gives them."""
        return {"num_inference_steps": steps}


class StableDiffusion3(_Flow):
    """Stable Diffusion 3: two CLIP encoders, their pooled state, and T5 (or zeros where it was left out)."""

    pipeline = "StableDiffusion3Pipeline"
    encoders = (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2"))
    guidance = 7.0

    def time(self, scheduler: Any, first: int) -> float:
        return 1000 * super().time(scheduler, first)

    def own_shape(self, pipe: Any) -> tuple[int, int, int]:
        config = pipe.transformer.config
        return config.in_channels, config.sample_size, config.sample_size

    def condition(self, pipe: Any, prompt: str, device: str, shape: tuple[int, ...], scale: float) -> Condition:
        tokens, _, pooled, _ = pipe.encode_prompt(prompt, None, None, device, 1, False)
        return {"prompt": tokens, "pooled": pooled}

    def predicted(self, network: Any, x: Tensor, t: Tensor, given: Condition) -> Tensor:
        return network(
            hidden_states=x,
            timestep=1000 * t,
            encoder_hidden_states=given["prompt"],
            pooled_projections=given["pooled"],
        ).sample


class Flux(_Flow):
    """Flux: T5's tokens, one CLIP encoder's pooled state, and the guidance scale that was distilled into it.

    The transformer sees patches of 2x2 latents.
    """

    pipeline = "FluxPipeline"
    encoders = (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2"))
    guidance = 3.5
    guides = False

    def _steps(self, steps: int) -> dict[str, Any]:
        return {"sigmas": np.linspace(1.0, 1 / steps, steps).tolist()}

    def own_shape(self, pipe: Any) -> tuple[int, int, int]:
        side = 2 * (pipe.default_sample_size // 2)
        return pipe.transformer.config.in_channels // 4, side, side

    def check_prompt(self, pipe: Any, prompt: str) -> None:
        """T5's limit; CLIP's pooled state of a long prompt is that of its beginning, as in diffusers."""
        self._check_length(prompt, len(pipe.tokenizer_2(prompt).input_ids), T5_TOKENS)

    def condition(self, pipe: Any, prompt: str, device: str, shape: tuple[int, ...], scale: float) -> Condition:
        tokens, pooled, _ = pipe.encode_prompt(prompt, None, device, 1, max_sequence_length=T5_TOKENS)
        given = {"prompt": tokens, "pooled": pooled}
        if pipe.transformer.config.guidance_embeds:
            given["guidance"] = torch.full([1], scale, device=device)
        return given

    def predicted(self, network: Any, x: Tensor, t: Tensor, given: Condition) -> Tensor:
        places = torch.zeros(x.shape[2] // 2, x.shape[3] // 2, 3, device=x.device, dtype=x.dtype)
        places[..., 1] = torch.arange(x.shape[2] // 2, device=x.device)[:, None]
        places[..., 2] = torch.arange(x.shape[3] // 2, device=x.device)[None, :]
        found = network(
            hidden_states=nn.functional.pixel_unshuffle(x, 2).flatten(2).transpose(1, 2),
            timestep=t,
            guidance=given.get("guidance"),
            pooled_projections=given["pooled"],
            encoder_hidden_states=given["prompt"],
            txt_ids=places.new_zeros(given["prompt"].shape[1], 3),
            img_ids=places.flatten(0, 1),
        )
        patches = found.sample.transpose(1, 2).unflatten(2, tuple(places.shape[:2]))
        return nn.functional.pixel_shuffle(patches, 2)


PIXELS = "DDPMPipeline"
"""The class without a prompt: a `UNetModel`."""
FAMILIES: dict[str, Family] = {
    family.pipeline: family for family in (StableDiffusion(), StableDiffusionXL(), StableDiffusion3(), Flux())
}


def family_name(kind: type) -> str | None:
    """The name of the supported class that a pipeline's class is, or derives from; None without one."""
    names = [parent.__name__ for parent in kind.__mro__]
    return next((name for name in names if name in FAMILIES or name == PIXELS), None)


def family_of(pipe: Any) -> Family:
    """The family of a pipeline, or of a subclass of its class, with all required parts."""
    name = family_name(type(pipe)) or ""
    if name not in FAMILIES:
        raise ModelError(
            f"a {type(pipe).__name__} is not supported; supported are {', '.join(FAMILIES)} (and {PIXELS}, without a "
            "prompt)."
        )
    family = FAMILIES[name]
    for part in (family.network, "vae", *(part for pair in family.encoders for part in pair)):
        if getattr(pipe, part, None) is None:
            raise ModelError(f"this {name} has no {part}, which is required; load the whole pipeline.")
    return family
