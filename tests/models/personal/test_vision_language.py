"""The vision-language encoder with a tiny model of the same class, and the cache of descriptions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support import tiny_llava

from papa.errors import ArtefactError
from papa.models.personal.encoder import USER_FLAG, Choices, UserEncoder
from papa.models.personal.vision_language import ASKED, Cached, VisionLanguageEncoder
from papa.rng import Stream


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llava.write(tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def encoder(folder: Path) -> VisionLanguageEncoder:
    return VisionLanguageEncoder(folder, thought=3)


def choices(n: int = 2, seed: int = 0) -> Choices:
    preferred, rejected = torch.from_numpy(Stream(seed).uniform(2, n, 3, 32, 32)).float() * 2 - 1
    return Choices(preferred, rejected, [f"fruit {i}" for i in range(n)])


def test_a_description_has_mean_square_1_and_says_who(encoder: VisionLanguageEncoder) -> None:
    one, other = encoder.encode(choices()), encoder.encode(choices(seed=1))
    assert one.shape == (2, 24) and (encoder.tokens, encoder.width) == (2, 24)
    assert one[1].square().mean().item() == pytest.approx(1, rel=1e-4)
    assert torch.equal(one[0], torch.full((24,), USER_FLAG)) and (one - other).abs().max() > 1e-4
    assert not encoder.encode(choices(0))[1].any()


def test_the_order_of_the_pairs_does_not_matter(encoder: VisionLanguageEncoder) -> None:
    given = choices(3)
    turned = Choices(given.preferred.flip(0), given.rejected.flip(0), list(given.captions)[::-1])
    assert torch.equal(encoder.encode(given), encoder.encode(turned))


def test_preferred_and_rejected_are_not_the_same(encoder: VisionLanguageEncoder) -> None:
    given = choices()
    swapped = Choices(given.rejected, given.preferred, given.captions)
    assert (encoder.encode(given) - encoder.encode(swapped)).abs().max() > 1e-4


def test_the_model_is_asked_and_shown_all_pictures(encoder: VisionLanguageEncoder, monkeypatch: Any) -> None:
    seen: dict[str, Any] = {}
    real = encoder.processor

    class Listening:
        apply_chat_template = staticmethod(real.apply_chat_template)

        def __call__(self, **given: Any) -> Any:
            seen.update(given)
            return real(**given)

    monkeypatch.setattr(encoder, "processor", Listening())
    encoder.encode(choices(3))
    assert ASKED in seen["text"] and len(seen["images"]) == 6 and seen["text"].count("<image>") == 6
    assert all(f"'fruit {i}'" in seen["text"] for i in range(3))


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"cannot be loaded.*hf download"):
        VisionLanguageEncoder(tmp_path / "nothing")


class Counting(UserEncoder):
    name, tokens, width = "counting", 1, 2

    def __init__(self) -> None:
        self.calls = 0

    def encode(self, choices: Choices) -> torch.Tensor:
        self.calls += 1
        return torch.full((1, 2), float(self.calls))


def test_a_description_is_made_once_for_a_content(tmp_path: Path) -> None:
    encoder = Cached(Counting(), tmp_path / "kept")
    given = choices(3)
    turned = Choices(given.preferred.flip(0), given.rejected.flip(0), list(given.captions)[::-1])
    assert torch.equal(encoder.encode(given), encoder.encode(turned))
    assert not torch.equal(encoder.encode(choices(3, seed=1)), encoder.encode(given))
    file = encoder.file_of(given)
    file.write_bytes(file.read_bytes()[:10])
    assert encoder.encode(given).tolist() == [[3.0, 3.0]]
