"""Selections from the long table and the grid for tables, figures and claims.

The settings of the configuration say which methods are compared, which are ablations of which, and which form a sweep;
a method added there appears by itself. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from papa.benchmark.grid import BASE, Grid
from papa.benchmark.runs.record import read_record
from papa.errors import RecordError
from papa.methods import METHODS
from papa.paper import stats

COLUMNS = ("task", "method", "algorithm", "user", "seed", "round", "stage", "metric", "value", "unit")
RUN = ["user", "seed"]
RUN_AXES = ["task", "method", *RUN]
PREFERENCE = "preference_gold"
LEVEL = 0.8
"""The preference up to which labels and evaluations are counted (T3, T8)."""
KEPT = 0.9
"""The share of the base's distance within liked images that a method must keep (T8, rank, search for settings)."""
LEARNING = ("forward", "backward", "frozen")
"""The denoiser evaluations of learning, which are summed."""


def check(table: pd.DataFrame) -> pd.DataFrame:
    """The long table with a column `lost`, which marks diverged runs.

    Raises:
        RecordError: for missing columns or duplicate measurements.
    """
    if missing := [column for column in COLUMNS if column not in table.columns]:
        raise RecordError(f"the long table lacks the columns {', '.join(missing)}. Make it again with `papa collect`.")
    axes = [*RUN_AXES, "stage", "round", "metric"]
    if len(twice := table[table.duplicated(axes)]):
        first = ", ".join(f"{axis} {twice.iloc[0][axis]}" for axis in axes)
        raise RecordError(f"the long table has {len(twice)} duplicate measurements (first: {first}).")
    bad = table.loc[(table.metric == "diverged") & (table.value > 0), RUN_AXES].drop_duplicates()
    whole = table[list(COLUMNS)].merge(bad.assign(lost=True), "left", RUN_AXES)
    whole = whole.assign(lost=whole.lost.notna())
    whole.attrs = table.attrs
    return whole


# ---------------------------------------------------------------- values


def diverged(table: pd.DataFrame, task: str, method: str, users: Iterable[str] | None = None) -> int:
    """Number of diverged runs."""
    rows = table[table.lost]
    rows = rows[(rows.task == task) & (rows.method == method)]
    if users is not None:
        rows = rows[rows.user.isin(list(users))]
    return len(rows[RUN].drop_duplicates())


def runs(table: pd.DataFrame, task: str, method: str, users: Iterable[str]) -> int:
    """Number of runs, diverged ones included."""
    rows = table[(table.method == method) & (table.task == task)]
    return len(rows.loc[rows.user.isin(list(users)), RUN].drop_duplicates())


def finished(table: pd.DataFrame) -> pd.DataFrame:
    """The final, finite values of the runs that did not diverge."""
    return table[(table.stage == "final") & ~table.lost & np.isfinite(table.value)]


def values(table: pd.DataFrame, task: str, method: str, metric: str, users: Iterable[str] | None = None) -> pd.Series:
    """The final values of a metric, indexed by (user, seed); diverged and NaN runs left out."""
    rows = table[(table.metric == metric) & (table.method == method)]
    rows = finished(rows[rows.task == task])
    if users is not None:
        rows = rows[rows.user.isin(list(users))]
    return rows.set_index(RUN).value.astype(float)


def curves(table: pd.DataFrame, task: str, method: str, metric: str, user: str) -> pd.DataFrame:
    """A metric over the rounds: index round, one column per seed; the last round has the value of the final samples."""
    rows = table[(table.metric == metric) & (table.method == method)]
    rows = rows[(rows.task == task) & (rows.user == user) & ~rows.lost]
    rows = rows.sort_values("stage", key=lambda stage: stage == "final", kind="stable")
    rows = rows.drop_duplicates(["round", "seed"], keep="last")
    return rows.pivot(index="round", columns="seed", values="value").sort_index()


def rising(table: pd.DataFrame, grid: Grid, task: str, method: str, user: str) -> dict[int, pd.Series]:
    """Seed -> the gold preference by round, as the nearest curve that does not fall."""
    measures = grid.measures(task)
    last = measures.final_of(grid.methods[method].settings.candidates)
    found = {}
    for seed, curve in curves(table, task, method, PREFERENCE, user).items():
        points = curve.dropna()
        behind = [measures.per_round] * (len(points) - 1) + [last]
        found[seed] = pd.Series(stats.rising(points, behind), index=points.index)
    return found


