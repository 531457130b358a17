"""The effect tested by a part of a claim: a number per user and seed, or per user of the study."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from papa.benchmark.grid import Grid
from papa.benchmark.runs import personal
from papa.paper import select, stats
from papa.paper.select import PREFERENCE, first_at, rising

if TYPE_CHECKING:
    from papa.paper.claims import Claim, Part


class NotRunError(Exception):
    """Something that a part needs is not in the table; the message names it."""


def _values(table: pd.DataFrame, claim: Claim, method: str, metric: str, users: list[str]) -> pd.Series:
    found = select.values(table, claim.task, method, metric, users)
    if found.empty:
        lost = select.diverged(table, claim.task, method, users)
        raise NotRunError(f"every run of {method} diverged" if lost else f"no finished run of {method} with {metric}")
    return found


def check_settings(claim: Claim, grid: Grid) -> None:
    """Check that the methods of a claim have the settings that its sentence names.

    Raises:
        NotRunError: for a setting with another value.
    """
    for label, wanted in claim.settings.items():
        if label in grid.methods:
            own = grid.methods[label].settings.model_dump()
            for name, value in wanted.items():
                if own[name] != value:
                    raise NotRunError(f"{label} has {name} {own[name]} here, and the claim is about {value}")


def of(part: Part, claim: Claim, method: str, table: pd.DataFrame, grid: Grid) -> pd.Series:
    """The effect for each (user, seed) with all measurements."""
    users, reference = select.users_of(grid, claim.task), str(part.reference)
    if part.compare == "matched":
        found = _matched(part.metric, claim, (method, reference), table, grid)
    elif part.compare == "flips":
        found = _loss(part.metric, claim, method, table, grid) - _loss(part.metric, claim, reference, table, grid)
    else:
        found = _values(table, claim, method, part.metric, users)
        if part.minus:
            found = found - _values(table, claim, method, part.minus, users)
        if part.compare == "difference":
            found = found - _values(table, claim, reference, part.metric, users)
    if (found := found.dropna()).empty:
        raise NotRunError(f"no user and seed for which {' and '.join(filter(None, [method, part.reference]))} ran")
    return found


def flipping(claim: Claim, grid: Grid) -> dict[str, str]:
    """User with the claim's share of flipped answers -> the same user without noise."""
    return {
        label: str(entry["user"])
        for label, entry in grid.config.users.items()
        if {*entry} == {"user", "flip"} and math.isclose(entry["flip"], claim.flip)
    }


def _loss(metric: str, claim: Claim, method: str, table: pd.DataFrame, grid: Grid) -> pd.Series:
    """Change of a metric through flipped answers, for each (user, seed)."""
    who = flipping(claim, grid)
    if not who:
        raise NotRunError(f"no user who flips {claim.flip:.0%} of their answers")
    noisy = _values(table, claim, method, metric, list(who)).rename(index=who, level="user")
    return (noisy - _values(table, claim, method, metric, list(who.values()))).dropna()


def _matched(metric: str, claim: Claim, methods: tuple[str, str], table: pd.DataFrame, grid: Grid) -> pd.Series:
    """First method minus second at equal gold preference, the lower of their final preferences.

    The curves are isotonic, so that a lucky round is no crossing. Pairs that meet at the base's preference are dropped.
    """
    users = select.users_of(grid, claim.task)
    preference, value = (
        {method: _values(table, claim, method, name, users) for method in methods} for name in (PREFERENCE, metric)
    )
    pairs = [(method, user) for method in methods for user in users]
    along = {pair: rising(table, grid, claim.task, *pair) for pair in pairs}
    of = {(method, user): select.curves(table, claim.task, method, metric, user) for method, user in pairs}
    effects = {}
    first, second = methods
    for user, seed in value[first].index.intersection(value[second].index):
        level = min(preference[method][user, seed] for method in methods)
        at = {
            method: value[method][user, seed]
            if preference[method][user, seed] <= level
            else _at(level, along[method, user][seed], of[method, user][seed])
            for method in methods
        }
        effects[user, seed] = at[first] - at[second]
    return pd.Series(effects, dtype=float).rename_axis(select.RUN)


def _at(level: float, curve: pd.Series, value: pd.Series) -> float:
    """The value where the preference reaches a level, interpolated linearly between rounds; NaN at the base."""
    found, index = value.reindex(curve.index).to_numpy(), first_at(curve, level)
    if index is None:  # the last point, pooled with those before it, has fallen below the level
        return float(found[-1])
    if index == 0:
        return math.nan
    before, after = curve.iloc[index - 1], curve.iloc[index]
    weight = (level - before) / (after - before)
    return float((1 - weight) * found[index - 1] + weight * found[index])


def units(part: Part, effects: pd.Series) -> dict[str, pd.Series]:
    """The values that are tested over seeds: means over users, or those of each user."""
    if part.users == "mean":
        return {"": stats.by_seed(effects)}
    return {f", {user}": effects.xs(user, level="user") for user in effects.index.unique("user")}


def check_users(part: Part, claim: Claim, method: str, effects: pd.Series, grid: Grid) -> None:
    """Check that every planned user has an effect.

    Raises:
        NotRunError: for a user without one.
    """
    ran = {(spec.method, spec.user) for spec in grid if spec.task == claim.task}
    planned = [
        user
        for user in select.users_of(grid, claim.task)
        if all((label, user) in ran for label in (method, part.reference) if label)
    ]
    if part.compare != "flips" and (lost := sorted(set(planned) - set(effects.index.unique("user")))):
        raise NotRunError(f"no effect of {method} on {part.metric} for {', '.join(lost)}")


def by_person(part: Part, grid: Grid) -> np.ndarray:
    """A value for each user of the study of personal models, minus that of other rows where the part has `less`.

    Raises:
        NotRunError: without a study, or without such users.
    """
    if grid.config.personal is None:
        raise NotRunError("no study of personal models")
    study = personal.read(grid)

    def chosen_rows(chosen: dict[str, str | int | bool]) -> pd.Series:
        here = np.logical_and.reduce([study[name] == value for name, value in chosen.items()])
        return study[here].groupby("person")[part.metric].mean()

    found = chosen_rows(part.study or {})
    if part.less is not None:
        found = found - chosen_rows((part.study or {}) | part.less)
    if (found := found.dropna()).empty:
        raise NotRunError(f"no person of the study with {part.study}")
    return found.to_numpy()
