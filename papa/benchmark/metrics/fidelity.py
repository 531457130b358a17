"""FID and KID to real images and to the base, by the task's own feature network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from papa.benchmark.metrics.interface import Bench, Metric, Row, RunView

ENOUGH = 8
"""Least number of generated images per feature dimension for FID and KID; the floor has the same bias."""

Classes = tuple[int, ...] | None
"""Classes of the real images; None: all."""


class Fidelity(Metric):
    """fid_*, kid_*: to real images of the preferred classes, of all classes, and to base samples.
    fid_*_floor, kid_*_floor: the same for equally many real images (of the parts that the reference leaves out; with
    replacement if those are fewer)."""

    def __init__(self) -> None:
        self._floors: dict[tuple[str, Classes, int], dict[str, float]] = {}

    def measure(self, run: RunView) -> list[Row]:
        references, final = run.bench.references, run.images.get("final")
        if references is None or final is None or len(final) < ENOUGH * references.feature_dim:
            return []
        rows, generated = [], run.embedded(final)
        sets: dict[str, Classes] = {"all": None} | ({} if run.user.classes is None else {"preferred": run.user.classes})
        for name, classes in sets.items():
            real = run.bench.real.of(classes)
            if len(real) <= references.feature_dim:  # no covariance of full rank
                continue
            distances = self.distances(run.bench, real, generated)
            floor = self.floor(run.bench, name, classes, len(final))
            for kind, value in distances.items():
                rows.append(Row(f"{kind}_{name}", value, "", run.last))
                rows.append(Row(f"{kind}_{name}_floor", floor[kind], "", run.last))
        # The second block of the base samples: other noise than the run's, so the base's own row is a floor.
        other_base = run.base[len(final) : 2 * len(final)]
        if len(other_base) >= ENOUGH * references.feature_dim:
            found = self.distances(run.bench, run.embedded(other_base), generated)
            rows.append(Row("fid_base", found["fid"], "", run.last))
        return rows

    def floor(self, bench: Bench, name: str, classes: Classes, n: int) -> dict[str, float]:
        """Real against real at the same sample sizes, once per reference."""
        key = (name, classes, n)
        if key not in self._floors:
            others = bench.other_real.of(classes)
            rng = bench.stream.at("floor", name).generator()
            chosen = others[torch.from_numpy(rng.choice(len(others), n, replace=n > len(others)))]
            self._floors[key] = self.distances(bench, bench.real.of(classes), chosen)
        return self._floors[key]

    @staticmethod
    def distances(bench: Bench, real: Tensor, generated: Tensor) -> dict[str, float]:
        """FID and KID of two sets of (n, d) features, by torchmetrics, in float64."""
        both = [(real, True), (generated, False)]
        given = Identity(real.shape[1])
        fid = FrechetInceptionDistance(feature=given, normalize=True).set_dtype(torch.float64)
        kid = KernelInceptionDistance(
            feature=given,
            normalize=True,
            subset_size=min(bench.measures.kid_subset, len(real), len(generated)),
            subsets=bench.measures.kid_subsets,
        )
        for features, is_real in both:
            fid.update(features, real=is_real)
            kid.update(features, real=is_real)
        with bench.stream.at("kid").seeding_torch():  # it samples subsets
            mean, _ = kid.compute()
        return {"fid": float(fid.compute()), "kid": float(mean)}


class Identity(nn.Module):
    """A feature network for features that are computed already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features
