"""The Feynman-Kac corrector against closed forms, and proof that these checks can fail.

Every run is 10 seeds of N = 4096 particles on the task's mixture (see `reference.BOUNDS`). The
target of the exact form is the base *chain* tilted, so the chain's own error at beta = 0, printed by
test_base_chain.py, stands in all of these errors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.reference import (
    BOUNDS,
    assert_within,
    chain_of_one_gaussian,
    errors_over_seeds,
    noise_of,
    reward_user,
    uniforms_of,
)
from torch import Tensor

from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral
from papa.diffusion.schedule import log_spaced_sigmas
from papa.models.mixture import Mixture
from papa.smc import fkc as kernel
from papa.smc.fkc import FkcOptions, Particles, Reward, fkc
from papa.smc.weights import log_mean_exp

SEEDS, N = 10, 4096
INNER, STEP = kernel._inner, kernel.continuous_step
FORMS = {
    "exact": FkcOptions(weights="exact"),
    "exact-through": FkcOptions(weights="exact", gradient="through"),
    "continuous-through": FkcOptions(weights="continuous", gradient="through"),
    "continuous-state": FkcOptions(weights="continuous", reward_on="state"),
}


def particles(
    task: Gmm2d,
    reward: Reward,
    beta: float,
    form: str,
    steps: int = 100,
    seeds: int = SEEDS,
    rise: Callable[[Tensor], Tensor] | None = None,
    **options_of: Any,
) -> Particles:
    """FKC with beta linear in the step from 0 at pure noise, or beta times `rise` of the noise levels."""
    sigmas = log_spaced_sigmas(20, 0.01, steps)
    betas = beta * (rise(sigmas) if rise else torch.linspace(0, 1, steps + 1, dtype=torch.float64))
    options = FORMS[form].model_copy(update=options_of)
    streams = noise_of(seeds, N), uniforms_of(seeds, N)
    return fkc(task.model.denoiser(Cost()), reward, sigmas, betas, *streams, options, task.model.spread)


def errors(task: Gmm2d, beta: float, form: str, user: str = "quadratic", **kwargs: Any) -> dict[str, float]:
    """Errors of a run against the closed form: share, mean, covariance, log_z."""
    truth = reward_user(user, task)
    law, log_z = truth.tilted(beta)
    result = particles(task, kwargs.pop("reward", truth.preference), beta, form, **kwargs)
    found = errors_over_seeds(result.samples, len(result.log_z), law)
    return found | {"log_z": result.log_z.mean().item() - log_z}


def out_of_bounds(found: dict[str, float]) -> set[str]:
    return {name for name, value in found.items() if abs(value) > BOUNDS[name]}


@pytest.mark.parametrize("beta", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("form", FORMS)
def test_the_tilted_mixture(task: Gmm2d, form: str, beta: float, record_property) -> None:
    found = errors(task, beta, form)
    record_property("errors", found)
    print(f"{form}, beta = {beta:g}:", {name: round(value, 4) for name, value in found.items()})
    assert_within(found)


@pytest.mark.parametrize(("user", "beta"), [("linear", 2.0), ("component", 2.0)])
@pytest.mark.parametrize("form", ["exact", "continuous-through"])
def test_other_rewards(task: Gmm2d, form: str, user: str, beta: float) -> None:
    assert_within(errors(task, beta, form, user, seeds=4))


def test_the_reward_of_the_state_wants_a_beta_bounded_by_the_noise(task: Gmm2d) -> None:
    """u(y) of a quadratic reward grows with sigma^2, so beta sigma_d^2 / (sigma_d^2 + sigma^2) keeps it in
    check where beta linear in the step makes the drift stiff at high noise."""
    shrunk = errors(
        task, 1.0, "continuous-state", seeds=4, rise=lambda s: task.model.spread**2 / (task.model.spread**2 + s**2)
    )
    linear = errors(task, 1.0, "continuous-state", seeds=4)
    assert_within(shrunk)
    assert abs(shrunk["log_z"]) < 0.02 < abs(linear["log_z"])


@pytest.mark.parametrize("form", ["exact", "continuous-through"])
def test_the_errors_of_the_moments_shrink_with_the_step(task: Gmm2d, form: str) -> None:
    coarse, fine = (errors(task, 1.0, form, steps=steps, seeds=4) for steps in (50, 400))
    print(f"{form}, beta = 1: 50 steps {coarse}, 400 steps {fine}")
    # From 50 steps, so that the difference stands well above the noise of 4 seeds.
    assert max(fine["mean"], fine["covariance"]) < 0.6 * max(coarse["mean"], coarse["covariance"])


@pytest.mark.parametrize("resampling", ["stratified", "none"])
def test_other_resampling_has_the_same_target(task: Gmm2d, resampling: Any) -> None:
    assert_within(errors(task, 1.0, "exact", seeds=4, resampling=resampling))


@pytest.mark.parametrize("form", FORMS)
def test_beta_zero_is_the_base_sampler(task: Gmm2d, form: str) -> None:
    result = particles(task, reward_user("quadratic", task).preference, 0.0, form, seeds=2)
    base = euler_ancestral(task.model.denoiser(Cost()), log_spaced_sigmas(20, 0.01, 100), noise_of(2, N))
    assert result.log_z.abs().max() < 1e-12
    torch.testing.assert_close(result.samples.sort(0).values, base.sort(0).values, rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_a_linear_reward_shifts_one_gaussian(form: str) -> None:
    """By beta times its covariance times the slope. The exact form aims at the chain, whose law on one
    Gaussian is known too, so its bounds are those of Monte Carlo; the continuous form aims at the data."""
    slope, beta = torch.tensor([1.0, -0.5], dtype=torch.float64), 1.5
    law = Mixture(torch.ones(1), torch.tensor([[0.3, 0.1]]), 0.25 * torch.eye(2)[None])
    sigmas = log_spaced_sigmas(20, 0.01, 100)
    betas = beta * law.spread**2 / (law.spread**2 + sigmas**2)  # for the reward of the state, see above
    streams = noise_of(SEEDS, N), uniforms_of(SEEDS, N)
    result = fkc(law.denoise, lambda x: x @ slope, sigmas, betas, *streams, FORMS[form], law.spread)
    exact = form.startswith("exact")
    centre, variance = law.means[0], 0.25
    if exact:
        moments = [chain_of_one_gaussian(m, variance, sigmas) for m in centre.tolist()]
        centre, variance = torch.tensor([m for m, _ in moments], dtype=torch.float64), moments[0][1]
    shifted = centre + beta * variance * slope
    torch.testing.assert_close(result.samples.mean(0), shifted, rtol=0, atol=0.012 if exact else BOUNDS["mean"])
    log_z = beta * (centre @ slope).item() + beta**2 * variance * slope.square().sum().item() / 2
    assert result.log_z.mean().item() == pytest.approx(log_z, abs=0.012 if exact else BOUNDS["log_z"])


def test_the_exact_form_has_the_law_of_the_reweighted_chain(task: Gmm2d) -> None:
    """Sharper than the closed form: without the chain's own error only Monte Carlo is left."""
    beta, preference = 1.0, reward_user("quadratic", task).preference
    base = euler_ancestral(task.model.denoiser(Cost()), log_spaced_sigmas(20, 0.01, 100), noise_of(SEEDS, N))
    log_w = beta * preference(base)
    result = particles(task, preference, beta, "exact")
    assert result.log_z.mean().item() == pytest.approx(log_mean_exp(log_w).item(), abs=0.012)
    torch.testing.assert_close(result.samples.mean(0), log_w.softmax(0) @ base, rtol=0, atol=0.02)


