"""Policy gradients over trajectories, against what is known exactly.

On one Gaussian the denoiser is linear, so every state is a linear map of the noise: the density of a whole trajectory
is that of a multivariate normal, and the gradient of an expected quadratic reward has a closed form. On a mixture the
gradient through the noise (the same expectation, estimated another way) stands beside it.
"""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from support.reference import noise_of
from torch import Tensor
from torch.distributions import MultivariateNormal

from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.diffusion.denoiser import Denoiser
from papa.diffusion.sampler import ancestral_kernel
from papa.diffusion.schedule import log_spaced_sigmas
from papa.diffusion.trajectory import Trajectory, sample_trajectory, step_log_prob
from papa.models.mixture import Mixture

SEEDS, N = 8, 8192
SIGMAS = log_spaced_sigmas(10, 0.05, 8)
GOAL = torch.tensor([0.8, -0.5], dtype=torch.float64)
SHIFT = torch.tensor([0.05, -0.1], dtype=torch.float64)
ERRORS = 4.0
"""Standard errors that an estimate may be off."""


def gaussian() -> Mixture:
    mean, covariance = torch.tensor([[0.5, -0.3]]), torch.tensor([[[0.4, 0.15], [0.15, 0.3]]])
    return Mixture(torch.ones(1), mean, covariance)


def shifted(law: Mixture, shift: Tensor) -> Denoiser:
    """The denoiser with its mean shifted: (2,) the same for all items, or (n, 2)."""
    return lambda y, sigma: law.denoise(y, sigma) + shift


def reward(x: Tensor) -> Tensor:
    """(n,) -|x - GOAL|^2 / 2."""
    return -(x - GOAL).square().sum(1) / 2


def drawn(law: Mixture) -> Trajectory:
    return sample_trajectory(shifted(law, SHIFT), SIGMAS, noise_of(SEEDS, N))


def grad_log_prob(law: Mixture, of: Trajectory) -> Tensor:
    """(n, 2) gradient of each trajectory's log-probability with respect to the shift."""
    own = SHIFT.repeat(of.states.shape[1], 1).requires_grad_(True)  # one for each item, so each has its own gradient
    total = sum((step_log_prob(shifted(law, own), of, i) for i in range(of.transitions)), torch.zeros(()).double())
    return torch.autograd.grad(total.sum(), own)[0]


def reinforce(law: Mixture, of: Trajectory, sign: float = 1.0) -> Tensor:
    """(n, 2) terms whose mean is the gradient of the expected reward.

    The shift acts through the transitions that have a density, which the log-probabilities see, and in the last,
    deterministic step (the sample is the shifted estimate itself), where the reward is differentiated.
    """
    x = of.samples.clone().requires_grad_(True)
    (last,) = torch.autograd.grad(reward(x).sum(), x)
    rewards = reward(of.samples)
    return sign * (rewards - rewards.mean())[:, None] * grad_log_prob(law, of) + last


def affine_chain(law: Mixture, sigmas: Tensor) -> tuple[Tensor, Tensor]:
    """(T, 2) means of all states but the last and (T, T, 2, 2) blocks B: state i = mean_i + sum_j B_ij noise_j."""
    (mean,), (covariance,), levels = law.means, law.covariances, sigmas.tolist()[:-1]
    eye = torch.eye(2, dtype=torch.float64)
    means = [torch.zeros(2, dtype=torch.float64)]
    blocks = torch.zeros(len(levels), len(levels), 2, 2, dtype=torch.float64)
    blocks[0, 0] = levels[0] * eye
    for i, (sigma, after) in enumerate(pairwise(levels)):
        shrink, ratio = covariance @ torch.linalg.inv(covariance + sigma**2 * eye), (after / sigma) ** 2
        factor = (1 - ratio) * shrink + ratio * eye
        means.append(factor @ means[-1] + (1 - ratio) * (mean - shrink @ mean + SHIFT))
        blocks[i + 1] = factor @ blocks[i]
        blocks[i + 1, i + 1] = math.sqrt(after**2 * (sigma**2 - after**2)) / sigma * eye
    return torch.stack(means), blocks


def exact_gradient(law: Mixture) -> Tensor:
    """d E[reward] / d shift = -J^T (E[x] - GOAL), with E[x] linear in the shift and its covariance free of it."""

    def mean_of(shift: Tensor) -> Tensor:
        y = torch.zeros(1, 2, dtype=torch.float64)
        for sigma, after in pairwise(SIGMAS.tolist()):
            y, _ = ancestral_kernel(y, law.denoise(y, sigma) + shift, sigma, after)
        return y[0]

    jacobian = torch.autograd.functional.jacobian(mean_of, SHIFT)
    return -jacobian.mT @ (mean_of(SHIFT) - GOAL)


