"""Match2, held against plain Python: every tiny prompt, what twins and broad promise, the exact state, the refusals."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy.stats import chisquare

from tasks.match2 import Match2

TINY = [(Match2(5), 5), (Match2(6), 4), (Match2(5, dim=2), 2), (Match2(5, dim=2, tokens="coordinate"), 2)]
DRAWN = [Match2(), Match2(5), Match2(7), Match2(10, dim=3), Match2(6, dim=2, tokens="coordinate"), Match2(4096)]


def named(problem):
    return "-".join(map(str, vars(problem).values()))


def sample(problem, size, length, split):
    return problem.sample(np.random.default_rng(1), size, length, split).prompt


def tuples(problem, row):
    if problem.tokens == "coordinate":
        return [tuple(row[start : start + problem.dim]) for start in range(0, len(row), problem.dim)]
    return [tuple(token // problem.modulus**place % problem.modulus for place in range(problem.dim)) for token in row]


def negative(problem, x):
    return tuple(-a % problem.modulus for a in x)


def matches(problem, items):
    """The pairs {v, -v} that occur, a v that is its own negative if it does twice."""
    return {frozenset((x, y)) for x, y in combinations(items, 2) if x == negative(problem, y)}


@pytest.mark.parametrize(("problem", "length"), TINY, ids=[named(problem) for problem, _ in TINY])
def test_every_tiny_prompt_is_right(problem, length):
    prompt = problem.prompts(length)
    rows = [tuples(problem, row) for row in prompt.tolist()]
    found = np.array([[bool(matches(problem, row[: i + 1])) for i in range(length)] for row in rows])
    assert np.array_equal(problem.solve(prompt)[:, 0], problem.symbols + found[:, -1])
    assert np.array_equal(problem.holds(prompt), found[:, -1])
    width = prompt.shape[1] // length
    so_far = problem.so_far(prompt).reshape(len(rows), length, width)
    assert np.array_equal(so_far[..., -1], problem.symbols + found)
    assert (so_far[..., :-1] == -1).all()
    for name, trace in problem.traces.items():
        steps = trace.steps(prompt)
        assert np.array_equal(trace.read(steps)[:, 0], problem.symbols + found[:, -1]), name
        for index in range(trace.count(length)):
            assert np.array_equal(trace.next(prompt, steps[:, :index]), steps[:, index]), name


@pytest.mark.parametrize("problem", DRAWN, ids=named)
@pytest.mark.parametrize("length", [2, 3, 12])
def test_twins_move_one_coordinate_of_one_item(problem, length):
    prompt, places, edges = sample(problem, 800, length, "boundary"), set(), problem.modulus // 8
    assert ((prompt[::2] != prompt[1::2]).sum(axis=1) == 1).all()
    steps = []
    for one, other in zip(prompt[::2].tolist(), prompt[1::2].tolist(), strict=True):
        yes, no = tuples(problem, one), tuples(problem, other)
        assert len(matches(problem, yes)) == 1
        assert not matches(problem, no)
        assert len(set(yes)) == len(set(no))
        (place,) = (i for i in range(length) if yes[i] != no[i])
        (step,) = ((b - a) % problem.modulus for a, b in zip(yes[place], no[place], strict=True) if a != b)
        assert yes.count(yes[place]) == no.count(no[place]) == 1
        assert negative(problem, no[place]) not in no
        steps.append(min(step, problem.modulus - step))
        places.add(place)
    assert places == set(range(length))
    assert np.mean(np.array(steps) <= max(edges, 1)) > 0.7 or problem.modulus < 10


def test_either_item_of_a_twin_could_be_the_other():
    prompt = sample(Match2(32), 60_000, 6, "boundary")
    yes, no = (half[prompt[::2] != prompt[1::2]] for half in (prompt[::2], prompt[1::2]))
    counts = [np.bincount(values, minlength=32) for values in (yes, no)]
    assert counts[0][0] == counts[0][16] == counts[1][0] == counts[1][16] == 0
    both = np.delete(np.array(counts), [0, 16], axis=1)
    assert chisquare(both[0], both.sum(axis=0) / 2).pvalue > 1e-3


@pytest.mark.parametrize("problem", [Match2(10_000), Match2(100, dim=3, tokens="coordinate")], ids=named)
def test_broad_spreads_the_number_of_matches_evenly(problem):
    instance, share, values = problem.sample(np.random.default_rng(2), 6000, 8, "broad"), [], [[], []]
    for row, answer in zip(instance.prompt.tolist(), instance.answer[:, 0], strict=True):
        items = tuples(problem, row)
        found = len(matches(problem, items))
        assert (found > 0) == (answer == problem.vocab - 1)
        values[int(found > 0)].append(len(set(items)))
        if len(set(items)) == 8 and found:
            share.append(found)
    assert chisquare(np.bincount(share, minlength=5)[1:]).pvalue > 1e-3
    assert abs(np.mean(values[0]) - np.mean(values[1])) < 0.1


def test_a_value_that_is_its_own_negative_matches_where_it_occurs_twice():
    prompt = sample(Match2(6), 4000, 6, "broad")
    twice = ((prompt == 0).sum(axis=1) > 1) | ((prompt == 3).sum(axis=1) > 1)
    assert 0.05 < twice.mean() < 0.6
    assert (Match2(6).solve(prompt[twice]) == Match2(6).vocab - 1).all()
    assert ((prompt == 0).sum(axis=1)[Match2(6).solve(prompt)[:, 0] == 6] == 1).any()
    prompt = sample(Match2(16), 4000, 12, "broad")
    twice = prompt[((prompt == 0).sum(axis=1) > 1) | ((prompt == 8).sum(axis=1) > 1)]
    alone = [len(matches(Match2(16), [(token,) for token in row])) == 1 for row in twice.tolist()]
    assert 0.2 < np.mean(alone) < 0.8, "it is often the only match: what training never shows is not learned"


@pytest.mark.parametrize("problem", [Match2(5), Match2(6), Match2(7), Match2(8)], ids=named)
def test_classes_are_the_residual_ones(problem):
    """Prompts that no future of up to one more item tells apart, up to the length at which all of them occur."""
    found, waiting = {}, [()]
    while waiting:
        prompt = waiting.pop()
        futures = [(), *((x,) for x in product(range(problem.modulus), repeat=problem.dim))]
        residual = tuple(bool(matches(problem, prompt + future)) for future in futures)
        if residual not in found:
            found[residual] = prompt
            waiting += [prompt + future for future in futures[1:]]
    assert len(found) == problem.classes()


def test_classes_are_written_out_where_they_can_be_read():
    assert Match2().classes() == 3**31 * 4 + 1
    assert Match2(5, dim=2).classes() == 3**12 * 2 + 1
    assert Match2(10, dim=3).classes() == 3**496 * 2**8 + 1
    assert Match2(4096).classes() is None


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"tokens": "bits"}, "task.tokens=bits: item and coordinate exist"),
        ({"modulus": 4}, "task.modulus=4: at least 5 is needed"),
        ({"modulus": 2**21, "tokens": "coordinate"}, "task.modulus=2097152: at most 1048576"),
        ({"dim": 0}, "task.dim=0: 1 to 26"),
        ({"dim": 3}, r"task.tokens=item: 64\*\*3 tuples are more than 65,536 tokens"),
        ({"dim": 11, "tokens": "coordinate"}, r"task.dim=11: 64\*\*11 tuples are more than the 2\*\*62"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused_in_a_sentence(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        Match2(**settings)


@pytest.mark.parametrize("length", [1, 1025])
def test_other_lengths_are_refused(length):
    with pytest.raises(ValueError, match=f"length={length}: 2 to 1024"):
        sample(Match2(), 2, length, "natural")
