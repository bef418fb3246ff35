"""Figures as pure functions of rows: accuracy against length, steps and state, cost against length.

One line is one recipe. Hue and marker say the variant, dashes the scratchpad, lightness whatever else varies.
Every score is exact (all answer tokens right) and free-running (the model reads its own scratchpad).
"""

from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.report import style
from harness.report.select import SPLITS, Line, casualties, check_versions, lines, scored
from harness.report.stats import over_seeds
from harness.report.style import render

AGAINST = ("accuracy_against_length", "accuracy_against_steps", "accuracy_against_state", "cost_against_length")
__all__ = [*AGAINST, "render"]

BAND_FROM = 5  # seeds; fewer are drawn one by one
MEASURE = "exact accuracy, free-running"
CHANCE = (0, (4, 3))  # dashes
COSTS = {
    "flops": "FLOPs per answer (multiply-add = 2)",
    "scored_pairs": "scored pairs (query, key)",
    "state_bytes": "state (bytes)",
    "serial_steps": "serial steps (dependent token computations)",
}


@mpl.rc_context(style.HOUSE)
def accuracy_against_length(
    rows: pd.DataFrame, splits: Sequence[str] | None = None, allow_mixed: bool = False
) -> Figure:
    """Accuracy in [0, 1] against length n (log2) of one task, at the trained number of steps, a panel for each split.

    One seed has Wilson bars over its test items, two to four seeds are each drawn, from five on a t band stands.
    """
    splits = _shown(rows, splits)
    data = scored(_drawn(rows, splits, allow_mixed), as_trained=True)
    present = [split for split in splits if split in set(data["split"])]
    drawn = lines(data)
    looks = style.looks(drawn)
    figure, axes = style.panels(rows, 1, len(present), (7 if len(present) > 1 else 4, 2.6))
    within = data[data["in_range"].astype(bool)].groupby("recipe")["length"]
    for split, axis in zip(present, axes[0], strict=True):
        axis.set_title(split, loc="left")
        axis.set_xlabel("length n (items)")
        for low, high in sorted(set(zip(within.min(), within.max(), strict=True))):
            axis.axvspan(low / 2**0.2, high * 2**0.2, color="black", alpha=0.06, lw=0, zorder=0, label="trained")
        if len(within):
            place = {"transform": axis.get_xaxis_transform(), "va": "top"}  # in the headroom, above all data
            axis.text(within.min().min(), 0.985, "trained", color=style.GREY, fontsize=7, **place)
        for line in drawn:
            _seeds(axis, line.rows[line.rows["split"] == split], looks[line.label])
        levels = data[data["split"] == split].groupby("length")[["chance", "majority"]].mean()
        style.level(axis, "chance", levels["chance"], axis is axes[0, -1], CHANCE)
        if split == "natural":
            style.level(axis, "majority", levels["majority"], axis is axes[0, -1], ":")
        style.length_axis(axis, data["length"])
    axes[0, 0].set_ylabel(MEASURE)
    style.accuracy_axes(axes, data, headroom=0.13)
    handles = [Line2D([], [], label=line.label, **looks[line.label]) for line in drawn]
    style.legend(figure, handles, [_spread(drawn), casualties(rows)])
    return figure


