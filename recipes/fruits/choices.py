"""What the population of `fruits` chooses among: base samples of some prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from papa.benchmark.personal.preferences import Pool
from papa.benchmark.personal.study import drawn
from papa.benchmark.runs.record import arrays_of, npz_bytes
from papa.benchmark.tasks.fruits.captions import kind_prompt
from papa.files import write_atomic
from papa.models.pipeline import PipelineModel
from papa.rng import Stream
from recipes.shared import Log

GENERIC = "a photo of fruit"
PROMPTS = (
    GENERIC,
    *(kind_prompt(kind) for kind in ("apple", "banana", "grape", "orange", "strawberry", "watermelon")),
    *(f"a photo of {colour} fruit" for colour in ("red", "yellow", "orange")),
    "a photo of two fruits",
)
"""Prompts of the pairs that adapters are trained on."""
OF_GENERIC, OF_OTHER = 1536, 192
"""Base samples of the generic prompt, and of each other."""


def make_pool(model: PipelineModel, prompts: Sequence[str], stream: Stream, log: Log) -> Pool:
    """Draw the base samples; about five minutes of one CPU thread."""
    found = []
    for prompt in prompts:
        n = OF_GENERIC if prompt == GENERIC else OF_OTHER
        found.append(model.pack(drawn(model, prompt, n, stream.at(prompt))).transpose(0, 2, 3, 1))
        log(f"pool: {n} samples of {prompt!r}")
    return Pool(np.concatenate(found), np.repeat(np.arange(len(found)), list(map(len, found))), prompts)


def pool_of(file: Path, model: PipelineModel, stream: Stream, log: Log) -> Pool:
    """The pool of a file; drawn and kept there if it is missing."""
    if file.is_file():
        kept = arrays_of(file.read_bytes(), file)
        return Pool(kept["images"], kept["prompt"], PROMPTS)
    pool = make_pool(model, PROMPTS, stream, log)
    write_atomic(file, npz_bytes({"images": pool.images, "prompt": pool.prompt}))
    return pool
