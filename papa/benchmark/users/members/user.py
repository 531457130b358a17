"""A person of the simulated population, as a user."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.personal.population import Population
from papa.benchmark.tasks.interface import KnowsAttributes
from papa.benchmark.users.interface import User
from papa.benchmark.users.members import MemberTaste
from papa.feedback import Feedback, Kind
from papa.rng import Stream


class Member(User[MemberTaste, KnowsAttributes]):
    """Likes by weights of attributes; chooses between pairs by Bradley-Terry with ties.

    The preference is a logistic curve in the utility, 1/2 where the share `taste.share` of images of known
    concepts has or exceeds, one deviation of the utility from there to 0.88. Yes or no: whether it is above 1/2.
    """

    def meet(self, task: KnowsAttributes) -> None:
        """Take over the task's view of attributes, and find out what pictures there are."""
        self._shares = task.attributes()
        self.person = Population(self._shares.values).person(self.taste.number)
        known = self.utility(task.known_images()[0])
        self._middle, self._deviation = float(np.quantile(known, 1 - self.taste.share)), float(known.std())

    def utility(self, images: Tensor) -> np.ndarray:
        """(n,) utility of images, in the unit of the weights."""
        with torch.no_grad():
            return self._utility(images).double().cpu().numpy()

    def _utility(self, images: Tensor) -> Tensor:
        shares = self._shares(images)
        tastes = [
            sum(shares[name] @ torch.from_numpy(w).to(shares[name]) for name, w in taste.items())
            for taste in self.person.tastes
        ]
        return torch.stack([torch.as_tensor(taste) for taste in tastes]).amax(0)

    def preference(self, images: Tensor) -> Tensor:
        return torch.sigmoid(2 * (self._utility(images) - self._middle) / self._deviation)

    def verdict(self, images: Tensor) -> np.ndarray:
        with torch.no_grad():
            preference = self.preference(images).double().cpu().numpy()
        return preference if self.taste.graded else (preference > 0.5).astype(np.float64)

    def answer(self, images: Tensor, kind: Kind, stream: Stream) -> Feedback:
        """Item by item, or in pairs: items 2i and 2i + 1, some of them ties, some turned round by the temperature."""
        with torch.no_grad():
            probability = self.preference(images).double().cpu().numpy()
        if kind != "pairs":
            return Feedback(self.verdict(images), probability)
        utility = self.utility(images) / self._deviation
        first = np.arange(0, len(images) - 1, 2)
        said = self.person.choose(utility[first], utility[first + 1], stream.at("choice").uniform(len(first)))
        both = np.stack([first, first + 1], 1)
        pairs = np.where(said[:, None] == 1, both, both[:, ::-1])[said != 0.5]
        return Feedback(self.verdict(images), probability, pairs, both[said == 0.5])
