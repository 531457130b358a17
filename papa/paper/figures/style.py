"""The look of all figures: sizes, fonts, palette, intervals, legends, and files without timestamps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, SubFigure

from papa.benchmark.grid import BASE, Grid
from papa.files import replacing
from papa.paper import select
from papa.paper.stats import Estimate

FULL, COLUMN = 6.75, 3.3
"""Widths in inches: of a page, and of one of its two columns."""
LEGEND_LINE = 0.17
"""Height of a line of a legend in inches."""
INK, FAINT, BLUE, ORANGE = "#222222", "#8A8A8A", "#0072B2", "#D55E00"
PALETTE = [
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#117733"),
    *("#332288", "#B8860B", "#AA4499", "#44AA99", "#8B4513", "#6699CC", "#999933", "#DD3497"),
]
"""Okabe and Ito's colours, then Tol's: safe for colour-blind readers. The base is grey."""
MARKERS = ["o", "D", "v", "^", "s", "P", "X", "<", ">", "p", "*"]
"""The number of colours less five, so that a colour and its marker repeat only after 176 methods."""
RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.5,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "figure.constrained_layout.use": True,
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
}


# ---------------------------------------------------------------- colours and markers


Look = dict[str, Any]
"""The keywords `color` and `marker`."""


def look(place: int) -> Look:
    """Colour and marker of a place in the palette."""
    return {"color": PALETTE[place % len(PALETTE)], "marker": MARKERS[place % len(MARKERS)]}


def looks(grid: Grid) -> dict[str, Look]:
    """Colour and marker of every method label.

    The compared methods take places in the palette, in the order of the configuration; an ablation looks like its
    reference method.
    """
    main = {label for task in grid.used for label in select.main_methods(grid, task)} - {BASE}
    compared = [label for label in grid.methods if label in main]
    found = {label: look(place) for place, label in enumerate(compared)} | {BASE: {"color": "#555555", "marker": "s"}}
    return {
        label: found.get(label) or found.get(select.reference_of(grid, label) or "", look(0)) for label in grid.methods
    }


def darker(colour: str) -> tuple[float, ...]:
    """A colour that is readable as thin text: light ones lose a third."""
    rgb = to_rgb(colour)
    light = float(np.dot((0.299, 0.587, 0.114), rgb)) > 0.5
    return tuple(0.68 * part for part in rgb) if light else rgb


# ---------------------------------------------------------------- figures and files


@contextmanager
def paper() -> Iterator[None]:
    """Matplotlib's settings for figures of this package; create and save them inside this block."""
    with mpl.rc_context():
        mpl.rcdefaults()  # a matplotlibrc on this machine must not change a figure
        mpl.rcParams.update(RC)
        yield


def figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, without global state."""
    made = Figure(figsize=(width, height))
    FigureCanvasAgg(made)
    return made


def nothing(text: str) -> Figure:
    """A figure that says why it is empty."""
    made = figure(COLUMN, 1.2)
    made.text(0.5, 0.5, text, ha="center", va="center", color=FAINT, wrap=True)
    return made


def save(made: Figure, path: Path) -> list[Path]:
    """Write `<path>.png` and `.pdf` atomically; equal figures have equal bytes."""
    metadata = {".png": {"Software": None}, ".pdf": {"CreationDate": None, "Creator": None, "Producer": None}}
    written = [path.with_name(path.name + suffix) for suffix in metadata]
    for target, entries in zip(written, metadata.values(), strict=True):
        with replacing(target) as temporary:
            made.savefig(temporary, metadata=entries)
    return written


# ---------------------------------------------------------------- parts of figures


def errorbar(ax: Axes, x: Estimate | float, y: Estimate, **look: Any) -> None:
    """A point with its intervals, where it has any."""
    arms: dict[str, list[list[float]]] = {}
    for name, found in (("xerr", x), ("yerr", y)):
        if isinstance(found, Estimate) and np.isfinite(found.half_width):
            arms[name] = [[found.mean - found.lower], [found.upper - found.mean]]
    at = x.mean if isinstance(x, Estimate) else x
    *_, bars = ax.errorbar([at], [y.mean], **arms, elinewidth=0.8, **({"linestyle": "none"} | look))  # type: ignore[arg-type]
    for bar in bars:
        bar.set_alpha(0.5)


def share(found: Estimate) -> Estimate:
    """The estimate of a share, its interval cut at 0 and 1."""
    return replace(found, lower=max(found.lower, 0.0), upper=min(found.upper, 1.0)) if found.n > 1 else found


def series(ax: Axes, x: Sequence[float], ys: Sequence[Estimate], **look: Any) -> None:
    """Means with their intervals, joined by a line where there are three or more."""
    ax.plot(x, [y.mean for y in ys], **{"linestyle": "-", **look, **({} if len(ys) > 2 else {"linestyle": "none"})})
    for at, y in zip(x, ys, strict=True):
        errorbar(ax, at, y, ecolor=look["color"], marker="none")


def legend_below(made: Figure | SubFigure, axes: Iterable[Axes], columns: int = 4, length: float = 1.8) -> None:
    """One legend for all panels, below them and read row by row; a figure grows by the height of its legend."""
    found = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    columns = max(1, min(columns, len(found)))
    by_column = [label for start in range(columns) for label in islice(found, start, None, columns)]
    handles = [found[label] for label in by_column]
    made.legend(handles, by_column, loc="outside lower center", ncols=columns, handlelength=length, columnspacing=1.4)
    if isinstance(made, Figure):
        made.set_figheight(made.get_figheight() + LEGEND_LINE * math.ceil(len(found) / columns))
