"""Match3, held against plain Python: every tiny prompt, free sets, what twins and broad promise, the refusals."""

import doctest
from itertools import combinations, combinations_with_replacement

import numpy as np
import pytest
from scipy.stats import chisquare

from tasks import sums, triples
from tasks.match3 import Match3
from tasks.triples import Ahead, Triples

TINY = [(Match3(7, dim=1), 4), (Match3(5, dim=2), 3), (Match3(4, dim=2, tokens="coordinate"), 3), (Match3(7, 1), 5)]
DRAWN = [
    Match3(),
    Match3(7, dim=1),
    Match3(8, dim=1),
    Match3(256, dim=1),
    Match3(6, dim=2, tokens="coordinate"),
    Match3(40_000, dim=1),
]


def named(problem):
    return "-".join(map(str, vars(problem).values()))


def sample(problem, size, length, split):
    return problem.sample(np.random.default_rng(1), size, length, split)


def tuples(problem, row):
    if problem.tokens == "coordinate":
        return [tuple(row[start : start + problem.dim]) for start in range(0, len(row), problem.dim)]
    return [tuple(token // problem.modulus**place % problem.modulus for place in range(problem.dim)) for token in row]


def zero(problem, items):
    return all(sum(column) % problem.modulus == 0 for column in zip(*items, strict=True))


def solved(problem, items):
    return any(zero(problem, triple) for triple in combinations(items, 3))


@pytest.mark.parametrize(("problem", "length"), TINY, ids=[f"{named(problem)}-{length}" for problem, length in TINY])
def test_every_tiny_prompt_is_right(problem, length):
    prompt = problem.prompts(length)
    rows = [tuples(problem, row) for row in prompt.tolist()]
    found = np.array([[solved(problem, row[: i + 1]) for i in range(length)] for row in rows])
    said = problem.symbols + found
    assert np.array_equal(problem.solve(prompt), said[:, -1:])
    assert np.array_equal(problem.holds(prompt), found[:, -1])
    so_far = problem.so_far(prompt).reshape(len(rows), length, -1)
    assert np.array_equal(so_far[..., -1], said)
    assert (so_far[..., :-1] == -1).all()
    for name, trace in problem.traces.items():
        steps = trace.steps(prompt)
        assert np.array_equal(trace.read(steps), said[:, -1:]), name
        for index in range(trace.count(length)):
            assert np.array_equal(trace.next(prompt, steps[:, :index]), steps[:, index]), name


def test_a_step_of_pair_sums_is_true_where_the_third_comes_later():
    problem = Match3(7, dim=1)
    prompt = problem.prompts(4)
    steps = problem.traces["pair_sums"].steps(prompt).tolist()
    for row, record in zip(prompt.tolist(), steps, strict=True):
        for (i, j), (third, said) in zip(combinations(range(4), 2), record, strict=True):
            assert (row[i] + row[j] + third) % 7 == 0
            assert said == 7 + (third in row[j + 1 :])
    trace, scrambled = problem.traces["pair_sums"], np.random.default_rng(2).integers(0, 9, (len(prompt), 2, 2))
    assert np.array_equal(trace.next(prompt, scrambled), np.array(steps)[:, 2])  # on its own: it reads no step before


@pytest.mark.parametrize("modulus", [7, 8, 9, 10, 11, 12, 13, 16])
def test_every_free_set_can_be_grown(modulus):
    """Up to ``most`` members, and then one more item makes no triple."""

    def free(members):
        return all(sum(triple) % modulus for triple in combinations_with_replacement(members, 3))

    most, sets = Triples(modulus).most, {()}
    for _ in range(most):
        larger = [{tuple(sorted({*one, new})) for new in range(modulus) if free({*one, new})} - {one} for one in sets]
        assert all(larger)
        sets = set().union(*larger)
    for one in sets:
        sums_of_two = {-(x + y) % modulus for x, y in combinations_with_replacement(one, 2)}
        assert set(range(modulus)) - sums_of_two - set(one)


@pytest.mark.parametrize("problem", DRAWN, ids=named)
@pytest.mark.parametrize("length", [4, 5, 9])
def test_twins_differ_in_one_item_of_a_solution(problem, length):
    prompt, places, steps = sample(problem, 500, length, "boundary").prompt, set(), 0
    for one, other in zip(prompt[::2].tolist(), prompt[1::2].tolist(), strict=True):
        yes, no = tuples(problem, one), tuples(problem, other)
        assert solved(problem, yes)
        assert not solved(problem, no)
        assert len(set(yes)) == len(set(no))
        (place,) = (i for i in range(length) if yes[i] != no[i])
        assert not solved(problem, yes[:place] + yes[place + 1 :])  # all solutions have that item
        assert yes.count(yes[place]) == no.count(no[place]) == 1
        places.add(place)
        steps += sum(a != b for a, b in zip(yes[place], no[place], strict=True)) == 1
    assert places == set(range(length))
    assert steps > 0.7 * 250 or problem.modulus**problem.dim < 100


@pytest.mark.parametrize("problem", [Match3(), Match3(256, dim=1)], ids=named)
def test_broad_spreads_the_number_of_disjoint_solutions_evenly(problem):
    instance, fewest = sample(problem, 600, 10, "broad"), []
    for row, answer in zip(instance.prompt.tolist(), instance.answer[:, 0], strict=True):
        items, gone = tuples(problem, row), 0
        while all(solved(problem, left) for left in combinations(items, 10 - gone)):
            gone += 1
        assert (gone > 0) == (answer == problem.vocab - 1)
        if gone:
            fewest.append(gone)
    counts = np.bincount(fewest)
    assert len(counts) == 4
    assert chisquare(counts[1:]).pvalue > 1e-3


@pytest.mark.parametrize("split", ["boundary", "broad"])
def test_answers_agree_on_how_many_items_are_different(split):
    instance = sample(Match3(), 4000, 12, split)
    different = np.array([len(set(row)) for row in instance.prompt.tolist()])
    yes = instance.answer[:, 0] == Match3().vocab - 1
    assert abs(different[yes].mean() - different[~yes].mean()) < 0.2
    assert len(set(different)) > 6


def test_free_sets_are_as_large_as_they_may_be():
    prompt = sample(Match3(), 400, 64, "boundary").prompt
    different = [len(set(row)) for row in prompt[1::2].tolist()]
    assert min(different) <= 8
    assert 30 <= max(different) <= Triples(10, 3).most + 1 == 38


@pytest.mark.parametrize("split", ["boundary", "broad", "natural"])
def test_the_longest_prompts_are_drawn(split):
    instance = sample(Match3(), 4, Match3.longest, split)
    assert np.array_equal(Match3().solve(instance.prompt), instance.answer)


def test_the_example_of_sums_runs():
    assert all(doctest.testmod(module).failed == 0 for module in (sums, triples))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"tokens": "bits"}, "task.tokens=bits: item and coordinate exist"),
        ({"modulus": 1}, "task.modulus=1: 2 to 65536"),
        ({"dim": 0}, "task.dim=0: 1 to 16"),
        ({"dim": 5}, r"task.dim=5: 10\*\*5 tuples; at most 65,536"),
        ({"modulus": 6, "dim": 1}, r"task.modulus=6: 6\*\*1 tuples are too few"),
        ({"modulus": 3}, r"task.modulus=3: 3\*\*3 tuples are too few"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused_in_a_sentence(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        Match3(**settings)


@pytest.mark.parametrize("length", [3, 1025])
def test_other_lengths_are_refused(length):
    with pytest.raises(ValueError, match=f"length={length}: 4 to 1024"):
        sample(Match3(), 2, length, "natural")


def tens(rng, count):
    return rng.integers(0, 10, (count, 3)).tolist()


def one_by_one(rng, draw, block):
    """What is drawn as it is wanted, and the same ahead, with other draws in between; the last ones show the place."""
    ahead = Ahead(rng, draw, block)
    taken = [*ahead.take(2), *ahead.take(0), *ahead.take(5)]
    ahead.stop()
    between = rng.random(3).tolist()
    taken += [*ahead.take(1), *ahead.take(11)]
    ahead.stop()
    ahead.stop()
    return taken, between, rng.random(3).tolist()


def as_wanted(rng, draw):
    taken, between = draw(rng, 2) + draw(rng, 5), rng.random(3).tolist()
    return taken + draw(rng, 1) + draw(rng, 11), between, rng.random(3).tolist()


@pytest.mark.parametrize("generator", [np.random.PCG64, np.random.MT19937, np.random.Philox])
@pytest.mark.parametrize("block", [0, 3, 100])
def test_what_is_drawn_ahead_is_what_is_drawn_as_it_is_wanted(generator, block):
    one, other = (np.random.Generator(generator(4)) for _ in range(2))
    assert one_by_one(one, tens, block) == as_wanted(other, tens)


def test_draws_that_are_not_the_same_in_parts_cannot_be_made_ahead():
    def bytes_of_words(rng, count):  # four of a word, the rest of it is lost
        return rng.integers(0, 256, count, dtype=np.uint8).tolist()

    one, other = (np.random.default_rng(4) for _ in range(2))
    assert one_by_one(one, bytes_of_words, 3) != as_wanted(other, bytes_of_words)
