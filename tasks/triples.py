"""Tuples of residues, three of which may add up to zero; how to draw items with such triples and without.

>>> triples = Triples(modulus=10)
>>> triples.found(np.array([[[1], [4], [8], [5]]])).tolist()  # 1 + 4 + 5
[[False, False, False, True]]

Shape letters: ``B`` prompts · ``n`` items · ``d`` coordinates · ``k`` members of a set · ``N`` tuples.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from math import gcd
from typing import NamedTuple

import numpy as np

from tasks.base import Ints
from tasks.numbers import digits, number
from tasks.sampling import shuffled
from tasks.sums import KINDS, near, taken

GUESSES = 4  # at a tuple that may be added, before all that may be are listed
AT_ONCE = 2**24  # entries of a table held in memory together


@dataclass(frozen=True)
class Triples:
    """Tuples of ``dim`` residues modulo ``modulus``, few enough that each has its place in a table.

    A *free* set has no x, y, z that add up to zero, not even if two or all of them are the same: so its members may
    occur as often as they like.
    """

    modulus: int
    dim: int = 1

    @property
    def most(self) -> int:
        """How many members any free set can be grown to, and one more item still be added that makes no triple."""
        return _most(self.modulus, self.dim)

    def found(self, items: Ints) -> np.ndarray:
        """Do three of the first i + 1 items add up to zero? (B, n, d) -> (B, n) bool."""
        hit, tables = np.zeros(items.shape[:2], dtype=bool), _tables(self.modulus, self.dim)
        numbers = number(items, self.modulus)
        for rows in self._portions(len(items)):
            third = np.zeros((len(rows), len(tables.wide)), dtype=bool)  # what two items so far lack
            every, wide = np.arange(len(rows)), tables.wide[numbers[rows]]
            for place in range(items.shape[1]):
                hit[rows, place] = third[every, numbers[rows, place]]
                third[every[:, None], tables.lack[wide[:, place, None] + wide[:, :place]]] = True
        return np.logical_or.accumulate(hit, axis=1)

    def twins(self, rng: np.random.Generator, pairs: int, length: int) -> Ints:
        """(pairs, 2, n, d): one item differs. With two others it adds up to zero, then it is near that and does not.

        It is like no other item, before and after, so each row has as many different items as its twin.
        """
        twins = np.empty((pairs, 2, length, self.dim), dtype=np.int64)
        for rows in self._portions(pairs):
            kinds = self._kinds(rng, length, np.zeros(len(rows), dtype=np.int64))
            pool, fresh = self._grown(rng, kinds)
            others = taken(pool, rng.integers(0, kinds[:, None], (len(rows), length - 1)))
            hit = -others[:, :2].sum(axis=1) % self.modulus
            miss = self._fresh(rng, number(near(rng, hit, self.modulus), self.modulus), fresh)
            for side, edited in enumerate((hit, miss)):
                twins[rows, side] = np.concatenate([edited[:, None], others], axis=1)
        return shuffled(rng, twins)

    def broad(self, rng: np.random.Generator, yes: np.ndarray, length: int) -> Ints:
        """(B, n, d): a *yes* has 1 to (n-1)/3 disjoint triples, evenly spread, and is a *no* without as many items.

        Those complete the triples. In a *no* as many items are members of the free set that occur once.
        """
        items = np.empty((len(yes), length, self.dim), dtype=np.int64)
        for rows in self._portions(len(yes)):
            solved = yes[rows, None]
            triples = rng.integers(
                1, min((length - 1) // 3, self._top(length) - 1) + 1, len(rows)
            )  # n/3 would fix the sum
            kinds = self._kinds(rng, length, triples)
            pool, _ = self._grown(rng, np.where(solved[:, 0], kinds, kinds + triples))
            last = np.arange(length) - (length - triples)[:, None]  # 0, 1, ... of the items that complete triples
            index = rng.integers(0, kinds[:, None], last.shape)
            drawn = taken(pool, np.where(solved | (last < 0), index, kinds[:, None] + last))
            third = taken(-(drawn[:, 0:-1:2] + drawn[:, 1::2]) % self.modulus, np.maximum(last, 0))
            items[rows] = np.where((solved & (last >= 0))[..., None], third, drawn)
        return shuffled(rng, items[:, None])[:, 0]

    def _fresh(self, rng, first, fresh) -> Ints:
        """Tuples (B, d), those of the ``first`` numbers (B,) where ``fresh`` (B, N), else any that are."""
        found, more = first.copy(), partial(self._any, rng)
        fits, listed = (lambda row, new: fresh[row, new]), (lambda row: _one(rng, fresh[row]))
        for row, new in _fitting(range(len(first)), first.tolist(), more, fits, listed):
            found[row] = new
        return digits(found, self.modulus, self.dim)

    def _top(self, length) -> int:
        return min(self.most, max(KINDS.stop - 1, length))

    def _kinds(self, rng, length, spare) -> Ints:
        """(B,): members of a free set, so few that ``spare`` (B,) more can be found."""
        top = self._top(length) - spare
        return rng.integers(np.minimum(KINDS.start, top), top + 1)

    def _grown(self, rng, kinds) -> tuple[Ints, np.ndarray]:
        """A free set of ``kinds`` (B,) members, (B, k, d), and what is *fresh*: no member, nor third to two, (B, N).

        ``most`` says that there is always one to add. Numpy would pay neither for so few draws at a time, nor for so
        few entries of a table: draws are made ahead, and entries are read one by one.
        """
        tables, ahead = _tables(self.modulus, self.dim), Ahead(rng, self._any, block=int(kinds.sum()))
        pool = np.zeros((len(kinds), kinds.max()), dtype=np.int64)  # wide numbers
        fresh = np.ones((len(kinds), len(tables.wide)), dtype=bool)
        own = ~fresh
        double, threefold = memoryview(tables.double), memoryview(tables.threefold)
        fresh_of, own_of = list(map(memoryview, fresh)), list(map(memoryview, own))

        def joins(row, new):
            return fresh_of[row][new] and threefold[new] and not own_of[row][double[new]]

        def listed(row):
            ahead.stop()
            return _one(rng, fresh[row] & tables.threefold & ~own[row, tables.double])

        for place in range(kinds.max()):
            left = np.flatnonzero(kinds > place).tolist()
            rows, new = np.array(list(_fitting(left, ahead.take(len(left)), ahead.take, joins, listed))).T
            own[rows, new], fresh[rows, new] = True, False
            pool[rows, place] = tables.wide[new]
            sums = pool[rows, place, None] + pool[rows, : place + 1]
            fresh[rows[:, None], tables.lack[sums]] = False
        ahead.stop()
        return digits(pool, 2 * self.modulus, self.dim), fresh

    def _any(self, rng, size) -> list[int]:
        """The numbers of so many uniform tuples."""
        return number(rng.integers(0, self.modulus, (size, self.dim)), self.modulus).tolist()

    def _portions(self, size) -> Iterator[Ints]:
        """The rows whose tables are held together."""
        yield from np.array_split(np.arange(size), 1 + size * self.modulus**self.dim // AT_ONCE)


class Tables(NamedTuple):
    """Of each tuple, by its number. Numbers in twice the base are *wide*: two of them add up without a carry."""

    wide: Ints  # the same tuple's wide number
    double: Ints  # the number of -2 times it
    threefold: np.ndarray  # whether 3 times it is not zero
    lack: Ints  # of the sum of two wide numbers: the number of the tuple that adds up to zero with both


@cache
def _tables(modulus: int, dim: int) -> Tables:
    every, lacks = digits(np.arange(modulus**dim), modulus, dim), np.zeros(1, dtype=np.int64)
    for _ in range(dim):
        lacks = np.add.outer(modulus * lacks, -np.arange(2 * modulus) % modulus).ravel()
    double = number(-2 * every % modulus, modulus)
    return Tables(number(every, 2 * modulus), double, (3 * every % modulus).any(axis=1), lacks)


@cache
def _most(modulus: int, dim: int) -> int:
    kinds, every = 0, modulus**dim
    halves, thirds = (gcd(part, modulus) ** dim for part in (2, 3))  # tuples v with 2v = x or 3v = 0
    while True:
        sums = kinds * (kinds + 1) // 2  # -x - y bars what it adds up to; itself is no member
        if every <= sums + kinds:
            return kinds - 1
        if every <= sums + kinds + kinds * halves + thirds:
            return kinds
        kinds += 1


def _fitting(rows, first, more, fits, listed) -> Iterator[tuple[int, int]]:
    """Each row with its number in ``first`` where that fits, else with any that does, all equally likely.

    ``more(count)`` are uniform numbers, some guesses; who finds none takes ``listed(row)``, one of all that fit.
    """
    offered = zip(rows, first, strict=True)
    for guesses in reversed(range(GUESSES + 1)):
        left = []
        for row, new in offered:
            if fits(row, new):
                yield row, new
            else:
                left.append(row)
        if not left:
            return
        if guesses:
            offered = zip(left, more(len(left)), strict=True)
    for row in left:
        yield row, listed(row)


def _one(rng, good) -> int:
    """The place of any one that is true, (N,) bool."""
    return int((good + rng.random(len(good))).argmax())


class Ahead:
    """Draws of one kind, many at a time, though it is not known how many will be taken.

    Told to ``stop``, it leaves the generator where it were if they had been drawn as they were taken.
    """

    def __init__(self, rng: np.random.Generator, draw: Callable[[np.random.Generator, int], list], block: int):
        """``draw``: so many entries of a list, in parts the same as all at once. At least ``block`` are drawn."""
        self._rng, self._draw, self._block = rng, draw, block
        self._state, self._drawn, self._taken = rng.bit_generator.state, [], 0

    def take(self, count: int) -> list:
        """The next ones."""
        if not self._taken:
            self._state = self._rng.bit_generator.state
        self._taken += count
        if self._taken > len(self._drawn):
            self._drawn += self._draw(self._rng, count + self._block)
        return self._drawn[self._taken - count : self._taken]

    def stop(self) -> None:
        """Put back what was not taken. What is taken after that is drawn behind anything drawn in between."""
        if self._taken:
            self._rng.bit_generator.state = self._state
            self._draw(self._rng, self._taken)
        self._drawn, self._taken = [], 0
