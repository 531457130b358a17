"""Log-weights and resampling: unbiased, never a particle of zero weight, whatever the weights look like."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from papa.rng import Stream
from papa.smc.resampling import SCHEMES, resample
from papa.smc.weights import effective_sample_size, log_mean_exp, normalized

DRAWS = 2000
schemes = pytest.mark.parametrize("scheme", sorted(SCHEMES))
JUST_BELOW_ONE = np.nextafter(1.0, 0.0)

# Log-weights with particles of zero weight anywhere, at least one of positive weight.
some_dead = arrays(
    np.float64,
    st.integers(1, 12),
    elements=st.one_of(st.floats(-50, 50), st.just(-np.inf)),
).filter(lambda w: np.isfinite(w).any())
edges = st.one_of(st.floats(0, 1, exclude_max=True), st.sampled_from([0.0, 0.5, JUST_BELOW_ONE]))


def offspring(ancestors: Tensor, n: int) -> Tensor:
    """(..., N) number of children of each particle."""
    return torch.nn.functional.one_hot(ancestors, n).sum(-2)


@schemes
def test_expected_offspring_is_n_w(scheme: str) -> None:
    w = torch.tensor([0.02, 0.3, 0.0, 0.25, 0.13, 0.3], dtype=torch.float64)
    n = len(w)
    uniforms = torch.from_numpy(Stream(0).at(scheme).uniform(DRAWS, n))
    mean = offspring(resample(w.log().expand(DRAWS, n), uniforms, scheme), n).double().mean(0)
    # Systematic: floor or ceil of n W, so a Bernoulli variance. Stratified: one Bernoulli for each stratum
    # that the particle's interval meets in part, at most two of variance 1/4 each.
    fraction = (n * w) % 1
    variance = fraction * (1 - fraction) if scheme == "systematic" else torch.full_like(w, 0.5)
    assert ((mean - n * w).abs() <= 4.5 * (variance / DRAWS).sqrt() + 1e-12).all(), (mean, n * w)


@given(log_w=some_dead, u=edges)
def test_systematic_offspring_is_floor_or_ceil(log_w: np.ndarray, u: float) -> None:
    n = len(log_w)
    found = offspring(resample(torch.from_numpy(log_w), torch.full((n,), u, dtype=torch.float64), "systematic"), n)
    expected = n * normalized(torch.from_numpy(log_w))
    assert (found >= (expected - 1e-9).floor()).all() and (found <= (expected + 1e-9).ceil()).all()


@schemes
@given(n=st.integers(1, 30), seed=st.integers(0, 99))
def test_equal_weights_keep_every_particle(scheme: str, n: int, seed: int) -> None:
    # u away from the edges of the strata, where rounding may hand a point to the neighbour
    uniforms = 0.01 + 0.98 * torch.from_numpy(Stream(seed).uniform(n))
    assert resample(torch.full((n,), 3.7), uniforms, scheme).tolist() == list(range(n))


@schemes
def test_another_number_of_draws_than_particles(scheme: str) -> None:
    drawn = resample(torch.tensor([0.0, 0.0]), torch.from_numpy(Stream(0).uniform(6)), scheme)
    assert offspring(drawn, 2).tolist() == [3, 3]


@schemes
def test_populations_are_resampled_each_for_itself(scheme: str) -> None:
    log_w = torch.from_numpy(Stream(1).at("w").normal(3, 4, 8, dtype=np.float64))
    uniforms = torch.from_numpy(Stream(1).at("u").uniform(3, 4, 8))
    together = resample(log_w, uniforms, scheme)
    assert together.shape == (3, 4, 8) and together.dtype == torch.int64
    for i in range(3):
        for j in range(4):
            assert torch.equal(together[i, j], resample(log_w[i, j], uniforms[i, j], scheme))


@schemes
def test_stratified_uses_a_uniform_for_each_stratum_and_systematic_one_for_all(scheme: str) -> None:
    log_w = torch.from_numpy(Stream(1).at("w").normal(16, dtype=np.float64))
    uniforms = torch.from_numpy(Stream(1).at("u").uniform(16))
    others = uniforms.clone()
    others[1:] = 1 - others[1:]
    same = torch.equal(resample(log_w, uniforms, scheme), resample(log_w, others, scheme))
    assert same == (scheme == "systematic")


@schemes
@given(log_w=some_dead, data=st.data())
def test_particles_of_zero_weight_never_appear(scheme: str, log_w: np.ndarray, data: st.DataObject) -> None:
    n = len(log_w)
    uniforms = torch.tensor(data.draw(st.lists(edges, min_size=n, max_size=n)), dtype=torch.float64)
    drawn = resample(torch.from_numpy(log_w), uniforms, scheme).numpy()
    assert ((drawn >= 0) & (drawn < n)).all()
    assert np.isfinite(log_w[drawn]).all()


@schemes
@pytest.mark.parametrize("n", [3, 7, 10, 1000, 4099])
def test_trailing_zeros_with_the_largest_uniform(scheme: str, n: int) -> None:
    """Where the cumulative weights do not sum to 1 exactly, the last point could fall behind them."""
    log_w = torch.from_numpy(Stream(n).normal(n, dtype=np.float64))
    log_w[-2:] = -torch.inf
    drawn = resample(log_w, torch.full((n,), JUST_BELOW_ONE, dtype=torch.float64), scheme)
    assert drawn.max() <= n - 3 and drawn.min() >= 0


@schemes
def test_float32_weights_and_uniforms(scheme: str) -> None:
    n = 4096
    log_w = torch.from_numpy(Stream(0).at("w").normal(n)) * 3
    log_w[-10:] = -torch.inf
    uniforms = torch.from_numpy(Stream(0).at("u").uniform(n)).float().clamp(max=float(np.nextafter(np.float32(1), 0)))
    drawn = resample(log_w, uniforms, scheme)
    assert drawn.max() < n - 10
    expected = n * normalized(log_w.double())
    bound = 1 if scheme == "systematic" else 2
    assert ((offspring(drawn, n) - expected).abs() <= bound + 1e-6).all()


@schemes
@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4, 7e5])
def test_extreme_log_weights(scheme: str, shift: float) -> None:
    """Differences of 1e4 nats: weights that are 0 in every float format, next to one that is not."""
    log_w = torch.tensor([-1e4, 0.0, -2e4, 0.0], dtype=torch.float64) + shift
    drawn = resample(log_w, torch.from_numpy(Stream(0).uniform(4)), scheme)
    assert offspring(drawn, 4).tolist() == [0, 2, 0, 2]
    assert effective_sample_size(log_w).item() == pytest.approx(2)
    assert log_mean_exp(log_w).item() == pytest.approx(shift + math.log(0.5))


@pytest.mark.parametrize("bad", [[0.0, math.nan], [0.0, math.inf], [-math.inf, -math.inf]])
@pytest.mark.parametrize("function", [normalized, log_mean_exp, effective_sample_size, *SCHEMES])
def test_weights_that_are_none_are_refused_in_any_population(function, bad: list[float]) -> None:
    log_w = torch.tensor([[0.0, 0.0], bad])
    with pytest.raises(ValueError, match="reward"):
        resample(log_w, torch.full((2, 2), 0.5), function) if isinstance(function, str) else function(log_w)


@given(log_w=some_dead)
def test_ess_lies_between_one_and_the_living(log_w: np.ndarray) -> None:
    ess = effective_sample_size(torch.from_numpy(log_w)).item()
    assert 1 - 1e-9 <= ess <= np.isfinite(log_w).sum() + 1e-9


@given(log_w=some_dead, shift=st.floats(-500, 500))
def test_ess_and_weights_do_not_depend_on_the_scale(log_w: np.ndarray, shift: float) -> None:
    w = torch.from_numpy(log_w)
    assert effective_sample_size(w + shift).item() == pytest.approx(effective_sample_size(w).item(), rel=1e-9)
    assert (log_mean_exp(w + shift) - shift).item() == pytest.approx(log_mean_exp(w).item(), abs=1e-9)


def test_ess_of_known_weights() -> None:
    assert effective_sample_size(torch.zeros(5, 8)).tolist() == pytest.approx([8.0] * 5)
    assert effective_sample_size(torch.tensor([0.5, 0.25, 0.25]).log()).item() == pytest.approx(1 / 0.375)


def test_log_mean_exp_of_known_weights() -> None:
    assert log_mean_exp(torch.tensor([1.0, 2.0, 3.0]).log()).item() == pytest.approx(math.log(2))
    assert log_mean_exp(torch.tensor([0.0, -math.inf])).item() == pytest.approx(math.log(0.5))
