"""A statistic's cells: which rows each is about, and why one of them can decide nothing."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from harness.nearest import unknown
from harness.report.evidence import Evidence
from harness.report.select import at_trained_steps, known, unfinished, word
from harness.report.stats import SEEDS, Estimate


@dataclass(frozen=True)
class Cell:
    """One number of a statistic."""

    label: str  # which of several; empty if it is the only one
    estimate: Estimate
    runs: tuple[str, ...] = ()  # whose rows it is a function of
    reasons: tuple[str, ...] = ()  # why it can decide nothing; empty if it can

    @property
    def number(self) -> str:
        """The estimate with its interval."""
        return interval(self.estimate.value, self.estimate.low, self.estimate.high)

    @property
    def over(self) -> str:
        """What the estimate is over: "3 seeds"."""
        return f"{self.estimate.n} {self.estimate.unit}".strip()

    @property
    def told(self) -> list[str]:
        """Its line in a table of cells: label, number, what it is over, how many runs, why it decides nothing."""
        return [self.label or "-", self.number, self.over, str(len(self.runs)), "; ".join(self.reasons)]


NOTHING = Estimate(math.nan, math.nan, math.nan, math.nan, 0, "")


def interval(value: float, low: float, high: float) -> str:
    """A number with its ends, three digits; ``-`` for none."""
    if math.isnan(value):
        return "-"
    near = 1e-3 * (high - low) if high > low else 0.0  # what is 0 to three digits of the interval
    three = [f"{0.0 if abs(number) < near else number:.3g}" for number in (value, low, high)]
    exact = low == high or math.isnan(low)
    return three[0] if exact else f"{three[0]} [{three[1]}, {three[2]}]"


def scores(evidence: Evidence, where: Sequence[str], split: str, squeezed: bool = False) -> pd.DataFrame:
    """Tuned rows of a split at the trained number of steps, runs without scores among them, squeezed ones if wanted.

    A damaged run is left out: that its file was hurt says nothing of what it had learned.
    """
    return of_split(evidence.chosen(where, tune=True), split, squeezed)


def of_split(rows: pd.DataFrame, split: str, squeezed: bool = False) -> pd.DataFrame:
    """The rows of a study that are scores of a split, as :func:`scores` tells which."""
    rows = rows[rows["status"] != "CORRUPT"]
    if rows.empty:
        return rows
    scores = rows[rows["accuracy"].notna() & (rows["split"] == split)]
    kept = at_trained_steps(scores).index
    if squeezed:
        kept = kept.union(scores.index[scores["bits_per_number"].notna()])
    return rows[rows.index.isin(kept) | rows["accuracy"].isna()]


def cells(
    rows: pd.DataFrame, each: Sequence[str], averaged: bool = False
) -> Iterator[tuple[str, pd.DataFrame, tuple[str, ...]]]:
    """(label, rows, reasons why they decide nothing) for each value of the columns ``each``.

    A run that is not finished decides nothing, since it may come to any end. One that failed has solved nothing; where
    scores are ``averaged`` it has none, and a mean over the others is none of all.
    """
    if rows.empty:
        yield "", rows, ("no run of it can be read",)
        return
    known(each, rows.columns)
    for label, part in split_by(rows, each):
        reasons = []
        scored = part[part["accuracy"].notna()]
        seeds = (scored if averaged else part)["seed"].nunique()
        going = part.loc[unfinished(part), "run"].nunique()
        silent = part["run"].nunique() - scored["run"].nunique() - going
        if scored.empty:
            reasons.append("no run came to its end")
        elif seeds < SEEDS:
            reasons.append(f"too few seeds: {seeds} of {SEEDS}")
        if going:
            reasons.append(f"{going} of {part['run'].nunique()} runs are unfinished")
        if silent and averaged and len(scored):
            reasons.append(f"{silent} of {part['run'].nunique()} runs have no scores, and a mean leaves them out")
        if edges := [edge for edge in part["edge"].unique() if edge]:
            reasons.append(f"edge of the learning-rate grid: {', '.join(edges)}")
        yield label, part, tuple(reasons)


def split_by(rows: pd.DataFrame, each: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """(label, rows) for each value of the columns ``each``; all rows if there are none."""
    if not each:
        yield "", rows
        return
    for values, part in rows.groupby(list(each), dropna=False):
        yield " ".join(filter(None, map(word, values))), part


def at(rows: pd.DataFrame, length: int | str) -> pd.DataFrame:
    """The rows at a length: a number, ``longest`` or ``shortest`` trained; all ``trained`` ones, or ``all``."""
    if rows.empty or length == "all":
        return rows
    unscored = rows["accuracy"].isna()
    if isinstance(length, int):
        return rows[unscored | (rows["length"] == length)]
    within = rows[rows["in_range"].eq(True)]
    if length == "trained":
        return rows[unscored | rows.index.isin(within.index)]
    if length not in ("longest", "shortest"):
        raise unknown("length ", length, ("longest", "shortest", "trained", "all"))
    own = within.groupby("run")["length"].transform("max" if length == "longest" else "min")
    return rows[unscored | rows.index.isin(within.index[within["length"] == own])]


def runs_of(rows: pd.DataFrame) -> tuple[str, ...]:
    """The folder names of their runs."""
    return tuple(rows["run"].unique())
