"""T1: alignment of every compared method, per user and over all users."""

from __future__ import annotations

import pandas as pd

from papa.benchmark.grid import Grid
from papa.benchmark.metrics import IMAGES
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
    "liked_distance_ratio": ("within liked / base's", 3),
    "served_vendi_ratio": ("request: Vendi / mix's", 3),
    "served_nearest_ratio": ("request: nearest / mix's", 3),
    "served_unique": ("request: different", 1),
    "unique_ancestors": ("ancestors", 1),
    "sample": ("evaluations / image (with learning)", 1),
}
ASIDE = {"fid_preferred": "fid_preferred_floor", "sample": "image_of_100"}
"""Measure -> the one whose mean, without an interval, stands in brackets behind it."""
SAID = (
    "Alignment to one user's taste: share of final samples that the judge behind the labels (gold) and a judge "
    "never queried (held-out) count as liked; distance to reference images of the preferred classes; diversity; cost."
)
DIVERSITY = (
    "Diversity, 1 being a model tilted exactly to a yes-or-no taste: mean distance of two images over that of a mix "
    "of base samples of which as many are liked; of two liked images over that of two liked base samples; and "
    f"within one request ({{served}} images), against such mixes: Vendi score, distance to the nearest other image, "
    "and how many images are different. Ancestors: starting points that a particle population's samples descend "
    "from; few mean near copies. Cost: denoiser evaluations for a served image, and with what learning took spread "
    f"over {IMAGES} of them."
)
OF_THOSE_THAT_DID = {"labels_to_first_like"}
"""Measures without a value for runs that did not get there; a mean over the others would flatter."""
POOLED = "pooled"
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
        common = select.common_users(table, grid, task)
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
                parts.append(f"### {task}: {pool}{of}\n\n{_markdown(found, lost, shown)}")
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


def _markdown(found: dict[tuple[str, str], Estimate], lost: dict[str, int], shown: Shown) -> str:
    shown = {metric: head for metric, head in shown.items() if any(key[1] == metric for key in found)}
    rows = []
    for method in dict.fromkeys(key[0] for key in found):
        cells = [found.get((method, metric)) for metric in shown]
        name = method + (f" ({lost[method]} diverged)" if lost[method] else "")
        counts = sorted({cell.n for cell in cells if cell})
        seeds = "–".join(str(count) for count in dict.fromkeys([counts[0], counts[-1]])) if counts else "0"
        texts = [_cell(found, method, metric, digits) for metric, (_, digits) in shown.items()]
        rows.append([name, *texts, seeds])
    return report.markdown(["method", *(head for head, _ in shown.values()), "seeds"], rows)


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
        DIVERSITY.format(served=report.samples(grid, tasks, "served")),
        report.quote(table, grid, tasks, methods, users),
        "The floor of FID, in brackets, is real against real images, as many as the method's own samples.",
        report.unit_sentence(grid),
        report.diverged_sentence(table, tasks, methods),
    )
