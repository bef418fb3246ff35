"""Sensitivity: against every change of every prompt of small lengths, closed forms, and the samples' own intervals."""

import doctest
from dataclasses import replace
from itertools import pairwise, product
from math import comb

import numpy as np
import pytest

import tasks
from harness.theory import sensitivity
from harness.theory.automata import automaton, places
from harness.theory.sensitivity import rows
from tasks.copying import Copying
from tasks.disjointness import Disjointness
from tasks.distinctness import Distinctness
from tasks.late_rule import LateRule
from tasks.majority import Majority
from tasks.match2 import Match2
from tasks.modular_addition import ModularAddition
from tasks.pairwise import Pairwise
from tasks.parity import Parity
from tasks.words import Words

SMALL = [
    *(tasks.load(name).tiny() for name in "copying majority match2 modular_addition pairwise parity words".split()),
    (tasks.load("count3")(modulus=5), 5),
    (tasks.load("distinctness")(values=8), 4),
    (tasks.load("edit_distance")(characters=3), 4),
    tasks.load("match3").tiny(),
    (tasks.load("orthogonal_vectors")(dim=3), 3),
    (LateRule(values=5), 3),
    (LateRule(values=5, rule="first"), 3),
    (Pairwise(alpha=2, values=3, dim=2, norm="linf", tokens="coordinate"), 3),
    (Pairwise(alpha="prompt", values=4), 3),
]


def brute(problem, length):
    """Of every prompt and place, whether some change of the item there changes the answer, and the share that do."""
    prompts = problem.prompts(length)
    said = dict(zip(map(tuple, prompts.tolist()), problem.solve(prompts)[:, -1:].tolist(), strict=True))
    if prompts.shape[1] == len(problem.solve(prompts)[0]) > 1:  # all of a copy is the answer
        said = {prompt: prompt for prompt in said}
    items = automaton(problem).items
    ends = np.cumsum([0, *(len(items[choice[0]]) for choice in places(problem, length))]).tolist()
    some, drawn = [], []
    for prompt, answer in said.items():
        shares = []
        for start, end in pairwise(ends):
            others = (prompt[:start] + item + prompt[end:] for item in items if item != prompt[start:end])
            changed = [said[other] != answer for other in others if other in said]
            shares.append(sum(changed) / len(changed) if changed else 0)
        some.append([share > 0 for share in shares])
        drawn.append(shares)
    return np.array(some), np.array(drawn)


def test_the_examples_are_as_they_say():
    assert doctest.testmod(sensitivity).failed == 0
    assert doctest.testmod(sensitivity).attempted > 1


def agree(problem, length):
    """Whether all rows are what brute force says."""
    some, drawn = brute(problem, length)
    found = list(rows(problem, length))
    assert all(row["exact"] for row in found)
    expected = {
        "some": some.mean(axis=0),
        "drawn": drawn.mean(axis=0),
        "average": some.sum(axis=1).mean() * np.ones(some.shape[1]),
        "maximal": some.sum(axis=1).max() * np.ones(some.shape[1]),
        "prompts": len(some) * np.ones(some.shape[1]),
    }
    return all([row[name] for row in found] == pytest.approx(column) for name, column in expected.items())


@pytest.mark.parametrize(("problem", "length"), SMALL, ids=repr)
def test_every_place_is_as_brute_force_finds(problem, length):
    assert agree(problem, length)


@pytest.mark.parametrize(
    ("problem", "length", "keep"),
    [
        (Pairwise(alpha=3, values=6), 4, lambda s: s if s == -1 else tuple((low, low) for low, _ in s)),
        (Distinctness(values=8), 4, lambda s: frozenset() if s == -1 else s),
        (Majority(), 6, lambda s: max(-1, min(1, s))),
        (Copying(symbols=5), 3, lambda s: s and s[:2]),
    ],
    ids=["min only", "a clash is forgotten", "a count that is full", "the last is lost"],
)
def test_brute_force_catches_a_reader_that_forgets(problem, length, keep, monkeypatch):
    machine = automaton(problem)
    broken = replace(machine, step=lambda state, item: keep(machine.step(state, item)))
    monkeypatch.setattr("harness.theory.communication.automaton", lambda _: broken)
    assert not agree(problem, length)


def test_sets_that_may_name_an_item_again_are_as_brute_force_finds():
    """The first may not: then a change of it to one of its own items leaves no prompt."""
    task = Disjointness(values=8, ratio=1)
    firsts, seconds = [[s for s in product(range(8), repeat=2) if len(set(s)) > least] for least in (1, 0)]
    shares = np.zeros(5)
    for first, second in product(firsts, seconds):
        right = set(first).isdisjoint(second)
        for place in range(2):
            others = [(*first[:place], x, *first[place + 1 :]) for x in range(8) if x not in first]
            shares[place] += np.mean([set(other).isdisjoint(second) != right for other in others])
            others = [(*second[:place], x, *second[place + 1 :]) for x in range(8) if x != second[place]]
            shares[place + 3] += np.mean([set(first).isdisjoint(other) != right for other in others])
    found = list(rows(task, 4))
    assert [row["drawn"] for row in found] == pytest.approx(shares / len(firsts) / len(seconds))
    assert found[2]["some"] == 0, "the separator cannot be changed"
    assert found[0]["prompts"] == 56 * 64


