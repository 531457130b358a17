"""Trajectories with log-probabilities: what they hold, what they cost, what is refused, and gradients to a network."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from support.reference import noise_of
from torch import Tensor

from papa.benchmark.tasks.digits.task import Digits
from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import Noise, ancestral_kernel, euler_ancestral, stream_noise
from papa.diffusion.schedule import log_spaced_sigmas
from papa.diffusion.trajectory import Trajectory, log_prob, sample_trajectory, step_log_prob
from papa.rng import Stream

N = 6
SIGMAS = log_spaced_sigmas(20, 0.01, 12)


def of_plane(plane: Gmm2d, sigmas: Tensor = SIGMAS) -> Trajectory:
    return sample_trajectory(plane.mixture.denoise, sigmas, noise_of(2, N // 2))


def of_digits(digits: Digits) -> tuple[Trajectory, Noise]:
    noise = stream_noise(Stream(3), (N, *digits.model.shape))
    return sample_trajectory(digits.model.denoiser(Cost()), digits.model.sigmas(), noise), noise


def test_samples_are_the_bits_of_the_plain_sampler(plane: Gmm2d, digits: Digits) -> None:
    assert torch.equal(of_plane(plane).samples, euler_ancestral(plane.mixture.denoise, SIGMAS, noise_of(2, N // 2)))
    drawn, noise = of_digits(digits)
    model = digits.model
    assert torch.equal(drawn.samples, euler_ancestral(model.denoiser(Cost()), model.sigmas(), noise))


def test_states_go_from_pure_noise_to_the_samples(plane: Gmm2d) -> None:
    drawn, noise = of_plane(plane), noise_of(2, N // 2)
    assert drawn.states.shape == (13, N, 2) and drawn.log_probs.shape == (11, N) and drawn.transitions == 11
    assert drawn.log_probs.dtype == torch.float64 and torch.equal(drawn.sigmas, SIGMAS)
    levels = SIGMAS.tolist()
    torch.testing.assert_close(drawn.states[0], levels[0] * noise(0), rtol=0, atol=0)
    for step in range(11):
        y, sigma, after = drawn.states[step], levels[step], levels[step + 1]
        mean, variance = ancestral_kernel(y, plane.mixture.denoise(y, sigma), sigma, after)
        torch.testing.assert_close(drawn.states[step + 1], mean + variance**0.5 * noise(step + 1))
    torch.testing.assert_close(drawn.samples, plane.mixture.denoise(drawn.states[-2], levels[-2]))


def test_it_costs_what_the_plain_sampler_costs(plane: Gmm2d) -> None:
    kept, plain = Cost(), Cost()
    sample_trajectory(plane.model.denoiser(kept), SIGMAS, noise_of(2, N // 2))
    euler_ancestral(plane.model.denoiser(plain), SIGMAS, noise_of(2, N // 2))
    assert kept == plain and kept.forward == 12 * N and kept.backward == 0


def test_drawing_keeps_no_graph(digits: Digits) -> None:
    network = digits.model.network()
    noise = stream_noise(Stream(3), (2, *digits.model.shape))
    drawn = sample_trajectory(digits.model.denoiser(Cost(), network), digits.model.sigmas(), noise)
    assert not drawn.states.requires_grad and not drawn.log_probs.requires_grad


def test_a_chain_of_one_step_is_deterministic(plane: Gmm2d) -> None:
    drawn = of_plane(plane, torch.tensor([5.0, 0.0], dtype=torch.float64))
    assert drawn.transitions == 0 and drawn.log_probs.shape == (0, N) and len(drawn.states) == 2


def test_log_probabilities_from_the_noise_are_those_of_the_states(plane: Gmm2d) -> None:
    drawn = of_plane(plane)
    again = torch.stack([step_log_prob(plane.mixture.denoise, drawn, step) for step in range(drawn.transitions)])
    torch.testing.assert_close(again, drawn.log_probs, rtol=0, atol=1e-9)


def test_they_are_those_of_torch_distributions_summed_over_all_entries() -> None:
    """Pictures, several entries an item, another denoiser than the one that drew."""
    noise = stream_noise(Stream(1), (3, 2, 4, 4), torch.float64)
    drawn = sample_trajectory(lambda y, sigma: y / (1 + sigma**2), SIGMAS, noise)

    def other(y: Tensor, sigma: float) -> Tensor:
        return 0.3 + y / (2 + sigma**2)

    for step in range(drawn.transitions):
        y, sigma, after = drawn.states[step], SIGMAS[step].item(), SIGMAS[step + 1].item()
        mean, variance = ancestral_kernel(y, other(y, sigma), sigma, after)
        each = torch.distributions.Normal(mean, math.sqrt(variance)).log_prob(drawn.states[step + 1])
        found = step_log_prob(other, drawn, step)
        assert found.shape == (3,) and found.dtype == torch.float64
        torch.testing.assert_close(found, each.sum((1, 2, 3)), rtol=1e-9, atol=1e-9)


def test_the_last_step_is_deterministic_and_refused(plane: Gmm2d) -> None:
    drawn, y = of_plane(plane), torch.zeros(1, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match="deterministic and has no density"):
        log_prob(plane.mixture.denoise, y, y, 0.01, 0.0)
    for step in (drawn.transitions, drawn.transitions + 1, -1):
        with pytest.raises(ValueError, match=f"step {step} is not one of the 11 transitions"):
            step_log_prob(plane.mixture.denoise, drawn, step)


def test_the_gradient_is_that_of_finite_differences(plane: Gmm2d) -> None:
    drawn, shift = of_plane(plane), torch.tensor([0.1, -0.2], dtype=torch.float64)

    def total(by: Tensor) -> Tensor:
        return sum(
            (step_log_prob(lambda y, s: plane.mixture.denoise(y, s) + by, drawn, i).sum() for i in range(11)),
            torch.zeros((), dtype=torch.float64),
        )

    at = shift.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(total(at), at)
    for axis in range(2):
        step = 1e-4 * torch.eye(2, dtype=torch.float64)[axis]
        slope = (total(shift + step) - total(shift - step)).item() / 2e-4
        assert gradient[axis].item() == pytest.approx(slope, rel=1e-6)
    assert np.isfinite(gradient.numpy()).all()
