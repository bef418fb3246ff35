"""How a resource, or a measured number, grows with the length."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from harness.report import style
from harness.report.figures.parts import LENGTH
from harness.report.scaling import Law
from harness.report.select import known, word

LINE = {"power": "r* ~ n^{}", "exponential": "r* ~ 2^({} n)", "logarithm": "r* = a + {} log n"}
DODGE = 0.09  # octaves between groups at one length, so that their bars stand side by side
ARROW = {"arrowstyle": "-|>", "lw": 0.9, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7}
GREY = {"color": style.GREY, "linestyle": ""}


@mpl.rc_context(style.HOUSE)
def required_resource(
    points: pd.DataFrame | Mapping[str, tuple[pd.DataFrame, Law | None]],
    law: Law | None = None,
    resource: str = "resource",
    laws: pd.DataFrame | Mapping[str, pd.DataFrame] | None = None,
    columns: int = 2,
) -> Figure:
    """The least value r*(n) of a resource that solves length n, log-log, with the law that was fitted.

    ``points`` are of `scaling.required` and ``law`` of `scaling.fit`, or a mapping label -> (points, law) for several
    groups; ``laws`` are of `scaling.compare_laws`, whose weights then stand in the note. A point is the estimate, its
    bar the bracket of all seeds (open where a seed never solves). A hollow point with an arrow is a limit: up, no seed
    solves at the largest value that was tried; down, all do at the least. The band is the 95 % of the mean line; the
    slope with its interval stands in the legend, or why there is none. Raises ValueError if there is no point.
    """
    groups = points if isinstance(points, Mapping) else {"": (points, law)}
    groups = {label: (part[np.isfinite(part["estimate"])].sort_index(), of) for label, (part, of) in groups.items()}
    every = pd.concat([part for part, _ in groups.values()]) if groups else pd.DataFrame()
    if every.empty:
        raise ValueError(f"nothing to draw: no value of {resource} was tried at any length")
    looks = style.looks_of(groups)
    figure, axes = style.sheet(f"{resource}: the least that solves length n", 1, 1, (style.width(columns), 3))
    axis = axes[0, 0]
    ends = np.exp([*every["estimate"], *(e for e in [*every["low"], *every["high"]] if np.isfinite(e))])
    name = every.index.name or "length"
    at = pd.Series(every.index.unique())
    style.length_axis(axis, at)
    axis.set_xlabel(LENGTH if name == "length" else name)
    axis.set_ylabel(f"{resource}, r*(n)" if name == "length" else f"{resource}, r*")
    axis.set_yscale("log")
    factor = max(1.6, (ends.max() / ends.min()) ** 0.09)
    axis.set_ylim(ends.min() / factor, ends.max() * factor)
    style.plain_axis(axis)
    handles: list[Line2D | Patch] = []
    for rank, ((label, (part, of)), look) in enumerate(zip(groups.items(), looks.values(), strict=True)):
        _points(axis, part, look, 2 ** (DODGE * (rank - (len(groups) - 1) / 2)))
        handles.append(Line2D([], [], label=" · ".join(filter(None, [label, _law(axis, at, of, look)])), **look))
    handles.append(Line2D([], [], marker="|", ms=9, mew=3.4, alpha=0.4, label="bracket of all seeds", **GREY))
    if (every["censored"] != "").any():
        hollow = {"marker": "o", "markerfacecolor": "white", "label": "with an arrow: a limit, r* lies beyond", **GREY}
        handles.append(Line2D([], [], **hollow))
    tables = laws if isinstance(laws, Mapping) else {"": laws} if laws is not None else {}
    seeds = sorted(set(every["seeds"])) if "seeds" in every else []
    count = f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else f"{seeds[0]} seed{'s' * (seeds[0] > 1)}"
    notes = [count if seeds else "", "law: maximum likelihood, 95 % interval in brackets, 95 % band of the mean line"]
    style.legend(figure, handles, [*notes, *(_weights(label, table) for label, table in tables.items())])
    return figure


@mpl.rc_context(style.HOUSE)
def table_against_length(
    table: pd.DataFrame, y: str, each: Sequence[str] | str = (), label: str = "", x: str = "length", columns: int = 2
) -> Figure:
    """A column of a table that was measured without training against length, log-log, a line for each of ``each``.

    A line is the median over its rows at a length, its band their least and largest. ``each`` are the table's columns
    of words where none are named. Grey slopes n and n² from the first point where all numbers are above 0, else the
    scale is linear. Raises ValueError for an unknown column and for a table without numbers there.
    """
    each = [each] if isinstance(each, str) else list(each)
    known([x, y, *each], table.columns)
    each = each or [c for c in table if c not in (x, y) and not pd.api.types.is_numeric_dtype(table[c])]
    table = table[table[y].notna() & table[x].notna()].sort_values([*each, x, y], ignore_index=True)
    if table.empty:
        raise ValueError(f"nothing to draw: column {y} is empty in this table")
    told = [
        table[c].map(word) if not pd.api.types.is_numeric_dtype(table[c]) else f"{c}=" + table[c].map(word)
        for c in each
    ]
    words = pd.concat(told, axis=1).agg(" ".join, axis=1) if each else pd.Series(y, index=table.index)
    names = list(words.unique())  # in the order of the table's values
    looks = style.looks_of(names)
    figure, axes = style.sheet(label or y, 1, 1, (style.width(columns), 2.9))
    axis = axes[0, 0]
    style.length_axis(axis, table[x])
    medians = []
    for rank, name in enumerate(names):
        found = table[words == name].groupby(x)[y].agg(["median", "min", "max"])
        below = 1 - rank / len(names)  # equal lines coincide: what lies below stays visible as a rim
        axis.plot(found["median"], **looks[name] | {"lw": 1 + 1.6 * below, "ms": 3 + 3 * below})
        axis.fill_between(found.index, found["min"], found["max"], color=looks[name]["color"], alpha=0.18, lw=0)
        medians.append(found["median"])
    positive = bool((table[y] > 0).all())
    if positive:
        style.cost_axis(axis, pd.concat(medians))
        axis.set_ylim(min(axis.get_ylim()[0], table[y].min() / 1.25), max(axis.get_ylim()[1], table[y].max() * 1.25))
    axis.set_xlabel(LENGTH if x == "length" else x)
    axis.set_ylabel(label or y)
    several = table.groupby([words, table[x]]).size().max() > 1
    notes = ["median, least and largest" if several else "", "grey: growth as n and as n²" if positive else ""]
    style.legend(figure, [Line2D([], [], label=name, **looks[name]) for name in names], notes)
    return figure


def _points(axis: Axes, points: pd.DataFrame, look: dict, aside: float) -> None:
    """Estimates, brackets and limits of one group, ``aside`` times its lengths."""
    bottom, top = axis.get_ylim()
    at, value = points.index.to_numpy(dtype=float) * aside, np.exp(points["estimate"].to_numpy(dtype=float))
    low, high = np.exp(points["low"].clip(lower=np.log(bottom))), np.exp(points["high"].clip(upper=np.log(top)))
    inside = (points["censored"] == "").to_numpy()
    broad = {"colors": look["color"], "lw": 3.4, "alpha": 0.32, "zorder": 2}
    axis.vlines(at[inside], low[inside], high[inside], **broad)
    dot = look | {"linestyle": "", "zorder": 4}
    axis.plot(at[inside], value[inside], **dot)
    reach = (top / bottom) ** 0.075
    for n, r, censored in zip(at[~inside], value[~inside], points["censored"][~inside], strict=True):
        end = r * reach if censored == "right" else r / reach
        axis.annotate("", (n, end), (n, r), arrowprops=ARROW | {"color": look["color"]}, zorder=3)
    axis.plot(at[~inside], value[~inside], **dot | {"markerfacecolor": "white"})


def _law(axis: Axes, at: pd.Series, law: Law | None, look: dict) -> str:
    """Draw a fitted law with its band; what it says, in words."""
    if law is None:
        return ""
    if law.reason:
        return f"no law: {law.reason}"
    x = np.geomspace(at.min(), at.max(), 101)
    low, high = law.band(x)
    axis.fill_between(x, low, high, color=look["color"], alpha=0.13, lw=0, zorder=1)
    axis.plot(x, law.predict(x), **look | {"marker": "", "lw": 1.1}, zorder=2)
    return LINE[law.name].format(f"{law.slope:.2f}") + f" [{law.low:.2f}, {law.high:.2f}]".replace("-", "−")


def _weights(label: str, table: pd.DataFrame) -> str:
    """ "AICc weights: power 0.62, logarithm 0.21 ..."."""
    weights = table["weight"].dropna().sort_values(ascending=False, kind="stable")
    said = ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items()) or "too few lengths"
    return f"AICc weights{f' of {label}' if label else ''}: {said}"