@mpl.rc_context(style.HOUSE)
def accuracy_against_steps(
    rows: pd.DataFrame, splits: Sequence[str] | None = None, allow_mixed: bool = False
) -> Figure:
    """Accuracy in [0, 1] against the steps k written before the answer (0, then log2), by split (down) and length.

    Filled and joined by a thick line: trained at that budget, by recipes that differ in the budget alone, of which
    `none` is k = 0. Hollow, on a thin line: a model of one of these recipes, stopped early or late by force.
    """
    splits = _shown(rows, splits)
    data = _drawn(rows, splits, allow_mixed)
    present = [split for split in splits if split in set(data["split"])]
    lengths = sorted(int(length) for length in data["length"].unique())
    drawn = lines(data, hide=("scratchpad.scale",))
    families = _families(drawn)
    looks = style.looks([members[0] for members in families.values()])
    size = max(7, 0.6 + 1.15 * len(lengths)) if len(lengths) > 1 else 4, 0.75 + 1.5 * len(present)
    figure, axes = style.panels(rows, len(present), len(lengths), size)
    for split, row in zip(present, axes, strict=True):
        row[0].set_ylabel(split)
        for length, axis in zip(lengths, row, strict=True):
            for label, members in families.items():
                here = [m.rows[(m.rows["split"] == split) & (m.rows["length"] == length)] for m in members]
                _budgets(axis, [part for part in here if len(part)], looks[label])
            chance = data.loc[(data["split"] == split) & (data["length"] == length), "chance"]
            if len(chance):
                style.level(axis, "chance", chance.drop_duplicates(), axis is row[-1], CHANCE)
            style.steps_axis(axis, int(data["steps"].max()), room=max(3, 18 // len(lengths)))
    for length, axis in zip(lengths, axes[0], strict=True):
        axis.set_title(f"n = {length}", loc="left")
    for axis in axes[-1]:
        axis.set_xlabel("reasoning steps k")
    style.accuracy_axes(axes, data, headroom=0.05)
    figure.supylabel(MEASURE, fontsize=8, y=0.58)  # beside the panels, above the legend
    grey = {"color": style.GREY, "marker": "o", "linestyle": ""}
    handles = [Line2D([], [], label=label, **look) for label, look in looks.items()]
    if (data["steps"] != data["steps_trained"]).any():
        handles += [Line2D([], [], label="trained at this k", **grey)]
        handles += [Line2D([], [], label="stopped early or late", markerfacecolor="white", **grey)]
    zero = any(len(members) > 1 and members[-1].scratchpad == "none" for members in families.values())
    notes = [_spread(drawn), "filled at k = 0: scratchpad none" if zero else "", casualties(rows)]
    notes += ["k of filler counts its tokens"] if (data["scratchpad"] == "filler").any() else []
    style.legend(figure, handles, notes)
    return figure


@mpl.rc_context(style.HOUSE)
def cost_against_length(rows: pd.DataFrame, allow_mixed: bool = False) -> Figure:
    """What one answer costs against length n, log-log, one line for each recipe at the trained number of steps.

    FLOPs of the prompt and of decoding together, scored pairs, bytes of state, serial steps; grey slopes n and n².
    """
    if not allow_mixed:
        check_versions(rows)
    data = scored(rows, as_trained=True)
    data = data[data["split"] != "validation"] if (data["split"] != "validation").any() else data
    data = data.assign(flops=data["prompt_flops"] + data["decode_flops"])
    drawn = lines(data)
    looks = style.looks(drawn)
    figure, axes = style.panels(rows, 2, 2, (7, 4.4), sharey=False)
    for axis, (measure, title) in zip(axes.flat, COSTS.items(), strict=True):
        axis.set_title(title, loc="left", pad=11)
        curves = [line.rows[line.rows[measure] > 0].groupby("length")[measure].mean() for line in drawn]
        for rank, (line, curve) in enumerate(zip(drawn, curves, strict=True)):
            below = 1 - rank / len(drawn)  # equal costs coincide: what lies below stays visible as a rim
            axis.plot(curve, **looks[line.label] | {"lw": 1 + 1.6 * below, "ms": 3 + 3 * below}, label=line.label)
        style.length_axis(axis, data["length"])
        if len(every := pd.concat(curves)):
            style.cost_axis(axis, every)
    for axis in axes[1]:
        axis.set_xlabel("length n (items)")
    handles = [Line2D([], [], label=line.label, **looks[line.label]) for line in drawn]
    style.legend(figure, handles, ["grey: growth as n and as n² from the first point"])
    return figure


@mpl.rc_context(style.HOUSE)
def accuracy_against_state(
    rows: pd.DataFrame, splits: Sequence[str] | None = None, allow_mixed: bool = False
) -> Figure:
    """Accuracy in [0, 1] against the bits of state (log2) that a model carries, at its longest trained length.

    If none of its scores is at a trained length, at the shortest one.
    One point is one recipe; a panel for each split. Where an answer has several tokens, the share of these that are
    right stands below. What carries nothing from token to token stands at the left. The dotted line is the exact bound:
    no recurrence that reads once decides with less (a fact of the task, for long prompts).
    """
    splits = _shown(rows, splits)
    data = scored(_drawn(rows, splits, allow_mixed), as_trained=True)
    nearest = data["length"].where(data["in_range"].astype(bool), -data["length"])  # trained and long, or not far off
    data = data[nearest == nearest.groupby(data["run"]).transform("max")]
    data = data.assign(state_bits=8 * data["state_bytes"])
    present = [split for split in splits if split in set(data["split"])]
    measures = {"accuracy": MEASURE}
    if (data["answer_tokens"] > 1).any():
        measures["token_accuracy"] = "right answer tokens, free-running"
    drawn = lines(data)
    looks = style.looks(drawn)
    figure, axes = style.panels(rows, len(measures), len(present), (7, 0.5 + 2.3 * len(measures)))
    for (measure, title), row in zip(measures.items(), axes, strict=True):
        row[0].set_ylabel(title)
        for split, axis in zip(present, row, strict=True):
            here = data[data["split"] == split]
            nothing = style.state_axis(axis, data["state_bits"], data["least_state_bits"])
            power = 1.0 if measure == "accuracy" else 1 / here["answer_tokens"]
            style.level(axis, "chance", (here["chance"] ** power).drop_duplicates(), axis is row[-1], CHANCE)
            for line in drawn:
                found = line.rows[line.rows["split"] == split]
                places = found["state_bits"].replace(0, nothing)
                axis.plot(places, found[measure], **looks[line.label] | {"linestyle": ""}, alpha=0.85)
                if measure == "accuracy" and len(found) == 1:
                    axis.vlines(
                        places, found["accuracy_low"], found["accuracy_high"], looks[line.label]["color"], lw=0.8
                    )
    for split, axis in zip(present, axes[0], strict=True):
        axis.set_title(split, loc="left")
    for axis in axes[-1]:
        axis.set_xlabel("state at the longest trained length (bits)")
    style.accuracy_axes(axes, data, headroom=0.05)
    handles = [Line2D([], [], label=line.label, **looks[line.label] | {"linestyle": ""}) for line in drawn]
    bound = "dotted: least state of a recurrence that reads once" if data["least_state_bits"].notna().any() else ""
    several = any(line.rows["run"].nunique() > 1 for line in drawn)
    spread = "a point for each seed" if several else _spread(drawn)
    style.legend(figure, handles, [spread, bound, casualties(rows)])
    return figure


def _shown(rows: pd.DataFrame, splits: Sequence[str] | None) -> Sequence[str]:
    """The splits that are asked for; if none are, boundary and broad, and natural where these are missing."""
    there = set(rows["split"]) if "split" in rows else set()
    return splits or [split for split in SPLITS if split in there] or (["natural"] if "natural" in there else SPLITS)


def _drawn(rows: pd.DataFrame, splits: Sequence[str], allow_mixed: bool) -> pd.DataFrame:
    """The scored rows of these splits; several tasks and mixed versions are refused."""
    data = scored(rows)
    tasks = sorted(rows["task"].unique())
    if len(tasks) != 1:
        raise ValueError(f"a figure of accuracy draws one task, these rows hold {', '.join(tasks)}: choose task=...")
    if not allow_mixed:
        check_versions(rows)
    if not data["split"].isin(splits).any():
        present = ", ".join(sorted(data["split"].unique()))
        raise ValueError(f"no scores on {', '.join(splits)}: these rows hold {present}")
    return data[data["split"].isin(splits)]


def _seeds(axis: Axes, rows: pd.DataFrame, look: dict) -> None:
    """The mean over seeds, and how far they spread."""
    if rows.empty:
        return
    found = over_seeds(rows, "length")
    seeds = rows["run"].nunique()
    if seeds == 1:
        _bars(axis, found, look)
    elif seeds < BAND_FROM:
        for _, run in rows.groupby("run"):
            axis.plot(run.groupby("length")["accuracy"].mean(), **look | {"marker": "", "lw": 0.7, "alpha": 0.7})
    else:
        axis.fill_between(found.index, found["low"], found["high"], color=look["color"], alpha=0.18, lw=0)
    axis.plot(found["mean"], **look, zorder=3)


def _bars(axis: Axes, found: pd.DataFrame, look: dict) -> None:
    reach = [(found["mean"] - found["low"]).clip(lower=0), (found["high"] - found["mean"]).clip(lower=0)]
    axis.errorbar(found.index, found["mean"], reach, fmt="none", ecolor=look["color"], elinewidth=0.8, capsize=1.5)


def _families(drawn: list[Line]) -> dict[str, list[Line]]:
    """label -> the recipes that differ in the budget alone; `none` is the budget 0 of every family of its variant."""
    families: dict[str, list[Line]] = {}
    for line in drawn:
        if line.scratchpad != "none":
            families.setdefault(line.label, []).append(line)
    for line in (line for line in drawn if line.scratchpad == "none"):
        own = [found for found in families.values() if (found[0].variant, found[0].rest) == (line.variant, line.rest)]
        for members in own or [families.setdefault(line.label, [])]:
            members.append(line)
    return families


def _budgets(axis: Axes, recipes: list[pd.DataFrame], look: dict) -> None:
    """One length: every recipe's points, hollow where it was not trained at that k; the trained points are joined."""
    for rows in recipes:
        found = over_seeds(rows, "steps")
        forced = found["mean"].drop(rows["steps_trained"].unique(), errors="ignore")
        axis.plot(found["mean"], **look | {"lw": 0.7, "marker": ""}, zorder=2)
        axis.plot(forced, **look | {"linestyle": "", "markerfacecolor": "white"}, zorder=3)
        if 1 < rows["run"].nunique() < BAND_FROM:
            axis.plot(rows["steps"], rows["accuracy"], **look | {"linestyle": "", "marker": ".", "ms": 2.2}, zorder=2)
        else:
            _bars(axis, found, look)
    if recipes:
        every = pd.concat(recipes)
        axis.plot(every[every["steps"] == every["steps_trained"]].groupby("steps")["accuracy"].mean(), **look, zorder=4)


def _spread(drawn: list[Line]) -> str:
    """What the marks around a mean are, in words."""
    counts = {line.rows["run"].nunique() for line in drawn}
    few, many = sorted(c for c in counts if 1 < c < BAND_FROM), sorted(c for c in counts if c >= BAND_FROM)
    said = ["one seed, 95 % Wilson interval over test items"] if 1 in counts else []
    said += [f"mean of {'/'.join(map(str, few))} seeds, every seed drawn"] if few else []
    said += [f"mean of {'/'.join(map(str, many))} seeds, 95 % t interval over seeds"] if many else []
    return "; ".join(said)
