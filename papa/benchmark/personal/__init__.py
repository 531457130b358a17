"""The study of personal models (T6, F8): one adapter, many simulated users, compared with the base model.

This file holds the settings and imports no torch; `study.py` runs the study.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from papa.settings import Positive, Seed, Settings

SHOTS = (1, 2, 8, 16)
"""Numbers of choices, beside the four of the main comparison, that describe a person in the study."""
STEPS = 5
"""Descriptions on the line between two persons, both of them included."""


class PersonalStudy(Settings):
    """The study of personal models (T6, F8): for whom and how much is drawn."""

    task: str
    """A task whose model comes with adapters."""
    seed: Seed = 0
    """Whose base samples persons choose among."""
    unseen: Positive = 40
    """Persons that no adapter was trained on; half of them for the parts beside the main comparison and
    the controls."""
    seen: Positive = 20
    """Persons that the adapters were trained on."""
    images: Positive = 8
    """Pictures for each person and prompt."""
    prompts: list[str] = []
    """Other prompts, of those that the adapters were trained on."""
    new_prompts: list[str] = []
    """Prompts that no adapter was trained on."""
    between: Positive = 10
    """Unseen persons whose description is mixed with that of somebody with other tastes."""
    controls: list[str] = []
    """Adapters of controls, by name: "shuffled" (persons shuffled in training), "pixels" (pixel statistics in the place
    of the encoder)."""
    recognized: Annotated[int, Field(ge=17, le=300)] = 300
    """Persons that are told apart by their descriptions."""

    @property
    def half(self) -> int:
        """Unseen persons of the parts beside the main comparison."""
        return max(1, self.unseen // 2)

    @property
    def pictures(self) -> int:
        """How many pictures are drawn; those of nobody are few and left out."""
        of_all, of_half = 1 + len(self.controls), len(SHOTS) + 2 + 2 * len([*self.prompts, *self.new_prompts])
        return self.images * (self.unseen * of_all + self.seen + self.half * of_half + STEPS * self.between)
