"""A pipeline of one's own with OpenCLIP judges."""

from __future__ import annotations

from typing import cast

import torch

from papa.benchmark.tasks.clip_judged import ClipJudged
from papa.benchmark.tasks.pipeline.needs import checked_folder
from papa.models.opening import from_pretrained
from papa.models.pipeline import PipelineModel
from papa.models.settings import PipelineSettings


class OwnPipeline(ClipJudged):
    """Pictures of any size; a pipeline of any family that draws for a prompt."""

    def load_pipeline(self, dtype: torch.dtype) -> PipelineModel:
        given = self.settings.model_dump(include=set(PipelineSettings.model_fields))
        prompt = given.pop("prompt")
        folder = checked_folder(self.settings)
        model = from_pretrained(folder, prompt, dtype=dtype, device=self.device, spread=self.settings.spread, **given)
        return cast(PipelineModel, model)  # a prompt was given, so it is one
