"""Maps of cells: accuracy over length and steps, the share of seeds that solve over any two settings."""

import math
import textwrap
from collections.abc import Callable, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.report import style
from harness.report.figures import cells, parts
from harness.report.figures.parts import LENGTH, MEASURE
from harness.report.select import casualties, complete, known, lines, order, scored, varying, word
from harness.report.stats import solved

NAMES = {"length": LENGTH, "steps": "reasoning steps k", "task.dim": "d (task.dim)"}
EXACT = 10  # numbers of steps; more are pooled by octave
EDGE = 0.55  # inches of labels beside a panel
BARS = 0.75  # inches of the colour bar
SHORTEST = 1.45  # inches of a panel, beside which the words of its bar find room
NARROW = 0.27  # inches of a cell in which its number can be read
BOUND = {"color": "black", "lw": 1.2, "linestyle": (0, (1, 1.5))}


@mpl.rc_context(style.HOUSE)
def steps_map(rows: pd.DataFrame, split: str = "boundary", allow_mixed: bool = False, columns: int = 2) -> Figure:
    """Accuracy in [0, 1] as a shade over length n (across) and steps k (up), a panel for each family of recipes.

    A family are recipes that differ in the budget of steps alone, with `none` as k = 0. A cell with a frame was trained
    at that k; the others are models stopped early or late by force, of the largest trained budget among those that
    were. Of more than 10 numbers of steps, octaves are drawn (4-7 holds k = 4 to 7), each by the k that was trained, or
    else the largest. A cell is the mean over its seeds; how far they lie apart stands in the note. Hatched: not run.
    Raises ValueError if the split has no scores, or for rows of several tasks.
    """
    rows = parts.ordered(rows)
    data = parts.drawn(rows, [split], allow_mixed)
    families = parts.families(lines(data, hide=("scratchpad.scale", "scratchpad.power")))
    lengths = sorted(int(length) for length in data["length"].unique())
    bins = _bins(sorted(int(k) for k in data["steps"].unique()))
    found = {label: _cells(pd.concat([m.rows for m in members]), bins) for label, members in families.items()}
    shade = Normalize(min(data["chance"].min(), *(part["accuracy"].min() for part in found.values())), 1)
    across = [str(length) for length in lengths]
    up = list(dict.fromkeys(bins.values()))
    titles = list(found)
    figure, axes, room = _panels(rows, titles, len(across), len(up), columns, NAMES["length"], NAMES["steps"])
    fitted = True
    for label, axis in zip(titles, axes, strict=True):
        part = found[label].set_index(["bin", "length"])
        values = part["accuracy"].unstack().reindex(index=up, columns=lengths)
        outlined = list(part.index[part["trained"]])
        fitted &= cells.grid(axis, values, lambda y, x, v=values: _digits(v.loc[y, x]), shade, room, outlined)
        cells.ticks(axis, across, up, room)
    cells.bar(figure, axes, shade, MEASURE, {"chance": data["chance"].dropna()})
    apart = max(part["apart"].max() for part in found.values())
    seeds = max(part["seeds"].max() for part in found.values())
    notes = [f"{split}, mean over up to {seeds} seeds, which lie at most {apart:.2f} apart" if seeds > 1 else ""]
    notes += [f"{split}, one seed" if seeds == 1 else "", "numbers: accuracy × 100" if fitted else ""]
    zero = any(len(members) > 1 and members[-1].scratchpad == "none" for members in families.values())
    notes += ["with a frame at k = 0: scratchpad none" if zero else ""]
    notes += ["k in octaves" if len(bins) > EXACT else "", casualties(rows)]
    holes = any(part["accuracy"].count() < len(lengths) * len(up) for part in found.values())
    framed = any(part["trained"].any() for part in found.values())
    handles = [*([cells.framed("trained at this k")] if framed else []), *([cells.missing("not run")] if holes else [])]
    style.legend(figure, handles, notes)
    return figure


