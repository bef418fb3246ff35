"""Two sides of a comparison: paired on the test items that they share, else on seeds, else not at all."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy  # its parts are imported where they are asked for: nearly a second

from harness.report.stats import SEEDS, Estimate, difference, paired


class Score(NamedTuple):
    """What one seed of one side reached."""

    accuracy: float
    examples: float  # test items behind it; NaN if unknown
    right: Sequence[np.ndarray] | None  # which items are, an (items,) bool for each test set; None if not kept


def contrast(left: Mapping[int, Score], right: Mapping[int, Score]) -> Estimate:
    """Accuracy of ``left`` less that of ``right``, each seed -> its score, with a 95 % interval.

    Of test sets that were asked at different numbers of items the first items are the shared ones.
    """
    told = [score.examples for side in (left, right) for score in side.values() if score.examples > 0]
    examples = int(min(told, default=0))
    seeds = sorted(left.keys() & right.keys())
    if not seeds:
        return difference(*([score.accuracy for score in side.values()] for side in (left, right)), examples or None)
    pairs = [(left[seed], right[seed]) for seed in seeds]
    if all(score.right is not None for pair in pairs for score in pair):
        return paired(*zip(*map(_shared, pairs), strict=True))
    return _by_seeds(*np.array([[score.accuracy for score in pair] for pair in pairs]).T, examples)


def _shared(pair: tuple[Score, Score]) -> list[np.ndarray]:
    """(items,) bool of both sides, one test set after the other."""
    sets = [(one[: len(other)], other[: len(one)]) for one, other in zip(*(side.right for side in pair), strict=True)]
    return [np.concatenate(side) for side in zip(*sets, strict=True)]


def _by_seeds(left: np.ndarray, right: np.ndarray, examples: int) -> Estimate:
    """Student's interval over differences per seed, from three seeds on, never narrower than test items allow.

    Below that it is over items alone and holds for these very models. Which items are right is not known, so both sides
    count as independent, each with a success and a failure added (Agresti and Caffo 2000). Without the number of
    `examples` too, fewer than three seeds, or seeds that agree exactly, have no interval (NaN).
    """
    steps, n, few = left - right, len(left), len(left) < SEEDS
    shares = (np.stack([left, right]) * examples + 1) / (examples + 2)
    noise = float((shares * (1 - shares)).sum(axis=0).mean() / examples) if examples else 0.0
    error = math.sqrt(max(0.0 if few else float(steps.var(ddof=1)), noise) / n)
    value, law = float(steps.mean()), scipy.stats.norm() if few else scipy.stats.t(n - 1)
    about = (n * examples, "items") if few and examples else (n, "seeds")
    if not error:
        return Estimate(value, math.nan, math.nan, math.nan, *about)
    half = float(law.ppf(0.975)) * error
    return Estimate(value, value - half, value + half, float(2 * law.sf(abs(value) / error)), *about)
