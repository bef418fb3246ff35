"""What is inside a model, from measured rows: means with intervals, the table, what is seen, the figure.

A row is one head of one layer on one item at one length. Intervals are 95 % Student t over items; twins (split
``boundary``) are nearly one item, so a pair of them counts as one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import FuncNorm
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecBase
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter
from scipy import stats

from harness.catalogue import aligned
from harness.report import style
from harness.report.stats import t_interval
from harness.report.style import render

__all__ = ["EPSILON", "RANKS", "Picture", "figure", "over_items", "render", "seen", "table"]

RANKS = ("epsilon_rank", "effective_rank", "block_rank", "block_epsilon_rank")
MEASURES = (*RANKS, "keys", "keys_answer")
UNIFORM = tuple(f"{measure}_uniform" for measure in MEASURES)  # of uniform weights under the same mask
COLUMNS = ("tokens", *UNIFORM, *MEASURES)
OF_A_RUN = ("run", "task", "mask", "split")
OF_A_LAYER = ("layer", "attention", "matrix")
FIT_FROM = 5  # lengths; an exponent through fewer says little
PANELS = {  # what is drawn solid, the title, what is drawn dashed
    "epsilon_rank": ("ε-rank", ""),
    "effective_rank": ("effective rank", ""),
    "block_rank": ("rank of a block (dashed: its ε-rank)", "block_epsilon_rank"),
    "keys": ("keys reached (dashed: by answers)", "keys_answer"),
}
KINDS = {  # of matrices that are not mixing matrices
    "influence": "influence (norm of ∂y_t/∂x_j), not a mixing matrix",
    "marginal": "marginal of weights on pairs, not a mixing matrix",
}
CELL = 1.2  # inches of a matrix
LOWEST = 3.4  # inches of a figure
EPSILON = 0.1  # the error of a row, in L1, that a matrix of lower rank may make
MASKED = "#e4e4e4"
BAND = {"alpha": 0.18, "lw": 0}
BOUND = {"color": style.GREY, "lw": 0.9, "zorder": 1}
SMALL = {"fontsize": 7, "ha": "right", "va": "center"}


class Picture(NamedTuple):
    """One layer's matrices on one item."""

    length: int
    attention: str
    matrix: str  # what they are: mixing, marginal or influence
    matrices: np.ndarray  # (H, T, T), a row for each query
    prefix: int  # tokens that see each other


