"""A network with its prompt bound: the interface of an unconditional network that predicts noise.

Guidance: eps = eps_empty + w (eps_prompt - eps_empty). For w != 1 this is not the score of a diffused density;
particles then target the guided chain, tilted.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from papa.diffusion.predictions import Prediction
from papa.models.families import Condition, Family
from papa.models.personal.attention import user_conditioning, user_state


def rows(given: Condition, n: int) -> dict[str, Tensor]:
    """A condition expanded from one row to n."""
    return {name: value.expand(n, *value.shape[1:]) if len(value) == 1 else value for name, value in given.items()}


class Prompted(nn.Module):
    """A network with its condition bound: (x_t, t) -> eps, in the VP view.

    A half-precision network computes in its own type; the result has the type of x_t.

    Args:
        network, family, prediction: of the pipeline.
        given: the condition, one row.
        autocast: the type under autocast; None without.
        person: (1, tokens, width) of a user, for a network with user attention.
    """

    def __init__(
        self,
        network: Any,
        family: Family,
        prediction: Prediction,
        given: Condition,
        autocast: torch.dtype | None = None,
        person: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.network, self.family, self.prediction = network, family, prediction
        self.autocast, self.person = autocast, person
        self.user = None if person is None else user_state(network)
        self._names = list(given)
        for name, value in given.items():
            self.register_buffer(f"given_{name}", value, persistent=False)

    @property
    def given(self) -> dict[str, Tensor]:
        """The condition, one row."""
        return {name: getattr(self, f"given_{name}") for name in self._names}

    def forward(
        self, x_t: Tensor, t: Tensor, given: Condition | None = None, with_user: Tensor | None = None
    ) -> SimpleNamespace:
        """The noise in x_t.

        Args:
            x_t: (n, ...) in the VP view.
            t: (n,) timesteps.
            given: another condition, of one row or n.
            with_user: (n, 1, 1), 0 for rows that are not conditioned on the user; None conditions all rows.
        """
        if self.user is None or self.person is None:
            return self._noise(x_t, t, given)
        with user_conditioning(self.user, self.person if with_user is None else with_user * self.person):
            return self._noise(x_t, t, given)

    def _noise(self, x_t: Tensor, t: Tensor, given: Condition | None) -> SimpleNamespace:
        dtype = next(self.network.parameters()).dtype
        condition = {name: value.to(dtype) for name, value in rows(given or self.given, len(x_t)).items()}
        x, time = self.prediction.inputs(x_t, t)
        with torch.autocast(x_t.device.type, self.autocast) if self.autocast else nullcontext():
            found = self.family.predicted(self.network, x.to(dtype), time, condition)
        return SimpleNamespace(sample=self.prediction.noise(x_t, t, found.to(x_t.dtype)))


class Guided(nn.Module):
    """Classifier-free guidance of a prompted network with scale w; at scale 1 the conditional model alone.

    The user is a part of the condition: the unconditional branch has neither prompt nor user.
    """

    def __init__(
        self, prompted: Prompted, given: Mapping[str, Tensor], empty: Mapping[str, Tensor], scale: float
    ) -> None:
        super().__init__()
        self.prompted, self.given, self.empty, self.scale = prompted, given, empty, scale

    def forward(self, x_t: Tensor, t: Tensor) -> SimpleNamespace:
        if self.scale == 1:
            return self.prompted(x_t, t, self.given)
        n = len(x_t)
        given, empty = rows(self.given, n), rows(self.empty, n)
        both = {name: torch.cat([empty[name], given[name]]) for name in given}
        with_user = torch.cat([x_t.new_zeros(n, 1, 1), x_t.new_ones(n, 1, 1)])
        without, with_prompt = self.prompted(torch.cat([x_t, x_t]), torch.cat([t, t]), both, with_user).sample.chunk(2)
        return SimpleNamespace(sample=without + self.scale * (with_prompt - without))
