"""One look for all figures: sizes, fonts, a fixed colour per method, files without timestamps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.text import Annotation, Text
from matplotlib.ticker import NullLocator
from matplotlib.transforms import Bbox

from papa.benchmark.grid import Grid
from papa.files import replacing
from papa.paper import select
from papa.paper.stats import Estimate

FULL = 6.9
"""Width of a page, in inches. A column is half of it."""
COLUMN = 3.35
LEGEND_LINE, LEGEND_LINES = 0.17, 3
"""Inches of a line of a legend, and lines that a figure has room for."""

RC: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with Matplotlib, so it looks alike everywhere
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.labelsize": 7.5,
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

# Okabe and Ito's palette, safe for colour-blind readers. Methods of one algorithm take its colours in
# the configuration's order; algorithms that are not listed take the spare ones.
COLOURS: dict[str, list[str]] = {
    "base": ["#555555"],
    "best_of_n": ["#9AD5C1", "#35B28C", "#00664B"],
    "reward_guidance": ["#C7A500"],
    "fk_steering": ["#8B4513"],
    "das": ["#FF8C69"],
    "raft": ["#4D4D9A"],
    "rwr": ["#8F8FD9"],
    "diffusion_dpo": ["#2E7D32"],
    "diffusion_kto": ["#7CB342"],
    "diffusion_nft": ["#00838F"],
    "d3po": ["#B03A2E"],
    "ddpo": ["#D81B60", "#F06292"],
    "seiko": ["#6D4C41"],
    "distill": ["#111111", "#777777", "#B0B0B0"],
    "accept": ["#CC79A7"],
    "reward_model": ["#7B4B94"],
    "papa": ["#0072B2", "#00375A"],
    "epapa": ["#56B4E9", "#3A8BBB"],
    "fkc": ["#D55E00", "#E69F00", "#8C3D00"],
    "ppd": ["#8C8C1A"],
    "ppd_papa": ["#5B3A29"],
    "ppd_fkc": ["#A23B72"],
}
SPARE = ["#4D4D9A", "#B03A2E", "#2E7D32", "#6D4C41"]
MARKERS: dict[str, list[str]] = {
    "base": ["s"],
    "best_of_n": ["^", "*", "P"],
    "accept": [">"],
    "reward_model": ["<"],
    "papa": ["o", "h"],
    "epapa": ["D", "d"],
    "fkc": ["v", "X", "1"],
    "reward_guidance": ["<"],
    "fk_steering": ["8"],
    "das": ["P"],
    "raft": ["o"],
    "rwr": ["h"],
    "diffusion_dpo": ["D"],
    "diffusion_kto": ["d"],
    "diffusion_nft": ["s"],
    "d3po": ["p"],
    "ddpo": ["H", "H"],
    "seiko": [">"],
    "distill": ["*", "P", "X"],
    "ppd": ["p"],
    "ppd_papa": ["H"],
    "ppd_fkc": ["P"],
}
"""As the colours, so that methods are told apart in grey too."""
INK, FAINT = "#222222", "#8A8A8A"


def colour(grid: Grid, method: str) -> str:
    """The method's colour; a variant has that of its reference."""
    algorithm = grid.methods[method].name
    if algorithm not in COLOURS:
        others = [name for name in dict.fromkeys(of.name for of in grid.methods.values()) if name not in COLOURS]
        return SPARE[others.index(algorithm) % len(SPARE)]
    return _of_family(grid, method, COLOURS[algorithm])


def _of_family(grid: Grid, method: str, looks: Sequence[str]) -> str:
    """The look of a compared method among those of its algorithm; a variant has the first."""
    tasks = {block.task for block in grid.config.grid.values()}
    main = {label for task in tasks for label in select.main_methods(grid, task)}
    algorithm = grid.methods[method].name
    family = [label for label, of in grid.methods.items() if of.name == algorithm and label in main]
    return looks[min(family.index(method), len(looks) - 1)] if method in family else looks[0]


