"""Decoupled cross-attention: its formula by hand, what it leaves as it was, and networks that it cannot be put on."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from diffusers.models.attention_processor import Attention
from support import nets
from support.personal import TEXT, TOKENS, WIDTH, inputs, person, predicted, prompted_unet, told_unet

from papa.errors import ModelError
from papa.models.lora import copy_sharing_frozen
from papa.models.personal.adapter import weights_hash
from papa.models.personal.attention import (
    add_user_attention,
    cross_attention,
    projections,
    user_conditioning,
    user_state,
)
from papa.rng import Stream


def layer() -> Attention:
    with Stream(0).seeding_torch():
        return Attention(query_dim=8, cross_attention_dim=TEXT, heads=2, dim_head=4, bias=True)


def test_the_formula_by_hand() -> None:
    attn, plain = layer(), layer()
    told = add_user_attention(holder := torch.nn.ModuleDict({"attn": attn}), WIDTH, Stream(1))
    weights = projections(holder)
    for weight in weights.values():
        weight.data.normal_()
    told.scale = 0.7
    x, text, u = torch.randn(2, 5, 8), torch.randn(2, 3, TEXT), person()
    with torch.no_grad(), user_conditioning(told, u):
        found = attn(x, encoder_hidden_states=text)
        parts = []
        for row in x:  # out = Attn(Q, K, V) + s Attn(Q, u W'_k, u W'_v), head by head
            heads = []
            for h in range(2):
                columns = slice(4 * h, 4 * h + 4)
                q = attn.to_q(row)[:, columns]
                k, v = ((u[0] @ weights[f"attn.{name}"].T)[:, columns] for name in ("user_k", "user_v"))
                heads.append(torch.softmax(q @ k.T / 2, 1) @ v)
            parts.append(torch.cat(heads, 1) @ cast(Any, attn.to_out[0]).weight.T)
        expected = plain(x, encoder_hidden_states=text) + 0.7 * torch.stack(parts)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_an_untrained_adapter_a_scale_of_zero_and_tokens_of_zero_give_the_base_back() -> None:
    base = predicted(prompted_unet())
    fresh = prompted_unet()
    untrained = add_user_attention(fresh, WIDTH, Stream(0))
    with user_conditioning(untrained, person()):
        torch.testing.assert_close(predicted(fresh), base, atol=1e-5, rtol=0)
    unet, told = told_unet()
    assert torch.equal(predicted(unet), base)  # told nothing
    with user_conditioning(told, torch.zeros(1, TOKENS, WIDTH)):
        torch.testing.assert_close(predicted(unet), base, atol=1e-5, rtol=0)
    with user_conditioning(told, person()):
        assert (predicted(unet) - base).abs().max() > 1e-2
        told.scale = 0.0
        assert torch.equal(predicted(unet), base)
    assert told.tokens is None


def test_no_pretrained_weight_changes_and_only_the_projections_are_new() -> None:
    plain, (unet, _) = prompted_unet(), told_unet()
    assert weights_hash(unet) == weights_hash(plain)
    new = set(unet.state_dict()) - set(plain.state_dict())
    assert len(new) == 2 * len(cross_attention(plain)) == len(projections(unet))
    assert all(".attn2.processor.user_" in name for name in new)


def test_each_row_has_a_person_of_its_own() -> None:
    unet, told = told_unet()
    both = person(3)
    with user_conditioning(told, both):
        together = predicted(unet)
    for row in range(3):
        with user_conditioning(told, both[row : row + 1]):
            alone = predicted(unet)[row]
        torch.testing.assert_close(together[row], alone, atol=1e-5, rtol=1e-4)


def test_a_twin_is_told_for_itself() -> None:
    unet, told = told_unet()
    other = copy_sharing_frozen(unet.requires_grad_(False))
    mine = user_state(other)
    assert mine is not None and mine is not told
    with user_conditioning(mine, person()):
        assert told.tokens is None and (predicted(other) - predicted(unet)).abs().max() > 1e-2


def test_a_network_without_cross_attention_is_refused() -> None:
    with pytest.raises(ModelError, match=r"no cross-attention.*take a model with prompts"):
        add_user_attention(nets.small_unet(), WIDTH, Stream(0))


def test_gradients_reach_the_projections() -> None:
    unet, told = told_unet()
    with user_conditioning(told, person()):
        cast(Any, unet)(*inputs()).sample.square().mean().backward()
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in projections(unet).values())
