"""The folder that a session saves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import DDPMPipeline
from support.answered import finish, session
from support.full_disk import largest_file
from support.refusals import refused

from papa.benchmark.tasks.digits.task import Digits
from papa.errors import PapaError, SessionError


def test_a_saved_folder_is_loaded_by_diffusers(digits: Digits, tmp_path: Path) -> None:
    of = session(digits.model, "papa", settings={"lr": 1e-2}, seed=2)
    finish(of)
    place = of.save(tmp_path / "new" / "aligned", {"person": "me"})
    pipe = DDPMPipeline.from_pretrained(place)
    tuned = dict(pipe.unet.named_parameters())
    for name, parameter in of.method.aligned().named_parameters():
        assert torch.equal(tuned[name], parameter), name
    base = digits.model.network().state_dict()
    assert any(not torch.equal(parameter, base[name]) for name, parameter in tuned.items())
    assert pipe(batch_size=1, num_inference_steps=2, output_type="np").images.shape[1:3] == (8, 8)
    about = json.loads((place / "papa.json").read_text())
    assert about["method"] == "papa" and about["seed"] == 2 and about["person"] == "me" and about["steps"] == 3
    assert [file.name for file in place.parent.iterdir()] == ["aligned"]


def test_saving_replays_the_log_first(digits: Digits, log: Path, tmp_path: Path) -> None:
    of = session(digits.model, "papa", log=log)
    finish(of)
    of.close()
    one = of.save(tmp_path / "one")
    other = session(digits.model, "papa", log=log).save(tmp_path / "other")
    weights = "unet/diffusion_pytorch_model.safetensors"
    assert (one / weights).read_bytes() == (other / weights).read_bytes()


def test_an_empty_folder_is_a_place_and_a_taken_one_is_not(digits: Digits, tmp_path: Path) -> None:
    of = session(digits.model, "papa")
    (tmp_path / "empty").mkdir()
    of.save(tmp_path / "empty")
    (tmp_path / "file").write_text("mine")
    before = {file.name for file in tmp_path.iterdir()}
    refused(SessionError, lambda: of.save(tmp_path / "empty"), "exists already", "choose another folder")
    refused(SessionError, lambda: of.save(tmp_path / "file"), "exists already")
    assert (tmp_path / "file").read_text() == "mine" and {file.name for file in tmp_path.iterdir()} == before


def test_a_save_on_a_full_disk_leaves_nothing_behind(digits: Digits, tmp_path: Path) -> None:
    of = session(digits.model, "papa")
    with largest_file(5000):
        refused(PapaError, lambda: of.save(tmp_path / "aligned"), "cannot write", "The answers are kept")
    assert list(tmp_path.iterdir()) == []
    DDPMPipeline.from_pretrained(of.save(tmp_path / "aligned"))


@pytest.mark.parametrize("method", ["base", "best_of_n", "fkc"])
def test_what_cannot_be_saved_says_so(digits: Digits, tmp_path: Path, method: str) -> None:
    of = session(digits.model, method)
    refused(PapaError, lambda: of.save(tmp_path / "aligned"))
    assert list(tmp_path.iterdir()) == []
