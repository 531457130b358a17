"""Captions of the rendered fruit, and the attributes that each states.

A caption is a sentence and the attributes that it states, so whether it is true of an image is a
comparison: the contrastive trainings take every true caption of a batch as a positive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from papa.benchmark.tasks.fruits.render import BACKGROUNDS, COLOURS, KINDS, Attributes

CONTEXT = 16
"""Tokens that a prompt may have, its start and end included."""
GENERIC = ("a photo of fruit", "a photo of a fruit", "a picture of fruit", "fruit")
NUMBERS = {1: "one", 2: "two"}
FIELDS = ("kind", "colour", "count", "background", "size")


@dataclass(frozen=True)
class Caption:
    """A sentence and what it states; None: not stated."""

    text: str
    kind: str | None = None
    colour: str | None = None
    count: int | None = None
    background: str | None = None
    size: str | None = None

    def true_of(self, picture: Attributes) -> bool:
        """Whether everything that the sentence states holds."""
        stated = ((getattr(self, name), getattr(picture, name)) for name in FIELDS)
        return all(said is None or said == shown for said, shown in stated)


def article(words: str) -> str:
    """`words` behind "a" or "an"."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def phrase(kind: str, colour: str | None, count: int, size: str | None = None) -> str:
    """For example "a small red apple", "two bunches of green grapes"."""
    entry = KINDS[kind]
    name = " ".join((entry.one if count == 1 else entry.many).format(colour or "").split())
    return article(f"{size} {name}" if size else name) if count == 1 else f"{NUMBERS[count]} {name}"


def concept_prompt(kind: str, colour: str, count: int) -> str:
    """The prompt of one concept, for the prompt bank."""
    return f"a photo of {phrase(kind, colour, count)}"


def kind_prompt(kind: str) -> str:
    """The prompt of one kind, whatever its colour and number."""
    return f"a photo of {phrase(kind, None, 1)}"


def on(background: str | None) -> str:
    return f" on {article(background)} background" if background else ""


def specific(picture: Attributes, rng: np.random.Generator) -> Caption:
    """A sentence that names the kind and the number, and often more."""
    colour = picture.colour if rng.random() < 0.75 and "{}" in KINDS[picture.kind].one else None
    size = picture.size if rng.random() < 0.3 else None
    background = picture.background if rng.random() < 0.35 else None
    start = ("a photo of ", "a photo of ", "a picture of ", "")[rng.integers(4)]
    text = start + phrase(picture.kind, colour, picture.count, size) + on(background)
    return Caption(text, picture.kind, colour, picture.count, background, size)


def partial(picture: Attributes, rng: np.random.Generator) -> Caption:
    """A sentence about the colour or the number without the kind, or about the kind without the number."""
    which = rng.integers(3)
    if which == 0:
        return Caption(f"a photo of {picture.colour} fruit", colour=picture.colour)
    if which == 1 and picture.count == 2:
        return Caption("a photo of two fruits", count=2)
    colour = picture.colour if rng.random() < 0.5 and "{}" in KINDS[picture.kind].many else None
    words = " ".join(KINDS[picture.kind].many.format(colour or "").split())
    return Caption(f"a photo of {words.split(' of ')[-1]}", picture.kind, colour)


def training_caption(picture: Attributes, rng: np.random.Generator) -> Caption:
    """For the diffusion model: a tenth empty (for guidance), a tenth generic, some partial."""
    chance = rng.random()
    if chance < 0.1:
        return Caption("")
    if chance < 0.2:
        return Caption(GENERIC[rng.integers(len(GENERIC))])
    return partial(picture, rng) if chance < 0.28 else specific(picture, rng)


def judging_caption(picture: Attributes, rng: np.random.Generator) -> Caption:
    """For the contrastive judges: never empty, never generic."""
    return partial(picture, rng) if rng.random() < 0.15 else specific(picture, rng)


def words() -> list[str]:
    """The words of all captions, and some that a user would type."""
    sentences = [*GENERIC, "a photo of some fruits on the table in an image the with and no three pair"]
    sentences += [entry.one.format("") + " " + entry.many.format("") for entry in KINDS.values()]
    sentences += [*COLOURS, *BACKGROUNDS, *NUMBERS.values(), "small large background picture grape"]
    return list(dict.fromkeys(" ".join(sentences).split()))
