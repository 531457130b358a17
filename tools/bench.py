"""Compare the CPU seconds of two commits on the same runs, on an idle machine.

    python tools/bench.py OLD_COMMIT [NEW_COMMIT] [--pairs 3]

Each commit runs its own config.yaml in its own checkout, old and new in turn. Times are medians of whole processes;
`start` is a process that finds its run finished.
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
    environment = os.environ | {"PYTHONPATH": str(place)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, encoding="utf-8", check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{place.name}: papa {' '.join(arguments)} failed:\n{done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def timed(place: Path) -> dict[str, float]:
    """CPU seconds of every run of a checkout, from nothing; base samples separately."""
    results = place / "results-bench"
    shutil.rmtree(results, ignore_errors=True)
    override = ["--override", json.dumps({"results": str(results)}), "--seeds", "0"]
    spent = {}
    for task in dict.fromkeys(task for task, _, _ in RUNS):
        spent[f"{task} base samples"] = papa(place, "base", "--task", task, *override)
    for task, method, user in RUNS:
        axes = ["align", "--task", task, "--method", method, "--user", user, *override]
        spent[f"{task} {method}"] = papa(place, *axes)
        spent["start"] = papa(place, *axes)
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", help="a commit, or a folder with its checkout")
    parser.add_argument("new", nargs="?", default="HEAD", help="a commit, or a folder with its checkout")
    parser.add_argument("--pairs", type=int, default=3, help="repetitions")
    work = Path(tempfile.gettempdir()) / "papa-bench"
    parser.add_argument("--work", type=Path, default=work, help="folder of the checkouts")
    args = parser.parse_args()
    old, new = (checked_out(commit, args.work) for commit in (args.old, args.new))
    pairs = [(timed(old), timed(new)) for _ in range(args.pairs)]
    medians = [{name: statistics.median(pair[i][name] for pair in pairs) for name in pairs[0][i]} for i in (0, 1)]
    print(f"| CPU seconds | {old.name} | {new.name} | old / new |\n| :-- | --: | --: | --: |")
    for name in [*medians[0], "all"]:
        before, after = (found.get(name, sum(found.values())) for found in medians)
        print(f"| {name} | {before:.1f} | {after:.1f} | {before / after:.2f} |")


if __name__ == "__main__":
    main()
