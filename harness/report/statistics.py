"""The statistics that a claim may be about: each a function of a study's evidence, named in the claim's yaml.

A statistic has one cell or several (``each`` names columns: a cell for each of their values). Accuracy is that on
``boundary`` unless a split is named, at the learning rate that validation chose.
"""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.nearest import unknown
from harness.report import scaling
from harness.report.cells import NOTHING, Cell, at, cells, runs_of, scores, split_by
from harness.report.evidence import Evidence
from harness.report.select import known
from harness.report.sides import gap, shift
from harness.report.stats import Estimate, regression, spearman, success, t_interval, wilson

EXACT = "exact"  # the unit of an estimate that has no error of sampling


def measure(evidence: Evidence, statistic: Mapping[str, Mapping[str, Any]]) -> list[Cell]:
    """The cells of a claim's statistic, ``{kind: settings}``. Raises ValueError for an unknown kind or setting."""
    kind, settings = check(statistic)
    return list(KINDS[kind](evidence, **settings))


def check(statistic: Mapping[str, Mapping[str, Any]]) -> tuple[str, dict[str, Any]]:
    """(kind, settings), once they are known to fit. Raises ValueError."""
    if len(statistic) != 1:
        raise ValueError(f"a statistic is one of {', '.join(KINDS)}, given is {', '.join(statistic) or 'none'}")
    ((kind, settings),) = statistic.items()
    if kind not in KINDS:
        raise unknown("statistic ", kind, KINDS)
    possible = list(inspect.signature(KINDS[kind]).parameters)[1:]
    for name in settings:
        if name not in possible:
            raise unknown(f"{kind}: ", name, possible)
    return kind, dict(settings)


def exponent(
    evidence: Evidence,
    resource: str,
    where: Sequence[str] = (),
    each: Sequence[str] = (),
    law: str = "power",
    split: str = "boundary",
    against: str = "length",
    inverse: bool = False,
) -> Iterator[Cell]:
    """The slope b of a fitted law of r*(n), for a resource r; ``law=exponential`` in doublings per unit.

    ``against`` names another column in the place of n (task.dim). ``inverse`` is n*(r), the slope in units of r.
    """
    rows = scores(evidence, where, split, squeezed=resource == "state bits")
    for label, part, notes in cells(rows, each):
        if part.empty:
            yield Cell(label, NOTHING, (), notes)
            continue
        of = scaling.critical if inverse else scaling.required
        found = scaling.fit(of(part.assign(length=part[against]), resource), law)
        reasons = [*notes, *([found.reason] if found.reason else [])]
        estimate = Estimate(found.slope, found.low, found.high, math.nan, found.lengths, "lengths")
        yield Cell(label, estimate, runs_of(part), tuple(reasons))


def accuracy(
    evidence: Evidence,
    where: Sequence[str] = (),
    each: Sequence[str] = (),
    split: str = "boundary",
    length: int | str = "longest",
    measure: str = "accuracy",
    reference: float = 0.0,
) -> Iterator[Cell]:
    """The mean over seeds of an accuracy, less ``reference``; at a length, or the mean over ``trained`` or ``all``."""
    rows = at(scores(evidence, where, split), length)
    for label, part, notes in cells(rows, each, averaged=True):
        means = part.groupby(["seed", "run"])[measure].mean().groupby("seed").mean()  # recipes of a seed are no seeds
        yield Cell(label, _mean(means - reference, part), runs_of(part), notes)


def solving(
    evidence: Evidence,
    where: Sequence[str] = (),
    each: Sequence[str] = (),
    split: str = "boundary",
    length: int | str = "longest",
) -> Iterator[Cell]:
    """The share of seeds that solve the problem at a length, with Wilson's interval."""
    rows = at(scores(evidence, where, split), length)
    for label, part, notes in cells(rows, each):
        yield Cell(label, success(part), runs_of(part), notes)


