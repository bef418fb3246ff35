"""Distinctness held against plain Python: every tiny prompt, the equal pair of a twin, the exact states."""

import doctest
from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from scipy.stats import chisquare

from tasks import sorting
from tasks.distinctness import Distinctness

TASK = Distinctness()


def all_different(items):
    return all(x != y for x, y in combinations(items, 2))


def sample(task, size, length, split):
    return task.sample(np.random.default_rng(0), size, length, split).prompt


def test_every_prompt_is_decided():
    task, length = Distinctness.tiny()
    prompt, every = task.prompts(length), list(product(range(8), repeat=4))
    assert list(map(tuple, prompt.tolist())) == every
    right = np.array([all_different(row) for row in every])
    assert (task.holds(prompt) == right).all()
    assert (task.solve(prompt)[:, 0] == task.say(right)).all()
    for place in range(length):
        assert task.so_far(prompt)[:, place].tolist() == [8 + all_different(row[: place + 1]) for row in every]


def test_the_example_of_the_sorting_room_runs():
    assert doctest.testmod(sorting) == (0, 2)


def test_the_sorted_record_is_sorted_and_knows_the_first_repetition():
    task = Distinctness(values=8)
    for row in sample(task, 300, 4, "natural"):
        expected, before = [], []
        for item in sorted(row.tolist()):
            before.append(item)
            expected.append([item, 8 + all_different(before)])
        assert task.traces["sort"].steps(row[None])[0].tolist() == expected


@pytest.mark.parametrize(("values", "length"), [(8, 4), (256, 5), (256, 64), (256, 128)])
def test_twins_differ_in_one_item_and_the_no_has_one_pair_of_equals_inside(values, length):
    yes, no = sample(Distinctness(values), 2000, length, "boundary").reshape(-1, 2, length).swapaxes(0, 1)
    assert all(all_different(row) for row in yes.tolist())
    assert ((yes != no).sum(axis=1) == 1).all()
    rank = np.sort(no, axis=1)
    equal = rank[:, 1:] == rank[:, :-1]
    assert (equal.sum(axis=1) == 1).all()
    assert not equal[:, [0, -1]].any()
    assert (no.min(axis=1) == yes.min(axis=1)).all()
    assert (no.max(axis=1) == yes.max(axis=1)).all()


def test_the_equal_pair_of_a_twin_is_at_any_two_places_and_either_is_the_edited_one():
    yes, no = sample(TASK, 40_000, 6, "boundary").reshape(-1, 2, 6).swapaxes(0, 1)
    edited = (yes != no).argmax(axis=1)
    other = ((no == no[np.arange(len(no)), edited][:, None]) & (yes == no)).argmax(axis=1)
    counts = np.bincount(6 * edited + other, minlength=36).reshape(6, 6)
    assert not counts.diagonal().any()
    assert chisquare(counts[~np.eye(6, dtype=bool)]).pvalue > 1e-3


@pytest.mark.parametrize("length", [4, 9, 64])
def test_broad_spreads_the_repeated_items_evenly(length):
    different = np.array([len(set(row)) for row in sample(TASK, 20_000, length, "broad").tolist()])
    counts = np.bincount(different, minlength=length + 1)
    assert counts[length] == 10_000
    assert chisquare(counts[1:length]).pvalue > 1e-3


def test_natural_is_the_birthday_problem():
    alone = np.prod(1 - np.arange(20) / 256)
    assert abs(TASK.holds(sample(TASK, 20_000, 20, "natural")).mean() - alone) < 5 * np.sqrt(alone / 20_000)


def states(values, length):
    """Prefixes of a length that some rest tells apart, at the worst cut; of all lengths together."""
    worst, signatures = 0, set()
    for cut in range(length + 1):
        rests = list(product(range(values), repeat=length - cut))
        prefixes = list(product(range(values), repeat=cut))
        worst = max(worst, len({tuple(all_different(prefix + rest) for rest in rests) for prefix in prefixes}))
        futures = [future for n in range(2) for future in product(range(values), repeat=n)]
        signatures |= {tuple(all_different(prefix + future) for future in futures) for prefix in prefixes}
    return worst, len(signatures)


@pytest.mark.parametrize(("values", "length"), [(4, 3), (5, 3), (6, 4)])
def test_the_stated_bits_are_those_of_the_worst_cut(values, length):
    assert states(values, length)[0] == comb(values, length - 1) + 1
    assert "log2(C(M, n-1) + 1)" in TASK.theory.state.condition


@pytest.mark.parametrize("values", [2, 3, 4])
def test_the_classes_are_the_sets_and_one_that_is_lost(values):
    assert states(values, values + 1)[1] == 2**values + 1
    assert TASK.classes() == 2**256 + 1


def test_settings_without_twins_and_lengths_that_leak_are_refused():
    with pytest.raises(ValueError, match=r"task\.values=7: 8 to 8192 are possible; lengths go up to the half"):
        Distinctness(values=7)
    with pytest.raises(ValueError, match="length=129: 4 to 128 are possible with these settings"):
        sample(TASK, 2, 129, "natural")
    with pytest.raises(ValueError, match="length=3: 4 to 128"):
        sample(TASK, 2, 3, "boundary")
