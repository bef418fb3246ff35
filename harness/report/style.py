"""How figures look: hues, markers, dashes, ticks, legends, the same in every figure and with no global state."""

import io
import math
import textwrap
from collections.abc import Iterable, Sequence
from itertools import product

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullFormatter, NullLocator
from matplotlib.transforms import Bbox

from harness.report.select import Line, tasks

HUES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito, without yellow
MARKERS = "osD^vPX<>hp"  # 11 markers and 7 hues: 77 variants before a pair comes back
DASHES = {"none": "-", "filler": (0, (1, 1.3))}
MORE_DASHES = ((0, (4.5, 1.5)), (0, (3.2, 1.1, 0.9, 1.1)), (0, (8, 2)), (0, (3, 1, 0.9, 1, 0.9, 1)))
GREY = "#6b6b6b"
SLOPE = "#b0b0b0"
SLOPES = ((1, "n"), (2, "n²"))
WIDTHS = {1: 3.35, 2: 7.0}  # columns of a page -> inches
LETTER = 0.062  # inches of a letter of the legend
BAR = "shades"  # the label of axes that are no panel but say what shades mean
HOUSE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titley": 1.0,  # nothing stands between: it need not be looked for
    "axes.labelsize": 8,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.4,
    "legend.fontsize": 7.5,
    "legend.title_fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 3.8,
    "savefig.bbox": "standard",
    "savefig.facecolor": "white",
    "svg.hashsalt": "harness",
    "pdf.fonttype": 42,  # outlines that a publisher accepts
    "hatch.linewidth": 0.5,
}
UNDATED = {"png": ("Software",), "svg": ("Date", "Creator"), "pdf": ("CreationDate", "Creator", "Producer")}


@mpl.rc_context(HOUSE)
def render(figure: Figure, format: str = "png") -> bytes:
    """The figure as the bytes of a png (200 dpi), svg or pdf. The same rows give the same bytes: nothing is dated."""
    if format not in UNDATED:
        raise ValueError(f"cannot render {format}: formats are {', '.join(UNDATED)}")
    _settle(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=format, dpi=200, metadata=dict.fromkeys(UNDATED[format]))
    return buffer.getvalue()


def alternative(figure: Figure) -> str:
    """The figure in words, for who cannot see it: its title, panels, axes, what the legend names, and its note."""

    def said(texts: Iterable[str], between: str) -> str:
        return between.join(dict.fromkeys(" ".join(text.split()) for text in texts if text.strip()))

    axes = [axis for axis in figure.axes if axis.axison]
    panels = [axis for axis in axes if axis.get_label() != BAR]
    titles = said((axis.get_title(loc) for axis in panels for loc in ("left", "center")), "; ")
    x, y = said((axis.get_xlabel() for axis in panels), " and "), said((axis.get_ylabel() for axis in panels), " and ")
    y = said([figure.get_supylabel(), y], ", ")
    shade = said((axis.get_ylabel() for axis in axes if axis not in panels), " and ")
    legends = [*figure.legends, *(axis.get_legend() for axis in panels if axis.get_legend())]
    named = said((text.get_text() for legend in legends for text in legend.get_texts()), "; ")
    notes = said((legend.get_title().get_text() for legend in legends), "; ")
    parts = [figure.get_suptitle(), f"{len(panels)} panel{'s' * (len(panels) > 1)}{f': {titles}' if titles else ''}"]
    parts += [f"{y} against {x}" if x and y else x or y, f"Shade: {shade}" if shade else ""]
    parts += [f"Drawn are: {named}" if named else "", notes]
    return ". ".join(part[0].upper() + part[1:] for part in parts if part) + "."


def looks(lines: list[Line]) -> dict[str, dict]:
    """label -> colour, marker, dashes. Hue says the variant, dashes the scratchpad, marker and lightness the rest."""
    variants = list(dict.fromkeys(line.variant for line in lines))
    kinds = list(dict.fromkeys((line.variant, line.rest) for line in lines))
    others = [pad for pad in dict.fromkeys(line.scratchpad for line in lines) if pad not in DASHES]
    dashes = DASHES | {pad: MORE_DASHES[i % len(MORE_DASHES)] for i, pad in enumerate(others)}
    found = {}
    for line in lines:
        rests = [rest for variant, rest in kinds if variant == line.variant]
        colour = _tint(HUES[variants.index(line.variant) % len(HUES)], rests.index(line.rest), len(rests))
        marker = MARKERS[kinds.index((line.variant, line.rest)) % len(MARKERS)]
        found[line.label] = {"color": colour, "marker": marker, "linestyle": dashes[line.scratchpad]}
    return found


