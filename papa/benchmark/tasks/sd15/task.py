"""Stable Diffusion 1.5 and its OpenCLIP judges, loaded from folders or the hub's cache."""

from __future__ import annotations

import torch

from papa.benchmark.tasks.clip_judged import ClipJudged
from papa.benchmark.tasks.sd15.hub import load_pipeline
from papa.models.pipeline import PipelineModel


class Sd15(ClipJudged):
    """512x512 pictures; any model in Stable Diffusion 1.5's folder layout."""

    def load_pipeline(self, dtype: torch.dtype) -> PipelineModel:
        return PipelineModel(load_pipeline(self.settings, dtype), self.settings, device=self.device)
