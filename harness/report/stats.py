"""Intervals: over seeds (Student's t) and over test items (Wilson)."""

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats


def t_interval(values: npt.ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """Student's t interval of the mean over seeds, not clipped; (NaN, NaN) for fewer than two values. NaN is left out.

    >>> [round(end, 3) for end in t_interval([0.9, 0.92, 0.97])]
    [0.84, 1.02]
    """
    values = np.asarray(values, dtype=float)
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return math.nan, math.nan
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a proportion, in [0, 1]; (NaN, NaN) for n = 0.

    >>> [round(end, 3) for end in wilson(99, 100)]
    [0.946, 0.998]
    """
    if n == 0:
        return math.nan, math.nan
    low, high = stats.binomtest(int(successes), int(n)).proportion_ci(confidence, method="wilson")
    return float(low), float(high)


def over_seeds(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    """Accuracy at each value of `by`: mean, and the ends low and high of its interval, in [0, 1].

    From two runs on that is the 95 % t interval over runs; a single run has the Wilson interval over its test items.
    """
    groups = rows.groupby(by)
    found = groups[["accuracy", "accuracy_low", "accuracy_high"]].mean().set_axis(["mean", "low", "high"], axis=1)
    if rows["run"].nunique() > 1:
        ends = [np.clip(t_interval(accuracy), 0, 1) for _, accuracy in groups["accuracy"]]
        found[["low", "high"]] = np.reshape(ends, (len(found), 2))
    return found
