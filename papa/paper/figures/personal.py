"""F8: PPD by the number of choices, interpolated between two users, and images for some users."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from PIL.Image import open as open_image

from papa.benchmark.grid import Grid
from papa.benchmark.runs import personal
from papa.paper import report, stats
from papa.paper.figures import style

APART = 0.96
"""Horizontal offset of a judge's intervals, as a factor."""
UNCONDITIONAL = {"dpo": "DPO, unconditional", "base": "base, unconditional"}
JUDGES = {"gold": ("labelling judge", style.BLUE, "o"), "held_out": ("held-out judge", style.ORANGE, "s")}


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F8 from the study of personal models."""
    study = personal.read(grid)
    rows = strips(study)
    people = list(dict.fromkeys(person for person, _ in rows if person is not None))
    drawn = style.figure(style.FULL, 2.7 + 0.47 * (len(people) + 1))
    parts: Any = drawn.subfigures(2, 1, height_ratios=[2.7, 0.47 * (len(people) + 1)])
    above, below = parts
    left, right = above.subplots(1, 2)
    _shots(left, study, grid)
    _between(right, study, grid)
    style.legend_below(above, [left, right], 3, length=3.2)
    _images(below, rows, people)
    return drawn


Strips = dict[tuple[int | None, str], tuple[np.ndarray, str]]
"""(User, kind of images) -> images side by side, and the user's own words."""


def strips(study: pd.DataFrame) -> Strips:
    """The images of the study; unconditional ones under None."""
    found: Strips = {}
    for row in study[study.part == "pictures"].to_dict("records"):
        with open_image(io.BytesIO(row["png"])) as image:
            strip = np.asarray(image.convert("RGB"))
        unconditional = row["model"] in UNCONDITIONAL
        found[None if unconditional else int(row["person"]), row["model"]] = (
            strip,
            "" if unconditional else row["said"],
        )
    return found


def _images(part: SubFigure, rows: Strips, people: list[int]) -> None:
    """A row for each user with choices and samples; the last row is unconditional."""
    chosen, drawn = (rows[people[0], name][0].shape[1] for name in ("preferred", "ppd"))
    axes = part.subplots(len(people) + 1, 3, squeeze=False, width_ratios=[chosen, chosen, drawn])
    for ax, head in zip(axes[0], ("preferred", "rejected", "samples for the user"), strict=True):
        ax.set_title(head, fontsize=7)
    for person, row in zip(people, axes, strict=False):
        for ax, name in zip(row, ("preferred", "rejected", "ppd"), strict=True):
            ax.imshow(rows[person, name][0])
        row[0].set_ylabel(f"user {person}", fontsize=6, rotation=0, ha="right", va="center")
    for ax, (name, said) in zip(axes[-1][1:], UNCONDITIONAL.items(), strict=True):
        strip = rows[None, name][0]
        ax.imshow(strip[:, : chosen if name == "dpo" else None])
        ax.set_xlabel(said, fontsize=6.5)
    for ax in axes.flat:
        ax.set_xticks([])
        ax.set_yticks([])
        for spine in ax.spines.values():
            spine.set_visible(False)


def by_shots(study: pd.DataFrame, judge: str, reference: str) -> dict[int, pd.Series]:
    """Number of choices -> win rate by user, of the users with every number of choices."""
    some = set(study.loc[study.part == "shots", "person"])
    told = study[(study.model == "ppd") & study.part.isin(["main", "shots"]) & study.person.isin(some)]
    told = told[(told.judge == judge) & (told.reference == reference)]
    return {int(float(str(n))): rows.groupby("person")["won"].mean() for n, rows in told.groupby("shots")}


def _shots(ax: Axes, study: pd.DataFrame, grid: Grid) -> None:
    for judge, (name, ink, marker) in JUDGES.items():
        for reference, line in (("base", "-"), ("dpo", "--")):
            found = by_shots(study, judge, reference)
            values = [stats.estimate(v.to_numpy(), grid.config.confidence) for v in found.values()]
            label = f"{name}, over {'base' if reference == 'base' else 'DPO'}"
            at = [n * APART ** (1 if judge == "gold" else -1) for n in found]  # intervals beside each other
            style.series(ax, at, values, color=ink, marker=marker, linestyle=line, label=label)
    ax.axhline(0.5, color=style.FAINT, lw=0.8)
    ax.set_xscale("log", base=2)
    ticks = sorted(by_shots(study, "gold", "base"))
    ax.set_xticks(ticks, list(map(str, ticks)))
    ax.set_xlabel("pairwise choices conditioned on")
    ax.set_ylabel("win rate")


def _between(ax: Axes, study: pd.DataFrame, grid: Grid) -> None:
    rows = study[(study.part == "between") & (study.judge == "gold")]
    for which, ink, marker in (("first", style.BLUE, "o"), ("second", style.ORANGE, "s")):
        shares = sorted(rows["share"].unique())
        values = [
            stats.estimate(
                rows.loc[np.isclose(rows["share"], share), f"utility_of_{which}"].to_numpy(), grid.config.confidence
            )
            for share in shares
        ]
        at = [share + (0.01 if which == "second" else -0.01) for share in shares]
        style.series(ax, at, values, color=ink, marker=marker, label=f"utility for the {which} user")
    ax.set_xlabel("interpolation weight of the second user")
    ax.set_ylabel("mean utility (standard deviations)")


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F8."""
    asked = grid.config.personal
    assert asked is not None
    return report.caption(
        "One model for every user (PPD)",
        f"Left: win rate over the base (solid) and DPO (dashed), {asked.half} unseen users. Right: utility "
        f"between two users' conditioning, {asked.between} pairs. Below: choices of unseen users, unselected samples. "
        "Intervals over users.",
        personal.about(grid),
    )
