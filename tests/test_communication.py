"""Ranks of communication matrices: against fractions, every prompt of small lengths, and closed forms."""

import doctest
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import comb, prod

import numpy as np
import pytest

import tasks
from harness.theory import classes, communication
from harness.theory.automata import automaton, places
from harness.theory.communication import exact_rank, kernel, matrices, rows
from tasks.disjointness import Disjointness
from tasks.distinctness import Distinctness
from tasks.late_rule import LateRule
from tasks.majority import Majority
from tasks.match2 import Match2
from tasks.match3 import Match3
from tasks.orthogonal_vectors import OrthogonalVectors
from tasks.pairwise import Pairwise
from tasks.parity import Parity

FIRST, SECOND = 4194301, 4194287  # the two largest primes below 2^22


def hamming(dim, alpha, tokens="item"):
    return Pairwise(alpha=alpha, values=2, dim=dim, norm="hamming", tokens=tokens)


SMALL = [  # settings and a length at which brute force goes through all prompts
    *(tasks.load(name).tiny() for name in "distinctness majority match2 match3 orthogonal_vectors pairwise".split()),
    (Parity(), 5),
    (LateRule(values=5), 3),
    (LateRule(values=5, rule="first"), 3),
    (Pairwise(alpha=4, values=5), 4),
    (Pairwise(alpha=2, values=3, dim=2, norm="linf", tokens="coordinate"), 3),
    (Pairwise(alpha=2, values=3, dim=2, norm="l2"), 3),
    (Pairwise(alpha="prompt", values=4), 3),
    (hamming(2, 2), 5),
    (hamming(3, 2, "coordinate"), 3),
]
LARGER = [
    (Pairwise(alpha=5, values=16), 9),
    (Pairwise(alpha=3, values=6, dim=2, norm="linf"), 5),
    (hamming(3, 3), 9),
    (hamming(4, 2), 7),
    (Match2(modulus=11), 6),
    (Majority(), 23),
    (Disjointness(values=8), 4),
    (Disjointness(values=8, first="larger"), 4),
    (Disjointness(values=10, ratio=1), 5),
]


def reduced(matrix):
    """The rank over the rationals, by elimination in fractions."""
    left, rank = [[Fraction(int(x)) for x in row] for row in matrix], 0
    for column in range(len(left[0])):
        pivot = next((row for row in left[rank:] if row[column]), None)
        if pivot is not None:
            left.remove(pivot)
            left.insert(rank, pivot)
            for place in range(rank + 1, len(left)):
                factor = left[place][column] / pivot[column]
                left[place] = [x - factor * y for x, y in zip(left[place], pivot, strict=True)]
            rank += 1
    return rank


def brute(problem, length):
    """(different rows, different columns, rank) at each cut, from the answers to all prompts."""
    prompts = problem.prompts(length)
    yes = problem.solve(prompts)[:, 0]
    yes = dict(zip(map(tuple, prompts.tolist()), (yes == yes.max()).tolist(), strict=True))
    widths = [len(automaton(problem).items[items[0]]) for items in places(problem, length)]
    found = []
    for end in np.cumsum([0, *widths]):
        heads, rests = {p[:end] for p in yes}, {p[end:] for p in yes}
        lines = {tuple(yes[head + rest] for rest in sorted(rests)) for head in heads}
        columns = set(zip(*lines, strict=True))
        found.append((len(lines), len(columns), reduced(list(columns))))
    return found


def counted(problem, length):
    return [(row["rows"], row["columns"], row["rank"]) for row in rows(problem, length)]


def test_the_examples_are_as_they_say():
    assert doctest.testmod(communication).failed == 0
    assert doctest.testmod(communication).attempted > 2


# The rank itself ------------------------------------------------------------------------------------------------------


