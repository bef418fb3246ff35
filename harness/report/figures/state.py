"""Accuracy against the bits of state."""

from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.report import style
from harness.report.figures import parts
from harness.report.figures.parts import MEASURE
from harness.report.select import casualties, lines, scored


@mpl.rc_context(style.HOUSE)
def accuracy_against_state(
    rows: pd.DataFrame, splits: Sequence[str] | None = None, allow_mixed: bool = False, columns: int | None = None
) -> Figure:
    """Accuracy in [0, 1] against the bits of state (log2) that a model carries, at its longest trained length.

    If none of its scores is at a trained length, at the shortest one.
    One point is one recipe; a panel for each split. Where an answer has several tokens, the share of these that are
    right stands below. What carries nothing from token to token stands at the left. The dotted line is the exact bound:
    no recurrence that reads once decides with less (a fact of the task, for long prompts).
    A run whose state was rounded to fewer bits a number is a line: its points are hollow, its state as it was is full.
    """
    rows = parts.ordered(rows)
    splits = parts.shown(rows, splits)
    data = scored(parts.drawn(rows, splits, allow_mixed, squeezed=True), as_trained=True, squeezed=True)
    data = parts.longest_trained(data)
    present = [split for split in splits if split in set(data["split"])]
    measures = {"accuracy": MEASURE}
    if (data["answer_tokens"] > 1).any():
        measures["token_accuracy"] = "right answer tokens, free-running"
    drawn = lines(data)
    looks = style.looks(drawn)
    down, across = (len(measures) * len(present), 1) if columns == 1 else (len(measures), len(present))
    own = 7, 0.5 + 2.3 * len(measures)
    figure, axes = style.panels(
        rows, down, across, style.size(columns, own, 0.5 + (2.1 if across == 1 else 2.3) * down)
    )
    places = [(measure, split) for measure in measures for split in present]
    for (measure, split), axis in zip(places, axes.flat, strict=True):
        here = data[data["split"] == split]
        nothing = style.state_axis(axis, data["state_bits"], data["least_state_bits"])
        power = 1.0 if measure == "accuracy" else 1 / here["answer_tokens"]
        parts.chances(axis, here.assign(chance=here["chance"] ** power), axis in axes[:, -1])
        for line in drawn:
            found = line.rows[line.rows["split"] == split]
            _states(axis, found.assign(state_bits=found["state_bits"].replace(0, nothing)), measure, looks[line.label])
        if axis in axes[0] or across == 1:
            axis.set_title(split, loc="left")
        if axis in axes[:, 0]:
            axis.set_ylabel(measures[measure])
    for axis in axes[-1]:
        axis.set_xlabel("state at the longest trained length (bits)")
    style.accuracy_axes(axes, data, headroom=0.05)
    handles = [Line2D([], [], label=line.label, **looks[line.label] | {"linestyle": ""}) for line in drawn]
    if data["bits_per_number"].notna().any():
        handles += [Line2D([], [], label="its state rounded, a run a line", **_HOLLOW | {"color": style.GREY})]
    bound = "dotted: least state of a recurrence that reads once" if data["least_state_bits"].notna().any() else ""
    several = any(line.rows["run"].nunique() > 1 for line in drawn)
    spread = "a point for each seed" if several else parts.spread(drawn)
    style.legend(figure, handles, [spread, bound, casualties(rows)])
    return figure


_HOLLOW = {"marker": "o", "ms": 3.2, "markerfacecolor": "white", "linestyle": "-", "lw": 0.8}


def _states(axis: Axes, found: pd.DataFrame, measure: str, look: dict) -> None:
    """The points of one recipe; of a run that was squeezed, a line from the fewest bits to all of them."""
    for _, run in found[found["run"].isin(found.loc[found["bits_per_number"].notna(), "run"])].groupby("run"):
        curve = run.sort_values("state_bits")
        axis.plot(curve["state_bits"], curve[measure], **look | {"marker": "", "lw": 0.8}, zorder=2)
        rounded = curve[curve["bits_per_number"].notna()]
        hollow = {"linestyle": "", "ms": 3.2, "markerfacecolor": "white", "mew": 0.8}
        axis.plot(rounded["state_bits"], rounded[measure], **look | hollow, zorder=3)
    whole = found[found["bits_per_number"].isna()]
    axis.plot(whole["state_bits"], whole[measure], **look | {"linestyle": ""}, alpha=0.85)
    if measure == "accuracy" and len(whole) == 1:
        axis.vlines(whole["state_bits"], whole["accuracy_low"], whole["accuracy_high"], look["color"], lw=0.8)
