"""Text-to-image tasks: a `StableDiffusionPipeline` on disk, its prompt, guidance and judges.

One code path for every latent diffusion model: `fruits` is `sd15` with other weights on disk.

Guidance: eps = eps_empty + w (eps_prompt - eps_empty). For w != 1 this is not the score of a diffused
density; particles then target the guided chain, tilted.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import diffusers
import torch
import transformers
from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionPipeline
from torch import Tensor, nn

from papa.benchmark.config import TextToImageSettings
from papa.benchmark.runs.record import write_json
from papa.benchmark.tasks.images import ImageTask
from papa.benchmark.tasks.interface import Judge
from papa.benchmark.tasks.prompts import ClipJudge, Concept
from papa.diffusion.denoiser import Cost, Denoiser, DiffusionDivergedError, UNetDenoiser
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.diffusion.schedule import sampling_sigmas
from papa.errors import SettingsError
from papa.models.lora import merged, twin
from papa.rng import Stream

CHECKED = 32
"""Base samples that the proxy's self-check looks at."""


def hush() -> None:
    """Keep the loading bars and remarks of diffusers and transformers out of a log (a program's choice, not ours)."""
    for library in (diffusers.utils.logging, transformers.utils.logging):
        library.disable_progress_bar()
        library.set_verbosity_error()


class Prompted(nn.Module):
    """A UNet that was given its prompt, so that it is called as an unconditional one: (x_t, t) -> eps.

    Half-precision models predict in their own type and answer in the type that they are asked in.
    """

    def __init__(self, unet: Any, prompt: Tensor, autocast: torch.dtype | None = None) -> None:
        super().__init__()
        self.unet, self.autocast = unet, autocast
        self.register_buffer("prompt", prompt, persistent=False)

    def forward(self, x_t: Tensor, t: Tensor, prompt: Tensor | None = None) -> SimpleNamespace:
        given: Any = self.prompt if prompt is None else prompt
        embedding = given.expand(len(x_t), -1, -1) if len(given) == 1 else given
        dtype = next(self.unet.parameters()).dtype
        with torch.autocast(x_t.device.type, self.autocast) if self.autocast else nullcontext():
            eps = self.unet(x_t.to(dtype), t, embedding.to(dtype)).sample
        return SimpleNamespace(sample=eps.to(x_t.dtype))


class Guided(nn.Module):
    """Classifier-free guidance of a prompted UNet; at scale 1 the conditional model alone."""

    def __init__(self, unet: Prompted, prompt: Tensor, empty: Tensor, scale: float) -> None:
        super().__init__()
        self.unet, self.prompt, self.empty, self.scale = unet, prompt, empty, scale

    def forward(self, x_t: Tensor, t: Tensor) -> SimpleNamespace:
        if self.scale == 1:
            return self.unet(x_t, t, self.prompt)
        n = len(x_t)
        both = torch.cat([self.empty.expand(n, -1, -1), self.prompt.expand(n, -1, -1)])
        without, given = self.unet(torch.cat([x_t, x_t]), torch.cat([t, t]), both).sample.chunk(2)
        return SimpleNamespace(sample=without + self.scale * (given - without))


