"""Words and the groups beneath, held against permutations composed in plain Python."""

import doctest
from collections import Counter
from itertools import permutations, product

import numpy as np
import pytest

from tasks import groups
from tasks.base import SPLITS
from tasks.check import LAWS, check_law
from tasks.groups import group
from tasks.words import Words

ORDERS = {"Z2": 2, "Z7": 7, "S3": 6, "A4": 12, "S4": 24, "A5": 60, "S5": 120, "A4xZ5": 60, "Z2xS3xZ3": 36}


def sample(task, size, length, split):
    return task.sample(np.random.default_rng(0), size, length, split)


def after(first, second):
    """First one permutation, then the other."""
    return tuple(second[first[place]] for place in range(len(first)))


@pytest.mark.parametrize("name", ORDERS)
def test_a_table_is_a_group_with_identity_0(name):
    table, order = group(name).table, ORDERS[name]
    every = np.arange(order)
    assert table.shape == (order, order) == (group(name).order,) * 2
    assert (table[0] == every).all()
    assert (table[:, 0] == every).all()
    assert (np.sort(table, axis=0) == every[:, None]).all()
    assert (np.sort(table, axis=1) == every).all()
    assert all((table[table[x], :] == table[x][table]).all() for x in every)  # (x y) z = x (y z)
    assert (table == table.T).all() == group(name).abelian


@pytest.mark.parametrize("name", ORDERS)
def test_a_group_is_solvable_if_its_commutators_come_down_to_the_identity(name):
    table, found = group(name).table, set(range(ORDERS[name]))
    inverse = (table == 0).argmax(axis=1)
    while True:
        commutators = {int(table[table[x, y], table[inverse[x], inverse[y]]]) for x, y in product(found, repeat=2)}
        derived, grown = set(), commutators
        while grown != derived:
            derived, grown = grown, grown | {int(table[x, y]) for x, y in product(grown, commutators)}
        if derived == found:
            break
        found = derived
    assert (found == {0}) == group(name).solvable


def test_the_example_of_groups_runs():
    assert doctest.testmod(groups) == (0, 4)


def test_products_of_the_symmetric_group_do_the_left_permutation_first():
    every = list(permutations(range(3)))
    for x, y, z in product(range(6), repeat=3):
        first, second = after(every[x], every[y]), after(after(every[x], every[y]), every[z])
        assert group("S3").products([x, y, z]) == [x, every.index(first), every.index(second)]
        assert group("S3").table[x, y] == every.index(first)


@pytest.mark.parametrize("asked", ["every", "last"])
@pytest.mark.parametrize("name", ["Z4", "S3", "A4xZ5", "A5", "S5", "Z2xS3xZ3"])
def test_tables_trees_and_readouts_agree_with_the_slow_product(name, asked):
    task = Words(group=name, asked=asked)
    for split, length in product(SPLITS, (2, 3, 7, 8, 13)):
        drawn = sample(task, 50, length, split)
        said = np.array([[group(name).order + p for p in group(name).products(row)] for row in drawn.prompt.tolist()])
        expected = said if asked == "every" else said[:, -1:]
        assert (drawn.answer == expected).all()
        assert (task.solve(drawn.prompt) == expected).all()
        if asked == "last":
            assert (task.so_far(drawn.prompt) == said).all()
            assert (task.traces["running_product"].steps(drawn.prompt)[..., 0] == said).all()
            assert (task.traces["tree"].steps(drawn.prompt)[:, -1] == said[:, -1:]).all()
        else:
            assert task.so_far(drawn.prompt) is None
            assert (drawn.at == np.arange(length)).all()


def test_a_tree_multiplies_neighbours_in_rounds():
    task = Words(group="A5", asked="last")
    prompt = sample(task, 4, 5, "natural").prompt
    a, b, c, d, e = prompt.T
    steps, times = task.traces["tree"].steps(prompt)[..., 0] - 60, group("A5").table
    pairs = [times[a, b], times[c, d]]
    four = times[pairs[0], pairs[1]]
    assert np.array_equal(steps.T, [*pairs, four, times[four, e]])


def test_every_answer_is_settled_where_it_is_said():
    task, settled = Words(group="Z3"), {}
    prompts = task.prompts(4)
    for prompt, said in zip(prompts.tolist(), task.solve(prompts).tolist(), strict=True):
        for place, token in enumerate(said):
            assert settled.setdefault(tuple(prompt[: place + 1]), token) == token == 3 + sum(prompt[: place + 1]) % 3


def test_twins_differ_in_one_element_from_which_on_every_product_differs():
    task = Words(group="A5")
    drawn, places = sample(task, 2000, 9, "boundary"), Counter()
    for one, other, said, contrary in zip(
        drawn.prompt[::2], drawn.prompt[1::2], drawn.answer[::2], drawn.answer[1::2], strict=True
    ):
        (place,) = np.flatnonzero(one != other)
        assert ((said != contrary) == (np.arange(9) >= place)).all()
        places[place] += 1
    assert min(places[place] for place in range(9)) > 1000 / 9 / 2


@pytest.mark.parametrize("size", [120, 121, 601])
def test_broad_has_as_many_of_each_product(size):
    answer = sample(Words(group="S5", asked="last"), size, 6, "broad").answer
    assert set(np.bincount(answer[:, 0], minlength=240)[120:].tolist()) <= {size // 120, -(-size // 120)}


@pytest.mark.parametrize("name", ["Z2", "Z3", "Z4", "Z2xZ2", "S3"])
@pytest.mark.parametrize("asked", ["every", "last"])
def test_the_smallest_groups_hide_from_shortcuts_too(name, asked):
    verdict = check_law("no_shortcut_tells_twins_apart", Words(group=name, asked=asked), lengths=[3, 4, 5, 8])
    assert verdict.passed, verdict.detail


@pytest.mark.parametrize(
    "name", ["Z1", "Z0", "S2", "S6", "A3", "A6", "Z", "x", "Z5x", "z5", "Z05", "Z2000", "A5xS5", ""]
)
def test_a_group_that_does_not_exist_is_refused(name):
    with pytest.raises(
        ValueError, match=rf"task\.group={name}: Zm for m from 2, .* such as A4xZ5, exist; at most 1024"
    ):
        Words(group=name)


def test_an_unknown_question_is_refused():
    with pytest.raises(ValueError, match=r"task\.asked=first: every and last exist"):
        Words(asked="first")


def test_laws_stand_for_a_large_group():
    for law in ("tokens_lie_in_the_vocabulary", "solve_finds_the_answer", "answers_are_balanced"):
        assert law in LAWS
        assert check_law(law, Words(group="Z1024", asked="last"), lengths=[2, 5]).passed
