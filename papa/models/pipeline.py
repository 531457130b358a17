"""A latent diffusion model with a prompt: any text-to-image pipeline of diffusers whose family is known."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from torch import Tensor, nn

from papa.diffusion.denoiser import Cost, Denoiser, UNetDenoiser
from papa.diffusion.predictions import Epsilon
from papa.errors import ArtefactError, DivergedError, ModelError
from papa.files import forget_paths, write_json
from papa.models.families import FAMILIES, PIXELS, Condition, family_of
from papa.models.interface import Model
from papa.models.lora import copy_sharing_frozen, merged
from papa.models.parts import loading
from papa.models.personal.adapter import UserAdapter, attach
from papa.models.personal.attention import user_state
from papa.models.prompted import Guided, Prompted
from papa.models.settings import PipelineSettings
from papa.models.switched import FromTimestep, refuse_switch, save_clean
from papa.models.switched_pipeline import switched

INDEX = "model_index.json"
OPTIONAL = ("safety_checker", "feature_extractor", "image_encoder", "text_encoder_3", "tokenizer_3")
"""Parts that a folder may lack. A safety checker is never loaded: it would replace images that a user is to rate."""


def silence_logging() -> None:
    """Turn off progress bars and warnings of diffusers and transformers, for programs with logs of their own."""
    for library in (diffusers.utils.logging, transformers.utils.logging):
        library.disable_progress_bar()
        library.set_verbosity_error()


class PipelineModel(Model):
    """A text-to-image pipeline that samples for one prompt; its parts are frozen and moved to the device."""

    person: Tensor | None = None
    """(1, tokens, width) of the user that the model is conditioned on."""

    def __init__(
        self, pipe: Any, settings: PipelineSettings | None = None, spread: float = 1.0, device: str = "cpu"
    ) -> None:
        self.settings = settings = settings or PipelineSettings()
        self.device, self.spread, self.steps, self.chunk = device, spread, settings.steps, settings.chunk
        self.family = family_of(pipe)
        self._scheduler = self.family.scheduler(pipe)
        self._prediction = self.family.prediction(self._scheduler)
        self.alphas_cumprod = self.family.alphas_cumprod(self._scheduler)
        self.shape = self.family.shape(pipe, settings.size)
        self.family.check_vae(pipe.vae)
        self.pipe = _prepared(pipe, [self.family.network, "vae", *self.family.text_encoders(pipe)], settings, device)
        self._empty = self.condition("")
        self._use(settings.prompt)

    @classmethod
    def from_folder(cls, folder: str | Path, settings: PipelineSettings | None = None, **given: Any) -> PipelineModel:
        """A pipeline's folder, as its `save_pretrained` writes it, in float32."""
        return cls(load_pipeline(folder), settings, **given)

    def condition(self, prompt: str) -> Condition:
        """The encoded prompt: name -> (1, ...); for Stable Diffusion `prompt`, (1, tokens, width)."""
        self.family.check_prompt(self.pipe, prompt)
        with torch.no_grad():
            return self.family.condition(self.pipe, prompt, self.device, self.shape, self.settings.guidance_scale)

    def _use(self, prompt: str) -> None:
        self.prompt, self._given = prompt, self.condition(prompt)

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

    @property
    def backbone(self) -> Any:
        """The pipeline's own network, a UNet or a transformer; frozen."""
        return getattr(self.pipe, self.family.network)

    @property
    def predicts_noise(self) -> bool:
        """Whether the network predicts the noise itself, in the VP view."""
        return isinstance(self._prediction, Epsilon)

    @property
    def _guidance(self) -> float:
        return self.settings.guidance_scale if self.family.guides else 1.0

    @property
    def evaluations_per_step(self) -> int:
        return 1 if self._guidance == 1 else 2

    @property
    def half_precision(self) -> torch.dtype | None:
        return self.backbone.dtype if self.backbone.dtype != torch.float32 else None

    def sigmas(self) -> Tensor:
        return self.family.sigmas(self._scheduler, self.shape, self.steps)

    def _prompted(self, network: Any, autocast: torch.dtype | None) -> Prompted:
        given = {name: value.float() for name, value in self._given.items()}
        return Prompted(network, self.family, self._prediction, given, autocast, self.person)

    def network(self) -> nn.Module:
        """A copy in float32; that of a half-precision model runs under autocast, with float32 weights."""
        refuse_switch(self.backbone)
        return self._prompted(copy.deepcopy(self.backbone).float().requires_grad_(True), self.half_precision)

    def frozen_network(self) -> nn.Module:
        """The model's own weights, shared and in their own type."""
        refuse_switch(self.backbone)
        return self._prompted(copy_sharing_frozen(self.backbone), self.half_precision)

    def denoiser(self, cost: Cost, network: nn.Module | None = None) -> Denoiser:
        assert self.alphas_cumprod is not None
        bound = network if isinstance(network, Prompted) else self._prompted(network or self.backbone, None)
        guided = Guided(bound, self._given, self._empty, self._guidance)
        return UNetDenoiser(guided, self.alphas_cumprod, None, self.chunk, cost, evaluations=self.evaluations_per_step)

    def with_adapter(self, personal: UserAdapter, scale: float | None = None) -> PipelineModel:
        return self.with_user_attention(lambda unet: attach(unet, personal.adapter, scale))

    def with_user_attention(self, put: Callable[[nn.Module], object]) -> PipelineModel:
        """The same model with its own UNet, which shares frozen weights, after `put` has changed it in place."""
        if self.family.network != "unet":
            raise ModelError(f"a {self.family.pipeline} has no UNet, so it cannot be conditioned on a user.")
        unet: Any = copy_sharing_frozen(self.pipe.unet)
        put(unet)
        unet.requires_grad_(False)
        other = copy.copy(self)
        other.pipe = copy.copy(self.pipe)
        other.pipe.unet = unet
        return other

    def conditioned_on(self, person: Tensor | None) -> PipelineModel:
        if user_state(self.backbone) is None:
            raise ModelError("this model has no adapter to condition it on a user; attach one first.")
        other = copy.copy(self)
        other.person = None if person is None else person.to(self.device)[None]
        return other

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """(n, 3, H, W) images in [-1, 1] -> (n, C, h, w) latents: the means of the autoencoder, scaled."""
        vae = self.pipe.vae
        parts = [vae.encode(part.to(vae.dtype)).latent_dist.mean for part in images.split(self.chunk)]
        return self.family.latents_of(vae, torch.cat(parts).to(images.dtype))

    def decode(self, latents: Tensor) -> Tensor:
        vae = self.pipe.vae
        z = self.family.codes_of(vae, latents.to(vae.dtype))
        images = torch.cat([vae.decode(part).sample.to(latents.dtype) for part in z.split(self.chunk)])
        if not torch.isfinite(images).all():  # a judge's argmax of NaN is its first concept
            raise DivergedError("the autoencoder returned NaN or infinity; set dtype: fp32")
        return images.clamp(-1, 1)

    def save(self, folder: Path, network: nn.Module, about: Mapping[str, Any] | None = None) -> None:
        """Write a folder that the pipeline's class in diffusers loads, with adapters merged into the weights.

        A network for part of the timesteps is saved with a pipeline class that switches between the networks
        (`papa.models.switched_pipeline`).
        """
        if user_state(network) is not None:
            raise ModelError(
                "a folder of diffusers has no place for user attention; keep the adapter and the choices, which make "
                "the same model again."
            )
        tuned = network.network if isinstance(network, FromTimestep) else network
        aligned: Any = merged(tuned.network if isinstance(tuned, Prompted) else tuned)
        parts = {self.family.network: aligned.to(self.backbone.dtype), "scheduler": self._scheduler}
        self.family.assembled(self.pipe, self.pipe.components | parts).save_pretrained(folder)
        sampling = self.settings.model_dump(include={"prompt", "guidance_scale", "steps"})
        sampling |= {"scheduler": type(self._scheduler).__name__, **(about or {})}
        if isinstance(network, FromTimestep):
            save_clean(folder, self.backbone, self.family.network, self.family.pipeline)
            sampling["aligned_from"] = self.family.time(self._scheduler, network.first)
        forget_paths(folder)
        write_json(folder / "papa.json", sampling)


