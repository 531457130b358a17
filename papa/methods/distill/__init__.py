"""Distil: few answers teach a surrogate, it guesses many, and the model is fine-tuned once on the guesses."""

from __future__ import annotations

from typing import Literal

from papa.methods.declaration import Declaration, MethodSettings
from papa.methods.diffusion_nft import DiffusionNftSettings
from papa.methods.papa import PapaSettings
from papa.methods.raft import RaftSettings
from papa.methods.shared.finetune import FinetuneSettings
from papa.methods.shared.surrogate import SurrogateSettings
from papa.settings import Fraction, Positive


class DistillSettings(MethodSettings):
    """A bet of this project: label few, guess many, fine-tune once, at the end of the last round."""

    loss: Literal["papa", "raft", "diffusion_nft"] = "papa"
    """What the guesses train with; its settings stand under its name, labels and per_round are this method's."""
    guesses: Positive = 1024
    """Base samples that the surrogate labels by itself: with its probabilities, so that doubtful ones weigh less."""
    least_likes: Fraction = 0
    """Share of the guesses that count as likes at least, the most probable ones, once a like was seen. A surrogate that
    has seen one or two likes may rate no image above 1/2, and yet knows which ones are like them."""
    surrogate: SurrogateSettings = SurrogateSettings(kind="features", query="straddle")
    papa: PapaSettings = PapaSettings(updates=80, balance="equal")
    raft: RaftSettings = RaftSettings(updates=80)
    diffusion_nft: DiffusionNftSettings = DiffusionNftSettings(updates=80)

    @property
    def trainer(self) -> FinetuneSettings:
        """The settings of the loss, with the budget of this method."""
        chosen: FinetuneSettings = getattr(self, self.loss)
        return chosen.model_copy(update={"labels": self.labels, "per_round": self.per_round})

    @property
    def training(self) -> FinetuneSettings:
        return self.trainer


DISTILL = Declaration(
    DistillSettings,
    "papa.methods.distill.method:Distill",
    "this project",
    uses=("papa.methods.papa", "papa.methods.raft", "papa.methods.diffusion_nft"),
)
