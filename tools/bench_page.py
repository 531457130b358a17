"""Waiting time of the page: from the last answer of a round to the PNG files of the next one.

    python tools/bench_page.py [--rounds 20] [--only papa]    # on `fruits`, with as many threads as there are cores

Prints median and 95% quantile over the rounds; nothing is sampled ahead, and the browser is not included.
The user likes bananas; with `--arbitrary` the answers do not depend on the images, which a surrogate fits most slowly.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.machine import this_machine
from papa.benchmark.tasks.fruits import FRUITS, FruitsSettings
from papa.benchmark.tasks.fruits.task import Fruits
from papa.benchmark.users import user_of, user_spec
from papa.serve.previews import pngs
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

Answers = Callable[[int, Tensor], list[bool]]
"""Round and images -> answers."""


def banana(task: Fruits) -> Answers:
    """A user who likes bananas."""
    user = user_of(user_spec("banana", FRUITS.users, {}, "bench_page"))
    user.calibrate(task)
    return lambda _, images: (np.asarray(user.verdict(images)) > 0.5).tolist()


def arbitrary(index: int, images: Tensor) -> list[bool]:
    """Every third image is liked."""
    return [(index + item) % 3 == 0 for item in range(len(images))]


def waits(task: Fruits, method: str, settings: dict[str, Any], rounds: int, answers: Answers) -> list[float]:
    """Seconds of each round but the first."""
    session = Session(task.model, method, labels=(rounds + 1) * K, per_round=K, settings=settings)
    found, question = [], session.ask()
    for index in range(rounds):
        said = answers(index, question.images)
        begin = time.perf_counter()
        session.answer(said)
        question = session.ask()
        pngs(task.model, question.images)
        found.append(time.perf_counter() - begin)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="rounds per method (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS), help="methods (default: all)")
    parser.add_argument("--arbitrary", action="store_true", help="answers that do not depend on the images")
    args = parser.parse_args()
    task, machine = Fruits(FruitsSettings()), this_machine()
    answers = arbitrary if args.arbitrary else banana(task)
    print(f"{machine.processor}, {torch.get_num_threads()} threads, {args.rounds} rounds of {K} images\n")
    print("| method | median s | 95% s |\n| :-- | --: | --: |")
    for name in args.only:
        found = waits(task, *METHODS[name], args.rounds, answers)
        median, late = statistics.median(found), float(np.quantile(found, 0.95))
        print(f"| {name} | {median:.2f} | {late:.2f} |", flush=True)


if __name__ == "__main__":
    main()
