"""Count3 held against plain Python: every prompt of five residues, twins, balance, how much must be remembered."""

from itertools import product
from math import comb

import numpy as np
import pytest
from scipy.stats import chisquare

from tasks.count3 import Count3


def count(row, m):
    n = len(row)
    return sum((row[i] + row[j] + row[n - 1]) % m == 0 for i in range(n) for j in range(n)) % m


def sample(problem, size, length, split):
    return problem.sample(np.random.default_rng(0), size, length, split)


@pytest.mark.parametrize(("modulus", "length"), [(0, 5), (5, 5), (5, 4), (0, 3)])
def test_every_prompt_is_counted(modulus, length):
    problem, m = Count3(modulus), modulus or length
    tokens, every = problem.vocab // 2, list(product(range(m), repeat=length))
    prompt = problem.prompts(length)
    assert list(map(tuple, prompt.tolist())) == every
    assert (problem.solve(prompt)[:, 0] == tokens + np.array([count(row, m) for row in every])).all()
    for name, trace in problem.traces.items():
        assert (trace.read(trace.steps(prompt)) == problem.solve(prompt)).all(), name
    for place in range(length):
        right = [count(row[: place + 1], modulus or place + 1) for row in every]
        assert (problem.so_far(prompt)[:, place] == tokens + np.array(right)).all()


@pytest.mark.parametrize("problem", [Count3(), Count3(11)], ids=str)
def test_traces_are_what_they_say(problem):
    prompt, m = sample(problem, 20, 12, "natural").prompt, problem.modulus or 12
    tokens = problem.vocab // 2
    for row, targets, pairs in zip(
        prompt.tolist(), *(problem.traces[name].steps(prompt) for name in ("targets", "pairs")), strict=True
    ):
        total = 0
        for item, step in zip(row, targets.tolist(), strict=True):
            target = (-item - row[-1]) % m
            total += row.count(target)
            assert step == [target, tokens + row.count(target) % m, tokens + total % m]
        steps, total = iter(pairs.tolist()), 0
        for i in range(12):
            for j in range(i, 12):
                total += ((row[i] + row[j] + row[-1]) % m == 0) * (1 if i == j else 2)
                assert next(steps) == [row[i], row[j], tokens + total % m]


@pytest.mark.parametrize(("modulus", "length"), [(0, 8), (0, 31), (0, 64), (11, 11), (11, 40), (63, 64)])
def test_answers_are_exactly_balanced_on_either_row_of_a_twin_and_on_broad(modulus, length):
    problem, m = Count3(modulus), modulus or length
    twins = sample(problem, 8 * m, length, "boundary").answer[:, 0] - problem.vocab // 2
    assert (np.bincount(twins[::2], minlength=m) == 4).all()
    assert (np.bincount(twins[1::2], minlength=m) == 4).all()
    broad = sample(problem, 4 * m + 1, length, "broad").answer[:, 0] - problem.vocab // 2
    assert sorted(np.bincount(broad, minlength=m)) == [4] * (m - 1) + [5]


@pytest.mark.parametrize(("modulus", "length"), [(0, 8), (0, 33), (11, 20)])
def test_twins_differ_in_one_item_before_the_last_and_by_two_pairs(modulus, length):
    problem, m = Count3(modulus), modulus or length
    one, other = sample(problem, 4000, length, "boundary").prompt.reshape(-1, 2, length).swapaxes(0, 1)
    assert ((one != other).sum(axis=1) == 1).all()
    assert (one[:, -1] == other[:, -1]).all()
    for row, edited in zip(one[:200].tolist(), other[:200].tolist(), strict=True):
        assert (count(edited, m) - count(row, m)) % m == 2
    places = (one != other).sum(axis=0)
    assert chisquare(places[:-1]).pvalue > 1e-3


def test_the_modulus_is_the_number_of_items_or_fixed():
    ones = np.ones((1, 9), dtype=np.int64)  # 1 + 1 + 1 is 0 modulo 9 or 11 for no pair; 3 + 3 + 3 is for each of 81
    assert Count3().solve(3 * ones) == 64 + 81 % 9
    assert Count3(9).solve(3 * ones[:, :4]) == 9 + 16 % 9
    assert Count3(11).solve(3 * ones) == 11


@pytest.mark.parametrize("length", [32, 48, 64])
def test_the_fooling_set_of_the_state_bound_fools(length):
    """Multisets of n - 1 items, told apart by which last item gets which answer: 2^(n/16) of them at least."""
    bits, filler = length // 16, 3 * length // 8
    told = set()
    for chosen in product((0, 1), repeat=bits):
        before = [2 * place + bit for place, bit in enumerate(chosen)] + [filler] * (length - 1 - bits)
        told.add(tuple(Count3().solve(np.array([[*before, last] for last in range(length)])).ravel()))
    assert len(told) == 2**bits


def test_the_order_of_the_items_before_the_last_is_all_the_same():
    """So the multisets of n - 1 items are states enough."""
    prompt = sample(Count3(), 500, 20, "broad").prompt
    shuffled = np.concatenate([np.random.default_rng(1).permuted(prompt[:, :-1], axis=1), prompt[:, -1:]], axis=1)
    assert (shuffled != prompt).any(axis=1).all()
    assert (Count3().solve(shuffled) == Count3().solve(prompt)).all()
    assert all(comb(2 * n - 2, n - 1) < 2 ** (2 * n) for n in range(2, 65))
    assert "log2 C(2n-2, n-1) < 2n" in Count3().theory.state.condition


@pytest.mark.parametrize("modulus", [3, 8, 65, -5])
def test_a_modulus_without_balanced_answers_is_refused(modulus):
    with pytest.raises(ValueError, match=f"task.modulus={modulus}: 0, for the number of items, or an odd one from 5"):
        Count3(modulus)


def test_lengths_without_balanced_answers_are_refused():
    with pytest.raises(ValueError, match="length=7: 8 to 64 are possible"):
        sample(Count3(), 2, 7, "natural")
    with pytest.raises(ValueError, match="length=10: 11 to 1024 are possible"):
        sample(Count3(11), 2, 10, "broad")
