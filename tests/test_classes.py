"""Residual classes against brute force, closed forms and the tasks' own bounds; the machines against ``solve``."""

import doctest
import math
from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import tasks
from harness.__main__ import main
from harness.theory import automata, classes, machine
from harness.theory.automata import Automaton, automaton, minimal, path, places, reachable, run
from harness.theory.machine import Table, TooMany, merged, remembering, spanning
from harness.verbs import theory as verb
from tasks.base import SPLITS
from tasks.copying import Copying
from tasks.count3 import Count3
from tasks.disjointness import Disjointness
from tasks.distinctness import Distinctness
from tasks.edit_distance import EditDistance
from tasks.late_rule import LateRule
from tasks.majority import Majority
from tasks.match2 import Match2
from tasks.match3 import Match3
from tasks.modular_addition import ModularAddition
from tasks.orthogonal_vectors import OrthogonalVectors
from tasks.pairwise import Pairwise
from tasks.parity import Parity
from tasks.words import Words

WITHOUT = {"arithmetic", "halting", "khop", "recall"}  # tasks that have no machine
EVERY = [t for name in tasks.names() for t in (tasks.load(name)(), *tasks.load(name).variations())]


def hamming(dim, alpha, tokens="item"):
    return Pairwise(alpha=alpha, values=2, dim=dim, norm="hamming", tokens=tokens)


SMALL = [  # settings and the longest length at which brute force goes through all prompts
    *(tasks.load(name).tiny() for name in tasks.names() if name not in WITHOUT | {"disjointness"}),
    (Pairwise(alpha=4, values=6), 4),
    (Pairwise(alpha=2, values=4, dim=2, norm="linf"), 3),
    (Pairwise(alpha=2, values=3, dim=2, norm="linf", tokens="coordinate"), 3),
    (Pairwise(alpha=2, values=3, dim=2, norm="l2"), 4),
    (hamming(2, 2), 6),
    (hamming(3, 2, "coordinate"), 4),
    (hamming(3, 3), 4),
    (Pairwise(alpha="prompt", values=5), 4),
    (Pairwise(alpha="prompt", values=2, dim=3, norm="hamming", tokens="coordinate"), 3),
    (OrthogonalVectors(dim=3, tokens="coordinate"), 4),
    (Words(group="S3"), 4),
    (Words(group="Z5", asked="last"), 4),
    (Match2(modulus=5), 5),
    (Match3(modulus=8, dim=1), 5),
    (LateRule(values=5, rule="first"), 4),
    (Copying(symbols=2, repeat=True), 7),
    (EditDistance(characters=3, insert=1, replace=1), 4),
]
FURTHER = [  # settings that fit the calculator, not brute force
    Pairwise(alpha=5, values=16),
    Pairwise(alpha=9, values=12),
    Pairwise(alpha=3, values=6, dim=2, norm="linf"),
    hamming(4, 4),
    hamming(4, 2),
    Distinctness(values=9),
    Match2(modulus=11),
    Match2(modulus=12),
]


def has_machine(problem):
    try:
        automaton(problem)
    except ValueError:
        return False
    return True


READ = [problem for problem in EVERY if has_machine(problem)]


# The machines --------------------------------------------------------------------------------------------------------


def wrong(one, problem, length, size=40):
    """How many prompts of all splits and this length a machine answers in another way than ``solve``."""
    rng = np.random.default_rng(length)
    prompt = np.concatenate([problem.sample(rng, size, length, split).prompt for split in SPLITS])
    right = problem.solve(prompt)
    said = run(one, prompt)
    return int((said != right[:, -said.shape[1] :]).any(axis=1).sum())


def test_every_task_has_a_machine_or_is_known_to_have_none():
    assert {type(t).__module__.removeprefix("tasks.") for t in EVERY if has_machine(t)} == set(tasks.names()) - WITHOUT
    assert [
        problem for problem in EVERY if not has_machine(problem) and type(problem).__module__[6:] not in WITHOUT
    ] == [OrthogonalVectors(dim=64, tokens="coordinate")]


@pytest.mark.parametrize("problem", [*READ, *(problem for problem, _ in SMALL), *FURTHER], ids=repr)
def test_the_machine_answers_as_solve_does(problem):
    one = automaton(problem)
    for length in {problem.shortest, min(problem.shortest + 3, problem.longest), min(16, problem.longest)}:
        if length >= problem.shortest:
            assert wrong(one, problem, length) == 0, length