@mpl.rc_context(style.HOUSE)
def phase_map(
    rows: pd.DataFrame,
    x: str = "length",
    y: str = "task.dim",
    split: str = "boundary",
    bound: Callable[[float], float] | None = None,
    allow_mixed: bool = False,
    columns: int = 2,
) -> Figure:
    """The share of seeds that solve the problem as a shade over two columns of rows, a panel for each variant.

    Solved is an accuracy of chance + 0.9 (1 - chance) or more (THEORY d.1), at the trained number of steps; a cell says
    how many of its seeds solve, a run without a score solves nothing and counts at its settings. Where neither axis is
    the length, a run is judged at its longest trained length. Settings that go along with an axis (alpha = d) are named
    in the note, others tell panels apart. ``bound`` gives the y that a bound allows at an x, drawn dotted. Hatched: not
    run. Raises ValueError for an unknown column, a split without scores, or rows of several tasks.
    """
    rows = complete(parts.ordered(rows))
    known([x, y], rows.columns)
    data = scored(parts.drawn(rows, [split], allow_mixed), as_trained=True)
    data = data if "length" in (x, y) else parts.longest_trained(data)
    every = _with_failed(rows, data, once="length" not in (x, y))
    for column in (x, y):
        if every[column].isna().all():
            raise ValueError(f"nothing to draw: column {column} is empty in these rows")
    every = every[every[x].notna() & every[y].notna()]
    others = [c for c in varying(every) if c not in ("attention", x, y)]
    with_axis = {c: _goes_with(every, c, (y, x)) for c in others}
    along = [c for c in others if with_axis[c]]
    hidden = [x, y, *along, *(c for c in varying(every) if c.split(".")[-1] in (x.split(".")[-1], y.split(".")[-1]))]
    panels: dict[str, list[pd.DataFrame]] = {}
    for line in lines(every.assign(recipe=every["recipe"].fillna("")), hide=hidden):
        panels.setdefault(line.label, []).append(line.rows)
    at, up = (sorted(every[column].unique(), key=lambda v, c=column: order(c, word(v))) for column in (x, y))
    titles = list(panels)
    figure, axes, room = _panels(rows, titles, len(at), len(up), columns, NAMES.get(x, x), NAMES.get(y, y))
    shade, holes = Normalize(0, 1), False
    for label, axis in zip(titles, axes, strict=True):
        part = pd.concat(panels[label])
        counts = solved(part).groupby([part[y], part[x]]).agg(["sum", "count"])
        values = (counts["sum"] / counts["count"]).unstack().reindex(index=up, columns=at)
        cells.grid(axis, values, lambda j, i, c=counts: f"{c.loc[(j, i), 'sum']}/{c.loc[(j, i), 'count']}", shade, room)
        cells.ticks(axis, [word(value) for value in at], [word(value) for value in up], room)
        holes |= bool(values.isna().any(axis=None))
        if bound is not None:
            axis.plot(np.arange(len(at)), np.interp([bound(v) for v in at], up, np.arange(len(up))), **BOUND)
    cells.bar(figure, axes, shade, "share of seeds that solve", {})
    where = "" if "length" in (x, y) else f" at the longest trained length ({_span(data['length'])})"
    goes = [f"{c.split('.')[-1]} goes with {with_axis[c]}" for c in along]
    notes = [f"{split}, accuracy ≥ chance + 0.9 (1 − chance){where}", *goes, casualties(rows)]
    handles = [cells.missing("not run")] if holes else []
    handles += [Line2D([], [], label="bound", **BOUND)] if bound is not None else []
    style.legend(figure, handles, notes)
    return figure


