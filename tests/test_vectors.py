"""Vectors as Pairwise draws them: twins, distinct ones, even diameters, and what cheap rules make of them."""

import doctest
from dataclasses import replace
from itertools import combinations, product
from time import perf_counter

import numpy as np
import pytest
from scipy.stats import chisquare

from tasks.base import SPLITS
from tasks.check import shortcut_scores
from tasks.pairwise import Pairwise
from tasks.vectors import ball, box, tokens
from tests.test_pairwise import (
    BALL,
    BOX,
    HAMMING,
    PADDED,
    SQUARE,
    WRITTEN,
    alphas,
    diameter,
    distance,
    limit,
    named,
    no,
    sample,
    understood,
    vectors,
)


@pytest.mark.parametrize("problem", [*WRITTEN, replace(HAMMING, dim=9, alpha=3), replace(BALL, alpha=3)], ids=named)
@pytest.mark.parametrize("length", [2, 3, 20])
def test_twins_are_one_step_apart_and_one_pair_is_too_far(problem, length):
    prompt, reach = sample(problem, 400, length, "boundary").prompt.tolist(), limit(problem, problem.alpha)
    moved, upwards = set(), 0
    for one, other in zip(prompt[::2], prompt[1::2], strict=True):
        close, apart = vectors(problem, one), vectors(problem, other)
        (place,) = (place for place in range(length) if close[place] != apart[place])
        (step,) = (b - a for a, b in zip(close[place], apart[place], strict=True) if a != b)
        assert abs(step) == 1
        assert diameter(problem, close) < reach
        (pair,) = (pair for pair in combinations(apart, 2) if distance(problem, *pair) >= reach)
        assert apart[place] in pair
        assert close.count(close[place]) == 1  # what it was is not left behind
        if problem.norm == "l2":  # no coordinate alone tells
            assert max(abs(a - b) for a, b in zip(*pair, strict=True)) < problem.alpha
        moved.add(place)
        upwards += step > 0
    assert moved == set(range(length))
    assert 80 < upwards < 120


def test_where_no_other_vector_is_close_the_end_that_stays_is_copied():
    prompt = sample(Pairwise(alpha=2, values=2, dim=2, norm="hamming"), 100, 5, "boundary").prompt
    counts = np.sort([np.bincount(row, minlength=4) for row in prompt])
    assert (counts == [0, 0, 1, 4]).all()


@pytest.mark.parametrize(
    ("problem", "longest"),
    [
        (Pairwise(alpha=9), 9),
        (SQUARE, 16),
        (BOX, 27),
        (HAMMING, 16),
        (PADDED, 8),
        (replace(HAMMING, alpha="prompt"), 16),
    ],
    ids=str,
)
def test_distinct_twins_exist_up_to_the_longest(problem, longest):
    problem = replace(problem, distinct=True)
    assert problem.longest == longest
    for length, split in product((longest - 1, longest), SPLITS):
        drawn = sample(problem, 200, length, split)
        for row in drawn.prompt.tolist():
            assert len(set(understood(problem, row, length)[1])) == length
        assert np.array_equal(problem.solve(drawn.prompt), drawn.answer)
    with pytest.raises(ValueError, match=f"length={longest + 1}: twins have at most {longest} distinct"):
        sample(problem, 2, longest + 1, "broad")


def test_the_longest_distinct_hamming_prompt_has_one_of_each_antipodal_pair():
    prompt = sample(replace(HAMMING, distinct=True), 400, 16, "boundary").prompt[::2]
    assert (np.sort(np.minimum(prompt, 31 - prompt)) == np.arange(16)).all()
    ones = (prompt[..., None] >> np.arange(5) & 1).sum(axis=1)
    assert ((ones > 1) & (ones < 15)).mean() > 0.97  # either of a pair, at random


EVEN = [replace(HAMMING, dim=7), PADDED, SQUARE, BOX, replace(HAMMING, distinct=True, dim=8, alpha=6)]


@pytest.mark.parametrize("problem", EVEN, ids=named)
@pytest.mark.parametrize("length", [2, 9])
def test_broad_spreads_evenly(problem, length):
    drawn = sample(problem, 6000, length, "broad")
    reach = np.array([diameter(problem, vectors(problem, row)) for row in drawn.prompt.tolist()])
    counts = np.bincount(reach, minlength=alphas(problem)[-1] + 1)
    least = (length - 1).bit_length() if problem.distinct else 0  # a smaller cube does not hold them
    assert not counts[:least].any()
    assert chisquare(counts[least : problem.alpha]).pvalue > 1e-3
    assert chisquare(counts[problem.alpha :]).pvalue > 1e-3


@pytest.mark.parametrize("length", [2, 9])
def test_broad_spreads_the_euclidean_distance_evenly(length):
    problem = Pairwise(alpha=30, values=40, dim=2, norm="l2")
    drawn = sample(problem, 4000, length, "broad")
    reach = np.sqrt([diameter(problem, vectors(problem, row)) for row in drawn.prompt.tolist()])
    counts = np.histogram(reach, bins=[0, 6, 12, 18, 24, 30, 35, 40, 45, 50, 55.2])[0]
    assert (np.abs(counts / 400 - 1) < 0.2).all()  # the last step before alpha is half as likely


@pytest.mark.parametrize("written", ["item", "coordinate"])
def test_natural_asks_every_norm_of_the_same_prompts(written):
    norms = [replace(problem, tokens=written) for problem in (BOX, replace(BOX, norm="l2", alpha=7))]
    one, other = (sample(problem, 500, 4, "natural") for problem in norms)
    assert np.array_equal(one.prompt, other.prompt)
    assert not np.array_equal(one.answer, other.answer)


@pytest.mark.parametrize("problem", [*WRITTEN, Pairwise(alpha="prompt")], ids=named)
@pytest.mark.parametrize("length", [3, 4, 16])
def test_twins_do_not_leak(problem, length):
    assert max(shortcut_scores(problem, length).values()) < 0.6
    if problem.alpha == "prompt":
        return
    seen, fresh = (sample(problem, 3000, length, "boundary", seed) for seed in (1, 2))
    known, asked = ([vectors(problem, row) for row in drawn.prompt.tolist()] for drawn in (seen, fresh))
    for one, other in zip(known[::2], known[1::2], strict=True):  # twins repeat as many vectors as often
        assert sorted(map(one.count, one)) == sorted(map(other.count, other))
    known, asked = (np.eye(problem.values)[np.array(part)].reshape(len(part), -1) for part in (known, asked))
    weights = np.linalg.lstsq(known, seen.answer[:, 0] - no(problem) - 0.5, rcond=None)[0]  # of place and value
    assert ((asked @ weights > 0) == (fresh.answer[:, 0] > no(problem))).mean() < 0.6


@pytest.mark.parametrize("module", [ball, box, tokens])
def test_the_examples_in_vectors_run(module):
    assert doctest.testmod(module).failed == 0 < doctest.testmod(module).attempted


@pytest.mark.parametrize("split", ["boundary", "broad"])
def test_vectors_are_drawn_ten_thousand_a_second(split):
    took = []
    for _ in range(3):
        start = perf_counter()
        sample(HAMMING, 10_000, 16, split)
        took.append(perf_counter() - start)
    assert min(took) < 1