def over_items(rows: pd.DataFrame, *by: str) -> pd.DataFrame:
    """A row for each layer and length (and ``by``): each measure with the ends of its interval, and uniform weights.

    What is measured of heads is averaged within an item first. A measure that a layer does not have is NaN.
    """
    groups = [*OF_A_RUN, *OF_A_LAYER, *by, "length"]
    pairs = rows["item"].where(rows["split"] != "boundary", rows["item"] // 2)
    units = rows.assign(unit=pairs).groupby([*groups, "unit"])[list(COLUMNS)].mean().groupby(groups)
    found = units[["tokens", *UNIFORM]].mean().assign(items=rows.groupby(groups)["item"].nunique())
    for measure in MEASURES:
        found[measure] = units[measure].mean()
        ends = [t_interval(values) for _, values in units[measure]]
        found[[f"{measure}_low", f"{measure}_high"]] = np.reshape(ends, (len(found), 2))
    return found.reset_index()


def table(rows: pd.DataFrame) -> str:
    """Layers and lengths down, measures across, heads averaged: mean ± half of the interval (uniform weights)."""
    lines = [
        ["layer", "n", "T", "ε-rank", "effective rank", "block rank", "block ε-rank", "keys", "keys of the answer"]
    ]
    for _, row in over_items(rows).iterrows():
        about = [f"{row['layer']} {row['attention']}", str(row["length"]), f"{row['tokens']:.4g}"]
        lines.append([*about, *(_told(row, measure) for measure in MEASURES)])
    return (
        f"{aligned(lines)}\nmean ± half of its 95 % t interval over items; in brackets: uniform weights under the mask"
    )


def _told(row: pd.Series, measure: str) -> str:
    value, half = row[measure], (row[f"{measure}_high"] - row[f"{measure}_low"]) / 2
    spread = "" if np.isnan(half) else f" ± {half:.2g}"  # of one pair of twins there is none
    return "-" if np.isnan(value) else f"{value:.3g}{spread} ({row[f'{measure}_uniform']:.3g})"


def seen(rows: pd.DataFrame) -> str:
    """What is seen, a sentence for each layer; growth as a power from ``FIT_FROM`` values of T on."""
    most = rows.groupby("layer")["block_rank"].max()
    return "\n".join(_of_layer(layer, most[number]) for number, layer in over_items(rows).groupby("layer"))


def _of_layer(rows: pd.DataFrame, most: float) -> str:
    longest = rows.loc[rows["tokens"].idxmax()]
    number, attention, matrix = longest[list(OF_A_LAYER)]
    who = f"Layer {number} ({attention}; {KINDS[matrix]})" if matrix in KINDS else f"Layer {number} ({attention})"
    if matrix == "influence":
        return f"{who}: {_growth(rows, 'keys', 'the number of inputs that reach an output')}."
    ranks, reach = _growth(rows, "epsilon_rank", "the ε-rank"), _growth(rows, "keys", "how many keys a query reaches")
    block = f"its off-diagonal block has rank {most:.0f} at most, of {longest['tokens'] // 2:.0f}"
    return f"{who}: {ranks}; {block}; {reach}."


def _growth(rows: pd.DataFrame, measure: str, name: str) -> str:
    """How a measure grows with T, by least squares of the logarithms, or its values; last that of uniform weights."""
    rows = rows.sort_values("tokens")
    values, tokens, uniform = rows[measure].to_numpy(), rows["tokens"].to_numpy(), rows[f"{measure}_uniform"].iloc[-1]
    last = f"{values[-1]:.3g} at T = {tokens[-1]:.4g} (uniform weights: {uniform:.3g})"
    if len(rows) == 1:
        return f"{name} is {last}"
    ends = f"from {values[0]:.3g} at T = {tokens[0]:.4g} to {last}"
    if len(np.unique(tokens)) < FIT_FROM or values.min() <= 0:
        return f"{name} goes {ends}"
    power, low, high = exponent(tokens, values)
    return f"{name} grows as T^{power:.2f} [{low:.2f}, {high:.2f}], {ends}"


def exponent(tokens: np.ndarray, values: np.ndarray) -> tuple[float, float, float]:
    """The power of ``tokens`` that ``values`` grow by, with the ends of its 95 % t interval over the points.

    >>> [round(end, 6) for end in exponent(np.array([2, 4, 8, 16]), np.array([3, 12, 48, 192]))]
    [2.0, 2.0, 2.0]
    """
    line = stats.linregress(np.log(tokens), np.log(values))
    half = stats.t.ppf(0.975, len(tokens) - 2) * line.stderr
    return float(line.slope), float(line.slope - half), float(line.slope + half)


@mpl.rc_context(style.HOUSE)
def figure(rows: pd.DataFrame, pictures: Sequence[Picture]) -> Figure:
    """Left the matrices of one item, a row for each layer, a column for each head; right the measures against T.

    A thick line is a layer with its heads averaged, a thin one a head; a band is the interval.
    """
    across = max(len(picture.matrices) for picture in pictures)
    shown = [measure for measure in PANELS if rows[measure].notna().any()]
    columns = min(len(shown), 2)
    sizes = CELL * across + 1.1, 2.45 * columns
    found = Figure(figsize=(sum(sizes), max(CELL * len(pictures) + 1, LOWEST)), layout="constrained")
    first = rows.iloc[0]
    found.suptitle(first["run"], x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    left, right = found.add_gridspec(1, 2, width_ratios=sizes)
    _matrices(found, left.subgridspec(len(pictures), across, wspace=0.06), pictures)
    grid = right.subgridspec(-(-len(shown) // columns), columns).subplots(squeeze=False, sharex=True, sharey=True)
    layers, heads = over_items(rows), over_items(rows, "head")
    looks = {
        number: {"color": style.HUES[place % len(style.HUES)], "marker": style.MARKERS[place % len(style.MARKERS)]}
        for place, number in enumerate(layers["layer"].unique())
    }
    for axis, measure in zip(grid.flat, shown, strict=False):
        _curves(axis, measure, layers, heads, looks)
    for axis in grid[-1]:
        axis.set_xlabel("tokens T")
    names = layers.groupby("layer")["attention"].first()
    handles = [Line2D([], [], label=f"layer {number} · {names[number]}", **looks[number]) for number in looks]
    style.legend(found, handles, _notes(rows, pictures))
    return found


def _matrices(figure: Figure, grid: GridSpecBase, pictures: Sequence[Picture]) -> None:
    """A row for each layer with its own colours: from 0 on, or 0 in the middle where some weights are negative."""
    axes = grid.subplots(squeeze=False)
    for row, (number, picture) in zip(axes, enumerate(pictures, start=1), strict=True):
        tokens, most, signed = picture.matrices.shape[-1], np.abs(picture.matrices).max(), picture.matrices.min() < 0
        visible = np.arange(tokens) < np.maximum(np.arange(1, tokens + 1), picture.prefix)[:, None]
        colours = {"cmap": "RdBu" if signed else "Blues", "norm": _root(-most if signed else 0, most)}
        for head, axis in enumerate(row, start=1):
            axis.set_axis_off()
            if head > len(picture.matrices):
                continue
            axis.set_axis_on()
            axis.set_facecolor(MASKED)
            image = axis.imshow(np.ma.masked_where(~visible, picture.matrices[head - 1]), **colours)
            for side in axis.spines.values():
                side.set_visible(True)
            ticks = sorted({0, tokens // 2, tokens - 1})
            axis.set_xticks(ticks if number == len(pictures) else [])
            axis.set_yticks(ticks if head == 1 else [])
            if number == 1 and picture.matrix != "influence":
                axis.set_title(f"head {head}")
        down, along = ("output t", "input j") if picture.matrix == "influence" else ("query t", "key j")
        row[0].set_ylabel(f"layer {number} · {picture.attention}\n{down}")
        ticks = {"ticks": [-most, 0, most] if signed else [0, most], "format": "%.2g"}
        bar = figure.colorbar(image, ax=row, shrink=CELL * len(pictures) / figure.get_figheight(), aspect=14, **ticks)
        bar.outline.set_linewidth(0.5)
    for axis in axes[-1]:
        axis.set_xlabel(along)


def _root(low: float, high: float) -> FuncNorm:
    """Colours by the root of a weight: many keys with a small share each are seen beside one that has all."""
    return FuncNorm((lambda x: np.sign(x) * np.abs(x) ** 0.5, lambda x: np.sign(x) * x**2), low, high or 1)


def _curves(axis: Axes, measure: str, layers: pd.DataFrame, heads: pd.DataFrame, looks: dict[int, dict]) -> None:
    """One measure against T: layers, their heads, uniform weights, the most that is possible."""
    title, beside = PANELS[measure]
    axis.set_title(title, loc="left")
    tokens = np.unique(layers["tokens"])
    axis.plot(tokens, tokens, **BOUND)
    axis.annotate("y = T", (tokens[-1], tokens[-1]), (-7, 2), textcoords="offset points", color=style.GREY, **SMALL)
    axis.plot(layers.groupby("tokens")[f"{measure}_uniform"].first(), **BOUND, linestyle=":")
    for number, look in looks.items():
        line, few = layers[layers["layer"] == number].sort_values("tokens"), look | {"marker": ""}
        axis.fill_between(line["tokens"], line[f"{measure}_low"], line[f"{measure}_high"], color=look["color"], **BAND)
        for _, head in heads[heads["layer"] == number].sort_values("tokens").groupby("head"):
            axis.plot(head["tokens"], head[measure], **few, lw=0.6, alpha=0.55)
        if beside:
            axis.plot(line["tokens"], line[beside], **few, linestyle="--", lw=1.1)
        axis.plot(line["tokens"], line[measure], **look)
    style.length_axis(axis, pd.Series(tokens))
    axis.set_yscale("log", base=2)
    axis.set_ylim(0.85, 1.5 * tokens[-1])
    axis.yaxis.set_major_formatter(FormatStrFormatter("%g"))


def _notes(rows: pd.DataFrame, pictures: Sequence[Picture]) -> list[str]:
    first, items = rows.iloc[0], rows["item"].nunique()
    tokens = pictures[0].matrices.shape[-1]
    notes = [f"matrices: one item of {first['split']}, n = {pictures[0].length}, T = {tokens}, colour by the root"]
    notes += ["grey: masked"] * (first["mask"] != "encoder")
    several = len({picture.attention for picture in pictures}) > 1
    for name, matrix in dict.fromkeys((picture.attention, picture.matrix) for picture in pictures):
        if matrix in KINDS:
            notes.append(f"{name}: {KINDS[matrix]}" if several else KINDS[matrix])
    thin = ", thin: single heads" if rows["head"].max() > 1 else ""
    notes.append(f"curves: mean of {items} items, band: 95 % t interval{thin}, dotted: uniform weights")
    if any(picture.matrix != "influence" for picture in pictures):
        notes += [f"ε = {EPSILON:g} of a row in L1", "block: later half of the queries, earlier half of the keys"]
    return notes
