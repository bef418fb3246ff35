"""Published numbers against those measured here."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from harness.report import style
from harness.report.figures import parts
from harness.report.figures.parts import BAND_FROM
from harness.report.select import Undrawable, casualties, known, lines, order, scored, word
from harness.report.stats import over_seeds

REFERENCE = ("label", "x", "published", "low", "high", "source")
DIAGONAL = {"color": style.GREY, "lw": 0.9, "zorder": 1}
BAND = {"color": "black", "alpha": 0.07, "lw": 0}


@mpl.rc_context(style.HOUSE)
def published(
    rows: pd.DataFrame,
    reference: pd.DataFrame,
    x: str = "length",
    measure: str = "accuracy",
    tolerance: float = 0.07,
    split: str = "boundary",
    allow_mixed: bool = False,
    columns: int = 2,
) -> Figure:
    """Measured accuracy in [0, 1] (up) against the published one (across): one point for each row of ``reference``.

    ``reference`` has the columns label, x, published, low, high (its interval, NaN if none is known) and source. A
    label is what ``rows`` say in a column ``label``, where they have one, else a variant, or a recipe as a legend calls
    it; ``x`` names the column of rows that its x is a value of. On the diagonal both agree, the band is ``tolerance``
    wide to each side. Bars across are the published interval, up the 95 % over seeds (one seed: over items); two to
    four seeds are each drawn. What was published and not run is listed, never dropped. Rows are those at the trained
    number of steps. Raises ValueError if nothing published was run, or a column is missing.
    """
    for column in REFERENCE:
        if column not in reference:
            raise ValueError(f"a reference has the columns {', '.join(REFERENCE)}: {column} is missing")
    rows = parts.ordered(rows)
    data = scored(parts.drawn(rows, [split], allow_mixed), as_trained=True)
    known([x, measure], data.columns)
    labels = _labels(data)
    told = sorted(reference.itertuples(index=False), key=lambda row: (_place(row.label), _place(row.x)))
    looks = style.looks_of(word(row.label) for row in told)
    figure, axes = style.panels(rows, 1, 1, (style.width(columns), min(style.width(columns), 4.2) - 0.2))
    axis = axes[0, 0]
    missing, far, there, lowest = [], 0, [], [data["chance"].min()]
    for row in told:
        here = data[(labels["label"] == row.label) | (labels["variant"] == row.label) | (labels["recipe"] == row.label)]
        here = here[here[x].map(word) == word(row.x)]
        name = f"{row.label} at {x.split('.')[-1]} {word(row.x)}"
        if here.empty:
            missing.append(name)
            continue
        look = looks[word(row.label)] | {"linestyle": ""}
        means = here.assign(accuracy=here[measure], at=0)
        found = over_seeds(means, "at").iloc[0]
        seeds = here.groupby("run")[measure].mean()
        few = 1 < len(seeds) < BAND_FROM
        ends = [found["low"], found["high"]] if not few and measure == "accuracy" else [found["mean"]] * 2
        across = [value if np.isfinite(value) else row.published for value in (row.low, row.high)]
        axis.vlines(row.published, *ends, look["color"], lw=0.8)
        axis.hlines(found["mean"], *across, look["color"], lw=0.8)
        axis.plot([row.published] * len(seeds), seeds, **look | {"marker": ".", "ms": 2.6})
        axis.plot(row.published, found["mean"], **look, zorder=4)
        far += abs(found["mean"] - row.published) > tolerance
        there.append(row.label)
        lowest += [row.published, *across, *ends, *seeds]
    if not there:
        raise Undrawable(f"nothing to draw: none of {', '.join(missing)} is among these rows")
    bottom = max(0.0, np.floor(10 * min(lowest) - 0.5) / 10) or -0.03
    ends = np.array([bottom, 1.03])
    axis.plot(ends, ends, **DIAGONAL)
    axis.fill_between(ends, ends - tolerance, ends + tolerance, **BAND)
    axis.set(
        xlim=ends, ylim=ends, aspect="equal", anchor="W", xlabel="published accuracy", ylabel="accuracy measured here"
    )
    parts.chances(axis, data, True)
    handles = [
        Line2D([], [], label=word(label), **looks[word(label)] | {"linestyle": ""}) for label in dict.fromkeys(there)
    ]
    handles += [Line2D([], [], label="equal", **DIAGONAL), Patch(label=f"within {tolerance:g}", **BAND)]
    sources = ", ".join(dict.fromkeys(filter(None, (word(row.source) for row in told))))
    notes = [
        f"{far} of {len(there)} points further than {tolerance:g} apart",
        f"published: {sources}" if sources else "",
    ]
    notes += [f"not run: {', '.join(missing)}" if missing else "", casualties(rows)]
    style.legend(figure, handles, notes)
    return figure


def _place(value: object) -> tuple[float, str]:
    return order("attention", word(value))


def _labels(data: pd.DataFrame) -> pd.DataFrame:
    """What each row may be called: by its column label, its variant, its recipe."""
    found = pd.DataFrame({"label": data.get("label"), "variant": None, "recipe": None}, index=data.index)
    for line in lines(data):
        found.loc[line.rows.index, ["variant", "recipe"]] = line.variant, line.label
    return found
