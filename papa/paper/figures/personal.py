"""F8: PPD by the number of choices, from one person to another, and pictures for some persons."""

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
from papa.paper.tables.personal import NOTHING

APART = 0.96
"""Factor between where a number of choices is and where a judge's interval stands."""
NOBODY = {"dpo": "DPO, for nobody", "base": "the base, for nobody"}
JUDGES = {"gold": ("labelling judge", "#1b6ca8", "o"), "held_out": ("held-out judge", "#c1592a", "s")}


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F8 from the study of personal models."""
    if grid.config.personal is None:
        return style.nothing(NOTHING)
    study = personal.read(grid)
    rows = pictures(study)
    people = list(dict.fromkeys(person for person, _ in rows if person is not None))
    drawn = style.figure(style.FULL, 2.7 + 0.47 * (len(people) + 1))
    parts: Any = drawn.subfigures(2, 1, height_ratios=[2.7, 0.47 * (len(people) + 1)])
    above, below = parts
    left, right = above.subplots(1, 2)
    _shots(left, study, grid)
    _between(right, study, grid)
    style.legend_below(above, left, right, columns=3, length=3.2)
    _pictures(below, rows, people)
    return drawn


Pictures = dict[tuple[int | None, str], tuple[np.ndarray, str]]
"""(Person, what of them) -> pictures side by side, and what the person would say."""


def pictures(study: pd.DataFrame) -> Pictures:
    """The pictures that the study kept; of nobody under None."""
    found: Pictures = {}
    for row in study[study.part == "pictures"].to_dict("records"):
        with open_image(io.BytesIO(row["png"])) as image:
            strip = np.asarray(image.convert("RGB"))
        nobody = row["model"] in NOBODY
        found[None if nobody else int(row["person"]), row["model"]] = (strip, "" if nobody else row["said"])
    return found


def _pictures(part: SubFigure, rows: Pictures, people: list[int]) -> None:
    """A row for each person, what they chose and what is drawn; the last row is drawn for nobody."""
    chosen, drawn = (rows[people[0], name][0].shape[1] for name in ("preferred", "ppd"))
    axes = part.subplots(len(people) + 1, 3, squeeze=False, width_ratios=[chosen, chosen, drawn])
    for ax, head in zip(axes[0], ("preferred", "rejected", "drawn for the person"), strict=True):
        ax.set_title(head, fontsize=7)
    for person, row in zip(people, axes, strict=False):
        for ax, name in zip(row, ("preferred", "rejected", "ppd"), strict=True):
            ax.imshow(rows[person, name][0])
        row[0].set_ylabel(f"person {person}", fontsize=6, rotation=0, ha="right", va="center")
    for ax, (name, said) in zip(axes[-1][1:], NOBODY.items(), strict=True):
        strip = rows[None, name][0]
        ax.imshow(strip[:, : chosen if name == "dpo" else None])
        ax.set_xlabel(said, fontsize=6.5)
    for ax in axes.flat:
        ax.set_xticks([])
        ax.set_yticks([])
        for spine in ax.spines.values():
            spine.set_visible(False)


def by_shots(study: pd.DataFrame, judge: str, reference: str) -> dict[int, pd.Series]:
    """Choices -> win rate by person, of those persons who were described by every number of choices."""
    some = set(study.loc[study.part == "shots", "person"])
    told = study[(study.model == "ppd") & study.part.isin(["main", "shots"]) & study.person.isin(some)]
    told = told[(told.judge == judge) & (told.reference == reference)]
    return {int(float(str(n))): rows.groupby("person")["won"].mean() for n, rows in told.groupby("shots")}


def _shots(ax: Axes, study: pd.DataFrame, grid: Grid) -> None:
    for judge, (name, ink, marker) in JUDGES.items():
        for reference, line in (("base", "-"), ("dpo", "--")):
            found = by_shots(study, judge, reference)
            values = [stats.estimate(v.to_numpy(), grid.config.confidence) for v in found.values()]
            label = f"{name}, over {'the base' if reference == 'base' else 'DPO'}"
            at = [n * APART ** (1 if judge == "gold" else -1) for n in found]  # intervals beside each other
            style.series(ax, at, values, color=ink, marker=marker, linestyle=line, label=label)
    ax.axhline(0.5, color=style.FAINT, lw=0.8)
    ax.set_xscale("log", base=2)
    ticks = sorted(by_shots(study, "gold", "base"))
    ax.set_xticks(ticks, list(map(str, ticks)))
    ax.set_xlabel("choices that describe the person")
    ax.set_ylabel("win rate")


def _between(ax: Axes, study: pd.DataFrame, grid: Grid) -> None:
    rows = study[(study.part == "between") & (study.judge == "gold")]
    for which, ink, marker in (("first", "#1b6ca8", "o"), ("second", "#c1592a", "s")):
        shares = sorted(rows["share"].unique())
        values = [
            stats.estimate(
                rows.loc[np.isclose(rows["share"], share), f"utility_of_{which}"].to_numpy(), grid.config.confidence
            )
            for share in shares
        ]
        at = [share + (0.01 if which == "second" else -0.01) for share in shares]
        style.series(ax, at, values, color=ink, marker=marker, label=f"utility for the {which} person")
    ax.set_xlabel("share of the second person's description")
    ax.set_ylabel("mean utility (deviations)")


def _said(study: pd.DataFrame) -> str:
    rows = study[(study.part == "pictures") & (study.model == "ppd")]
    return "; ".join(f"person {int(row['person'])}, {row['said']}" for row in rows.to_dict("records"))


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F8."""
    asked = grid.config.personal
    if asked is None:
        return NOTHING
    return report.paragraph(
        "One model that is told about a person by a few choices. Left: how often its picture has a higher utility for "
        "the person than the base's from the same noise (solid), or than that of an adapter trained on the same pairs "
        f"without persons (dashed), over the number of choices; {asked.half} unseen persons, "
        f"{asked.images} pictures each. Right: utility for two persons along the straight line from one's description "
        f"to the other's, by the labelling judge; {asked.between} unseen persons, each with the one "
        "whose tastes are least like theirs. Below: the four choices of "
        "the first unseen persons and what is drawn for them, unselected, each column from the same noise. In their "
        f"own words: {_said(personal.read(grid))}.",
        f"Intervals are {grid.config.confidence:.0%} t intervals over persons, or pairs of them.",
        personal.about(grid),
    )
