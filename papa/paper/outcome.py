"""What came out, in plain sentences: computed from the long table and the verdicts, and the same for the same numbers.

They name what is highest and say at once how sure that is and what it costs; which methods are compared is that of T1
and T2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from papa.benchmark.grid import BASE, Grid
from papa.paper import report, select
from papa.paper.curve import PREFERENCE
from papa.paper.stats import Estimate

VERBS: dict[str, tuple[str, str]] = {
    "supported": ("is supported", "are supported"),
    "refuted": ("is refuted", "are refuted"),
    "undecided": ("is undecided", "are undecided"),
    "not run": ("was not run", "were not run"),
    "retired": ("is retired", "are retired"),
}
"""Verdict -> what becomes of one claim, and of several."""
SAME_COST = 1.001
"""A served image that costs up to this many times the base's costs no more."""


def paragraphs(table: pd.DataFrame, grid: Grid, claims: Sequence[Mapping[str, object]]) -> list[str]:
    """What was run, what each task showed, and what became of the claims.

    Args:    table: the long table, checked (`select.check`). claims: entries of `claims.json`.
    """
    tasks = [ranking(table, grid, task) for task in select.preference_tasks(table)]
    return [extent(table), *tasks, ledger(claims)]


def extent(table: pd.DataFrame) -> str:
    """How much was run, and what diverged of it."""
    runs = table[[*select.RUN_AXES, "lost"]].drop_duplicates(select.RUN_AXES)
    if runs.empty:
        return "Nothing ran."
    methods, users, tasks, seeds = (
        report.plural(runs[axis].nunique(), axis) for axis in ("method", "user", "task", "seed")
    )
    lost = Counter(runs.method[runs.lost])
    named = ", ".join(f"{count} of {method}" for method, count in sorted(lost.items()))
    diverged = f"Of these, {lost.total()} diverged: {named}." if lost else "None of them diverged."
    ran = report.plural(len(runs), "run")
    return f"The experiment has {ran}, of {methods} for {users} on {tasks} with {seeds}. {diverged}"


# ---------------------------------------------------------------- a task


def ranking(table: pd.DataFrame, grid: Grid, task: str) -> str:
    """Which compared method had the highest preference on a task, by how much, for whom, and at what cost."""
    users = select.shared_users(table, grid, task)
    found = _estimates(table, grid, task, PREFERENCE, users) if users else {}
    ranked = sorted((method for method in found if method != BASE), key=lambda method: -found[method].mean)
    if not ranked:
        return f"On {task}, no method ran to its end for a user for whom all the others did, so none is named."
    first = ranked[0]
    of_base = f", against {report.plus_minus(found[BASE])} of the base's" if BASE in found else ""
    sentences = [
        f"On {task}, {first} had the highest preference of {report.plural(len(ranked), 'compared method')}: the judge "
        f"that gave the labels likes a share of {report.plus_minus(found[first])} of its images{of_base} "
        f"({_over(users)}).",
        _second(table, grid, task, users, ranked, found),
        _each(table, grid, task, users, ranked),
        _cost(table, grid, task, users, ranked, found),
    ]
    return " ".join(filter(None, sentences))


def _estimates(table: pd.DataFrame, grid: Grid, task: str, metric: str, users: list[str]) -> dict[str, Estimate]:
    """Compared method -> its estimate over seeds that have all of the users; methods without one are left out."""
    found = {
        method: select.estimate(select.values(table, task, method, metric, users), grid, users)
        for method in select.main_methods(grid, task)
    }
    return {method: estimate for method, estimate in found.items() if estimate.n}


def _over(users: list[str]) -> str:
    return f"mean over {', '.join(users)}" if len(users) > 1 else f"user {users[0]}"


