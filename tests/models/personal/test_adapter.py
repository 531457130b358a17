"""Adapters on disk: the same images after a round trip, and what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support.personal import TOKENS, WIDTH, person, predicted, prompted_unet, told_unet

from papa.errors import ArtefactError, ModelError
from papa.models.personal.adapter import About, Adapter, UserAdapter, attach, read_adapter, save_adapter, weights_hash
from papa.models.personal.attention import projections, user_conditioning
from papa.models.personal.encoder import PixelEncoder


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    unet, _ = told_unet()
    about = About(weights_hash(unet), "clip", TOKENS, WIDTH, 0.5, {"steps": 3})
    save_adapter(tmp_path / "adapter.safetensors", unet, about)
    return tmp_path / "adapter.safetensors"


def test_a_fresh_network_with_the_adapter_says_the_same(saved: Path) -> None:
    unet, told = told_unet()
    for weight in projections(unet).values():
        weight.data = weight.data.half().float()  # as it is stored
    told.scale = 0.5
    fresh = prompted_unet()
    here = attach(fresh, read_adapter(saved))
    with user_conditioning(told, person()), user_conditioning(here, person()):
        assert torch.equal(predicted(fresh), predicted(unet))
    assert read_adapter(saved).about.recipe == {"steps": 3}
    assert attach(prompted_unet(), read_adapter(saved), scale=2.0).scale == 2.0


def test_an_adapter_of_another_base_is_refused(saved: Path) -> None:
    with pytest.raises(ModelError, match=r"trained for a base with weights [0-9a-f]{12}"):
        attach(prompted_unet(seed=1), read_adapter(saved))


def test_an_adapter_with_other_layers_is_refused(saved: Path) -> None:
    adapter = read_adapter(saved)
    fewer = Adapter(adapter.about, dict(list(adapter.weights.items())[1:]))
    with pytest.raises(ModelError, match="other layers"):
        attach(prompted_unet(), fewer)


def test_missing_damaged_and_other_files(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="is missing; give the path"):
        read_adapter(tmp_path / "nothing.safetensors")
    data = saved.read_bytes()
    saved.write_bytes(data[: len(data) // 2])
    with pytest.raises(ArtefactError, match=re.escape(str(saved)) + r".*fetch it or train it again"):
        read_adapter(saved)
    save_file({"a": torch.zeros(1)}, saved)
    with pytest.raises(ArtefactError, match="not a PPD adapter"):
        read_adapter(saved)


def test_another_encoder_is_refused(saved: Path) -> None:
    encoder = PixelEncoder(torch.zeros(WIDTH // 3), torch.ones(WIDTH // 3))
    with pytest.raises(ModelError, match="trained with the user encoder 'clip'"):
        UserAdapter(read_adapter(saved), encoder)
    adapter = read_adapter(saved)
    other = Adapter(replace(adapter.about, encoder="pixels", tokens=encoder.tokens), adapter.weights)
    assert UserAdapter(other, encoder).encoder is encoder
