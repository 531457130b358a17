"""The mixture's closed forms against autograd, torch.distributions, quadrature and sampling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.reference import reward_user
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from papa.benchmark.config import Config
from papa.benchmark.grid import Grid
from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.benchmark.users.rewards import ComponentReward, ComponentTaste, QuadraticReward, RewardTaste, RewardUser
from papa.diffusion.denoiser import Cost
from papa.errors import PapaError
from papa.models.mixture import Mixture
from papa.paper.figures.particles import exact_density
from papa.rng import Stream

SIGMAS = [0.0, 0.01, 0.3, 1.0, 5.0, 20.0]
small = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def random_mixture(seed: int, k: int, d: int) -> Mixture:
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(k, d, d)) * 0.5
    covariances = factors @ factors.transpose(0, 2, 1) + 0.05 * np.eye(d)
    return Mixture(*map(torch.from_numpy, (rng.uniform(0.1, 1, k), rng.normal(size=(k, d)), covariances)))


mixtures = st.builds(random_mixture, st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 3))


def points(law: Mixture, n: int = 50, scale: float = 2.0) -> Tensor:
    return scale * torch.from_numpy(Stream(1).normal(n, law.means.shape[1], dtype=np.float64))


def grid(edge: float = 8.0, n: int = 401) -> tuple[Tensor, float]:
    """Points of a square grid and the area of a cell. The trapezoidal rule on a smooth density that
    vanishes at the edges converges faster than any power of the spacing."""
    axis = torch.linspace(-edge, edge, n, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis), (2 * edge / (n - 1)) ** 2


@small
@given(mixtures, st.sampled_from(SIGMAS))
def test_log_density_is_that_of_torch_distributions(law: Mixture, sigma: float) -> None:
    noisy = law.covariances + sigma**2 * torch.eye(law.means.shape[1], dtype=torch.float64)
    other = MixtureSameFamily(Categorical(law.weights), MultivariateNormal(law.means, noisy))
    y = points(law)
    torch.testing.assert_close(law.log_density(y, sigma), other.log_prob(y), rtol=1e-9, atol=1e-9)


@small
@given(mixtures, st.sampled_from(SIGMAS))
def test_score_is_the_gradient_of_the_log_density(law: Mixture, sigma: float) -> None:
    y = points(law).requires_grad_(True)
    (gradient,) = torch.autograd.grad(law.log_density(y, sigma).sum(), y)
    torch.testing.assert_close(law.score(y.detach(), sigma), gradient, rtol=1e-8, atol=1e-8)


@small
@given(mixtures, st.sampled_from(SIGMAS[1:]))
def test_denoiser_is_tweedies_formula(law: Mixture, sigma: float) -> None:
    y = points(law, scale=2 + sigma)
    torch.testing.assert_close(law.denoise(y, sigma), y + sigma**2 * law.score(y, sigma), rtol=1e-8, atol=1e-8)


def test_denoiser_is_the_posterior_mean_by_quadrature(task: Gmm2d) -> None:
    x, _ = grid()
    for sigma in (0.3, 1.0, 5.0):
        y = torch.tensor([[0.7, -0.4], [-1.5, 2.0]], dtype=torch.float64)
        log_posterior = task.mixture.log_density(x) - (y[:, None] - x).square().sum(2) / (2 * sigma**2)
        torch.testing.assert_close(task.mixture.denoise(y, sigma), log_posterior.softmax(1) @ x, rtol=0, atol=1e-6)


def test_samples_have_the_mixtures_law(task: Gmm2d) -> None:
    x = task.mixture.sample(200_000, Stream(3))
    assert max(task.mixture.errors(x).values()) < 0.008  # four standard errors of a variance of 0.8
    assert torch.equal(task.mixture.sample(10, Stream(3)), x[:10])


def test_errors_see_a_wrong_law(task: Gmm2d) -> None:
    law, _ = reward_user("quadratic", task).tilted(1.0)
    errors = task.mixture.errors(law.sample(20_000, Stream(4)))
    assert min(errors.values()) > 0.05


def test_bad_mixtures_are_refused() -> None:
    one, mean, eye = torch.ones(1), torch.zeros(1, 2), torch.eye(2)[None]
    with pytest.raises(ValueError, match="shape"):
        Mixture(torch.ones(2), mean, eye)
    with pytest.raises(ValueError, match="positive"):
        Mixture(-one, mean, eye)
    with pytest.raises(ValueError, match="positive definite"):
        Mixture(one, mean, -eye)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 2.0, 3.0])
def test_tilt_against_quadrature(task: Gmm2d, user: RewardUser, beta: float) -> None:
    if isinstance(user, ComponentReward) and beta not in (0, 2):
        with pytest.raises(PapaError, match="closed form"):
            user.tilted(beta)
        return
    x, area = grid()
    law, log_z = user.tilted(beta)
    mass = (task.mixture.log_density(x) + beta * user.preference(x)).exp() * area
    assert math.log(mass.sum().item()) == pytest.approx(log_z, abs=1e-6)
    density = mass / mass.sum()
    mean = density @ x
    covariance = (density[:, None] * (x - mean)).mT @ (x - mean)
    torch.testing.assert_close(mean, law.mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(covariance, law.covariance, rtol=0, atol=1e-6)
    torch.testing.assert_close(density / area, law.log_density(x).exp(), rtol=0, atol=1e-6)


@small
@given(mixtures, st.floats(-0.2, 3), st.integers(0, 10**6))
def test_tilt_is_exact_at_every_point(law: Mixture, curvature: float, seed: int) -> None:
    slope, centre = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, law.means.shape[1])))
    x = points(law)
    reward = x @ slope - curvature / 2 * (x - centre).square().sum(1)
    highest = torch.linalg.eigvalsh(law.covariances).max().item()
    if 1 / highest + curvature <= 1e-6:
        with pytest.raises(ValueError, match="normalizing constant"):
            law.tilt(slope, curvature, centre)
        return
    tilted, log_z = law.tilt(slope, curvature, centre)
    torch.testing.assert_close(tilted.log_density(x), law.log_density(x) + reward - log_z, rtol=1e-6, atol=1e-6)


def test_a_linear_reward_shifts_a_gaussian_by_its_covariance_times_the_slope() -> None:
    covariance = torch.tensor([[0.5, 0.2], [0.2, 0.3]], dtype=torch.float64)
    slope = torch.tensor([1.0, -2.0], dtype=torch.float64)
    law, log_z = Mixture(torch.ones(1), torch.tensor([[0.3, 0.1]]), covariance[None]).tilt(slope)
    torch.testing.assert_close(law.means[0], torch.tensor([0.3, 0.1]).double() + covariance @ slope)
    torch.testing.assert_close(law.covariances[0], covariance)
    assert log_z == pytest.approx(0.1 + (slope @ covariance @ slope).item() / 2, abs=1e-8)


def test_a_tilt_without_a_normalizing_constant_is_an_error(task: Gmm2d) -> None:
    away = QuadraticReward(RewardTaste(slope=(0.0, 0.0), curvature=-1.0))
    away.calibrate(task)
    away.tilted(1.0)
    with pytest.raises(ValueError, match="no finite normalizing constant"):
        away.tilted(20.0)


def test_component_reward_counts_its_component_more(task: Gmm2d) -> None:
    user = ComponentReward(ComponentTaste(component=1, bonus=0.75, exact_at=2.0))
    user.calibrate(task)
    law, _ = user.tilted(2.0)
    odds = law.weights / task.mixture.weights
    torch.testing.assert_close(odds / odds[0], torch.tensor([1.0, math.exp(1.5), 1.0]).double())
    reward = user.preference(points(task.mixture))
    assert reward.min() >= 0 and reward.max() <= 0.75


def test_reweighting_h_times_tends_to_a_point_mass(task: Gmm2d) -> None:
    """P^H(x) is proportional to w(x)^H P(x): what repeated reweighting without a diversity term does."""
    user = QuadraticReward(RewardTaste(slope=(0.5, -0.2), centre=(-0.5, 0.0), curvature=0.4))
    user.calibrate(task)
    best = torch.tensor([-0.5 + 0.5 / 0.4, -0.2 / 0.4], dtype=torch.float64)  # where w is largest
    x = task.mixture.sample(100_000, Stream(5))
    log_w, weights = user.preference(x), torch.full((len(x),), 1 / len(x), dtype=torch.float64)
    spreads, ess = [], []
    for h in range(1, 257):
        weights = weights * (log_w - log_w.max()).exp()
        weights = weights / weights.sum()
        if h & (h - 1) == 0:  # powers of two
            law, _ = user.tilted(h)
            mean = weights @ x
            spread = (weights @ (x - mean).square()).sum().item()
            if h <= 16:
                torch.testing.assert_close(mean, law.mean, rtol=0, atol=0.03)
                assert spread == pytest.approx(law.covariance.trace().item(), rel=0.05)
            spreads.append(spread)
            ess.append(1 / weights.square().sum().item())
    assert spreads == sorted(spreads, reverse=True) and ess == sorted(ess, reverse=True)
    assert spreads[-1] < 0.03
    assert (weights @ x - best).norm() < 0.06
    law, _ = user.tilted(1e6)
    assert law.covariance.trace() < 1e-4 and (law.mean - best).norm() < 1e-4


def test_preference_is_differentiable_and_verdicts_keep_its_order(task: Gmm2d, user: RewardUser) -> None:
    x = task.mixture.sample(200, Stream(6)).requires_grad_(True)
    preference = user.preference(x)
    (gradient,) = torch.autograd.grad(preference.sum(), x)
    step = torch.full_like(x, 1e-6)
    change = user.preference(x.detach() + step) - user.preference(x.detach() - step)
    torch.testing.assert_close(change, 2 * (gradient * step).sum(1), rtol=1e-3, atol=1e-9)
    verdict = user.verdict(x)
    assert verdict.dtype == np.float64 and verdict.min() > 0 and verdict.max() < 1
    assert np.diff(verdict[preference.detach().numpy().argsort()]).min() >= 0


def test_a_reward_of_another_dimension_is_refused(task: Gmm2d) -> None:
    with pytest.raises(PapaError, match="2 coordinates"):
        QuadraticReward(RewardTaste(slope=(1.0, 0.0, 0.0))).calibrate(task)


@pytest.mark.parametrize("tilt", [0.0, 0.5, 2.0])
def test_the_density_behind_the_particles_of_the_figure(task: Gmm2d, user: RewardUser, tilt: float, request) -> None:
    data = {"results": "r", "methods": {"base": {}}, "grid": {"g": block(request.node.callspec.params["user"])}}
    (spec,) = Grid(Config.model_validate(data))
    axis, density = exact_density(spec, tilt)
    area = (axis[1] - axis[0]) ** 2
    assert density.shape == (len(axis), len(axis)) and density.sum() * area == pytest.approx(1, abs=2e-3)
    if not tilt:  # rows are y: the base's mean along the columns is the mixture's first coordinate
        mean = [(density.sum(0) * axis).sum() * area, (density.sum(1) * axis).sum() * area]
        assert mean == pytest.approx(task.mixture.mean.tolist(), abs=2e-3)


def block(user: str) -> dict[str, Any]:
    return {"task": "gmm2d", "methods": ["base"], "users": [user], "seeds": [0]}


def test_a_network_in_the_place_of_the_exact_score_is_refused(task: Gmm2d) -> None:
    with pytest.raises(PapaError, match="no network"):
        task.model.denoiser(Cost(), torch.nn.Identity())
