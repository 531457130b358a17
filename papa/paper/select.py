"""What tables, figures and claims read from the long table and the grid.

Which methods are compared, which are variants of which, and which form a sweep is read from the
settings of the configuration; a method added there appears by itself. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from papa.benchmark.grid import BASE, Grid
from papa.errors import RecordError
from papa.methods import METHODS
from papa.paper import stats

COLUMNS = ("task", "method", "algorithm", "user", "seed", "round", "stage", "metric", "value", "unit")
RUN = ["user", "seed"]
RUN_AXES = ["task", "method", *RUN]


def check(table: pd.DataFrame) -> pd.DataFrame:
    """The long table, once it is known to be one, with the column `lost`: whether the run diverged.

    Raises:  RecordError if columns are missing or a measurement stands there twice.
    """
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise RecordError(f"the long table lacks the columns {', '.join(missing)}. Make it again with `papa collect`.")
    axes = [*RUN_AXES, "stage", "round", "metric"]
    twice = table[table.duplicated(axes)]
    if len(twice):
        first = ", ".join(f"{axis} {twice.iloc[0][axis]}" for axis in axes)
        raise RecordError(
            f"the long table holds {len(twice)} measurements twice (first: {first}). Make it again with `papa collect`."
        )
    bad = table.loc[(table.metric == "diverged") & (table.value > 0), RUN_AXES].drop_duplicates()
    whole = table[list(COLUMNS)].merge(bad.assign(lost=True), "left", RUN_AXES)
    whole = whole.assign(lost=whole.lost.notna())
    whole.attrs = table.attrs
    return whole


# ---------------------------------------------------------------- values


def diverged(table: pd.DataFrame, task: str, method: str, users: Iterable[str] | None = None) -> int:
    """How many runs diverged."""
    rows = table[table.lost]
    rows = rows[(rows.task == task) & (rows.method == method)]
    if users is not None:
        rows = rows[rows.user.isin(list(users))]
    return len(rows[RUN].drop_duplicates())


def runs(table: pd.DataFrame, task: str, method: str, users: Iterable[str]) -> int:
    """How many runs there are, diverged ones included."""
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
    """A metric over the rounds: index round, one column per seed.

    The last round takes its value from the final, larger set of samples.
    """
    rows = table[(table.metric == metric) & (table.method == method)]
    rows = rows[(rows.task == task) & (rows.user == user) & ~rows.lost]
    rows = rows.sort_values("stage", key=lambda stage: stage == "final", kind="stable")
    rows = rows.drop_duplicates(["round", "seed"], keep="last")
    return rows.pivot(index="round", columns="seed", values="value").sort_index()


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
    return sorted(table.loc[table.metric == "preference_gold", "task"].unique())


def is_prompted(grid: Grid, task: str) -> bool:
    """Whether the task draws for a prompt. Those have tables and figures of their own."""
    return task in grid.tasks and grid.tasks[task].declaration.prompted


DIVERSITY: dict[str, str] = {
    "distance_ratio": "distance / perfect mix's",
    "liked_distance_ratio": "distance within liked / base's",
    "served_nearest_ratio": "nearest in a request / perfect mix's",
}
"""The three sorts of diversity, and their words: of all samples, of what is liked, within one request."""


def prompted_rows(table: pd.DataFrame, grid: Grid) -> pd.Series:
    """For each row of the long table, whether its task draws for a prompt."""
    return table.task.isin([task for task in table.task.unique() if is_prompted(grid, task)])


def seeds_of(table: pd.DataFrame, tasks: Sequence[str], methods: Sequence[str]) -> list[int]:
    """The seeds that ran."""
    rows = table[table.task.isin(list(tasks)) & table.method.isin(list(methods))]
    return sorted(int(seed) for seed in rows.seed.unique())


# ---------------------------------------------------------------- methods and users


GRADED = {"strokes"}
"""Kinds of users who always answer with a grade; of other kinds the taste says so."""


def ordered(grid: Grid) -> list[str]:
    """Every method in the one order of all tables and figures: algorithms as registered, labels as configured."""
    registered = list(METHODS)
    return sorted(grid.methods, key=lambda label: registered.index(grid.methods[label].name))


def is_graded(grid: Grid, task: str, user: str) -> bool:
    """Whether the user answers with grades, so that their preference is a mean and no share."""
    who = next((spec.who for spec in grid if (spec.task, spec.user) == (task, user)), None)
    return who is not None and (who.kind in GRADED or bool(who.taste.model_dump().get("graded")))


def users_of(grid: Grid, task: str) -> list[str]:
    """Users of the grid who answer as their taste says, in the grid's order."""
    return list(dict.fromkeys(spec.user for spec in grid if spec.task == task and spec.who.noiseless))


