"""Recall: laws at other settings, what is asked where, and how keys, values and slots are drawn."""

import itertools
import math
from collections import Counter
from itertools import permutations
from math import log
from time import perf_counter

import numpy as np
import pytest
from scipy.stats import chisquare

from tasks.base import SPLITS
from tasks.check import check_task
from tasks.recall import Recall


@pytest.mark.parametrize(
    "recall",
    [
        Recall(pairs=1, symbols=4),
        Recall(pairs=1, symbols=9, random_non_queries=True),
        Recall(pairs=2, symbols=16, power=1.0, random_non_queries=True),
        Recall(pairs=4, symbols=10),
        Recall(pairs=8, symbols=1024, power=0.5),
    ],
    ids=str,
)
def test_recall_keeps_the_laws_at_other_settings(recall):
    failed = [verdict for verdict in check_task(recall, [recall.shortest, recall.shortest + 1]) if not verdict.passed]
    assert failed == []


def test_recall_keeps_the_laws_among_random_tokens():
    class Noisy(Recall):
        __module__ = Recall.__module__

        @classmethod
        def tiny(cls):
            return cls(pairs=1, symbols=6, random_non_queries=True), 6

    assert len(Noisy.tiny()[0].prompts(6)) == 2 * 3 * 2 * 5**3
    assert [verdict for verdict in check_task(Noisy(), [16]) if not verdict.passed] == []


@pytest.mark.parametrize(("length", "pairs"), [(64, 4), (128, 8), (256, 16), (512, 64)])
@pytest.mark.parametrize("random_non_queries", [False, True])
@pytest.mark.parametrize("split", SPLITS)
def test_recall_asks_every_key_once_at_an_even_offset(length, pairs, random_non_queries, split):
    task = Recall(pairs, random_non_queries=random_non_queries)
    instance = task.sample(np.random.default_rng(7), 33, length, split)
    assert instance.prompt.shape == (33, length)
    assert instance.answer.shape == instance.at.shape == (33, pairs)
    assert (instance.at % 2 == 0).all()
    for row, answer, at in zip(instance.prompt, instance.answer, instance.at, strict=True):
        keys, values, rest = row[: 2 * pairs : 2], row[1 : 2 * pairs : 2], row[2 * pairs :]
        assert ((keys > 0) & (keys < 4096)).all()
        assert ((values >= 4096) & (values < 8192)).all()
        assert len(set(keys)) == len(set(values)) == pairs
        assert sorted(row[at]) == sorted(keys) == sorted(rest[np.isin(rest, keys)])
        assert [values[keys == key].item() for key in row[at]] == answer.tolist()
        assert random_non_queries or np.count_nonzero(rest) == pairs


def test_recall_twins_differ_in_one_value_of_any_pair():
    instance = Recall(3, 50).sample(np.random.default_rng(8), 6000, 14, "boundary")
    edit = instance.prompt[::2] != instance.prompt[1::2]
    assert (edit.sum(axis=1) == 1).all()
    assert chisquare(edit.sum(axis=0)[1:6:2]).pvalue > 1e-3
    assert ((instance.answer[::2] != instance.answer[1::2]).sum(axis=1) == 1).all()
    assert (instance.at[::2] == instance.at[1::2]).all()


def successive(weights, count):
    """The probability of every ordered choice when ``count`` indices are drawn one after another, by weight."""
    likely = {}
    for order in permutations(range(len(weights)), count):
        left = [sum(weights) - sum(weights[i] for i in order[:k]) for k in range(count)]
        likely[order] = np.prod([weights[i] / rest for i, rest in zip(order, left, strict=True)])
    return likely


@pytest.mark.parametrize("power", [0.01, 1.0, 2.5])
def test_recall_draws_slots_one_after_another_by_a_power_law(power):
    task, likely = Recall(pairs=3, symbols=12, power=power), successive([i ** (power - 1) for i in range(1, 6)], 3)
    prompt = task.sample(np.random.default_rng(9), 30_000, 16, "broad").prompt.tolist()
    slots = Counter(tuple(row[6::2].index(key) for key in row[:6:2]) for row in prompt)
    assert chisquare([slots[order] for order in likely], [30_000 * p for p in likely.values()]).pvalue > 1e-3
    keys_and_values = log(5 * 4 * 3) + log(6 * 5 * 4)
    assert task.entropy(16) == pytest.approx(keys_and_values - sum(p * log(p) for p in likely.values()))


@pytest.mark.parametrize("symbols", [8, 24])  # the whole range is permuted, repetitions are drawn again
def test_recall_draws_ordered_keys_uniformly(symbols):
    prompt = Recall(pairs=2, symbols=symbols).sample(np.random.default_rng(10), 50_000, 8, "natural").prompt
    times = Counter(map(tuple, prompt[:, :3:2].tolist()))
    assert len(times) == (symbols // 2 - 1) * (symbols // 2 - 2)
    assert chisquare(list(times.values())).pvalue > 1e-3


def test_recall_knows_no_entropy_where_there_are_too_many_sets_of_slots():
    assert Recall().entropy(64) > Recall().entropy(16)
    assert Recall(16).entropy(256) is None
    noise = Recall(random_non_queries=True).entropy(64) - Recall().entropy(64)
    assert noise == pytest.approx(52 * log(8188))


def test_recall_makes_a_batch_in_a_millisecond():
    task, rng, took = Recall(), np.random.default_rng(11), []
    for _ in range(20):
        start = perf_counter()
        task.sample(rng, 64, 64, "boundary")
        took.append(perf_counter() - start)
    assert min(took) < 1e-3


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"pairs": 0}, "task.pairs=0: 1 to 256"),
        ({"pairs": 257}, "task.pairs=257: 1 to 256"),
        ({"symbols": 9}, "task.symbols=9: at least 10 are needed with task.pairs=4"),
        ({"power": 0.0}, "task.power=0.0: above 0"),
        ({"power": float("nan")}, "task.power=nan: above 0"),
    ],
)
def test_recall_refuses_impossible_settings(settings, named):
    with pytest.raises(ValueError, match=named):
        Recall(**settings)


@pytest.mark.parametrize("length", [15, 1025])
def test_recall_refuses_other_lengths(length):
    with pytest.raises(ValueError, match=f"length={length}: 16 to 1024 are possible"):
        Recall().sample(np.random.default_rng(12), 2, length, "broad")


@pytest.mark.parametrize(("pairs", "values"), [(1, 2), (2, 3), (2, 5), (3, 4)])
def test_the_state_bound_counts_the_prompts_that_no_query_may_confuse(pairs, values):
    """Of prompts with the same keys, each order of values has answers of its own, brute force."""
    task = Recall(pairs=pairs, symbols=2 * values)
    told = {tuple(chosen) for chosen in itertools.permutations(range(values), pairs)}
    assert task.state_bits(64) == pytest.approx(math.log2(len(told)))
