"""Estimates and their intervals: what they must equal, how often they hold the truth."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from harness.report.stats import (
    Estimate,
    beyond,
    difference,
    holm,
    paired,
    solved,
    spearman,
    success,
    t_interval,
    wilson,
)

RNG = [41]  # of every simulation here, so that none is a matter of luck


def flips(estimate):
    """The same estimate seen from the other side."""
    return -estimate.value, -estimate.high, -estimate.low, estimate.p, estimate.n, estimate.unit


def fields(estimate):
    return estimate.value, estimate.low, estimate.high, estimate.p, estimate.n, estimate.unit


def scores(accuracy, chance=0.5):
    return pd.DataFrame({"run": [f"r{i}" for i in range(len(accuracy))], "accuracy": accuracy, "chance": chance})


@pytest.mark.parametrize("chance", [0.0, 0.1, 0.5, 1 / 3])
def test_solved_is_nine_tenths_of_the_way_from_chance_to_one(chance):
    edge = chance + 0.9 * (1 - chance)
    assert solved(scores([edge, edge - 1e-3, 1.0, chance, math.nan], chance)).tolist() == [
        True,
        False,
        True,
        False,
        False,
    ]


def test_runs_that_failed_count_among_those_that_did_not_solve():
    found = success(scores([1.0, 0.99, 0.6, math.nan, math.nan]))
    assert (found.value, found.n, found.unit) == (0.4, 5, "seeds")
    assert (found.low, found.high) == wilson(2, 5)
    assert math.isnan(success(scores([])).value)


def test_success_refuses_several_rows_of_a_run():
    with pytest.raises(ValueError, match="r1 has more"):
        success(scores([1.0, 0.9, 0.9]).assign(run=["r0", "r1", "r1"]))


def models(rng, seeds, items, gap=0.2, between=0.05):
    """Seeds of two sides on shared items; the left is better by ``gap`` on the mean."""
    left, right = [], []
    for _ in range(seeds):
        hard = rng.random(items)
        right.append(hard < 0.6)
        left.append(hard < 0.6 + gap + rng.normal(0, between))
    return left, right


def test_from_three_seeds_on_the_paired_interval_is_students_over_their_differences():
    left, right = models(np.random.default_rng(RNG), 4, 3000)
    steps = [one.mean() - other.mean() for one, other in zip(left, right, strict=True)]
    found = paired(left, right)
    assert (found.low, found.high) == pytest.approx(t_interval(steps), abs=1e-12)
    assert found.p == pytest.approx(stats.ttest_1samp(steps, 0).pvalue, rel=1e-9)
    assert (found.value, found.n, found.unit) == (pytest.approx(np.mean(steps)), 4, "seeds")


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_sides_exchanged_the_paired_difference_changes_its_sign(seeds):
    left, right = models(np.random.default_rng(RNG), seeds, 211)
    assert fields(paired(right, left)) == pytest.approx(flips(paired(left, right)), abs=1e-12)


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_or_two_seeds_are_judged_by_their_pooled_discordant_items(seeds):
    left, right = models(np.random.default_rng(RNG), seeds, 307, gap=0.05)
    one, other = np.concatenate(left), np.concatenate(right)
    wins, losses = int((one & ~other).sum()), int((other & ~one).sum())
    found = paired(left, right)
    assert (found.n, found.unit) == (307 * seeds, "items")
    assert found.value == pytest.approx((wins - losses) / (307 * seeds))
    tails = stats.binom.pmf(range(wins + losses + 1), wins + losses, 0.5)
    assert found.p == pytest.approx(tails[tails <= tails[wins] * (1 + 1e-9)].sum())


@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
@pytest.mark.parametrize("items", [8, 2000])
def test_no_discordant_item_is_no_certainty(seeds, items):
    same = [np.arange(items) % 3 > 0] * seeds
    found = paired(same, same)
    assert found.low < found.value == 0 < found.high
    assert found.p == 1
    assert found.high >= 1.9 / (items * seeds + 2)  # the rule of three has 3 / items at one side


def test_seeds_that_agree_by_chance_are_no_narrower_than_their_items():
    right = np.arange(100) < 60
    left = np.arange(100) < 70
    pooled, seeds = paired([np.tile(left, 3)], [np.tile(right, 3)]), paired([left] * 3, [right] * 3)
    assert (seeds.low, seeds.high, seeds.p) == pytest.approx((pooled.low, pooled.high, pooled.p))
    assert seeds.unit == "seeds"


@pytest.mark.parametrize(("win", "lose", "items"), [(0.02, 0.02, 60), (0.01, 0.0, 200), (0.3, 0.1, 30), (0.0, 0.0, 50)])
def test_the_interval_over_items_covers(win, lose, items):
    rng, held = np.random.default_rng(RNG), []
    for draw in rng.random((1500, items)):
        found = paired([draw < 1 - lose], [(draw >= win) & (draw < 1)])
        held.append(found.low <= win - lose <= found.high)
    assert np.mean(held) > 0.94


def test_an_interval_that_trusts_agreement_would_be_caught():
    """Broken specimen: Wald's interval without the two items, which has no width where no item is discordant."""
    rng, held = np.random.default_rng(RNG), []
    for draw in rng.random((1500, 200)):
        step = (draw < 0.01).astype(float)
        half = 1.96 * step.std() / math.sqrt(200)
        held.append(abs(step.mean() - 0.01) <= half)
    assert np.mean(held) < 0.9


