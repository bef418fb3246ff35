"""Accuracy against length and against steps."""

from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.report import style
from harness.report.figures import parts
from harness.report.figures.parts import BAND_FROM, LENGTH, MEASURE
from harness.report.select import ACCURACY, casualties, lines, scored
from harness.report.stats import over_seeds

NARROWEST = 0.9  # inches of a panel; where a page has no room for one beside the other, lengths go down


@mpl.rc_context(style.HOUSE)
def accuracy_against_length(
    rows: pd.DataFrame, splits: Sequence[str] | None = None, allow_mixed: bool = False, columns: int | None = None
) -> Figure:
    """Accuracy in [0, 1] against length n (log2) of one task, at the trained number of steps, a panel for each split.

    One seed has Wilson bars over its test items, two to four seeds are each drawn, from five on a t band stands.
    """
    rows = parts.ordered(rows)
    splits = parts.shown(rows, splits)
    data = scored(parts.drawn(rows, splits, allow_mixed), as_trained=True)
    present = [split for split in splits if split in set(data["split"])]
    drawn = lines(data)
    looks = style.looks(drawn)
    down, across = (len(present), 1) if columns == 1 else (1, len(present))
    own = (7 if len(present) > 1 else 4, 2.6)
    figure, axes = style.panels(rows, down, across, style.size(columns, own, 0.5 + 2.1 * down))
    within = data[data["in_range"].astype(bool)].groupby("recipe")["length"]
    for split, axis in zip(present, axes.flat, strict=True):
        axis.set_title(split, loc="left")
        for low, high in sorted(set(zip(within.min(), within.max(), strict=True))):
            axis.axvspan(low / 2**0.2, high * 2**0.2, color="black", alpha=0.06, lw=0, zorder=0, label="trained")
        if len(within):
            place = {"transform": axis.get_xaxis_transform(), "va": "top"}  # in the headroom, above all data
            axis.text(within.min().min(), 0.985, "trained", color=style.GREY, fontsize=7, **place)
        for line in drawn:
            parts.seeds(axis, line.rows[line.rows["split"] == split], looks[line.label])
        here = data[data["split"] == split]
        parts.chances(axis, here, axis in axes[:, -1], by="length")
        if split == "natural":
            style.level(axis, "majority", here.groupby("length")["majority"].mean(), axis in axes[:, -1], ":")
        style.length_axis(axis, data["length"])
    for axis in axes[-1]:
        axis.set_xlabel(LENGTH)
    for axis in axes[:, 0]:
        axis.set_ylabel(MEASURE)
    style.accuracy_axes(axes, data, headroom=0.13)
    handles = [Line2D([], [], label=line.label, **looks[line.label]) for line in drawn]
    style.legend(figure, handles, [parts.spread(drawn), casualties(rows)])
    return figure


