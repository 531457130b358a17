"""Which runs each table and figure shows, by the configuration alone: it is made from those, and waits for no other.

A table or figure that has no line here shows all runs. Imports neither torch nor Matplotlib.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from papa.benchmark.grid import BASE, Grid
from papa.benchmark.specs import RunSpec
from papa.paper import claims, feedback, select
from papa.paper.figures import FIGURES, TEXT_TO_IMAGE
from papa.paper.tables import TABLES

CLAIMS = "claims"
"""The verdicts, among the names of tables and figures."""

Axes = tuple[str, str, str]
"""Task, method, user."""


def judged(grid: Grid) -> list[str]:
    """The tasks on which preference is measured: not those whose density is known, where rewards are in nats."""
    return [task for task in grid.used if "density" not in grid.tasks[task].declaration.offers]


def _methods(chosen: Callable[[Grid, str], Collection[str]], grid: Grid) -> set[Axes]:
    """The methods chosen for each task, for all users whose answers carry no noise."""
    return {
        (task, method, user)
        for task in judged(grid)
        for method in chosen(grid, task)
        for user in select.users_of(grid, task)
    }


def compared(grid: Grid) -> set[Axes]:
    """The methods that are compared with each other."""
    return _methods(select.main_methods, grid)


def with_variants(grid: Grid) -> set[Axes]:
    """The compared methods and their variants."""
    return compared(grid) | _methods(select.variant_methods, grid)


def ablations(grid: Grid) -> set[Axes]:
    """The variants, and for the same users what they are variants of."""
    ran = {(spec.task, spec.method, spec.user) for spec in grid}
    found = _methods(select.variant_methods, grid) & ran
    return found | {(task, select.reference_of(grid, method) or method, user) for task, method, user in found}


def swept(grid: Grid, reference: str, setting: str) -> set[Axes]:
    """The methods that differ from the reference in one setting alone, for the users for whom all of them run."""
    found = set()
    for task in judged(grid):
        ran = {method: {s.user for s in grid if (s.task, s.method) == (task, method)} for method in grid.methods}
        points = select.sweep(grid, reference, setting, [method for method, users in ran.items() if users]).points
        found |= {
            (task, method, user)
            for user in select.users_of(grid, task)
            if len(points) > 1 and all(user in ran[method] for method in points)
            for method in points
        }
    return found


def truncation(grid: Grid) -> set[Axes]:
    """EPAPA's truncation, and the base."""
    found = swept(grid, "epapa", "frozen_below")
    return found | {(task, BASE, user) for task, _, user in found}


def temperature(grid: Grid) -> set[Axes]:
    """FKC's inverse temperature, and the controls with the true preference."""
    return swept(grid, "fkc", "beta_max") | {
        (spec.task, spec.method, spec.user)
        for spec in grid
        if spec.task in judged(grid) and select.is_control(grid, spec.method)
    }


def known_densities(grid: Grid) -> set[Axes]:
    """The tasks whose density is known."""
    return {(s.task, s.method, s.user) for s in grid if "density" in s.of.declaration.offers}


def study(grid: Grid) -> set[Axes]:
    """No run: it shows the study of personal models, which is made by itself."""
    return set()


def claimed(grid: Grid) -> set[Axes]:
    """What the claims name, for all users (those who err as well)."""
    named = {
        (claim.task, method)
        for claim in claims.load()
        for part in claim.parts
        for method in [*part.methods, *([part.reference] if part.reference else [])]
    }
    return {(s.task, s.method, s.user) for s in grid if (s.task, s.method) in named}


SHOWN: dict[str, Callable[[Grid], set[Axes]]] = {
    "T1": compared,
    "T2": compared,
    "T3": compared,
    "T4": ablations,
    "T5": feedback.shown,
    "T6": study,
    "T7": claimed,
    "T8": compared,
    "T9": compared,
    "F1": compared,
    "F2": with_variants,
    "F3": compared,
    "F4": truncation,
    "F5": temperature,
    "F6": feedback.shown,
    "F7": known_densities,
    "F8": study,
    "F9": with_variants,
    "F10": compared,
    CLAIMS: claimed,
}
"""Table or figure -> what it shows. A figure of the text-to-image tasks ("F1-t2i") shows what the other one does."""

OF_STUDY = frozenset({"T7", CLAIMS, *(name for name, chosen in SHOWN.items() if chosen is study)})
"""What shows the study of personal models."""

PROMPTED = {"T1": False, "T2": True} | {
    name.removesuffix(TEXT_TO_IMAGE): False for name in FIGURES if name.endswith(TEXT_TO_IMAGE)
}
"""Table or figure -> whether it shows the tasks that draw for a prompt, or the others. What is not here shows all."""


def shown(name: str, grid: Grid) -> list[RunSpec]:
    """The runs of the grid that a table or figure shows."""
    plain = name.removesuffix(TEXT_TO_IMAGE)
    prompted = True if plain != name else PROMPTED.get(name)
    axes = SHOWN[plain](grid) if plain in SHOWN else None
    return [
        spec
        for spec in grid
        if (axes is None or (spec.task, spec.method, spec.user) in axes)
        and (prompted is None or spec.of.declaration.prompted == prompted)
    ]


def together(grid: Grid) -> dict[tuple[str, str], list[list[str]]]:
    """(task, method) -> its users, in groups that are shown in the same places.

    The runs of a group can share a process, which saves its start: nothing waits for a run that it does not show.
    """
    places: dict[Axes, set[str]] = {(s.task, s.method, s.user): set() for s in grid}
    for name in [*TABLES, *FIGURES, CLAIMS]:
        for spec in shown(name, grid):
            places[spec.task, spec.method, spec.user].add(name)
    groups: dict[tuple[str, str], dict[frozenset[str], list[str]]] = {}
    for (task, method, user), names in places.items():
        groups.setdefault((task, method), {}).setdefault(frozenset(names), []).append(user)
    return {key: list(found.values()) for key, found in groups.items()}