@pytest.mark.parametrize(
    ("left", "right", "what"),
    [
        ([np.ones(3)], [np.ones(4)], r"same test items left and right: shapes are \(3,\) and \(4,\)"),
        ([np.ones(3)] * 2, [np.ones(3)], "2 and 1"),
        ([], [], "0 and 0"),
        ([np.ones(0)], [np.ones(0)], "same test items"),
    ],
)
def test_pairs_that_are_none_are_refused(left, right, what):
    with pytest.raises(ValueError, match=what):
        paired(left, right)


def test_difference_is_welchs():
    left, right = [0.91, 0.95, 0.89, 0.99], [0.7, 0.5, 0.88]
    theirs = stats.ttest_ind(left, right, equal_var=False)
    found = difference(left, right)
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval()), abs=1e-12)
    assert (found.p, found.n) == (pytest.approx(theirs.pvalue), 3)
    assert fields(difference(right, left)) == pytest.approx(flips(found))
    assert fields(difference([*left, math.nan], right)) == fields(found)


def test_seeds_that_agree_exactly_do_not_know_their_spread():
    assert math.isnan(difference([1.0, 1.0], [0.5, 0.5]).low)
    found = difference([1.0, 1.0, 1.0], [0.5, 0.5, 0.5], items=500)
    assert found.low < 0.5 < found.high
    assert found.high - found.low > 2 * 1.96 * 0.5 / math.sqrt(1500)
    alone = difference([0.9], [0.8, 0.7])
    assert alone.value == pytest.approx(0.15)
    assert np.isnan([alone.low, alone.high, alone.p]).all()
    assert math.isnan(difference([], [0.8, 0.7]).value)


def test_holm_is_the_procedure():
    """Reject the smallest while p <= level / (how many are left): the adjusted p is the least level that rejects."""
    p = np.random.default_rng(RNG).random(6) ** 2 / 3
    adjusted = holm(p)
    for level in np.linspace(0.001, 0.999, 200):
        rejected = set()
        for place, index in enumerate(np.argsort(p)):
            if p[index] > level / (len(p) - place):
                break
            rejected.add(index)
        assert rejected == set(np.flatnonzero(adjusted <= level))


def test_holm_leaves_one_alone_and_counts_what_has_no_p():
    assert holm([0.03]).tolist() == [0.03]
    assert holm([0.03, math.nan]).tolist() == [0.06, 1.0]
    assert holm([]).tolist() == []
    assert holm([0.9, 0.8]).max() == 1


@pytest.mark.parametrize("n", [5, 8, 9, 30])
def test_spearman_is_the_correlation_of_ranks(n):
    x, y = np.random.default_rng([*RNG, n]).normal(size=(2, n))
    y = np.round(x + y, 0)  # with ties
    found, theirs = spearman(x, y), stats.spearmanr(x, y)
    assert found.value == pytest.approx(theirs.statistic)
    assert fields(spearman(x, -y)) == pytest.approx(flips(found))
    assert fields(spearman(np.exp(x), y)) == pytest.approx(fields(found))
    assert spearman([*x, math.nan], [*y, 1.0]).n == n
    if n > 8:
        assert found.p == pytest.approx(theirs.pvalue)


