"""How much must be known of a prompt's beginning? Residual (Myhill-Nerode) classes, counted exactly.

Two beginnings are one class if nothing that may follow tells them apart. A reader who goes through the prompt once must
be in different states after beginnings of different classes: the base-2 logarithm of their number is the least state
in bits, whatever the reader is, and the minimal automaton has no more. For prompts of all lengths this is the theorem
of Myhill and Nerode; for one length, what follows a cut has just the items that are missing.

>>> from tasks.distinctness import Distinctness
>>> from tasks.pairwise import Pairwise
>>> count(Pairwise(alpha=5, values=16)), count(Pairwise(alpha=4, values=2, dim=4, norm="hamming"))
(52, 6562)
>>> [row["classes"] for row in rows(Distinctness(values=8), [4])]  # at the cuts after 0 .. 4 items
[1, 8, 29, 57, 2]

A set of t of 8 values, and from two on that one has come twice: C(8, t) + 1. At the end, yes and no.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from math import log2

import numpy as np

from harness.catalogue import changed
from harness.theory.automata import automaton, places
from harness.theory.machine import Automaton, Table, TooMany, grouped, merged, reachable
from tasks.base import Ints, Task

STEPS = 2**19  # of a machine, an item read in a state: seconds


def rows(task: Task, lengths: Sequence[int]) -> Iterator[dict]:
    """A row for each length and cut, after 0 .. n items: ``classes`` of beginnings, and the ``bits`` they need.

    Lengths are those of the task; a head and a separator are items too. Raises ValueError for a length the task has
    not, a task that has no automaton, and where ``STEPS`` are too few: then the sentence says which length can be done.
    """
    visited = Visited(automaton(task))
    for length in lengths:
        for cut, classes in enumerate(_counted(visited, task, length)):
            yield {"length": length, "cut": cut, "classes": classes, "bits": log2(classes)}


def curve(tasks: Mapping[str, Task], lengths: Sequence[int]) -> Iterator[dict]:
    """A row for each task, by its label, and length that it has: the cut with the most classes.

    The first length that takes more than ``STEPS`` ends a task's curve. Raises ValueError, as :func:`rows` does, for a
    task that has none of the lengths or no automaton, and where the first is too much.
    """
    for setting, task in tasks.items():
        visited = Visited(automaton(task))
        own = [length for length in sorted(lengths) if task.shortest <= length <= task.longest]
        for length in own or lengths[:1]:
            if length in own[1:] and not _fits(visited, task, length):
                break
            found = _counted(visited, task, length)
            cut = int(np.argmax(found))
            yield {"setting": setting, "length": length, "cut": cut, "classes": found[cut], "bits": log2(found[cut])}


def count(task: Task) -> int:
    """Classes of the beginnings of all prompts, of any length, the empty one among them.

    Raises ValueError for a task without an automaton, and where ``STEPS`` are too few, as they are for infinitely many
    classes: then the sentence says which length can be done at every cut.
    """
    return int(live(merged(_reached(task))).sum())


def natural(task: Task) -> int:
    """States that beginnings of prompts lead to in the task's own automaton, before any two are merged.

    Raises ValueError as :func:`count` does.
    """
    return int(live(_reached(task)).sum())


def live(table: Table) -> np.ndarray:
    """(S,) bool: whether a prompt may end in a state, now or later."""
    alive = np.array([bool(answer) for answer in table.said])[table.answer]
    while (more := alive | alive[table.next].any(axis=1)).sum() > alive.sum():
        alive = more
    return alive


class Visited:
    """The ``states`` of a machine, numbered as they are visited, and where items lead from them: no step is repeated.

    A length may take ``most`` steps, repeated or not, then TooMany is raised.
    """

    def __init__(self, machine: Automaton, most: int = STEPS):
        self.machine, self.most = machine, most
        self._number, self.states, self._rows = {machine.start: 0}, [machine.start], {}

    def classes(self, places: Sequence[range]) -> list[int]:
        """Classes at the cuts after 0 .. n items, which may be those of ``places``: only beginnings of prompts count.

        Backwards from the answers: what leads to the same classes for each item is one class.
        """
        layers, ends = self.layers(places)
        number = {(): 0}  # class 0: no prompt begins so
        said = [self.machine.answer(self.states[end]) for end in ends]
        kind = np.array([number.setdefault(answer, len(number)) for answer in said], dtype=np.int64)
        counts, before = [kind.max(initial=0)], None
        for after in reversed(layers):
            if before is None or after is not before[0] or not np.array_equal(kind, before[1]):
                ahead = np.append(kind, 0)[after]
                before = after, kind, grouped(np.concatenate([np.zeros_like(ahead[:1]), ahead]))[1:]
            kind = before[2]
            counts.append(kind.max(initial=0))
        return [int(count) for count in reversed(counts)]

    def layers(self, places: Sequence[range]) -> tuple[list[Ints], Ints]:
        """Of each place (S, items): where in the next layer each item leads, -1 for nowhere; the last layer's states.

        Layers that are alike are one array. Raises TooMany beyond ``most`` steps.
        """
        here, layers, known, taken, steps = np.zeros(1, dtype=np.int64), [], {}, set(), 0
        for read, items in enumerate(places):
            key = here.tobytes(), items
            if key not in known:
                fresh = {(state, items) for state in here.tolist()} - taken
                taken |= fresh
                steps += len(fresh) * len(items)
                if steps > self.most:
                    raise TooMany(self.most, read)
                after = np.array([self._row(state, items) for state in here.tolist()], dtype=np.int64)
                after = after.reshape(-1, len(items))  # of no state too
                there = np.unique(after[after >= 0])
                known[key] = np.where(after < 0, -1, np.searchsorted(there, after)), there
            after, here = known[key]
            layers.append(after)
        return layers, here

    def _row(self, state: int, items: range) -> list[int]:
        """The numbers of the states that follow, -1 for None."""
        if (state, items) not in self._rows:
            self._rows[state, items] = [self._numbered(self.machine.step(self.states[state], i)) for i in items]
        return self._rows[state, items]

    def _numbered(self, state) -> int:
        if state is None:
            return -1
        if state not in self._number:
            self._number[state] = len(self.states)
            self.states.append(state)
        return self._number[state]


def _reached(task: Task) -> Table:
    machine = automaton(task)
    most = STEPS // len(machine.items)
    try:
        return reachable(machine, most)
    except TooMany as error:
        possible = _possible(Visited(machine), task, error.read)
        raise ValueError(f"prompts of all lengths lead to more than {most:,} states; {possible}") from error


def _counted(visited: Visited, task: Task, length: int) -> list[int]:
    task.refuse(length, "natural")
    try:
        return visited.classes(places(task, length))
    except TooMany as error:
        possible = _possible(visited, task, error.read)
        raise ValueError(f"length={length}: more than {visited.most:,} steps of its automaton; {possible}") from error


def _possible(visited: Visited, task: Task, length: int) -> str:
    """A length that can be counted, the longest up to this one; or, if the task's shortest is too long, what can."""
    lengths = range(task.shortest, max(task.shortest, min(length, task.longest)) + 1)
    if not _fits(visited, task, lengths[0]):
        small, size = type(task).tiny()
        return f"no length can be counted with these settings; at length={size} it can with {changed(small)}"
    if _fits(visited, task, lengths[-1]):
        return f"length={lengths[-1]} can be counted at every cut"
    fitting = bisect_left(lengths, True, key=lambda shorter: not _fits(visited, task, shorter))
    return f"length={lengths[fitting - 1]} can be counted at every cut"


def _fits(visited: Visited, task: Task, length: int) -> bool:
    try:
        visited.classes(places(task, length))
    except TooMany:
        return False
    return True
