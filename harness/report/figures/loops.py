"""A looped model that was stopped early, late or by itself: accuracy against loops and against what they cost."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from harness.report import style
from harness.report.figures import parts
from harness.report.figures.parts import CHANCE, MEASURE
from harness.report.select import Undrawable, casualties, complete, lines, scored
from harness.report.stats import over_seeds

ITSELF = {"marker": "*", "ms": 9, "linestyle": "", "markeredgecolor": "black", "mew": 0.5}
TINTS = mpl.colormaps["viridis"]  # monotone in lightness


@mpl.rc_context(style.HOUSE)
def accuracy_against_loops(
    rows: pd.DataFrame, split: str = "boundary", allow_mixed: bool = False, columns: int = 2
) -> Figure:
    """Accuracy in [0, 1] against the loops after which all positions were stopped, and against the FLOPs of an answer.

    A row of panels for each recipe of so many trained loops, a line for each length, light for the long ones. Along it
    the model was stopped by force (``evaluate.loops``); dashed and grey stands how many loops were trained. A star is
    the model as it was trained: with halting at the mean of the loops that it took by itself. What a star costs beside
    the line at its height is the cost at equal accuracy. Means over seeds with the 95 % interval of
    :func:`over_seeds`. Raises ValueError if no model of these rows was stopped by force.
    """
    rows = complete(parts.ordered(rows))
    data = scored(parts.drawn(rows, [split], allow_mixed, forced=True), as_trained=True, forced=True)
    data = data[data["run"].isin(data.loc[data["forced_loops"].notna(), "run"])]
    if data.empty:
        raise Undrawable("nothing to draw: none of these runs was stopped after other loops (evaluate.loops)")
    drawn = lines(data)
    lengths = sorted(int(length) for length in data["length"].unique())
    tints = {n: TINTS(0.85 * place / max(len(lengths) - 1, 1)) for place, n in enumerate(lengths)}
    height = 0.6 + 1.9 * len(drawn)
    figure, axes = style.panels(rows, len(drawn), 2, (style.width(columns), height), sharex="col")
    for line, (left, right) in zip(drawn, axes, strict=True):
        part = line.rows.assign(flops=line.rows["prompt_flops"] + line.rows["decode_flops"])
        forced, own = part[part["forced_loops"].notna()], part[part["forced_loops"].isna()]
        for length in lengths:
            look = {"color": tints[length], "marker": "o", "ms": 3}
            for axis, x in ((left, "loops"), (right, "flops")):
                here, itself = forced[forced["length"] == length], own[own["length"] == length]
                if len(here):
                    found = over_seeds(here.assign(x=here["forced_loops"]), "x")
                    found.index = here.groupby("forced_loops")[x].mean()
                    axis.plot(found["mean"], **look)
                    parts.bars(axis, [(found, look)])
                at = itself["loops_used" if x == "loops" else x].mean()
                axis.plot([at], [itself["accuracy"].mean()], **ITSELF, color=tints[length], zorder=4)
        left.axvline(part["loops_trained"].max(), color=style.GREY, lw=0.9, linestyle=(0, (4, 2)), zorder=0)
        left.set_title(line.label, loc="left")
        for axis in (left, right):
            parts.chances(axis, part, axis is right)
        left.set_ylabel(MEASURE)
    axes[0, 0].set_xscale("log", base=2)
    axes[0, 1].set_xscale("log")
    axes[0, 1].xaxis.set_minor_locator(LogLocator(subs=(2, 5)))  # words of them all would meet
    ticks = sorted({int(k) for k in data["forced_loops"].dropna()})
    axes[-1, 0].set_xticks(ticks, [str(k) for k in ticks])
    axes[-1, 0].minorticks_off()
    axes[-1, 0].set_xlabel("loops")
    axes[-1, 1].set_xlabel("FLOPs of an answer")
    style.accuracy_axes(axes, data, headroom=0.05)
    handles = [Line2D([], [], label=f"n = {n}", color=tints[n], marker="o", ms=3) for n in lengths]
    handles += [Line2D([], [], label="as trained, stopped by itself where it halts", color=style.GREY, **ITSELF)]
    handles += [Line2D([], [], label="loops trained", color=style.GREY, lw=0.9, linestyle=(0, (4, 2)))]
    seeds = data.groupby("recipe")["run"].nunique().max()
    style.legend(figure, handles, [f"{split}, mean of up to {seeds} seeds", casualties(rows)])
    return figure


@mpl.rc_context(style.HOUSE)
def loops_used(
    rows: pd.DataFrame, x: str = "length", split: str = "boundary", allow_mixed: bool = False, columns: int = 2
) -> Figure:
    """The loops that models which halt took by themselves, on average, against a column of rows (log2).

    A line for each recipe but for that column, with every seed below five and a t band from five on; a run that does
    not solve its problem is drawn hollow, since what it took says nothing of the problem. Raises ValueError if no
    model of these rows halts.
    """
    rows = complete(parts.ordered(rows))
    data = scored(parts.drawn(rows, [split], allow_mixed), as_trained=True)
    if "model.halting" not in data or not (data["model.halting"] != "none").any():
        raise Undrawable("nothing to draw: none of these models halts (model.halting=ponder)")
    data = data[data["model.halting"] != "none"]
    hide = () if x == "length" else (x, *(c for c in data if c.split(".")[-1] == x.split(".")[-1]), "task.least")
    families: dict[str, list[pd.DataFrame]] = {}
    for line in lines(data, hide=hide):
        families.setdefault(line.label, []).append(line.rows)
    looks = style.looks_of(families)
    figure, axes = style.panels(rows, 1, 1, (style.width(columns), 2.6))
    axis = axes[0, 0]
    for label, found in families.items():
        part = pd.concat(found)
        solves = part["accuracy"] >= part["chance"] + 0.9 * (1 - part["chance"])
        means = part.groupby(x)["loops_used"].mean()
        axis.plot(means, **looks[label])
        hollow = looks[label] | {"linestyle": "", "marker": "o", "ms": 3}
        axis.plot(part.loc[solves, x], part.loc[solves, "loops_used"], **hollow)
        axis.plot(part.loc[~solves, x], part.loc[~solves, "loops_used"], **hollow | {"markerfacecolor": "white"})
    style.length_axis(axis, data[x])
    axis.set_xlabel(parts.LENGTH if x == "length" else x)
    axis.set_ylabel("loops used")
    axis.set_ylim(0, max(data["loops_trained"].max(), data["loops_used"].max()) * 1.05)
    for trained in sorted(data["loops_trained"].dropna().unique()):
        style.level(axis, "trained", pd.Series([trained]), True, CHANCE)
    handles = [Line2D([], [], label=label, **look) for label, look in looks.items()]
    hollow = {"color": style.GREY, "marker": "o", "ms": 3, "linestyle": "", "markerfacecolor": "white"}
    handles += [Line2D([], [], label="does not solve it", **hollow)]
    style.legend(figure, handles, [f"{split}, a point for each seed, lines: their means", casualties(rows)])
    return figure
