"""Disjointness held against plain Python: every tiny prompt, the common item of a twin, sizes, the exact states."""

from itertools import combinations, permutations
from math import comb

import numpy as np
import pytest
from scipy.stats import chisquare

from tasks.disjointness import Disjointness

SETTINGS = [Disjointness(), *Disjointness.variations(), Disjointness(ratio=7, first="larger")]


def sets(problem, row):
    """The two sides of the separator."""
    assert row.count(problem.values) == 1
    middle = row.index(problem.values)
    return row[:middle], row[middle + 1 :]


def sample(problem, size, length, split):
    return problem.sample(np.random.default_rng(0), size, length, split).prompt


@pytest.mark.parametrize(
    "problem", [Disjointness(8), Disjointness(8, first="larger"), Disjointness(8, ratio=1)], ids=str
)
def test_every_prompt_is_decided(problem):
    small = 2 if problem.ratio == 1 else 1
    sizes = (small, 4 - small) if problem.first == "smaller" else (4 - small, small)
    every = [(*a, 8, *b) for a in permutations(range(8), sizes[0]) for b in permutations(range(8), sizes[1])]
    prompt = problem.prompts(4)
    assert list(map(tuple, prompt.tolist())) == every
    right = np.array([not any(x in row[: sizes[0]] for x in row[sizes[0] + 1 :]) for row in every])
    assert (problem.holds(prompt) == right).all()
    assert (problem.solve(prompt)[:, 0] == problem.say(right)).all()
    for name, trace in problem.traces.items():
        assert (trace.read(trace.steps(prompt)) == problem.solve(prompt)).all(), name
    so_far = problem.so_far(prompt)
    assert (so_far[:, : sizes[0] + 1] == -1).all()
    for place in range(sizes[0] + 1, 5):
        met = [any(x in row[: sizes[0]] for x in row[sizes[0] + 1 : place + 1]) for row in every]
        assert (so_far[:, place] == problem.say(~np.array(met))).all()


@pytest.mark.parametrize("problem", SETTINGS, ids=str)
@pytest.mark.parametrize("length", [8, 9, 15, 64])
@pytest.mark.parametrize("split", ["boundary", "broad", "natural"])
def test_sets_are_sets_of_the_stated_sizes(problem, length, split):
    small = length // (problem.ratio + 1)
    for row in sample(problem, 100, length, split).tolist():
        one, two = sets(problem, row)
        assert (len(one), len(two)) == (
            (small, length - small) if problem.first == "smaller" else (length - small, small)
        )
        assert len(set(one)) == len(one)
        assert len(set(two)) == len(two)


@pytest.mark.parametrize("problem", SETTINGS, ids=str)
@pytest.mark.parametrize("length", [8, 33])
def test_twins_differ_in_one_item_and_the_no_has_one_common_item_that_is_no_extreme(problem, length):
    prompt = sample(problem, 1000, length, "boundary")
    assert ((prompt[::2] != prompt[1::2]).sum(axis=1) == 1).all()
    for yes, no in zip(prompt[::2].tolist(), prompt[1::2].tolist(), strict=True):
        assert not set.intersection(*map(set, sets(problem, yes)))
        common = set.intersection(*map(set, sets(problem, no)))
        assert len(common) == 1
        items = [x for x in no if x != problem.values]
        assert common.isdisjoint({min(items), max(items)})
        assert (min(items), max(items)) == (min(yes), max(x for x in yes if x != problem.values))


def test_a_twin_is_edited_in_either_set_and_its_equal_is_anywhere_in_the_other():
    problem = Disjointness(ratio=1)
    prompt = sample(problem, 40_000, 6, "boundary")
    yes, no = np.delete(prompt, 3, axis=1).reshape(-1, 2, 6).swapaxes(0, 1)
    edited = (yes != no).argmax(axis=1)
    equal = ((no == no[np.arange(len(no)), edited][:, None]) & (yes == no)).argmax(axis=1)
    counts = np.bincount(6 * edited + equal, minlength=36).reshape(6, 6)
    assert not counts[:3, :3].any()
    assert not counts[3:, 3:].any()
    assert chisquare(np.concatenate([counts[:3, 3:], counts[3:, :3]]).ravel()).pvalue > 1e-3


@pytest.mark.parametrize("problem", SETTINGS, ids=str)
@pytest.mark.parametrize("length", [9, 64])
def test_broad_spreads_the_size_of_the_intersection_evenly(problem, length):
    rows = sample(problem, 4000, length, "broad").tolist()
    common = np.bincount([len(set.intersection(*map(set, sets(problem, row)))) for row in rows])
    assert common[0] == 2000
    assert len(common) == 1 + length // (problem.ratio + 1)
    assert len(common) == 2 or chisquare(common[1:]).pvalue > 1e-3


def test_natural_sets_know_nothing_of_each_other():
    problem = Disjointness()  # 8 items, then 24
    apart = comb(256 - 8, 24) / comb(256, 24)
    assert abs(problem.holds(sample(problem, 20_000, 32, "natural")).mean() - apart) < 5 * np.sqrt(apart / 20_000)


@pytest.mark.parametrize(("values", "one", "two"), [(5, 2, 3), (5, 3, 2), (6, 1, 3), (6, 3, 1)])
def test_the_stated_bits_are_those_of_the_first_set(values, one, two):
    rests = list(combinations(range(values), two))
    told = {tuple(not {*a} & {*b} for b in rests) for a in combinations(range(values), one)}
    assert len(told) == comb(values, one)
    assert len(told | {(False,) * len(rests)}) == comb(values, one) + 1, "and a class that has met"
    assert Disjointness().theory.state.bound == "log2(C(M, |A|) + 1) bits"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"values": 7}, r"task\.values=7: 8 to 8192 are possible; lengths go up to the half"),
        ({"ratio": 0}, r"task\.ratio=0: 1, for equal sizes, to 127 are possible"),
        ({"ratio": 128}, r"task\.ratio=128: 1, for equal sizes, to 127 are possible"),
        ({"first": "small"}, r"task\.first=small: smaller and larger exist"),
    ],
)
def test_settings_without_meaning_are_refused(settings, named):
    with pytest.raises(ValueError, match=named):
        Disjointness(**settings)


def test_lengths_that_leave_a_set_empty_are_refused():
    with pytest.raises(ValueError, match="length=7: 8 to 128 are possible with these settings"):
        sample(Disjointness(ratio=7), 2, 7, "natural")
