"""How fast two commits are on this machine: the same runs in turn, and the ratio for every method and task.

    python tools/bench.py OLD_COMMIT [NEW_COMMIT]                 # NEW_COMMIT: the last one
    python tools/bench.py OLD_COMMIT --pairs 1 --only digits

CPU seconds of whole processes (start included), old and new one after the other so that both meet the same machine,
medians over the pairs. Use it on an idle machine. Each commit runs its own config.yaml, in a checkout of its own.
`start` is a process that finds its run done. `score` is what a commit leaves to be measured after its runs. `network`
is the share of the new commit's CPU time that its denoiser evaluations would take at their best: those of the record,
at the speed of full batches.
It passes 100% where a run reads base samples that were drawn before, which the record counts as if drawn for it.
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
IDEAL = """
import json, sys, time
import torch
from papa.benchmark.grid import load
from papa.diffusion.denoiser import Cost
torch.set_num_threads(1)
grid = load("config.yaml")
found = {}
for name in sys.argv[1:]:
    of = grid.tasks[name]
    model = of.declaration.load()(of.settings).model
    y, network = torch.randn(model.chunk, *model.shape), model.network()
    t = torch.zeros(model.chunk, dtype=torch.int64)
    with torch.no_grad():
        network(y, t)
        begin = time.process_time()
        for _ in range(5):
            network(y, t)
        forward = (time.process_time() - begin) / 5 / model.chunk
    begin = time.process_time()
    for _ in range(3):
        network(y, t).sample.square().mean().backward()
    both = (time.process_time() - begin) / 3 / model.chunk
    found[name] = {"forward": forward, "backward": max(0.0, both - forward)}
print(json.dumps(found))
"""


def papa(place: Path, *arguments: str) -> float:
    """Run a command of a checkout on one thread; its CPU seconds."""
    environment = os.environ | {"PYTHONPATH": str(place)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "papa", *arguments, "--threads", "1"],
        cwd=place,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{place.name}: papa {' '.join(arguments)} failed:\n{done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def timed(place: Path, runs: list[tuple[str, str, str]]) -> dict[str, float]:
    """CPU seconds of every run of a checkout, from nothing; the base samples apart."""
    results = place / "results-bench"
    shutil.rmtree(results, ignore_errors=True)
    override = ["--override", json.dumps({"results": str(results)}), "--seeds", "0"]
    spent = {}
    for task in dict.fromkeys(task for task, _, _ in runs):
        spent[f"{task} base samples"] = papa(place, "base", "--task", task, *override)
    for task, method, user in runs:
        axes = ["align", "--task", task, "--method", method, "--user", user, *override]
        spent[f"{task} {method}"] = papa(place, *axes)
        spent["start"] = papa(place, *axes)  # of a run that is done
    blocks = {
        f"{task}-{method}": {"task": task, "methods": [method], "users": [user], "seeds": [0]}
        for task, method, user in runs
    }
    these = ["--override", json.dumps({"results": str(results), "grid": blocks})]
    spent["score"] = papa(place, "score", *these)  # what `align` has not measured, all in one process
    return spent


def network_shares(place: Path, runs: list[tuple[str, str, str]], spent: dict[str, float]) -> dict[str, float]:
    """Seconds of each run's denoiser evaluations at the speed of full batches, over its CPU seconds."""
    tasks = list(dict.fromkeys(task for task, _, _ in runs))
    said = subprocess.run(
        [sys.executable, "-c", IDEAL, *tasks],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(place)},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    speed = json.loads(said.stdout.splitlines()[-1])
    shares = {}
    for task, method, user in runs:
        record = place / "results-bench" / task / "runs" / method / user / "seed0" / "run.json"
        total = json.loads(record.read_text(encoding="utf-8"))["total"]
        ideal = (total["forward"] + total["frozen"]) * speed[task]["forward"]
        ideal += total["backward"] * speed[task]["backward"]
        shares[f"{task} {method}"] = ideal / spent[f"{task} {method}"]
    return shares


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", help="a commit, or a folder with its checkout")
    parser.add_argument("new", nargs="?", default="HEAD", help="a commit, or a folder with its checkout")
    parser.add_argument("--pairs", type=int, default=3, help="how often each is run")
    parser.add_argument("--only", choices=sorted({task for task, _, _ in RUNS}), help="one task")
    parser.add_argument(
        "--work", default=str(Path(tempfile.gettempdir()) / "papa-bench"), help="where the checkouts lie"
    )
    args = parser.parse_args()
    old, new = (checked_out(commit, Path(args.work)) for commit in (args.old, args.new))
    runs = [run for run in RUNS if args.only in (None, run[0])]
    pairs = []
    for index in range(args.pairs):
        pairs.append((timed(old, runs), timed(new, runs)))
        whole = [sum(spent.values()) for spent in pairs[-1]]
        print(f"pair {index + 1}: {whole[0]:.0f} s and {whole[1]:.0f} s", file=sys.stderr, flush=True)
    medians = [{name: statistics.median(pair[i][name] for pair in pairs) for name in pairs[0][i]} for i in (0, 1)]
    shares = network_shares(new, runs, medians[1])
    print(f"| CPU seconds | {old.name} | {new.name} | old / new | network |\n| :-- | --: | --: | --: | --: |")
    for name in [*medians[0], "all"]:
        before, after = (found.get(name, sum(found.values())) for found in medians)
        share = f"{shares[name]:.0%}" if name in shares else "–"
        print(f"| {name} | {before:.1f} | {after:.1f} | {before / after:.2f} | {share} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