def shared_users(table: pd.DataFrame, grid: Grid, task: str) -> list[str]:
    """The users for whom at least half of the compared methods ran, of those that ran for anybody."""
    rows = table[(table.task == task) & table.method.isin(main_methods(grid, task))]
    methods = rows.groupby("user").method.nunique()
    return [user for user in users_of(grid, task) if 2 * methods.get(user, 0) >= rows.method.nunique()]


def is_control(grid: Grid, method: str) -> bool:
    """Whether the method is handed the true preference: a check, not a competitor."""
    return grid.methods[method].settings.needs_oracle


def reference_of(grid: Grid, method: str) -> str | None:
    """The method that a variant is compared with: the one named like its algorithm, or the first of it.

    None for a reference itself, and for a method alone of its algorithm.
    """
    algorithm = grid.methods[method].name
    family = [label for label, of in grid.methods.items() if of.name == algorithm and not is_control(grid, label)]
    reference = algorithm if algorithm in family else next(iter(family), None)
    return None if reference == method else reference


def main_methods(grid: Grid, task: str) -> list[str]:
    """The methods that are compared with each other: T1, T3, F1.

    They stand in a block together with the base and run for several users (where any does); a method
    that is no variant of another belongs to them wherever it runs.
    """
    users: dict[str, set[str]] = {}
    for spec in grid:
        if spec.task == task:
            users.setdefault(spec.method, set()).add(spec.user)
    several = any(len(found) > 1 for found in users.values())
    beside_base = {
        label
        for block in grid.config.grid.values()
        if block.task == task and BASE in block.methods
        for label in block.methods
        if len(users[label]) > 1 or not several
    }
    return [
        label
        for label in ordered(grid)
        if label in users
        and not is_control(grid, label)
        and (label in beside_base or reference_of(grid, label) is None)
    ]


def variant_methods(grid: Grid, task: str) -> list[str]:
    """The other methods of a task: ablations and points of a sweep, controls left out."""
    ran = {spec.method for spec in grid if spec.task == task}
    main = set(main_methods(grid, task))
    return [label for label in ordered(grid) if label in ran - main and not is_control(grid, label)]


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level: {"surrogate.lr": 0.001}."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def changes(grid: Grid, method: str, reference: str) -> dict[str, tuple[Any, Any]]:
    """Setting -> (value of the reference, value of the method), where they differ.

    A preset stands for all the settings that it brings.
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


@dataclass(frozen=True)
class Sweep:
    """Methods that differ in one setting alone, by its value."""

    setting: str
    points: dict[str, float]


def sweep(grid: Grid, reference: str, setting: str, among: Collection[str] | None = None) -> Sweep:
    """The methods that differ from the reference in `setting` alone, itself included, by ascending value.

    Methods of another algorithm belong to it where they share all other settings (PAPA is EPAPA at k = 0).
    Of two methods with the same settings the first one counts. `among`: only these, for example what ran.
    """
    if reference not in grid.methods:
        return Sweep(setting, {})
    anchor = flat(grid.methods[reference].settings.model_dump())
    points: dict[str, float] = {}
    for label in [reference, *grid.methods]:
        if among is not None and label not in among:
            continue
        dump = flat(grid.methods[label].settings.model_dump())
        rest = {key: value for key, value in dump.items() if key != setting}
        same = rest == {key: value for key, value in anchor.items() if key != setting}
        if same and setting in dump and dump[setting] not in points.values():
            points[label] = float(dump[setting])
    return Sweep(setting, dict(sorted(points.items(), key=lambda item: item[1])))
