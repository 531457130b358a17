"""The examples run as they stand, and what they write loads without this package."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from diffusers import StableDiffusionPipeline

EXAMPLE = Path(__file__).parents[2] / "examples" / "align_your_pipeline.py"


def run(out: Path) -> str:
    command = [sys.executable, str(EXAMPLE), "--labels", "8", "--steps", "2", "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_pipeline_is_aligned_saved_and_loaded_by_diffusers(tmp_path: Path) -> None:
    said = run(tmp_path / "aligned")
    assert "round 1 of 1" in said and "liked:" in said
    lines = [json.loads(line) for line in (tmp_path / "aligned.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 2 and len(lines[1]["liking"]) == 8
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path / "aligned", local_files_only=True, safety_checker=None)
    assert json.loads((tmp_path / "aligned" / "papa.json").read_text(encoding="utf-8"))["method"] == "papa"
    assert pipe.unet.config.in_channels == 4
