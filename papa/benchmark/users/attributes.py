"""Users who prefer some attributes of an image: conjunctions, and members of the simulated population."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from papa.benchmark.personal.population import Population
from papa.benchmark.users.concepts import WantedTaste
from papa.benchmark.users.interface import Taste, User, UserKind
from papa.errors import SettingsError
from papa.feedback import Feedback, Kind
from papa.rng import Stream
from papa.settings import unknown

if TYPE_CHECKING:
    from torch import Tensor

    from papa.benchmark.tasks.interface import Attributes


class ConjunctionUser(User):
    """Likes an image whose most likely value of every wanted attribute is a wanted one. The more attributes, the rarer.

    The preference is the product, over the attributes, of the probability of the wanted values.
    """

    def calibrate(self, task: Any) -> None:
        """Load the judges of attributes.

        Raises:
            SettingsError: for an unknown attribute or value.
        """
        self._judges, self._gold = task.attribute_judges, task.attributes()
        self._wanted: dict[str, list[int]] = {}
        for name, wanted in self.taste.wanted.items():
            if name not in self._gold.values:
                raise SettingsError(f"a user wants {unknown('attribute', name, self._gold.values)}")
            known = list(self._gold.values[name])
            for value in map(str, wanted if isinstance(wanted, list) else [wanted]):
                if value not in known:
                    raise SettingsError(f"a user wants {unknown(name, value, known)}")
                self._wanted.setdefault(name, []).append(known.index(value))

    def preference(self, images: Tensor) -> Tensor:
        import torch

        shares = self._gold(images)
        return torch.stack([shares[name][:, places].sum(1) for name, places in self._wanted.items()]).prod(0)

    def verdict(self, images: Tensor) -> np.ndarray:
        return self._all_fit(self._gold, images)

    def _all_fit(self, judge: Attributes, images: Tensor) -> np.ndarray:
        shares = judge(images)
        fits = [np.isin(shares[name].argmax(1).cpu().numpy(), places) for name, places in self._wanted.items()]
        return np.all(fits, 0).astype(np.float64)

    def held_out_verdicts(self) -> Mapping[str, Callable[[Tensor], np.ndarray]]:
        return {name: partial(self._all_fit, judge) for name, judge in self._judges().items() if name != "gold"}


class MemberTaste(Taste):
    """A member of `papa.benchmark.personal.population`."""

    number: Annotated[int, Field(ge=0, lt=10**6)]
    """Which member. The shipped adapter was trained on members 0 to 299; 300 to 399 are unseen."""
    share: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """Share of images of known concepts with a positive label, for binary answers."""
    graded: bool = False
    """Answer with a grade instead of yes or no."""


class Member(User):
    """Prefers by weights of attributes; chooses between pairs by Bradley-Terry with ties.

    The preference is a logistic curve in the utility: 1/2 at the utility that a share `taste.share` of images of known
    concepts exceeds, 0.88 one standard deviation above. Binary answers: whether it is above 1/2.
    """

    def calibrate(self, task: Any) -> None:
        """Load the gold judge of attributes, and measure the utility of images of known concepts."""
        self._gold = task.attributes()
        self.person = Population(self._gold.values).person(self.taste.number)
        known = self.utility(task.known_images()[0])
        self._middle, self._deviation = float(np.quantile(known, 1 - self.taste.share)), float(known.std())

    def utility(self, images: Tensor) -> np.ndarray:
        """(n,) utility of images, in the unit of the weights."""
        return self._utility(images).detach().double().cpu().numpy()

    def _utility(self, images: Tensor) -> Tensor:
        import torch

        shares = self._gold(images)
        tastes = [
            sum(shares[name] @ torch.from_numpy(w).to(shares[name]) for name, w in taste.items())
            for taste in self.person.tastes
        ]
        return torch.stack([torch.as_tensor(taste) for taste in tastes]).amax(0)

    def preference(self, images: Tensor) -> Tensor:
        return (2 * (self._utility(images) - self._middle) / self._deviation).sigmoid()

    def verdict(self, images: Tensor) -> np.ndarray:
        preference = self.preference(images).detach().double().cpu().numpy()
        return preference if self.taste.graded else (preference > 0.5).astype(np.float64)

    def answer(self, images: Tensor, kind: Kind, stream: Stream, progress: float = 0.0) -> Feedback:
        """Answer item by item, or in pairs of items 2i and 2i + 1, with ties and noise by the member's temperature."""
        probability = self.preference(images).detach().double().cpu().numpy()
        if kind != "pairs":
            return Feedback(self.verdict(images), probability)
        utility = self.utility(images) / self._deviation
        first = np.arange(0, len(images) - 1, 2)
        chosen = self.person.choose(utility[first], utility[first + 1], stream.at("choice").uniform(len(first)))
        both = np.stack([first, first + 1], 1)
        pairs = np.where(chosen[:, None] == 1, both, both[:, ::-1])[chosen != 0.5]
        return Feedback(self.verdict(images), probability, pairs, both[chosen == 0.5])


USES = ("papa.benchmark.personal.population", "papa.benchmark.users.concepts", "papa.benchmark.users.classes")
CONJUNCTION = UserKind(WantedTaste, ConjunctionUser, needs="attributes", uses=USES)
MEMBER = UserKind(MemberTaste, Member, needs="attributes", uses=USES)
