"""What several figures share: which rows are drawn, in which order, a mean with its seeds, words for the note."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from harness.report import style
from harness.report.select import SPLITS, Line, Undrawable, check_versions, complete, scored, tasks, unfinished
from harness.report.stats import over_seeds

BAND_FROM = 5  # seeds; fewer are drawn one by one
MEASURE = "exact accuracy, free-running"
CHANCE = (0, (4, 3))  # dashes
LENGTH = "length n (items)"
IN_ORDER = ("recipe", "run", "split", "length", "steps", "stop", "bits_per_number", "forced_loops", "update")


def ordered(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows in one order, whatever theirs was: sums of floats, and so the bytes of a figure, depend on it."""
    return rows.sort_values([c for c in IN_ORDER if c in rows], kind="stable", ignore_index=True)


def shown(rows: pd.DataFrame, splits: Sequence[str] | None) -> Sequence[str]:
    """The splits that are asked for; if none are, boundary and broad, and natural where these are missing."""
    there = set(rows["split"]) if "split" in rows else set()
    return splits or [split for split in SPLITS if split in there] or (["natural"] if "natural" in there else SPLITS)


def drawn(
    rows: pd.DataFrame, splits: Sequence[str], allow_mixed: bool, squeezed: bool = False, forced: bool = False
) -> pd.DataFrame:
    """The scored rows of these splits; several tasks and mixed versions are refused."""
    data = scored(rows, squeezed=squeezed, forced=forced)
    there = tasks(rows)
    if len(there) != 1:
        raise ValueError(f"a figure of accuracy draws one task, these rows hold {', '.join(there)}: choose task=...")
    if not allow_mixed:
        check_versions(rows)
    if not data["split"].isin(splits).any():
        present = ", ".join(sorted(data["split"].unique()))
        raise Undrawable(f"no scores on {', '.join(splits)}: these rows hold {present}")
    return data[data["split"].isin(splits)]


def longest_trained(data: pd.DataFrame) -> pd.DataFrame:
    """The rows of each run at its longest trained length, or if it has no score there, not far off: at its shortest."""
    nearest = data["length"].where(data["in_range"].astype(bool), -data["length"])
    return data[nearest == nearest.groupby(data["run"]).transform("max")]


def unscored(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each run that ended without a test score: its settings, which a share of seeds counts as not solving.

    A run that may yet come to any end is none of them.
    """
    rows = complete(rows)
    asked = rows["accuracy"].where(rows["split"] != "validation")
    none = asked.groupby(rows["run"]).transform("count") == 0
    return rows[none & ~unfinished(rows)].drop_duplicates("run").assign(accuracy=np.nan)


def chances(axis: Axes, rows: pd.DataFrame, say: bool, by: str | None = None) -> None:
    """Chance, as a level for each value that it has; against a column ``by``, a line for each course that it takes."""
    told = rows[rows["chance"].notna()]
    if by is None:
        courses = [pd.Series([value]) for value in sorted(told["chance"].unique())]
    else:
        each = (part.groupby(by)["chance"].mean() for _, part in told.groupby("recipe", dropna=False))
        courses = list({tuple(course.items()): course for course in each}.values())
    for course in courses:
        style.level(axis, "chance", course, say, CHANCE)


def seeds(axis: Axes, rows: pd.DataFrame, look: dict) -> None:
    """The mean over seeds against length, and how far they spread."""
    if rows.empty:
        return
    found = over_seeds(rows, "length")
    count = rows["run"].nunique()
    if count == 1:
        bars(axis, [(found, look)])
    elif count < BAND_FROM:
        for _, run in rows.groupby("run"):
            axis.plot(run.groupby("length")["accuracy"].mean(), **look | {"marker": "", "lw": 0.7, "alpha": 0.7})
    else:
        axis.fill_between(found.index, found["low"], found["high"], color=look["color"], alpha=0.18, lw=0)
    axis.plot(found["mean"], **look, zorder=3)


def bars(axis: Axes, drawn: Sequence[tuple[pd.DataFrame, dict]]) -> None:
    """Intervals about means, each with its look: columns mean, low, high over an index x."""
    if not drawn:
        return
    at = np.concatenate([found.index for found, _ in drawn])
    low, mean, high = np.concatenate([found[["low", "mean", "high"]] for found, _ in drawn]).T
    colours = [look["color"] for found, look in drawn for _ in range(len(found))]
    axis.vlines(at, np.fmin(low, mean), np.fmax(high, mean), colours, lw=0.8)


def spread(drawn: list[Line]) -> str:
    """What the marks around a mean are, in words."""
    counts = {line.rows["run"].nunique() for line in drawn}
    few, many = sorted(c for c in counts if 1 < c < BAND_FROM), sorted(c for c in counts if c >= BAND_FROM)
    said = ["one seed, 95 % Wilson interval over test items"] if 1 in counts else []
    said += [f"mean of {'/'.join(map(str, few))} seeds, every seed drawn"] if few else []
    said += [f"mean of {'/'.join(map(str, many))} seeds, 95 % t interval over seeds"] if many else []
    return "; ".join(said)


def families(drawn: list[Line]) -> dict[str, list[Line]]:
    """label -> the recipes that differ in the budget alone; `none` is the budget 0 of every family of its variant."""
    found: dict[str, list[Line]] = {}
    for line in drawn:
        if line.scratchpad != "none":
            found.setdefault(line.label, []).append(line)
    for line in (line for line in drawn if line.scratchpad == "none"):
        own = [family for family in found.values() if (family[0].variant, family[0].rest) == (line.variant, line.rest)]
        for members in own or [found.setdefault(line.label, [])]:
            members.append(line)
    return found