@pytest.mark.parametrize(("problem", "length"), [*SMALL, (Majority(), 11), (Distinctness(values=10), 5)], ids=repr)
def test_shares_averages_and_maxima_fit_together(problem, length):
    found = list(rows(problem, length))
    assert [row["place"] for row in found] == list(range(len(places(problem, length))))
    for row in found:
        assert 0 <= row["drawn"] <= row["some"] <= 1
        assert row["drawn"] > 0 or row["some"] == 0
        assert row["average"] == pytest.approx(sum(other["some"] for other in found))
        assert row["average"] <= row["maximal"] <= len(found)
        for name in ("some", "drawn"):
            assert row[f"{name}_low"] == row[f"{name}_high"] == row[name]
        if len(automaton(problem).items) == 2:
            assert row["drawn"] == row["some"], "a bit has one other value"


@pytest.mark.parametrize("length", [2, 9, 16])
def test_parity_is_sensitive_everywhere(length):
    for row in rows(Parity(), length):
        assert row["some"] == row["drawn"] == 1
        assert row["average"] == row["maximal"] == length


@pytest.mark.parametrize("length", [3, 8, 13, 16])
def test_majority_is_sensitive_in_the_middle(length):
    """A bit decides if n // 2 of the others are ones; n // 2 + 1 ones are sensitive each, or the zeros if more."""
    share = comb(length - 1, length // 2) / 2 ** (length - 1)
    for row in rows(Majority(), length):
        assert row["some"] == share
        assert row["average"] == length * share
        assert row["maximal"] == max(length // 2 + 1, length - length // 2)


@pytest.mark.parametrize("problem", [ModularAddition(modulus=7), Words(group="S3")], ids=repr)
def test_every_item_of_a_group_matters(problem):
    for row in rows(problem, 5):
        assert (row["some"], row["drawn"], row["maximal"]) == (1, 1, 5)


@pytest.mark.parametrize("values", [8, 11])
def test_distinct_items_are_those_of_the_birthday(values):
    """A change decides if the others differ: from a double always, else to one of them."""
    others = np.prod(1 - np.arange(3) / values)
    double = 3 / values
    for row in rows(Distinctness(values=values), 4):
        assert row["some"] == pytest.approx(others)
        turned = double * (values - 3) / (values - 1) + (1 - double) * 3 / (values - 1)
        assert row["drawn"] == pytest.approx(others * turned)


# Samples --------------------------------------------------------------------------------------------------------------


def test_samples_cover_what_all_prompts_give(monkeypatch):
    """95 % intervals at 65 places: of five seeds at least 90 % hold the share itself, and not all do."""
    problems = [*SMALL, (Disjointness(values=8, ratio=1), 4)]  # which has changes that leave no prompt
    exact = [list(rows(problem, length)) for problem, length in problems]
    monkeypatch.setattr(sensitivity, "ALL", 0)
    covered = []
    for known, (problem, length) in zip(exact, problems, strict=True):
        for seed in range(5):
            found = list(rows(problem, length, seed))
            for right, row in zip(known, found, strict=True):
                assert (row["exact"], row["prompts"], row["place"]) == (False, sensitivity.SAMPLE, right["place"])
                assert row["maximal"] <= right["maximal"]
                assert row["average"] == pytest.approx(sum(other["some"] for other in found))
                for name in ("some", "drawn"):
                    assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
                    if 0 < right[name] < 1:
                        covered.append(row[f"{name}_low"] <= right[name] <= row[f"{name}_high"])
                    else:
                        assert row[name] == right[name]
    assert len(covered) > 300
    assert 0.9 < np.mean(covered) < 1


def test_a_sample_that_does_not_read_on_is_caught(monkeypatch):
    """A broken specimen: a machine whose answer is told by its last item alone."""
    problem = Pairwise(alpha=3, values=6)
    known = list(rows(problem, 4))
    monkeypatch.setattr(sensitivity, "ALL", 0)
    machine = automaton(problem)
    broken = replace(machine, step=lambda state, item: machine.step((), item))
    monkeypatch.setattr(sensitivity, "automaton", lambda _: broken)
    assert any(not r["some_low"] <= k["some"] <= r["some_high"] for k, r in zip(known, rows(problem, 4), strict=True))


def test_rows_are_plain_the_same_again_and_others_with_another_seed():
    problem = Match2()
    first = list(rows(problem, 6))
    assert not first[0]["exact"]
    assert first == list(rows(problem, 6))
    assert first != list(rows(problem, 6, seed=1))
    columns = {tuple(row) for row in [*first, *rows(Parity(), 6)]}
    assert columns == {
        tuple("length place exact prompts some some_low some_high drawn drawn_low drawn_high average maximal".split())
    }
    assert {type(value) for row in [*first, *rows(Parity(), 6)] for value in row.values()} == {int, float, bool}


def test_what_is_too_much_is_refused_with_the_length_that_can_be_done():
    problem = Distinctness()
    with pytest.raises(ValueError, match=r"^length=30: over 4,194,304 items to read in .*; length=8 can be done$"):
        next(rows(problem, 30))
    with pytest.raises(ValueError, match=r"^length=9: over .*; length=8 can be done$"):
        next(rows(problem, 9))
    assert len(list(rows(problem, 8))) == 8
    with pytest.raises(ValueError, match=r"^length=64: .*; no length can be done with these settings$"):
        next(rows(Distinctness(values=4096), 64))
    with pytest.raises(ValueError, match=r"^length=1: 2 to 1024 are possible"):
        next(rows(Pairwise(), 1))
    with pytest.raises(ValueError, match=r"^Khop has no automaton here"):
        next(rows(tasks.load("khop")(), 12))
