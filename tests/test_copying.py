"""Copying: all prompts are equally likely, twins differ in one token at any place, impossible settings are refused."""

from collections import Counter
from itertools import permutations, product
from math import log

import numpy as np
import pytest
from scipy.stats import chisquare

from tasks.base import SPLITS
from tasks.copying import Copying

UNIQUE, REPEAT = Copying(symbols=5), Copying(symbols=3, repeat=True)


@pytest.mark.parametrize(
    ("ours", "every"),
    [(UNIQUE, list(permutations(range(5), 3))), (REPEAT, list(product(range(3), repeat=3)))],
    ids=["unique", "repeat"],
)
def test_the_prompts_are_all_there_are_and_their_number_is_the_entropy(ours, every):
    prompt = ours.prompts(3)
    assert sorted(map(tuple, prompt.tolist())) == sorted(every)
    assert (ours.solve(prompt) == prompt).all()
    assert ours.entropy(3) == pytest.approx(log(len(every)))
    assert ours.chance(3) == pytest.approx(1 / len(every))


@pytest.mark.parametrize("ours", [UNIQUE, REPEAT], ids=["unique", "repeat"])
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("row", [0, 1])
def test_each_row_is_uniform_over_all_prompts(ours, split, row):
    prompt = ours.sample(np.random.default_rng(row), 20_000, 3, split).prompt[row::2]
    times = Counter(map(tuple, prompt.tolist()))
    assert len(times) == len(ours.prompts(3))
    assert chisquare(list(times.values())).pvalue > 1e-3


@pytest.mark.parametrize("ours", [Copying(symbols=12), Copying(symbols=4, repeat=True)])
def test_twins_differ_in_one_token_at_any_place(ours):
    instance = ours.sample(np.random.default_rng(2), 12_001, 11, "boundary")
    one, other = instance.prompt[:-1:2], instance.prompt[1::2]
    assert ((one != other).sum(axis=1) == 1).all()
    assert chisquare((one != other).sum(axis=0)).pvalue > 1e-3
    step = (other - one)[one != other] % ours.symbols
    assert chisquare(np.bincount(step)[1:]).pvalue > 1e-3
    assert (instance.answer == instance.prompt).all()
    assert not np.shares_memory(instance.answer, instance.prompt)


def test_where_all_tokens_differ_a_twin_has_a_spare_one():
    prompt = Copying(symbols=64).sample(np.random.default_rng(3), 1000, 63, "boundary").prompt
    assert all(len(set(row)) == 63 for row in prompt.tolist())
    assert Copying(symbols=64).longest == 63
    assert Copying(symbols=2000).longest == Copying(symbols=64, repeat=True).longest == 1024


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"symbols": 2}, "task.symbols=2: 3 to 65536 are possible with task.repeat=False"),
        ({"symbols": 1, "repeat": True}, "task.symbols=1: 2 to 65536 are possible with task.repeat=True"),
        ({"symbols": 65537}, "task.symbols=65537: 3 to"),
    ],
)
def test_settings_without_twins_are_refused(settings, named):
    with pytest.raises(ValueError, match=named):
        Copying(**settings)


def test_a_longer_prompt_than_symbols_allow_is_refused():
    with pytest.raises(ValueError, match="length=256: 1 to 255 are possible"):
        Copying().sample(np.random.default_rng(4), 2, 256, "broad")