def test_its_interval_is_that_of_bonett_and_wright():
    x, y = np.random.default_rng(RNG).normal(size=(2, 15))
    found = spearman(x, x + y)
    half = stats.norm.ppf(0.975) * math.sqrt((1 + found.value**2 / 2) / 12)
    z = math.atanh(found.value)
    assert (found.low, found.high) == pytest.approx((math.tanh(z - half), math.tanh(z + half)))


@pytest.mark.parametrize("n", [4, 5, 6])
def test_its_p_is_exact_for_few_pairs(n):
    y = np.random.default_rng([*RNG, n]).permutation(n)
    every = [abs(stats.spearmanr(range(n), order).statistic) for order in itertools.permutations(range(n))]
    mine = abs(stats.spearmanr(range(n), y).statistic)
    assert spearman(range(n), y).p == pytest.approx(np.mean([one >= mine - 1e-9 for one in every]))


@pytest.mark.parametrize(("n", "r"), [(12, 0.0), (12, 0.7), (40, 0.5)])
def test_its_interval_covers(n, r):
    truth = 6 / math.pi * math.asin(r / 2)  # of a bivariate normal law
    draws = np.random.default_rng([*RNG, n]).multivariate_normal([0, 0], [[1, r], [r, 1]], (1000, n))
    found = [spearman(draw[:, 0], draw[:, 1]) for draw in draws]
    assert 0.93 < np.mean([one.low <= truth <= one.high for one in found]) < 0.98


@pytest.mark.parametrize("n", [4, 7, 12])
def test_a_perfect_order_is_no_certainty(n):
    found = spearman(range(n), range(n))
    assert found.value == found.high == pytest.approx(1)
    assert -1 < found.low < 1 - 12 / (n**3 - n)  # the next value that ranks can have is within
    assert found.p == pytest.approx(2 / math.factorial(n))
    assert fields(spearman(range(n), range(n)[::-1])) == pytest.approx(flips(found))


def test_correlations_that_are_none():
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3]).value)
    assert math.isnan(spearman([], []).value)
    assert (spearman([1, 2, 3], [1, 2, 3]).low, spearman([1, 2, 3], [1, 2, 3]).high) == (-1, 1)
    with pytest.raises(ValueError, match="3 and 2 numbers"):
        spearman([1, 2, 3], [1, 2])


@pytest.mark.parametrize(("unit", "freedom"), [("seeds", 3), ("lengths", 2), ("items", math.inf)])
def test_beyond_is_the_interval_read_backwards(unit, freedom):
    found = Estimate(0.4, 0.1, 0.9, math.nan, 4, unit)
    assert beyond(found, 0.1, above=True) == pytest.approx(0.025)
    assert beyond(found, 0.9, above=False) == pytest.approx(0.025)
    assert beyond(found, 0.4, above=True) == beyond(found, 0.4, above=False) == pytest.approx(0.5)
    law = stats.t(freedom) if freedom < math.inf else stats.norm()
    assert beyond(found, -0.2, above=True) == pytest.approx(law.sf(2 * law.ppf(0.975)))
    tail = [beyond(found, threshold, above=True) for threshold in np.linspace(-1, 1, 50)]
    assert (np.diff(tail) > 0).all()


def test_beyond_needs_an_interval_or_no_error():
    assert beyond(Estimate(0.4, math.nan, math.nan, math.nan, 1, "seeds"), -9, above=True) == 1
    assert beyond(Estimate(math.nan, math.nan, math.nan, math.nan, 1, "seeds"), -9, above=True) == 1
    exact = Estimate(0.4, 0.4, 0.4, math.nan, 9, "exact")
    assert [beyond(exact, threshold, above=True) for threshold in (0.3, 0.4, 0.5)] == [0, 1, 1]
    assert [beyond(exact, threshold, above=False) for threshold in (0.3, 0.4, 0.5)] == [1, 1, 0]
