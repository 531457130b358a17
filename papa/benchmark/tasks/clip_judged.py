"""Text-to-image models that are judged by OpenCLIP: everything of such a task but where its pipeline comes from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property

import numpy as np
import open_clip
import torch
from torch import Tensor, nn

from papa.benchmark.tasks.clip_settings import ClipSettings
from papa.benchmark.tasks.interface import Judge
from papa.benchmark.tasks.prompts import ClipJudge, PromptBank
from papa.benchmark.tasks.sd15.hub import load_clip
from papa.benchmark.tasks.text_to_image import TextToImage
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.models.pipeline import PipelineModel
from papa.rng import Stream

KNOWN = 4
"""Images of each concept that a graded user's answers are calibrated on."""


class ClipJudged(TextToImage):
    """A pipeline, a bank of prompts, and two OpenCLIP models."""

    def load_model(self) -> PipelineModel:
        self.bank = PromptBank([{"kind": name} for name in self.settings.bank], list(self.settings.bank.values()))
        self.concepts = self.bank.concepts
        half = self.settings.dtype == "fp16" or (self.settings.dtype == "auto" and self.device != "cpu")
        return self.load_pipeline(torch.float16 if half else torch.float32)

    @abstractmethod
    def load_pipeline(self, dtype: torch.dtype) -> PipelineModel:
        """The model, in this type and on the task's device."""

    # ------------------------------------------------------------ judges

    def _judge(self, clip: ClipSettings, temperature: float | None) -> ClipJudge:
        model, tokenize = load_clip(clip)
        seen = open_clip.get_model_preprocess_cfg(model)
        size = seen["size"] if isinstance(seen["size"], int) else seen["size"][0]
        return ClipJudge(
            model.to(self.device), tokenize, self.bank, (seen["mean"], seen["std"]), size, temperature, chunk=32
        )

    @cached_property
    def _proxy(self) -> ClipJudge:
        return self._judge(self.settings.proxy, self.settings.temperature)

    def proxy(self) -> ClipJudge:
        """Loaded once: every run of a process asks for it."""
        return self._proxy

    def judges(self) -> dict[str, Judge]:
        return {"gold": self.proxy(), "held_out": self._held_out}

    @cached_property
    def _held_out(self) -> ClipJudge:
        return self._judge(self.settings.held_out, None)

    def features(self) -> nn.Module:
        """The held-out judge's image tower: what Stable Diffusion draws has no references to train a network on."""
        return ImageTower(self._held_out)

    # ------------------------------------------------------------ images of known kind

    @cached_property
    def _known(self) -> tuple[Tensor, np.ndarray]:
        """Images that the base model draws of each concept when it is asked for it."""
        model, parts = self.model, []
        for index, prompts in enumerate(self.bank.prompts):
            address = Stream(0).at("known", concept=index)
            noise = stream_noise(address, (KNOWN, *model.shape), model.dtype, model.device)
            with model.prompted(prompts[0]), torch.no_grad():
                parts.append(model.decode(euler_ancestral(model.denoiser(Cost()), model.sigmas(), noise)))
        return torch.cat(parts).cpu(), np.repeat(np.arange(len(parts)), KNOWN)

    def known_images(self) -> tuple[Tensor, np.ndarray]:
        return self._known

    def check(self, log: Callable[[str], None]) -> None:
        """The proxy's self-check; on a CPU its base samples would take an hour, so there it only loads."""
        if self.device == "cpu" and self.model.shape[-1] >= 64:
            self.proxy()
            log("proxy loaded; its self-check on base samples needs a CUDA device")
            return
        super().check(log)


class ImageTower(nn.Module):
    """(n, 3, H, W) images -> (n, d) unit embeddings by an OpenCLIP model, on the CPU."""

    def __init__(self, judge: ClipJudge) -> None:
        super().__init__()
        self.judge = judge

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([self.judge.embed(part).cpu() for part in images.split(self.judge.chunk)])