def _second(
    table: pd.DataFrame, grid: Grid, task: str, users: list[str], ranked: list[str], found: dict[str, Estimate]
) -> str:
    """How far the second is behind, on the same users and seeds."""
    if len(ranked) < 2:
        return ""
    one, other = (select.values(table, task, method, PREFERENCE, users) for method in ranked[:2])
    ahead = select.difference(one, other, grid)
    said = f"Second came {ranked[1]} with {report.plus_minus(found[ranked[1]])}"
    if not ahead.n:
        return f"{said}, on other seeds."
    if ahead.n < 2:
        return f"{said}; one seed cannot say whether that is chance."
    sure = "excludes zero" if ahead.lower > 0 else "contains zero, so the order of the two is open"
    return f"{said}; the interval of the paired difference, {report.signed(ahead)}, {sure}."


def _each(table: pd.DataFrame, grid: Grid, task: str, users: list[str], ranked: list[str]) -> str:
    """The highest for each user by themselves."""
    if len(users) < 2:
        return ""
    highest: dict[str, list[str]] = {}
    for user in users:
        found = _estimates(table, grid, task, PREFERENCE, [user])
        best = max((method for method in ranked if method in found), key=lambda method: found[method].mean)
        highest.setdefault(best, []).append(f"{user} ({report.plus_minus(found[best])})")
    named = _listed(f"{method} for {_listed(liked)}" for method, liked in highest.items())
    return f"User by user, the highest {'is' if len(highest) == 1 else 'are'} {named}."


def _cost(
    table: pd.DataFrame, grid: Grid, task: str, users: list[str], ranked: list[str], found: dict[str, Estimate]
) -> str:
    """What a served image of the highest costs, and which is the highest at the base's price."""
    cost, first = _estimates(table, grid, task, "sample", users), ranked[0]
    if first not in cost or BASE not in cost:
        return ""
    price = cost[BASE].mean * SAME_COST
    cheap = next((method for method in ranked if method in cost and cost[method].mean <= price), None)
    said = f"A served image of {first} takes {report.number(cost[first].mean, 0)} evaluations of the denoiser"
    if cheap == first:
        return f"{said}, no more than one of the base. {_different(table, grid, task, users, first)}".rstrip()
    said += f", against {report.number(cost[BASE].mean, 0)} for one of the base"
    if cheap is None:
        return f"{said}; no compared method serves at that price."
    said += f"; of the methods that serve at that price, {cheap} is the highest with {report.plus_minus(found[cheap])}."
    return f"{said} {_different(table, grid, task, users, cheap)}".rstrip()


def _different(table: pd.DataFrame, grid: Grid, task: str, users: list[str], method: str) -> str:
    """How many images of one request are different, where not all of them are."""
    found, served = _estimates(table, grid, task, "served_unique", users).get(method), grid.measures(task).served
    if found is None or found.mean > served - 0.05:
        return ""
    return f"Of the {served} images of one request of {method}, {found.mean:.1f} are different on average."


# ---------------------------------------------------------------- the claims


def ledger(claims: Sequence[Mapping[str, object]]) -> str:
    """How many claims have which verdict, which ones are decided, and why others are not."""
    counts = Counter(str(claim["verdict"]) for claim in claims)
    parts = [f"{counts[verdict] or 'none'} {VERBS[verdict][counts[verdict] > 1]}" for verdict in VERBS]
    said = [f"Of the {report.plural(len(claims), 'claim')} in the ledger, {_listed(parts)}."]
    for verdict in ("supported", "refuted"):
        sentences = [str(claim["sentence"]) for claim in claims if claim["verdict"] == verdict]
        said += [f"{verdict.capitalize()}: {' '.join(sentences)}"] if sentences else []
    reasons = Counter(str(claim["reason"]) for claim in claims if claim["verdict"] == "undecided")
    if reasons:
        named = _listed(f"“{reason}” ({count})" for reason, count in reasons.most_common())
        said.append(f"What leaves claims undecided: {named}.")
    return " ".join(said)


def _listed(items: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *before, last = items
    return f"{', '.join(before)} and {last}" if before else last
