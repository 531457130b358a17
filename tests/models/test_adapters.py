"""Low-rank adapters of attention layers."""

from __future__ import annotations

import pytest
import torch
from support.small_sessions import build, played, weights
from torch import nn

from papa.benchmark.tasks.pipeline.task import PipelineTask
from papa.benchmark.tasks.text_to_image import TextToImage
from papa.diffusion.denoiser import Cost
from papa.errors import SettingsError
from papa.models.lora import add_adapters, merged
from papa.rng import Stream


def test_untrained_adapters_are_the_base_exactly_and_share_its_weights(task: TextToImage) -> None:
    method = build("papa-lora", task)
    y = torch.from_numpy(Stream(1).normal(3, *task.model.shape))
    with torch.no_grad():
        expected = task.model.denoiser(Cost())(y, 1.5)
        torch.testing.assert_close(task.model.denoiser(Cost(), method.network)(y, 1.5), expected, atol=0, rtol=0)
    own = {p.data_ptr() for p in task.model.pipe.unet.parameters()}
    for net in (method.network, method.base):
        assert {p.data_ptr() for p in net.parameters() if not p.requires_grad} == own
    trained = {p for group in method.optimizer.param_groups for p in group["params"]}
    assert trained == {p for p in method.network.parameters() if p.requires_grad}
    assert all("lora_" in name for name in method.trained) and len(method.trained) > 0
    assert not trained & set(method.base.parameters())


def test_initial_adapters_come_from_the_stream_of_the_method(
    small: PipelineTask,
) -> None:
    before = torch.get_rng_state()
    one, two = build("papa-lora", small), build("papa-lora", small)
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(weights(one.network), weights(two.network), atol=0, rtol=0)
    assert weights(one.network).abs().max() > 0


def test_merged_adapters_predict_the_same_and_have_the_plain_architecture(small: PipelineTask) -> None:
    method = build("papa-lora", small)
    played(method, small)
    plain = merged(method.network)
    assert set(plain.state_dict()) == {f"network.{name}" for name in small.model.pipe.unet.state_dict()}
    x, t = torch.from_numpy(Stream(1).normal(2, *small.model.shape)), torch.tensor([500.0, 20.0])
    with torch.no_grad():
        torch.testing.assert_close(plain(x, t).sample, method.network(x, t).sample, atol=1e-5, rtol=1e-4)
        assert (plain(x, t).sample - method.base(x, t).sample).abs().max() > 1e-4


def test_adapters_want_attention_layers() -> None:
    with pytest.raises(SettingsError, match="trainable: all"):
        add_adapters(nn.Sequential(nn.Conv2d(1, 1, 3)).requires_grad_(False), 2, Stream(0))
