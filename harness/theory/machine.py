"""Deterministic machines that read a prompt once: run, listed as tables, merged to the least one, and how to make them.

A machine may have any hashable states, and infinitely many. ``Table`` is what can be reached of one, :func:`merged` its
least form (Moore 1956: states stay together until an item parts them).

>>> items, vectors = [(0,), (1,), (2,), (3,), (4,), (5,)], np.arange(6)[:, None]
>>> extremes = spanning(items, vectors, alpha=2, said=[(7,), (6,)])
>>> len(reachable(extremes, 100).answer), len(minimal(extremes, 100).answer)
(13, 11)
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tasks.base import Ints

CLASH = -1  # the state in which two items have been found


@dataclass(frozen=True)
class Automaton:
    """A deterministic machine that reads a prompt item by item; its states are hashable values."""

    start: Hashable
    items: tuple[tuple[int, ...], ...]  # the alphabet: an item as the prompt tokens it is written in
    step: Callable[[Hashable, int], Hashable]  # state, index of an item -> state; None: no prompt begins so
    answer: Callable[[Hashable], tuple[int, ...]]  # what must be said if the prompt ends here; () if it cannot


def run(machine: Automaton, prompt: Ints) -> Ints:
    """(B, P) -> (B, A): what the machine says at the ends of prompts. Raises ValueError for tokens it cannot read."""
    return np.array([machine.answer(path(machine, row)[-1]) for row in prompt.tolist()], dtype=np.int64)


def path(machine: Automaton, tokens: Sequence[int]) -> list[Hashable]:
    """The states before the first item of a prompt, between any two, after the last; of items the longest that fits.

    Raises ValueError for tokens that are no item.
    """
    index = {item: place for place, item in enumerate(machine.items)}
    widths, states, at = sorted({len(item) for item in index}, reverse=True), [machine.start], 0
    while at < len(tokens):
        width = next((w for w in widths if tuple(tokens[at : at + w]) in index), None)
        if width is None:
            raise ValueError(f"tokens={list(tokens)}: from place {at} on there is none of the {len(index)} items")
        states.append(machine.step(states[-1], index[tuple(tokens[at : at + width])]))
        at += width
    return states


class Table(NamedTuple):
    """States as numbers, 0 the start."""

    next: Ints  # (S, items): state after each item
    answer: Ints  # (S,): which of ``said``
    said: tuple[tuple[int, ...], ...]  # the different answers


class TooMany(ValueError):
    """A machine has more states than may be visited. ``read``: so many items can be read of any prompt."""

    def __init__(self, most: int, read: int):
        super().__init__(f"more than {most:,} states; those of prompts of up to {read} items can be visited")
        self.read = read


def minimal(machine: Automaton, most: int) -> Table:
    """The least machine with the same answers. Raises TooMany if more than ``most`` states are reachable."""
    return merged(reachable(machine, most))


def reachable(machine: Automaton, most: int) -> Table:
    """All that prompts of any length lead to, None among them. Raises TooMany if those are more than ``most``."""
    index, met, table, read, ends = {machine.start: 0}, [machine.start], [], 0, 1
    while len(table) < len(met):
        row = [after(machine, met[len(table)], item) for item in range(len(machine.items))]
        for state in row:
            if state not in index:
                index[state] = len(met)
                met.append(state)
        if len(met) > most:
            raise TooMany(most, read)
        table.append([index[state] for state in row])
        if len(table) == ends:  # all that so many items lead to
            read, ends = read + 1, len(met)
    answer, said = numbered(answered(machine, state) for state in met)
    return Table(np.array(table, dtype=np.int64), answer, said)


def merged(table: Table) -> Table:
    """States that no sequence of items tells apart become one; numbered as they are met."""
    kind, count = grouped(table.answer[:, None]), 0
    while kind.max() + 1 > count:
        count = kind.max() + 1
        kind = grouped(np.concatenate([kind[:, None], kind[table.next]], axis=1))
    first = np.unique(kind, return_index=True)[1]
    return Table(kind[table.next[first]], table.answer[first], table.said)


def after(machine: Automaton, state: Hashable, item: int) -> Hashable:
    """One step; None, where no prompt has come, stays."""
    return None if state is None else machine.step(state, item)


def answered(machine: Automaton, state: Hashable) -> tuple[int, ...]:
    """The answer in a state; () in None."""
    return () if state is None else machine.answer(state)


def numbered(values) -> tuple[Ints, tuple]:
    """Different values, numbered as they come: of each its number, and all that there are."""
    index: dict = {}
    numbers = np.array([index.setdefault(value, len(index)) for value in values], dtype=np.int64)
    return numbers, tuple(index)


def grouped(rows: Ints) -> Ints:
    """(S, C) -> (S,): equal rows get one number; numbers rise in the order of first rows."""
    packed = np.ascontiguousarray(rows.astype(np.int32)).view(np.dtype((np.void, 4 * rows.shape[1])))[:, 0]
    first, inverse = np.unique(packed, return_index=True, return_inverse=True)[1:]
    return first.argsort().argsort()[inverse]


def remembering(items: Sequence[tuple[int, ...]], clash: np.ndarray, said: Sequence[tuple[int, ...]]) -> Automaton:
    """The set of items seen, until one meets an item that it clashes with; ``clash`` is (items, items) bool.

    ``said``: the answer while nothing clashes, and after.
    """
    clashes = [row.tobytes() for row in clash]

    def step(state, item):
        if state == CLASH or any(map(clashes[item].__getitem__, state)):
            return CLASH
        return state | {item}

    return Automaton(frozenset(), tuple(items), step, lambda state: said[state == CLASH])


def spanning(items: Sequence[tuple[int, ...]], vectors: Ints, alpha: int, said: Sequence[tuple[int, ...]]) -> Automaton:
    """The minimum and maximum so far of each coordinate, until they are ``alpha`` apart in one; vectors are (items, d).

    ``said``: the answer while they are closer, and after.
    """
    points = [[(x, x) for x in vector] for vector in vectors.tolist()]

    def step(state, item):
        if state == CLASH:
            return CLASH
        both = zip(state or points[item], points[item], strict=True)
        spans = tuple((min(low, x), max(high, x)) for (low, high), (x, _) in both)
        return CLASH if any(high - low >= alpha for low, high in spans) else spans

    return Automaton((), tuple(items), step, lambda state: said[state == CLASH])


def headed(heads: Mapping[tuple[int, ...], Automaton]) -> Automaton:
    """A first item says which machine reads the others. These all have the same items; the heads come after them."""
    machines = tuple(heads.values())
    rest = len(machines[0].items)

    def step(state, item):
        if state == ():
            return None if item < rest else (item - rest, machines[item - rest].start)
        head, inner = state
        return None if item >= rest else (head, machines[head].step(inner, item))

    def answer(state):
        return () if state == () else machines[state[0]].answer(state[1])

    return Automaton((), (*machines[0].items, *heads), step, answer)
