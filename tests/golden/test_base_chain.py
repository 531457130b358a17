"""The base sampler on exact scores: its own error, which every tilted result also carries.

The ancestral kernel stands the clean estimate in for the clean point, so it lacks the part
(1 - r)^2 Var(x0 | y) of the true transition's variance (r = sigma'^2 / sigma^2). On log-spaced levels
the loss is a fixed share of a Gaussian's variance whatever its scale, close to the step in log sigma:
7% with 100 steps from 20 to 0.01, 2% with 400. (Distances between components suffer less.)
"""

from __future__ import annotations

import pytest
import torch
from support.reference import assert_within, chain_of_one_gaussian, errors_over_seeds, noise_of

from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral
from papa.diffusion.schedule import log_spaced_sigmas
from papa.models.mixture import Mixture

SEEDS, N = 10, 4096


def test_the_chain_on_one_gaussian_has_the_law_of_its_recursion() -> None:
    law = Mixture(torch.ones(1), torch.tensor([[0.5]]), torch.tensor([[[0.4]]]))
    sigmas = log_spaced_sigmas(20, 0.01, 30)
    samples = euler_ancestral(law.denoise, sigmas, noise_of(SEEDS, N, d=1))
    mean, variance = chain_of_one_gaussian(0.5, 0.4, sigmas)
    assert samples.mean().item() == pytest.approx(mean, abs=0.01)  # three standard errors
    assert samples.var().item() == pytest.approx(variance, abs=0.009)
    assert variance < 0.9 * 0.4  # 30 steps lose so much that the sampler's own law is told apart from the data's


@pytest.mark.parametrize(("steps", "lost"), [(100, 0.073), (400, 0.019)])
def test_the_lost_share_of_the_variance_does_not_depend_on_the_scale(steps: int, lost: float) -> None:
    for variance in (0.1, 1.0, 10.0):
        _, chain = chain_of_one_gaussian(0.0, variance, log_spaced_sigmas(20, 0.01, steps))
        assert 1 - chain / variance == pytest.approx(lost, rel=0.05)


def test_the_chain_on_the_mixture(task: Gmm2d, record_property) -> None:
    errors = {}
    for steps in (100, 400):
        cost = Cost()
        sigmas = log_spaced_sigmas(20, 0.01, steps)
        samples = euler_ancestral(task.model.denoiser(cost), sigmas, noise_of(SEEDS, N))
        assert cost.forward == steps * SEEDS * N and cost.backward == 0
        errors[steps] = errors_over_seeds(samples, SEEDS, task.mixture)
        record_property(f"base_chain_{steps}", errors[steps])
        print(f"base chain, {steps} steps:", errors[steps])
    assert_within(errors[100])
    assert errors[100]["covariance"] > 0.02  # the chain's own error shows, so smaller is not noise
    assert errors[400]["covariance"] < errors[100]["covariance"] / 2
    assert errors[400]["mean"] < 0.01
