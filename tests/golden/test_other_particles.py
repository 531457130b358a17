"""Feynman-Kac steering and tempered particles against closed forms, at the tolerances of FKC."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from support.reference import assert_within, errors_over_seeds, noise_of, reward_user, uniforms_of

from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.diffusion.denoiser import Cost
from papa.diffusion.schedule import log_spaced_sigmas
from papa.smc.fkc import FkcOptions, Particles, fkc
from papa.smc.steering import steer
from papa.smc.tempering import adaptively_tempered, largest_beta, scheduled_betas
from papa.smc.weights import effective_sample_size

SEEDS, N, STEPS = 6, 4096, 100
SIGMAS = log_spaced_sigmas(20, 0.01, STEPS)


def errors(task: Gmm2d, result: Particles, beta: float) -> dict[str, float]:
    law, log_z = reward_user("quadratic", task).tilted(beta)
    found = errors_over_seeds(result.samples, len(result.log_z), law)
    return found | {"log_z": result.log_z.mean().item() - log_z}


def drawn(task: Gmm2d, kernel, beta: float, *given) -> Particles:
    preference = reward_user("quadratic", task).preference
    return kernel(
        task.model.denoiser(Cost()), preference, SIGMAS, beta, *given, noise_of(SEEDS, N), uniforms_of(SEEDS, N)
    )


@pytest.mark.parametrize("potential", ["difference", "max", "sum"])
def test_every_potential_of_steering_has_the_same_target(task: Gmm2d, potential: Any) -> None:
    every = 50 if potential == "sum" else 20  # sums of many rewards tilt much too far before the last potential
    assert_within(errors(task, drawn(task, steer, 1.0, potential, every), 1.0))


def test_steering_where_weights_are_carried(task: Gmm2d) -> None:
    """Resampled only where the effective sample size asks for it, log Z counts the weights all the same."""
    result = drawn(task, partial(_steered, share=0.5), 1.0, "difference", 10)
    assert min(result.trace.resampled) == 0
    assert_within(errors(task, result, 1.0))


def _steered(*args, share: float) -> Particles:
    return steer(*args, ess_threshold=share)


@pytest.mark.parametrize("beta", [1.0, 3.0])
def test_the_schedule_of_das(task: Gmm2d, beta: float) -> None:
    betas = scheduled_betas(beta, STEPS)
    options = FkcOptions(gradient="through", guidance="full")
    preference = reward_user("quadratic", task).preference
    given = SIGMAS, betas, noise_of(SEEDS, N), uniforms_of(SEEDS, N), options, task.model.spread
    assert_within(errors(task, fkc(task.model.denoiser(Cost()), preference, *given), beta))


@pytest.mark.parametrize("gradient", ["through", "leaf"])
def test_the_adaptive_pace_of_das(task: Gmm2d, gradient) -> None:
    options = FkcOptions(gradient=gradient, ess_threshold=0.5)
    preference = reward_user("quadratic", task).preference
    given = SIGMAS, 3.0, noise_of(SEEDS, N), uniforms_of(SEEDS, N), options, task.model.spread
    result = adaptively_tempered(task.model.denoiser(Cost()), preference, *given)
    assert_within(errors(task, result, 3.0))
    beta = result.trace.beta
    assert beta == sorted(beta) and beta[-1] == 3.0
    # A proposal may cost more weight than the present beta allows; then it stays where it is.
    kept = [ess >= 0.5 * N * (1 - 1e-6) for ess in result.trace.ess[:-1]]
    assert sum(kept) > 0.9 * len(kept) and min(result.trace.ess[:-1]) > 0.4 * N


def test_the_schedule_by_hand() -> None:
    assert scheduled_betas(2.0, 2).tolist() == pytest.approx([0.0, 2 * (2**0.5 - 1), 2.0])
    rising = scheduled_betas(1.0, 10).tolist()
    assert rising[0] == 0 and rising[9] < 1 and rising[10] == 1
    assert rising[1] == pytest.approx(2**0.1 - 1)


def test_the_largest_beta_keeps_the_effective_sample_size() -> None:
    reward = torch.tensor([[0.0, 0.0, 0.0, 10.0], [1.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
    flat = torch.zeros_like(reward)
    beta = largest_beta(flat, reward, torch.zeros(2, dtype=torch.float64), 5.0, 0.5)
    ess = effective_sample_size(beta[:, None] * reward)
    assert ess[0].item() == pytest.approx(2.0) and beta[0] > 0
    assert beta[1] == 5.0  # equal rewards never part the weights
    poor = torch.tensor([[0.0, 0.0, 0.0, 50.0]], dtype=torch.float64)  # one particle has all the weight already
    assert largest_beta(poor, reward[:1], torch.tensor([1.5], dtype=torch.float64), 5.0, 0.5).item() == 1.5


def test_steering_at_beta_0_moves_nothing_and_without_resampling_weighs_by_the_samples(task: Gmm2d) -> None:
    preference = reward_user("quadratic", task).preference
    base = drawn(task, steer, 0.0, "sum", 20)
    assert base.log_z.abs().max() < 1e-12 and all(len(row.unique()) == N for row in base.ancestors)
    for potential in ("difference", "max", "sum"):
        result = drawn(task, partial(_steered, share=0.0), 1.0, potential, 20)
        tilt = preference(base.samples).double().view(SEEDS, N)
        assert torch.allclose(result.log_z, tilt.logsumexp(1) - torch.tensor(float(N)).log(), atol=1e-8), potential
