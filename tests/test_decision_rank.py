"""The rank of functions of bits: against all decision trees, another definition, and known ranks."""

import doctest
from functools import cache
from itertools import permutations, product

import numpy as np
import pytest

import tasks
from harness.theory import decision_rank as module
from harness.theory.decision_rank import decision_rank, rows
from tasks.majority import Majority
from tasks.parity import Parity


def ones(bits):
    """(2, ..., 2): the number of ones."""
    return np.indices((2,) * bits).sum(axis=0)


def drawn(bits, count, values=2):
    """Random functions."""
    return np.random.default_rng(bits).integers(0, values, (count, *[2] * bits))


def trees(free, bits):
    """Every decision tree over these bits, none of which a path asks for twice: (table of 2^bits values, rank)."""
    yield from (((0,) * 2**bits, 0), ((1,) * 2**bits, 0))
    for bit in free:
        below = list(trees([other for other in free if other != bit], bits))
        for (zero, low), (one, high) in product(below, below):
            asked = (x >> (bits - 1 - bit) & 1 for x in range(2**bits))
            table = tuple(one[x] if is_one else zero[x] for x, is_one in enumerate(asked))
            yield table, (low + 1 if low == high else max(low, high))


@cache
def by_trees(bits):
    """The least rank of the trees of each function, and how many trees there are."""
    least, count = {}, 0
    for table, rank in trees(range(bits), bits):
        least[table], count = min(rank, least.get(table, rank)), count + 1
    return least, count


def at_most(values, rank):
    """Another definition: one value of some bit leaves a lower rank, the other no higher one."""
    if rank < 0 or (values == values.flat[0]).all():
        return rank >= 0
    if rank == 0:
        return False
    for axis in range(values.ndim):
        halves = values.take(0, axis), values.take(1, axis)
        for low, high in (halves, halves[::-1]):
            if at_most(low, rank - 1) and at_most(high, rank):
                return True
    return False


def wrong(found, bits):
    """How many functions of so many bits have another rank than their trees."""
    return sum(found(np.array(table).reshape([2] * bits)) != rank for table, rank in by_trees(bits)[0].items())


def test_the_examples_are_as_they_say():
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(module).attempted > 1


@pytest.mark.parametrize(("bits", "count"), [(1, 6), (2, 74), (3, 16430)])
def test_the_rank_is_the_least_of_all_trees(bits, count):
    assert len(by_trees(bits)[0]) == 2**2**bits
    assert by_trees(bits)[1] == count, "2 + n T(n - 1)^2 trees"
    assert wrong(decision_rank, bits) == 0


def test_a_function_of_no_bits_is_a_leaf():
    assert decision_rank(np.array(1)) == 0


@pytest.mark.parametrize("broken", ["depth", "never more", "first bit first", "constants are asked for"])
def test_all_trees_catch_another_measure(broken):
    def found(values):
        if (values == values.flat[0]).all() and (broken != "constants are asked for" or values.ndim == 0):
            return 0
        made = []
        for axis in range(1 if broken == "first bit first" else values.ndim):
            zero, one = found(values.take(0, axis)), found(values.take(1, axis))
            more = {"depth": 1, "never more": 0}.get(broken, zero == one)
            made.append(max(zero, one) + more)
        return min(made)

    assert wrong(found, 3) > 0


@pytest.mark.parametrize(("bits", "count"), [(4, 40), (5, 12)])
def test_the_rank_is_the_least_that_another_definition_allows(bits, count):
    ranks = set()
    for values in [*drawn(bits, count), *np.minimum(drawn(bits, count), drawn(bits, 2 * count)[count:])]:
        rank = decision_rank(values)
        ranks.add(rank)
        assert at_most(values, rank)
        assert not at_most(values, rank - 1)
    assert len(ranks) > 1


@pytest.mark.parametrize("bits", [1, 2, 3, 6, 9, 12])
def test_or_has_rank_1_and_parity_n(bits):
    assert decision_rank(ones(bits) > 0) == decision_rank(ones(bits) == bits) == 1
    assert decision_rank(ones(bits) % 2) == bits


@pytest.mark.parametrize("bits", [4, 7])
def test_a_threshold_has_the_rank_of_its_nearer_end(bits):
    """At least k ones of n: min(k, n - k + 1), which the recursion over k and n - 1 gives."""
    for k in range(1, bits + 1):
        assert decision_rank(ones(bits) >= k) == min(k, bits - k + 1)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_place_of_the_kth_one_has_rank_k(k):
    """n if there is none (Barcelo et al. 2025)."""
    bits = np.indices((2,) * 10)
    places = (bits.cumsum(axis=0) < k).sum(axis=0)
    assert decision_rank(places) == k


@pytest.mark.parametrize("values", drawn(5, 6), ids=range(6))
def test_names_of_bits_and_answers_do_not_matter(values):
    rank = decision_rank(values)
    assert decision_rank(1 - values) == decision_rank(7 * values - 3) == rank
    assert {decision_rank(values.transpose(order)) for order in permutations(range(5))} == {rank}
    assert {decision_rank(np.flip(values, axis)) for axis in range(5)} == {rank}
    assert decision_rank(np.stack([values, values], axis=2)) == rank, "a bit that changes nothing"
    assert decision_rank(np.stack([values, 1 - values], axis=2)) == rank + 1, "the sum with another bit"
    assert all(decision_rank(values.take(bit, axis)) <= rank for bit in (0, 1) for axis in range(5))


def test_more_answers_have_no_lower_rank():
    for values in drawn(5, 20, values=4):
        assert decision_rank(values) >= max(decision_rank(values == answer) for answer in range(4))


# Tasks ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [2, 3, 8, 12])
def test_the_tasks_of_bits_have_their_ranks(length):
    assert list(rows(Parity(), length)) == [{"length": length, "bits": length, "rank": length}]
    assert list(rows(Majority(), length)) == [{"length": length, "bits": length, "rank": (length + 1) // 2}]


@pytest.mark.parametrize("problem", [Parity(), Majority()], ids=repr)
def test_the_answers_are_those_of_the_task(problem):
    said = problem.solve(problem.prompts(6))[:, 0].reshape([2] * 6)
    assert next(rows(problem, 6))["rank"] == decision_rank(said)


def test_the_rank_of_what_is_no_function_of_few_bits_is_refused():
    with pytest.raises(ValueError, match=r"^length=13: 13 bits; the rank of up to 12 can be found$"):
        next(rows(Parity(), 13))
    with pytest.raises(ValueError, match=r"^Pairwise: 64 items may stand at a place; .* as in parity and majority$"):
        next(rows(tasks.load("pairwise")(), 4))
    with pytest.raises(ValueError, match=r"^Recall has no automaton here"):
        next(rows(tasks.load("recall")(), 30))
    with pytest.raises(ValueError, match=r"^length=1: 2 to 1024 are possible"):
        next(rows(Parity(), 1))
    for shape in ((2, 3), (4,), (2,) * 13):
        with pytest.raises(ValueError, match=r"^shape .*: an axis of 2 for each of up to 12 bits is needed$"):
            decision_rank(np.zeros(shape))