def looks_of(names: Iterable[str]) -> dict[str, dict]:
    """name -> colour, marker and a solid line, for what is no recipe."""
    names = list(dict.fromkeys(names))
    return dict(zip(names, looks([Line(name, "none", "", pd.DataFrame()) for name in names]).values(), strict=True))


def width(columns: int) -> float:
    """Inches of a figure that spans 1 or 2 columns of a page. Raises ValueError for another number."""
    if columns not in WIDTHS:
        raise ValueError(f"a figure spans 1 or 2 columns of a page, given is columns={columns}")
    return WIDTHS[columns]


def size(columns: int | None, own: tuple[float, float], height: float) -> tuple[float, float]:
    """(width, height) in inches: the figure's own where no columns are asked for."""
    return own if columns is None else (width(columns), height)


def panels(
    rows: pd.DataFrame,
    down: int,
    across: int,
    size: tuple[float, float],
    sharey: bool = True,
    sharex: bool | str = True,
) -> tuple[Figure, np.ndarray]:
    """A figure of `size` inches under the name of its task, and its (down, across) axes on one x scale, or two."""
    return sheet(", ".join(tasks(rows)), down, across, size, sharey, sharex)


def sheet(
    title: str, down: int, across: int, size: tuple[float, float], sharey: bool = True, sharex: bool | str = True
) -> tuple[Figure, np.ndarray]:
    """A figure of `size` inches under a title, and its (down, across) axes on one x scale (``col``: one a column)."""
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    return figure, figure.subplots(down, across, squeeze=False, sharex=sharex, sharey=sharey)


def length_axis(axis: Axes, lengths: pd.Series) -> None:
    """A log2 axis of lengths with a tick at each length present, labelled as far as there is room."""
    axis.set_xscale("log", base=2)
    axis.set_xlim(lengths.min() / 2**0.35, lengths.max() * 2**0.35)
    _ticks(axis, sorted(int(length) for length in lengths.unique()), room=11)


def steps_axis(axis: Axes, most: int, room: int) -> None:
    """0, then log2 up to `most` steps, with at most about `room` labels."""
    axis.set_xscale("symlog", base=2, linthresh=1, linscale=0.5)  # from 0 to 1 as far as from 1 to 2
    axis.set_xlim(-0.4, max(most, 1) * 2**0.5)
    _ticks(axis, [0, *(2**i for i in range(max(most, 1).bit_length()))], room)


def state_axis(axis: Axes, bits: pd.Series, least: pd.Series) -> float:
    """A log2 axis of bits of state, dotted at the least that is enough; where a model stands that carries nothing."""
    carried = [*bits[bits > 0], *least.dropna()] or [4.0]
    nothing = min(carried) / 8
    axis.set_xscale("log", base=2)
    axis.set_xlim(nothing / 2 if (bits == 0).any() else min(carried) / 2, max(carried) * 2)
    if (bits == 0).any():
        axis.axvspan(nothing / 2, 2 * nothing, color="black", alpha=0.06, lw=0, zorder=0)
        place = {"transform": axis.get_xaxis_transform(), "va": "bottom", "ha": "center"}
        axis.text(nothing, 0.015, "none", color=GREY, fontsize=7, **place)
    for bound in sorted(set(least.dropna())):
        axis.axvline(bound, color="black", lw=1, linestyle=(0, (1, 1.5)), zorder=1)
    axis.xaxis.set_minor_locator(NullLocator())
    return nothing


def accuracy_axes(axes: np.ndarray, rows: pd.DataFrame, headroom: float) -> None:
    """From below chance and every score up to 1, with `headroom` (a share of that) above for words."""
    lowest = min(rows["accuracy_low"].min(), rows["chance"].min())
    tenths = max(0, math.floor(10 * lowest - 0.5))
    bottom = tenths / 10 or -0.03  # a marker at 0 is a whole marker
    axes[0, 0].set_ylim(bottom, 1 + headroom * (1 - bottom))
    axes[0, 0].set_yticks([tick / 10 for tick in range(10, tenths - 1, -1 if tenths >= 3 and len(axes) == 1 else -2)])
    for axis in axes.flat:
        axis.spines.left.set_bounds(bottom, 1)


