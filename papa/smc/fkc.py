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
from typing import Literal

import torch
from torch import Tensor

from papa.diffusion.denoiser import Denoiser
from papa.diffusion.sampler import Noise, ancestral_kernel
from papa.smc.population import Particles, Population

Reward = Callable[[Tensor], Tensor]
"""(n, ...) points -> (n,) reward in nats, differentiable where guidance is on."""


@dataclass(frozen=True)
class Options:
    """How the particles move and are weighted; see `papa.methods.fkc.FkcSettings` for the names."""

    weights: Literal["exact", "continuous"] = "exact"
    reward_on: Literal["clean", "state"] = "clean"
    gradient: Literal["leaf", "through"] = "leaf"
    guidance: Literal["shrunk", "full", "none"] = "shrunk"
    resampling: Literal["systematic", "stratified", "none"] = "systematic"
    ess_threshold: float = 0.5
    clamp: float | None = None
    spread: float = 1.0
    resample_last: bool = True

    def __post_init__(self) -> None:
        if self.weights == "continuous" and self.reward_on == "clean" and self.gradient == "leaf":
            raise ValueError(
                "the continuous weights need the gradient through the denoiser: the leaf gradient omits "
                "d x0 / d y and makes them wrong. Use gradient='through', or weights='exact'."
            )

    @property
    def when(self) -> tuple[str, float]:
        """The scheme, and the share of N below which the effective sample size calls for it."""
        return ("systematic", -1.0) if self.resampling == "none" else (self.resampling, self.ess_threshold)

    def scale(self, sigma: float) -> float:
        """Factor on the proposal's shift. The leaf gradient omits d x0 / d y, which for data of standard
        deviation sigma_d is about sigma_d^2 / (sigma_d^2 + sigma^2)."""
        if self.guidance == "shrunk" and self.reward_on == "clean" and self.gradient == "leaf":
            return self.spread**2 / (self.spread**2 + sigma**2)
        return 1.0


@dataclass(frozen=True)
class Point:
    """States at one noise level with their clean estimates, rewards and gradients: (n, ...) each, reward (n,)."""

    y: Tensor
    x0: Tensor
    reward: Tensor
    gradient: Tensor

    def take(self, ancestors: Tensor) -> Point:
        return Point(self.y[ancestors], self.x0[ancestors], self.reward[ancestors], self.gradient[ancestors])


def evaluate(denoise: Denoiser, reward: Reward, y: Tensor, sigma: float, options: Options) -> Point:
    """Denoise `y` and take the reward and its gradient there (zero where guidance is off)."""
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
    point: Point, noise: Tensor, levels: tuple[float, float], beta_next: float | Tensor, options: Options
) -> tuple[Tensor, Tensor]:
    """Propose y' from the tilted ancestral kernel: (y', log p(y'|y) - log q(y'|y)). beta_next: of all, or (n,)."""
    mean, variance = ancestral_kernel(point.y, point.x0, *levels)
    if variance == 0:
        return mean, torch.zeros(len(mean), dtype=torch.float64, device=mean.device)
    if isinstance(beta_next, Tensor):
        beta_next = beta_next.to(mean).view(-1, *[1] * (mean.ndim - 1))
    shift = variance * beta_next * options.scale(levels[0]) * point.gradient
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

    At sigma' = 0 the model gives no score, so the left point stands for both.
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
    options: Options = Options(),
    start: Tensor | None = None,
) -> Particles:
    """Draw populations of particles from the base chain tilted by exp(beta u).

    Args:    denoise: the base model. reward: u, on clean points or states (`options.reward_on`).
             sigmas: (n + 1,) falling noise levels, the last one 0. betas: (n + 1,) along them.
             noise: step -> (P N, ...) normals, keyed by step and slot: two children of one ancestor
             have two slots, hence different noise. uniforms: step -> (P, N) in [0, 1) for resampling.
             start: (P N, ...) states at the first level; pure noise if None.
    Returns: the particles, equally weighted (unless `options.resample_last` is off).
    Raises:  ValueError where weights are NaN or all zero.
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
            y, increment = exact_step(point, noise(i + 1), pair, beta[i + 1], options)
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
        if options.clamp is not None:
            cloud.log_w = cloud.log_w.clamp(-options.clamp, options.clamp)
        scheme, below = options.when
        moved = cloud.resample(uniforms(i + 1), scheme, below, always=i == last and options.resample_last)
        if moved is not None:
            point = point.take(moved)
        cloud.record(pair[1], beta[i + 1], point.reward)
    return cloud.particles(point.y)


def _reward_drift(denoise: Denoiser, reward: Reward, point: Point, sigma_next: float) -> Tensor:
    """u(x0(y, sigma')) - u(x0(y, sigma)): what the reward of a fixed state gains as time moves on."""
    with torch.no_grad():
        later = denoise(point.y, sigma_next) if sigma_next > 0 else point.y
        return reward(later).double() - point.reward.double()
