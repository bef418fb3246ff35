"""Edit distance against plain Python: every small pair, the costs there are, and what the splits promise."""

from functools import cache
from itertools import product

import numpy as np
import pytest
from scipy.stats import chisquare

from tasks import edit_distance
from tasks.alignment import Alignment
from tasks.check import check_law
from tasks.edit_distance import EditDistance

COSTS = [(2, 3), (1, 1), (1, 2), (2, 2), (4, 6), (5, 9)]  # of inserting, of replacing
LAWS = ["solve_finds_the_answer", "answers_are_balanced", "traces_lead_to_the_answer"]
LAWS += ["twins_differ_by_the_smallest_edit", "no_shortcut_tells_twins_apart"]


@cache
def cheapest(x, y, insert, replace):
    """By the definition: the first characters are deleted, inserted, or aligned."""
    if not x or not y:
        return insert * (len(x) + len(y))
    return min(
        insert + cheapest(x[1:], y, insert, replace),
        insert + cheapest(x, y[1:], insert, replace),
        (0 if x[0] == y[0] else replace) + cheapest(x[1:], y[1:], insert, replace),
    )


def strings(prompt):
    """(B, P) -> (2, n, B)."""
    length = prompt.shape[1] // 2
    return np.stack([prompt[:, :length].T, prompt[:, length + 1 :].T])


@pytest.mark.parametrize(("insert", "replace"), COSTS)
def test_every_small_pair_costs_what_the_definition_says(insert, replace):
    ours = EditDistance(3, insert, replace)
    prompt = ours.prompts(3)
    assert len(prompt) == len(np.unique(prompt, axis=0)) == 3**6
    right = [cheapest(tuple(row[:3]), tuple(row[4:]), insert, replace) for row in prompt.tolist()]
    assert (ours.solve(prompt)[:, 0] - 4 == right).all()
    assert (Alignment(insert, replace).cost(strings(prompt)) == right).all()


@pytest.mark.parametrize(("insert", "replace"), COSTS)
@pytest.mark.parametrize(("characters", "length"), [(3, 4), (4, 3), (3, 3), (26, 1)])
def test_the_admissible_costs_are_all_that_occur_or_all_but_that_of_equal_strings(insert, replace, characters, length):
    ours = EditDistance(characters, insert, replace)
    occur = set(Alignment(insert, replace).cost(strings(ours.prompts(length))).tolist())
    costs = ours.costs(length)
    assert len(costs) % 2 == 0
    assert costs == sorted(occur)[len(occur) % 2 :]
    assert ours.chance(length) == 1 / len(costs)


@pytest.mark.parametrize(("insert", "replace"), COSTS)
def test_the_cost_with_one_character_changed_is_that_of_the_changed_strings(insert, replace):
    pairs, align = np.random.default_rng(0).integers(0, 4, (2, 6, 50)), Alignment(insert, replace)
    found = align.cost_with(pairs, kinds=4)
    assert found.shape == (4, 6, 50)
    for character, place in product(range(4), range(6)):
        changed = pairs.copy()
        changed[0, place] = character
        assert (found[character, place] == align.cost(changed)).all()


@pytest.mark.parametrize(("insert", "replace"), COSTS)
@pytest.mark.parametrize("length", [4, 5, 12])
@pytest.mark.parametrize("rounds", [0, 4], ids=["constructed", "drawn"])
def test_twins_cost_neighbouring_costs_and_all_are_equally_frequent(insert, replace, length, rounds, monkeypatch):
    monkeypatch.setattr(edit_distance, "ROUNDS", rounds)
    ours = EditDistance(4, insert, replace)
    costs = ours.costs(length)
    instance = ours.sample(np.random.default_rng(1), 6 * len(costs), length, "boundary")
    assert ((instance.prompt[::2] != instance.prompt[1::2]).sum(axis=1) == 1).all()
    assert (ours.solve(instance.prompt) == instance.answer).all()
    number = np.searchsorted(costs, instance.answer[:, 0] - 5)
    assert (number[::2] == number[1::2] ^ 1).all()
    assert (np.bincount(number) == 6).all()
    assert 0 < (number[::2] % 2).mean() < 1


