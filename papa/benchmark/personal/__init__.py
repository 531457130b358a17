"""The study of personal models (T6, F8): one adapter, many simulated users, compared with the base model.

This file holds the settings and imports no torch; `study.py` runs the study.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from papa.settings import Positive, Seed, Settings

SHOTS = (1, 2, 8, 16)
"""Numbers of choices for conditioning, besides the four of the main comparison."""
STEPS = 5
"""Points of an interpolation between two members, ends included."""


class PersonalStudy(Settings):
    """The study of personal models (T6, F8): numbers of members and images."""

    task: str
    """A task with adapters for its model."""
    seed: Seed = 0
    """Seed of the base samples that members choose among."""
    unseen: Positive = 40
    """Unseen members; half of them for the parts besides the main comparison and the controls."""
    seen: Positive = 20
    """Members that the adapters were trained on."""
    images: Positive = 8
    """Images for each member and prompt."""
    prompts: list[str] = []
    """Other prompts of the adapters' training."""
    new_prompts: list[str] = []
    """Prompts outside the adapters' training."""
    between: Positive = 10
    """Unseen members whose conditioning is interpolated with that of a member of other tastes."""
    controls: list[str] = []
    """Adapters of controls, by name: "shuffled" (members shuffled in training), "pixels" (pixel statistics instead of
    the encoder)."""
    recognized: Annotated[int, Field(ge=17, le=300)] = 300
    """Members of the recognition test."""

    @property
    def half(self) -> int:
        """Unseen members of the parts besides the main comparison."""
        return max(1, self.unseen // 2)

    @property
    def pictures(self) -> int:
        """Number of conditioned images."""
        of_all, of_half = 1 + len(self.controls), len(SHOTS) + 2 + 2 * len([*self.prompts, *self.new_prompts])
        return self.images * (self.unseen * of_all + self.seen + self.half * of_half + STEPS * self.between)
