"""Aligned models as folders that diffusers loads."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMPipeline
from support import tiny, tiny_sd15
from support.command_line import Papa, state_of
from support.drawn_images import by_diffusers
from support.small_sessions import LORA, base_of, build, played

from papa import cli
from papa.benchmark.grid import load
from papa.benchmark.runs import export
from papa.benchmark.tasks.pipeline.task import PipelineTask
from papa.benchmark.tasks.text_to_image import TextToImage
from papa.diffusion.sampler import stream_noise
from papa.errors import PapaError, SessionError
from papa.models import unet
from papa.session import Session


@pytest.mark.parametrize("name", ["papa", "papa-lora", "epapa"])
def test_a_saved_model_draws_the_same_images_in_diffusers(
    name: str, task: TextToImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = build(name, task)
    played(method, task)
    task.model.save(tmp_path / "aligned", method.aligned())
    index = json.loads((tmp_path / "aligned" / "model_index.json").read_text())
    assert index["scheduler"] == ["diffusers", "EulerAncestralDiscreteScheduler"]
    switched = {"custom_pipeline": str(tmp_path / "aligned"), "trust_remote_code": True} if name == "epapa" else {}
    pipe = tiny_sd15.reference(tmp_path / "aligned", dtype=torch.float32, **switched)
    noise = stream_noise(method.stream.at("sample"), (3, *task.model.shape))
    found = by_diffusers(pipe, task, noise, 3, monkeypatch)
    torch.testing.assert_close(found, method.sample(3), atol=1e-4, rtol=1e-4)
    assert (found - base_of(task)(3)).abs().max() > 1e-4


@pytest.mark.parametrize("name", ["base", "fkc"])
def test_methods_that_train_no_network_have_nothing_to_save(name: str, small: PipelineTask) -> None:
    with pytest.raises(PapaError, match="no aligned model"):
        build(name, small).aligned()


def test_export_replays_the_feedback_and_writes_the_folder(
    tmp_path: Path, small_blocks: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    block = {"task": "sd15", "methods": ["papa", "fkc"], "users": ["apple"], "seeds": [0, 1]}
    data = tiny.config(tmp_path, block, tasks={"sd15": tiny_sd15.settings(steps=2).model_dump()})
    data["methods"]["papa"] |= LORA | {"lr": 1e-2}
    data["measures"]["retention"] = 4
    path, axes = str(tiny.write(tmp_path, data)), ["--task", "sd15", "--user", "apple"]
    half = tmp_path / "out" / f".seed0.{'a' * 32}.new"  # of an export that was killed two hours ago
    (half / "unet").mkdir(parents=True)
    os.utime(half, (half.stat().st_mtime - 7200,) * 2)
    for command in (["align", "--method", "papa"], ["export", "--method", "papa", "--to", str(tmp_path / "out")]):
        assert cli.main([*command, "--config", path, *axes]) == 0
    assert {place.name for place in (tmp_path / "out").iterdir()} == {"seed0", "seed1"}
    said = capsys.readouterr().err
    assert "differ" not in said and "as after 5 labels" in said
    pipe = tiny_sd15.reference(tmp_path / "out" / "seed1")
    changed = pipe.unet.state_dict()["down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"]
    own = tiny_sd15.task().model.pipe.unet.state_dict()[
        "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    ]
    assert (changed - own).abs().max() > 1e-4

    spec = load(path).select("sd15", "papa", "apple", [1])[0]
    about = json.loads((tmp_path / "out" / "seed1" / "papa.json").read_text(encoding="utf-8"))
    assert about.pop("settings")["lora_rank"] == LORA["lora_rank"]
    assert about == {
        **{"prompt": "a photo of a fruit", "guidance_scale": 7.5, "steps": 2},
        **{"scheduler": type(pipe.scheduler).__name__, "key": spec.key},
        **{"task": "sd15", "method": "papa", "user": "apple", "seed": 1},
    }
    assert cli.main(["export", "--method", "fkc", "--to", str(tmp_path / "no"), "--config", path, *axes]) == 2
    assert "run.json is missing" in capsys.readouterr().err and not (tmp_path / "no").exists()


def test_an_export_of_several_seeds_that_stopped_half_way_goes_on(
    tmp_path: Path, small_blocks: None, papa: Papa, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full at the second of three; what is finished is kept as it is, and not refused."""
    block = {"task": "digits", "methods": ["papa"], "users": ["likes-3"], "seeds": [0, 1, 2]}
    path, out = tiny.write(tmp_path, tiny.config(tmp_path, block)), tmp_path / "out"
    axes = ["--config", path, "--task", "digits", "--method", "papa", "--user", "likes-3"]
    assert papa("align", *axes)[0] == 0
    write, written = unet.write_json, 0

    def full_at_the_second(*given: Any) -> Any:
        nonlocal written
        written += 1
        if written == 2:
            raise OSError(28, "No space left on device")
        return write(*given)

    with monkeypatch.context() as patch:
        patch.setattr(unet, "write_json", full_at_the_second)
        code, said = papa("export", *axes, "--to", out)
    assert code == 2 and "seed0: written" in said and "No space left" in said
    assert [place.name for place in out.iterdir()] == ["seed0"]
    before = state_of(out)
    code, said = papa("export", *axes, "--to", out)
    assert code == 0 and "seed0: already there" in said and said.count(": written") == 2
    after = state_of(out)
    assert {name: after[name] for name in before} == before and len(after) == 3 * len(before)
    assert papa("export", *axes, "--to", out)[0] == 0 and state_of(out) == after
    networks = {DDPMPipeline.from_pretrained(place).unet.conv_out.weight.sum().item() for place in out.iterdir()}
    assert len(networks) == 3, "each seed has a model of its own"

    # Of other settings, it is another model: what is there is not taken for it, nor written over.
    data = tiny.config(tmp_path, block)
    data["methods"]["papa"]["lr"] = 0.5
    tiny.write(tmp_path, data)
    assert papa("align", *axes)[0] == 0
    code, said = papa("export", *axes, "--to", out)
    assert code == 2 and "seed0 exists already" in said and state_of(out) == after


def exported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Export a tiny model without a run behind it; what was logged."""
    (spec,) = tiny.grid(folder.parent, tiny.PLANE | {"methods": ["base"], "seeds": [0]}).select()
    task, said = tiny_sd15.task(), []
    session = Session(task.model, "base", labels=1)
    monkeypatch.setattr(session.method, "aligned", lambda: task.model.pipe.unet)
    monkeypatch.setattr(export, "replayed", lambda *given: (session, 0))
    export.export(spec, task, folder, said.append)
    return said


def test_export_takes_an_empty_folder_and_refuses_what_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, file = tmp_path / "model", tmp_path / "file"
    folder.mkdir()
    file.touch()
    assert "written" in exported(folder, monkeypatch)[0] and tiny_sd15.reference(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for taken in (folder, file):
        with pytest.raises(SessionError, match="choose another folder"):
            exported(taken, monkeypatch)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_an_export_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("papa.models.pipeline.write_json", full)  # the last file of the folder
    with pytest.raises(PapaError, match="No space left"):
        exported(tmp_path / "model", monkeypatch)
    assert not list(tmp_path.glob("*model*"))
