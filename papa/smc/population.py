"""Populations of particles: their weights, their ancestors, and a trace of every step.

Populations are rows, (P, N), and independent of each other.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from papa.smc import FkcOptions
from papa.smc.resampling import resample
from papa.smc.weights import effective_sample_size, log_mean_exp


@dataclass
class Trace:
    """One entry per transition, averaged over the populations."""

    sigma: list[float] = field(default_factory=list)
    beta: list[float] = field(default_factory=list)
    ess: list[float] = field(default_factory=list)
    lowest_ess: list[float] = field(default_factory=list)
    unique_ancestors: list[float] = field(default_factory=list)
    reward: list[float] = field(default_factory=list)
    resampled: list[float] = field(default_factory=list)

    def rows(self) -> list[dict[str, float]]:
        """One row for each step, counted from 1."""
        columns = {"step": [*range(1, len(self.sigma) + 1)], **asdict(self)}
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


@dataclass(frozen=True)
class Particles:
    """The result of a particle sampler.

    Attributes:
        samples: (P N, ...), populations one after another.
        log_w: (P, N), zero after a final resampling.
        log_z: (P,) log normalizing constants.
        ancestors: (P, N) slot of each particle's ancestor at the first step.
        parents: (P, N) slot before the last resampling; particles of one parent are the same point.
        trace: one entry per step.
    """

    samples: Tensor
    log_w: Tensor
    log_z: Tensor
    ancestors: Tensor
    parents: Tensor
    trace: Trace


class Population:
    """Populations during sampling, equally weighted at the start. shape: (P, N)."""

    def __init__(self, shape: tuple[int, int], device: torch.device) -> None:
        self.count, self.n = shape
        self.log_w = torch.zeros(shape, dtype=torch.float64, device=device)
        self.log_z = torch.zeros(self.count, dtype=torch.float64, device=device)
        self.slots = torch.arange(self.n, device=device).expand(shape)
        self.ancestors, self.parents = self.slots, self.slots
        self.trace = Trace()
        self._rows = torch.arange(self.count, device=device)[:, None] * self.n
        self._ess = torch.full((self.count,), float(self.n))
        self._due = torch.zeros(self.count, dtype=torch.bool, device=device)

    def weigh(self, increment: Tensor) -> None:
        """Multiply the weights; increment: (P N,) in nats."""
        self.log_w = self.log_w + increment.view(self.count, self.n)

    def resample(
        self, uniforms: Tensor, options: FkcOptions, always: bool = False, slack: float = 1.0
    ) -> Tensor | None:
        """Resample the populations whose effective sample size is too small, or all; their log-weights become 0.

        Args:
            uniforms: (P, N) in [0, 1).
            slack: factor on the threshold.

        Returns:
            (P N,) index of the particle that each slot takes over, to gather states with; None if nothing is resampled.
        """
        none = options.resampling == "none"
        scheme, below = ("systematic", -1.0) if none else (options.resampling, options.ess_threshold * slack)
        self._ess = effective_sample_size(self.log_w)
        self._due = torch.ones_like(self._ess, dtype=torch.bool) if always else self._ess < below * self.n
        self.parents = self.slots
        if not self._due.any():
            return None
        self.log_z = self.log_z + torch.where(self._due, log_mean_exp(self.log_w), 0.0)
        drawn = resample(self.log_w, uniforms.to(self.log_w.device), scheme)
        self.parents = drawn = torch.where(self._due[:, None], drawn, self.slots)
        self.log_w = torch.where(self._due[:, None], 0.0, self.log_w)
        self.ancestors = self.ancestors.gather(1, drawn)
        return (drawn + self._rows).flatten()

    def record(self, sigma: float, beta: float, reward: Tensor) -> None:
        """Append to the trace. reward: (P N,) after resampling."""
        trace = self.trace
        trace.sigma.append(sigma)
        trace.beta.append(beta)
        trace.ess.append(self._ess.mean().item())
        trace.lowest_ess.append(self._ess.min().item())
        trace.unique_ancestors.append(sum(len(row.unique()) for row in self.ancestors) / self.count)
        trace.reward.append(reward.double().mean().item())
        trace.resampled.append(self._due.double().mean().item())

    def particles(self, samples: Tensor) -> Particles:
        """The result; the remaining weights enter log Z."""
        log_z = self.log_z + log_mean_exp(self.log_w)
        return Particles(samples, self.log_w, log_z, self.ancestors, self.parents, self.trace)
