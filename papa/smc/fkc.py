"""The Feynman-Kac corrector: particles of a diffusion model tilted by a reward.

Target at noise level sigma: p(y) proportional to q_sigma(y) exp(beta(sigma) u(y)), where u is the
reward of the clean estimate x0(y, sigma) (`reward_on: clean`) or of the state itself (`state`).
beta rises from beta_0 at pure noise to beta_n at the data. VE view, time from noise to data.

Two forms of the weights, v = sigma^2 - sigma'^2 and G = grad u:

`exact` (any proposal is right, with respect to the discrete base chain p(y' | y)):
    y' ~ q = N(mean + vbar beta' s G, vbar I),  where p = N(mean, vbar I) is the ancestral kernel
    log w += log p(y'|y) - log q(y'|y) + beta' u(y') - beta u(y)
`continuous` (Skreta et al. 2025, Proposition 3.4, f = 0 and sigma_t^2 dt = v):
    y' = y + v (score + (beta/2) G) + sqrt(vbar) n
    log w += integral of u dbeta + (beta/2) <G, score> dv, by the trapezoidal rule over the step
  (on a Gaussian with beta = 3 and 100 steps, the left-point rule misses log Z by 0.9, this one by 0.1;
  vbar instead of v makes beta = 0 the base sampler itself). With u on the clean estimate, u depends on
  time through sigma: G goes through the denoiser and beta (u(x0(y, sigma')) - u(x0(y, sigma))) is added.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from papa.diffusion.denoiser import Denoiser
from papa.diffusion.sampler import Noise, ancestral_kernel
from papa.smc import FkcOptions
from papa.smc.population import Particles, Population

Reward = Callable[[Tensor], Tensor]
"""(n, ...) points -> (n,) reward in nats, differentiable where guidance is on."""
DEFAULTS = FkcOptions()


@dataclass(frozen=True)
class Point:
    """States at one noise level with their clean estimates, rewards and gradients: (n, ...) each, reward (n,)."""

    y: Tensor
    x0: Tensor
    reward: Tensor
    gradient: Tensor

    def take(self, ancestors: Tensor) -> Point:
        return Point(self.y[ancestors], self.x0[ancestors], self.reward[ancestors], self.gradient[ancestors])


def evaluate(denoise: Denoiser, reward: Reward, y: Tensor, sigma: float, options: FkcOptions) -> Point:
    """Denoise `y`, with the reward and its gradient (zero where guidance is off)."""
    clean, guided = options.reward_on == "clean", options.guidance != "none" and sigma > 0
    y = y.detach()
    through = guided and clean and options.gradient == "through"
    with torch.set_grad_enabled(through):
        if through:
            y.requires_grad_(True)
        x0 = denoise(y, sigma) if sigma > 0 else y
    if not guided:
        with torch.no_grad():
            return Point(y, x0, reward(x0 if clean else y), torch.zeros_like(y))
    at = y if through or not clean else x0
    if not through:
        at = at.detach().requires_grad_(True)
    with torch.enable_grad():
        value = reward(at if not through else x0)
        (gradient,) = torch.autograd.grad(value.sum(), at)
    return Point(y.detach(), x0.detach(), value.detach(), gradient)


def exact_step(
    point: Point, noise: Tensor, levels: tuple[float, float], beta_next: float | Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """Propose y' from the tilted ancestral kernel.

    Args:
        levels: sigma and sigma'.
        beta_next: inverse temperature at sigma', of all or (n,).
        scale: s, factor on the shift (`FkcOptions.scale`).

    Returns:
        y' and log p(y'|y) - log q(y'|y), (n,) nats.
    """
    mean, variance = ancestral_kernel(point.y, point.x0, *levels)
    if variance == 0:
        return mean, torch.zeros(len(mean), dtype=torch.float64, device=mean.device)
    if isinstance(beta_next, Tensor):
        beta_next = beta_next.to(mean).view(-1, *[1] * (mean.ndim - 1))
    shift = variance * beta_next * scale * point.gradient
    # log p - log q at y' = mean + shift + sqrt(vbar) n, written out so that nothing cancels:
    cross = (shift * noise).flatten(1).double().sum(1) / math.sqrt(variance)
    square = shift.flatten(1).double().square().sum(1) / (2 * variance)
    return mean + shift + math.sqrt(variance) * noise, -cross - square


def continuous_step(point: Point, noise: Tensor, levels: tuple[float, float], beta: float) -> Tensor:
    """One step of the corrected SDE: the ancestral step plus (v/2) beta G."""
    mean, variance = ancestral_kernel(point.y, point.x0, *levels)
    v = levels[0] ** 2 - levels[1] ** 2
    return mean + v / 2 * beta * point.gradient + math.sqrt(variance) * noise


def continuous_increment(
    before: Point, after: Point, levels: tuple[float, float], betas: tuple[float, float]
) -> Tensor:
    """The integral of u dbeta + (beta/2) <G, score> dv over one step, by the trapezoidal rule (n,).

    At sigma' = 0 the model gives no score, so the left point is used for both.
    """
    v = levels[0] ** 2 - levels[1] ** 2
    first = betas[0] * _inner(before, levels[0])
    second = betas[1] * _inner(after, levels[1]) if levels[1] > 0 else first
    reward = (before.reward.double() + after.reward.double()) / 2
    return (betas[1] - betas[0]) * reward + v / 4 * (first + second)


def _inner(point: Point, sigma: float) -> Tensor:
    """<G, score> of every particle."""
    score = (point.x0 - point.y) / sigma**2
    return (point.gradient * score).flatten(1).double().sum(1)


def fkc(
    denoise: Denoiser,
    reward: Reward,
    sigmas: Tensor,
    betas: Tensor,
    noise: Noise,
    uniforms: Callable[[int], Tensor],
    options: FkcOptions = DEFAULTS,
    spread: float = 1.0,
    start: Tensor | None = None,
    resample_last: bool = True,
) -> Particles:
    """Sample populations of particles from the base chain tilted by exp(beta u).

    Args:
        denoise: the base model.
        reward: u, on clean points or states (`options.reward_on`).
        sigmas: (n + 1,) decreasing noise levels, the last one 0.
        betas: (n + 1,) inverse temperatures along them.
        noise: step -> (P N, ...) standard normal, keyed by step and slot: two children of one ancestor have two slots,
            hence different noise.
        uniforms: step -> (P, N) in [0, 1) for resampling.
        spread: sigma_d, standard deviation of the data.
        start: (P N, ...) states at the first level; pure noise if None.
        resample_last: whether the last step always resamples.

    Raises:
        ValueError: where weights are NaN or all zero.
    """
    levels, beta = sigmas.tolist(), betas.tolist()
    populations, n = uniforms(0).shape
    y = levels[0] * noise(0) if start is None else start
    point = evaluate(denoise, reward, y, levels[0], options)
    cloud = Population((populations, n), y.device)
    cloud.weigh(beta[0] * point.reward.double())
    last = len(levels) - 2
    for i in range(last + 1):
        pair = (levels[i], levels[i + 1])
        if options.weights == "exact":
            y, increment = exact_step(point, noise(i + 1), pair, beta[i + 1], options.scale(pair[0], spread))
            increment = increment - beta[i] * point.reward.double()
            point = evaluate(denoise, reward, y, pair[1], options)
            increment = increment + beta[i + 1] * point.reward.double()
        else:
            before = point
            y = continuous_step(before, noise(i + 1), pair, beta[i])
            point = evaluate(denoise, reward, y, pair[1], options)
            increment = continuous_increment(before, point, pair, (beta[i], beta[i + 1]))
            if options.reward_on == "clean":
                increment = increment + beta[i] * _reward_drift(denoise, reward, before, pair[1])
        cloud.weigh(increment)
        moved = cloud.resample(uniforms(i + 1), options, always=i == last and resample_last)
        if moved is not None:
            point = point.take(moved)
        cloud.record(pair[1], beta[i + 1], point.reward)
    return cloud.particles(point.y)


def _reward_drift(denoise: Denoiser, reward: Reward, point: Point, sigma_next: float) -> Tensor:
    """u(x0(y, sigma')) - u(x0(y, sigma)): the reward's change at a fixed state."""
    with torch.no_grad():
        later = denoise(point.y, sigma_next) if sigma_next > 0 else point.y
        return reward(later).double() - point.reward.double()


def diversity(z: Tensor, history: Tensor | None = None) -> Tensor:
    """L_div(z_i) = (1/d) (1/(n-1)) sum over j != i of ||z_i - z_j||^2.

    The others are constants in the gradient. The term depends on the other particles, so it is a heuristic outside the
    Feynman-Kac theory. Source: the FKC draft, "Diversity Loss".

    Args:
        z: (P, N, ...) populations of particles; distances are within a population.
        history: (M, ...) past particles that count among the others, or None.

    Returns:
        (P, N), mean squared distance per dimension.
    """
    flat = z.flatten(2)
    others = flat.detach()
    if history is not None and len(history):
        past = history.flatten(1).expand(len(z), -1, -1)
        others = torch.cat([others, past], dim=1)
    squared = flat.square().sum(-1, keepdim=True) + others.square().sum(-1)[:, None] - 2 * flat @ others.mT
    return squared.sum(-1) / (flat.shape[-1] * (others.shape[1] - 1))