def of_rank(rank, shape, rng):
    """Integers of just this rank: the first columns of a unimodular matrix times the first rows of another."""
    left, right = (np.tril(rng.random((n, n)) < 2 / n, -1) + np.eye(n, dtype=int) for n in shape)
    return left[:, :rank] @ right.T[:rank]


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (9, 7), (11, 11)])
@pytest.mark.parametrize("largest", [1, 2, 1000])
def test_the_rank_is_that_of_fractions(shape, largest):
    rng = np.random.default_rng(sum(shape) + largest)
    for _ in range(20):
        inner = int(rng.integers(0, min(shape) + 1))
        thin = rng.integers(-largest, largest + 1, (shape[0], inner))
        matrix = thin @ rng.integers(-largest, largest + 1, (inner, shape[1]))
        assert exact_rank(matrix) == reduced(matrix)
        bits = rng.random(shape) < 0.3
        assert exact_rank(bits) == reduced(bits)


@pytest.mark.parametrize("shape", [(130, 129), (67, 200), (200, 67)])
@pytest.mark.parametrize("rank", [0, 1, 63, 64, 65, 67])
def test_the_rank_of_many_rows_is_what_it_was_made_of(shape, rank):
    rng = np.random.default_rng(0)
    assert exact_rank(rng.permutation(of_rank(rank, shape, rng))) == rank


@pytest.mark.parametrize(
    ("matrix", "rank"),
    [
        ([[FIRST]], 1),
        ([[FIRST, 0], [0, 0]], 1),
        ([[1, 1], [1, 1 + FIRST]], 2),
        ([[1, 1, 0], [1, 1 + FIRST, 0], [0, 0, SECOND]], 3),
        ([[1, 1, 0], [1, 1 + FIRST, 0], [1, 1 + 2 * FIRST, 0]], 2),
        ([[FIRST, 2 * FIRST], [3 * FIRST, 6 * FIRST]], 1),
        ([[FIRST, 0, 0], [0, SECOND, 0], [0, 0, 0]], 2),
    ],
)
def test_a_prime_that_divides_a_minor_does_not_deceive(matrix, rank):
    matrix = np.array(matrix)
    assert exact_rank(matrix) == reduced(matrix) == rank
    assert len(communication._echelon(matrix, FIRST)[1]) < rank or rank == 1


def test_one_prime_alone_would_be_deceived(monkeypatch):
    """The broken specimen: a count that believes whatever one prime says."""
    monkeypatch.setattr(communication, "_lifts", lambda *_: True)
    assert exact_rank(np.array([[1, 1, 0], [1, 1 + FIRST, 0], [0, 0, 0]])) == 1


def test_both_certificates_give_the_same(monkeypatch):
    """Bounds of minors alone, and no bound but small multiples of an echelon form."""
    rng = np.random.default_rng(5)
    drawn = [rng.integers(-2, 3, (30, 7)) @ rng.integers(-2, 3, (7, 20)) for _ in range(5)]
    drawn += [np.array(matrix == 1) for matrix in matrices(Pairwise(alpha=3, values=8), 5)]
    known = [exact_rank(matrix) for matrix in drawn]
    short = [communication._lifts(m[:, p], b, int(m.max()), FIRST)
             for m in (matrix.astype(int) for matrix in drawn[5:])
             for b, p in [communication._echelon(m, FIRST)]]  # fmt: skip
    assert all(short)
    monkeypatch.setattr(communication, "_lifts", lambda *_: False)
    assert [exact_rank(matrix) for matrix in drawn] == known
    assert known[:5] == [7] * 5


def test_a_later_prime_that_divides_a_minor_does_not_lower_the_rank():
    """Of entries too large for the other certificate, with a determinant that is the second prime."""
    x = 2**21
    matrix = np.array([[x, x - 1, 0], [SECOND - x, SECOND - x + 1, 0], [0, 0, 0]])
    assert [len(communication._echelon(matrix, p)[1]) for p in (FIRST, SECOND)] == [2, 1]
    assert exact_rank(matrix) == 2


@pytest.mark.parametrize(("rank", "largest"), [(3, 1), (15, 1), (15, 7), (40, 2)])
def test_as_many_primes_are_asked_as_hadamards_bound_needs(rank, largest, monkeypatch):
    asked, primes = [], communication._primes
    monkeypatch.setattr(communication, "_lifts", lambda *_: False)
    monkeypatch.setattr(communication, "_primes", lambda: (asked.append(p) or p for p in primes()))
    matrix = np.zeros((rank + 1, rank + 1), dtype=int)
    matrix[:rank, :rank] = largest * np.eye(rank, dtype=int)
    assert exact_rank(matrix) == rank
    squared = (rank + 1) ** (rank + 1) * largest ** (2 * (rank + 1))
    assert prod(asked) ** 2 > squared >= prod(asked[:-1]) ** 2


