"""Pairwise held against plain Python: the laws under many settings, every tiny prompt, what is known of scalars."""

from dataclasses import replace
from inspect import signature
from itertools import combinations, product
from math import isqrt

import numpy as np
import pytest
from scipy.stats import chisquare

from tasks.base import SPLITS
from tasks.check import LAWS, check_law, shortcut_scores
from tasks.pairwise import Pairwise

HAMMING = Pairwise(alpha=5, values=2, dim=5, norm="hamming")
PADDED = replace(HAMMING, alpha=4, dim=6)
SQUARE = Pairwise(alpha=4, values=8, dim=2, norm="linf")
BOX = Pairwise(alpha=3, values=6, dim=3, norm="linf")
DISC = Pairwise(alpha=7, values=16, dim=2, norm="l2")
BALL = Pairwise(alpha=5, values=8, dim=3, norm="l2")
WRITTEN = [
    replace(problem, tokens=tokens)
    for problem, tokens in product((HAMMING, PADDED, SQUARE, BOX, DISC, BALL), ("item", "coordinate"))
]
TOLD = [{}, {"alpha": "prompt"}, {"alpha": "prompt", "shots": 2}, {"alpha": "prompt", "shots": 3}]
SETTINGS = [
    replace(problem, distinct=distinct, **told)
    for problem, told, distinct in product([Pairwise(), *WRITTEN], TOLD, (False, True))
    if problem.dim != 3 and not (distinct and problem.norm == "l2")  # three coordinates add seconds and no case
]


def named(problem):
    return "-".join(map(str, vars(problem).values()))


def sample(problem, size, length, split, seed=0):
    return problem.sample(np.random.default_rng(seed), size, length, split)


# The problem once more, in plain Python: nothing of tasks/ but its settings.


def distance(problem, x, y):
    steps = [abs(a - b) for a, b in zip(x, y, strict=True)]
    return sum(step**2 for step in steps) if problem.norm in ("l2", "hamming") else max(steps)


def limit(problem, alpha):
    return alpha**2 if problem.norm == "l2" else alpha


def diameter(problem, items):
    return max((distance(problem, x, y) for x, y in combinations(items, 2)), default=0)


def alphas(problem):
    widest = distance(problem, [0] * problem.dim, [problem.values - 1] * problem.dim)
    return range(2, (isqrt(widest) if problem.norm == "l2" else widest) + 1)


def width(problem):
    return problem.dim if problem.tokens == "coordinate" else 1


