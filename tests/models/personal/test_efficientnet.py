"""Stage C's pictures: the published file's layout, and what a picture becomes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from papa.errors import ArtefactError
from papa.models.personal.efficientnet import DEVIATION, MEAN, EfficientNetEncoder
from papa.rng import Stream


@pytest.fixture(scope="module")
def encoder() -> EfficientNetEncoder:
    with Stream(0).at("efficientnet").seeding_torch():
        return EfficientNetEncoder().eval()


def test_a_file_in_the_published_layout_is_read(encoder: EfficientNetEncoder, tmp_path: Path) -> None:
    weights = encoder.state_dict()
    assert weights["backbone.0.0.weight"].shape == (24, 3, 3, 3) and weights["mapper.0.weight"].shape == (
        16,
        1280,
        1,
        1,
    )
    own = {name for name in weights if name.startswith("mapper.1")}
    assert own == {f"mapper.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    save_file(weights, tmp_path / "effnet_encoder.safetensors")
    read = EfficientNetEncoder.from_file(tmp_path / "effnet_encoder.safetensors")
    images = torch.from_numpy(Stream(1).uniform(2, 3, 64, 96)).float() * 2 - 1
    with torch.no_grad():
        latents = read(images)
        assert latents.shape == (2, 16, 2, 3) and torch.equal(latents, encoder(images))
    assert not any(weight.requires_grad for weight in read.parameters())


def test_the_network_sees_colours_as_imagenets(encoder: EfficientNetEncoder) -> None:
    seen: list[torch.Tensor] = []
    hook = encoder.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        encoder(2 * torch.tensor(MEAN).view(1, 3, 1, 1).expand(1, 3, 32, 32) - 1)
        encoder(torch.ones(1, 3, 32, 32))
    hook.remove()
    assert seen[0].abs().max() < 1e-6
    for channel, (mean, deviation) in enumerate(zip(MEAN, DEVIATION, strict=True)):
        assert seen[1][0, channel].unique().item() == pytest.approx((1 - mean) / deviation, rel=1e-5)


def test_missing_and_other_files(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"is missing; fetch it with .hf download stabilityai/stable-cascade"):
        EfficientNetEncoder.from_file(tmp_path / "none.safetensors")
    save_file({"mapper.0.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"123")
    for name in ("other", "cut"):
        with pytest.raises(ArtefactError, match="does not hold Stage C's image encoder"):
            EfficientNetEncoder.from_file(tmp_path / f"{name}.safetensors")
