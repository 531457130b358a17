"""Distill: a surrogate labels many base samples, and the model is fine-tuned once on these pseudo-labels.

PAPA's loss anchors the model at the base and balances likes and dislikes (`balance: equal`), RAFT's uses predicted
likes, NFT's both.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from papa.feedback import Feedback, Query
from papa.methods._finetune import FineTuned, FinetuneSettings
from papa.methods._lazy import Tensor, nn, torch
from papa.methods._surrogate import Surrogate, SurrogateSettings
from papa.methods.declaration import Declaration, MethodSettings
from papa.methods.diffusion_nft import DiffusionNft, DiffusionNftSettings
from papa.methods.interface import Method
from papa.methods.papa import Papa, PapaSettings
from papa.methods.raft import Raft, RaftSettings
from papa.settings import Fraction, Positive

TRAINERS: dict[str, type[FineTuned[Any]]] = {"papa": Papa, "raft": Raft, "diffusion_nft": DiffusionNft}


class DistillSettings(MethodSettings):
    """A proposal of this project: few labels, many pseudo-labels, one fine-tuning after the last round."""

    loss: Literal["papa", "raft", "diffusion_nft"] = "papa"
    """The loss; its settings are under its name, labels and per_round are this method's."""
    guesses: Positive = 1024
    """Base samples that the surrogate labels, by its probabilities, so that uncertain ones weigh less."""
    least_likes: Fraction = 0
    """Minimum share of pseudo-labels that count as likes, the most probable ones, once a like was observed. After one
    or two likes a surrogate may predict less than 1/2 for every image and still rank them well."""
    surrogate: SurrogateSettings = SurrogateSettings(kind="features", query="straddle")
    papa: PapaSettings = PapaSettings(updates=80, balance="equal")
    raft: RaftSettings = RaftSettings(updates=80)
    diffusion_nft: DiffusionNftSettings = DiffusionNftSettings(updates=80)

    @property
    def training(self) -> FinetuneSettings:
        """The settings of the loss, with the budget of this method."""
        chosen: FinetuneSettings = getattr(self, self.loss)
        return chosen.model_copy(update={"labels": self.labels, "per_round": self.per_round})


def with_likes(guessed: np.ndarray, least: int) -> np.ndarray:
    """(n,) pseudo-labels of which at least this many are above 1/2: if fewer, the highest ones become 1."""
    if (guessed > 0.5).sum() >= least:
        return guessed
    preference = guessed.copy()
    preference[np.argsort(-guessed, kind="stable")[:least]] = 1
    return preference


class Distill(Method[DistillSettings]):
    """Few labels, many pseudo-labels, one fine-tuning."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.surrogate = Surrogate(self, self.settings.surrogate)
        if self.model.alphas_cumprod is None:
            self.model.network()  # raises
        self.trained: FineTuned[Any] | None = None
        self._values: dict[str, float] = {}

    @property
    def asks_the_base(self) -> bool:
        return not self.surrogate.from_pool

    def ask(self, k: int) -> Query:
        return self.surrogate.ask(k)

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.surrogate.seen.add(query, feedback)
        self._values = {"surrogate_mse": self.surrogate.fit()}
        if self.round == self.rounds - 1 and not np.isnan(self.surrogate.seen.preference).all():
            self._distill()

    def _distill(self) -> None:
        """Label base samples with the surrogate, and fine-tune once, on the noise that all methods share."""
        latents = self.surrogate.base_draw(self.settings.guesses, self.stream.at("guesses"))
        with torch.no_grad():
            guessed = torch.cat([self.surrogate(part) for part in latents.split(self.model.chunk)])
        preference = guessed.double().clamp(0, 1).cpu().numpy()
        if (self.surrogate.seen.preference > 0.5).any():  # else their order is meaningless
            preference = with_likes(preference, round(self.settings.least_likes * len(preference)))
        self._values["guessed_likes"] = float(preference.mean())
        self.trained = TRAINERS[self.settings.loss](self.settings.training, self.model, self.stream, self._base)
        self.trained.cost = self.cost
        self.trained.tell(Query(latents, self.condition(len(latents))), Feedback(preference, preference))

    def sample(self, n: int) -> Tensor:
        return self.base_latents(n) if self.trained is None else self.trained.sample(n)

    def aligned(self) -> nn.Module:
        return super().aligned() if self.trained is None else self.trained.aligned()

    def diagnostics(self) -> dict[str, float]:
        return dict(self._values) | ({} if self.trained is None else self.trained.diagnostics())


DISTILL = Declaration(
    DistillSettings,
    Distill,
    "this project",
    uses=("papa.methods.papa", "papa.methods.raft", "papa.methods.diffusion_nft"),
)
