"""The families of text-to-image pipelines: what the network is called, how it is told a prompt, where its latents lie.

Everything else (sampling, guidance, particles, training, saving) is the same for all and stands in `pipeline.py`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import EulerAncestralDiscreteScheduler, FlowMatchEulerDiscreteScheduler, StableDiffusionPipeline
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from torch import Tensor, nn

from papa.diffusion.predictions import Flow, Prediction, alphas_of_flow, flow_sigmas
from papa.diffusion.schedule import sigmas_of
from papa.errors import ModelError, SettingsError
from papa.models.networks import latent_shape, refuse_other_conditions
from papa.models.schedules import from_the_largest_level, prediction_of, sampling_sigmas

PATCH = 2
"""Side of the patches of latents that Stable Diffusion 3's and Flux's transformers see."""
LONGEST = 512
"""Tokens that Flux's T5 is given, padding included, as by diffusers' default."""
Condition = Mapping[str, Tensor]
"""What a network is told beside x_t and t: name -> (1, ...)."""


@dataclass(frozen=True)
class Told:
    """What else a condition depends on. shape: of a latent. scale: of guidance."""

    device: str
    shape: tuple[int, ...]
    scale: float


class Family(ABC):
    """One class of diffusers' pipelines. Its methods take the pipeline, so a family holds nothing itself."""

    pipeline: ClassVar[str]
    """Name of the class in diffusers."""
    network: ClassVar[str] = "unet"
    """The part that is sampled from and trained."""
    encoders: ClassVar[Sequence[tuple[str, str]]] = (("tokenizer", "text_encoder"),)
    """The parts that read a prompt."""
    guidance: ClassVar[float] = 7.5
    """diffusers' own guidance scale for the class."""
    guides: ClassVar[bool] = True
    """Whether guidance is classifier-free; otherwise the scale is a part of the condition."""

    def needs(self) -> list[str]:
        """The parts that a pipeline must have."""
        return [self.network, "vae", *(part for pair in self.encoders for part in pair)]

    def readers(self, pipe: Any) -> list[str]:
        """The networks that read a prompt."""
        names = ("text_encoder", "text_encoder_2", "text_encoder_3")
        return [name for name in names if getattr(pipe, name, None) is not None]

    def shape(self, pipe: Any, size: int | None = None) -> tuple[int, int, int]:
        """(C, H, W) of one latent. size: pixels of one side of a picture; None takes the pipeline's own.

        Raises:  ModelError for a network that needs more than the family gives. SettingsError for a size that the
                 network cannot draw.
        """
        channels, height, width = self.own_shape(pipe)
        if size is None:
            return channels, height, width
        unit = pipe.vae_scale_factor * self.multiple(pipe)
        if size % unit:
            raise SettingsError(f"size: {size} pixels cannot be drawn; this pipeline needs a multiple of {unit}.")
        return channels, size // pipe.vae_scale_factor, size // pipe.vae_scale_factor

    def own_shape(self, pipe: Any) -> tuple[int, int, int]:
        """(C, H, W) of one latent, as the pipeline says it."""
        return latent_shape(pipe.unet)

    def multiple(self, pipe: Any) -> int:
        """What a side of latents is a multiple of."""
        return 2 ** (len(pipe.unet.config.block_out_channels) - 1)

    def scheduler(self, pipe: Any) -> Any:
        """The scheduler that aligned models are drawn with, and saved with.

        Raises:  ModelError for one of another process.
        """
        prediction_of(pipe.scheduler)
        return EulerAncestralDiscreteScheduler.from_config(from_the_largest_level(pipe.scheduler).config)

    def alphas_cumprod(self, scheduler: Any) -> Tensor:
        """(T,) of the training schedule, in the VP view."""
        return scheduler.alphas_cumprod

    def prediction(self, scheduler: Any) -> Prediction:
        """How the network is asked for noise."""
        return prediction_of(scheduler)

    def sigmas(self, scheduler: Any, shape: tuple[int, ...], steps: int) -> Tensor:
        """(steps + 1,) float64 noise levels of the sampler in the VE view, the last one 0."""
        return sampling_sigmas(dict(scheduler.config), steps)

    def time(self, scheduler: Any, first: int) -> float:
        """The training timestep `first` as the pipeline's own network is told it."""
        return float(first)

    def assembled(self, pipe: Any, parts: dict[str, Any]) -> Any:
        """A pipeline of these parts, to be saved."""
        return type(pipe)(**parts)

    @abstractmethod
    def condition(self, pipe: Any, prompt: str, told: Told) -> Condition:
        """A prompt as the network is told it; "" is what guidance leads away from."""

    @abstractmethod
    def predicted(self, network: Any, x: Tensor, t: Tensor, given: Condition) -> Tensor:
        """What the network predicts, for (n, ...) x, (n,) t and a condition of n rows."""

    def check_scale(self, vae: Any) -> None:
        """Refuse an autoencoder that does not say how its codes become latents, before anything is drawn.

        Raises:  ModelError that names the value.
        """
        factor, shift = vae.config.get("scaling_factor"), vae.config.get("shift_factor")
        if not _finite(factor) or factor <= 0:
            raise ModelError(f"vae: scaling_factor is {factor!r} and has to be a number above 0; see vae/config.json.")
        if shift is not None and not _finite(shift):
            raise ModelError(f"vae: shift_factor is {shift!r} and has to be a number or null; see vae/config.json.")

    def latents_of(self, vae: Any, codes: Tensor) -> Tensor:
        """The autoencoder's codes as the network sees them."""
        return (codes - _shift(vae)) * vae.config.scaling_factor

    def codes_of(self, vae: Any, latents: Tensor) -> Tensor:
        """The inverse."""
        return latents / vae.config.scaling_factor + _shift(vae)

    def limit(self, pipe: Any) -> int:
        """Tokens that the shortest encoder reads, both ends included."""
        found = []
        for name, encoder in self.encoders:
            tokenizer, config = getattr(pipe, name), getattr(pipe, encoder).config
            found.append(min(tokenizer.model_max_length, getattr(config, "max_position_embeddings", None) or 10**6))
        return min(found)

    def check(self, pipe: Any, prompt: str) -> None:
        """Refuse a prompt that an encoder would cut off.

        Raises:  SettingsError that says how long it may be.
        """
        tokenizer, limit = getattr(pipe, self.encoders[0][0]), self.limit(pipe)
        length = len(tokenizer(prompt).input_ids)
        if length > limit:
            raise SettingsError(
                f"the prompt {prompt[:60]!r}... has {length - 2} tokens and the model reads {limit - 2}; shorten it."
            )


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shift(vae: Any) -> float:
    return vae.config.get("shift_factor") or 0.0


