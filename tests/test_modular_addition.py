"""Sums modulo m held against plain Python: every tiny prompt, uniform rows, the tree, the exact number of states."""

from itertools import product
from math import ceil, log2

import numpy as np
import pytest
from scipy.stats import chisquare

from tasks.base import SPLITS
from tasks.modular_addition import ModularAddition


@pytest.mark.parametrize(("modulus", "length"), [(2, 6), (3, 5), (7, 3), (10, 2)])
def test_every_prompt_is_summed(modulus, length):
    task, every = ModularAddition(modulus), list(product(range(modulus), repeat=length))
    prompt = task.prompts(length)
    assert list(map(tuple, prompt.tolist())) == every
    right = np.array([sum(row) % modulus for row in every])
    assert (task.solve(prompt)[:, 0] == modulus + right).all()
    for name, trace in task.traces.items():
        assert (trace.read(trace.steps(prompt)) == task.solve(prompt)).all(), name
    for place in range(length):
        assert task.so_far(prompt)[:, place].tolist() == [modulus + sum(row[: place + 1]) % modulus for row in every]


@pytest.mark.parametrize("length", [2, 3, 8, 11, 64])
def test_the_tree_adds_each_residue_once_in_few_rounds(length):
    one_hot = np.eye(length, dtype=np.int64)  # a residue that is left out, or added twice, gives another sum
    assert (ModularAddition().traces["tree"].steps(one_hot)[:, -1] == 7 + 1).all()
    rounds = [0] * length
    for step in range(length - 1):
        rounds.append(1 + max(rounds[2 * step], rounds[2 * step + 1]))
    assert rounds[-1] == ceil(log2(length))


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("part", [0, 1])
def test_every_row_of_every_split_is_uniform(split, part):
    prompt = ModularAddition(3).sample(np.random.default_rng(1), 40_000, 4, split).prompt[part::2]
    counts = np.unique(prompt, axis=0, return_counts=True)[1]
    assert len(counts) == 81
    assert chisquare(counts).pvalue > 1e-3


def test_twins_differ_in_one_residue_at_any_place_by_any_amount():
    prompt = ModularAddition().sample(np.random.default_rng(2), 8001, 9, "boundary").prompt
    edit = (prompt[1::2] - prompt[:-1:2]) % 7
    assert ((edit > 0).sum(axis=1) == 1).all()
    assert chisquare((edit > 0).sum(axis=0)).pvalue > 1e-3
    assert chisquare(np.bincount(edit.max(axis=1))[1:]).pvalue > 1e-3


@pytest.mark.parametrize("size", [70, 75])
def test_broad_has_as_many_of_each_answer(size):
    answer = ModularAddition().sample(np.random.default_rng(3), size, 5, "broad").answer
    counts = np.bincount(answer[:, 0], minlength=14)
    assert counts[:7].sum() == 0
    assert np.ptp(counts[7:]) == (size % 7 > 0)


@pytest.mark.parametrize("modulus", [2, 3, 7])
def test_the_classes_are_those_that_one_more_residue_tells_apart(modulus):
    prefixes = [row for length in range(4) for row in product(range(modulus), repeat=length)]
    told = {tuple((sum(row) + rest) % modulus for rest in range(modulus)) for row in prefixes}
    assert ModularAddition(modulus).classes() == len(told)


@pytest.mark.parametrize("modulus", [1, 0, -3, 1025])
def test_a_modulus_without_a_question_is_refused(modulus):
    with pytest.raises(ValueError, match=f"task.modulus={modulus}: 2 to 1024 are possible"):
        ModularAddition(modulus)
