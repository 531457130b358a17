"""The weights lambda_t of PAPA's loss, against the formula by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.small_papa import PUBLISHED_BETAS

from papa.methods.losses import lambda_weights


def lambda_by_hand(betas: np.ndarray, first: float) -> np.ndarray:
    """lambda_t = (1 - alpha_t) / (alpha_t (1 - abar_{t-1})), term by term, t from 1; `first` stands at t = 1."""
    abar, found = 1.0, []
    for t, beta in enumerate(betas, start=1):
        found.append(first if t == 1 else beta / ((1 - beta) * (1 - abar)))
        abar *= 1 - beta
    return np.array(found)


@pytest.mark.parametrize("betas", [PUBLISHED_BETAS, np.linspace(5e-4, 0.07, 200)])
def test_lambda_by_hand(betas: np.ndarray) -> None:
    abar = torch.from_numpy(np.cumprod(1 - betas))
    alpha = 1 - betas
    wrapped = betas[0] / (alpha[0] * (1 - np.prod(alpha)))  # abar_{-1} wraps around to abar_T
    variance_2 = betas[1] * (1 - alpha[0]) / (1 - alpha[0] * alpha[1])
    for first, value in (("published", wrapped), ("clipped", betas[0] / (alpha[0] * variance_2))):
        expected = lambda_by_hand(betas, value)
        found = lambda_weights(abar, first)
        np.testing.assert_allclose(found.numpy(), expected / expected.sum(), rtol=1e-9)
        assert found.sum().item() == pytest.approx(1, abs=1e-12) and found.dtype == torch.float64


def test_the_first_weight_clipped_is_close_to_2_and_published_next_to_nothing() -> None:
    abar = torch.from_numpy(np.cumprod(1 - PUBLISHED_BETAS))
    second = lambda_by_hand(PUBLISHED_BETAS, 0.0)[1]  # what lambda_2 is before the weights are normalized
    clipped, published = lambda_weights(abar, "clipped"), lambda_weights(abar, "published")
    assert clipped[0] / clipped[1] * second == pytest.approx(2, rel=0.1)
    assert published[0] / published[1] * second == pytest.approx(1e-4, rel=0.01)
    assert published[:400].sum() == pytest.approx(0.57, abs=0.03)  # what EPAPA leaves out, as its paper's betas have it
