"""What an answer costs against length: of every recipe, and the least that is enough."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.report import style
from harness.report.figures import parts
from harness.report.figures.parts import LENGTH
from harness.report.select import Line, casualties, check_versions, lines, scored, varying

COSTS = {
    "flops": "FLOPs per answer (multiply-add = 2)",
    "scored_pairs": "scored pairs (query, key)",
    "state_bytes": "state (bytes)",
    "serial_steps": "serial steps (dependent token computations)",
}
WORK = {"flops": "FLOPs of one answer, reasoning included", "pairs": "scored pairs (query, key) of a head"}
OF_A_KIND = ("attention", "scratchpad", "trace", "attention.layers")
ENVELOPE = {"color": "black", "lw": 5, "alpha": 0.16, "solid_capstyle": "round", "zorder": 1}
SQUARE = {"color": "black", "lw": 1, "linestyle": (0, (1, 1.5)), "zorder": 1}
NONE = {"marker": "x", "ms": 3.6, "mew": 1.1, "linestyle": ""}
LIFT = 12  # points above a panel, where the names of the slopes stand
ROW = 5.5  # points between the marks of two kinds


@mpl.rc_context(style.HOUSE)
def cost_against_length(rows: pd.DataFrame, allow_mixed: bool = False, columns: int | None = None) -> Figure:
    """What one answer costs against length n, log-log, one line for each recipe at the trained number of steps.

    FLOPs of the prompt and of decoding together, scored pairs, bytes of state, serial steps; grey slopes n and n².
    """
    rows = parts.ordered(rows)
    if not allow_mixed:
        check_versions(rows)
    data = _priced(scored(rows, as_trained=True))
    data = data[data["split"] != "validation"] if (data["split"] != "validation").any() else data
    drawn = lines(data)
    looks = style.looks(drawn)
    down, across = (4, 1) if columns == 1 else (2, 2)
    figure, axes = style.panels(rows, down, across, style.size(columns, (7, 4.4), 0.4 + 2 * down), sharey=False)
    for axis, (measure, title) in zip(axes.flat, COSTS.items(), strict=True):
        axis.set_title(title, loc="left", pad=11)
        curves = [line.rows[line.rows[measure] > 0].groupby("length")[measure].mean() for line in drawn]
        for rank, (line, curve) in enumerate(zip(drawn, curves, strict=True)):
            below = 1 - rank / len(drawn)  # equal costs coincide: what lies below stays visible as a rim
            axis.plot(curve, **looks[line.label] | {"lw": 1 + 1.6 * below, "ms": 3 + 3 * below}, label=line.label)
        style.length_axis(axis, data["length"])
        if len(every := pd.concat(curves)):
            style.cost_axis(axis, every)
    for axis in axes[-1]:
        axis.set_xlabel(LENGTH)
    handles = [Line2D([], [], label=line.label, **looks[line.label]) for line in drawn]
    style.legend(figure, handles, ["grey: growth as n and as n² from the first point", casualties(rows)])
    return figure


@mpl.rc_context(style.HOUSE)
def frontier(rows: pd.DataFrame, threshold: float = 0.95, allow_mixed: bool = False, columns: int = 2) -> Figure:
    """The least work of one answer over the recipes that are right often enough, against length n, log-log.

    Often enough: at least half of a recipe's seeds, those without a score among them, have an accuracy on ``boundary``
    of ``threshold`` or more at that n and at the number of steps they were trained for. A line is one variant with one
    kind of scratchpad, the least over whatever else was tried (widths, budgets, learning rates); the broad line is the
    least of all. A cross above a panel: recipes of that kind were evaluated at this n and none was right often enough.
    The two panels have each their own least, so their recipes may differ.

    The right panel counts the pairs of a query and a key that an answer scores, the mean over heads, layers and loops:
    (n + T) c for T scratch tokens and c keys that a token reaches. What scores no pairs (a recurrence) has no place
    there and is named in the note. The dotted line is (n + T) c = n². It is a place to look at, not a bound: what is
    known (under SETH, THEORY 0.1) is work of n^(2 - o(1)) in the worst case, for exact answers, at dimensions that grow
    faster than log n. At a finite n that forbids no point below the line, on scalars nothing does at any n, and pairs
    that are scored only to choose which keys to reach are work too. FLOPs have no such line, since no constant is known
    for them.
    Raises ValueError if there is no score on ``boundary``, or for rows of several tasks.
    """
    rows = parts.ordered(rows)
    data = _priced(scored(parts.drawn(rows, ["boundary"], allow_mixed), as_trained=True))
    runs = rows.groupby("recipe")["run"].nunique()
    right = data[data["accuracy"] >= threshold - 1e-12].groupby(["recipe", "length"])["run"].nunique()
    enough = right[2 * right >= right.index.get_level_values("recipe").map(runs)].index
    data["enough"] = pd.MultiIndex.from_frame(data[["recipe", "length"]]).isin(enough)
    kinds = _kinds(data)
    looks = style.looks(list(kinds.values()))
    down, across = (2, 1) if columns == 1 else (1, 2)
    figure, axes = style.panels(rows, down, across, (style.width(columns), 0.4 + 2.5 * down), sharey=False)
    for (measure, title), axis in zip(WORK.items(), axes.flat, strict=True):
        crosses = _least(axis, data, kinds, measure, looks)
        axis.set_title(title, loc="left", pad=LIFT + 2 + ROW * crosses)
        axis.set_xlabel(LENGTH if axis in axes[-1] else "")
    lengths = np.array(sorted(data["length"].unique()), dtype=float)
    axes.flat[1].plot(lengths, lengths**2, **SQUARE)
    handles = [Line2D([], [], label=label, **looks[label]) for label in kinds]
    handles += [Line2D([], [], label="least of all", **ENVELOPE), Line2D([], [], label="(n + T) c = n²", **SQUARE)]
    handles += [Line2D([], [], label="none is right often enough", color=style.GREY, **NONE)]
    notes = [f"least over recipes of which half of the seeds have accuracy ≥ {threshold:g} on boundary"]
    notes += [
        "T scratch tokens, c keys reached a token",
        "grey: growth as n and n²",
        casualties(rows),
    ]
    silent = [label for label, kind in kinds.items() if not kind.rows["pairs"].any()]
    style.legend(figure, handles, [*notes, f"no pairs are scored by {', '.join(silent)}" if silent else ""])
    return figure


def _priced(data: pd.DataFrame) -> pd.DataFrame:
    """With the columns flops, of prompt and decoding, and pairs, of one head of one layer in one loop."""
    heads = data[["layers", "heads", "loops"]].astype(float).fillna(1).prod(axis=1)
    return data.assign(flops=data["prompt_flops"] + data["decode_flops"], pairs=data["scored_pairs"] / heads)


def _kinds(data: pd.DataFrame) -> dict[str, Line]:
    """label -> all recipes of one variant and one kind of scratchpad."""
    found: dict[str, Line] = {}
    for line in lines(data, hide=[column for column in varying(data) if column not in OF_A_KIND]):
        there = [found[line.label].rows] if line.label in found else []
        found[line.label] = Line(line.variant, line.scratchpad, line.rest, pd.concat([*there, line.rows]))
    return found


def _least(axis: Axes, data: pd.DataFrame, kinds: dict[str, Line], measure: str, looks: dict[str, dict]) -> int:
    """Draw the least of every kind; how many rows of crosses stand above the panel."""
    style.length_axis(axis, data["length"])
    every = data[data[measure] > 0].groupby(["length", "recipe"])[measure].mean()
    best = data[data["enough"] & (data[measure] > 0)].groupby(["length", "recipe"])[measure].mean()
    least = best.groupby("length").min()
    axis.plot(least, **ENVELOPE)
    seen, crosses = [(least if len(least) else every.groupby("length").min()).head(1)], 0
    for label, kind in kinds.items():
        of_kind = best[best.index.get_level_values("recipe").isin(kind.rows["recipe"])]
        enough = kind.rows.groupby("length")["enough"].any()
        own = of_kind.groupby("length").min().reindex(enough.index)
        axis.plot(own, **looks[label], label=label)  # broken where none is enough
        seen.append(own.dropna())
        if not enough.all():
            lift = mpl.transforms.ScaledTranslation(0, (LIFT + ROW * crosses) / 72, axis.figure.dpi_scale_trans)
            above = {"transform": axis.get_xaxis_transform() + lift, "clip_on": False}
            lost = enough.index[~enough]
            axis.plot(lost, np.ones(len(lost)), color=looks[label]["color"], **NONE, **above)
            sample = looks[label] | {"lw": 0.9, "ms": 2.8}  # whose row it is, for who sees no hue
            axis.plot([-0.07, -0.035, 0], [1, 1, 1], **sample, transform=axis.transAxes + lift, clip_on=False)
            crosses += 1
    seen.append(every.droplevel("recipe") if best.empty else every.iloc[:0].droplevel("recipe"))
    if len(shown := pd.concat(seen)):
        style.cost_axis(axis, shown)
    return crosses
