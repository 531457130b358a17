"""The command: wrong arguments are refused early, and the model is identified."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import tiny_sd15
from support.refusals import refused as refuses

from papa import cli
from papa.errors import ArtefactError, SettingsError
from papa.serve import start


def arguments(*given: str) -> argparse.Namespace:
    return cli.parser().parse_args(["serve", *given])


def test_the_command_refuses_what_does_not_fit(tmp_path: Path, refused: Callable[..., str]) -> None:
    here = ("--log", str(tmp_path / "me.jsonl"), "--port", "0")
    refused("serve", *here, "--host", "0.0.0.0", words=("--token",))
    refused("serve", *here, "--settings", "{", words=("not JSON",))
    refused("serve", *here, "--settings", '{"lrr": 1}', words=("unknown setting 'lrr'; did you mean 'lr'?",))
    refused("serve", *here, "--given", str(tmp_path / "none.csv"), words=("none.csv",))
    refused("serve", *here, "--model", str(tmp_path), words=("model_index.json",))
    refused("serve", *here, "--model", str(tiny_sd15.pipeline()), words=("--prompt",))
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_there() -> None:
    given = arguments("--model", "nowhere", "--prompt", "a house")
    refuses(ArtefactError, lambda: start.load(given), "there is no folder nowhere")
    wrong = arguments("--guidance", "0.5")
    refuses(SettingsError, lambda: start.load(wrong), "guidance_scale")


def test_missing_packages_are_named(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    refused("serve", words=("uvicorn", "pip install papa[app]"))


def test_a_model_is_identified_by_its_weights_in_any_folder(tmp_path: Path) -> None:
    copies = [Path(shutil.copytree(tiny_sd15.pipeline(), tmp_path / where / "mine")) for where in ("a", "b")]
    first, second = map(start.identity, copies)
    assert first == second and first[0] == "mine"
    weights: Any = next((copies[1] / "unet").glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert start.identity(copies[1])[1] != first[1]
    assert start.identity(start.FRUITS)[0] == "fruits"
