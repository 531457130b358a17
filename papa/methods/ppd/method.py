"""PPD behind ask and tell: pairs of base samples are asked about, and the answers describe the person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from papa.errors import ModelError
from papa.feedback import Feedback, Query
from papa.methods.interface import Method
from papa.methods.ppd import PpdFkcSettings, PpdPapaSettings, PpdSettings
from papa.models.interface import Model
from papa.models.personal.adapter import UserAdapter
from papa.models.personal.encoder import Choices


def personal_of(model: Model) -> UserAdapter:
    """What makes a model personal.

    Raises:  ModelError for a model without an adapter.
    """
    if model.personal is None:
        raise ModelError(
            "this model has no adapter that was trained on a population, and PPD needs one: train it (docs/ppd.md) and "
            "set `model.personal`, or take a method that learns from one person alone, as papa or fkc."
        )
    return model.personal()


S = TypeVar("S", PpdSettings, PpdPapaSettings, PpdFkcSettings)


class Chosen:
    """What a person chose so far, as latents; (n, ...) each."""

    def __init__(self) -> None:
        self._preferred: list[Tensor] = []
        self._rejected: list[Tensor] = []

    def add(self, query: Query, feedback: Feedback) -> None:
        """Take over the pairs of an answer; ties say nothing."""
        pairs = np.asarray([] if feedback.pairs is None else feedback.pairs, dtype=np.int64).reshape(-1, 2)
        index = torch.from_numpy(pairs)
        self._preferred.append(query.latents[index[:, 0]].detach())
        self._rejected.append(query.latents[index[:, 1]].detach())

    def __len__(self) -> int:
        return sum(map(len, self._preferred))

    def choices(self, model: Model) -> Choices:
        """The choices as images."""
        preferred, rejected = torch.cat(self._preferred), torch.cat(self._rejected)
        with torch.no_grad():
            images = model.decode(torch.cat([preferred, rejected])).float().cpu()
        caption = model.prompt or ""
        return Choices(images[: len(preferred)], images[len(preferred) :], [caption] * len(preferred))

    def state(self) -> dict[str, Any]:
        return {"preferred": list(self._preferred), "rejected": list(self._rejected)}

    def restore(self, state: dict[str, Any]) -> None:
        self._preferred, self._rejected = list(state["preferred"]), list(state["rejected"])


class OfPairs(Method[S]):
    """What PPD and the methods that start from it share: pairs of base samples, and the person whom they describe."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.personal = personal_of(self.model)
        self.chosen = Chosen()
        self.told = self.model.with_adapter(self.personal, self.settings.user_scale)

    def base_query(self, k: int, ahead: int = 0) -> Query:
        """k base samples, to be compared two by two."""
        return replace(super().base_query(k, ahead), kind="pairs")

    def described(self) -> Tensor | None:
        """The tokens of the person; None while nothing is known of them."""
        return self.personal.encoder.encode(self.chosen.choices(self.model)) if len(self.chosen) else None

    def diagnostics(self) -> dict[str, float]:
        return {"pairs": float(len(self.chosen))}

    def state(self) -> dict[str, Any]:
        return super().state() | {"chosen": self.chosen.state()}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.chosen.restore(state["chosen"])


class Ppd(OfPairs[PpdSettings]):
    """Draws for the person that the choices so far describe; with no choice yet it is the base."""

    @property
    def asks_the_base(self) -> bool:
        return True

    def ask(self, k: int) -> Query:
        return self.base_query(k)

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.chosen.add(query, feedback)

    def sample(self, n: int) -> Tensor:
        person = self.described()
        if person is None:
            return self.base_latents(n)
        return self.draw(self.told.conditioned_on(person).denoiser(self.cost), n, self.stream.at("sample"))
