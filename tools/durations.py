"""Record how long the kinds of runs took, from a finished experiment on an idle machine: papa/data/durations.json.

    snakemake --cores 2 && python tools/durations.py          # of config.yaml, in this folder

The seconds of every job are in results/benchmarks, where Snakemake writes them; on an idle machine they are CPU time.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from papa.benchmark.estimate import calibrate, evaluations, kind
from papa.benchmark.grid import BaseSpec, RunSpec, load
from papa.benchmark.machine import processor

FILE = Path(__file__).parents[1] / "papa/data/durations.json"


def spent(file: Path) -> float:
    """The seconds of a job by the clock: Snakemake looks at CPU time every half minute only."""
    with file.open(encoding="utf-8") as handle:
        return float(next(csv.DictReader(handle, delimiter="\t"))["s"])


def timed(*command: str) -> float:
    """The CPU seconds of a command of this package."""
    code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True); "
    code += "used = resource.getrusage(resource.RUSAGE_CHILDREN); print(used.ru_utime + used.ru_stime)"
    done = [sys.executable, "-c", code, sys.executable, "-m", "papa", *command]
    return float(subprocess.run(done, capture_output=True, encoding="utf-8", check=True).stdout)


def main() -> int:
    grid = load("config.yaml")
    benchmarks = Path(grid.config.results, "benchmarks")
    start = min(map(spent, benchmarks.glob("align/**/*.tsv")))  # of the shortest job, hardly anything else
    drawing = timed("plot", "F1")
    jobs: dict[Path, list[RunSpec | BaseSpec]] = defaultdict(list)
    folder = Path(grid.config.results, "stamps")
    keys = {spec.key: spec for spec in grid} | {spec.base.key: spec.base for spec in grid}
    for stamp in [*folder.glob("align/**/*.txt"), *folder.glob("base/**/*.txt")]:
        said = stamp.read_text(encoding="utf-8").split()[2:]
        jobs[stamp.relative_to(folder).with_suffix(".tsv")] = [keys[key] for key in said if key in keys]
    work, took = defaultdict(float), defaultdict(float)
    for name, specs in jobs.items():
        if specs:
            work[kind(specs[0])] += sum(map(evaluations, specs))
            took[kind(specs[0])] += max(0.0, spent(benchmarks / name) - start)
    found = {
        "machine": processor(),
        "calibration": calibrate(),
        "start": round(start, 2),
        "drawing": round(drawing, 2),
        "per_thousand": {name: round(1000 * took[name] / work[name], 4) for name in sorted(work)},
    }
    FILE.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