def through_the_noise(law: Mixture) -> Tensor:
    """(n, 2) gradients of each item's reward through its whole chain, the noise held."""
    own = SHIFT.repeat(SEEDS * N, 1).requires_grad_(True)
    noise, levels = noise_of(SEEDS, N), SIGMAS.tolist()
    y = levels[0] * noise(0)
    for step, (sigma, after) in enumerate(pairwise(levels)):
        mean, variance = ancestral_kernel(y, law.denoise(y, sigma) + own, sigma, after)
        y = mean + variance**0.5 * noise(step + 1)
    return torch.autograd.grad(reward(y).sum(), own)[0]


def off(terms: Tensor, truth: Tensor, other: Tensor | None = None) -> float:
    """The largest distance of a mean from the truth, in standard errors (of both, where the truth is a mean too)."""
    variance = terms.var(0) / len(terms)
    if other is not None:
        variance = variance + other.var(0) / len(other)
    return ((terms.mean(0) - truth).abs() / variance.sqrt()).max().item()


def test_a_trajectory_on_one_gaussian_is_a_multivariate_normal() -> None:
    law = gaussian()
    of = sample_trajectory(shifted(law, SHIFT), SIGMAS, noise_of(1, 200))
    means, blocks = affine_chain(law, SIGMAS)
    size = means.numel()
    factor = blocks.permute(0, 2, 1, 3).reshape(size, size)
    whole = MultivariateNormal(means.flatten(), factor @ factor.mT)
    states = of.states[:-1].transpose(0, 1).flatten(1)
    first = torch.distributions.Normal(0.0, SIGMAS[0]).log_prob(of.states[0]).sum(1)
    torch.testing.assert_close(first + of.log_probs.sum(0), whole.log_prob(states), rtol=1e-8, atol=1e-8)
    # The same of another denoiser's density at these trajectories, which are not its own.
    other = sum((step_log_prob(law.denoise, of, i) for i in range(of.transitions)), torch.zeros(200).double())
    assert (other - of.log_probs.sum(0)).abs().min() > 1e-3


def test_the_expected_log_probability_is_minus_the_entropy() -> None:
    of = drawn(gaussian())
    for step, (sigma, after) in enumerate(pairwise(SIGMAS.tolist()[:-1])):
        variance = after**2 * (sigma**2 - after**2) / sigma**2
        entropy = 1 + math.log(2 * math.pi * variance)  # of two coordinates
        assert off(of.log_probs[step][:, None], torch.tensor([-entropy]).double()) < ERRORS


@pytest.mark.parametrize("on", ["one Gaussian", "the mixture"])
def test_the_expected_gradient_of_the_log_probability_is_zero(task: Gmm2d, on: str) -> None:
    law = gaussian() if on == "one Gaussian" else task.mixture
    scores = grad_log_prob(law, drawn(law))
    assert off(scores, torch.zeros(2).double()) < ERRORS
    # Trajectories of another denoiser than the one that is differentiated are told apart.
    of = sample_trajectory(law.denoise, SIGMAS, noise_of(SEEDS, N))
    assert off(grad_log_prob(law, of), torch.zeros(2).double()) > 10


def test_the_variance_of_the_score_is_the_fisher_information() -> None:
    """Of a shift of every mean by (1 - r) times the parameter: sum over steps of (1 - r)^2 / variance."""
    levels = SIGMAS.tolist()[:-1]
    fisher = sum((1 - (b / a) ** 2) ** 2 / (b**2 * (a**2 - b**2) / a**2) for a, b in pairwise(levels))
    squares = grad_log_prob(gaussian(), drawn(gaussian())).square()
    assert off(squares, torch.full((2,), fisher, dtype=torch.float64)) < ERRORS


def test_reinforce_is_the_exact_gradient_on_one_gaussian() -> None:
    law, of, truth = gaussian(), drawn(gaussian()), exact_gradient(gaussian())
    terms = reinforce(law, of)
    assert off(terms, truth) < ERRORS
    assert (terms.var(0) / len(terms)).sqrt().max() < 0.1 * truth.abs().min()  # so that the comparison says something
    assert off(reinforce(law, of, sign=-1), truth) > 10
    assert off(reinforce(law, of, sign=0), truth) > 10  # the last step alone is not the gradient


def test_reinforce_is_the_gradient_through_the_noise_on_the_mixture(task: Gmm2d) -> None:
    terms, through = reinforce(task.mixture, drawn(task.mixture)), through_the_noise(task.mixture)
    assert off(terms, through.mean(0), through) < ERRORS
    assert off(reinforce(task.mixture, drawn(task.mixture), sign=-1), through.mean(0), through) > 10


def test_the_gradient_through_the_noise_is_exact_on_one_gaussian() -> None:
    """The reference of the mixture, against the closed form."""
    assert off(through_the_noise(gaussian()), exact_gradient(gaussian())) < ERRORS
