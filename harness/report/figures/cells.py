"""Grids of shaded cells: a map from two settings to a share, in a colour map whose lightness grows with it."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import NullLocator

from harness.report import style

SHADES = mpl.colormaps["cividis"].resampled(40)  # fewer than 50 stay outlines, not a picture, in a vector file
MISSING = {"facecolor": "white", "edgecolor": "#9a9a9a", "hatch": "/////", "lw": 0}
OUTLINE = {"facecolor": "none", "edgecolor": "black", "lw": 1.0}
LARGEST = 8  # points of what a cell says
SMALLEST = 4.5  # where less fits, nothing is said
LETTER = 0.6  # of a letter's height is its width


def grid(
    axis: Axes,
    values: pd.DataFrame,
    words: Callable[[object, object], str],
    shade: Normalize,
    room: tuple[float, float],
    outlined: Sequence[tuple[object, object]] = (),
) -> bool:
    """``values`` (index: up, columns: across) as cells of ``room`` inches, NaN hatched; whether the words fitted.

    ``words`` is asked for (row, column) of every cell that has a value; ``outlined`` names cells with a frame.
    """
    said = {(y, x): words(y, x) for y in values.index for x in values.columns if not np.isnan(values.loc[y, x])}
    letters = max(map(len, said.values()), default=1)
    points = min(LARGEST, 72 * 0.86 * room[0] / (LETTER * letters), 72 * 0.6 * room[1])
    for j, y in enumerate(values.index):
        for i, x in enumerate(values.columns):
            corner, value = (i - 0.5, j - 0.5), values.loc[y, x]
            if np.isnan(value):
                axis.add_patch(Rectangle(corner, 1, 1, **MISSING))
                continue
            colour = SHADES(shade(value))
            axis.add_patch(Rectangle(corner, 1, 1, facecolor=colour, edgecolor="white", lw=0.5))
            if points >= SMALLEST:
                ink = "black" if np.dot(colour[:3], (0.299, 0.587, 0.114)) > 0.5 else "white"
                place = {"ha": "center", "va": "center", "fontsize": points, "color": ink}
                axis.text(i, j, said[y, x], **place)
            if (y, x) in outlined:  # inside its cell, so that neighbours do not cover it
                axis.add_patch(Rectangle((i - 0.46, j - 0.46), 0.92, 0.92, zorder=3, **OUTLINE))
    axis.set_xlim(-0.5, len(values.columns) - 0.5)
    axis.set_ylim(-0.5, len(values.index) - 0.5)
    return points >= SMALLEST


def ticks(axis: Axes, across: Sequence[str], up: Sequence[str], room: tuple[float, float]) -> None:
    """A name below each column and beside each row, every so many where there is no room for all."""
    wide = max(map(len, across)) * 0.085 + 0.06  # inches of a label
    for side, names, share in ((axis.xaxis, across, wide / room[0]), (axis.yaxis, up, 0.14 / room[1])):
        step = max(1, int(np.ceil(share)))
        side.set_ticks(range(len(names)), [name if i % step == 0 else "" for i, name in enumerate(names)])
        side.set_minor_locator(NullLocator())
    axis.tick_params(length=2)


def bar(figure: Figure, axes: np.ndarray, shade: Normalize, name: str, levels: Mapping[str, Sequence[float]]) -> None:
    """What the shades mean, to the right of the panels, with a mark at each level (chance)."""
    found = figure.colorbar(ScalarMappable(shade, SHADES), ax=axes, fraction=0.05, pad=0.02, aspect=25)
    found.ax.set_label(style.BAR)
    found.set_label(name)
    found.outline.set_linewidth(0.5)
    for level, places in levels.items():
        for place in sorted(set(places)):
            found.ax.axhline(place, color="white", lw=2.4)
            found.ax.axhline(place, color="black", lw=1, label=level)
        if len(places):
            mark = {"textcoords": "offset points", "annotation_clip": False, "color": style.GREY, "fontsize": 7}
            where = ("axes fraction", "data")
            found.ax.annotate(level, (0, min(places)), (-3, 0), xycoords=where, ha="right", va="center", **mark)


def missing(name: str) -> Patch:
    """The legend's entry for a hatched cell."""
    return Patch(label=name, **MISSING)


def framed(name: str) -> Patch:
    """The legend's entry for a cell with a frame."""
    return Patch(label=name, **OUTLINE)