class TextToImage(ImageTask):
    """A latent diffusion model with a prompt.

    Attributes: concepts: attributes of each class that the judges tell apart. retained: kinds that an
    aligned model may be asked for by name, in the order in which one is picked.
    """

    settings: TextToImageSettings  # pyright: ignore[reportIncompatibleVariableOverride] - narrowed, never assigned
    concepts: ClassVar[list[Concept]]
    retained: ClassVar[tuple[str, ...]] = ("banana", "apple", "pear")

    @abstractmethod
    def load_pipeline(self) -> Any:
        """The `StableDiffusionPipeline`, on the CPU, in the type it is to run in."""

    @abstractmethod
    def proxy(self) -> ClipJudge:
        """The OpenCLIP judge that labels."""

    def __post_init__(self) -> None:
        pipe = self.load_pipeline().to(self.device)
        pipe.set_progress_bar_config(disable=True)
        if self.settings.attention_slicing:
            pipe.enable_attention_slicing()
        if self.settings.vae_slicing:
            pipe.vae.enable_slicing()
        if self.settings.vae_tiling:
            pipe.vae.enable_tiling()
        for part in (pipe.unet, pipe.vae, pipe.text_encoder):
            part.eval().requires_grad_(False)
        predicts = pipe.scheduler.config.get("prediction_type", "epsilon")
        if predicts != "epsilon":
            raise SettingsError(
                f"this model predicts {predicts!r}; the samplers and losses here are for models that predict the "
                "noise (epsilon), as Stable Diffusion 1.5 does."
            )
        self.pipe = pipe
        side = pipe.unet.config.sample_size
        self.shape = (pipe.unet.config.in_channels, side, side)
        self._scheduler: Any = EulerAncestralDiscreteScheduler.from_config(self._config(pipe))
        self.alphas_cumprod = self._scheduler.alphas_cumprod
        self._empty = self.embedding("")
        self._use(self.settings.prompt)

    @staticmethod
    def _config(pipe: Any) -> dict[str, Any]:
        """The pipeline's schedule. `leading` timesteps begin below the largest noise level; these samplers at it."""
        config = dict(pipe.scheduler.config)
        leading = config.get("timestep_spacing") == "leading"
        return config | ({"timestep_spacing": "linspace"} if leading else {})

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
        self.condition, self._prompt = prompt, self.embedding(prompt)

    @contextmanager
    def prompted(self, prompt: str) -> Iterator[None]:
        """Everything that is drawn inside is drawn for another prompt."""
        before = self.settings.prompt if self.condition is None else self.condition
        self._use(prompt)
        try:
            yield
        finally:
            self._use(before)

    # ------------------------------------------------------------ the model

    @property
    def evaluations_per_step(self) -> int:
        """Denoiser evaluations of one item and step: two with guidance."""
        return 1 if self.settings.guidance_scale == 1 else 2

    def sigmas(self) -> Tensor:
        return sampling_sigmas(dict(self._scheduler.config), self.settings.steps)

    def unet(self) -> nn.Module:
        """A copy in float32; on a half-precision task it runs under autocast, with float32 weights."""
        unet = copy.deepcopy(self.pipe.unet).float().requires_grad_(True)
        return Prompted(unet, self._prompt.float(), self._autocast)

    def frozen_unet(self) -> nn.Module:
        """The task's own weights, shared and in their own type."""
        return Prompted(twin(self.pipe.unet), self._prompt.float(), self._autocast)

    @property
    def _autocast(self) -> torch.dtype | None:
        return self.pipe.unet.dtype if self.pipe.unet.dtype != torch.float32 else None

    def denoiser(self, cost: Cost, unet: nn.Module | None = None) -> Denoiser:
        assert self.alphas_cumprod is not None
        net = unet if isinstance(unet, Prompted) else Prompted(unet or self.pipe.unet, self._prompt)
        guided = Guided(net, self._prompt, self._empty, self.settings.guidance_scale)
        return UNetDenoiser(
            guided, self.alphas_cumprod, None, self.settings.chunk, cost, evaluations=self.evaluations_per_step
        )

    def decode(self, latents: Tensor) -> Tensor:
        vae = self.pipe.vae
        z = latents.to(vae.dtype) / vae.config.scaling_factor
        images = torch.cat([vae.decode(part).sample.to(latents.dtype) for part in z.split(self.settings.chunk)])
        if not torch.isfinite(images).all():  # a judge would see its first concept in them
            raise DiffusionDivergedError("the autoencoder returned NaN or infinity; set dtype: fp32")
        return images.clamp(-1, 1)

    def save(self, unet: nn.Module, folder: Path, run: Mapping[str, Any] | None = None) -> None:
        """An aligned model as a folder that `StableDiffusionPipeline.from_pretrained` loads.

        Adapters are merged into the weights. `papa.json` says how the images are drawn, and what is given.

        Args:    run: what the model comes from, JSON-serializable.
        """
        aligned: Any = merged(unet.unet if isinstance(unet, Prompted) else unet)
        parts = dict(self.pipe.components) | {"unet": aligned.to(self.pipe.unet.dtype), "scheduler": self._scheduler}
        StableDiffusionPipeline(**parts, requires_safety_checker=False).save_pretrained(folder)
        drawn = self.settings.model_dump(include={"prompt", "guidance_scale", "steps"})
        write_json(folder / "papa.json", drawn | {"scheduler": type(self._scheduler).__name__} | dict(run or {}))

    def retention(self, classes: tuple[int, ...] | None) -> tuple[str, tuple[int, ...]] | None:
        """The prompt and the concepts of the first kind of which the user likes half of the concepts or fewer."""
        for kind in self.retained if classes is not None else ():
            asked = tuple(i for i, concept in enumerate(self.concepts) if concept["kind"] == kind)
            if asked and 2 * len(set(asked) & set(classes or ())) <= len(asked):
                return f"a photo of {'an' if kind[0] in 'aeiou' else 'a'} {kind}", asked
        return None

    # ------------------------------------------------------------ judges

    def judges(self) -> dict[str, Judge]:
        return {"gold": self.proxy()}

    def prepare(self, results: Path, log: Callable[[str], None]) -> list[Path]:
        """The proxy's self-check on a few base samples."""
        noise = stream_noise(Stream(0).at("self-check"), (CHECKED, *self.shape), self.dtype, self.device)
        images = self.decode(euler_ancestral(self.denoiser(Cost()), self.sigmas(), noise))
        proxy = self.proxy()
        means = proxy.self_check(images)
        kinds: dict[str, float] = {}
        for concept, share in zip(proxy.bank.concepts, means, strict=True):
            kinds[concept["kind"]] = kinds.get(concept["kind"], 0.0) + share
        log("proxy on base samples: " + ", ".join(f"{kind} {share:.2f}" for kind, share in kinds.items()))
        return []