def test_the_certificate_holds_only_where_it_is_an_equality():
    """A row that reproduces the matrix modulo p, once with small numbers and once with large ones."""
    basis = np.array([[1, FIRST - 2]])
    assert communication._lifts(np.array([[3], [5]]), basis, 10, FIRST)
    assert not communication._lifts(np.array([[3], [5]]), basis, FIRST, FIRST)
    assert not communication._lifts(np.array([[3], [FIRST // 2]]), basis, 10, FIRST)
    third = pow(3, -1, FIRST)
    assert communication._lifts(np.array([[3], [6]]), np.array([[1, third]]), 6, FIRST), "a third of it"
    other = pow(1009, -1, FIRST) * 997 % FIRST
    assert not communication._lifts(np.array([[3000], [6000]]), np.array([[1, other]]), 6000, FIRST)


def test_primes_are_the_largest_and_prime():
    primes = communication._primes()
    found = [next(primes) for _ in range(30)]
    assert found[:2] == [FIRST, SECOND]
    assert all(p % q for p in found for q in range(2, 2049))
    others = set(range(found[-1], 2**22)) - set(found)
    assert all(any(n % q == 0 for q in range(2, 2049)) for n in others)


def test_other_numbers_have_no_exact_rank():
    with pytest.raises(ValueError, match=r"^a matrix of float64: the rank is exact for integers alone$"):
        exact_rank(np.eye(2))
    with pytest.raises(ValueError, match=r"^entries up to 2,147,483,648: integers below 2\^31 are possible$"):
        exact_rank(np.array([[2**31]]))


# Kernels --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [4, 6, 8])
@pytest.mark.parametrize("ratio", [Fraction(3, 2), Fraction(2), Fraction(1, 3)])
def test_an_exponential_of_hamming_distances_has_full_rank(dim, ratio):
    assert exact_rank(kernel(dim, ratio)) == 2**dim


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_kernel_is_a_tensor_power_and_an_exponential(dim):
    ratio, power = Fraction(3, 2), np.ones((1, 1), dtype=int)
    for _ in range(dim):
        power = np.kron(power, [[2, 3], [3, 2]])
    assert np.array_equal(kernel(dim, ratio), power)
    cube = np.array(list(product((0, 1), repeat=dim)))
    apart = (cube[:, None] != cube).sum(axis=2)
    np.testing.assert_allclose(kernel(dim, ratio) / 2.0**dim, np.exp(np.log(1.5) * apart))
    assert exact_rank(kernel(dim, ratio)) == reduced(kernel(dim, ratio)) == 2**dim


@pytest.mark.parametrize("dim", [4, 6])
def test_another_kernel_has_a_lower_rank(dim):
    """With beta = 0 one; the distance itself, a constant and a sum over coordinates, d + 1."""
    assert exact_rank(kernel(dim, Fraction(1))) == 1
    apart = np.log2(kernel(dim, Fraction(2))).round().astype(int)
    assert exact_rank(apart) == dim + 1


def test_impossible_kernels_are_refused():
    with pytest.raises(ValueError, match=r"^ratio=0: e\^beta is positive$"):
        kernel(3, Fraction(0))
    for dim, ratio in ((8, Fraction(100)), (8, Fraction(1, 100)), (11, Fraction(2))):
        with pytest.raises(ValueError, match=f"^dim={dim} ratio={ratio}: entries below .* 10 dimensions are possible$"):
            kernel(dim, ratio)


# Tasks ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("problem", "length"), SMALL, ids=repr)
def test_every_cut_is_as_brute_force_finds(problem, length):
    assert counted(problem, length) == brute(problem, length)


@pytest.mark.parametrize("ratio", [1, 3])
def test_what_is_no_prompt_is_neither_answer_and_0_for_the_rank(ratio):
    """A first set names no item twice. Brute force by sets; beginnings and rests of no prompt are left out."""
    problem, items = Disjointness(values=8, ratio=ratio), range(8)
    size = problem._sizes(4)[0]

    def said(one, two):
        return int(set(one).isdisjoint(two)) if len(set(one)) == len(one) else -1

    found = counted(problem, 4)
    for cut in range(size + 1):
        beginnings, rests = product(items, repeat=cut), list(product(items, repeat=4 - cut))
        lines = {tuple(said(head + rest[: size - cut], rest[size - cut :]) for rest in rests) for head in beginnings}
        columns = {column for column in zip(*lines, strict=True) if max(column) >= 0}
        lines = {line for line in lines if max(line) >= 0}
        assert found[cut] == (len(lines), len(columns), reduced(np.array(list(columns)) == 1))


def forgetful(problem, keep):
    machine = automaton(problem)
    return lambda _: replace(machine, step=lambda state, item: keep(machine.step(state, item)))


@pytest.mark.parametrize(
    ("problem", "length", "keep"),
    [
        (Pairwise(alpha=4, values=5), 4, lambda s: s if s == -1 else tuple((low, low) for low, _ in s)),
        (Distinctness(values=8), 4, lambda s: frozenset() if s == -1 else s),
        (Majority(), 6, lambda s: max(-2, min(2, s))),
        (LateRule(values=5), 3, lambda s: s if isinstance(s, bool) else (s[0], frozenset())),
    ],
    ids=["min only", "a clash is forgotten", "a count that is full", "none seen twice"],
)
def test_brute_force_catches_a_reader_that_forgets(problem, length, keep, monkeypatch):
    right = brute(problem, length)
    monkeypatch.setattr(communication, "automaton", forgetful(problem, keep))
    assert counted(problem, length) != right


@pytest.mark.parametrize(("problem", "length"), SMALL + LARGER, ids=repr)
def test_rows_are_residual_classes(problem, length):
    assert [row["rows"] for row in rows(problem, length)] == [row["classes"] for row in classes.rows(problem, [length])]


@pytest.mark.parametrize(("problem", "length"), SMALL + LARGER, ids=repr)
def test_no_rank_is_larger_than_a_side_and_zeros_and_ones_of_rank_r_have_at_most_2_to_the_r_rows(problem, length):
    found, cuts = list(rows(problem, length)), len(places(problem, length))
    assert [row["cut"] for row in found] == list(range(cuts + 1))
    for row in found:
        assert 1 <= row["rank"] <= min(row["rows"], row["columns"])
        assert row["one_way_bits"] == np.log2(row["rows"])
        assert row["two_way_bits"] == np.log2(row["rank"])
        if not isinstance(problem, Disjointness):  # others have a prompt for every beginning and rest
            assert max(row["one_way_bits"], np.log2(row["columns"])) <= row["rank"]
    assert (found[0]["rows"], found[-1]["columns"], found[0]["rank"], found[-1]["rank"]) == (1, 1, 1, 1)


@pytest.mark.parametrize(
    ("problem", "length"), [c for c in SMALL + LARGER if not isinstance(c[0], LateRule | Disjointness)
                            and c[0] != Pairwise(alpha="prompt", values=4)], ids=repr)  # fmt: skip
def test_where_the_order_of_items_does_not_matter_a_cut_is_the_other_one_turned(problem, length):
    found = counted(problem, length)
    assert found == [(columns, lines, rank) for lines, columns, rank in reversed(found)]


@pytest.mark.parametrize(("values", "alpha"), [(16, 5), (8, 3), (6, 2), (7, 5), (9, 6), (20, 19), (64, 24)])
def test_scalars_have_rank_2k_minus_1(values, alpha):
    """Close are those in one of K = M - alpha + 1 intervals, which lie in a row: K of them less K - 1 intersections."""
    windows = values - alpha + 1
    found = counted(Pairwise(alpha=alpha, values=values), 6)
    assert {rank for _, _, rank in found[2:5]} == {2 * windows - 1}


@pytest.mark.parametrize(("values", "alpha"), [(5, 3), (4, 2)])
def test_the_maximum_norm_has_the_power_of_it(values, alpha):
    found = counted(Pairwise(alpha=alpha, values=values, dim=2, norm="linf"), 8)
    assert found[4][2] == (2 * (values - alpha + 1) - 1) ** 2


@pytest.mark.parametrize(("dim", "length"), [(2, 4), (2, 11), (3, 8), (3, 33)])
def test_antipodes_have_a_rank_of_powers_of_three(dim, length):
    """Of each pair neither, one or the other has been seen, [[1, 1, 1], [1, 1, 0], [1, 0, 1]]; less nothing at all."""
    assert counted(hamming(dim, dim), length)[length // 2][2] == 3**2 ** (dim - 1) - 1


@pytest.mark.parametrize(("values", "length"), [(8, 4), (9, 4), (10, 5)])
def test_which_sets_are_disjoint_has_full_rank(values, length):
    """Gottlieb 1966. Distinct items are two disjoint sets of distinct ones; so are two sets with a stroke between."""
    found = [rank for _, _, rank in counted(Distinctness(values=values), length)]
    assert found == [min(comb(values, cut), comb(values, length - cut)) for cut in range(length + 1)]
    task = Disjointness(values=values, ratio=1)
    first, second = task._sizes(length)
    assert counted(task, length)[first][2] == min(comb(values, first), comb(values, second))


def test_parity_has_two_rows_and_rank_two():
    assert counted(Parity(), 40)[1:-1] == [(2, 2, 2)] * 39


@pytest.mark.parametrize("length", [7, 20])
def test_majority_is_a_staircase_with_as_many_steps_as_its_rank(length):
    """After a ones of t bits, at least n // 2 + 1 - a of the others: each such number that is possible is a step."""
    for cut, (_, _, rank) in enumerate(counted(Majority(), length)):
        wanted = {max(0, length // 2 + 1 - ones) for ones in range(cut + 1)}
        assert rank == sum(more <= length - cut for more in wanted)


def test_a_cut_of_a_long_prompt_is_that_of_a_shorter_one():
    problem = hamming(3, 3)
    long, short = counted(problem, 200), counted(problem, 20)
    assert long[:10] == short[:10]
    assert long[-10:] == short[-10:]
    assert set(long[10:-10]) == {short[10]}


def test_an_answer_that_is_always_given_has_rank_one():
    for problem in (Match3(modulus=7, dim=1), OrthogonalVectors(dim=3)):
        found = list(rows(problem, problem.shortest))
        assert found[0]["rank"] == 1


def test_columns_are_plain_and_the_same_again():
    first = list(rows(Pairwise(), 5))
    assert first == list(rows(Pairwise(), 5))
    assert {tuple(row) for row in first} == {
        ("length", "cut", "rows", "columns", "one_way_bits", "rank", "two_way_bits")
    }
    assert {type(value) for row in first for value in row.values()} == {int, float}


# Refusals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "length", "why", "possible"),
    [
        (hamming(4, 4), 10, "a communication matrix of 94,733,328 entries, of 67,108,864 at most", 9),
        (Match2(modulus=16), 8, "a communication matrix of .* by .*; one side may be longer than 1,700", 7),
        (Match2(), 16, "more than 524,288 steps of its automaton", 3),
    ],
    ids=repr,
)
def test_what_is_too_large_is_refused_with_the_length_that_can_be_done(problem, length, why, possible):
    with pytest.raises(ValueError, match=f"^length={length}: {why}.*; length={possible} can be done$"):
        next(rows(problem, length))
    assert communication._fits(problem, possible)
    assert not communication._fits(problem, possible + 1)


def test_where_no_length_can_be_done_other_settings_are_named():
    with pytest.raises(
        ValueError, match=r"no length can be done with these settings; length=4 can with task.values=8$"
    ):
        next(rows(Distinctness(), 6))
    assert len(list(rows(Distinctness(values=8), 4))) == 5


def test_tasks_with_other_answers_or_none_of_these_lengths_are_refused():
    with pytest.raises(ValueError, match=r"^ModularAddition: guessing is right with probability 0.143; .* two"):
        next(rows(tasks.load("modular_addition")(), 4))
    with pytest.raises(ValueError, match=r"^Halting has no automaton here"):
        next(rows(*tasks.load("halting").tiny()))
    with pytest.raises(ValueError, match=r"^length=1: 2 to 1024 are possible"):
        next(rows(Pairwise(), 1))
