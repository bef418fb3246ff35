"""Majority held against plain Python: every prompt of eight bits, twins, the spread, the exact number of states."""

from itertools import product
from math import log2

import numpy as np
import pytest
from scipy.stats import chisquare

from tasks.majority import Majority

TASK = Majority()


def majority(bits):
    return 2 * sum(bits) > len(bits)


def sample(size, length, split):
    return TASK.sample(np.random.default_rng(0), size, length, split)


@pytest.mark.parametrize("length", range(1, 9))
def test_every_prompt_is_decided(length):
    prompt = TASK.prompts(length)
    assert sorted(map(tuple, prompt)) == list(product((0, 1), repeat=length))
    right = [majority(bits) for bits in product((0, 1), repeat=length)]
    assert TASK.holds(prompt).tolist() == right
    assert (TASK.solve(prompt)[:, 0] == TASK.symbols + np.array(right)).all()
    for name, trace in TASK.traces.items():
        assert (trace.read(trace.steps(prompt)) == TASK.solve(prompt)).all(), name
    for place in range(length):
        expected = [majority(bits[: place + 1]) for bits in product((0, 1), repeat=length)]
        assert (TASK.so_far(prompt)[:, place] == TASK.symbols + np.array(expected)).all()


@pytest.mark.parametrize("length", [6, 7, 8])
def test_the_vote_is_that_of_the_textbook(length):
    steps = TASK.traces["vote"].steps(TASK.prompts(length))
    for bits, record in zip(TASK.prompts(length).tolist(), steps.tolist(), strict=True):
        candidate, lead = None, 0
        for bit, step in zip(bits, record, strict=True):
            candidate = bit if lead == 0 else candidate
            lead += 1 if bit == candidate else -1
            assert step == [candidate, 0, lead]


def test_counts_go_to_the_longest_prompt():
    prompt = np.ones((1, TASK.longest), dtype=np.int64)
    prompt[0, :-1:2] = 0
    for name in ("running_count", "vote", "sort"):
        trace = TASK.traces[name]
        assert trace.read(trace.steps(prompt)) == TASK.solve(prompt), name
    high, low, *zeros = TASK.traces["running_count"].steps(np.ones((1, TASK.longest), dtype=np.int64))[0, -1]
    assert (33 * high + low, zeros) == (TASK.longest, [0, 0])


@pytest.mark.parametrize("length", [2, 9, 16])
def test_twins_are_one_flipped_bit_apart_at_the_boundary(length):
    yes, no = sample(8000, length, "boundary").prompt.reshape(-1, 2, length).swapaxes(0, 1)
    assert (no.sum(axis=1) == length // 2).all()
    assert (yes.sum(axis=1) == length // 2 + 1).all()
    assert ((yes != no).sum(axis=1) == 1).all()
    assert chisquare((yes != no).sum(axis=0)).pvalue > 1e-3


@pytest.mark.parametrize("length", [2, 9, 64])
def test_broad_spreads_the_ones_evenly_on_either_side(length):
    ones = np.bincount(sample(20_000, length, "broad").prompt.sum(axis=1), minlength=length + 1)
    no, yes = np.split(ones, [length // 2 + 1])
    assert no.sum() == yes.sum() == 10_000
    assert len(yes) == 1 or chisquare(yes).pvalue > 1e-3
    assert chisquare(no).pvalue > 1e-3


@pytest.mark.parametrize("length", range(1, 11))
def test_the_stated_bits_are_those_of_the_worst_cut(length):
    """Prefixes that some rest tells apart need different states; the number of ones is all that a rest can tell."""
    states = []
    for cut in range(length + 1):
        rests = list(product((0, 1), repeat=length - cut))
        told = {tuple(majority((*prefix, *rest)) for rest in rests) for prefix in product((0, 1), repeat=cut)}
        states.append(len(told))
    assert TASK.theory.state.bound == "log2(⌈n/2⌉ + 1) bits"
    assert log2(max(states)) == log2(-(-length // 2) + 1)
