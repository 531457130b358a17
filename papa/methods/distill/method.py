"""Distil: the surrogate's guesses for many base samples become the model's training data.

Nobody is asked about these samples. PAPA's loss keeps the model near the base and its likes and dislikes in balance
(`balance: equal`), RAFT's takes what is guessed to be liked, NFT's both sides of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from papa.feedback import Feedback, Query
from papa.methods.diffusion_nft.method import DiffusionNft
from papa.methods.distill import DistillSettings
from papa.methods.papa.method import Papa
from papa.methods.raft.method import Raft
from papa.methods.shared.finetune.training import FineTuned
from papa.methods.shared.surrogate.method import WithSurrogate

TRAINERS: dict[str, type[FineTuned[Any]]] = {"papa": Papa, "raft": Raft, "diffusion_nft": DiffusionNft}


def with_likes(guessed: np.ndarray, least: int) -> np.ndarray:
    """(n,) guesses with so many above 1/2 at least: where there are fewer, the highest ones become 1."""
    if (guessed > 0.5).sum() >= least:
        return guessed
    preference = guessed.copy()
    preference[np.argsort(-guessed, kind="stable")[:least]] = 1
    return preference


class Distill(WithSurrogate[DistillSettings]):
    """Few answers, many guesses, one fine-tuning."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.model.alphas_cumprod is None:
            self.model.network()  # which says that there is none
        self.trained: FineTuned[Any] | None = None
        self._values: dict[str, float] = {}

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.seen.add(query, feedback)
        self._values = {"surrogate_mse": self.fit()}
        if self.round == self.rounds - 1 and not np.isnan(self.seen.preference).all():
            self._distil()

    def _start(self) -> FineTuned[Any]:
        """The method that trains, on the same streams: it draws from the noise that all methods share."""
        of: type[FineTuned[Any]] = TRAINERS[self.settings.loss]
        trained = of(self.settings.trainer, self.model, self.stream, self._base)
        trained.cost = self.cost
        return trained

    def _distil(self) -> None:
        """Guess, and fine-tune once."""
        latents = self.base_draw(self.settings.guesses, self.stream.at("guesses"))
        with torch.no_grad():
            guessed = torch.cat([self.surrogate(part) for part in latents.split(self.model.chunk)])
        preference = guessed.double().clamp(0, 1).cpu().numpy()
        if (self.seen.preference > 0.5).any():  # else their order says nothing
            preference = with_likes(preference, round(self.settings.least_likes * len(preference)))
        self._values["guessed_likes"] = float(preference.mean())
        self.trained = self._start()
        self.trained.tell(Query(latents, self.condition(len(latents))), Feedback(preference, preference))

    def sample(self, n: int) -> Tensor:
        return self.base_latents(n) if self.trained is None else self.trained.sample(n)

    def aligned(self) -> nn.Module:
        return super().aligned() if self.trained is None else self.trained.aligned()

    def diagnostics(self) -> dict[str, float]:
        return dict(self._values) | ({} if self.trained is None else self.trained.diagnostics())

    def state(self) -> dict[str, Any]:
        return super().state() | {"trained": None if self.trained is None else self.trained.state()}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.trained = None
        if state["trained"] is not None:
            self.trained = self._start()
            self.trained.restore(state["trained"])