@pytest.mark.parametrize("length", [4, 9, 40])
def test_broad_has_as_many_of_each_cost(length):
    ours = EditDistance()
    costs = ours.costs(length)
    instance = ours.sample(np.random.default_rng(2), 3 * len(costs), length, "broad")
    assert (ours.solve(instance.prompt) == instance.answer).all()
    assert (np.unique(instance.answer - 5, return_counts=True)[0] == costs).all()
    assert (np.unique(instance.answer, return_counts=True)[1] == 3).all()
    few = ours.sample(np.random.default_rng(3), len(costs) // 2, length, "broad").answer[:, 0]
    assert len(set(few)) == len(few)
    assert few.max() - few.min() > len(costs) // 2  # any of them, not neighbours


@pytest.mark.parametrize(("length", "share"), [(4, 0.06), (8, 0.02), (32, 0.002)])
@pytest.mark.parametrize("split", ["boundary", "broad"])
def test_strings_are_hardly_ever_constructed(length, share, split, monkeypatch):
    constructed, ours = EditDistance._constructed, EditDistance()
    made = []

    def counted(self, rng, first, second, length):
        made.append(len(first))
        return constructed(self, rng, first, second, length)

    monkeypatch.setattr(EditDistance, "_constructed", counted)
    ours.sample(np.random.default_rng(4), 1000, length, split)
    assert sum(made) <= share * 1000


def test_the_edit_is_anywhere_in_either_string():
    prompt = EditDistance().sample(np.random.default_rng(5), 8000, 9, "boundary").prompt
    times = (prompt[::2] != prompt[1::2]).sum(axis=0)
    assert times[9] == 0
    assert chisquare([times[:9].sum(), times[10:].sum()]).pvalue > 1e-3
    assert times[np.arange(19) != 9].min() > 4000 / 18 / 2


def test_diagonals_are_the_cells_of_the_table_in_another_order():
    ours = EditDistance()
    prompt = ours.sample(np.random.default_rng(6), 50, 4, "natural").prompt
    table, diagonals = (ours.traces[name].steps(prompt)[:, :, 0] for name in ("table", "diagonals"))
    order = [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0), (0, 3), (1, 2)]
    assert (diagonals[:, :8] == table[:, [4 * i + j for i, j in order]]).all()
    assert (np.sort(diagonals) == np.sort(table)).all()
    for i, j in product(range(4), repeat=2):
        assert table[0, 4 * i + j] - 5 == cheapest(tuple(prompt[0, : i + 1]), tuple(prompt[0, 5 : 6 + j]), 2, 3)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("ours", [EditDistance(insert=1, replace=1), EditDistance(characters=6, insert=5, replace=9)])
def test_the_laws_hold_for_other_costs(ours, law):
    verdict = check_law(law, ours, [7, 16])
    assert verdict.passed, verdict.detail


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"characters": 2}, "task.characters=2: 3 to 26 are possible"),
        ({"characters": 27}, "task.characters=27: 3 to 26 are possible"),
        ({"insert": 0}, "task.insert=0: 1 to 9 are possible"),
        ({"replace": 5}, "task.replace=5: 2, 3, 4 are possible with task.insert=2"),
        ({"insert": 4, "replace": 5}, "task.replace=5: 4, 6, 7, 8 are possible with task.insert=4"),
    ],
)
def test_other_settings_are_refused(settings, named):
    with pytest.raises(ValueError, match=named):
        EditDistance(**settings)


def test_strings_too_short_or_too_long_are_refused():
    for length in (3, 129):
        with pytest.raises(ValueError, match=f"length={length}: 4 to 128 are possible"):
            EditDistance().sample(np.random.default_rng(7), 2, length, "broad")
