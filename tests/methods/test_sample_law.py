"""`sample(n)` has one law: the same for every n and for every position.

Over many seeds, what stands at a position is held against the mean of all that was drawn for that seed.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from support import tiny
from support.nets import scheduler, small_unet
from torch import Tensor

from papa.feedback import Feedback
from papa.methods import METHODS, declaration
from papa.methods.interface import Method
from papa.models.interface import Model
from papa.models.mixture import Mixture, MixtureModel
from papa.models.settings import SamplingSettings
from papa.models.unet import UNetModel
from papa.rng import Stream

PARTICLES = 8
COUNTS = (1, 3, PARTICLES, 2 * PARTICLES + 4)
# (Who needs an adapter draws by the model's own sampler, or as a method here does, from another model.)
OWN = [name for name in METHODS if not declaration(name).settings().needs_adapter]
CASES: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in OWN} | {
    # Strong tilts by the true preference: whoever leaves the slots as resampling does shows it here.
    "fkc-true": ("fkc", {"reward": "true", "beta_min": 4, "beta_max": 4}),
    "fkc-stratified": ("fkc", {"reward": "true", "beta_min": 4, "beta_max": 4, "resampling": "stratified"}),
    "fkc-always": ("fkc", {"reward": "true", "beta_min": 4, "beta_max": 4, "ess_threshold": 1}),
}


@cache
def model(network: bool) -> Model:
    if network:
        return UNetModel(small_unet(), scheduler(), SamplingSettings(steps=2, chunk=64))
    halves = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    return MixtureModel(Mixture(torch.ones(2), halves, 0.2 * torch.eye(2).expand(2, 2, 2)), steps=4)


def preference(images: Tensor) -> Tensor:
    """How far to the right a point lies, how bright an image is: between 0 and 1."""
    return torch.sigmoid(4 * images.flatten(1)[:, ::2].mean(1))


def learned(name: str, seed: int, **given: Any) -> Method[Any]:
    """A method after one round."""
    declared = declaration(name)
    settings = tiny.small(declared.settings, **given | ({"particles": PARTICLES} if name == "fkc" else {}))
    of = model(settings.training is not None)
    method = declared.method(settings, of, Stream(seed), None, preference if settings.needs_oracle else None)
    query = method.ask(2)
    answers = preference(of.decode(query.latents)).double().numpy()
    method.tell(query, Feedback(answers, answers))
    return method


@pytest.mark.parametrize("case", CASES)
def test_what_is_drawn_has_one_law_for_every_count_and_position(case: str) -> None:
    name, given = CASES[case]
    seeds = 24 if declaration(name).settings().training else 240
    drawn: dict[int, list[np.ndarray]] = {n: [] for n in COUNTS}
    for seed in range(seeds):
        method = learned(name, seed, **given)
        for n in COUNTS:
            drawn[n].append(preference(method.sample(n)).double().numpy())
    values = {n: np.stack(found) for n, found in drawn.items()}
    mean = values[COUNTS[-1]].mean(1)
    differences = [column - mean for found in values.values() for column in found.T]
    p = [stats.ttest_1samp(difference, 0).pvalue for difference in differences if np.ptp(difference) > 0]
    assert len(p) == sum(COUNTS) and min(p) * len(p) > 0.002, f"position {int(np.argmin(p))} has another law"
