"""How long a person at the page waits: from the last answer of a round to the pictures of the next one.

    python tools/bench_page.py                       # on `fruits`, with as many threads as there are cores
    python tools/bench_page.py --rounds 20 --only papa

Median and 95% quantile of seconds over the rounds, on an idle machine. Nobody looks at the pictures here, so nothing is
drawn ahead. Learning, asking, decoding and the PNG files are in it; the way to the browser is not.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
import torch

from papa.app.pictures import pngs
from papa.benchmark.machine import this_machine
from papa.benchmark.tasks.fruits import FruitsSettings
from papa.benchmark.tasks.fruits.task import Fruits
from papa.session import Session

K = 8
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "best_of_16": ("best_of_n", {"n": 16}),
    "best_of_16-features": ("best_of_n", {"n": 16, "surrogate": {"kind": "features"}}),
    "fkc": ("fkc", {"beta_max": 10}),
    "fkc-features": ("fkc", {"beta_max": 10, "surrogate": {"kind": "features"}}),
    "papa": ("papa", {"c_qpde": 0.5, "items": 13}),
    "epapa": ("epapa", {"c_qpde": 0.5}),
}
LIMITS = {"best_of_16": 2, "best_of_16-features": 2, "fkc": 2, "fkc-features": 2, "papa": 10, "epapa": 10}
"""Seconds that a person should wait at most."""


def waits(task: Fruits, method: str, settings: dict[str, Any], rounds: int) -> list[float]:
    """Seconds of each round; the first question is not counted."""
    session = Session(task.model, method, labels=(rounds + 1) * K, per_round=K, settings=settings)
    found, question = [], session.ask()
    for index in range(rounds):
        answers = [(index + i) % 3 == 0 for i in range(K)]
        begin = time.perf_counter()
        session.answer(answers)
        question = session.ask()
        pngs(task.model, question.images)
        found.append(time.perf_counter() - begin)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="rounds of a method (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS), help="methods (default: all)")
    args = parser.parse_args()
    task, machine = Fruits(FruitsSettings()), this_machine()
    print(f"{machine.processor}, {torch.get_num_threads()} threads, {args.rounds} rounds of {K} pictures\n")
    print("| method | median s | 95% s | limit s |\n| :-- | --: | --: | --: |")
    for name in args.only:
        found = waits(task, *METHODS[name], args.rounds)
        median, late = statistics.median(found), float(np.quantile(found, 0.95))
        print(f"| {name} | {median:.2f} | {late:.2f} | {LIMITS[name]} |", flush=True)


if __name__ == "__main__":
    main()
