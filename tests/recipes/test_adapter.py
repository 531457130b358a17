"""The training of an adapter for a large model, from parquet files of pairs, with tiny models of the same classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support import tiny_cascade, tiny_llava
from support.tiny_sd15 import pipeline

from papa.benchmark.config import read
from papa.benchmark.personal.pick_a_pic import Written, write
from papa.errors import PapaError
from papa.models.personal.adapter import attach, read_adapter, weights_hash
from papa.models.personal.attention import projections
from papa.models.personal.cascade import conditioned_on, load_prior
from papa.models.personal.efficientnet import EfficientNetEncoder
from papa.models.pipeline import PipelineModel
from papa.rng import Stream
from papa.settings import validated
from recipes import adapter as recipe
from recipes.adapter import AdapterSettings

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
        "users": {"files": [str(home / "train-*.parquet")], "seen": 2, "held_out": 1, "pairs": 8, "side": 64},
        "telling": {"told": 3, "shots": [2], "draws": 2},
        "training": {"steps": 2, "batch": 3, "chunk": 2, "every": 1, "lr": 0.01},
    } | changed


def run(settings: dict[str, Any]) -> list[str]:
    """Train; returns the lines of progress."""
    lines: list[str] = []
    recipe.train(validated(AdapterSettings, settings, "settings"), lines.append)
    return lines


def test_stage_c_from_files_to_images_conditioned_on_a_user(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = asked(home)
    assert run(settings)[0] == "users: 2 for training and 1 held out, from 1 files"
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
    user = torch.from_numpy(Stream(5).normal(2, adapter.about.width))

    def sampled() -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return pipe("a pear", height=256, width=256, num_inference_steps=2, generator=generator).image_embeddings

    with conditioned_on(pipe, user):
        conditioned = sampled()
    assert not torch.equal(conditioned, sampled())
    monkeypatch.setattr(recipe, "base_of", None)
    assert "exists" in run(settings)[0]


def test_user_embeddings_are_cached(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = asked(home, out=str(tmp_path / "a.safetensors"), base={"kind": "pipeline", "model": str(pipeline())})
    settings["encoder"] |= {"cache": str(tmp_path / "kept")}
    run(settings)
    monkeypatch.setattr(recipe.VisionLanguageEncoder, "_state", None)  # not called again
    run(settings | {"out": str(tmp_path / "b.safetensors")})
    first, again = (read_adapter(tmp_path / f"{name}.safetensors") for name in "ab")
    assert all(torch.equal(again.weights[name], weight) for name, weight in first.weights.items())
    assert first.about.base == weights_hash(cast(Any, PipelineModel.from_folder(pipeline()).pipe.unet))


@pytest.mark.parametrize(
    "changed",
    [
        {"users": {"files": ["none-*.parquet"]}},
        {"users": {"seen": 9}},
        {"telling": {"told": 8, "shots": [2]}},
        {"base": {"images": "none.safetensors"}},
    ],
)
def test_bad_input(changed: dict[str, Any], home: Path, tmp_path: Path) -> None:
    settings = asked(home, out=str(tmp_path / "a.safetensors"))
    for key, value in changed.items():
        settings[key] = settings.get(key, {}) | value
    with pytest.raises(PapaError):
        run(settings)
    assert not (tmp_path / "a.safetensors").exists()


def test_the_shipped_configuration_is_valid() -> None:
    settings = validated(AdapterSettings, read(ROOT / "recipes" / "cascade.yaml"))
    assert settings.base.kind == "stable_cascade" and max(settings.telling.shots) <= settings.telling.told