def first_at(curve: pd.Series, level: float) -> int | None:
    """The position of the first round at which a curve reaches a level; None where it never does."""
    there = np.flatnonzero(curve.to_numpy() >= level - 1e-12)
    return int(there[0]) if len(there) else None


def estimate(found: pd.Series, grid: Grid, users: Collection[str] | None = None) -> stats.Estimate:
    """Mean over seeds (users averaged within a seed) with the interval of the configuration's level.

    A seed must have all `users`, by default those of `found`.
    """
    return stats.estimate(stats.by_seed(found, users).to_numpy(), grid.config.confidence)


def difference(found: pd.Series, reference: pd.Series, grid: Grid) -> stats.Estimate:
    """Paired difference over the (user, seed) pairs that both have; see `estimate`."""
    return estimate((found - reference).dropna(), grid)


def preference_tasks(table: pd.DataFrame) -> list[str]:
    """The tasks on which preference was measured."""
    return sorted(table.loc[table.metric == PREFERENCE, "task"].unique())


def is_prompted(grid: Grid, task: str) -> bool:
    """Whether the task samples for a prompt. Those have tables and figures of their own."""
    return task in grid.tasks and grid.tasks[task].declaration.prompted


def prompted_rows(table: pd.DataFrame, grid: Grid) -> pd.Series:
    """For each row of the long table, whether its task samples for a prompt."""
    return table.task.isin([task for task in table.task.unique() if is_prompted(grid, task)])


def seeds_of(table: pd.DataFrame, tasks: Sequence[str], methods: Sequence[str]) -> list[int]:
    """The seeds that ran."""
    rows = table[table.task.isin(list(tasks)) & table.method.isin(list(methods))]
    return sorted(int(seed) for seed in rows.seed.unique())


def samples(grid: Grid, task: str, method: str, user: str, seed: int) -> np.ndarray | None:
    """The stored final samples of a run, or the base samples of its seed; None without such a run or if it diverged.

    Raises:
        RecordError: for a record that is missing, damaged or of other settings.
    """
    if method == BASE:
        of = next((run.base for run in grid if run.task == task and run.seed == seed), None)
        return None if of is None else read_record(of.folder, of.key).arrays()["images"]
    spec = grid.specs.get((task, method, user, seed))
    return None if spec is None else read_record(spec.folder, spec.key).arrays().get("final")


# ---------------------------------------------------------------- methods and users


def ordered(grid: Grid) -> list[str]:
    """Every method in the one order of all tables and figures: algorithms as registered, labels as configured."""
    registered = list(METHODS)
    return sorted(grid.methods, key=lambda label: registered.index(grid.methods[label].name))


def is_graded(grid: Grid, task: str, user: str) -> bool:
    """Whether the user answers with grades, so that the preference is a mean and not a share."""
    who = next((spec.who for spec in grid if (spec.task, spec.user) == (task, user)), None)
    return who is not None and bool(getattr(who.taste, "graded", False))


def users_of(grid: Grid, task: str) -> list[str]:
    """Users of the grid whose answers carry no noise, in the grid's order."""
    return list(dict.fromkeys(spec.user for spec in grid if spec.task == task and spec.who.noiseless))


def shared_users(table: pd.DataFrame, grid: Grid, task: str) -> list[str]:
    """The users for whom at least half of the compared methods ran."""
    rows = table[(table.task == task) & table.method.isin(main_methods(grid, task))]
    methods = rows.groupby("user").method.nunique()
    return [user for user in users_of(grid, task) if 2 * methods.get(user, 0) >= rows.method.nunique()]


def is_control(grid: Grid, method: str) -> bool:
    """Whether the method is given the true preference: a check, not a competitor."""
    return grid.methods[method].settings.needs_oracle


