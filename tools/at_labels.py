"""Preference after so many labels, a column for each method of a configuration: means over seeds with 95% t intervals.

    python tools/at_labels.py --config config/surrogates.yaml --labels 16 24 40 80

After `papa collect` (or `snakemake RESULTS/runs.parquet`). A point of a curve is what a session had after so many
labels: where settings depend on the whole budget, a session of that budget alone would give something else.
"""

from __future__ import annotations

import argparse
import sys

import pandas as pd

from papa.benchmark.grid import Grid, load
from papa.paper import select
from papa.paper.long_table import read_table
from papa.paper.stats import estimate


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="config.yaml")
    parser.add_argument("--labels", nargs="+", type=int, default=[16, 24, 40, 80])
    parser.add_argument("--metric", default="preference_gold")
    asked = parser.parse_args()
    grid = load(asked.config)
    table = select.check(read_table(grid))
    for task in select.preference_tasks(table):
        methods = [method for method in select.main_methods(grid, task) if method != select.BASE]
        print(f"| user of {task} (base) | labels | {' | '.join(methods)} |")
        print("|:--|--:|" + "--:|" * len(methods))
        for user in select.users_of(grid, task):
            base = select.values(table, task, select.BASE, asked.metric, [user]).mean()
            for labels in asked.labels:
                cells = [at(table, grid, task, method, user, labels, asked.metric) for method in methods]
                print(f"| {user} ({base:.3f}) | {labels} | {' | '.join(cells)} |")
    return 0


def at(table: pd.DataFrame, grid: Grid, task: str, method: str, user: str, labels: int, metric: str) -> str:
    """The cell of a method after so many labels; a dash where no point of its curve is there."""
    curve = select.curves(table, task, method, metric, user)
    after = labels / grid.methods[method].settings.per_round
    if after not in curve.index:
        return "-"
    found = estimate(curve.loc[after].to_numpy(), grid.config.confidence)
    return f"{found.mean:.2f} ± {found.half_width:.2f}"


if __name__ == "__main__":
    sys.exit(main())