def level(axis: Axes, name: str, values: pd.Series, say: bool, dashes: object) -> None:
    """A grey line through `values` (index: x), right across if they are all equal; `say` writes its name beside it."""
    values = values.dropna()
    if values.empty:
        return
    look = {"color": GREY, "lw": 0.9, "zorder": 1, "label": name, "linestyle": dashes}
    if values.nunique() > 1:
        axis.plot(values.index, values, **look)
    else:
        axis.axhline(values.iloc[0], **look)
    if say:  # in the right margin, where no data can be
        place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "annotation_clip": False}
        axis.annotate(name, (1, values.iloc[-1]), (3, 0), va="center", color=GREY, fontsize=7, **place)


def cost_axis(axis: Axes, costs: pd.Series, slopes: Sequence[tuple[float, str]] = SLOPES) -> None:
    """A log axis for `costs` (index: length), with grey slopes n and n² through the first of them."""
    axis.set_yscale("log")
    low, high = costs.min() / 1.6, max(costs.max(), costs.min() * 6) * 1.6
    axis.set_ylim(low, high)
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,)))
    axis.yaxis.set_major_formatter(EngFormatter(sep=""))
    axis.yaxis.set_minor_formatter(NullFormatter())
    start, first, end = costs.index[0], costs.iloc[0], axis.get_xlim()[1]
    for power, name in slopes:
        stop = min(end, start * (high / first) ** (1 / power))
        top = first * (stop / start) ** power
        axis.plot([start, stop], [first, top], color=SLOPE, lw=0.9, zorder=0)
        place = {"textcoords": "offset points", "annotation_clip": False, "color": GREY, "fontsize": 7}
        nudge, align = ((3, 0), {"va": "center"}) if stop == end else ((0, 1), {"ha": "center", "va": "bottom"})
        axis.annotate(name, (stop, top), nudge, **align, **place)


def plain_axis(axis: Axes) -> None:
    """A log axis (y) whose numbers read as they are: 8, 50, 0.02."""
    low, high = axis.get_ylim()
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 300 else (1,)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())


def legend(figure: Figure, handles: list[Artist], notes: Iterable[str]) -> None:
    """Below the panels, never over data; the notes above it say what is drawn and what is missing."""
    for handle in handles:
        handle.set_label(textwrap.fill(handle.get_label(), int((figure.get_figwidth() - 0.7) / LETTER)))
    names = [handle.get_label() for handle in handles]
    widest = 0.7 + LETTER * max((len(line) for name in names for line in name.splitlines()), default=0)  # inches
    height = math.ceil(len(handles) / max(1, int(figure.get_figwidth() / widest)))
    wrapped = sum(name.count("\n") for name in names)
    note = textwrap.fill("; ".join(note for note in notes if note), int(17 * figure.get_figwidth()))
    figure.set_figheight(figure.get_figheight() + 0.17 * (height + wrapped + len(note.splitlines())))
    entries = {"handles": handles, "ncols": max(1, math.ceil(len(handles) / max(1, height))), "title": note or None}
    figure.legend(loc="outside lower left", alignment="left", **entries).get_title().set_color(GREY)


def _settle(figure: Figure) -> None:
    """Lay out once and round: the solver's last bits vary from call to call, and an svg names clip paths after them."""
    if figure.axes and isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):  # not for a second format
        figure.get_layout_engine().execute(figure)
        figure.set_layout_engine(None)  # "none" would have every format laid out once more
    for axis, which in product(figure.axes, ("original", "active")):
        axis.set_position(Bbox(axis.get_position(which == "original").get_points().round(5)), which)


def _tint(hue: str, rank: int, count: int) -> str:
    """The rank-th of `count` tints of a hue, light to dark; the hue itself if it is the only one."""
    white = 0.0 if count == 1 else 0.5 - 0.85 * rank / (count - 1)
    return to_hex([c + (1 - c) * white if white > 0 else c * (1 + white) for c in to_rgb(hue)])


def _ticks(axis: Axes, values: list[int], room: int) -> None:
    """Ticks at all values, labels from the first on wherever they leave room for about `room` of them (log2)."""
    places = [math.log2(value) if value else -1.0 for value in values]
    labels, last = [], -math.inf
    for value, place in zip(values, places, strict=True):
        fits = place - last >= (places[-1] - places[0]) / room
        labels.append(str(value) if fits else "")
        last = place if fits else last
    axis.set_xticks(values, labels)
    axis.xaxis.set_minor_locator(NullLocator())