def darker(ink: str) -> str:
    """A colour that is readable as thin text: light ones lose a third."""
    red, green, blue = to_rgb(ink)
    scale = 0.68 if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else 1.0
    return to_hex((scale * red, scale * green, scale * blue))


def marker(grid: Grid, method: str) -> str:
    """The method's marker; a variant has that of its reference."""
    return _of_family(grid, method, MARKERS.get(grid.methods[method].name, ["p"]))


@contextmanager
def paper() -> Iterator[None]:
    """The settings of Matplotlib for this package's figures; draw and save inside this block."""
    with mpl.rc_context():
        mpl.rcdefaults()  # a matplotlibrc on this machine must not change a figure
        mpl.rcParams.update(RC)
        yield


def figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, without any global state."""
    drawn = Figure(figsize=(width, height))
    FigureCanvasAgg(drawn)
    return drawn


def nothing(text: str) -> Figure:
    """A figure that says why it is empty."""
    drawn = figure(COLUMN, 1.2)
    drawn.text(0.5, 0.5, text, ha="center", va="center", color=FAINT, wrap=True)
    return drawn


def save(drawn: Figure, path: Path) -> list[Path]:
    """Write `<path>.png` and `.pdf` atomically; the same figure gives the same bytes."""
    written = []
    metadata = {".png": {"Software": None}, ".pdf": {"CreationDate": None, "Creator": None, "Producer": None}}
    for suffix, entries in metadata.items():
        target = path.with_name(path.name + suffix)
        with replacing(target) as temporary:
            drawn.savefig(temporary, metadata=entries)
        written.append(target)
    return written


# ---------------------------------------------------------------- parts of figures


def errorbar(ax: Axes, x: Estimate | float, y: Estimate, **look: object) -> None:
    """A point with its intervals; whiskers only where there is an interval."""
    centre = x.mean if isinstance(x, Estimate) else x
    arms: dict[str, list[list[float]]] = {}
    for name, found in (("xerr", x), ("yerr", y)):
        if isinstance(found, Estimate) and np.isfinite(found.half_width):
            arms[name] = [[found.mean - found.lower], [found.upper - found.mean]]
    _, _, bars = ax.errorbar([centre], [y.mean], **arms, elinewidth=0.8, capsize=0, **look)  # type: ignore[arg-type]
    for bar in bars:
        bar.set_alpha(0.5)


def share(found: Estimate) -> Estimate:
    """The estimate of a share, its interval cut where no share can be: a t interval does not know of 0 and 1."""
    return replace(found, lower=max(found.lower, 0.0), upper=min(found.upper, 1.0)) if found.n > 1 else found


def series(ax: Axes, x: Sequence[float], ys: Sequence[Estimate], **look: Any) -> None:
    """Means with their intervals; a line joins them where they are three or more, for two points show no course."""
    ax.plot(x, [y.mean for y in ys], **{"linestyle": "-", **look, **({} if len(ys) > 2 else {"linestyle": "none"})})
    for at, y in zip(x, ys, strict=True):
        errorbar(ax, at, y, fmt="none", ecolor=look["color"])


def legend_below(
    drawn: Figure | SubFigure,
    *axes: Axes,
    columns: int,
    order: Sequence[str] = (),
    more: Mapping[str, Artist] | None = None,
    length: float = 1.8,
) -> None:
    """One legend for these panels, under all of them, to be read line by line.

    A figure grows with the lines of its legend, so that the panels keep their size.

    Args:    columns: at most so many, as many as are not wider than the figure. order: labels in the order wanted,
             others behind. more: label -> handle, for what no panel names. length: of a line's example, in font sizes;
             dashes need more.
    """
    found = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    keys = {label: found[label] for label in order if label in found} | found | dict(more or {})
    count = 1
    for count in range(min(columns, max(1, len(keys))), 0, -1):
        read = [label for column in range(count) for label in list(keys)[column::count]]  # Matplotlib fills columns
        handles = [keys[label] for label in read]
        legend = drawn.legend(
            handles, read, loc="outside lower center", ncols=count, handlelength=length, columnspacing=1.4
        )
        if count == 1 or legend.get_window_extent().width <= drawn.bbox.width:
            break
        legend.remove()
    if isinstance(drawn, Figure):
        lines = math.ceil(len(keys) / count)
        drawn.set_figheight(drawn.get_figheight() + LEGEND_LINE * max(0, lines - LEGEND_LINES))


@dataclass(frozen=True)
class Label:
    """A word for a point with its intervals, in data coordinates."""

    x: Estimate
    y: Estimate
    text: str
    colour: str
    size: float = 6.5


def direct_labels(ax: Axes, labels: Sequence[Label]) -> None:
    """Write each label beside its point, where it covers no point, interval or other label.

    Call it last: the places depend on the final limits and size of the panel.
    """
    drawn = ax.get_figure(root=True)
    if drawn is None or not labels:
        return
    drawn.draw_without_rendering()
    renderer = drawn.canvas.get_renderer()  # type: ignore[attr-defined]
    taken = [box for label in labels for box in _obstacles(ax, label, drawn.dpi / 72)]
    inside = ax.get_window_extent(renderer)
    for label in labels:
        tried: list[tuple[int, int, tuple[float, float, str, str], Bbox]] = []
        for place in _places():
            note = _write(ax, label, *place)
            note.update_positions(renderer)
            box = Text.get_window_extent(note, renderer)  # of the words alone, without the leader line
            note.remove()
            cost = sum(box.overlaps(other) for other in taken) + 3 * (not _within(box, inside))
            tried.append((cost, len(tried), place, box))
            if cost == 0:
                break
        _, _, place, box = min(tried, key=lambda entry: entry[:2])
        _write(ax, label, *place)
        taken.append(box)


def _write(ax: Axes, label: Label, dx: float, dy: float, ha: str, va: str) -> Annotation:
    leader = {"arrowstyle": "-", "color": label.colour, "lw": 0.4, "shrinkA": 0, "shrinkB": 2}
    return ax.annotate(
        label.text,
        (label.x.mean, label.y.mean),
        (dx, dy),
        textcoords="offset points",
        ha=ha,
        va=va,
        fontsize=label.size,
        color=darker(label.colour),
        arrowprops=leader if max(abs(dx), abs(dy)) > 7 else None,
        zorder=6,
    )


def _obstacles(ax: Axes, label: Label, point: float) -> list[Bbox]:
    """The marker and the two whiskers of a point, in pixels."""
    (x, y), pad = ax.transData.transform((label.x.mean, label.y.mean)), 2.5 * point
    boxes = [Bbox.from_extents(x - pad, y - pad, x + pad, y + pad)]
    for found, axis in ((label.x, 0), (label.y, 1)):
        if np.isfinite(found.half_width):
            ends = [(found.lower, label.y.mean), (found.upper, label.y.mean)]
            ends = ends if axis == 0 else [(label.x.mean, found.lower), (label.x.mean, found.upper)]
            (x0, y0), (x1, y1) = ax.transData.transform(ends)
            boxes.append(Bbox.from_extents(x0 - 1, y0 - 1, x1 + 1, y1 + 1))
    return boxes


def _within(box: Bbox, outer: Bbox) -> bool:
    return bool(outer.x0 <= box.x0 and box.x1 <= outer.x1 and outer.y0 <= box.y0 and box.y1 <= outer.y1)


def _places() -> Iterator[tuple[float, float, str, str]]:
    """Offsets in points to try, nearest first; the diagonals before the sides, where the whiskers are."""
    for r in (3.5, 8, 14, 22, 32):
        for sx, ha in ((1, "left"), (-1, "right")):
            yield sx * r, r * 0.6, ha, "bottom"
            yield sx * r, -r * 0.6, ha, "top"
        yield r + 2, 0, "left", "center"
        yield -r - 2, 0, "right", "center"
        yield 0, r + 2, "center", "bottom"
        yield 0, -r - 2, "center", "top"


def no_ticks() -> NullLocator:
    """For the minor ticks of a logarithmic axis with few values."""
    return NullLocator()
