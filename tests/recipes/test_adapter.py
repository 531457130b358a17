"""`papa adapter`: from parquet files of pairs to an adapter of a large model, with tiny models of the same classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from support import tiny_cascade, tiny_llava, tiny_sd15

from papa.benchmark.config import read
from papa.benchmark.personal.pick_a_pic import Written, write
from papa.cli import main
from papa.errors import SettingsError
from papa.models.personal.adapter import attach, read_adapter, weights_hash
from papa.models.personal.attention import projections
from papa.models.personal.cascade import conditioned_on, load_prior
from papa.models.personal.efficientnet import EfficientNetEncoder
from papa.models.pipeline import PipelineModel
from papa.rng import Stream
from papa.settings import validated
from recipes import adapter as recipe
from recipes.adapter import AdapterSettings, squared

ROOT = Path(__file__).parents[2]
USERS = ("ann", "bob", "cyd")
PICTURES = 6


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of all models, and pairs of three users; the first has the most."""
    home = tmp_path_factory.mktemp("large")
    for name, tiny in (("cascade", tiny_cascade), ("llava", tiny_llava)):
        (home / name).mkdir()
        tiny.write(home / name)
    with Stream(0).at("efficientnet").seeding_torch():
        save_file(EfficientNetEncoder().state_dict(), home / "effnet_encoder.safetensors")
    stream = Stream(1)
    pictures = [(stream.at(picture=i).uniform(24 + 8 * (i % 2), 40, 3) * 256).astype(np.uint8) for i in range(PICTURES)]
    rows = [
        Written(user, "a pear", i % PICTURES, (i + 1) % PICTURES, [1.0, 0.0, 0.5][i % 3])
        for place, user in enumerate(USERS)
        for i in range(9 - place)
    ]
    write(home / "train-0.parquet", pictures, rows)
    return home


def asked(home: Path, **changed: Any) -> dict[str, Any]:
    """Settings for the tiny models; `changed` wins."""
    return {
        "out": str(home / "out" / "adapter.safetensors"),
        "device": "cpu",
        "base": {
            "prior": str(home / "cascade" / "prior"),
            "images": str(home / "effnet_encoder.safetensors"),
            "kind": "stable_cascade",
            "dtype": "fp32",
        },
        "encoder": {"model": str(home / "llava"), "thought": 2, "dtype": "fp32", "cache": str(home / "descriptions")},
        "people": {"files": [str(home / "train-*.parquet")], "seen": 2, "held_out": 1, "pairs": 8, "side": 64},
        "telling": {"told": 3, "shots": [2], "draws": 2},
        "training": {"steps": 2, "batch": 3, "chunk": 2, "every": 1, "lr": 0.01},
    } | changed


def run(settings: dict[str, Any], home: Path) -> int:
    file = home / "settings.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return main(["adapter", "--config", str(file)])


def test_stage_c_from_the_files_to_pictures_for_a_person(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = asked(home)
    assert run(settings, home) == 0
    said = capsys.readouterr().err
    assert "people: 2 seen and 1 held out, of 1 files" in said and "ppd: " in said
    file = Path(settings["out"])
    adapter = read_adapter(file)
    curve = json.loads(file.with_suffix(".curve.json").read_text(encoding="utf-8"))
    assert [line["step"] for line in curve] == [1, 2] and adapter.about.recipe["curve"] == curve
    assert adapter.about.recipe["persons"] == 2 and adapter.about.recipe["pairs"] == 8  # 5 of each, less a tie
    assert not list(file.parent.glob(".*checkpoint"))

    pipe: Any = load_prior(home / "cascade" / "prior")
    assert adapter.about.base == weights_hash(pipe.prior)
    attach(pipe.prior, adapter)
    assert any(weight.any() for name, weight in projections(pipe.prior).items() if name.endswith("user_v"))
    person = torch.from_numpy(Stream(5).normal(2, adapter.about.width))

    def drawn() -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return pipe("a pear", height=256, width=256, num_inference_steps=2, generator=generator).image_embeddings

    with conditioned_on(pipe, person):
        told = drawn()
    assert not torch.equal(told, drawn())

    monkeypatch.setattr(recipe, "base_of", None)
    assert run(settings, home) == 0
    assert "is there; delete it to train it again" in capsys.readouterr().err


def test_descriptions_are_kept(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cache = tmp_path / "kept"
    settings = asked(home, out=str(tmp_path / "a.safetensors"))
    settings["encoder"] |= {"cache": str(cache)}
    assert run(settings, home) == 0
    kept = sorted(cache.glob("*.safetensors"))
    assert kept
    monkeypatch.setattr(recipe.VisionLanguageEncoder, "_state", None)  # asked no more
    first = read_adapter(tmp_path / "a.safetensors").weights
    assert run(settings | {"out": str(tmp_path / "b.safetensors")}, home) == 0
    again = read_adapter(tmp_path / "b.safetensors").weights
    assert all(torch.equal(again[name], weight) for name, weight in first.items())
    assert sorted(cache.glob("*.safetensors")) == kept


def test_a_pipeline_in_stable_diffusions_layout(home: Path, tmp_path: Path) -> None:
    folder = tiny_sd15.pipeline()
    base = {"kind": "pipeline", "model": str(folder)}
    out = tmp_path / "adapter.safetensors"
    assert run(asked(home, out=str(out), base=base), home) == 0
    model = PipelineModel.from_folder(folder)
    assert read_adapter(out).about.base == weights_hash(cast(Any, model.pipe.unet))


def test_pictures_are_cropped_around_their_middle() -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    assert np.array_equal(squared(wide, 10), np.full((10, 10, 3), 200, np.uint8))
    assert squared(wide, 32).shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"people": {"files": ["none-*.parquet"]}}, "no file matches none-"),
        ({"people": {"seen": 9}}, "3 users chose something in 1 files, and 10 are asked for"),
        ({"telling": {"told": 8, "shots": [2]}}, "has 8 pairs; 8 describe a person"),
        ({"telling": {"told": 2, "shots": [4]}}, "4 pairs of one description are more than the 2 of told"),
        ({"base": {"images": "none.safetensors"}}, "is missing; fetch it with"),
        ({"base": {"prior": "nowhere"}}, "cannot be loaded as a Stable Cascade prior"),
        ({"encoder": {"model": "nowhere", "revision": "main"}}, "the vision-language model nowhere"),
        ({"trainig": {}}, "did you mean 'training'"),
        ({"base": {"kind": "sdxl"}}, "kind"),
        ({"people": {"side": 100}}, "side"),
    ],
)
def test_bad_input(
    changed: dict[str, Any], said: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = asked(home, out=str(tmp_path / "a.safetensors"))
    for key, value in changed.items():
        settings[key] = settings.get(key, {}) | value
    assert run(settings, home) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "a.safetensors").exists()


def test_the_shipped_file_is_valid_and_no_experiment() -> None:
    settings = validated(AdapterSettings, read(ROOT / "config" / "ppd_cascade.yaml"))
    assert settings.base.kind == "stable_cascade" and max(settings.telling.shots) <= settings.telling.told
    with pytest.raises(SettingsError, match="unknown setting"):
        validated(AdapterSettings, read(ROOT / "config.yaml"))
