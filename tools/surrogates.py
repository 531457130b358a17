"""How well surrogates order unseen base samples by a user's preference, after so many labels: mean AUC over seeds.

    python tools/surrogates.py --task fruits --users apple grape banana --seeds 0 1 2 3 4 5
    python tools/surrogates.py --task digits --users likes-3 --labels 16 24 40

Labels are those of base samples drawn at random; the others are the unseen ones. Base samples are those of the
configuration's runs, made where they are missing.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from papa.benchmark import tasks, users
from papa.benchmark.grid import load
from papa.benchmark.runs.base_samples import reader
from papa.diffusion.denoiser import Cost
from papa.methods.shared.surrogate import SurrogateSettings
from papa.methods.shared.surrogate.choice import surrogate_of
from papa.methods.shared.surrogate.interface import Known
from papa.paper.stats import estimate
from papa.rng import Stream

KINDS = ("conv", "features")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="config.yaml")
    parser.add_argument("--task", required=True)
    parser.add_argument("--users", nargs="+", required=True)
    parser.add_argument("--labels", nargs="+", type=int, default=[16, 24, 40, 80])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4, 5])
    parser.add_argument("--pool", type=int, default=1024, help="base samples of a seed")
    parser.add_argument("--levels", nargs="+", type=float, help="of the features; default: the setting's")
    asked = parser.parse_args()
    grid = load(asked.config)
    of = grid.task(asked.task)
    task = of.declaration.load()(of.settings)
    persons = {}
    for label in asked.users:
        spec = users.user_spec(label, tasks.declaration(asked.task).users, {}, label)
        persons[label] = users.kind(spec.kind).load()(spec.taste)
        persons[label].meet(task)
    found: dict[tuple[str, int, str], list[float]] = {}
    shares: dict[str, list[float]] = {label: [] for label in persons}
    spent = dict.fromkeys(KINDS, 0.0)
    for seed in asked.seeds:
        pool = reader(grid.base(asked.task, seed), task.model)(asked.pool)
        images = task.model.decode(pool)
        for label, person in persons.items():
            preference = np.asarray(person.verdict(images), dtype=float)
            shares[label].append(float((preference > 0.5).mean()))
            order = Stream(seed).at("labels", label).generator().permutation(len(pool))
            for count in asked.labels:
                shown, rest = order[:count], order[count:]
                for kind in KINDS:
                    begin = time.perf_counter()
                    given = {"kind": kind} | ({"levels": asked.levels} if asked.levels else {})
                    settings = SurrogateSettings.model_validate(given)
                    known = Known(task.model, Stream(seed).at("surrogate"), lambda n, pool=pool: pool[:n], Cost)
                    surrogate = surrogate_of(settings, known)
                    surrogate.fit(pool[torch.from_numpy(shown)], preference[shown], Stream(seed).at("fit"))
                    with torch.no_grad():
                        scores = surrogate(pool[torch.from_numpy(rest)]).numpy()
                    spent[kind] += time.perf_counter() - begin
                    auc = float(roc_auc_score(preference[rest] > 0.5, scores))
                    found.setdefault((label, count, kind), []).append(auc)
        print(f"seed {seed} done", file=sys.stderr)
    print("| user (base rate) | labels | " + " | ".join(KINDS) + " |\n|:--|--:|" + "--:|" * len(KINDS))
    for label in asked.users:
        for count in asked.labels:
            cells = [estimate(np.array(found[label, count, kind]), 0.95) for kind in KINDS]
            said = " | ".join(f"{cell.mean:.3f} ± {cell.half_width:.3f}" for cell in cells)
            print(f"| {label} ({np.mean(shares[label]):.3f}) | {count} | {said} |")
    print(", ".join(f"{kind}: {seconds:.0f} s" for kind, seconds in spent.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
