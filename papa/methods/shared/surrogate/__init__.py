"""Settings of the surrogate reward: `network.py` and `features.py` have the two kinds. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from papa.settings import Fraction, Positive, Rate, Settings


class SurrogateSettings(Settings):
    """The surrogate reward: a network on latents (Conv2d - ReLU - AdaptiveAvgPool2d - MLP, fitted by MSE; the FKC
    document), or a Bayesian logistic head on the diffusion model's own activations."""

    kind: Literal["conv", "features"] = "conv"
    """The document's network, or the head; what follows is the network's, and from `levels` on the head's."""
    channels: Positive = 128
    """Convolution channels."""
    lr: Rate = 1e-3
    """Adam's learning rate."""
    batch: Positive = 32
    """Items per step."""
    epochs: Positive = 200
    """Passes over all labels at every round, at most."""
    within: Fraction = 0.2
    """A fit ends after a pass in which no answer was missed by more than this; 0: never early, as in the FKC document.
    What is fitted already needs few passes in the next round."""
    levels: Annotated[tuple[Fraction, ...], Field(min_length=1)] = (0.05, 0.2)
    """Timesteps, as shares of all, to which an item is noised before the network looks at it."""
    reference: Positive = 128
    """Base samples on which the features are standardized."""
    query: Literal["own", "random", "greedy", "ucb", "thompson", "straddle", "diverse"] = "own"
    """What is shown: what the method itself would show, or items of a pool of base samples that are chosen by what the
    surrogate knows of them (`papa.methods.shared.surrogate.queries`)."""
    pool: Positive = 256
    """Base samples in the pool; they count as evaluations of the run."""

    @model_validator(mode="after")
    def _only_the_head_knows_what_it_does_not_know(self) -> SurrogateSettings:
        if self.kind == "conv" and self.query in ("ucb", "thompson", "straddle"):
            raise ValueError(f"query: {self.query} needs a surrogate that knows its variance; set kind: features")
        return self