def _sample(found: Any) -> Tensor:
    return found.sample


def _towards_noise(shape: tuple[int, ...], config: Any) -> float:
    """How far a flow's times move towards the noise for a picture of this size (diffusers' mu)."""
    patches = (shape[1] // PATCH) * (shape[2] // PATCH)
    ends = config.base_image_seq_len, config.max_image_seq_len, config.base_shift, config.max_shift
    return calculate_shift(patches, *ends)


class StableDiffusion(Family):
    """Stable Diffusion 1 and 2: a UNet that attends to the tokens of one CLIP encoder."""

    pipeline = "StableDiffusionPipeline"

    def own_shape(self, pipe: Any) -> tuple[int, int, int]:
        refuse_other_conditions(pipe.unet, "cross_attention_dim")
        return super().own_shape(pipe)

    def assembled(self, pipe: Any, parts: dict[str, Any]) -> Any:
        return StableDiffusionPipeline(**parts, requires_safety_checker=False)

    def condition(self, pipe: Any, prompt: str, told: Told) -> Condition:
        return {"prompt": pipe.encode_prompt(prompt, told.device, 1, False)[0]}

    def predicted(self, network: Any, x: Tensor, t: Tensor, given: Condition) -> Tensor:
        return _sample(network(x, t, given["prompt"]))


class StableDiffusionXL(Family):
    """Stable Diffusion XL: two CLIP encoders, their pooled state, and the size of the picture."""

    pipeline = "StableDiffusionXLPipeline"
    encoders = (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2"))
    guidance = 5.0

    def own_shape(self, pipe: Any) -> tuple[int, int, int]:
        refuse_other_conditions(pipe.unet, "cross_attention_dim", "addition_embed_type")
        return super().own_shape(pipe)

    def condition(self, pipe: Any, prompt: str, told: Told) -> Condition:
        tokens, _, pooled, _ = pipe.encode_prompt(prompt, None, told.device, 1, False)
        if prompt == "" and pipe.config.force_zeros_for_empty_prompt:
            tokens, pooled = torch.zeros_like(tokens), torch.zeros_like(pooled)
        height, width = (side * pipe.vae_scale_factor for side in told.shape[1:])
        size = torch.tensor([[height, width, 0, 0, height, width]], dtype=tokens.dtype, device=told.device)
        return {"prompt": tokens, "pooled": pooled, "size": size}

    def predicted(self, network: Any, x: Tensor, t: Tensor, given: Condition) -> Tensor:
        also = {"text_embeds": given["pooled"], "time_ids": given["size"]}
        return _sample(network(x, t, given["prompt"], added_cond_kwargs=also))


class _Flow(Family):
    """A transformer that predicts the velocity of a straight path."""

    network = "transformer"

    def multiple(self, pipe: Any) -> int:
        return PATCH

    def scheduler(self, pipe: Any) -> Any:
        if not isinstance(pipe.scheduler, FlowMatchEulerDiscreteScheduler):
            raise ModelError(
                f"this pipeline has a {type(pipe.scheduler).__name__}; a {self.pipeline} needs the scheduler that it "
                "was trained with, a FlowMatchEulerDiscreteScheduler."
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
        given: dict[str, Any] = {"mu": _towards_noise(shape, config)} if config.use_dynamic_shifting else {}
        own.set_timesteps(**self._steps(steps), **given)
        return flow_sigmas(own.sigmas, float(sigmas_of(self.alphas_cumprod(scheduler))[-1]))

    def _steps(self, steps: int) -> dict[str, Any]:
        """How the pipeline's class asks its scheduler for so many steps."""
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

    def condition(self, pipe: Any, prompt: str, told: Told) -> Condition:
        tokens, _, pooled, _ = pipe.encode_prompt(prompt, None, None, told.device, 1, False)
        return {"prompt": tokens, "pooled": pooled}

    def predicted(self, network: Any, x: Tensor, t: Tensor, given: Condition) -> Tensor:
        return _sample(
            network(
                hidden_states=x,
                timestep=1000 * t,
                encoder_hidden_states=given["prompt"],
                pooled_projections=given["pooled"],
            )
        )


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

    def check(self, pipe: Any, prompt: str) -> None:
        """Of a long prompt CLIP's pooled state is that of its beginning, as diffusers has it."""
        length = len(pipe.tokenizer_2(prompt).input_ids)
        if length > LONGEST:
            raise SettingsError(
                f"the prompt {prompt[:60]!r}... has {length} tokens and the model reads {LONGEST}; shorten it."
            )

    def condition(self, pipe: Any, prompt: str, told: Told) -> Condition:
        tokens, pooled, _ = pipe.encode_prompt(prompt, None, told.device, 1, max_sequence_length=LONGEST)
        given = {"prompt": tokens, "pooled": pooled}
        if pipe.transformer.config.guidance_embeds:
            given["guidance"] = torch.full([1], told.scale, device=told.device)
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
        patches = _sample(found).transpose(1, 2).unflatten(2, tuple(places.shape[:2]))
        return nn.functional.pixel_shuffle(patches, 2)


FAMILIES: dict[str, Family] = {
    family.pipeline: family for family in (StableDiffusion(), StableDiffusionXL(), StableDiffusion3(), Flux())
}


def family_of(pipe: Any) -> Family:
    """The family of a pipeline.

    Raises:  ModelError for one of no supported class, or without a part that it needs.
    """
    name = type(pipe).__name__
    if name not in FAMILIES:
        raise ModelError(
            f"a {name} is not supported; supported are {', '.join(FAMILIES)} (and DDPMPipeline, without a prompt)."
        )
    family = FAMILIES[name]
    for part in family.needs():
        if getattr(pipe, part, None) is None:
            raise ModelError(f"this {name} has no {part}, which is needed; load the whole pipeline.")
    return family
