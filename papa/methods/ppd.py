"""PPD: one model for all users, conditioned on a user by a few pairwise choices; and the same as a warm start.

Pairs of base samples are compared, and the choices condition the model; no weight changes. As a warm start, the first
round's pairs condition the model, and another method continues from it as its base (its anchor, its first samples, its
particles' proposals). The training of the adapter is in `ppd_training.py`.

Source: "Personalized Preference Fine-tuning of Diffusion Models" (arXiv 2501.06655).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from papa.errors import ModelError
from papa.feedback import Feedback, Query
from papa.methods._lazy import Tensor, encoder, nn, torch
from papa.methods.declaration import Declaration, MethodSettings, Pictures
from papa.methods.fkc import Fkc, FkcSettings
from papa.methods.interface import Method
from papa.methods.papa import Papa, PapaSettings


class PpdSettings(MethodSettings):
    """The model conditioned on a user. No weight changes; every round's choices refine the condition."""

    @property
    def needs_adapter(self) -> bool:
        return True


class PpdPapaSettings(PapaSettings):
    """PAPA whose base and anchor is the model conditioned on the first round's choices."""

    @property
    def needs_adapter(self) -> bool:
        return True

    @property
    def cannot_begin(self) -> None:
        return None  # the given pairs condition the model, and PAPA's own first round follows


class PpdFkcSettings(FkcSettings):
    """FKC whose base is the model conditioned on the first round's choices."""

    @property
    def needs_adapter(self) -> bool:
        return True


class Ppd(Method[Any]):
    """Samples conditioned on the choices so far; without choices it is the base."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.model.personal is None:
            raise ModelError(
                "this model has no adapter that was trained on a population, and PPD needs one: train it (docs/ppd.md) "
                "and set `model.personal`, or take a method that learns from one user alone, such as papa or fkc."
            )
        self.personal = self.model.personal()
        self.preferred: list[Tensor] = []
        self.rejected: list[Tensor] = []
        """Latents of each round's pairs."""
        self.conditioned = self.model.with_adapter(self.personal)

    @property
    def asks_the_base(self) -> bool:
        return True

    def base_query(self, k: int, ahead: int = 0) -> Query:
        return replace(super().base_query(k, ahead), kind="pairs")

    def ask(self, k: int) -> Query:
        return self.base_query(k)

    def learn(self, query: Query, feedback: Feedback) -> None:
        pairs = np.asarray([] if feedback.pairs is None else feedback.pairs, dtype=np.int64).reshape(-1, 2)
        index = torch.from_numpy(pairs)
        self.preferred.append(query.latents[index[:, 0]].detach())
        self.rejected.append(query.latents[index[:, 1]].detach())

    @property
    def pairs(self) -> int:
        """Pairs chosen so far; ties are none."""
        return sum(map(len, self.preferred))

    def user_tokens(self) -> Tensor | None:
        """The encoded choices; None without any."""
        if not (n := self.pairs):
            return None
        with torch.no_grad():
            images = self.model.decode(torch.cat([*self.preferred, *self.rejected])).float().cpu()
        return self.personal.encoder.encode(encoder.Choices(images[:n], images[n:], [self.model.prompt or ""] * n))

    def sample(self, n: int) -> Tensor:
        user = self.user_tokens()
        if user is None:
            return self.base_latents(n)
        return self.draw(self.conditioned.conditioned_on(user).denoiser(self.cost), n, self.stream.at("sample"))

    def diagnostics(self) -> dict[str, float]:
        return {"pairs": float(self.pairs)}


class WarmStart(Ppd):
    """A method that continues from the conditioned model."""

    continued_by: ClassVar[Callable[..., Method[Any]]]
    """Its class; it has the same settings."""
    inner: Method[Any] | None = None
    """The method itself, from the first answers on; it counts in the cost of this one."""

    @property
    def asks_the_base(self) -> bool:
        return False

    def ask(self, k: int) -> Query:
        return self.base_query(k) if self.inner is None else self.inner.ask(k)

    def check(self, query: Query, feedback: Feedback) -> None:
        super().check(query, feedback) if self.inner is None else self.inner.check(query, feedback)

    def learn(self, query: Query, feedback: Feedback) -> None:
        if self.inner is not None:
            self.inner.tell(query, feedback)
            return
        super().learn(query, feedback)
        model = self.conditioned.conditioned_on(self.user_tokens())
        self.inner = type(self).continued_by(self.settings, model, self.stream.at("warm"), None, self.oracle)
        self.inner.cost = self.cost

    def sample(self, n: int) -> Tensor:
        return self.base_latents(n) if self.inner is None else self.inner.sample(n)

    def aligned(self) -> nn.Module:
        return super().aligned() if self.inner is None else self.inner.aligned()

    def diagnostics(self) -> dict[str, float]:
        return super().diagnostics() | ({} if self.inner is None else self.inner.diagnostics())

    def trace(self) -> list[dict[str, float]]:
        return [] if self.inner is None else self.inner.trace()


class WarmPapa(WarmStart):
    continued_by = Papa


class WarmFkc(WarmStart):
    continued_by = Fkc


SOURCE = "Personalized Preference Fine-tuning of Diffusion Models (arXiv 2501.06655)"
PAIRS: frozenset[Pictures] = frozenset({"pairs"})
USES = ("papa.methods.papa", "papa.methods.fkc", "papa.methods.ppd_training")
PPD = Declaration(PpdSettings, Ppd, SOURCE, pictures=PAIRS, uses=USES)
PPD_PAPA = Declaration(PpdPapaSettings, WarmPapa, f"this project; {SOURCE}", pictures=PAIRS, uses=USES)
PPD_FKC = Declaration(PpdFkcSettings, WarmFkc, f"this project; {SOURCE}", pictures=PAIRS, uses=USES)
