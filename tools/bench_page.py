"""How long a person at the page waits: from the last answer of a round to the pictures of the next one.

    python tools/bench_page.py                       # on `fruits`, with as many threads as there are cores
    python tools/bench_page.py --rounds 20 --only papa

Median and 95% quantile of seconds over the rounds, on an idle machine. The person likes bananas; `--arbitrary` has
somebody whose answers do not depend on the pictures, which a surrogate needs longest to fit. Nobody looks at the
pictures here, so nothing is drawn ahead. Learning, asking, decoding and the PNG files are in it; the way to the browser
is not.
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
from papa.benchmark.users import user_spec
from papa.benchmark.users.interface import user_of
from papa.serve.images import pngs
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


Answers = Callable[[int, Tensor], list[bool]]
"""Round and pictures -> what the person says of them."""


def banana(task: Fruits) -> Answers:
    """Somebody who likes bananas."""
    person = user_of(user_spec("banana", FRUITS.users, {}, "bench_page"))
    person.meet(task)
    return lambda _, images: (np.asarray(person.verdict(images)) > 0.5).tolist()


def arbitrary(index: int, images: Tensor) -> list[bool]:
    """Every third picture is liked, whatever it shows."""
    return [(index + item) % 3 == 0 for item in range(len(images))]


def waits(task: Fruits, method: str, settings: dict[str, Any], rounds: int, answers: Answers) -> list[float]:
    """Seconds of each round; the first question is not counted."""
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
    parser.add_argument("--rounds", type=int, default=20, help="rounds of a method (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS), help="methods (default: all)")
    parser.add_argument("--arbitrary", action="store_true", help="answers that do not depend on the pictures")
    args = parser.parse_args()
    task, machine = Fruits(FruitsSettings()), this_machine()
    answers = arbitrary if args.arbitrary else banana(task)
    print(f"{machine.processor}, {torch.get_num_threads()} threads, {args.rounds} rounds of {K} pictures\n")
    print("| method | median s | 95% s | limit s |\n| :-- | --: | --: | --: |")
    for name in args.only:
        found = waits(task, *METHODS[name], args.rounds, answers)
        median, late = statistics.median(found), float(np.quantile(found, 0.95))
        print(f"| {name} | {median:.2f} | {late:.2f} | {LIMITS[name]} |", flush=True)


if __name__ == "__main__":
    main()
