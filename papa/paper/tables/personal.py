"""T6: one model conditioned on a few pairwise choices of a user (PPD): win rates by two judges."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from papa.benchmark.grid import Grid
from papa.benchmark.runs import personal
from papa.paper import report, stats
from papa.paper.stats import Estimate
from papa.paper.tables import Made

AXES = ["part", "model", "persons", "shots", "judge", "against", "mean", "lower", "upper", "n"]
CHANCE = {"top_1": 1, "top_16": 16}

Line = tuple[str, str, str, str, pd.DataFrame]
"""Part, model, users, what the model is conditioned on, and the rows of the study."""


def lines(study: pd.DataFrame) -> Iterator[Line]:
    """The comparisons of win rates, in their order."""
    unseen, main = study[study.split == "unseen"], study[study.part == "main"]
    for split in ("unseen", "seen"):
        of = main[main.split == split]
        yield "main", "PPD", split, "4 choices", of[of.model == "ppd"]
        yield "main", "DPO, unconditional", split, "nothing", of[of.model == "dpo"]
    half = set(study.loc[study.part == "shots", "person"])
    few = main[(main.model == "ppd") & main.person.isin(half)].assign(part="shots")
    for shots, rows in pd.concat([unseen[unseen.part == "shots"], few]).groupby("shots"):
        yield "shots", "PPD", "unseen", report.plural(int(float(str(shots))), "choice"), rows
    mine = main[(main.model == "ppd") & (main.split == "unseen")]
    for name, column in (("consistent", "consistent"), ("with two preferences", "varied")):
        is_so = mine[column].astype(bool)
        yield "persons", "PPD", f"unseen, {name}", "4 choices", mine[is_so]
        yield "persons", "PPD", f"unseen, not {name}", "4 choices", mine[~is_so]
    for model, name in (("ppd", "PPD"), ("caption", "base, preference in the prompt")):
        rows = unseen[(unseen.part == "words") & (unseen.model == model)]
        yield "words", name, "unseen", "their own words", rows
    for new in (False, True):
        for part, how in (("prompts", "4 choices at random"), ("aware", "4 nearest to the prompt")):
            rows = unseen[(unseen.part == part) & (unseen.new_prompt == new)]
            yield part, "PPD", f"unseen, {'new' if new else 'known'} prompts", how, rows
    for model, name in (("shuffled", "PPD, users shuffled"), ("pixels", "PPD on pixel statistics")):
        yield "controls", name, "unseen", "4 choices", unseen[(unseen.part == "controls") & (unseen.model == model)]


def estimates(study: pd.DataFrame, confidence: float) -> list[dict]:
    """Win rates as rows of the CSV; the unit is the user, averaged over all images and prompts."""
    found = []
    for part, model, persons, shots, rows in lines(study):
        for (judge, against), own in rows.groupby(["judge", "reference"]):
            value = stats.estimate(own.groupby("person")["won"].mean().to_numpy(), confidence)
            axes = {
                "part": part,
                "model": model,
                "persons": persons,
                "shots": shots,
                "judge": judge,
                "against": against,
            }
            found.append(axes | {"mean": value.mean, "lower": value.lower, "upper": value.upper, "n": value.n})
    return found


def recognized(study: pd.DataFrame, confidence: float) -> list[dict]:
    """How often a seen user is recognized, over users."""
    rows, found = study[study.part == "recognized"], []
    for model, own in rows.groupby("model"):
        for metric in CHANCE:
            value = stats.estimate(own[metric].to_numpy(), confidence)
            axes = {"part": "recognized", "model": model, "persons": f"seen ({len(own)})", "shots": "4 choices"}
            axes |= {"judge": "linear classifier", "against": metric}
            found.append(axes | {"mean": value.mean, "lower": value.lower, "upper": value.upper, "n": value.n})
    return found


def mixed(study: pd.DataFrame, confidence: float) -> list[dict]:
    """Rank correlation of the interpolation weight with both users' utility, over pairs of users."""
    rows, found = study[study.part == "between"], []
    for judge, of in rows.groupby("judge"):
        for which, sign in (("first", -1), ("second", 1)):
            values = [
                sign * float(spearmanr(own["share"], own[f"utility_of_{which}"])[0]) for _, own in of.groupby("person")
            ]
            value = stats.estimate([v for v in values if np.isfinite(v)], confidence)
            axes = {"part": "between", "model": "PPD", "persons": f"{which} of two", "shots": "4 choices"}
            axes |= {"judge": judge, "against": "rank correlation"}
            found.append(axes | {"mean": value.mean, "lower": value.lower, "upper": value.upper, "n": value.n})
    return found


def make(table: pd.DataFrame, grid: Grid) -> Made:
    """T6 from the study of personal models; empty where the configuration asks for none."""
    if grid.config.personal is None:
        return Made(pd.DataFrame(columns=AXES), "", report.caption("Personal models"))
    study, confidence = personal.read(grid), grid.config.confidence
    rows = estimates(study, confidence)
    known_users, between = recognized(study, confidence), mixed(study, confidence)
    frame = pd.DataFrame(rows + known_users + between, columns=AXES)
    return Made(frame, _readable(rows, known_users, between, grid), caption(grid))


def _cell(row: dict | None) -> str:
    if row is None:
        return report.NOTHING
    return report.plus_minus(Estimate(row["mean"], row["lower"], row["upper"], row["n"], "t"), 2)


def _readable(rows: list[dict], known_users: list[dict], between: list[dict], grid: Grid) -> str:
    columns = [(judge, against) for judge in ("gold", "held_out") for against in ("base", "dpo")]
    lines: dict[tuple[str, ...], dict[tuple[str, str], dict]] = {}
    for row in rows:
        name = tuple(row[key] for key in ("part", "model", "persons", "shots"))
        lines.setdefault(name, {})[row["judge"], row["against"]] = row
    body = [
        [model, persons, shots, *(_cell(found.get(column)) for column in columns), str(next(iter(found.values()))["n"])]
        for (_, model, persons, shots), found in lines.items()
    ]
    heads = [
        f"{'labelling' if judge == 'gold' else 'held-out'} judge: win rate over {against}" for judge, against in columns
    ]
    wins = report.markdown(["model", "users", "conditioned on", *heads, "n"], body, left=3)
    asked = grid.config.personal
    assert asked is not None
    chance = {metric: number / asked.recognized for metric, number in CHANCE.items()}
    known: dict[str, dict[str, dict]] = {}
    for row in known_users:
        known.setdefault(row["model"], {})[row["against"]] = row
    few = [[model, *(_cell(found[metric]) for metric in CHANCE)] for model, found in known.items()]
    few.append(["chance", *(report.number(value) for value in chance.values())])
    steps = [[row["persons"], row["judge"], _cell(row)] for row in between]
    return (
        f"### Win rates\n\n{wins}\n### Recognition of a user among {asked.recognized}\n\n"
        + report.markdown(["conditioning", "top 1", "top 16"], few)
        + "\n### Interpolation between two users\n\n"
        + report.markdown(["utility of the", "judge", "rank correlation with the interpolation weight"], steps, 2)
    )


def caption(grid: Grid) -> str:
    """The caption of T6."""
    asked = grid.config.personal
    assert asked is not None
    return report.caption(
        "Personal models (PPD)",
        "Win rate of utility against the base, or DPO without users, from the same noise; "
        f"{asked.unseen} unseen and {asked.seen} seen simulated users, {asked.images} images each, by the judge of the "
        "labels and an independent one. Intervals over users, of one training.",
        personal.about(grid),
    )
