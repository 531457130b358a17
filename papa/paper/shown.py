"""The runs of each table and figure, by the configuration alone: it is made from those, and waits for no other.

A table or figure without an entry here shows all runs. Imports neither torch nor Matplotlib.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from papa.benchmark.grid import BASE, Grid
from papa.benchmark.specs import RunSpec
from papa.paper import claims, feedback, select
from papa.paper.figures import FIGURES, TEXT_TO_IMAGE
from papa.paper.tables import TABLES

CLAIMS = "claims"
"""The name of the verdicts, among those of tables and figures."""

Axes = tuple[str, str, str]
"""Task, method, user."""


def with_preference(grid: Grid) -> list[str]:
    """The tasks on which preference is measured; where the density is known, rewards are in nats."""
    return [task for task in grid.used if "density" not in grid.tasks[task].declaration.offers]


def _methods(chosen: Callable[[Grid, str], Collection[str]], grid: Grid) -> set[Axes]:
    """The methods chosen for each task, for all users whose answers carry no noise."""
    return {
        (task, method, user)
        for task in with_preference(grid)
        for method in chosen(grid, task)
        for user in select.users_of(grid, task)
    }


def compared(grid: Grid) -> set[Axes]:
    """The methods that are compared with each other."""
    return _methods(select.main_methods, grid)


def with_variants(grid: Grid) -> set[Axes]:
    """The compared methods and the ablations."""
    return compared(grid) | _methods(select.variant_methods, grid)


def ablations(grid: Grid) -> set[Axes]:
    """The ablations, and their references for the same users."""
    ran = {(spec.task, spec.method, spec.user) for spec in grid}
    found = _methods(select.variant_methods, grid) & ran
    return found | {(task, select.reference_of(grid, method) or method, user) for task, method, user in found}


def swept(grid: Grid, reference: str, setting: str, fewest: int) -> set[Axes]:
    """The methods of a sweep with at least so many points, for the users for whom all of them run."""
    found = set()
    for task in with_preference(grid):
        ran = {method: {s.user for s in grid if (s.task, s.method) == (task, method)} for method in grid.methods}
        points = select.sweep(grid, reference, setting, [method for method, users in ran.items() if users])
        found |= {
            (task, method, user)
            for user in select.users_of(grid, task)
            if len(points) >= fewest and all(user in ran[method] for method in points)
            for method in points
        }
    return found


def truncation(grid: Grid) -> set[Axes]:
    """EPAPA's truncation, and the base."""
    found = swept(grid, "epapa", "frozen_below", 3)
    return found | {(task, BASE, user) for task, _, user in found}


def temperature(grid: Grid) -> set[Axes]:
    """FKC's inverse temperature, and the controls with the true preference."""
    return swept(grid, "fkc", "beta_max", 2) | {
        (spec.task, spec.method, spec.user)
        for spec in grid
        if spec.task in with_preference(grid) and select.is_control(grid, spec.method)
    }


def known_densities(grid: Grid) -> set[Axes]:
    """The tasks with a known density."""
    return {(s.task, s.method, s.user) for s in grid if "density" in s.of.declaration.offers}


def study(grid: Grid) -> set[Axes]:
    """No run: only the study of personal models is shown."""
    return set()


def claimed(grid: Grid) -> set[Axes]:
    """The methods that claims name, for all users, noisy ones included."""
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
    CLAIMS: claimed,
}
"""Table or figure -> its runs. A figure of text-to-image tasks ("F1-t2i") has the entry of the other one."""

OF_STUDY = frozenset({"T7", CLAIMS, *(name for name, chosen in SHOWN.items() if chosen is study)})
"""Tables and figures that show the study of personal models."""

PROMPTED = {"T1": False, "T2": True} | {
    name.removesuffix(TEXT_TO_IMAGE): False for name in FIGURES if name.endswith(TEXT_TO_IMAGE)
}
"""Table or figure -> whether it shows the tasks with a prompt, or the others. Those without an entry show all."""


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


def has_runs(name: str, grid: Grid) -> bool:
    """Whether a table or figure of this configuration has anything to show."""
    if name in OF_STUDY and grid.config.personal is not None:
        return True
    return name == "T7" or bool(shown(name, grid))


def made_by_default(grid: Grid) -> tuple[list[str], list[str]]:
    """The tables and the figures of a configuration: those that have something to show."""
    tables, figures = ([name for name in names if has_runs(name, grid)] for names in (TABLES, FIGURES))
    return tables, figures


def together(grid: Grid) -> dict[tuple[str, str], list[list[str]]]:
    """(task, method) -> its users, in groups that are shown in the same tables and figures.

    The runs of a group can share a process, which saves its start: no table waits for a run that it does not show.
    """
    places: dict[Axes, set[str]] = {(s.task, s.method, s.user): set() for s in grid}
    for name in [*TABLES, *FIGURES, CLAIMS]:
        for spec in shown(name, grid):
            places[spec.task, spec.method, spec.user].add(name)
    groups: dict[tuple[str, str], dict[frozenset[str], list[str]]] = {}
    for (task, method, user), names in places.items():
        groups.setdefault((task, method), {}).setdefault(frozenset(names), []).append(user)
    return {key: list(found.values()) for key, found in groups.items()}
