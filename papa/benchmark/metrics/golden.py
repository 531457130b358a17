"""Errors of a sampler against the exact tilted mixture (task `gmm2d`)."""

from __future__ import annotations

from papa.benchmark.metrics.interface import Metric, Row, RunView
from papa.errors import PapaError


class Golden(Metric):
    """mean_reward of the final samples, and share_error, mean_error, cov_error: largest absolute errors
    of component shares, mean and covariance against the exact tilted mixture. log_z_error: of the last
    round's log normalizing constant. Untilted methods are compared with the base."""

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