def reference_of(grid: Grid, method: str) -> str | None:
    """The method that an ablation is compared with: the label that equals its algorithm, or the first of its algorithm.

    None for a reference itself, and for the only label of an algorithm.
    """
    algorithm = grid.methods[method].name
    family = [label for label, of in grid.methods.items() if of.name == algorithm and not is_control(grid, label)]
    reference = algorithm if algorithm in family else next(iter(family), None)
    return None if reference == method else reference


def main_methods(grid: Grid, task: str) -> list[str]:
    """The methods that are compared with each other (T1, T3, F1); all others, controls aside, are ablations.

    A method is compared if one of these holds:

    1. it is a reference (see `reference_of`): the label of its algorithm's name, or the first label of it;
    2. a block of the grid has it beside the base, and it runs for several users (for one, if no method runs for more).

    So a second label of an algorithm is an ablation unless its block has the base and more than one user.
    """
    users: dict[str, set[str]] = {}
    for spec in grid:
        if spec.task == task:
            users.setdefault(spec.method, set()).add(spec.user)
    fewest = 2 if any(len(found) > 1 for found in users.values()) else 1
    beside_base = {
        label
        for block in grid.config.grid.values()
        if block.task == task and BASE in block.methods
        for label in block.methods
        if len(users[label]) >= fewest
    }
    return [
        label
        for label in ordered(grid)
        if label in users
        and not is_control(grid, label)
        and (label in beside_base or reference_of(grid, label) is None)
    ]


def variant_methods(grid: Grid, task: str) -> list[str]:
    """The ablations of a task, points of a sweep included."""
    ran, main = {spec.method for spec in grid if spec.task == task}, main_methods(grid, task)
    return [label for label in ordered(grid) if label in ran.difference(main) and not is_control(grid, label)]


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level: {"surrogate.lr": 0.001}."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def changes(grid: Grid, method: str, reference: str) -> dict[str, tuple[Any, Any]]:
    """Setting -> (value of the reference, value of the method), where they differ.

    A preset counts as all settings that it contains.
    """
    ours, theirs = grid.methods[method].settings, grid.methods[reference].settings
    left, right = flat(ours.model_dump()), flat(theirs.model_dump())
    found = {key: (right.get(key), left[key]) for key in left if left[key] != right.get(key)}
    if "preset" in found:
        brought = flat(type(ours)(**{"preset": left["preset"]}).model_dump())
        found = {key: pair for key, pair in found.items() if key == "preset" or pair[1] != brought[key]}
    return found


def spelled(change: dict[str, tuple[Any, Any]]) -> str:
    """The differences as one phrase: `negatives: bounded → none`."""
    return "; ".join(f"{key}: {_plain(before)} → {_plain(after)}" for key, (before, after) in change.items())


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def sweep(grid: Grid, reference: str, setting: str, among: Collection[str] | None = None) -> dict[str, float]:
    """Method -> value of a setting, ascending: the methods that differ from the reference in that setting alone.

    The reference is included, and methods of another algorithm that share all other settings (PAPA is EPAPA at
    k = 0). Of two methods with equal settings the first counts.

    Args:
        grid: the grid.
        reference: a method label.
        setting: a numeric setting; nested ones as "surrogate.lr".
        among: only these methods, for example those that ran.
    """
    if reference not in grid.methods:
        return {}
    anchor = flat(grid.methods[reference].settings.model_dump())
    points: dict[str, float] = {}
    for label in [reference, *grid.methods]:
        if among is not None and label not in among:
            continue
        settings = flat(grid.methods[label].settings.model_dump())
        same = settings | {setting: None} == anchor | {setting: None}
        if same and setting in settings and settings[setting] not in points.values():
            points[label] = float(settings[setting])
    return dict(sorted(points.items(), key=lambda item: item[1]))


def swept(
    table: pd.DataFrame, grid: Grid, task: str, reference: str, setting: str
) -> tuple[dict[str, float], list[str]]:
    """The methods of a sweep that ran on a task, by value, and the users for whom all of them ran."""
    found = {method: values(table, task, method, PREFERENCE) for method in grid.methods}
    points = sweep(grid, reference, setting, [method for method, of in found.items() if len(of)])
    users = {method: set(found[method].index.get_level_values("user")) for method in points}
    return points, [user for user in users_of(grid, task) if all(user in of for of in users.values())]
