"""Compare the CPU seconds of two commits on the same runs, on an idle machine.

    python tools/bench.py OLD_COMMIT [NEW_COMMIT] [--pairs 3] [--only digits]

Each commit runs its own config.yaml in a checkout of its own, old and new in turn. Times are those of whole processes,
start included; medians over the pairs. `start` is a process that finds its run finished.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from same_values import checked_out

RUNS = [
    ("digits", "best_of_4", "likes-1479"),
    ("digits", "papa", "likes-1479"),
    ("digits", "epapa", "likes-1479"),
    ("digits", "fkc", "likes-1479"),
    ("fruits", "best_of_4", "apple"),
    ("fruits", "papa-q0.5", "apple"),
    ("fruits", "epapa-q0.5", "apple"),
    ("fruits", "fkc-b10", "apple"),
]


def papa(place: Path, *arguments: str) -> float:
    """CPU seconds of a command of a checkout on one thread."""
    command = [sys.executable, "-m", "papa", *arguments, "--threads", "1"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command,
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(place)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{place.name}: papa {' '.join(arguments)} failed:\n{done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def timed(place: Path, runs: list[tuple[str, str, str]]) -> dict[str, float]:
    """CPU seconds of every run of a checkout, from nothing; base samples separately."""
    results = place / "results-bench"
    shutil.rmtree(results, ignore_errors=True)
    override = ["--override", json.dumps({"results": str(results)}), "--seeds", "0"]
    spent = {}
    for task in dict.fromkeys(task for task, _, _ in runs):
        spent[f"{task} base samples"] = papa(place, "base", "--task", task, *override)
    for task, method, user in runs:
        axes = ["align", "--task", task, "--method", method, "--user", user, *override]
        spent[f"{task} {method}"] = papa(place, *axes)
        spent["start"] = papa(place, *axes)
    return spent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", help="a commit, or a folder with its checkout")
    parser.add_argument("new", nargs="?", default="HEAD", help="a commit, or a folder with its checkout")
    parser.add_argument("--pairs", type=int, default=3, help="repetitions")
    parser.add_argument("--only", choices=sorted({task for task, _, _ in RUNS}), help="one task")
    parser.add_argument("--work", default=str(Path(tempfile.gettempdir()) / "papa-bench"), help="folder of checkouts")
    args = parser.parse_args()
    old, new = (checked_out(commit, Path(args.work)) for commit in (args.old, args.new))
    runs = [run for run in RUNS if args.only in (None, run[0])]
    pairs = [(timed(old, runs), timed(new, runs)) for _ in range(args.pairs)]
    medians = [{name: statistics.median(pair[i][name] for pair in pairs) for name in pairs[0][i]} for i in (0, 1)]
    print(f"| CPU seconds | {old.name} | {new.name} | old / new |\n| :-- | --: | --: | --: |")
    for name in [*medians[0], "all"]:
        before, after = (found.get(name, sum(found.values())) for found in medians)
        print(f"| {name} | {before:.1f} | {after:.1f} | {before / after:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