@pytest.mark.parametrize("form", ["exact", "continuous-through"])
def test_a_reward_of_the_wrong_sign_is_seen(task: Gmm2d, form: str) -> None:
    preference = reward_user("quadratic", task).preference
    found = errors(task, 1.0, form, seeds=2, reward=lambda x: -preference(x))
    assert out_of_bounds(found) == set(BOUNDS)


def test_exact_weights_without_the_proposals_ratio_are_seen(task: Gmm2d, monkeypatch: pytest.MonkeyPatch) -> None:
    step = kernel.exact_step
    monkeypatch.setattr(kernel, "exact_step", lambda *a: (step(*a)[0], torch.zeros(len(a[0].y)).double()))
    assert {"mean", "log_z"} <= out_of_bounds(errors(task, 3.0, "exact", seeds=2))


def test_exact_weights_with_the_ratio_upside_down_are_seen(task: Gmm2d, monkeypatch: pytest.MonkeyPatch) -> None:
    step = kernel.exact_step
    monkeypatch.setattr(kernel, "exact_step", lambda *a: (step(*a)[0], -step(*a)[1]))
    assert {"mean", "log_z"} <= out_of_bounds(errors(task, 3.0, "exact", seeds=2))


@pytest.mark.parametrize(
    ("term", "broken"),
    [
        ("_inner", lambda point, sigma: torch.zeros(len(point.y)).double()),  # no <G, score>
        ("_inner", lambda point, sigma: -INNER(point, sigma)),
        ("_reward_drift", lambda denoise, reward, point, sigma: torch.zeros(len(point.y)).double()),
        ("continuous_step", lambda point, noise, levels, beta: STEP(point, noise, levels, -beta)),  # drift uphill
    ],
)
def test_continuous_weights_with_a_broken_term_are_seen(
    task: Gmm2d, monkeypatch: pytest.MonkeyPatch, term: str, broken: Any
) -> None:
    monkeypatch.setattr(kernel, term, broken)
    found = errors(task, 3.0, "continuous-through", seeds=2)
    assert "log_z" in out_of_bounds(found), found
