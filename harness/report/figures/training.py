"""What training did: its curves, and how many seeds come through at which learning rate."""

import math

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, NullLocator

from harness.report import style
from harness.report.evidence import RATE, tuned
from harness.report.figures import parts
from harness.report.select import STATUS, Undrawable, casualties, complete, known, lines, scored, word
from harness.report.stats import solved, wilson

NEEDED = ("run", "update", "loss", "validation", "recipe", "task", "attention", "scratchpad", "status")
CROSS = {"marker": "X", "ms": 6, "markeredgecolor": "white", "mew": 0.6, "linestyle": ""}
RING = {"marker": "o", "ms": 9, "markerfacecolor": "none", "mew": 1.1, "linestyle": ""}
MARKS = {"ms": 3.4}
EVERY = 8  # of a curve's length is marked, so that lines are told apart without their hue
WINDOW = 15  # of a curve's points, one in so many is the width of the running median


@mpl.rc_context(style.HOUSE)
def learning_curves(curves: pd.DataFrame, columns: int = 2) -> Figure:
    """The training loss (nats, log) and the accuracy on validation against updates, one thin line for each run.

    ``curves`` are the rows of curve.csv with the settings and the status of their run. A loss of single updates is
    noise, so a run's thick line is the running median over a fifteenth of its points. A run that ended without scores
    stops in a cross at its last finite loss, or where that is unknown at the edge. Chance is drawn where a column
    ``chance`` tells it. Raises ValueError for a missing column or if no row has a loss.
    """
    if curves.empty:
        raise Undrawable("nothing to draw: none of these runs has logged an update")
    known(NEEDED, curves.columns)
    curves = curves.sort_values(["recipe", "run", "update"], kind="stable", ignore_index=True)
    told = complete(curves[np.isfinite(curves["loss"]) & curves["loss"].gt(0)])
    if told.empty:
        raise Undrawable(f"nothing to draw: none of these {curves['run'].nunique()} runs has a loss above 0")
    drawn = lines(told)
    looks = style.looks(drawn)
    down, across = (2, 1) if columns == 1 else (1, 2)
    figure, axes = style.panels(curves, down, across, (style.width(columns), 0.4 + 2.3 * down), sharey=False)
    loss, validation = axes.flat
    for line in drawn:
        look = {key: value for key, value in looks[line.label].items() if key != "marker"}
        for _, run in line.rows.groupby("run"):
            losses, scores = run.set_index("update")["loss"], run.set_index("update")["validation"].dropna()
            middle = losses.rolling(max(1, len(losses) // WINDOW), center=True, min_periods=1).median()
            loss.plot(losses, **look | {"lw": 0.4, "alpha": 0.4})
            loss.plot(middle, **look | {"lw": 1.2}, **_marked(middle, looks[line.label]))
            validation.plot(scores, **look | {"lw": 1.2}, **_marked(scores, looks[line.label]))
            if run["status"].iloc[0] in STATUS:
                dead = {**CROSS, "color": look["color"], "zorder": 5, "clip_on": False}
                loss.plot(losses.index[-1:], losses.iloc[-1:], **dead)
                validation.plot(scores.index[-1:], scores.iloc[-1:], **dead)
    loss.set_yscale("log")
    style.plain_axis(loss)
    loss.set_title("training loss (nats)", loc="left")
    validation.set_title("accuracy on validation, free-running", loc="left")
    parts.chances(validation, told, True)
    validation.set_ylim(min(-0.03, *told["validation"].dropna()), 1.03)
    for axis in axes.flat:
        axis.set_xlim(0, told["update"].max() * 1.02)
        axis.set_xlabel("updates" if axis in axes[-1] else "")
    handles = [Line2D([], [], label=line.label, **looks[line.label] | MARKS) for line in drawn]
    if told["status"].isin(list(STATUS)).any():
        handles += [Line2D([], [], label="ended without scores", color=style.GREY, **CROSS)]
    notes = ["a line for each run, thick: running median of the loss", casualties(curves)]
    style.legend(figure, handles, [*notes, "" if told["chance"].notna().any() else "chance is not told by these rows"])
    return figure


@mpl.rc_context(style.HOUSE)
def success_over_rate(
    rows: pd.DataFrame, split: str = "boundary", allow_mixed: bool = False, columns: int = 2
) -> Figure:
    """The share of seeds that solve their longest trained length against the learning rate (log), with Wilson bars.

    A line for each recipe but for the rate. Solved is an accuracy of chance + 0.9 (1 - chance) or more (THEORY d.1) at
    the trained number of steps; a run without a score solves nothing. A ring marks the rate that validation chose, and
    the note says where that is the end of the grid. Raises ValueError if no rate is told, if the split has no scores,
    or for rows of several tasks.
    """
    rows = complete(parts.ordered(rows))
    known([RATE], rows.columns)
    data = parts.longest_trained(scored(parts.drawn(rows, [split], allow_mixed), as_trained=True))
    every = pd.concat([data, parts.unscored(rows)], ignore_index=True)
    every = every[every[RATE].notna()].assign(solves=lambda rows: solved(rows))
    if every.empty:
        raise ValueError(f"nothing to draw: column {RATE} is empty in these rows")
    chosen = set(tuned(rows)["run"])
    groups: dict[str, list] = {}
    for line in lines(every, hide=(RATE, "learning_rate")):
        groups.setdefault(line.label, []).append(line)
    looks = style.looks([found[0] for found in groups.values()])
    figure, axes = style.panels(rows, 1, 1, (style.width(columns), 2.7))
    axis, rates, edges = axes[0, 0], sorted(every[RATE].unique()), []
    axis.set_xscale("log")
    step = min(np.diff(np.log(rates)), default=1.0)
    for rank, (label, found) in enumerate(groups.items()):
        aside = math.exp(0.5 * step * ((rank + 0.5) / len(groups) - 0.5))  # side by side, where shares are often equal
        part = pd.concat([line.rows for line in found])
        counts = part.groupby(RATE)["solves"].agg(["sum", "count"])
        ends = np.array([wilson(*pair) for pair in counts.itertuples(index=False)])
        share = (counts["sum"] / counts["count"]).set_axis(counts.index * aside)
        axis.plot(share, **looks[label], zorder=3)
        spans = pd.DataFrame({"mean": share, "low": ends[:, 0], "high": ends[:, 1]})
        parts.bars(axis, [(spans, looks[label])])
        best = set(part.loc[part["run"].isin(chosen), RATE])
        place = [rate * aside for rate in sorted(best)]
        axis.plot(place, share.loc[place], **RING, color=looks[label]["color"], zorder=4)
        if len(counts) > 1 and best & {counts.index.min(), counts.index.max()}:
            edges.append(label)
    _rates(axis, rates, step)
    axis.set_ylim(-0.05, 1.05)
    axis.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axis.spines.left.set_bounds(0, 1)
    axis.set_ylabel("share of seeds that solve")
    handles = [Line2D([], [], label=label, **look) for label, look in looks.items()]
    handles += [Line2D([], [], label="chosen by validation", color=style.GREY, **RING)]
    seeds = sorted({int(count) for count in every.groupby(["recipe"])["run"].nunique()})
    notes = [f"{split}, longest trained length, {'/'.join(map(str, seeds))} seed(s) a point, 95 % Wilson interval"]
    notes += [f"chosen at the edge of the grid: {', '.join(edges)}" if edges else "", casualties(rows)]
    style.legend(figure, handles, notes)
    return figure


def _marked(curve: pd.Series, look: dict) -> dict:
    """A marker on a curve every so often."""
    step = max(1, len(curve) // EVERY)
    return {**MARKS, "marker": look["marker"], "markevery": (step // 2, step)}


def _rates(axis: Axes, rates: list[float], step: float) -> None:
    axis.set_xlim(rates[0] * math.exp(-0.6 * step), rates[-1] * math.exp(0.6 * step))
    axis.set_xticks(rates, [word(rate) for rate in rates])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("learning rate")