def _prepared(pipe: Any, parts: list[str], settings: PipelineSettings, device: str) -> Any:
    pipe = pipe.to(device)
    pipe.set_progress_bar_config(disable=True)
    if settings.attention_slicing:
        pipe.enable_attention_slicing()
    if settings.vae_slicing:
        pipe.vae.enable_slicing()
    if settings.vae_tiling:
        pipe.vae.enable_tiling()
    for part in parts:
        getattr(pipe, part).eval().requires_grad_(False)
    return pipe


def load_pipeline(
    name: str | Path, dtype: torch.dtype = torch.float32, variant: str | None = None, revision: str | None = None
) -> Any:
    """The pipeline of a folder or a hub's name, on the CPU; a folder of EPAPA with both networks."""
    folder = Path(name).expanduser()
    local = folder.exists() or folder.is_absolute()
    missing = _missing_parts(folder) if local else {"safety_checker": None}
    loader: Any = diffusers.DiffusionPipeline
    with loading(name, "a pipeline", "what the pipeline's save_pretrained writes"):
        pipe = loader.from_pretrained(
            str(folder if local else name),
            torch_dtype=dtype,
            variant=variant or (_only_variant(folder) if local else None),
            revision=revision,
            local_files_only=local,
            **missing,
        )
        part = "unet" if hasattr(pipe, "unet") else "transformer"
        if local:
            setattr(pipe, part, switched(getattr(pipe, part), folder, part))
    return pipe


def _missing_parts(folder: Path) -> dict[str, None]:
    """The optional parts of a pipeline's folder that are not to be loaded, as arguments of `from_pretrained`."""
    try:
        index: Any = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        found = index["_class_name"]
    except (OSError, ValueError, LookupError, TypeError):
        raise ArtefactError(
            f"{folder} is not the folder of a pipeline: it has no {INDEX} that names a class. Give the folder that "
            "save_pretrained wrote, with its subfolders."
        ) from None
    if found != PIXELS and found not in FAMILIES:
        raise ModelError(f"{folder} holds a {found}; supported are {PIXELS}, {', '.join(FAMILIES)}.")
    parts = ("safety_checker", *(name for name in OPTIONAL if not (folder / name).exists()))
    known, _ = getattr(diffusers, found)._get_signature_keys(getattr(diffusers, found))
    return {name: None for name in parts if name in known}


def _only_variant(folder: Path) -> str | None:
    """The variant of the weight files (`*.fp16.safetensors`) in a folder whose network has no others."""
    for part in ("unet", "transformer"):
        names = [file.name.split(".") for file in (folder / part).glob("*.safetensors")]
        variants = {name[1].split("-")[0] for name in names if len(name) == 3}
        if variants and all(len(name) == 3 for name in names):
            return min(variants)
    return None
