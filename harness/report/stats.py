"""Estimates with their intervals: over seeds (Student's t), over test items (Wilson, Bonett and Price), over ranks.

No interval has width zero because a sample happened to agree: what a sample cannot show is added by name below.
"""

import functools
import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy  # its stats are imported where they are asked for: nearly a second

SOLVED = 0.9  # of the way from chance to 1, THEORY d.1
SEEDS = 3  # from so many on an interval is over seeds
Z = statistics.NormalDist().inv_cdf(0.975)
EXHAUSTIVE = 8  # 8! orders are tried one by one
ROUNDING = 1e-12  # of an accuracy, a ratio of whole numbers


@dataclass(frozen=True)
class Estimate:
    """A number, its 95 % interval, and what it was estimated over."""

    value: float
    low: float
    high: float
    p: float  # two-sided, against 0; NaN if there is none
    n: int  # how many there are of the unit
    unit: str  # "seeds", "items", "lengths", "pairs" (of a correlation)


def t_interval(values: npt.ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """Student's t interval of the mean over seeds, not clipped; (NaN, NaN) for fewer than two values. NaN is left out.

    >>> [round(end, 3) for end in t_interval([0.9, 0.92, 0.97])]
    [0.84, 1.02]
    """
    values = np.asarray(values, dtype=float)
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return math.nan, math.nan
    half = _quantile(confidence, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


@functools.cache
def _quantile(confidence: float, freedom: int) -> float:
    """Student's, of both sides together: figures ask for the same few thousands of times."""
    return float(scipy.special.stdtrit(freedom, (1 + confidence) / 2))  # Student's t, without importing scipy.stats


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a proportion, in [0, 1]; (NaN, NaN) for n = 0.

    >>> [round(end, 3) for end in wilson(99, 100)]
    [0.946, 0.998]
    """
    if n == 0:
        return math.nan, math.nan
    low, high = scipy.stats.binomtest(int(successes), int(n)).proportion_ci(confidence, method="wilson")
    return float(low), float(high)


def over_seeds(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    """Accuracy at each value of `by`: mean, and the ends low and high of its interval, in [0, 1].

    From two runs on that is the 95 % t interval over runs; a single run has the Wilson interval over its test items.
    """
    at, place, n = np.unique(rows[by].to_numpy(), return_inverse=True, return_counts=True)

    def mean(column: str) -> np.ndarray:
        return np.bincount(place, rows[column].to_numpy(float), len(at)) / n

    middle = mean("accuracy")
    if rows["run"].nunique() == 1:
        ends = mean("accuracy_low"), mean("accuracy_high")
    else:
        apart = np.bincount(place, (rows["accuracy"].to_numpy(float) - middle[place]) ** 2, len(at))
        with np.errstate(invalid="ignore"):  # of one value there is no spread
            half = [_quantile(0.95, int(count) - 1) for count in n] * np.sqrt(apart / (n - 1) / n)
        ends = np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)
    return pd.DataFrame(dict(zip(("mean", "low", "high"), (middle, *ends), strict=True)), index=pd.Index(at, name=by))


def solved(rows: pd.DataFrame) -> pd.Series:
    """Which rows hold a solution: accuracy >= chance + 0.9 (1 - chance). A row without a score holds none.

    >>> solved(pd.DataFrame({"accuracy": [0.95, 0.94, np.nan], "chance": 0.5})).tolist()
    [True, False, False]
    """
    accuracy, chance = rows["accuracy"].astype(float), rows["chance"].astype(float)
    return accuracy >= chance + SOLVED * (1 - chance) - ROUNDING


def success(rows: pd.DataFrame) -> Estimate:
    """The share of runs that solve the problem, with Wilson's interval; a run that has no score did not.

    Raises ValueError if a run has several rows: which of them is meant has to be chosen first.
    """
    several = rows.loc[rows["run"].duplicated(), "run"]
    if len(several):
        raise ValueError(f"the share of runs that solve needs one row for each run: {several.iloc[0]} has more")
    return Estimate(_share(solved(rows)), *wilson(solved(rows).sum(), len(rows)), math.nan, len(rows), "seeds")


def paired(left: Sequence[npt.ArrayLike], right: Sequence[npt.ArrayLike]) -> Estimate:
    """Accuracy of ``left`` less that of ``right``: for each seed two (items,) arrays of right and wrong on one test
    set.

    From three seeds on the interval is Student's over their differences, since other seeds are what a reader would
    train. One or two seeds say nothing of that, so it is over their pooled items, and holds for these very models
    alone. Only discordant items, right for one side, tell the sides apart; their p value is exact (McNemar). Bonett and
    Price (2012) take a Wald interval of two cells with one item added to each: it holds from some 10 items on, and
    where no item is discordant its half width is 1.96 sqrt(2) / (items + 2), as the rule of three would have it. Items
    count as independent, which twins are not quite. Over seeds the interval is never narrower than over items, nor p
    smaller: three seeds may agree by chance. Raises ValueError if seeds or items differ in number, or if there are
    none.

    >>> same = [np.ones(100, bool)]
    >>> paired(same, same).value, round(paired(same, same).high, 3)
    (0.0, 0.027)
    """
    sides = [[np.asarray(items, dtype=bool) for items in side] for side in (left, right)]
    if len(sides[0]) != len(sides[1]) or not sides[0]:
        raise ValueError(f"pairs need as many seeds left as right, at least one: {len(sides[0])} and {len(sides[1])}")
    for one, other in zip(*sides, strict=True):
        if one.shape != other.shape or one.ndim != 1 or not one.size:
            raise ValueError(f"pairs need the same test items left and right: shapes are {one.shape} and {other.shape}")
    steps = np.array([one.mean() - other.mean() for one, other in zip(*sides, strict=True)])
    one, other = map(np.concatenate, sides)
    wins, losses, items = int((one & ~other).sum()), int((other & ~one).sum()), one.size
    low, high = _discordant(wins, losses, items)
    p = float(scipy.stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
    if len(steps) < SEEDS:
        return Estimate((wins - losses) / items, low, high, p, items, "items")
    value, middle = float(steps.mean()), (wins - losses) / items
    ends, spread = t_interval(steps), steps.std(ddof=1) / math.sqrt(len(steps))
    over_seeds = 2 * scipy.stats.t.sf(abs(value) / spread, len(steps) - 1) if spread else 0.0
    low, high = min(ends[0], low + value - middle), max(ends[1], high + value - middle)
    return Estimate(value, low, high, max(p, float(over_seeds)), len(steps), "seeds")


def difference(left: npt.ArrayLike, right: npt.ArrayLike, items: int | None = None) -> Estimate:
    """Mean accuracy of ``left`` less that of ``right``, one number for each seed, on test sets that are not shared:
    Welch.

    ``items`` in each test set, where given, keep the variance of a side from falling below that of its items (one
    success and one failure added, Agresti and Caffo 2000). Without them seeds that agree exactly on both sides have no
    interval (NaN): their spread is unknown, not zero. As with fewer than two seeds on a side.

    >>> found = difference([0.9, 0.94, 0.92], [0.7, 0.8, 0.75])
    >>> [round(number, 2) for number in (found.value, found.low, found.high)]
    [0.17, 0.06, 0.28]
    """
    sides = [np.asarray(side, dtype=float) for side in (left, right)]
    sides = [side[~np.isnan(side)] for side in sides]
    counts = np.array([len(side) for side in sides])
    value = float(sides[0].mean() - sides[1].mean()) if counts.all() else math.nan
    unknown = Estimate(value, math.nan, math.nan, math.nan, int(counts.min()), "seeds")
    if counts.min() < 2:
        return unknown
    variances = np.array([side.var(ddof=1) for side in sides])
    if items:
        shares = np.array([(side.sum() * items + 1) / (len(side) * items + 2) for side in sides])
        variances = np.maximum(variances, shares * (1 - shares) / items)
    parts = variances / counts
    if not parts.sum():
        return unknown
    freedom = parts.sum() ** 2 / (parts**2 / (counts - 1)).sum()
    error = math.sqrt(parts.sum())
    half = float(scipy.stats.t.ppf(0.975, freedom)) * error
    p = float(2 * scipy.stats.t.sf(abs(value) / error, freedom))
    return Estimate(value, value - half, value + half, p, int(counts.min()), "seeds")


def holm(p_values: npt.ArrayLike) -> np.ndarray:
    """p values adjusted for their number by Holm's procedure, in the order given; NaN counts as 1.

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.nan_to_num(np.asarray(p_values, dtype=float), nan=1.0)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def regression(x: npt.ArrayLike, y: npt.ArrayLike) -> Estimate:
    """The slope of least squares through 3 or more points; its interval is Student's on the points less 2.

    >>> found = regression([0, 1, 2], [1, 3, 5.1])
    >>> [round(number, 2) for number in (found.value, found.low, found.high)]
    [2.05, 1.68, 2.42]
    """
    found = scipy.stats.linregress(x, y)
    slope, half = float(found.slope), float(scipy.stats.t.ppf(0.975, len(x) - 2) * found.stderr)
    return Estimate(slope, slope - half, slope + half, float(found.pvalue), len(x), "lengths")


def spearman(x: npt.ArrayLike, y: npt.ArrayLike) -> Estimate:
    """Spearman's rank correlation; Fisher's z with the standard error of Bonett and Wright (2000).

    p is exact up to 8 pairs (every order is tried), by Student's t beyond. A perfect order has no finite z: its far end
    is taken half way to the next value that ranks can have, 1 - 6 / (n^3 - n). The interval needs 4 pairs, else it is
    all of [-1, 1]; a constant side has no correlation (NaN). Raises ValueError if the sides differ in number.

    >>> found = spearman([1, 2, 3, 4, 5], [2, 1, 4, 3, 5])
    >>> [round(number, 3) for number in (found.value, found.low, found.high, found.p)]
    [0.8, -0.457, 0.991, 0.133]
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.shape != y.shape:
        raise ValueError(f"a correlation needs pairs: {x.size} and {y.size} numbers are given")
    there = ~(np.isnan(x) | np.isnan(y))
    ranks = [scipy.stats.rankdata(side[there]) for side in (x, y)]
    n = len(ranks[0])
    a, b = (side - side.mean() if n else side for side in ranks)
    norm = math.sqrt((a @ a) * (b @ b))
    if not norm:
        return Estimate(math.nan, math.nan, math.nan, math.nan, n, "pairs")
    value = float(np.clip(a @ b / norm, -1, 1))
    if n <= EXHAUSTIVE:
        every = b[np.array(list(itertools.permutations(range(n))))] @ a / norm
        p = float(np.mean(np.abs(every) >= abs(value) - ROUNDING))
    else:
        tail = 2 * scipy.stats.t.sf(abs(value) * math.sqrt((n - 2) / max(1 - value**2, ROUNDING)), n - 2)
        p = float(max(tail, 2 * math.exp(-math.lgamma(n + 1))))  # of n! orders two are perfect
    if n < 4:
        return Estimate(value, -1.0, 1.0, p, n, "pairs")
    most = 1 - 6 / (n**3 - n)
    inner = float(np.clip(value, -most, most))
    half = Z * math.sqrt((1 + inner**2 / 2) / (n - 3))
    ends = (math.tanh(math.atanh(inner) + side * half) for side in (-1, 1))
    low, high = (float(value if abs(value) > most and end * value > value**2 else end) for end in ends)
    return Estimate(value, min(low, value), max(high, value), p, n, "pairs")


def beyond(estimate: Estimate, threshold: float, above: bool) -> float:
    """One-sided p value that the truth is not above (or below) a threshold.

    It is the law of the interval read backwards: at its end it is 0.025, and falls from there as Student's t does
    (seeds - 1 or lengths - 2 degrees of freedom) or the normal law. Without an interval it is 1. A number without error
    (low = value = high) is beyond or is not.

    >>> round(beyond(Estimate(0.5, 0.2, 0.8, 0.01, 4, "seeds"), 0.2, above=True), 3)
    0.025
    """
    sign = 1 if above else -1
    half = sign * (estimate.value - (estimate.low if above else estimate.high))
    distance = sign * (estimate.value - threshold)
    if math.isnan(half) or math.isnan(distance):
        return 1.0
    lost = {"seeds": 1, "lengths": 2}.get(estimate.unit)
    law = scipy.stats.norm() if lost is None else scipy.stats.t(max(estimate.n - lost, 1))
    if not half:
        return 0.0 if distance > 0 else 1.0
    return float(law.sf(distance / half * law.ppf(0.975)))


def _discordant(wins: int, losses: int, items: int) -> tuple[float, float]:
    """The 95 % interval of (wins - losses) / items of Bonett and Price, within [-1, 1]."""
    first, second = (wins + 1) / (items + 2), (losses + 1) / (items + 2)
    half = Z * math.sqrt((first + second - (first - second) ** 2) / (items + 2))
    return max(-1.0, first - second - half), min(1.0, first - second + half)


def _share(which: pd.Series) -> float:
    return float(which.mean()) if len(which) else math.nan
