"""Preference of the samples, by the judge that labelled and by judges that no method queries; retention; errors."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.metrics.interface import Metric, Row, RunView
from papa.errors import PapaError


class Preference(Metric):
    """preference_<judge>: share of samples whose class, by that judge, is preferred (gold of graded users: mean grade;
    users without classes have no other judge). probability_gold: mean probability of a like. over_optimization: gold
    minus held out. preference_predicted: for controls tilted by the true preference s, E[s e^(beta s)] / E[e^(beta s)]
    over the base samples. surrogate_gap: for methods that follow a fitted reward, its mean over the final samples minus
    preference_gold."""

    def measure(self, run: RunView) -> list[Row]:
        if run.user.exact is not None:  # a reward in nats
            return []
        rows = []
        for index, stage, images in run.stages():
            gold = float(run.verdict(images).mean())
            rows.append(Row("preference_gold", gold, "share", index, stage))
            rows.append(Row("probability_gold", mean_probability(run, images), "share", index, stage))
            others = never_queried(run, images)
            rows += [Row(f"preference_{name}", value, "share", index, stage) for name, value in others.items()]
            if "held_out" in others:
                rows.append(Row("over_optimization", gold - others["held_out"], "share", index, stage))
        rows += surrogate_gap(run)
        if run.true_tilt is not None and "final" in run.images:
            rows.append(Row("preference_measured", mean_probability(run, run.images["final"]), "share", run.last))
            rows.append(Row("preference_predicted", predicted_preference(run, run.true_tilt), "share", run.last))
        return rows


class Retention(Metric):
    """retention_<judge>: share of the samples under another prompt ("a photo of a banana") whose class, by that
    judge, is what the prompt asks for."""

    def measure(self, run: RunView) -> list[Row]:
        images = run.images.get("retention")
        other = None if images is None else run.bench.task.retention(run.user.classes)
        if images is None or other is None:
            return []
        return [
            Row(f"retention_{name}", float(np.isin(decided(images), other[1]).mean()), "share", run.last)
            for name, decided in run.decided.items()
        ]


class Golden(Metric):
    """Against the exact tilted mixture (`gmm2d`): mean_reward of the final samples; share_error, mean_error, cov_error:
    largest absolute errors of component shares, mean and covariance; log_z_error: of the last round's log normalizing
    constant. Untilted methods are compared with the base."""

    def measure(self, run: RunView) -> list[Row]:
        if run.user.exact is None or "final" not in run.images:
            return []
        final = run.images["final"].double()
        rows = [Row("mean_reward", float(run.user.preference(final).mean()), "nats", run.last)]
        beta = run.true_tilt or 0.0
        try:
            exact, log_z = run.user.exact.tilted(beta)
        except PapaError:
            return rows  # this reward has no closed form at this beta
        names = {"share": "share_error", "mean": "mean_error", "covariance": "cov_error"}
        rows += [Row(names[name], value, "", run.last) for name, value in exact.errors(final).items()]
        found = run.rounds[-1].get("log_z") if run.rounds else None
        if found:
            rows.append(Row("log_z_error", abs(float(found) - log_z), "nats", run.last))
        return rows


def surrogate_gap(run: RunView) -> list[Row]:
    """Over-optimization of a fitted reward on the final samples; not for controls or with a diversity term."""
    steps = [line for line in run.trace if line["round"] == "final" and line.get("reward")]
    if not steps or run.true_tilt is not None or float(steps[-1].get("gamma") or 0) > 0:
        return []
    gap = float(steps[-1]["reward"]) - float(run.verdict(run.images["final"]).mean())
    return [Row("surrogate_gap", gap, "preference", run.last)]


def never_queried(run: RunView, images: Tensor) -> dict[str, float]:
    """Judge -> share of images of a preferred class, for judges that no method queries."""
    classes = run.user.classes
    judges = {} if classes is None else {name: of for name, of in run.decided.items() if name != "gold"}
    found = {name: float(np.isin(decided(images), classes or ()).mean()) for name, decided in judges.items()}
    return found | {name: float(verdict(images).mean()) for name, verdict in run.user.held_out_verdicts().items()}


@torch.no_grad()
def mean_probability(run: RunView, images: Tensor) -> float:
    """The user's mean preference of images, in [0, 1]."""
    return float(run.user.preference(images).double().mean())


@torch.no_grad()
def predicted_preference(run: RunView, beta: float) -> float:
    """E[s e^(beta s)] / E[e^(beta s)] over the base samples of the run's seed."""
    s = run.user.preference(run.base).double()
    weights = (beta * s - math.fabs(beta)).exp()
    return float((s * weights).sum() / weights.sum())
