"""A user whose labels come from a judge that was trained in haste, on few pictures: its mistakes can be exploited."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.tasks.interface import LabelsHastily
from papa.benchmark.users.hasty import HastyTaste
from papa.benchmark.users.interface import User


class HastyUser(User[HastyTaste, LabelsHastily]):
    """Likes what the hasty judge takes for one of the wanted concepts.

    The other judges were trained well and know what the pictures show, so the preference that they see beside this
    user's own tells how much of it was earned by misleading the hasty one.
    """

    def meet(self, task: LabelsHastily) -> None:
        """Take over the hasty judge.

        Raises:  SettingsError where no concept has the wanted attributes.
        """
        self._judge, self.classes = task.hasty(), task.proxy().bank.members(self.taste.wanted)

    def preference(self, images: Tensor) -> Tensor:
        return self._judge(images).softmax(1)[:, list(self.classes or ())].sum(1)

    @torch.no_grad()
    def verdict(self, images: Tensor) -> np.ndarray:
        return np.isin(self._judge(images).argmax(1).cpu().numpy(), self.classes or ()).astype(np.float64)
