"""Tasks as automata: what a reader who goes through a prompt once, item by item, must keep to answer it.

The machines are natural ones, not minimal: the extremes so far, the set of items seen, the counts.

>>> machine = automaton(Pairwise(alpha=5, values=16))  # (min, max) so far, nothing yet, too far apart
>>> len(reachable(machine, 100).answer), len(minimal(machine, 100).answer)
(72, 52)

A prompt is read in items, which may be several tokens long. What a machine reads beyond its task's own prompts is the
same question: of two sets the second may name an item again. What can be no prompt at all leads to the state None.
Tasks without a machine have prompts in which what may come next depends on all that came (recall, khop, halting), or
brackets (arithmetic).
"""

from functools import singledispatch

import numpy as np

from harness.theory.machine import (
    CLASH,
    Automaton,
    Table,
    TooMany,
    headed,
    minimal,
    path,
    reachable,
    remembering,
    run,
    spanning,
)  # fmt: skip
from tasks.base import Task
from tasks.copying import Copying
from tasks.count3 import Count3
from tasks.decision import Decision
from tasks.disjointness import Disjointness
from tasks.distinctness import Distinctness
from tasks.edit_distance import EditDistance
from tasks.late_rule import LateRule
from tasks.majority import Majority
from tasks.match2 import Match2
from tasks.match3 import Match3
from tasks.modular_addition import ModularAddition
from tasks.numbers import digits, number
from tasks.orthogonal_vectors import OrthogonalVectors
from tasks.pairwise import NORMS, Pairwise
from tasks.parity import Parity
from tasks.vectors import Box, Tokens
from tasks.words import Words, group

__all__ = [
    "ITEMS",
    "Automaton",
    "Table",
    "TooMany",
    "automaton",
    "minimal",
    "path",
    "places",
    "reachable",
    "run",
]
ITEMS = 4096  # of an alphabet that is written out


@singledispatch
def automaton(task: Task) -> Automaton:
    """The machine of a task. Raises ValueError for a task that has none, and for more items than ``ITEMS``."""
    have = sorted(kind.__module__.removeprefix("tasks.") for kind in automaton.registry if kind is not object)
    raise ValueError(f"{type(task).__name__} has no automaton here; {', '.join(have)} have one")


@singledispatch
def places(task: Task, length: int) -> list[range]:
    """The items that may stand at each place of a prompt of this length: here n places, any item at each."""
    return [range(len(automaton(task).items))] * length


