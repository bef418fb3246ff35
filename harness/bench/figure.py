"""The figure of a bench: how many times longer peers take, and time against length for mixers alone."""

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from harness.bench.cases import COPY, LINEAR, MATRIX
from harness.report import style

SHOWN = (
    ("all positions", "An update, all positions"),
    ("last position", "An update, one position"),
    ("generate", "Decoding 128 tokens"),
)


@mpl.rc_context(style.HOUSE)
def figure(rows: pd.DataFrame) -> Figure:
    """Ratios with their quartiles above, seconds against n below. Raises ValueError if nothing of it was measured."""
    rows = rows[(rows["status"] == "measured") & ~rows["subject"].isin((MATRIX, COPY))]
    if rows.empty:
        raise ValueError("nothing to draw: no row was measured")
    widths = sorted(rows.loc[rows["case"] == "mixer alone", "width"].dropna().unique())
    drawn = Figure(figsize=(style.WIDTHS[2], 5.2), layout="constrained")
    raced = rows[(rows["subject"] != "ours") & rows["ratio"].notna()]
    shown = [(case, title) for case, title in SHOWN if (raced["case"] == case).any()]
    above, below = drawn.subfigures(2, 1, height_ratios=(1, 1.25)) if shown and widths else (drawn, drawn)
    if shown:
        for axis, (case, title) in zip(above.subplots(1, len(shown), squeeze=False).flat, shown, strict=True):
            _ratios(axis, raced[raced["case"] == case], title)
        first = above.axes[0]
        above.legend(*first.get_legend_handles_labels(), loc="outside upper center", ncols=3, handlelength=1)
    if widths:
        axes = below.subplots(1, len(widths), squeeze=False, sharey=True).flat
        for axis, width in zip(axes, widths, strict=True):
            _ladder(axis, rows[(rows["case"] == "mixer alone") & (rows["width"] == width)], width)
        below.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return drawn


def _ratios(axis: Axes, there: pd.DataFrame, title: str) -> None:
    """A dot for each subject but ours at each width, with its quartiles; ours is the line at 1."""
    names = list(dict.fromkeys(zip(there["subject"], there["memory"], strict=True)))
    many = sorted(there["width"].unique())
    for number, width in enumerate(many):
        of_width = there[there["width"] == width]
        at = [
            names.index(pair) + (number - (len(many) - 1) / 2) * 0.22
            for pair in zip(of_width["subject"], of_width["memory"], strict=True)
        ]
        error = [of_width["ratio"] - of_width["ratio_low"], of_width["ratio_high"] - of_width["ratio"]]
        look = {"fmt": style.MARKERS[number], "color": style.HUES[number], "ms": 4, "elinewidth": 1, "linestyle": ""}
        axis.errorbar(of_width["ratio"], at, xerr=error, label=f"width {width:g}", **look)
    axis.axvline(1, color=style.GREY, lw=0.8)
    kept = {"kept": ",\nmemory kept", "untouched": ""}
    words = [
        f"{name}{kept[memory] if name == 'Hugging Face' or 'former' in name else ''}".removeprefix("ours, ")
        for name, memory in names
    ]
    axis.set_yticks(range(len(names)), words, fontsize=6.5)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlim(left=0.9)
    axis.set_title(title)
    axis.set_xlabel("time / ours")


def _ladder(axis: Axes, rows: pd.DataFrame, width: float) -> None:
    """Milliseconds of a forward and a backward pass against n, both on log scales."""
    for number, kind in enumerate(("softmax", *LINEAR)):
        there = rows[rows["subject"] == kind].sort_values("n")
        hue = style.HUES[number % len(style.HUES)]
        axis.plot(there["n"], 1e3 * there["seconds"], color=hue, marker=style.MARKERS[number], ms=3, lw=1, label=kind)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("tokens n")
    axis.set_ylabel("forward + backward (ms)" if axis.get_subplotspec().is_first_col() else "")
    axis.set_title(f"A mixer alone, width {width:g}, one sequence")
