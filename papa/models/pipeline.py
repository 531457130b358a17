"""A latent diffusion model with a prompt: any `StableDiffusionPipeline` in Stable Diffusion 1.5's layout.

Guidance: eps = eps_empty + w (eps_prompt - eps_empty). For w != 1 this is not the score of a diffused
density; particles then target the guided chain, tilted.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import torch
import transformers
from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionPipeline
from torch import Tensor, nn

from papa.diffusion.denoiser import Cost, Denoiser, UNetDenoiser
from papa.errors import ArtefactError, DivergedError, ModelError, SettingsError
from papa.files import forget_paths, write_json
from papa.models.interface import Model
from papa.models.lora import merged, twin
from papa.models.networks import latent_shape, refuse_other_conditions
from papa.models.personal.adapter import Personal, attach
from papa.models.personal.attention import telling, told_of
from papa.models.schedules import from_the_largest_level, refuse_other_predictions, sampling_sigmas
from papa.models.settings import PipelineSettings


def hush() -> None:
    """Keep the loading bars and remarks of diffusers and transformers out of a log (for programs to call)."""
    for library in (diffusers.utils.logging, transformers.utils.logging):
        library.disable_progress_bar()
        library.set_verbosity_error()


class Prompted(nn.Module):
    """A UNet with its prompt bound, so that it is called like an unconditional one: (x_t, t) -> eps.

    A half-precision UNet computes in its own type; the result has the type of x_t.

    Args:    person: (1, tokens, width), whom a UNet with user attention draws for; None for nobody.
    """

    def __init__(
        self, unet: Any, prompt: Tensor, autocast: torch.dtype | None = None, person: Tensor | None = None
    ) -> None:
        super().__init__()
        self.unet, self.autocast, self.person = unet, autocast, person
        self.told = None if person is None else told_of(unet)
        self.register_buffer("prompt", prompt, persistent=False)

    def forward(
        self, x_t: Tensor, t: Tensor, prompt: Tensor | None = None, told: Tensor | None = None
    ) -> SimpleNamespace:
        """told: (n, 1, 1), 0 for the rows that are not told about the person; None tells all of them."""
        if self.told is None or self.person is None:
            return self._predicted(x_t, t, prompt)
        with telling(self.told, self.person if told is None else told * self.person):
            return self._predicted(x_t, t, prompt)

    def _predicted(self, x_t: Tensor, t: Tensor, prompt: Tensor | None) -> SimpleNamespace:
        given: Any = self.prompt if prompt is None else prompt
        embedding = given.expand(len(x_t), -1, -1) if len(given) == 1 else given
        dtype = next(self.unet.parameters()).dtype
        with torch.autocast(x_t.device.type, self.autocast) if self.autocast else nullcontext():
            eps = self.unet(x_t.to(dtype), t, embedding.to(dtype)).sample
        return SimpleNamespace(sample=eps.to(x_t.dtype))


class Guided(nn.Module):
    """Classifier-free guidance of a prompted UNet; at scale 1 the conditional model alone.

    A person is a part of the condition: the branch without the prompt is not told about them either.
    """

    def __init__(self, unet: Prompted, prompt: Tensor, empty: Tensor, scale: float) -> None:
        super().__init__()
        self.unet, self.prompt, self.empty, self.scale = unet, prompt, empty, scale

    def forward(self, x_t: Tensor, t: Tensor) -> SimpleNamespace:
        if self.scale == 1:
            return self.unet(x_t, t, self.prompt)
        n = len(x_t)
        both = torch.cat([self.empty.expand(n, -1, -1), self.prompt.expand(n, -1, -1)])
        told = torch.cat([x_t.new_zeros(n, 1, 1), x_t.new_ones(n, 1, 1)])
        without, given = self.unet(torch.cat([x_t, x_t]), torch.cat([t, t]), both, told).sample.chunk(2)
        return SimpleNamespace(sample=without + self.scale * (given - without))


class PipelineModel(Model):
    """A text-to-image pipeline that samples for one prompt.

    Args:    pipe: the pipeline, in the type it is to run in; its parts are frozen and moved to the device. settings:
             prompt, guidance, steps. spread: standard deviation of latents per coordinate.
    Raises:  ModelError for a model that does not predict the noise. SettingsError for a prompt that is too long.
    """

    person: Tensor | None = None
    """(1, tokens, width), whom the model draws for."""

    def __init__(
        self, pipe: Any, settings: PipelineSettings | None = None, spread: float = 1.0, device: str = "cpu"
    ) -> None:
        self.settings = settings = settings or PipelineSettings()
        self.device, self.spread, self.steps, self.chunk = device, spread, settings.steps, settings.chunk
        refuse_other_predictions(pipe.scheduler)
        self.pipe = _prepared(pipe, settings, device)
        self.shape = latent_shape(pipe.unet)
        self._scheduler: Any = EulerAncestralDiscreteScheduler.from_config(
            from_the_largest_level(pipe.scheduler).config
        )
        self.alphas_cumprod = self._scheduler.alphas_cumprod
        self._empty = self.embedding("")
        self._use(settings.prompt)

    @classmethod
    def from_folder(cls, folder: str | Path, settings: PipelineSettings | None = None, **given: Any) -> PipelineModel:
        """A folder in the layout of `StableDiffusionPipeline.save_pretrained`, in float32.

        Raises:  ArtefactError where the folder cannot be read, and what the class raises.
        """
        try:
            pipe: Any = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, local_files_only=True)
        except (OSError, ValueError) as error:
            raise ArtefactError(
                f"{folder} cannot be loaded as a Stable Diffusion pipeline ({error}); it needs the folders that "
                "StableDiffusionPipeline.save_pretrained writes."
            ) from error
        return cls(pipe.to(torch.float32), settings, **given)

    # ------------------------------------------------------------ the prompt

    def embedding(self, prompt: str) -> Tensor:
        """(1, tokens, width) text embedding.

        Raises:  SettingsError for a prompt that is longer than the tokenizer's limit.
        """
        tokenizer = self.pipe.tokenizer
        limit = min(tokenizer.model_max_length, self.pipe.text_encoder.config.max_position_embeddings)
        length = len(tokenizer(prompt).input_ids)
        if length > limit:
            raise SettingsError(
                f"the prompt {prompt!r} has {length - 2} tokens and the model reads {limit - 2}; shorten it."
            )
        with torch.no_grad():
            return self.pipe.encode_prompt(prompt, self.device, 1, False)[0]

    def _use(self, prompt: str) -> None:
        self.prompt, self._prompt = prompt, self.embedding(prompt)

    @property
    def own_prompt(self) -> bool:
        return self.prompt == self.settings.prompt

    @contextmanager
    def prompted(self, prompt: str) -> Iterator[None]:
        before = self.settings.prompt if self.prompt is None else self.prompt
        self._use(prompt)
        try:
            yield
        finally:
            self._use(before)

    # ------------------------------------------------------------ the model

    @property
    def evaluations_per_step(self) -> int:
        return 1 if self.settings.guidance_scale == 1 else 2

    @property
    def half_precision(self) -> torch.dtype | None:
        return self.pipe.unet.dtype if self.pipe.unet.dtype != torch.float32 else None

    def sigmas(self) -> Tensor:
        return sampling_sigmas(dict(self._scheduler.config), self.steps)

    def network(self) -> nn.Module:
        """A copy in float32; that of a half-precision model runs under autocast, with float32 weights."""
        unet = copy.deepcopy(self.pipe.unet).float().requires_grad_(True)
        return Prompted(unet, self._prompt.float(), self.half_precision, self.person)

    def frozen_network(self) -> nn.Module:
        """The model's own weights, shared and in their own type."""
        return Prompted(twin(self.pipe.unet), self._prompt.float(), self.half_precision, self.person)

    def denoiser(self, cost: Cost, network: nn.Module | None = None) -> Denoiser:
        assert self.alphas_cumprod is not None
        net = (
            network
            if isinstance(network, Prompted)
            else Prompted(network or self.pipe.unet, self._prompt, None, self.person)
        )
        guided = Guided(net, self._prompt, self._empty, self.settings.guidance_scale)
        return UNetDenoiser(guided, self.alphas_cumprod, None, self.chunk, cost, evaluations=self.evaluations_per_step)

    # ------------------------------------------------------------ a person

    def personalized(self, personal: Personal, scale: float | None = None) -> PipelineModel:
        return self.with_user_attention(lambda unet: attach(unet, personal.adapter, scale))

    def with_user_attention(self, put: Callable[[nn.Module], object]) -> PipelineModel:
        """The same model with a UNet of its own, which shares the frozen weights.

        Args:    put: puts a person's part on a UNet, in place.
        """
        unet: Any = twin(self.pipe.unet)
        put(unet)
        unet.requires_grad_(False)
        other = copy.copy(self)
        other.pipe = copy.copy(self.pipe)
        other.pipe.unet = unet
        return other

    def drawing_for(self, person: Tensor | None) -> PipelineModel:
        if told_of(self.pipe.unet) is None:
            raise ModelError("this model has no adapter that could be told about a person; attach one first.")
        other = copy.copy(self)
        other.person = None if person is None else person.to(self.device)[None]
        return other

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """(n, 3, H, W) images in [-1, 1] -> (n, C, h, w) latents: the means of the autoencoder, scaled."""
        vae = self.pipe.vae
        parts = [vae.encode(part.to(vae.dtype)).latent_dist.mean for part in images.split(self.chunk)]
        return torch.cat(parts).to(images.dtype) * vae.config.scaling_factor

    def decode(self, latents: Tensor) -> Tensor:
        vae = self.pipe.vae
        z = latents.to(vae.dtype) / vae.config.scaling_factor
        images = torch.cat([vae.decode(part).sample.to(latents.dtype) for part in z.split(self.chunk)])
        if not torch.isfinite(images).all():  # a judge's argmax would take NaN for its first concept
            raise DivergedError("the autoencoder returned NaN or infinity; set dtype: fp32")
        return images.clamp(-1, 1)

    def save(self, folder: Path, network: nn.Module, about: Mapping[str, Any] | None = None) -> None:
        """A folder that `StableDiffusionPipeline.from_pretrained` loads; adapters are merged into the weights.

        `papa.json` says how the images are drawn, and what is given as `about`.

        Raises:  ModelError for a personal model, which such a folder cannot hold.
        """
        if told_of(network) is not None:
            raise ModelError(
                "a folder of Stable Diffusion has no place for what a model was told about a person; keep the adapter "
                "and the choices, which make the same model again."
            )
        aligned: Any = merged(network.unet if isinstance(network, Prompted) else network)
        parts = dict(self.pipe.components) | {"unet": aligned.to(self.pipe.unet.dtype), "scheduler": self._scheduler}
        StableDiffusionPipeline(**parts, requires_safety_checker=False).save_pretrained(folder)
        forget_paths(folder)
        drawn = self.settings.model_dump(include={"prompt", "guidance_scale", "steps"})
        write_json(folder / "papa.json", drawn | {"scheduler": type(self._scheduler).__name__} | dict(about or {}))


def _prepared(pipe: Any, settings: PipelineSettings, device: str) -> Any:
    """The pipeline on the device, frozen, with the memory settings that were asked for."""
    for part in ("unet", "vae", "text_encoder", "tokenizer"):
        if getattr(pipe, part, None) is None:
            raise ModelError(
                f"this pipeline has no {part}; a text-to-image pipeline in Stable Diffusion 1.5's layout is needed."
            )
    refuse_other_conditions(pipe.unet, prompted=True)
    pipe = pipe.to(device)
    pipe.set_progress_bar_config(disable=True)
    if settings.attention_slicing:
        pipe.enable_attention_slicing()
    if settings.vae_slicing:
        pipe.vae.enable_slicing()
    if settings.vae_tiling:
        pipe.vae.enable_tiling()
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        part.eval().requires_grad_(False)
    return pipe