def verdicts(task: Decision) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What is said for *no* and for *yes*."""
    return tuple((int(token),) for token in task.say(np.array([False, True])))


def listed(name: str, count: int, width: int = 1, base: int | None = None) -> list[tuple[int, ...]]:
    """The items 0 .. count - 1, each a token or, in ``width`` tokens, digits of a base. Raises ValueError beyond ITEMS.

    ``name`` says what has so many.
    """
    if count > ITEMS:
        raise ValueError(f"{name}: {count:,} items are too many to be listed for an automaton; up to {ITEMS:,} can be")
    return [tuple(row) for row in digits(np.arange(count), base or count, width).tolist()]


def written(tokens: Tokens) -> list[tuple[int, ...]]:
    """All vectors, in the order of their numbers, as prompts write them."""
    count = tokens.values**tokens.dim
    return listed(
        f"{tokens.values}**{tokens.dim} vectors", count, tokens.width, tokens.values if tokens.width > 1 else None
    )


@automaton.register
def _(task: Parity) -> Automaton:
    return Automaton(0, ((0,), (1,)), lambda odd, bit: odd ^ bit, lambda odd: (2 + odd,))


@automaton.register
def _(task: ModularAddition) -> Automaton:
    m = task.modulus
    return Automaton(0, tuple(listed("task.modulus", m)), lambda s, x: (s + x) % m, lambda s: (m + s,))


@automaton.register
def _(task: Words) -> Automaton:
    """With asked="every" the answer is what is said at the last element."""
    table = group(task.group).table.tolist()
    items = tuple(listed(f"task.group={task.group}", len(table)))
    return Automaton(0, items, lambda x, y: table[x][y], lambda x: (len(table) + x,))


@automaton.register
def _(task: Majority) -> Automaton:
    """Ones minus zeros: as many states as there are numbers."""
    said = verdicts(task)
    return Automaton(0, ((0,), (1,)), lambda ahead, bit: ahead + 2 * bit - 1, lambda ahead: said[ahead > 0])


@automaton.register
def _(task: Copying) -> Automaton:
    """Everything so far: as many states as there are prompts."""
    once = not task.repeat
    items = tuple(listed(f"task.symbols={task.symbols}", task.symbols))
    return Automaton((), items, lambda s, x: None if once and x in s else (*s, x), lambda s: s)


@automaton.register
def _(task: Pairwise) -> Automaton:
    """Extremes where they decide, else the set of vectors seen."""
    if task.distinct or task.shots:
        raise ValueError(
            f"task.distinct={task.distinct} task.shots={task.shots}: what may come next depends on what came; "
            "task.distinct=False task.shots=0 has an automaton"
        )
    norm, tokens = NORMS[task.norm](task.values, task.dim), Tokens.of(task.values, task.dim, task.tokens)
    items, said = written(tokens), ((tokens.no + 1,), (tokens.no,))
    vectors = digits(np.arange(len(items)), task.values, task.dim)

    def one(alpha: int) -> Automaton:
        if isinstance(norm, Box):
            return spanning(items, vectors, alpha, said)
        far = [norm.distance(vectors, vector) >= norm.limit(alpha) for vector in vectors]
        return remembering(items, np.array(far), said)

    if task.alpha != "prompt":
        return one(task.alpha)
    return headed({(tokens.no + 2 + place,): one(alpha) for place, alpha in enumerate(norm.alphas)})


@automaton.register
def _(task: Distinctness) -> Automaton:
    items, (no, yes) = listed(f"task.values={task.values}", task.values), verdicts(task)
    return remembering(items, np.eye(len(items), dtype=bool), (yes, no))


@automaton.register
def _(task: OrthogonalVectors) -> Automaton:
    items = written(Tokens.of(2, task.dim, task.tokens))
    bits = digits(np.arange(len(items)), 2, task.dim)
    return remembering(items, bits @ bits.T == 0, verdicts(task))


@automaton.register
def _(task: Match2) -> Automaton:
    items = written(Tokens.of(task.modulus, task.dim, task.tokens))
    vectors = digits(np.arange(len(items)), task.modulus, task.dim)
    partner = number(-vectors % task.modulus, task.modulus)
    return remembering(items, partner[:, None] == np.arange(len(items)), verdicts(task))


@automaton.register
def _(task: Match3) -> Automaton:
    """The items seen, and what two of them lack to a solution."""
    items, said = written(Tokens.of(task.modulus, task.dim, task.tokens)), verdicts(task)
    vectors = digits(np.arange(len(items)), task.modulus, task.dim)

    def step(state, item):
        if state == CLASH or item in state[1]:
            return CLASH
        seen, lacking = state
        thirds = number(-(vectors[list(seen)] + vectors[item]) % task.modulus, task.modulus)
        return seen | {item}, lacking | frozenset(thirds.tolist())

    return Automaton((frozenset(), frozenset()), tuple(items), step, lambda state: said[state == CLASH])


@automaton.register
def _(task: LateRule) -> Automaton:
    """Residues, then targets. The residues seen, and those seen twice; with rule=first the target and those seen."""
    m, said = task.values, verdicts(task)
    items, targets, each = listed(f"task.values={m}", m), [(m + c,) for c in range(m)], np.arange(m)
    if task.rule == "first":
        sums = (each[:, None] + each) % m
        return headed({targets[c]: remembering(items, sums == c, said) for c in range(m)})

    def step(state, item):
        if isinstance(state, bool):
            return None
        seen, twice = state
        if item < m:
            return seen | {item}, twice | ({item} & seen)
        pairs = ((x, (item - m - x) % m) for x in seen)
        return any(y in (twice if x == y else seen) for x, y in pairs)

    start = frozenset(), frozenset()
    return Automaton(start, (*items, *targets), step, lambda s: said[s] if isinstance(s, bool) else ())


@places.register
def _(task: LateRule, length: int) -> list[range]:
    items, target = [range(task.values)] * length, [range(task.values, 2 * task.values)]
    return target + items if task.rule == "first" else items + target


@places.register
def _(task: Pairwise, length: int) -> list[range]:
    vectors, items = task.values**task.dim, len(automaton(task).items)
    return [range(vectors, items)] * (items > vectors) + [range(vectors)] * length


@automaton.register
def _(task: Disjointness) -> Automaton:
    """The values, then the separator. The set that comes first, and has it ended; of the other, whether it has met.

    The other may name an item again: the same question.
    """
    no, yes = verdicts(task)

    def step(state, item):
        if state == CLASH:
            return None if item == task.values else CLASH
        first, ended = state
        if item == task.values:
            return None if ended else (first, True)
        if item in first:
            return CLASH if ended else None
        return state if ended else (first | {item}, False)

    items = tuple(listed(f"task.values={task.values}", task.values + 1))
    return Automaton((frozenset(), False), items, step, lambda s: no if s == CLASH else yes if s[1] else ())


@places.register
def _(task: Disjointness, length: int) -> list[range]:
    small, item = length // (task.ratio + 1), range(task.values)
    first = small if task.first == "smaller" else length - small
    return [item] * first + [range(task.values, task.values + 1)] + [item] * (length - first)


@automaton.register
def _(task: Count3) -> Automaton:
    """How often each residue came, modulo a fixed modulus; and the last item. Without one their number is it."""
    fixed = task.modulus
    count = fixed or task.longest

    def step(state, item):
        counts = list(state[0])
        counts[item] = (counts[item] + 1) % fixed if fixed else counts[item] + 1
        return tuple(counts), item

    def answer(state):
        counts, last = state
        m = fixed or sum(counts)
        if last is None or any(counts[m:]):
            return ()
        return (count + sum(counts[x] * counts[(-x - last) % m] for x in range(m)) % m,)

    return Automaton(((0,) * count, None), tuple(listed("residues", count)), step, answer)


@places.register
def _(task: Count3, length: int) -> list[range]:
    return [range(task.modulus or length)] * length


@automaton.register
def _(task: EditDistance) -> Automaton:
    """Characters, then the separator. The first string; after it what it costs to turn each start of it into the other.

    The last of these columns tells how much of the other string was read.
    """
    bar, insert, replace = task.characters, task.insert, task.replace

    def step(state, item):
        string, costs = state
        if item == bar:
            return (string, tuple(insert * i for i in range(len(string) + 1))) if costs is None else None
        if costs is None:
            return (*string, item), None
        column = [costs[0] + insert]
        for i, character in enumerate(string):
            aligned = costs[i] + (0 if character == item else replace)
            column.append(min(costs[i + 1] + insert, column[i] + insert, aligned))
        return (string, tuple(column)) if column[0] <= insert * len(string) else None

    def answer(state):
        string, costs = state
        return () if costs is None or costs[0] < insert * len(string) else (bar + 1 + costs[-1],)

    return Automaton(((), None), tuple(listed("characters", bar + 1)), step, answer)


@places.register
def _(task: EditDistance, length: int) -> list[range]:
    string = [range(task.characters)] * length
    return [*string, range(task.characters, task.characters + 1), *string]
