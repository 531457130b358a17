"""How often the base model of `fruits` draws what each of its users likes: measured again, without any training.

`papa prepare --task fruits --part rates --retrain` takes a few minutes and writes them into the card; the weights stay.
"""

from __future__ import annotations

from papa.benchmark.tasks.fruits import FruitsSettings
from papa.benchmark.tasks.fruits.task import Fruits
from recipes.fruits import card
from recipes.shared import Log


def retrain(log: Log, steps: int | None = None) -> None:
    """Measure the base rates of the shipped model again. steps: so many samples instead, and nothing is written."""
    task = Fruits(FruitsSettings())
    found = card.base_rates(task, steps or card.RATED)
    for label, rate in found["users"].items():
        log(f"{label}: {rate}")
    if steps is None:
        card.write(task.card | {"figures": task.card["figures"] | {"base_rates": found}})
