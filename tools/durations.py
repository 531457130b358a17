"""Record how long the kinds of runs took, from a finished experiment on an idle machine: papa/data/durations.json.

    snakemake --cores 2 && python tools/durations.py          # of config.yaml, in this folder
    python tools/durations.py config/mnist.yaml               # adds the kinds of another one, made on any machine

The seconds of every job are in results/benchmarks, where Snakemake writes them; on an idle machine they are CPU time.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

from papa.benchmark.estimate import calibrate, evaluations, kind, recorded
from papa.benchmark.grid import Grid, load
from papa.benchmark.machine import processor
from papa.benchmark.specs import BaseSpec, RunSpec

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


def per_thousand(grid: Grid, start: float) -> dict[str, float]:
    """Seconds of a thousand evaluations of each kind of run; the jobs' starts are taken off."""
    folder, benchmarks = (Path(grid.config.results, name) for name in ("stamps", "benchmarks"))
    keys: dict[str, RunSpec | BaseSpec] = {spec.key: spec for spec in grid}
    keys |= {spec.base.key: spec.base for spec in grid}
    work, took = defaultdict(float), defaultdict(float)
    for stamp in [*folder.glob("align/**/*.txt"), *folder.glob("base/**/*.txt")]:
        said = stamp.read_text(encoding="utf-8").split()[2:]
        if specs := [keys[key] for key in said if key in keys]:
            job = benchmarks / stamp.relative_to(folder).with_suffix(".tsv")
            work[kind(specs[0])] += sum(map(evaluations, specs))
            took[kind(specs[0])] += max(0.0, spent(job) - start)
    return {name: 1000 * took[name] / work[name] for name in work}


def main(config: str = "config.yaml") -> int:
    grid, here = load(config), calibrate()
    known = asdict(recorded())
    scale = here / known["calibration"]  # what is kept was recorded on another machine
    if config == "config.yaml":
        start = min(map(spent, Path(grid.config.results, "benchmarks").glob("align/**/*.tsv")))  # of the shortest job
        found = per_thousand(grid, start)
        known["per_thousand"] = {name: value * scale for name, value in known["per_thousand"].items()} | found
        known |= {"machine": processor(), "calibration": here, "start": round(start, 2)}
        known["drawing"] = round(timed("plot", "F1"), 2)
    else:
        found = per_thousand(grid, known["start"] * scale)
        known["per_thousand"] |= {name: value / scale for name, value in found.items()}
    known["per_thousand"] = {name: round(known["per_thousand"][name], 4) for name in sorted(known["per_thousand"])}
    FILE.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
