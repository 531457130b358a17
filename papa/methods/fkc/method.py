"""FKC: training-free alignment by reward-tilted particles.

Source: the FKC document (Active Preference Alignment) and Skreta et al. 2025; the mathematics is in
`papa.smc.fkc`. The diffusion model's weights never change; only a small surrogate learns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from papa.diffusion.sampler import stream_noise
from papa.feedback import Feedback, Query
from papa.methods.fkc import FkcSettings
from papa.methods.interface import Method
from papa.methods.shared.labelled import Labelled
from papa.methods.shared.surrogate.network import Surrogate
from papa.rng import Stream
from papa.smc.diversity import diversity
from papa.smc.fkc import Options, Particles, Reward, fkc


class Fkc(Method[FkcSettings]):
    """Feynman-Kac correctors with an online surrogate reward."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        settings = self.settings
        self.seen = Labelled()
        self.surrogate = Surrogate(self.model.shape, settings.surrogate, self.stream.at("surrogate"))
        self.surrogate.to(self.model.device)
        self.options = Options(
            weights=settings.weights,
            reward_on=settings.reward_on,
            gradient=settings.gradient,
            guidance=settings.guidance,
            resampling=settings.resampling,
            ess_threshold=settings.ess_threshold,
            clamp=settings.clamp_weights,
            spread=self.model.spread,
        )
        self._values: dict[str, float] = {}
        self._trace: list[dict[str, float]] = []
        self._past: Tensor | None = None

    # ------------------------------------------------------------ schedules

    def _along_rounds(self, first: float, last: float) -> float:
        """Linear over the tilted rounds 1..H-1."""
        tilted = max(1, self.settings.rounds - 2)
        return first + (last - first) * min(1.0, max(0, self.round - 1) / tilted)

    def _along_trajectory(self, beta: float) -> Tensor:
        """(steps + 1,) inverse temperatures from 0 at pure noise to `beta` at the data.

        Linear in the step. A reward of the noisy state itself would then pull far too hard where the
        states are wide, so there beta rises as sigma_d^2 / (sigma_d^2 + sigma^2) does.
        """
        if self.settings.reward_on == "state":
            spread = self.model.spread**2
            return beta * spread / (spread + self._sigmas**2)
        return torch.linspace(0, beta, len(self._sigmas), dtype=torch.float64)

    @property
    def tilted(self) -> bool:
        """Whether there is anything to tilt by: labels, or the control's true liking."""
        return self.round > 0 or self.settings.reward == "true"

    def _reward(self, gamma: float, populations: int) -> Reward:
        """u of (P N, ...) clean points: the surrogate or the true liking, and the diversity term."""

        def reward(z: Tensor) -> Tensor:
            liking = self.oracle(self.model.decode(z)) if self.oracle is not None else self.surrogate(z)
            if self.settings.diversity and gamma > 0:
                spread = diversity(z.view(populations, -1, *z.shape[1:]), self._past)
                liking = liking + gamma * spread.flatten()
            return liking

        return reward

    # ------------------------------------------------------------ ask, sample, tell

    def particles(self, populations: int, beta: float, gamma: float, stream: Stream) -> Particles:
        """Populations of particles tilted by exp(beta u)."""
        n, model = self.settings.particles, self.model
        noise = stream_noise(stream, (populations * n, *model.shape), model.dtype, model.device)
        start = None
        if self.settings.init == "base":
            # Separate noise: the base latents were drawn from the noise of the final samples.
            fresh = stream_noise(stream.at("init"), (populations * n, *model.shape), model.dtype, model.device)
            start = self.base_latents(populations * n) + self._sigmas[0].item() * fresh(0)

        def uniforms(step: int) -> Tensor:
            return torch.from_numpy(stream.at("resampling", step=step).uniform(populations, n)).to(model.device)

        denoise, reward = model.denoiser(self.cost), self._reward(gamma, populations)
        result = fkc(denoise, reward, self._sigmas, self._along_trajectory(beta), noise, uniforms, self.options, start)
        self._trace = [row | {"gamma": self._used(gamma)} for row in result.trace.rows()]
        return result

    def _used(self, gamma: float) -> float:
        return gamma if self.settings.diversity else 0.0

    def ask(self, k: int) -> Query:
        stream = self.stream.at("ask", round=self.round)
        self._trace = []
        if not self.tilted:
            return Query(self.draw(self.model.denoiser(self.cost), k, stream), self.condition(k))
        beta = self._along_rounds(self.settings.beta_min, self.settings.beta_max)
        gamma = self._along_rounds(self.settings.gamma_max, self.settings.gamma_min)
        result = self.particles(1, beta, gamma, stream)
        self._values = {
            "beta": beta,
            "gamma": self._used(gamma),
            "ess": result.trace.ess[-1],
            "lowest_ess": min(result.trace.lowest_ess),
            "unique_ancestors": result.trace.unique_ancestors[-1],
            "reward": result.trace.reward[-1],
            "log_z": result.log_z.mean().item(),
        }
        chosen = distinct_first(result.parents[0], result.ancestors[0], k, stream.at("chosen"))
        return Query(result.samples[chosen], self.condition(k))

    def sample(self, n: int) -> Tensor:
        """n particles of P = ceil(n / N) populations; sample i is one of population i mod P.

        Which particle of it is chosen at random: resampling leaves the slots sorted by ancestor, so a particle's
        distribution depends on its slot, and only that of a random slot is the population's.
        """
        self._trace = []
        if not self.tilted:
            return self.base_latents(n)
        populations, stream = -(-n // self.settings.particles), self.stream.at("sample")
        result = self.particles(populations, self.settings.beta_max, self.settings.gamma_min, stream)
        return result.samples[dealt(populations, self.settings.particles, stream.at("slots"))[:n]]

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.seen.add(query, feedback)
        self._past = self.seen.latents[-self.settings.history :] if self.settings.history else None
        if self.settings.reward == "surrogate":
            fit_stream = self.stream.at("surrogate", "fit", round=self.round)
            error = self.surrogate.fit(self.seen.latents, self.seen.liking, fit_stream)
            self._values["surrogate_mse"] = error

    # ------------------------------------------------------------ records

    def diagnostics(self) -> dict[str, float]:
        return dict(self._values)

    def trace(self) -> list[dict[str, float]]:
        """A row for each step of the latest population (of `sample`: means over its populations)."""
        return [dict(row) for row in self._trace]

    def state(self) -> dict[str, Any]:
        return super().state() | {"seen": self.seen.state(), "surrogate": self.surrogate.state()}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.seen.restore(state["seen"])
        if self.round:
            self._past = self.seen.latents[-self.settings.history :] if self.settings.history else None
        self.surrogate.restore(state["surrogate"])


def dealt(populations: int, n: int, stream: Stream) -> Tensor:
    """(P N,) int64 particles, one of each population in turn, within a population in random order."""
    order = stream.generator().permuted(np.tile(np.arange(n), (populations, 1)), axis=1)
    return torch.from_numpy((order + n * np.arange(populations)[:, None]).T.flatten())


def distinct_first(parents: Tensor, ancestors: Tensor, k: int, stream: Stream) -> Tensor:
    """k uniform draws of the particles: distinct points first, and among them distinct ancestors first.

    Args:    parents, ancestors: (N,) as in `papa.smc.fkc.Particles`.
    Returns: (k,) int64 slots.
    """
    order = stream.generator().permutation(len(parents))
    repeat = _how_manieth(parents.cpu().numpy()[order])
    relative = _how_manieth(ancestors.cpu().numpy()[order])
    return torch.from_numpy(order[np.lexsort((relative, repeat))][:k].copy())


def _how_manieth(values: np.ndarray) -> np.ndarray:
    """For each entry, how many equal ones stand before it."""
    return np.array([np.count_nonzero(values[:i] == value) for i, value in enumerate(values)])
