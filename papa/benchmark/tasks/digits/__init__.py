"""Task `digits`: scikit-learn's 1,797 real handwritten digits, 8x8, and a small DDPM trained on them."""

from __future__ import annotations

from papa.benchmark.tasks.declaration import TaskDeclaration
from papa.models.settings import SamplingSettings


class DigitsSettings(SamplingSettings):
    """The handwritten digits."""


DIGITS = TaskDeclaration(
    DigitsSettings,
    "papa.benchmark.tasks.digits.task:Digits",
    users={
        "likes-1479": {"kind": "classes", "classes": [1, 4, 7, 9]},
        "likes-068": {"kind": "classes", "classes": [0, 6, 8]},
        "likes-3": {"kind": "classes", "classes": [3]},
        "likes-thick": {"kind": "strokes"},
        "likes-medium": {"kind": "strokes", "best": 0.75, "width": 0.3},
    },
    offers=frozenset({"classes", "ink"}),
    artefacts="digits",
    recipe="recipes.digits",
    uses=("papa.benchmark.tasks.labelled", "papa.benchmark.tasks.images", "papa.models.unet"),
)