def _cells(rows: pd.DataFrame, bins: dict[int, str]) -> pd.DataFrame:
    """One row for each length and bin of steps: accuracy, trained, how far its seeds lie apart, how many they are."""
    recipes = rows.groupby(["length", "steps", "recipe", "stop"])
    accuracy, trained = recipes["accuracy"], recipes["steps_trained"].first()
    found = pd.DataFrame({"accuracy": accuracy.mean(), "apart": accuracy.max() - accuracy.min(), "budget": trained})
    found = found.assign(seeds=recipes["run"].nunique()).reset_index()
    found["trained"] = found["steps"] == found["budget"]
    found["bin"] = found["steps"].astype(int).map(bins)
    best = found.sort_values(["trained", "steps", "budget", "recipe"], ascending=[False, False, False, True])
    return best.drop_duplicates(["length", "bin"])


def _bins(steps: list[int]) -> dict[int, str]:
    """steps -> what their row is called: themselves if they are few, else the octave they lie in."""
    if len(steps) <= EXACT:
        return {k: str(k) for k in steps}
    octaves = {k: 2 ** (k.bit_length() - 1) if k else 0 for k in steps}
    return {k: f"{low}-{2 * low - 1}" if low > 1 else str(low) for k, low in octaves.items()}


def _digits(share: float) -> str:
    return f"{100 * share:.0f}"


def _with_failed(rows: pd.DataFrame, data: pd.DataFrame, once: bool) -> pd.DataFrame:
    """The scores, and a row without one for each run that has none, at every length that its recipe or all were at.

    ``once``: at one of these lengths, where a run has one score.
    """
    at = data.groupby("recipe")["length"].unique()
    every = sorted(data["length"].unique())[-1 if once else 0 :]
    lost = parts.unscored(rows)
    places = [(i, at.get(lost.loc[i, "recipe"], every)[: 1 if once else None]) for i in lost.index]
    placed = [lost.loc[[i]].assign(length=n) for i, lengths in places for n in lengths]
    return pd.concat([data, *placed], ignore_index=True) if placed else data


def _goes_with(rows: pd.DataFrame, column: str, axes: Sequence[str]) -> str:
    """The axis that shows a column, since it has one value wherever that has one; both axes, or empty if neither."""
    words = rows[column].map(word)
    for shown in (*([axis] for axis in axes), list(axes)):
        if (words.groupby([rows[axis] for axis in shown]).nunique() <= 1).all():
            return " and ".join(axis.split(".")[-1] for axis in shown)
    return ""


def _panels(
    rows: pd.DataFrame, titles: list[str], across: int, up: int, columns: int, x: str, y: str
) -> tuple[Figure, np.ndarray, tuple[float, float]]:
    """A figure, its axes (one for each title, in rows of as many as fit), the (width, height) of a cell in inches."""
    width = style.width(columns) - BARS
    most = max(1, int(width / max(EDGE + NARROW * across, 1.2)))
    down = math.ceil(len(titles) / most)
    beside = math.ceil(len(titles) / down)
    room = min(0.62, (width / beside - EDGE) / across), max(0.17, min(0.3, 1.9 / up), SHORTEST / up)
    letters = int(width / beside / (1.25 * style.LETTER))  # a title's are larger than a legend's
    heads = [textwrap.fill(title, letters) for title in titles]
    lines = max(head.count("\n") + 1 for head in heads)
    size = (style.width(columns), 0.75 + down * (0.1 + 0.15 * lines + room[1] * up) + 0.2)
    figure, axes = style.panels(rows, down, beside, size)
    for axis, head in zip(axes.flat, heads, strict=False):
        axis.set_title(head, loc="left")
        axis.tick_params(labelbottom=True)
    for axis in axes.flat[len(titles) :]:
        axis.remove()
    for place, axis in enumerate(axes.flat[: len(titles)]):
        axis.set_xlabel(x if place + beside >= len(titles) else "")
        axis.set_ylabel(y if place % beside == 0 else "")
    return figure, axes.flat[: len(titles)], room


def _span(lengths: pd.Series) -> str:
    ends = sorted({word(lengths.min()), word(lengths.max())}, key=float)
    return f"n = {' to '.join(ends)}"
