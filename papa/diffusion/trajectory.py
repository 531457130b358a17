"""Whole trajectories of the sampler with the log-probability of every step, for policy gradients.

The Euler-ancestral chain is a Markov chain of Gaussian transitions p(y' | y) = N(mean(y), vbar I), whose mean goes
through the denoiser. Its log-probabilities are what policy-gradient methods differentiate (Black et al. 2024, DDPO;
Fan et al. 2023, DPOK). The last transition, to noise level 0, is deterministic: it has no density and is not counted.
For a reward of the clean samples, the trained network also affects it through that last step: the gradient of the
expected reward is E[reward grad log p] + E[grad reward(last step)], whose second part needs a differentiable reward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from papa.diffusion.denoiser import Denoiser
from papa.diffusion.sampler import Noise, ancestral_kernel, euler_ancestral


@dataclass(frozen=True)
class Trajectory:
    """A batch of trajectories.

    Attributes:
        states: (steps + 1, n, ...), from pure noise to the clean samples.
        sigmas: (steps + 1,) their noise levels, the last one 0.
        log_probs: (steps - 1, n) float64 log-densities of the transitions that have one, nats.
    """

    states: Tensor
    sigmas: Tensor
    log_probs: Tensor

    @property
    def samples(self) -> Tensor:
        return self.states[-1]

    @property
    def transitions(self) -> int:
        """Transitions that have a density: all but the last."""
        return len(self.states) - 2

    def take(self, items: Tensor) -> Trajectory:
        return Trajectory(self.states[:, items], self.sigmas, self.log_probs[:, items])

    def levels(self, step: int) -> tuple[float, float]:
        """The noise levels before and after a transition; `ValueError` for a step without a density."""
        if not 0 <= step < self.transitions:
            raise ValueError(f"step {step} is not one of the {self.transitions} transitions that have a density")
        sigma, sigma_next = self.sigmas[step : step + 2].tolist()
        return sigma, sigma_next


def together(batches: list[Trajectory]) -> Trajectory:
    """Several batches of trajectories as one; all have the same noise levels."""
    states, log_probs = (torch.cat([getattr(of, name) for of in batches], 1) for name in ("states", "log_probs"))
    return Trajectory(states, batches[0].sigmas, log_probs)


def log_prob(denoise: Denoiser, y: Tensor, y_next: Tensor, sigma: float, sigma_next: float) -> Tensor:
    """(n,) float64 log p(y' | y), nats, of one Euler-ancestral transition, differentiable through the denoiser.

    Args:
        y, y_next: (n, ...) states at the noise levels sigma > sigma_next > 0.
    """
    if sigma_next == 0:
        raise ValueError("the transition to noise level 0 is deterministic and has no density")
    mean, variance = ancestral_kernel(y, denoise(y, sigma), sigma, sigma_next)
    square = (y_next - mean).flatten(1).double().square().sum(1)
    entries = y[0].numel()
    return -square / (2 * variance) - entries / 2 * math.log(2 * math.pi * variance)


@torch.no_grad()
def sample_trajectory(denoise: Denoiser, sigmas: Tensor, noise: Noise) -> Trajectory:
    """Sample as `papa.diffusion.sampler.euler_ancestral` does, to the last bit, and keep every state.

    The log-probabilities follow from the noise, so they cost no evaluation.
    """
    levels, log_probs = sigmas.tolist(), []
    first = noise(0)
    states, entries = [levels[0] * first], first[0].numel()
    euler_ancestral(denoise, sigmas, noise, on_step=lambda _, y: states.append(y))
    for step, (sigma, sigma_next) in enumerate(pairwise(levels[:-1])):
        variance = sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2
        square = noise(step + 1).flatten(1).double().square().sum(1)
        log_probs.append(-square / 2 - entries / 2 * math.log(2 * math.pi * variance))
    empty = torch.zeros(0, len(first), dtype=torch.float64, device=first.device)
    return Trajectory(torch.stack(states), sigmas, torch.stack(log_probs) if log_probs else empty)


def step_log_prob(denoise: Denoiser, trajectory: Trajectory, step: int) -> Tensor:
    """`log_prob` of one transition of stored trajectories; step: in [0, trajectory.transitions)."""
    sigma, sigma_next = trajectory.levels(step)
    return log_prob(denoise, trajectory.states[step], trajectory.states[step + 1], sigma, sigma_next)


def step_divergence(denoise: Denoiser, reference: Denoiser, trajectory: Trajectory, step: int) -> Tensor:
    """KL(p || reference) of one transition from stored states, differentiable through p: (n,) float64, nats.

    Both are normal with the same variance, so it is |mean - mean'|^2 / (2 vbar).
    """
    sigma, sigma_next = trajectory.levels(step)
    y = trajectory.states[step]
    mean, variance = ancestral_kernel(y, denoise(y, sigma), sigma, sigma_next)
    with torch.no_grad():
        other, _ = ancestral_kernel(y, reference(y, sigma), sigma, sigma_next)
    return (mean - other).flatten(1).double().square().sum(1) / (2 * variance)