@mpl.rc_context(style.HOUSE)
def accuracy_against_steps(
    rows: pd.DataFrame, splits: Sequence[str] | None = None, allow_mixed: bool = False, columns: int | None = None
) -> Figure:
    """Accuracy in [0, 1] against the steps k written before the answer (0, then log2), by split (down) and length.

    Filled and joined by a thick line: trained at that budget, by recipes that differ in the budget alone, of which
    `none` is k = 0. Hollow, on a thin line: a model of one of these recipes, stopped early or late by force. Where
    ``columns`` leave no room for the lengths side by side, they go down and the splits across.
    """
    rows = parts.ordered(rows)
    splits = parts.shown(rows, splits)
    data = parts.drawn(rows, splits, allow_mixed)
    present = [split for split in splits if split in set(data["split"])]
    lengths = sorted(int(length) for length in data["length"].unique())
    drawn = lines(data, hide=("scratchpad.scale",))
    families = parts.families(drawn)
    looks = style.looks([members[0] for members in families.values()])
    turned = columns is not None and style.width(columns) / len(lengths) < NARROWEST
    down, across = (len(lengths), len(present)) if turned else (len(present), len(lengths))
    own = max(7, 0.6 + 1.15 * len(lengths)) if len(lengths) > 1 else 4, 0.75 + 1.5 * len(present)
    figure, axes = style.panels(rows, down, across, style.size(columns, own, 0.75 + (1.1 if turned else 1.5) * down))
    grid = axes.T if turned else axes  # split, length
    room = max(3, 18 // across if columns is None else int((style.width(columns) - 0.9) / across / 0.27))
    needed = ["split", "length", "run", "steps", "steps_trained", *ACCURACY]  # of a hundred columns
    found = {id(m): dict(iter(m.rows[needed].groupby(["split", "length"]))) for ms in families.values() for m in ms}
    for split, row in zip(present, grid, strict=True):
        for length, axis in zip(lengths, row, strict=True):
            spans = []
            for label, members in families.items():
                here = [found[id(m)].get((split, length)) for m in members]
                spans += _budgets(axis, [part for part in here if part is not None], looks[label])
            parts.bars(axis, spans)
            parts.chances(axis, data[(data["split"] == split) & (data["length"] == length)], axis in axes[:, -1])
            style.steps_axis(axis, int(data["steps"].max()), room)
    heads = [present, [f"n = {length}" for length in lengths]]
    sides, tops = reversed(heads) if turned else heads
    for side, axis in zip(sides, axes[:, 0], strict=True):
        axis.set_ylabel(side)
    for top, axis in zip(tops, axes[0], strict=True):
        axis.set_title(top, loc="left")
    for axis in axes[-1]:
        axis.set_xlabel("reasoning steps k" if columns is None or style.width(columns) / across > 1.3 else "steps k")
    style.accuracy_axes(axes, data, headroom=0.05)
    figure.supylabel(MEASURE, fontsize=8, y=0.58)  # beside the panels, above the legend
    grey = {"color": style.GREY, "marker": "o", "linestyle": ""}
    handles = [Line2D([], [], label=label, **look) for label, look in looks.items()]
    if (data["steps"] != data["steps_trained"]).any():
        handles += [Line2D([], [], label="trained at this k", **grey)]
        handles += [Line2D([], [], label="stopped early or late", markerfacecolor="white", **grey)]
    zero = any(len(members) > 1 and members[-1].scratchpad == "none" for members in families.values())
    notes = [parts.spread(drawn), "filled at k = 0: scratchpad none" if zero else "", casualties(rows)]
    notes += ["k of filler counts its tokens"] if (data["scratchpad"] == "filler").any() else []
    style.legend(figure, handles, notes)
    return figure


def _budgets(axis: Axes, recipes: list[pd.DataFrame], look: dict) -> list[tuple[pd.DataFrame, dict]]:
    """One length: every recipe's points, hollow where it was not trained at that k; the trained points are joined.

    What is left to draw are the intervals of those whose seeds are not each drawn.
    """
    joined: dict[int, list[float]] = {}
    spans = []
    for rows in recipes:
        found, trained = over_seeds(rows, "steps"), set(rows["steps_trained"])
        own, steps, mean = found.index.isin(trained), found.index.to_numpy(), found["mean"].to_numpy()
        if not own.all():
            axis.plot(steps, mean, **look | {"lw": 0.7, "marker": ""}, zorder=2)
            axis.plot(steps[~own], mean[~own], **look | {"linestyle": "", "markerfacecolor": "white"}, zorder=3)
        if 1 < rows["run"].nunique() < BAND_FROM:
            axis.plot(rows["steps"], rows["accuracy"], **look | {"linestyle": "", "marker": ".", "ms": 2.2}, zorder=2)
        else:
            spans.append((found, look))
        for at, height in zip(steps[own], mean[own], strict=True):
            joined.setdefault(at, []).append(height)
    if recipes:
        at = sorted(joined)
        axis.plot(at, [sum(joined[step]) / len(joined[step]) for step in at], **look, zorder=4)
    return spans
