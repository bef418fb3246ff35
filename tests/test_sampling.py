"""What is drawn without a loop over rows is drawn uniformly: every outcome, nothing else, and as often as any other."""

from collections import Counter
from itertools import combinations, permutations

import numpy as np
import pytest
from scipy.stats import chisquare

from tasks.sampling import chosen, distinct, shuffled, spare


def uniform(rows, outcomes):
    """Whether these are the outcomes, each as often as any other."""
    times = Counter(map(tuple, np.asarray(rows).tolist()))
    return set(times) == set(outcomes) and (len(times) == 1 or chisquare(list(times.values())).pvalue > 1e-3)


@pytest.mark.parametrize(("below", "count"), [(3, 3), (5, 2), (6, 3), (7, 1), (4, 0)])
def test_every_set_is_chosen_as_often(below, count):
    rng = np.random.default_rng(0)
    numbers = chosen(rng, np.full(20_000, below), count)
    assert numbers.shape == (20_000, count)
    assert count == 0 or uniform(np.sort(numbers, axis=1), combinations(range(below), count))


def test_each_row_is_chosen_below_its_own_number():
    below = np.random.default_rng(1).integers(3, 9, 20_000)
    numbers = np.sort(chosen(np.random.default_rng(2), below, 3), axis=1)
    assert (np.diff(numbers) > 0).all()
    for most in range(3, 9):
        assert uniform(numbers[below == most], combinations(range(most), 3))


@pytest.mark.parametrize(
    ("count", "kinds"), [(3, 4), (2, 7), (2, 8), (3, 12), (1, 5)]
)  # from 4 * count on, drawn again
def test_every_ordered_choice_is_as_frequent(count, kinds):
    numbers = distinct(np.random.default_rng(3), 40_000, count, kinds)
    assert uniform(numbers, permutations(range(kinds), count))


@pytest.mark.parametrize("kinds", [40, 64, 1000])
def test_many_are_distinct_at_once(kinds):
    numbers = np.sort(distinct(np.random.default_rng(4), 500, 16, kinds), axis=1)
    assert (np.diff(numbers) > 0).all()
    assert numbers.min() >= 0
    assert numbers.max() < kinds


def test_the_spare_ones_are_those_that_are_not_taken_in_their_order():
    rng, kinds = np.random.default_rng(5), 9
    taken = distinct(rng, 300, 4, kinds)
    found = spare(np.tile(np.arange(kinds - 4), (300, 1)), taken)
    assert all(
        sorted({*range(kinds)} - {*row}) == left for row, left in zip(taken.tolist(), found.tolist(), strict=True)
    )


def test_vectors_are_shuffled_to_every_order_and_those_of_a_twin_alike():
    items = np.arange(8).reshape(1, 4, 2) + np.array([0, 100])[:, None, None]  # a twin of four vectors of two numbers
    mixed = shuffled(np.random.default_rng(6), np.tile(items, (24_000, 1, 1, 1)))
    assert (mixed[:, 1] == mixed[:, 0] + 100).all()
    assert (mixed[:, 0, :, 1] == mixed[:, 0, :, 0] + 1).all()
    assert uniform(mixed[:, 0, :, 0] // 2, permutations(range(4)))
