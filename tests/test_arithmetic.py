"""Arithmetic against plain Python: every small expression, what the splits promise, and the two traces."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from scipy.stats import chisquare

from tasks.arithmetic import Arithmetic
from tasks.base import SPLITS
from tasks.check import LAWS, check_law

LENGTHWISE = ["shapes_depend_on_length_alone", "solve_finds_the_answer", "answers_are_balanced"]
LENGTHWISE += ["traces_lead_to_the_answer", "no_shortcut_tells_twins_apart", "twins_differ_by_the_smallest_edit"]


def spelt(ours, tokens):
    return "".join(ours.word(token) for token in tokens)


def value(ours, text):
    """What Python's own parser makes of it, as a fraction, modulo p; None if something is divided by 0 modulo p."""

    class Residue(Fraction):
        def __truediv__(self, other):
            if other.numerator % ours.modulus == 0:
                raise ZeroDivisionError
            return Residue(Fraction(self) / Fraction(other))

        def __add__(self, other):
            return Residue(Fraction(self) + Fraction(other))

        def __sub__(self, other):
            return Residue(Fraction(self) - Fraction(other))

        def __mul__(self, other):
            return Residue(Fraction(self) * Fraction(other))

    numbers = "".join(f"Residue({c})" if c.isdigit() else c for c in text)  # moduli below 10 alone
    try:
        result = eval(numbers, {"Residue": Residue})
    except ZeroDivisionError:
        return None
    return result.numerator * pow(result.denominator, -1, ours.modulus) % ours.modulus


def trees(operators):
    """Every way to put brackets, with # for a number and ? for an operator."""
    if operators == 0:
        return ["#"]
    return [
        f"({left}?{right})"
        for before in range(operators)
        for left, right in product(trees(before), trees(operators - 1 - before))
    ]


def every(ours, operators):
    """Every expression that has a value, and its value."""
    found = {}
    for tree, numbers, between in product(
        trees(operators),
        product(map(str, range(ours.modulus)), repeat=operators + 1),
        product("+-*/", repeat=operators),
    ):
        numbers, between = iter(numbers), iter(between)
        text = "".join(next(numbers) if c == "#" else next(between) if c == "?" else c for c in tree)
        result = value(ours, text)
        if result is not None:
            found[text] = result
    return found


@pytest.mark.parametrize(("modulus", "length"), [(2, 1), (5, 1), (3, 2), (2, 3)])
def test_every_small_expression_has_the_value_that_python_finds(modulus, length):
    ours = Arithmetic(modulus)
    prompt, expected = ours.prompts(length), every(ours, length)
    assert sorted(spelt(ours, row) for row in prompt) == sorted(expected)
    right = np.array([expected[spelt(ours, row)] for row in prompt])
    assert (ours.solve(prompt)[:, 0] == right).all()
    for trace in ours.traces.values():
        assert (trace.read(trace.steps(prompt))[:, 0] == right).all()


@pytest.mark.parametrize("split", SPLITS)
def test_every_small_expression_is_drawn_and_every_one_that_has_a_twin(split):
    ours, expected = Arithmetic(2), every(Arithmetic(2), 2)
    if split == "boundary":  # ((0*0)*0) has none: no one number turns its value
        turned = {
            text: [text[:i] + str(1 - int(c)) + text[i + 1 :] for i, c in enumerate(text) if c in "01"]
            for text in expected
        }
        expected = {
            text for text in expected if any(expected.get(t, expected[text]) != expected[text] for t in turned[text])
        }
    prompt = ours.sample(np.random.default_rng(0), 30_000, 2, split).prompt
    assert {spelt(ours, row) for row in prompt} == set(expected)


@pytest.mark.parametrize("modulus", [2, 3, 5, 101])
@pytest.mark.parametrize("law", LENGTHWISE)
def test_the_laws_hold_for_other_primes(modulus, law):
    verdict = check_law(law, Arithmetic(modulus), [1, 4, 13])
    assert verdict.passed, verdict.detail
    assert law in LAWS


def test_twins_differ_in_one_number_at_any_place_and_their_values_are_any_two():
    ours, length = Arithmetic(5), 9
    instance = ours.sample(np.random.default_rng(1), 20_000, length, "boundary")
    one, other = instance.prompt[::2], instance.prompt[1::2]
    edit = one != other
    assert (edit.sum(axis=1) == 1).all()
    assert (np.maximum(one, other)[edit] < ours.modulus).all()
    number = ((one < ours.modulus).cumsum(axis=1) - 1)[edit]
    assert chisquare(np.bincount(number, minlength=length + 1)).pvalue > 1e-3
    values = np.bincount(instance.answer[::2, 0] * 5 + instance.answer[1::2, 0], minlength=25).reshape(5, 5)
    assert (np.diag(values) == 0).all()
    assert chisquare(values[~np.eye(5, dtype=bool)]).pvalue > 1e-3


def depth(ours, prompt):
    bracket = (prompt == ours.vocab - 3).astype(int) - (prompt == ours.vocab - 2)
    return bracket.cumsum(axis=1).max(axis=1)


@pytest.mark.parametrize("split", ["boundary", "broad"])
@pytest.mark.parametrize(("length", "flattest"), [(3, 2), (4, 3), (20, 5)])
def test_the_depth_is_spread_evenly(split, length, flattest):
    ours = Arithmetic()
    deep = depth(ours, ours.sample(np.random.default_rng(2), 8000, length, split).prompt[::2])
    counts = np.bincount(deep, minlength=length + 1)
    assert counts[:flattest].sum() == 0
    assert chisquare(counts[flattest:]).pvalue > 1e-3


def test_natural_trees_grow_at_random_numbers():
    ours = Arithmetic()
    prompt = ours.sample(np.random.default_rng(3), 12_000, 3, "natural").prompt
    left = (prompt[:, :3] == ours.vocab - 3).sum(axis=1)  # brackets that open first, among three
    # The six ways to grow: ((#?#)?(#?#)) comes about in two of them, each of the four others in one.
    assert chisquare(np.bincount(left)[1:], np.array([2, 3, 1]) * 2000).pvalue > 1e-3


def test_each_operator_and_each_number_occurs():
    ours = Arithmetic()
    prompt = ours.sample(np.random.default_rng(4), 5000, 16, "natural").prompt
    times = np.bincount(prompt.ravel(), minlength=ours.vocab)
    assert np.ptp(times[11:15]) < 0.02 * times[11:15].sum()
    assert times[:11].min() > 0.05 * times[:11].sum()  # a zero cannot divide, and turns products to nothing


@pytest.mark.parametrize("length", [1, 2, 5, 40])
def test_the_step_laws_are_exact(length):
    ours = Arithmetic()
    assert ours.traces["rewriting"].count(length) == sum(4 * (length - i) + 2 for i in range(1, length + 1))
    assert ours.traces["values"].count(length) == length


@pytest.mark.parametrize("modulus", [1, 0, -7, 9, 1009])
def test_other_moduli_are_refused(modulus):
    with pytest.raises(ValueError, match=f"task.modulus={modulus}: a prime from 2 to 997 is needed"):
        Arithmetic(modulus)
