"""Bounded halting, held against walks and graphs in plain Python."""

from collections import Counter
from itertools import permutations
from math import factorial

import numpy as np
import pytest

from tasks.base import SPLITS
from tasks.halting import HALT, Halting


def sample(task, size, length, split):
    return task.sample(np.random.default_rng(0), size, length, split)


def graph(prompt):
    """Its successors, and the start."""
    *edges, start = prompt
    return {edges[i]: edges[i + 1] for i in range(0, len(edges), 2)}, start


def time(prompt):
    """Steps to halt, infinite if there is no end."""
    successor, node = graph(prompt)
    for steps in range(len(successor) + 1):
        if node == HALT:
            return steps
        node = successor[node]
    return float("inf")


def test_every_graph_of_four_nodes_is_right():
    task, length = Halting.tiny()
    prompts = task.prompts(length)
    assert len(prompts) == factorial(4) * 5**4 * 4
    halts = np.array([time(prompt) <= 2 for prompt in prompts.tolist()])
    assert (task.holds(prompts) == halts).all()
    assert (task.solve(prompts) == task.say(halts)[:, None]).all()
    for trace in task.traces.values():
        assert (trace.read(trace.steps(prompts)) == task.say(halts)[:, None]).all()


@pytest.mark.parametrize("one", [Halting(), Halting(within=5, labels=40), Halting(within=16, labels=64)], ids=str)
def test_steps_name_the_nodes_that_are_visited(one):
    length, t = 2 * one.within + 3, one.within
    for split in SPLITS:
        prompts = sample(one, 20, length, split).prompt
        walk = one.traces["walk"].steps(prompts)[..., 0].tolist()
        rounds = one.traces["doubling"].steps(prompts).reshape(20, t.bit_length(), length + 1).tolist()
        for prompt, steps, doubled in zip(prompts.tolist(), walk, rounds, strict=True):
            successor, start = graph(prompt)

            def after(node, count, successor=successor):
                for _ in range(count):
                    node = successor.get(node, HALT)
                return node

            assert steps == [after(start, count) for count in range(1, t + 1)]
            for bit, written in enumerate(doubled):
                assert written[:-1] == [after(node, 2**bit) for node in prompt[:-1:2]]
                assert written[-1] == after(start, t % 2 ** (bit + 1))


def marks(prompt):
    """What does not need a walk to be seen: predecessors of all nodes, of the start, edges to halt, loops."""
    successor, start = graph(prompt)
    into = Counter(successor.values())
    return (
        tuple(sorted(into[node] for node in successor)),
        into[start],
        into[HALT],
        sum(node == other for node, other in successor.items()),
    )


@pytest.mark.parametrize("length", [8, 9, 10, 24])
def test_twins_part_anywhere_on_a_walk_that_halts_just_in_time(length):
    task, parted, times = Halting(), Counter(), Counter()
    for yes, no in sample(task, 4000, length, "boundary").prompt.reshape(-1, 2, 2 * length + 1).tolist():
        (edited,) = [place for place in range(2 * length + 1) if yes[place] != no[place]]
        assert edited % 2
        assert edited < 2 * length
        assert HALT not in (yes[edited], no[edited])
        assert time(yes) == 4
        assert time(no) > 4
        times[time(no)] += 1
        (successor, node), steps = graph(yes), 1
        while node != yes[edited - 1]:
            node, steps = successor[node], steps + 1
        parted[steps] += 1
    assert set(parted) == {1, 2, 3}
    assert min(parted.values()) > 500
    assert set(times) == {5, 6, 7, *[8] * (length > 10), float("inf")}
    assert abs(times[float("inf")] - 500) < 100


@pytest.mark.parametrize("length", [8, 13])
def test_what_needs_no_walk_is_alike_on_both_rows_of_twins(length):
    prompts = sample(Halting(), 20_000, length, "boundary").prompt.tolist()
    yes, no = (Counter(map(marks, prompts[row::2])) for row in (0, 1))
    few = {mark for mark in yes | no if yes[mark] + no[mark] < 30}
    differences = [yes[mark] - no[mark] for mark in (yes | no).keys() - few]
    spread = [yes[mark] + no[mark] for mark in (yes | no).keys() - few]
    assert len(spread) > 20
    assert sum(d**2 / s for d, s in zip(differences, spread, strict=True)) < len(spread) + 5 * (2 * len(spread)) ** 0.5


@pytest.mark.parametrize("length", [8, 30])
def test_broad_spreads_the_time_evenly_within_and_beyond_t(length):
    drawn = sample(Halting(), 8000, length, "broad")
    times = Counter(map(time, drawn.prompt.tolist()))
    assert all(abs(times[steps] - 1000) < 5 * 1000**0.5 for steps in (1, 2, 3, 4))
    assert abs(times[float("inf")] - 1000) < 5 * 1000**0.5
    if length == 30:
        assert all(abs(times[steps] - 750) < 5 * 750**0.5 for steps in (5, 6, 7, 8))
    assert set(times) == {*range(1, 9), float("inf")}


def test_edges_to_halt_do_not_tell_the_answer_in_broad():
    drawn = sample(Halting(), 20_000, 20, "broad")
    count, yes = (drawn.prompt[:, 1::2] == HALT).sum(axis=1), drawn.answer[:, 0] == drawn.answer.max()
    assert count.min() == 2
    for edges in (2, 3):
        both = (count == edges).sum()
        assert abs((count[yes] == edges).sum() - both / 2) < 5 * (both / 4) ** 0.5


def test_half_of_the_edges_must_be_remembered():
    task, answers = Halting(labels=10), set()
    for leads in permutations(range(6, 9)):  # 1, 2, 3 to 6, 7, 8 in any order; which is sent to halt comes later
        early = [token for node, other in zip((1, 2, 3), leads, strict=True) for token in (node, other)]
        late = [[t for node in (6, 7, 8) for t in (node, HALT if node == halts else node)] for halts in (6, 7, 8)]
        prompts = np.array([early + edges + [start] for edges in late for start in (1, 2, 3)])
        answers.add(tuple(task.solve(prompts)[:, 0].tolist()))
    assert len(answers) == factorial(3)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"within": 1}, "task.within=1: 2 to 256 steps are possible"),
        ({"within": 257}, "task.within=257: 2 to 256"),
        ({"within": 8, "labels": 15}, "task.labels=15: 16 to 4096 are possible with task.within=8"),
        ({"labels": 4097}, "task.labels=4097: 8 to 4096"),
    ],
)
def test_what_is_not_possible_is_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence.replace(".", r"\.")):
        Halting(**settings)


def test_more_nodes_than_labels_are_refused():
    with pytest.raises(ValueError, match="length=21: 8 to 20 are possible"):
        sample(Halting(labels=20), 1, 21, "natural")
