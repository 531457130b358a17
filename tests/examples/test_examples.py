"""The examples run as they stand, and what they write loads without this package."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from diffusers import StableDiffusionPipeline

ROOT = Path(__file__).parents[2]
EXAMPLE = Path(__file__).parents[2] / "examples" / "align_your_pipeline.py"


def run(out: Path, labels: int = 8) -> str:
    command = [sys.executable, str(EXAMPLE), "--labels", str(labels), "--steps", "2", "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_a_pipeline_is_aligned_saved_and_loaded_by_diffusers(tmp_path: Path) -> None:
    said = run(tmp_path / "aligned")
    assert "round 1 of 1" in said and "liked:" in said
    lines = [json.loads(line) for line in (tmp_path / "aligned.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 2 and len(lines[1]["preference"]) == 8
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path / "aligned", local_files_only=True, safety_checker=None)
    assert json.loads((tmp_path / "aligned" / "papa.json").read_text(encoding="utf-8"))["method"] == "papa"
    assert pipe.unet.config.in_channels == 4


@pytest.mark.slow
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


def test_the_ten_lines_of_the_readme_run_as_printed(tmp_path: Path) -> None:
    """The block itself, with a folder of that name and somebody who answers."""
    block = (ROOT / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    assert len([line for line in block.splitlines() if line.strip()]) <= 10 and "[True, False, None, ...]" in block
    (tmp_path / "my-pipeline").symlink_to(ROOT / "papa" / "data" / "fruits" / "pipeline")
    quick = block.replace("labels=80", "labels=16, settings={'updates': 2}").replace('fruit")', 'fruit", steps=2)')
    answers = quick.replace("[True, False, None, ...]", "[True, False, None] + [True] * 5")
    assert answers.count("steps=2") == answers.count("updates") == answers.count("* 5") == 1
    ran = subprocess.run([sys.executable, "-c", answers], capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert len((tmp_path / "me.jsonl").read_text(encoding="utf-8").splitlines()) == 3
    StableDiffusionPipeline.from_pretrained(tmp_path / "aligned", local_files_only=True, safety_checker=None)


@pytest.mark.slow
def test_bananas_in_ten_lines(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "ten_lines.py"), "--labels", "8", "--steps", "2"]
    said = subprocess.run(
        [*command, "--drawn", "8", "--out", str(tmp_path / "out")], capture_output=True, text=True, check=True
    )
    assert "before: " in said.stdout and "after: " in said.stdout
