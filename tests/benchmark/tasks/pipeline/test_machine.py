"""Requirements of an experiment: weights, device and memory, and the doctor's report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support import tiny, tiny_sd15
from support.tiny import assert_paragraph

from papa import cli
from papa.benchmark import grid
from papa.benchmark.tasks.pipeline import needs
from papa.methods.papa import PapaSettings


def experiment(tmp_path: Path, **given: Any) -> str:
    block = {"task": "sd15", "methods": ["base", "papa"], "users": ["apple"], "seeds": [0]}
    tasks = {"sd15": tiny_sd15.settings().model_dump()}
    return str(tiny.write(tmp_path, tiny.config(tmp_path, block, tasks=tasks, **given)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_asked_for_and_absent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = experiment(tmp_path, device="cuda")
    assert cli.main(["align", "--config", path, "--task", "sd15", "--method", "papa", "--user", "apple"]) == 2
    assert_paragraph(capsys.readouterr().err, "device: cuda", "no CUDA device")


def test_a_full_gpu_is_an_error_that_names_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, small_blocks: None
) -> None:
    path = experiment(tmp_path)
    align = ["align", "--config", path, "--task", "sd15", "--user", "apple"]
    assert cli.main([*align, "--method", "base"]) == 0
    before = {file: file.read_bytes() for file in (tmp_path / "results").rglob("*") if file.is_file()}

    def full(*args: Any, **kwargs: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr("papa.methods.losses.papa_gradient", full)
    capsys.readouterr()
    assert cli.main([*align, "--method", "papa"]) == 2
    words = ("tasks.sd15.chunk", "attention_slicing", "vae_tiling", "trainable: lora", "gradient_checkpointing")
    assert_paragraph(capsys.readouterr().err.splitlines()[-1], *words, "Finished runs are kept")
    assert {file: file.read_bytes() for file in before} == before


def test_the_doctor_names_what_is_missing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cli.main(["doctor", "--config", str(Path(__file__).parents[4] / "config" / "sd15.yaml")]) == 2
    said = capsys.readouterr().out
    for word in ("2.1 GB", "ViT-L-14", "ViT-B-32", "CUDA device with about", "in the prompt bank"):
        assert word in said, said
    assert said.count("problem ") == 4


def test_the_doctor_finds_local_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--config", experiment(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert all(str(place) in said for place in (tiny_sd15.pipeline(), tiny_sd15.clip(), tiny_sd15.clip(1)))


def test_adapters_fit_a_24_gb_gpu_and_whole_networks_do_not() -> None:
    lora = PapaSettings(trainable="lora", gradient_checkpointing=True, chunk=4)
    assert needs.gpu_bytes(lora) < 10e9
    assert needs.gpu_bytes(lora.model_copy(update={"trainable": "all"})) > 20e9
    assert needs.gpu_bytes(PapaSettings(chunk=8)) > 50e9


def test_the_grid_of_the_configuration_is_the_documents() -> None:
    found = grid.load(Path(__file__).parents[4] / "config" / "sd15.yaml")
    assert {spec.task for spec in found} == {"sd15"}
    settings: Any = found.tasks["sd15"].settings
    assert (settings.steps, settings.chunk, settings.temperature, settings.guidance_scale) == (25, 8, 10.0, 7.5)
    fkc: Any = found.select(method="fkc")[0].settings
    assert (fkc.particles, fkc.per_round, fkc.labels, fkc.beta_min, fkc.beta_max) == (32, 8, 80, 0.5, 2.0)
    assert (fkc.gamma_max, fkc.gamma_min, fkc.diversity) == (0.05, 0.0, True)
    assert fkc.surrogate.model_dump() | {"lr": 1e-3, "epochs": 200, "batch": 32} == fkc.surrogate.model_dump()
    assert all(spec.settings.trainable == "lora" for spec in found.select(method="papa"))  # type: ignore[attr-defined]
