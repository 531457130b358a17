"""What `papa labels` says of labels: how many, how large, what is converted, and every problem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from papa.errors import LabelsError
from papa.labels.interface import Labels

MOST = 20
"""How many problems are listed."""


@dataclass
class Report:
    """What was found. sizes: (height, width) -> pictures. converted: what was done -> pictures."""

    labels: Labels
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    converted: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """The report, line by line."""
        yield f"{self.labels.source}: {_answers(self.labels)}"
        if self.sizes:
            yield f"sizes (width x height): {_sizes(self.sizes)}"
        for what, n in sorted(self.converted.items()):
            yield f"note: pictures that {what}: {n}"
        yield from (f"note: {note}" for note in self.labels.notes)
        yield from (f"problem: {problem}" for problem in self.problems[:MOST])
        if (more := len(self.problems) - MOST) > 0:
            yield f"problem: {more} more"


def examine(labels: Labels) -> Report:
    """Read every picture, and go on where one cannot be read."""
    found, seen = Report(labels), dict[str, str]()
    for place, read in labels.encoded():
        try:
            picture = labels.picture(place, read, None, seen)
        except LabelsError as error:
            found.problems.append(str(error))
            continue
        found.sizes[picture.size] += 1
        found.converted.update(picture.notes)
    return found


def _answers(labels: Labels) -> str:
    if labels.kind == "pairs":
        return f"{len(labels.pairs)} pairs and {len(labels.ties)} ties of {len(labels)} pictures"
    liked, undecided = int((labels.preference > 0.5).sum()), int((labels.preference == 0.5).sum())
    between = f", {undecided} of grade 0.5" if undecided else ""
    return f"{len(labels)} pictures, {liked} liked and {len(labels) - liked - undecided} disliked{between}"


def _sizes(sizes: Counter[tuple[int, int]]) -> str:
    """The most frequent ones, and the smallest and largest side."""
    most = ", ".join(f"{width} x {height} ({n})" for (height, width), n in sizes.most_common(3))
    sides = [side for size in sizes for side in size]
    others = f", and {len(sizes) - 3} others" if len(sizes) > 3 else ""
    return f"{most}{others}; sides from {min(sides)} to {max(sides)} pixels"
