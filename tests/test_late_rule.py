"""LateRule, held against plain Python: every tiny prompt in both orders, what twins promise, the same content."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import chisquare

from tasks.late_rule import LateRule


def sample(task, size, length, split):
    return task.sample(np.random.default_rng(1), size, length, split)


def matches(row, values):
    """The pairs of values that add up to the target, which is the last of the row."""
    *items, target = row
    return {frozenset((x, y)) for x, y in combinations(items, 2) if (x + y - target) % values == 0}


@pytest.mark.parametrize("values", [5, 6])
@pytest.mark.parametrize("rule", ["last", "first"])
def test_every_tiny_prompt_is_right(values, rule):
    task, length = LateRule(values, rule), 3
    prompt = task.prompts(length)
    assert prompt.shape == (values**4, 4)
    rows = (np.roll(prompt, -1, axis=1) if rule == "first" else prompt).tolist()
    found = np.array([[bool(matches([*row[: i + 1], row[-1]], values)) for i in range(length)] for row in rows])
    assert np.array_equal(task.solve(prompt)[:, 0], 2 * values + found[:, -1])
    assert np.array_equal(task.holds(prompt), found[:, -1])
    so_far = task.so_far(prompt)
    if rule == "first":
        assert (so_far[:, 0] == -1).all()
        assert np.array_equal(so_far[:, 1:], 2 * values + found)
    else:
        assert (so_far[:, :-1] == -1).all()
        assert np.array_equal(so_far[:, -1], 2 * values + found[:, -1])
    for name, trace in task.traces.items():
        steps = trace.steps(prompt)
        assert np.array_equal(trace.read(steps)[:, 0], 2 * values + found[:, -1]), name
        for index in range(trace.count(length)):
            assert np.array_equal(trace.next(prompt, steps[:, :index]), steps[:, index]), name


@pytest.mark.parametrize("values", [5, 6, 9, 64])
@pytest.mark.parametrize("length", [2, 3, 12])
def test_twins_share_the_target_and_differ_in_one_item(values, length):
    prompt, places = sample(LateRule(values), 800, length, "boundary").prompt, set()
    assert (prompt[::2, -1] == prompt[1::2, -1]).all()
    for yes, no in zip(prompt[::2].tolist(), prompt[1::2].tolist(), strict=True):
        assert len(matches(yes, values)) == 1
        assert not matches(no, values)
        assert len(set(yes)) == len(set(no))
        (place,) = (i for i in range(length) if yes[i] != no[i])
        places.add(place)
    assert places == set(range(length))


@pytest.mark.parametrize("split", ["boundary", "broad", "natural"])
def test_the_two_orders_have_the_same_content(split):
    last, first = (sample(LateRule(rule=rule), 64, 9, split) for rule in ("last", "first"))
    assert np.array_equal(last.prompt, np.roll(first.prompt, -1, axis=1))
    assert np.array_equal(last.answer, first.answer)


def test_every_target_is_as_likely_for_both_answers():
    instance = sample(LateRule(16), 20_000, 6, "broad")
    for answer in (32, 33):
        target = instance.prompt[instance.answer[:, 0] == answer, -1] - 16
        assert chisquare(np.bincount(target, minlength=16)).pvalue > 1e-3


def test_broad_spreads_the_number_of_matches_evenly():
    instance = sample(LateRule(9999), 6000, 8, "broad")
    counts = [len(matches(row, 9999)) for row in instance.prompt.tolist() if len(set(row)) == 9]
    counts = np.bincount(counts, minlength=5)
    assert len(counts) == 5
    assert chisquare(counts[1:]).pvalue > 1e-3
    assert counts[0] > counts[1:].sum() / 2


def test_what_it_costs_depends_on_the_order():
    last, first = LateRule().theory, LateRule(rule="first").theory
    assert last.time == first.time
    assert "causal one in n steps" in last.steps.source
    assert first.steps.condition == "three softmax layers, causal or not"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"rule": "middle"}, "task.rule=middle: first and last exist"),
        ({"values": 4}, "task.values=4: at least 5 are needed"),
        ({"values": 2**21}, "task.values=2097152: at most 1048576"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused_in_a_sentence(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        LateRule(**settings)


@pytest.mark.parametrize("values", [7, 8])
def test_two_equal_items_say_nothing_by_themselves(values):
    problem = LateRule(values=values)
    drawn = problem.sample(np.random.default_rng(5), 6000, 2, "broad")
    equal, yes = drawn.prompt[:, 0] == drawn.prompt[:, 1], drawn.answer[:, 0] == problem.vocab - 1
    assert 0.03 < equal[yes].mean() < 0.2, "as natural has them, so that training shows both kinds"
    assert 0.03 < equal[~yes].mean() < 0.2
