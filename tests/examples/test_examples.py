"""The examples run as they stand, and what they write loads without this package."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from diffusers import StableDiffusionPipeline

EXAMPLE = Path(__file__).parents[2] / "examples" / "align_your_pipeline.py"


def run(out: Path, labels: int = 8) -> str:
    command = [sys.executable, str(EXAMPLE), "--labels", str(labels), "--steps", "2", "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_pipeline_is_aligned_saved_and_loaded_by_diffusers(tmp_path: Path) -> None:
    said = run(tmp_path / "aligned")
    assert "round 1 of 1" in said and "liked:" in said
    lines = [json.loads(line) for line in (tmp_path / "aligned.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 2 and len(lines[1]["liking"]) == 8
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path / "aligned", local_files_only=True, safety_checker=None)
    assert json.loads((tmp_path / "aligned" / "papa.json").read_text(encoding="utf-8"))["method"] == "papa"
    assert pipe.unet.config.in_channels == 4


def test_a_run_that_was_stopped_goes_on_with_the_same_taste(tmp_path: Path) -> None:
    """Its rule is made of the pipeline's own samples, which a session that has learned no longer draws."""
    undisturbed = run(tmp_path / "aligned", labels=16)
    log, weights = tmp_path / "stopped.jsonl", "unet/diffusion_pytorch_model.safetensors"
    whole = (tmp_path / "aligned.jsonl").read_text(encoding="utf-8")
    log.write_text("".join(whole.splitlines(keepends=True)[:2]), encoding="utf-8")  # the first of two rounds
    said = run(tmp_path / "stopped", labels=16)
    assert "round 1" not in said and "round 2 of 2" in said and log.read_text(encoding="utf-8") == whole
    assert [x for x in said.splitlines() if "liked:" in x] == [x for x in undisturbed.splitlines() if "liked:" in x]
    assert (tmp_path / "stopped" / weights).read_bytes() == (tmp_path / "aligned" / weights).read_bytes()


def test_the_example_stays_short() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 60