def no(problem):
    return problem.values ** (problem.dim // width(problem))


def vectors(problem, row):
    if problem.tokens == "coordinate":
        return [tuple(row[start : start + problem.dim]) for start in range(0, len(row), problem.dim)]
    return [tuple(token // problem.values**place % problem.values for place in range(problem.dim)) for token in row]


def understood(problem, row, length):
    """(alphas that the row leaves possible, vectors asked about)."""
    tokens = length * width(problem)
    shown, possible = row[: len(row) - tokens], [problem.alpha]
    if problem.alpha == "prompt":
        possible = [alpha for alpha in alphas(problem) if problem.shots or shown == [no(problem) + alpha]]
    for start in range(0, len(shown) if problem.shots else 0, tokens + 1):
        reach = diameter(problem, vectors(problem, shown[start : start + tokens]))
        said = shown[start + tokens] == no(problem) + 1
        possible = [alpha for alpha in possible if (reach < limit(problem, alpha)) == said]
    return possible, vectors(problem, row[len(row) - tokens :])


def hold(problem, prompt, length):
    """``solve``, ``so_far`` and every trace say what plain Python says, where alpha is clear. How often it is."""
    rows = [understood(problem, row, length) for row in prompt.tolist()]
    clear = [number for number, (possible, _) in enumerate(rows) if len(possible) == 1]
    prompt, close = prompt[clear], []
    for (alpha,), items in (rows[number] for number in clear):
        close.append([diameter(problem, items[: count + 1]) < limit(problem, alpha) for count in range(length)])
    said = no(problem) + np.array(close)
    assert np.array_equal(problem.solve(prompt), said[:, -1:])
    told = problem.so_far(prompt)
    ends = told.shape[1] - width(problem) * np.arange(length - 1, -1, -1) - 1
    assert np.array_equal(told[:, ends], said)
    assert (np.delete(told, ends, axis=1) == -1).all()
    for name, trace in problem.traces.items():
        steps = trace.steps(prompt)
        assert steps.shape == (len(prompt), trace.count(length), trace.width), name
        assert np.array_equal(trace.read(steps), said[:, -1:]), name
        for index in range(trace.count(length)):
            assert np.array_equal(trace.next(prompt, steps[:, :index]), steps[:, index]), name
    return len(clear)


TINY = [
    (Pairwise(alpha=2, values=2, dim=2, norm="hamming"), 3),
    (Pairwise(alpha=3, values=2, dim=3, norm="hamming"), 3),
    (Pairwise(alpha=2, values=2, dim=3, norm="hamming", tokens="coordinate"), 3),
    (Pairwise(alpha=2, values=3, dim=2, norm="linf"), 3),
    (Pairwise(alpha=2, values=3, dim=2, norm="linf", tokens="coordinate"), 3),
    (Pairwise(alpha=2, values=3, dim=2, norm="l2"), 3),
    (Pairwise(alpha="prompt", values=4), 3),
    (Pairwise(alpha="prompt", values=2, dim=3, norm="hamming"), 3),
    (Pairwise(alpha="prompt", values=4, dim=2, norm="linf"), 2),
    (Pairwise(alpha="prompt", values=4, dim=2, norm="l2", tokens="coordinate"), 2),
    (Pairwise(alpha="prompt", values=2, dim=2, norm="hamming", shots=2), 2),
    (Pairwise(alpha="prompt", values=4, shots=2), 2),
]


@pytest.mark.parametrize(("problem", "length"), TINY, ids=[named(problem) for problem, _ in TINY])
def test_every_tiny_prompt_is_right(problem, length):
    prompt = problem.prompts(length)
    listed = set(map(tuple, prompt.tolist()))
    assert len(listed) == len(prompt)
    assert hold(problem, prompt, length) == len(prompt) or problem.shots
    for split in SPLITS:
        assert set(map(tuple, sample(problem, 300, length, split).prompt.tolist())) <= listed


@pytest.mark.parametrize("problem", SETTINGS, ids=named)
def test_settings_keep_the_laws(problem):
    for law, function in LAWS.items():
        if "length" in signature(function).parameters and law != "no_shortcut_tells_twins_apart":  # see test_vectors.py
            verdict = check_law(law, problem, [2, min(5, problem.longest)])
            assert verdict.passed, f"{law}: {verdict.detail}"


@pytest.mark.parametrize("problem", SETTINGS, ids=named)
@pytest.mark.parametrize("split", SPLITS)
def test_what_is_drawn_is_what_it_seems(problem, split):
    length = min(11, problem.longest)
    drawn = sample(problem, 8, length, split)
    assert hold(problem, drawn.prompt, length) == 8  # no row leaves a doubt about its alpha
    assert np.array_equal(problem.solve(drawn.prompt), drawn.answer)
    for row in drawn.prompt.tolist() if problem.distinct else ():
        items = understood(problem, row, length)[1]
        assert len(set(items)) == length


@pytest.mark.parametrize("problem", [Pairwise(3, 9), replace(HAMMING, dim=7), SQUARE, DISC], ids=named)
@pytest.mark.parametrize("split", SPLITS)
def test_each_problem_has_its_own_alpha(problem, split):
    problem = replace(problem, alpha="prompt")
    shown = sample(problem, 4000, 3, split).prompt[:: 2 if split == "boundary" else 1, 0] - no(problem)
    assert problem.vocab == no(problem) + 2 + len(alphas(problem))
    assert [problem.word(no(problem) + token) for token in (0, 1, 2)] == ["no", "yes", "alpha=2"]
    assert chisquare(np.bincount(shown)[2:]).pvalue > 1e-3
    assert shown.max() == alphas(problem)[-1]


def test_examples_are_a_twin_and_broad_ones_in_any_order():
    problem, places = replace(HAMMING, alpha="prompt", shots=4), set()
    assert problem.vocab == 34
    prompt = sample(problem, 400, 3, "boundary").prompt
    assert np.array_equal(prompt[::2, :16], prompt[1::2, :16])  # twins see the same examples
    for example in prompt[::2, :16].reshape(-1, 4, 4):
        twins = [pair for pair in combinations(range(4), 2) if (example[pair[0]] != example[pair[1]]).sum() == 2]
        assert twins  # one vector and the answer differ
        places.update(twins)
    assert places == set(combinations(range(4), 2))


def close_sets(problem):
    """How many sets can be all that is close to everything seen, and one class more where two are too far apart.

    Two prompts of close vectors are one residual class iff the same vectors may follow: whether all that follows is
    close to itself does not depend on them.
    """
    every = list(product(range(problem.values), repeat=problem.dim))
    reach = limit(problem, problem.alpha)
    near = {x: frozenset(y for y in every if distance(problem, x, y) < reach) for x in every}
    found, waiting = {frozenset(every)}, [frozenset(every)]
    while waiting:
        allowed = waiting.pop()
        new = {allowed & near[x] for x in allowed} - found
        found |= new
        waiting += new
    return len(found) + 1


@pytest.mark.parametrize(("values", "alpha", "dim"), [(4, 2, 2), (5, 2, 2), (6, 3, 2), (4, 2, 3), (7, 3, 1), (5, 3, 1)])
def test_linf_classes(values, alpha, dim):
    problem = Pairwise(alpha, values, dim, norm="linf")
    assert problem.classes() == close_sets(problem)


@pytest.mark.parametrize("dim", [2, 3, 4])
def test_hamming_classes(dim):
    problem = Pairwise(dim, 2, dim, norm="hamming")
    assert problem.classes() == close_sets(problem) == 3**2 ** (dim - 1) + 1


def test_classes_in_the_literature_and_unknown_ones():
    assert close_sets(Pairwise(2, 2, 4, norm="hamming")) == 50
    unknown = [replace(HAMMING, alpha=4), DISC, replace(SQUARE, alpha=5), replace(SQUARE, alpha="prompt")]
    assert [problem.classes() for problem in [*unknown, replace(SQUARE, distinct=True)]] == [None] * 5


def test_theory_is_that_of_the_norm():
    assert "2^(alpha-1)" in HAMMING.theory.state.bound
    assert (HAMMING.theory.layers.bound, SQUARE.theory.layers.bound) == ("2", "1")
    assert DISC.theory.state.bound == "Ω(n) bits"
    assert SQUARE.theory.state.exact
    assert not replace(SQUARE, alpha="prompt").theory.state.exact


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"norm": "l3"}, "task.norm=l3: abs, linf, l2, hamming exist"),
        ({"tokens": "bits"}, "task.tokens=bits: item and coordinate exist"),
        ({"norm": "l2", "dim": 0}, "task.dim=0: 1 to 1024"),
        ({"dim": 2}, "task.dim=2: abs compares scalars"),
        ({"norm": "hamming", "values": 2}, "task.dim=1: at least 2 coordinates"),
        ({"norm": "hamming", "dim": 5}, "task.values=64: hamming compares 0-1 vectors"),
        ({"norm": "linf", "dim": 2, "values": 2}, "task.values=2: at least 3 values"),
        ({"norm": "l2", "dim": 3, "values": 2}, "task.values=2: at least 3 values"),
        ({"norm": "linf", "dim": 3}, r"task.tokens=item: 64\*\*3 vectors are more than 65,536 tokens"),
        ({"alpha": "often"}, "task.alpha=often: an integer is needed, or the word prompt"),
        (
            {"norm": "linf", "dim": 2, "alpha": 64},
            "task.alpha=64: 2 to 63 are possible with task.values=64 and task.dim=2",
        ),
        ({"norm": "l2", "dim": 2, "alpha": 90}, "task.alpha=90: 2 to 89"),
        ({"norm": "hamming", "values": 2, "dim": 5, "alpha": 6}, "task.alpha=6: 2 to 5"),
        ({"norm": "l2", "dim": 2, "distinct": True}, "task.distinct=True: how many fit is not known in l2"),
        (
            {"norm": "linf", "dim": 11, "tokens": "coordinate", "distinct": True},
            r"task.distinct=True: 64\*\*11 vectors",
        ),
        ({"alpha": "prompt", "shots": 1}, "task.shots=1: 0, or 2 to 64"),
        ({"alpha": "prompt", "shots": -1}, "task.shots=-1: 0, or 2 to 64"),
        ({"shots": 2}, "task.shots=2: examples tell alpha, so task.alpha=prompt is needed"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused_in_a_sentence(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        Pairwise(**settings)


def after(state, value, alpha):
    """The one-pass automaton: (min, max) so far, None once two values were too far apart."""
    if state is None:
        return None
    low, high = min(state[0], value), max(state[1], value)
    return (low, high) if high - low < alpha else None


def minimal_states(alpha, values):
    """Moore: states are told apart by acceptance, then by where each value leads, until nothing new is told apart."""
    empty = (values, -1)
    states, reached = [], [empty]
    while reached:
        states.append(reached.pop())
        new = {after(states[-1], value, alpha) for value in range(values)} - {*states, *reached}
        reached.extend(new)
    block, blocks = {state: state is None for state in states}, 0
    while blocks < len(set(block.values())):
        blocks = len(set(block.values()))
        told = {s: (block[s], *(block[after(s, value, alpha)] for value in range(values))) for s in states}
        number = {signature: i for i, signature in enumerate(set(told.values()))}
        block = {state: number[told[state]] for state in states}
    return blocks


def residuals(alpha, values):
    """Prompts of up to 3 values, the empty one included, that some future of up to 2 values tells apart."""
    words = [word for length in range(4) for word in product(range(values), repeat=length)]
    low, high = (np.array([pick(word, default=none) for word in words]) for pick, none in ((min, values), (max, -1)))
    futures = [i for i, word in enumerate(words) if len(word) <= 2]
    spread = np.maximum(high[:, None], high[futures]) - np.minimum(low[:, None], low[futures])
    return len(np.unique(spread < alpha, axis=0))


@pytest.mark.parametrize(("values", "alpha"), [(v, a) for v in range(3, 10) for a in range(2, v)])
def test_pairwise_classes_are_the_minimal_states(values, alpha):
    assert Pairwise(alpha, values).classes() == minimal_states(alpha, values) == residuals(alpha, values)


@pytest.mark.parametrize(("values", "alpha", "classes"), [(16, 5, 52), (8, 3, 17), (6, 2, 11)])
def test_pairwise_classes_in_the_literature(values, alpha, classes):
    assert Pairwise(alpha, values).classes() == minimal_states(alpha, values) == classes


@pytest.mark.parametrize(("alpha", "values"), [(24, 64), (2, 3), (5, 16), (63, 64)])
@pytest.mark.parametrize("length", [2, 3, 17])
def test_pairwise_twins_are_one_step_of_one_extreme_value_apart(alpha, values, length):
    prompt = Pairwise(alpha, values).sample(np.random.default_rng(1), 500, length, "boundary").prompt
    closer, apart = prompt[::2], prompt[1::2]
    assert (np.ptp(closer, axis=1) == alpha - 1).all()
    distance = np.abs(apart[:, :, None] - apart[:, None])[:, *np.triu_indices(length, k=1)]
    assert (distance.max(axis=1) == alpha).all()
    assert ((distance >= alpha).sum(axis=1) == 1).all()
    edit = apart - closer
    assert (np.abs(edit).sum(axis=1) == 1).all()
    raised, lowered = (edit == 1).any(axis=1), (edit == -1).any(axis=1)
    assert (apart.max(axis=1)[raised] == apart[edit == 1]).all()
    assert (apart.min(axis=1)[lowered] == apart[edit == -1]).all()
    assert 0.4 < raised.mean() < 0.6


@pytest.mark.parametrize("length", [2, 9, 64])
def test_pairwise_broad_spreads_evenly(length):
    task = Pairwise()
    spread = np.ptp(task.sample(np.random.default_rng(2), 40_000, length, "broad").prompt, axis=1)
    counts = np.bincount(spread, minlength=task.values)
    assert chisquare(counts[: task.alpha]).pvalue > 1e-3
    assert chisquare(counts[task.alpha :]).pvalue > 1e-3


@pytest.mark.parametrize("length", [8, 16, 32, 64])
def test_pairwise_extremes_alone_say_nearly_nothing(length):
    scores = shortcut_scores(Pairwise(), length)
    assert abs(scores["minimum"] - 0.5) < 0.04
    assert abs(scores["maximum"] - 0.5) < 0.04


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"alpha": 64}, "task.alpha=64: 2 to 63"),
        ({"alpha": 1}, "task.alpha=1: 2 to 63"),
        ({"alpha": -3}, "task.alpha=-3: 2 to 63"),
        ({"values": 24}, "task.alpha=24: 2 to 23"),
        ({"values": 2}, "task.values=2: at least 3"),
    ],
)
def test_pairwise_refuses_settings_without_twins(settings, named):
    with pytest.raises(ValueError, match=named):
        Pairwise(**settings)