@pytest.mark.parametrize(("problem", "length"), SMALL, ids=repr)
def test_the_machine_answers_every_small_prompt(problem, length):
    prompt = problem.prompts(length)
    prompt = prompt[:: -(-len(prompt) // 1500)]
    right = problem.solve(prompt)
    said = run(automaton(problem), prompt)
    assert np.array_equal(said, right[:, -said.shape[1] :])


@pytest.mark.parametrize("problem", [Words(group="S3"), Parity(), Distinctness(values=8), Match2(modulus=6)], ids=repr)
def test_the_machine_answers_all_along_the_way(problem):
    one, prompt = automaton(problem), problem.sample(np.random.default_rng(0), 20, 4, "natural").prompt
    for row, inside in zip(prompt, problem.solve(prompt), strict=True):
        said = [one.answer(state)[0] for state in path(one, row.tolist())[1:]]
        so_far = problem.so_far(row[None])
        assert said == (inside if so_far is None else so_far[0]).tolist()


@pytest.mark.parametrize("problem", READ, ids=repr)
def test_prompts_are_items_at_their_places(problem):
    length, one = problem.shortest, automaton(problem)
    prompt = problem.sample(np.random.default_rng(1), 30, length, "natural").prompt
    allowed = places(problem, length)
    tokens = [{one.items[i][0] for i in items} for items in allowed]
    widths = [len(one.items[items[0]]) for items in allowed]
    starts = np.cumsum([0, *widths])
    assert starts[-1] == prompt.shape[1]
    for at, may in zip(starts, tokens, strict=False):
        assert set(prompt[:, at].tolist()) <= may


def forgetful(one, keep):
    """A machine that forgets: whatever ``keep`` leaves of its states."""
    return replace(one, step=lambda state, item: keep(one.step(state, item)))


BROKEN = {
    "min only": (
        Pairwise(alpha=5, values=16),
        lambda s: s if isinstance(s, int) else tuple((low, low) for low, _ in s),
    ),
    "last item only": (Distinctness(values=8), lambda s: s if s == -1 else frozenset(list(s)[-1:])),
    "a clash is forgotten": (Match2(modulus=6), lambda s: frozenset() if s == -1 else s),
    "no lacking third": (Match3(modulus=7, dim=1), lambda s: s if s == -1 else (s[0], frozenset())),
    "none seen twice": (LateRule(values=5), lambda s: s if isinstance(s, bool) else (s[0], frozenset())),
    "the set that comes first": (Disjointness(values=8), lambda s: (frozenset(), s[1]) if isinstance(s, tuple) else s),
    "a count that is full": (Majority(), lambda s: max(-1, min(1, s))),
    "counts without the last": (Count3(modulus=5), lambda s: (s[0], 0)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_machine_that_forgets_is_caught(name):
    problem, keep = BROKEN[name]
    lengths = range(max(problem.shortest, 2), min(problem.shortest + 6, problem.longest) + 1)
    assert any(wrong(forgetful(automaton(problem), keep), problem, length, size=100) for length in lengths)


@pytest.mark.parametrize(
    ("problem", "other"),
    [
        (Pairwise(alpha=5, values=16), Pairwise(alpha=6, values=16)),
        (hamming(4, 4), hamming(4, 3)),
        (ModularAddition(modulus=7), ModularAddition(modulus=8)),
        (EditDistance(), EditDistance(replace=4)),
    ],
    ids=repr,
)
def test_the_machine_of_another_task_is_caught(problem, other):
    assert wrong(automaton(other), problem, problem.shortest + 2) > 0


def test_a_residue_that_is_not_less_than_their_number_is_no_prompt():
    assert [automaton(Count3()).answer(path(automaton(Count3()), items)[-1]) for items in ([1] * 8, [9] + [1] * 7)] == [
        (64,),
        (),
    ]


def test_counts_modulo_a_fixed_modulus_are_finitely_many():
    assert classes.natural(Count3(modulus=5)) == 5**5 * 5 + 1, "counts, the last item; nothing yet"


def test_of_items_that_begin_alike_the_longest_is_read():
    one = Automaton((), ((0,), (0, 1)), lambda state, item: (*state, item), lambda state: state)
    assert path(one, [0, 0, 1, 0]) == [(), (0,), (0, 1), (0, 1, 0)]


def test_what_no_machine_reads_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match=r"^tokens=\[0, 7\]: from place 1 on there is none of the 2 items$"):
        run(automaton(Parity()), np.array([[0, 7]]))
    with pytest.raises(ValueError, match="has no automaton here; copying, count3, "):
        automaton(tasks.load("recall")())
    with pytest.raises(ValueError, match=r"^2\*\*64 vectors: .* items are too many .* up to 4,096 can be$"):
        automaton(OrthogonalVectors(dim=64, tokens="coordinate"))
    with pytest.raises(ValueError, match=r"task.distinct=True .*task.distinct=False task.shots=0 has an automaton"):
        automaton(replace(hamming(4, 4), distinct=True))


@pytest.mark.parametrize(
    ("problem", "items"),
    [
        (LateRule(values=5), [0, 5, 1]),  # an item after the target
        (LateRule(values=5, rule="first"), [1]),  # an item before it
        (LateRule(values=5, rule="first"), [5, 6]),  # a second one
        (Pairwise(alpha="prompt", values=5), [1]),
        (Pairwise(alpha="prompt", values=5), [5, 1, 5]),
        (Disjointness(values=8), [1, 1]),
        (Disjointness(values=8), [1, 8, 8]),
        (Disjointness(values=8), [1, 8, 1, 8]),
        (Copying(symbols=5), [3, 3]),
        (EditDistance(), [0, 4, 1, 2]),
        (EditDistance(), [0, 4, 4]),
    ],
    ids=repr,
)
def test_no_prompt_begins_so(problem, items):
    one, states = automaton(problem), []
    for item in items:
        states.append(machine.after(one, states[-1] if states else one.start, item))
    assert states[-1] is None
    assert None not in states[:-1]
    assert machine.after(one, None, 0) is None
    assert machine.answered(one, None) == ()


# Minimal machines and all lengths ------------------------------------------------------------------------------------


def closed(values, alpha):
    """The classes of scalars over all lengths, as THEORY derives them."""
    if values >= 2 * alpha:
        return alpha * values - 3 * alpha * (alpha - 1) // 2 + 2
    starts = values - alpha + 1
    return starts * (starts + 1) // 2 + 1


def test_scalars_have_fewer_classes_than_extremes():
    problem = Pairwise(alpha=5, values=16)
    assert (classes.count(problem), classes.natural(problem)) == (52, 72)
    assert classes.count(Pairwise(alpha=3, values=8)) == 17
    assert classes.count(Pairwise(alpha=2, values=6)) == 11


@pytest.mark.parametrize(
    ("values", "alpha"),
    [(10, 3), (12, 4), (20, 7), (9, 2), (7, 3), (24, 8), (10, 5), (5, 3), (7, 5), (9, 6), (11, 10), (15, 8)],
)
def test_scalars_have_as_many_classes_as_the_closed_form(values, alpha):
    assert classes.count(Pairwise(alpha=alpha, values=values)) == closed(values, alpha)
    natural = alpha * values - alpha * (alpha - 1) // 2 + 2
    assert classes.natural(Pairwise(alpha=alpha, values=values)) == natural


def test_where_every_pair_is_close_there_is_one_class():
    items, vectors = [(x,) for x in range(6)], np.arange(6)[:, None]
    assert len(minimal(spanning(items, vectors, 6, [(7,), (6,)]), 100).answer) == 1


@pytest.mark.parametrize(("dim", "alpha", "expected"), [(4, 1, 18), (4, 2, 50), (4, 4, 6562), (2, 2, 10), (3, 3, 82)])
def test_bits_have_the_classes_of_theory(dim, alpha, expected):
    vectors = np.array(list(product((0, 1), repeat=dim)))
    far = (vectors[:, None] != vectors).sum(axis=2) >= alpha
    one = remembering([(i,) for i in range(2**dim)], far, [(2,), (1,)])
    assert len(minimal(one, 10**5).answer) == expected
    if alpha > 1:
        assert classes.count(hamming(dim, alpha)) == expected


def test_the_set_of_all_vectors_seen_has_the_same_classes():
    """65,536 sets, none of which is given up when two of its vectors are far apart."""
    far = [~sum(1 << y for y in range(16) if (x ^ y).bit_count() < 4) & 0xFFFF for x in range(16)]

    def answer(seen):
        return (int(all(not seen & far[x] for x in range(16) if seen >> x & 1)),)

    found = reachable(Automaton(0, tuple((i,) for i in range(16)), lambda seen, x: seen | 1 << x, answer), 2**16)
    assert len(found.answer) == 2**16
    assert len(merged(found).answer) == 6562


@pytest.mark.parametrize("problem", [problem for problem, _ in SMALL] + FURTHER, ids=repr)
def test_the_minimal_machine_says_the_same_and_no_two_of_its_states_do(problem):
    one = automaton(problem)
    most = 5000 if len(one.items) < 40 else 300
    try:
        least = minimal(one, most)
    except TooMany:
        assert type(problem) in (Copying, Count3, EditDistance, Majority, Match3, Pairwise)
        return
    rng = np.random.default_rng(0)
    for items in rng.integers(len(one.items), size=(50, 6)):
        state, number = one.start, 0
        for item in items:
            state, number = machine.after(one, state, item), least.next[number, item]
            assert least.said[least.answer[number]] == machine.answered(one, state)
    again = merged(least)
    assert np.array_equal(again.next, least.next)
    assert not any(told_apart(least))


def told_apart(table):
    """Pairs of states that no item sequence tells apart, by filling the table of Myhill and Nerode pair by pair."""
    apart = table.answer[:, None] != table.answer
    while True:
        more = apart | apart[table.next[:, None], table.next[None]].any(axis=2)
        if (more == apart).all():
            return np.argwhere(~apart & ~np.eye(len(apart), dtype=bool))
        apart = more


def test_states_that_are_the_same_are_seen_by_the_table_of_pairs():
    twice = reachable(automaton(Pairwise(alpha=5, values=16)), 100)
    assert len(told_apart(twice)) > 0


def test_numbers_of_states_rise_as_they_are_met():
    table = minimal(automaton(Pairwise(alpha=3, values=8)), 100)
    met = list(dict.fromkeys([0, *table.next.ravel().tolist()]))
    assert met == sorted(met)
    assert isinstance(table, Table)
    assert table.said[table.answer[0]] == (9,), "the empty prompt is close"


def test_a_dead_end_is_no_class():
    """Of late_rule: the sets seen, yes, no; not what can be no prompt."""
    table = minimal(automaton(LateRule(values=5)), 10**4)
    assert classes.count(LateRule(values=5)) == len(table.answer) - 1 == classes.live(table).sum()
    assert () in table.said


# One length, every cut -----------------------------------------------------------------------------------------------


def brute(problem, length):
    """At each cut between items: prefixes of all prompts, one if they agree on all rests that both can have.

    That must be an equivalence: it is where it is transitive.
    """
    prompts, one = problem.prompts(length), automaton(problem)
    right, inside = (
        problem.solve(prompts),
        problem.sample(np.random.default_rng(0), 1, length, "natural").at is not None,
    )
    ends = np.cumsum([0] + [len(one.items[items[0]]) for items in places(problem, length)])
    found = []
    for end in ends:
        later = right[:, max(end - 1, 0) :] if inside else right  # what was said before the cut does not count
        answers = np.unique(later, axis=0, return_inverse=True)[1].ravel()
        heads = np.unique(prompts[:, :end], axis=0, return_inverse=True)[1].ravel()
        rests = np.unique(prompts[:, end:], axis=0, return_inverse=True)[1].ravel()
        said = np.full((heads.max() + 1, rests.max() + 1), -1)
        said[heads, rests] = answers
        rows = np.unique(said, axis=0)
        if (rows < 0).any():
            differ = [((row != rows) & (row >= 0) & (rows >= 0)).any(axis=1) for row in rows]
            same = ~np.array(differ)
            assert np.array_equal(same @ same, same), "agreeing is no equivalence"
            rows = np.unique(same, axis=0)
        found.append(len(rows))
    return found


def counted(problem, length):
    return [row["classes"] for row in classes.rows(problem, [length])]


@pytest.mark.parametrize(("problem", "most"), SMALL, ids=repr)
def test_every_cut_has_as_many_classes_as_brute_force_finds(problem, most):
    for length in range(problem.shortest, most + 1):
        assert counted(problem, length) == brute(problem, length), length


@pytest.mark.parametrize("problem", [Disjointness(values=8), Disjointness(values=8, first="larger"),
                                  Disjointness(values=8, ratio=1)], ids=repr)  # fmt: skip
def test_a_set_that_must_be_remembered_is_counted(problem):
    """Brute force over every second set that may name an item again. With prompts alone agreeing is no equivalence."""
    one, two = problem._sizes(4)
    firsts = [s for s in product(range(8), repeat=one) if len(set(s)) == one]
    rests = list(product(range(8), repeat=two))
    said = np.array([[set(a).isdisjoint(b) for b in rests] for a in firsts]).reshape(len(firsts), *[8] * two)
    found = [len(np.unique(said.reshape(len(firsts) * 8**cut, -1), axis=0)) for cut in range(two + 1)]
    assert counted(problem, 4)[one + 1 :] == found
    assert counted(problem, 4)[: one + 1] == [math.comb(8, cut) for cut in range(one + 1)]


def test_prompts_alone_need_as_many_states_of_disjointness():
    """Prefixes A, b of prompts proper, any two of which some rest tells apart: as many as there are classes."""
    problem = Disjointness(values=8)
    prompts = problem.prompts(4)
    yes = problem.solve(prompts)[:, 0] == problem.vocab - 1
    said = {}
    for prompt, answer in zip(prompts.tolist(), yes, strict=True):
        said.setdefault(tuple(prompt[:3]), {})[tuple(prompt[3:])] = answer
    chosen = [(a, 8, (a + 1) % 8) for a in range(8)] + [(0, 8, 0)]
    for x, y in product(chosen, chosen):
        shared = said[x].keys() & said[y].keys()
        assert x == y or any(said[x][rest] != said[y][rest] for rest in shared)
    assert counted(problem, 4)[3] == len(chosen)


def test_brute_force_catches_a_cut_that_forgets_and_one_that_keeps_all():
    problem = Distinctness(values=8)
    right = brute(problem, 4)
    one = automaton(problem)
    least = classes.Visited(forgetful(one, lambda s: s if s == -1 else frozenset(list(s)[-1:])))
    assert least.classes(places(problem, 4)) != right
    full = replace(one, start=(), step=lambda s, x: (*s, x), answer=lambda s: s)  # an answer for each prompt
    assert classes.Visited(full).classes(places(problem, 4)) == [1, 8, 64, 512, 4096] != right


@pytest.mark.parametrize("problem", [one for one in FURTHER if isinstance(one, Pairwise)], ids=repr)
def test_long_prompts_have_the_classes_of_all_lengths(problem):
    """But for the empty one, where no other beginning is of its class, the middle of a long prompt has them all."""
    one = automaton(problem)
    inner = classes.Visited(one).classes([range(len(one.items))] * 24)[12]
    assert classes.count(problem) - inner in (0, 1)


def test_a_long_prompt_is_counted_as_fast_as_a_short_one():
    problem = hamming(3, 3)
    found = counted(problem, 1024)
    assert len(found) == 1025
    assert found[:5] + found[-4:] == counted(problem, 24)[:5] + counted(problem, 24)[-4:]
    assert set(found[8:-8]) == {81}


def test_answers_are_reached_by_all_that_counts():
    """Places before a target that never comes, and a target of which there is none, are no beginnings."""
    one = automaton(LateRule(values=5))
    assert classes.Visited(one).classes([range(5)] * 3) == [0, 0, 0, 0]
    assert classes.Visited(one).classes([range(5, 10)]) == [1, 1]
    assert classes.Visited(one).classes([range(5), range(5, 10), range(5)]) == [0, 0, 0, 0]


# What the tasks say of themselves ------------------------------------------------------------------------------------

CHECKED = [*READ, *(problem for problem, _ in SMALL), *FURTHER]


def fits(problem, length):
    """The classes at every cut; None where the calculator refuses."""
    try:
        return counted(problem, length)
    except ValueError:
        return None


@pytest.mark.parametrize("problem", [t for t in CHECKED if t.classes() is not None and t.classes() < 20_000], ids=repr)
def test_the_tasks_own_number_of_classes_is_the_calculators(problem):
    assert classes.count(problem) == problem.classes()


@pytest.mark.parametrize(
    "problem", [t for t in CHECKED if t.state_bits(t.shortest) is not None and len(automaton(t).items) < 100], ids=repr
)
def test_the_tasks_own_state_is_the_calculators(problem):
    for length in sorted({*range(problem.shortest, min(problem.longest, 7) + 1), min(problem.longest, 12)}):
        found = fits(problem, length)
        if found is None:
            break
        assert problem.state_bits(length) == pytest.approx(math.log2(found[length // 2])), length


def test_every_kind_of_known_state_was_held_against_the_calculator():
    kinds = {type(problem) for problem in CHECKED if problem.classes() is not None and problem.classes() < 20_000}
    assert kinds == {Distinctness, Match2, ModularAddition, Pairwise, Parity, Words}
    known = {type(problem) for problem in EVERY if problem.classes() is not None}
    assert known <= kinds


EXACT = {  # marked exact in theory.state: settings, length and cut it speaks of (None: all), the classes it says
    Pairwise: [
        (Pairwise(alpha=3, values=8), None, None, 3 * 8 - 3 * 3 + 2),
        (Pairwise(alpha=5, values=7), None, None, 3 * 4 // 2 + 1),
        (Pairwise(alpha=3, values=6, dim=2, norm="linf"), None, None, (3 * 6 - 9) ** 2 + 2),
        (Pairwise(alpha=2, values=5, dim=2, norm="linf"), None, None, (2 * 5 - 3) ** 2 + 2),
    ],
    Distinctness: [
        (Distinctness(values=8), None, None, 2**8 + 1),
        (Distinctness(values=9), 4, 3, math.comb(9, 3) + 1),
    ],
    Match2: [
        (Match2(modulus=6), None, None, 3**2 * 2**2 + 1),
        (Match2(modulus=7), None, None, 3**3 * 2 + 1),
        (Match2(modulus=12), None, None, 3**5 * 2**2 + 1),
    ],
    ModularAddition: [(ModularAddition(modulus=60), None, None, 60)],
    Parity: [(Parity(), None, None, 2)],
    Words: [(Words(group="A4xZ5"), None, None, 60), (Words(group="S5", asked="last"), None, None, 120)],
    Majority: [(Majority(), n, -(-n // 2), -(-n // 2) + 1) for n in (2, 3, 8, 13, 64)],
    Copying: [(Copying(symbols=2, repeat=True), 6, 6, 2**6), (Copying(symbols=6), 4, 4, 6 * 5 * 4 * 3)],
    Disjointness: [
        (Disjointness(values=12, ratio=1), 4, 4, math.comb(12, 2) + 1),
        (Disjointness(values=12, ratio=2, first="larger"), 6, 6, math.comb(12, 4) + 1),
        (Disjointness(values=12, ratio=5), 6, 3, 12 + 1),
    ],
}


def test_all_that_is_marked_exact_is_held_against_the_calculator():
    assert {type(problem) for problem in EVERY if problem.theory.state.exact} == set(EXACT)


@pytest.mark.parametrize(("problem", "length", "cut", "said"), [c for cases in EXACT.values() for c in cases], ids=repr)
def test_what_is_marked_exact_is_the_calculators(problem, length, cut, said):
    assert problem.theory.state.exact
    found = classes.count(problem) if length is None else counted(problem, length)[cut]
    assert found == said
    if type(problem) in (Copying, Disjointness, Majority):
        assert found == max(counted(problem, length))


@pytest.mark.parametrize(
    ("problem", "length", "cut", "low", "high"),
    [
        (EditDistance(characters=3), 4, 5, 3**4, 3**4),  # at least n log2 c
        (EditDistance(characters=4), 4, 5, 4**4, 4**4),
        (LateRule(values=5), 9, 9, 2, 2**10),  # 2 values are enough
        (LateRule(values=7), 6, 6, 2, 2**14),
        (Count3(), 8, 7, 2, math.comb(14, 7)),
        (Count3(modulus=5), 7, 6, 2, 5**5),  # m log2 m are enough
        (OrthogonalVectors(dim=4), 12, 6, 2 ** (math.comb(4, 2) // 2), 2**16),
        (hamming(4, 3), 8, 4, 2**4, 2**16),
    ],
    ids=repr,
)
def test_other_bounds_are_bounds(problem, length, cut, low, high):
    assert low <= counted(problem, length)[cut] <= high


def test_once_its_target_is_told_late_rule_has_the_classes_of_match2():
    """THEORY: 3^p 2^s + 1. Of all targets there are less than five times as many: some sets leave the same to come."""
    one = automaton(LateRule(values=5, rule="first"))
    told = [replace(one, start=one.step(one.start, 5 + target)) for target in range(5)]
    assert [classes.live(minimal(each, 100)).sum() for each in told] == [3**2 * 2 + 1] * 5
    assert classes.count(LateRule(values=5, rule="first")) == 82 < 5 * 18 + 2


# Rows, curves, refusals ----------------------------------------------------------------------------------------------


def test_rows_are_plain_and_the_same_again():
    first = list(classes.rows(Pairwise(alpha=3, values=8), [4, 6]))
    assert first == list(classes.rows(Pairwise(alpha=3, values=8), [4, 6]))
    assert [(row["length"], row["cut"]) for row in first] == [(n, cut) for n in (4, 6) for cut in range(n + 1)]
    assert {tuple(row) for row in first} == {("length", "cut", "classes", "bits")}
    assert {type(value) for row in first for value in row.values()} == {int, float}
    assert all(row["bits"] == math.log2(row["classes"]) for row in first)


def test_a_curve_goes_as_far_as_it_can_be_counted():
    drawn = {f"dim={d}": hamming(d, d) for d in (2, 3, 5)}
    found = pd.DataFrame(classes.curve(drawn, [2, 4, 16]))
    assert found.groupby("setting")["length"].apply(list).to_dict() == {
        "dim=2": [2, 4, 16],
        "dim=3": [2, 4, 16],
        "dim=5": [2, 4],
    }
    assert found["classes"].tolist()[:6] == [4, 9, 9, 8, 65, 81]
    for row in found.to_dict("records"):
        assert row["classes"] == max(counted(drawn[row["setting"]], row["length"])) == round(2 ** row["bits"])
        assert row["classes"] == counted(drawn[row["setting"]], row["length"])[row["cut"]]


@pytest.mark.parametrize(
    ("problem", "length", "possible"),
    [
        (Distinctness(values=40), 12, "length=4 can be counted at every cut"),
        (Distinctness(values=256), 8, "at length=4 it can with task.values=8"),
        (Pairwise(alpha=24, values=64, dim=2, norm="linf"), 4, "at length=4 it can with task.alpha=3 task.values=6"),
    ],
    ids=repr,
)
def test_what_is_too_large_is_refused_with_what_can_be_done(problem, length, possible):
    with pytest.raises(ValueError, match=rf"^length={length}: more than 524,288 steps .*{possible}$"):
        counted(problem, length)


def test_the_length_that_a_refusal_names_can_be_done_and_the_next_cannot():
    for problem in (Copying(symbols=2, repeat=True), Distinctness(values=12), LateRule(values=5), EditDistance()):
        visited = classes.Visited(automaton(problem), 2**10)
        fitting = [n for n in range(problem.shortest, 12) if classes._fits(visited, problem, n)]
        with pytest.raises(ValueError, match=r"can be counted|it can with") as refused:
            classes._counted(classes.Visited(automaton(problem), 2**10), problem, min(128, problem.longest))
        said = str(refused.value)
        if fitting:
            assert f"length={fitting[-1]} can be counted" in said
        else:
            assert "it can with" in said


def test_a_curve_has_the_lengths_of_its_tasks():
    found = list(classes.curve({"M=8": Distinctness(values=8)}, [2, 4, 8]))
    assert [(row["length"], row["classes"]) for row in found] == [(4, 57)]
    with pytest.raises(ValueError, match="length=2: 4 to 4 are possible"):
        list(classes.curve({"M=8": Distinctness(values=8)}, [2, 3]))
    with pytest.raises(ValueError, match=r"length=4: more than .* it can with task.values=8$"):
        list(classes.curve({"M=256": Distinctness(values=256)}, [4, 5]))


def test_infinitely_many_classes_are_refused():
    with pytest.raises(ValueError, match=r"prompts of all lengths lead to more than .* length=1024 can be counted"):
        classes.count(Majority())


def test_a_length_that_the_task_has_not_is_refused():
    with pytest.raises(ValueError, match="length=1: 2 to 1024 are possible"):
        counted(Parity(), 1)


def test_a_table_is_refused_beyond_its_states():
    assert len(reachable(automaton(Pairwise(alpha=5, values=16)), 72).answer) == 72
    with pytest.raises(TooMany, match="more than 71 states") as refused:
        reachable(automaton(Pairwise(alpha=5, values=16)), 71)
    assert refused.value.read == 1, "of two items all states are not there"


@pytest.mark.parametrize("module", [automata, classes, machine], ids=lambda module: module.__name__)
def test_the_examples_of_the_files_run(module):
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(module).attempted > 0


# The verb ------------------------------------------------------------------------------------------------------------


def test_the_verb_says_what_is_known_and_what_is_counted(capsys):
    assert main(["theory", "task=pairwise", "task.alpha=5", "task.values=16", "length=4,8"]) == 0
    said = capsys.readouterr().out
    assert "classes, prompts of all lengths: 52 (5.70044 bits); the automaton that is minimised has 72 states" in said
    assert "classes, by the task's own formula: 52 (5.70044 bits)" in said
    assert "state    log2(alpha·M - 3·alpha(alpha-1)/2 + 2) bits  exact" in said
    for row in classes.rows(Pairwise(alpha=5, values=16), [4, 8]):
        line = [str(row["length"]), str(row["cut"]), str(row["classes"]), f"{row['bits']:.6g}"]
        assert line in [line.split() for line in said.splitlines()]


def test_the_verb_says_in_a_line_why_it_does_not_count(capsys):
    assert main(["theory", "task=arithmetic", "length=4"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("classes: Arithmetic has no automaton here; copying, ") for line in said) == 2
    assert any(line.startswith("circuit  NC1-complete") for line in said)


def test_the_verb_asks_the_other_calculators(capsys, monkeypatch):
    def refuses(one, length):
        raise ValueError(f"length={length}: up to 3 can be done")

    others = {
        "communication": SimpleNamespace(rows=lambda one, length: [{"cut": 2, "rank": 77 + length, "share": 1 / 3}]),
        "sensitivity": SimpleNamespace(rows=refuses),
        "decision_rank": SimpleNamespace(rows=lambda one, length: iter(())),
    }
    monkeypatch.setattr(verb, "_calculators", lambda: others)
    assert main(["theory", "task=parity", "length=4,5"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["cut", "rank", "share"] in lines
    assert ["2", "81", "0.333333"] in lines
    assert ["2", "82", "0.333333"] in lines
    assert "sensitivity: length=5: up to 3 can be done".split() in lines


def test_the_verb_draws_a_curve(capsys, tmp_path):
    line = ["task=pairwise", "task.norm=hamming", "task.values=2", "length=2,4,8", "--results", str(tmp_path)]
    assert main(["theory", *line, "--curve", "task.dim=2,3,5", "--curve", "task.alpha=2,3,5"]) == 0
    said = capsys.readouterr().out
    assert "dim=5 alpha=5: up to length 4, the next of these is too long to be counted" in said
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {f"pairwise-classes-dim-alpha.{kind}" for kind in ("csv", "png", "svg")}
    table = pd.read_csv(tmp_path / "figures" / "pairwise-classes-dim-alpha.csv")
    assert table["classes"].tolist() == [4, 9, 9, 8, 65, 81, 32, 4993]
    svg = (tmp_path / "figures" / "pairwise-classes-dim-alpha.svg").read_text()
    assert all(f"<!-- dim={d} alpha={d} -->" in svg for d in (2, 3, 5))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["task=parity", "length="], "length=: theory needs lengths, integers with commas between them"),
        (["task=parity", "length=4,x"], "length=4,x: theory needs lengths, integers with commas between them"),
        (["length=4"], "theory: task=NAME is needed"),
        (["task=parity", "length=1"], "length=1: 2 to 1024 are possible with these settings"),
        (["task=pairity", "length=4"], "did you mean parity?"),
        (["task=pairwise", "--curve", "dim=2"], "--curve dim=2: a setting of the task is needed"),
        (["task=pairwise", "--curve", "task.dim"], "--curve task.dim=: a setting of the task is needed"),
        (["task=pairwise", "--curve", "task.values=30,40", "--curve", "task.alpha=3"], "2 of task.values, 1 of task.a"),
        (["task=halting", "--curve", "task.within=2"], "Halting has no automaton here"),
        (["task=pairwise", "--curve", "task.dims=2"], "dims"),
    ],
    ids=lambda case: " ".join(case) if isinstance(case, list) else "",
)
def test_the_verb_refuses_in_one_sentence(line, said, capsys, tmp_path):
    assert main(["theory", *line, "--results", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())
