"""T1: alignment of every compared method, per user and over all users."""

from __future__ import annotations

import pandas as pd

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.stats import Estimate
from papa.paper.tables import Made

Shown = dict[str, tuple[str, int]]
"""Metric -> (heading, decimals). The CSV holds every final metric, the Markdown these."""

SHOWN: Shown = {
    "preference_gold": ("preference (gold) ↑", 3),
    "preference_held_out": ("held-out ↑", 3),
    "fid_preferred": ("FID to preferred (floor) ↓", 2),
    "distance_ratio": ("distance / mix's", 3),
    "served_nearest_ratio": ("request: nearest / mix's", 3),
    "sample": ("evaluations / image (with learning)", 1),
}
ASIDE = {"fid_preferred": "fid_preferred_floor", "sample": "amortized_cost_100"}
"""Measure -> the one whose mean, without an interval, stands in brackets behind it."""
SAID = (
    "Alignment to one user's taste: share of final samples that the judge behind the labels (gold) and a judge "
    "never queried (held-out) count as liked; distance to reference images of the preferred classes; diversity; cost."
)
DIVERSITY = (
    "Diversity, 1 being a model tilted exactly to a yes-or-no taste: mean distance of two images over that of a mix "
    "of base samples of which as many are liked, and within one request ({served} images) the distance to the "
    "nearest other image over that in such mixes; a small one means near copies. Cost: denoiser evaluations for a "
    "served image, and in brackets with what learning took spread over 100 of them. The CSV has every measure."
)
OF_THOSE_THAT_DID = {"labels_to_first_like"}
"""Measures without a value for runs that did not get there; a mean over the others would flatter."""
POOLED, LIKED = "pooled", "preference_gold"
NOTHING = pd.Series(dtype=float, index=pd.MultiIndex.from_arrays([[], []], names=select.RUN))
AXES = ["task", "user", "method", "algorithm", "metric", "mean", "lower", "upper", "n_seeds", "diverged"]


def make(table: pd.DataFrame, grid: Grid) -> Made:
    """T1 from the long table."""
    return build(table[~select.prompted_rows(table, grid)], grid, SHOWN, SAID)


def build(table: pd.DataFrame, grid: Grid, shown: Shown, said: str) -> Made:
    """The table of every task in `table`, per user and pooled, with `shown` in its readable form."""
    rows, parts = [], []
    for task in select.preference_tasks(table):
        users = select.users_of(grid, task)
        common = select.shared_users(table, grid, task)
        pools = {user: [user] for user in users} | ({POOLED: common} if len(common) > 1 else {})
        for pool, members in pools.items():
            found = _estimates(table, grid, task, members)
            lost = {method: select.diverged(table, task, method, members) for method in {key[0] for key in found}}
            rows += [
                {"task": task, "user": pool, "method": method, "algorithm": grid.methods[method].name, "metric": metric}
                | report.columns(value)
                | {"diverged": lost[method]}
                for (method, metric), value in found.items()
            ]
            of = f" ({', '.join(members)})" if pool == POOLED else ""
            if found:
                heads = shown | {LIKED: (f"{_liked(grid, task, members)} (gold) ↑", shown[LIKED][1])}
                parts.append(
                    f"### {task}: {pool}{of}{_seeds(found, heads)[1]}\n\n{_markdown(grid, found, lost, heads)}"
                )
    return Made(pd.DataFrame(rows, columns=AXES), "\n".join(parts), caption(table, grid, said))


def _estimates(table: pd.DataFrame, grid: Grid, task: str, users: list[str]) -> dict[tuple[str, str], Estimate]:
    """(method, metric) -> estimate over seeds, for whatever was measured.

    What is measured for some users only (a graded one has no other judge) is pooled over those.
    """
    final = table[(table.task == task) & (table.stage == "final") & table.user.isin(users)]
    found = {}
    for method in select.main_methods(grid, task):
        mine = final[final.method == method]
        whole = select.finished(mine).set_index(["metric", *select.RUN]).value.sort_index()
        for metric in mine.metric.drop_duplicates():
            if metric in OF_THOSE_THAT_DID:
                continue
            values = whole.loc[metric] if metric in whole.index else NOTHING
            measured = set(final.loc[final.metric == metric, "user"])
            found[method, metric] = select.estimate(values, grid, [user for user in users if user in measured])
    return found


def _liked(grid: Grid, task: str, users: list[str]) -> str:
    """What the column of preference is called; where all these users answer with grades it is a mean."""
    return "mean preference" if report.liked(grid, task, *users) == "mean preference" else "preference"


def _seeds(found: dict[tuple[str, str], Estimate], shown: Shown) -> tuple[dict[str, str], str]:
    """Method -> how many seeds are behind what is shown of it, and one phrase for a heading where all have as many."""
    counts: dict[str, set[int]] = {}
    for (method, metric), value in found.items():
        counts.setdefault(method, set()).update({value.n} if metric in shown else set())
    each = {method: "–".join(map(str, sorted({min(n), max(n)}))) if n else "0" for method, n in counts.items()}
    different = {n for numbers in counts.values() for n in numbers}
    return each, f", {report.plural(different.pop(), 'seed')}" if len(different) == 1 else ""


def _markdown(grid: Grid, found: dict[tuple[str, str], Estimate], lost: dict[str, int], shown: Shown) -> str:
    shown = {metric: head for metric, head in shown.items() if any(key[1] == metric for key in found)}
    (seeds, same), rows = _seeds(found, shown), []
    for method, name in report.named(grid, list(dict.fromkeys(key[0] for key in found))).items():
        name += f" ({lost[method]} diverged)" if lost[method] else ""
        texts = [_cell(found, method, metric, digits) for metric, (_, digits) in shown.items()]
        rows.append([name, *texts, *([] if same else [seeds[method]])])
    return report.markdown(["method", *(head for head, _ in shown.values()), *([] if same else ["seeds"])], rows)


def _cell(found: dict[tuple[str, str], Estimate], method: str, metric: str, digits: int) -> str:
    value, aside = found.get((method, metric)), found.get((method, ASIDE.get(metric, "")))
    if value is None or not value.n:
        return report.NOTHING
    behind = f" ({report.number(aside.mean, digits)})" if aside and aside.n else ""
    return report.plus_minus(value, digits) + behind


def caption(table: pd.DataFrame, grid: Grid, said: str) -> str:
    """What is shown (`said`), and what of it was run."""
    tasks = select.preference_tasks(table)
    methods = [method for task in tasks for method in select.main_methods(grid, task)]
    users = [user for task in tasks for user in select.users_of(grid, task)]
    return report.paragraph(
        said,
        report.graded_sentence(grid, tasks),
        DIVERSITY.format(served=report.samples(grid, tasks, "served")),
        report.quote(table, grid, tasks, methods, users),
        "The floor of FID, in brackets, is real against real images, as many as the method's own samples.",
        report.unit_sentence(grid),
        report.diverged_sentence(table, tasks, methods),
    )
