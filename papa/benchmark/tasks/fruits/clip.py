"""The shipped OpenCLIP models of `fruits`, with the bank of concepts."""

from __future__ import annotations

from pathlib import Path

import open_clip

from papa.benchmark.tasks.fruits.captions import CONTEXT, concept_prompt
from papa.benchmark.tasks.fruits.render import CONCEPTS
from papa.benchmark.tasks.prompts import ClipJudge, Concept, PromptBank

MERGES = "merges.txt.gz"


def concepts() -> list[Concept]:
    """Every kind in every colour, one or two of it."""
    return [{"kind": kind, "colour": colour, "count": count} for kind, colour, count in CONCEPTS]


def bank() -> PromptBank:
    """One prompt for every kind in every colour, one or two of it."""
    return PromptBank(concepts(), [[concept_prompt(*concept)] for concept in CONCEPTS])


def clip_judge(home: Path, temperature: float | None, device: str) -> ClipJudge:
    """One of the shipped OpenCLIP models as a judge."""
    model = open_clip.create_model(f"local-dir:{home}", device=device)
    tokenizer = open_clip.SimpleTokenizer(bpe_path=str(home / MERGES), context_length=CONTEXT)
    return ClipJudge(model, tokenizer, bank(), ([0.5] * 3, [0.5] * 3), 32, temperature)
