"""The multi-user Diffusion-DPO loss: by hand, at the reference, and turned round."""

from __future__ import annotations

import math

import pytest
import torch

from papa.methods.losses import dpo_loss, preference_margin


def test_by_hand() -> None:
    model = torch.tensor([[0.10, 0.30], [0.50, 0.20]])  # preferred above, rejected below
    reference = torch.tensor([[0.20, 0.10], [0.40, 0.30]])
    # First pair: m+ = -0.1, m- = 0.1; -log sigma(-2 (-0.1 - 0.1)). Second: m+ = 0.2, m- = -0.1.
    expected = [math.log(1 + math.exp(-0.4)), math.log(1 + math.exp(0.6))]
    assert dpo_loss(model, reference, 2.0).tolist() == pytest.approx(expected, rel=1e-5)
    assert preference_margin(model, reference).tolist() == pytest.approx([0.2, -0.3])


def test_log_2_where_the_model_is_the_reference() -> None:
    errors = torch.rand(2, 5)
    assert dpo_loss(errors, errors, 1234.0).tolist() == pytest.approx([math.log(2)] * 5)


def test_swapping_a_pair_turns_the_gradient_round() -> None:
    reference = torch.rand(2, 4)
    gradients = []
    for flip in (False, True):
        model = reference.clone().requires_grad_(True)
        swapped = (model.flip(0), reference.flip(0)) if flip else (model, reference)
        dpo_loss(*swapped, 3.0).sum().backward()
        assert model.grad is not None
        gradients.append(model.grad)
    torch.testing.assert_close(gradients[0], -gradients[1])
    assert (gradients[0][0] > 0).all()  # a smaller error of what is preferred is better
