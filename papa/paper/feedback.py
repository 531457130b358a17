"""Preference as a function of the feedback: of the number of labels, and of the form and the noise of the answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from papa.benchmark.grid import Grid
from papa.benchmark.specs import RunSpec
from papa.benchmark.users.interface import FORMS, AnswerModel, UserSpec
from papa.paper import report, select
from papa.paper.select import PREFERENCE
from papa.paper.stats import Estimate

NAMES = {
    "labels": "labels",
    "answers": "form of the answers",
    "flip": "share of flipped answers",
    "missing": "share of missing answers",
    "moods": "share of rounds answered in a mood",
}
"""The names of what is varied."""


def value_name(by: str, value: float) -> str:
    """The name of a value of what is varied."""
    return {"own": "yes or no"}.get(form := FORMS[int(value)], form) if by == "answers" else f"{value:g}"


@dataclass(frozen=True)
class Line:
    """The preference of a method as a function of one thing that is varied.

    Attributes:
        by: "labels" or a setting of `AnswerModel`.
        points: value of it (of "answers" its index in `FORMS`) -> (the method or the user that has it, the estimate).
    """

    task: str
    user: str
    method: str
    by: str
    points: Mapping[float, tuple[str, Estimate]]


def budgets(grid: Grid, task: str) -> dict[str, dict[float, str]]:
    """Method -> number of labels -> the method that differs in nothing else, where there are several."""
    ran = {spec.method for spec in grid if spec.task == task}
    found: dict[str, dict[float, str]] = {}
    taken: set[str] = set()
    for method in select.ordered(grid):
        if method not in ran or method in taken or select.is_control(grid, method):
            continue
        points = select.sweep(grid, method, "labels", ran)
        if len(points) > 1:
            taken |= set(points)
            name = select.reference_of(grid, method) or method
            found[name if name in points else method] = {value: label for label, value in points.items()}
    return found


def _preferences(who: UserSpec) -> str:
    """Equal for all users who differ in their answer model alone."""
    return repr({key: value for key, value in who.described.items() if key not in (*AnswerModel.model_fields, "user")})


def answer_models(grid: Grid, task: str) -> dict[tuple[str, str], dict[float, str]]:
    """(noiseless user, setting of `AnswerModel`) -> value -> the user with it; 0 is the noiseless user."""
    groups: dict[str, dict[str, RunSpec]] = {}
    for spec in grid:
        if spec.task == task:
            groups.setdefault(_preferences(spec.who), {}).setdefault(spec.user, spec)
    found: dict[tuple[str, str], dict[float, str]] = {}
    for group in groups.values():
        clean = next((label for label, spec in group.items() if spec.who.noiseless), None)
        if clean is None:
            continue
        for label, spec in group.items():
            own = spec.who.answer_model.model_dump(exclude_defaults=True)
            if len(own) == 1:
                ((name, value),) = own.items()
                at = float(FORMS.index(value)) if name == "answers" else value
                found.setdefault((clean, name), {0.0: clean})[at] = label
    return {key: dict(sorted(points.items())) for key, points in found.items()}


def lines(table: pd.DataFrame, grid: Grid) -> Iterator[Line]:
    """Every line with two points or more."""
    for task in select.preference_tasks(table):
        users = select.users_of(grid, task)
        for method, points in budgets(grid, task).items():
            for user in users:
                yield from _line(table, grid, task, user, method, "labels", {v: (m, user) for v, m in points.items()})
        for (user, what), by in answer_models(grid, task).items():
            for method in select.ordered(grid):
                yield from _line(table, grid, task, user, method, what, {v: (method, u) for v, u in by.items()})


def _line(
    table: pd.DataFrame, grid: Grid, task: str, user: str, method: str, by: str, points: dict[float, tuple[str, str]]
) -> Iterator[Line]:
    found = {}
    for value, (label, who) in sorted(points.items()):
        estimate = select.estimate(select.values(table, task, label, PREFERENCE, [who]), grid)
        if estimate.n:
            found[value] = (label if by == "labels" else who, estimate)
    if len(found) > 1:
        yield Line(task, user, method, by, found)


def grouped(table: pd.DataFrame, grid: Grid) -> dict[tuple[str, str, str], list[Line]]:
    """(task, user, what is varied) -> its lines, one per method."""
    groups: dict[tuple[str, str, str], list[Line]] = {}
    for of in lines(table, grid):
        groups.setdefault((of.task, of.user, of.by), []).append(of)
    return groups


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of T5 and F6."""
    found = list(lines(table, grid))
    named = {label for of in found if of.by == "labels" for label, _ in of.points.values()}
    methods = [method for method in select.ordered(grid) if method in named | {of.method for of in found}]
    tasks, users = (list(dict.fromkeys(getattr(of, axis) for of in found)) for axis in ("task", "user"))
    return report.caption(
        "Preference by feedback",
        "Preference (gold, noiseless) when all labels are used, by their number, form and noise; methods differ in "
        "nothing else.",
        report.scope(table, grid, tasks, methods, users),
    )


def shown(grid: Grid) -> set[tuple[str, str, str]]:
    """(task, method, user) of all points of lines."""
    found = set()
    for task in grid.used:
        named = {label for points in budgets(grid, task).values() for label in points.values()}
        varied = {label for points in answer_models(grid, task).values() for label in points.values()}
        specs, quiet = [spec for spec in grid if spec.task == task], select.users_of(grid, task)
        heard = {spec.method for spec in specs if spec.user in varied and not spec.who.noiseless}
        found |= {
            (task, s.method, s.user)
            for s in specs
            if (s.method in named and s.user in quiet) or (s.method in heard and s.user in varied)
        }
    return found
