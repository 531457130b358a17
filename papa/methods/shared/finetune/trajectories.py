"""Fine-tuning on whole trajectories: what was shown, with every state on the way there.

A policy gradient needs the states from which the shown samples came. They are drawn again where they are not in memory
any more (a session that was opened again), with the same bits.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor

from papa.diffusion.denoiser import Cost, Denoiser
from papa.diffusion.losses import stratified_timesteps
from papa.diffusion.sampler import stream_noise
from papa.diffusion.trajectory import Trajectory, sample_trajectory
from papa.errors import AnswerError
from papa.feedback import Feedback, Query
from papa.methods.shared.finetune import FinetuneSettings
from papa.methods.shared.finetune.training import FineTuned, Update

F = TypeVar("F", bound=FinetuneSettings)


class OnTrajectories(FineTuned[F]):
    """A method that learns from the transitions of what it drew itself. Updates name trajectories by their numbers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._latest: tuple[int, Trajectory] | None = None

    def drawn(self, k: int, cost: Cost) -> Trajectory:
        """The k trajectories of this round."""
        noise = stream_noise(
            self.stream.at("ask", round=self.round), (k, *self.model.shape), self.model.dtype, self.model.device
        )
        return sample_trajectory(self.model.denoiser(cost, self.network), self._sigmas, noise)

    def ask(self, k: int) -> Query:
        trajectory = self.drawn(k, self.cost)
        self._latest = self.round, trajectory
        return Query(trajectory.samples, self.condition(k))

    def shown(self, query: Query) -> Trajectory:
        """How the items of a query came about."""
        k = len(query.latents)
        if self._latest is not None and self._latest[0] == self.round and len(self._latest[1].samples) == k:
            return self._latest[1]
        return self.drawn(k, Cost())

    def check(self, query: Query, feedback: Feedback) -> None:
        super().check(query, feedback)
        if not torch.equal(self.shown(query).samples, query.latents):
            raise AnswerError(
                f"{type(self).__name__} learns from how its own samples came about, and these items are not the ones "
                "that it drew in this round. Give labels of other pictures to a method that learns from pictures: papa."
            )

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._latest = None

    def denoisers(self) -> tuple[Denoiser, Denoiser]:
        """The network in training and the base, as denoisers that count no cost; `count` does."""
        return self.model.denoiser(Cost(), self.network), self.model.denoiser(Cost(), self.base)

    def count(self, items: int, frozen: bool = False) -> None:
        """A forward and a backward evaluation of each item, and one of the frozen base."""
        evaluations = items * self.model.evaluations_per_step
        self.cost.forward += evaluations
        self.cost.backward += evaluations
        self.cost.frozen += evaluations * frozen

    def steps_of(self, update: Update, transitions: int) -> list[int]:
        """The transitions of an update, the same for all of its items: one in each stratum, or all."""
        if self.settings.timesteps == "exact" or self.settings.timesteps >= transitions:
            return list(range(transitions))
        uniforms = update.stream.at("steps").uniform(1, self.settings.timesteps)
        return stratified_timesteps(uniforms, 0, transitions)[0].tolist()

    def parts(self, items: Tensor) -> tuple[Tensor, ...]:
        """Items that go through the network together."""
        return items.split(max(1, self.settings.chunk))
