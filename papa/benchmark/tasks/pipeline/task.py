"""A text-to-image pipeline, a bank of prompts, and two OpenCLIP judges."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import open_clip
import torch
from torch import Tensor, nn

from papa.benchmark.tasks.interface import Judge
from papa.benchmark.tasks.pipeline import ClipSettings
from papa.benchmark.tasks.pipeline.weights import load, load_clip
from papa.benchmark.tasks.prompts import ClipJudge, bank_of
from papa.benchmark.tasks.text_to_image import TextToImage
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.models.pipeline import PipelineModel
from papa.rng import Stream

KNOWN = 4
"""Images of each concept that a graded user's answers are calibrated on."""


class PipelineTask(TextToImage):
    """The tasks `pipeline` and `sd15`."""

    def load_model(self) -> PipelineModel:
        self.bank = bank_of(self.settings.bank)
        self.concepts = self.bank.concepts
        names = self.settings.bank if self.settings.retained is None else self.settings.retained
        self.retained = {name: self.settings.bank[name][0] for name in names if name in self.settings.bank}
        half = self.settings.dtype == "fp16" or (self.settings.dtype == "auto" and self.device != "cpu")
        pipe = load(self.settings, torch.float16 if half else torch.float32)
        return PipelineModel(pipe, self.settings, self.settings.spread, self.device)

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

    @cached_property
    def _held_out(self) -> ClipJudge:
        return self._judge(self.settings.held_out, None)

    def proxy(self) -> ClipJudge:
        return self._proxy

    def judges(self) -> dict[str, Judge]:
        return {"gold": self.proxy(), "held_out": self._held_out}

    def features(self) -> nn.Module:
        """The held-out judge's image tower, since there are no references to train a network on."""
        return ImageTower(self._held_out)

    @cached_property
    def _known(self) -> tuple[Tensor, np.ndarray]:
        """Base samples for the first prompt of each concept."""
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
        """The proxy's self-check. On a CPU its base samples of a large model would take an hour, so it only loads."""
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
