"""Users who like a conjunction: pictures that have every wanted attribute. The more of them, the rarer the like."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.tasks.interface import Attributes, KnowsAttributes
from papa.benchmark.users.conjunctions import ConjunctionTaste
from papa.benchmark.users.interface import User
from papa.errors import SettingsError
from papa.settings import unknown


class ConjunctionUser(User[ConjunctionTaste, KnowsAttributes]):
    """Likes a picture whose most likely value of every wanted attribute is a wanted one.

    The preference is the product, over the attributes, of the probability of the wanted values.
    """

    def meet(self, task: KnowsAttributes) -> None:
        """Take over the task's view of attributes.

        Raises:  SettingsError for an attribute or a value that pictures do not have.
        """
        self._eyes = task.eyes
        self._shares = task.attributes()
        self._wanted: dict[str, list[int]] = {}
        for name, wanted in self.taste.wanted.items():
            if name not in self._shares.values:
                raise SettingsError(f"a user wants {unknown('attribute', name, self._shares.values)}")
            known = list(self._shares.values[name])
            asked = [str(value) for value in (wanted if isinstance(wanted, list) else [wanted])]
            if strange := [value for value in asked if value not in known]:
                raise SettingsError(f"a user wants {unknown(name, strange[0], known)}")
            self._wanted[name] = [known.index(value) for value in asked]

    def preference(self, images: Tensor) -> Tensor:
        shares = self._shares(images)
        return torch.stack([shares[name][:, places].sum(1) for name, places in self._wanted.items()]).prod(0)

    def verdict(self, images: Tensor) -> np.ndarray:
        return self._all_fit(self._shares, images)

    @torch.no_grad()
    def _all_fit(self, seen: Attributes, images: Tensor) -> np.ndarray:
        shares = seen(images)
        fits = [np.isin(shares[name].argmax(1).cpu().numpy(), places) for name, places in self._wanted.items()]
        return np.all(fits, 0).astype(np.float64)

    def elsewhere(self) -> Mapping[str, Callable[[Tensor], np.ndarray]]:
        return {
            name: lambda images, seen=seen: self._all_fit(seen, images)
            for name, seen in self._eyes().items()
            if name != "gold"
        }