def rank_correlation(
    evidence: Evidence,
    x: str,
    y: str = "accuracy",
    where: Sequence[str] = (),
    each: Sequence[str] = (),
    split: str = "boundary",
    length: int | str = "longest",
) -> Iterator[Cell]:
    """Spearman's correlation of two columns over recipes, each the mean over its seeds."""
    rows = at(scores(evidence, where, split), length)
    for label, part, notes in cells(rows, each, averaged=True):
        means = part.groupby("recipe")[[x, y]].mean().astype(float).dropna()
        few = len(means) < 4
        estimate = NOTHING if few else spearman(means[x], means[y])
        reasons = [*notes, *([f"fewer than 4 recipes: {len(means)}"] if few else [])]
        yield Cell(label, estimate, runs_of(part), tuple(reasons))


def growth(
    evidence: Evidence,
    x: str,
    y: str,
    where: Sequence[str] = (),
    each: Sequence[str] = (),
    split: str = "boundary",
    length: int | str = "longest",
) -> Iterator[Cell]:
    """By how much a column y grows with every doubling of a column x: least squares over the means at each x.

    The interval is Student's on the number of x less 2.
    """
    rows = at(scores(evidence, where, split), length)
    for label, part, notes in cells(rows, each, averaged=True):
        known([x, y], rows.columns)
        means = part.groupby(x)[y].mean().dropna().astype(float)
        few = len(means) < scaling.LEAST
        estimate = NOTHING if few else regression(np.log2(means.index.to_numpy(float)), means.to_numpy())
        reasons = [*notes, *([f"fewer than {scaling.LEAST} values of {x}: {len(means)}"] if few else [])]
        yield Cell(label, estimate, runs_of(part), tuple(reasons))


def exact(
    evidence: Evidence,
    table: str,
    column: str,
    where: Sequence[str] = (),
    each: Sequence[str] = (),
    over: str = "max",
    per: str | None = None,
) -> Iterator[Cell]:
    """The ``max``, ``min`` or ``median`` of a table's column, divided by a column ``per`` if one is named."""
    rows = evidence.table(table, where)
    if rows.empty:
        yield Cell("", NOTHING, (), ("not run",))
        return
    known([column, *each, *([per] if per else [])], rows.columns)
    for label, part in split_by(rows, each):
        numbers = part[column] / part[per] if per else part[column]
        value, empty = float(numbers.agg(over)), int(numbers.isna().sum())
        reasons = (f"{empty} of {len(part)} cells are empty",) if empty else ()
        yield Cell(label, Estimate(value, value, value, math.nan, len(part), EXACT), (), reasons)


def slope(
    evidence: Evidence, table: str, x: str, y: str, where: Sequence[str] = (), each: Sequence[str] = ()
) -> Iterator[Cell]:
    """The exponent of a column of a table against another: log-log least squares, t interval on points - 2."""
    rows = evidence.table(table, where)
    if rows.empty:
        yield Cell("", NOTHING, (), ("not run",))
        return
    known([x, y, *each], rows.columns)
    for label, part in split_by(rows, each):
        means = part.groupby(x)[y].median()
        points = pd.DataFrame({"estimate": np.log(means), "low": np.log(means), "high": np.log(means), "censored": ""})
        found = scaling.fit(points, "power")
        estimate = Estimate(found.slope, found.low, found.high, math.nan, len(means), "lengths")
        yield Cell(label, estimate, (), (found.reason,) if found.reason else ())


KINDS: Mapping[str, Callable[..., Iterator[Cell]]] = {
    "exponent": exponent,
    "accuracy": accuracy,
    "solving": solving,
    "gap": gap,
    "shift": shift,
    "rank correlation": rank_correlation,
    "growth": growth,
    "exact": exact,
    "slope": slope,
}


def _mean(values: pd.Series, rows: pd.DataFrame) -> Estimate:
    """Over seeds by t, and never narrower than Wilson's interval over all their items."""
    values = values.dropna()
    if values.empty:
        return NOTHING
    low, high = t_interval(values)
    examples = rows.loc[rows["accuracy"].notna(), "examples"].sum() if "examples" in rows else 0
    if examples and not math.isnan(low):
        offset = values.mean() - rows.groupby("run")["accuracy"].mean().mean()
        ends = wilson(round((values.mean() - offset) * examples), int(examples))
        low, high = min(low, ends[0] + offset), max(high, ends[1] + offset)
    return Estimate(float(values.mean()), low, high, math.nan, len(values), "seeds")
