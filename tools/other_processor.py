"""Compare results with those of another processor, simulated by AVX2 instead of AVX-512 kernels.

    snakemake --cores 2 && python tools/other_processor.py

Another instruction set sums in another order and changes the last bits of every number. Prints, for each kind of run,
the values of both, the standard deviation of their difference, and that over seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

from papa.benchmark.grid import load
from papa.benchmark.runs.record import read_scores
from papa.benchmark.specs import RunSpec

RUNS = [
    ("digits", "papa", "likes-1479"),
    ("digits", "fkc-tuned", "likes-1479"),
    ("fruits", "papa-q0.5", "apple"),
    ("fruits", "fkc-b10", "apple"),
]
METRICS = ("preference_gold", "served_nearest_ratio")
OLDER = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


def values(specs: list[RunSpec], metric: str) -> np.ndarray:
    """The final value of each run.

    Raises:  SystemExit where one is missing.
    """
    found = []
    for spec in specs:
        found += [row["value"] for row in read_scores(spec) if (row["metric"], row["stage"]) == (metric, "final")]
    return np.array(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="config.yaml", help="configuration file (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds (default: %(default)s)")
    args = parser.parse_args()
    here = load(args.config)
    rows = [
        "| run | measure | here | there | sd of the difference | sd over seeds |",
        "| :-- | :-- | --: | --: | --: | --: |",
    ]
    with tempfile.TemporaryDirectory(prefix="papa-other-processor-") as folder:
        there = load(args.config, {"results": folder})
        for task, method, user in RUNS:
            axes = ["--task", task, "--method", method, "--user", user, "--seeds", *map(str, args.seeds)]
            command = [sys.executable, "-m", "papa", "align", "--config", args.config, *axes]
            override = ["--override", json.dumps({"results": folder})]
            subprocess.run([*command, *override], env=os.environ | OLDER, check=True)
            for metric in METRICS:
                one, other = (values(grid.select(task, method, user, args.seeds), metric) for grid in (here, there))
                spread = [f"{np.std(x, ddof=1):.3f}" for x in (other - one, one)]
                lists = [" ".join(f"{x:.3f}" for x in found) for found in (one, other)]
                rows.append(f"| {task} {method} {user} | {metric} | {' | '.join([*lists, *spread])} |")
    print("\n".join(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
