"""Tuples of residues: the pairs that add up to a target; how to draw items with such pairs and without.

For a target c each x has one *partner*, c - x. The two are a class; an x that is its own partner is *single*, and is
one of a pair only where it occurs twice.

>>> sums = Sums(modulus=8)
>>> items = np.array([[[3], [4], [1], [5]]])
>>> sums.partner(items, target=0)[..., 0].tolist()  # 4 is single
[[5, 4, 7, 3]]
>>> sums.found(items, target=0).tolist()
[[False, False, False, True]]

Shape letters: ``B`` prompts · ``n`` items · ``d`` coordinates. A target is an integer, or one for each row, (B, 1, d).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tasks.base import Ints, Trace
from tasks.numbers import number
from tasks.pairs import PairSearch
from tasks.sampling import shuffled

Target = int | Ints
KINDS = range(4, 65)  # of items in a pool; up to as many as it is drawn for, if that is more
DOUBLED = 1 / 8  # of the rows of broad, in which an item occurs twice at least: its own partner in a yes


@dataclass(frozen=True)
class Sums:
    """Tuples of ``dim`` residues modulo ``modulus`` >= 5: below, a coordinate has no two classes to choose from."""

    modulus: int
    dim: int = 1

    def partner(self, items: Ints, target: Target) -> Ints:
        """(..., d) -> (..., d)."""
        return (target - items) % self.modulus

    def single(self, items: Ints, target: Target) -> np.ndarray:
        """Is an item its own partner? (B, n, d) -> (B, n) bool."""
        return (items == self.partner(items, target)).all(axis=-1)

    def classes(self, items: Ints, target: Target) -> Ints:
        """One number for x and its partner, (B, n, d) -> (B, n)."""
        return np.minimum(number(items, self.modulus), number(self.partner(items, target), self.modulus))

    def found(self, items: Ints, target: Target) -> np.ndarray:
        """Do two of the first i + 1 items add up to the target? (B, n, d) -> (B, n) bool."""
        first = firsts(self.classes(items, target))
        other = (items != taken(items, first)).any(axis=-1)
        hit = other | (self.single(items, target) & (first < np.arange(items.shape[1])))
        return np.logical_or.accumulate(hit, axis=1)

    def twins(self, rng: np.random.Generator, target: Target, pairs: int, length: int) -> Ints:
        """(pairs, 2, n, d): one item differs. It is the partner of another, then of a class that no other item has.

        So each row has as many different items as its twin. The others are of a random number of classes, one side of
        each, a single one at most once.
        """
        target = np.broadcast_to(target, (pairs, 1, self.dim))
        hit, miss = self._apart(rng, target)
        others = np.concatenate([self.partner(hit, target), self._crowd(rng, pairs, length - 2)], axis=1)
        fresh = self.classes(others, target) != self.classes(miss, target)
        others = self._free(np.where(fresh[..., None], others, others[:, :1]), target)
        return shuffled(rng, np.stack([np.concatenate([edited, others], axis=1) for edited in (hit, miss)], axis=1))

    def broad(self, rng: np.random.Generator, target: Target, yes: np.ndarray, length: int) -> Ints:
        """(B, n, d): in a *no*, one side of each class; in a *yes*, a number of classes, spread evenly, become pairs.

        As many different items occur and as often: the items of one class become the partners of another's. A single
        one may occur twice in a *yes*, in a share ``DOUBLED`` it does if there is one; it is then one of the pairs, the
        only one if there are to be no more. In as many *no* another occurs twice. What training never shows is not
        learned.
        """
        target = np.broadcast_to(target, (len(yes), 1, self.dim))
        items = np.concatenate([*self._apart(rng, target), self._crowd(rng, len(yes), length - 2)], axis=1)
        half, exists = self._half(rng, target)
        doubled = exists & (rng.random(len(yes)) < DOUBLED)
        items[doubled, :2] = np.where(yes[:, None, None], half, items[:, :1])[doubled]
        items = self._free(items, target, twice=yes)
        first, single = firsts(self.classes(items, target)), self.single(items, target)
        leads = (first == np.arange(length)) & ~single  # one item of each class
        rank = (leads.cumsum(axis=1) - 1)[np.arange(len(yes))[:, None], first]  # of an item's class among the others
        doubled = (single & (first < np.arange(length))).any(axis=1)
        matched = rng.integers(1, np.maximum(leads.sum(axis=1) // 2, 1) + 1)
        matched = np.where(yes, matched - doubled, 0)[:, None]
        turned = (rank % 2 == 1) & (rank < 2 * matched) & ~single
        lead = np.argsort(~leads, axis=1, kind="stable")
        before = taken(items, lead[np.arange(len(yes))[:, None], np.maximum(rank - 1, 0)])
        items = np.where(turned[..., None], self.partner(before, target), items)
        return shuffled(rng, items[:, None])[:, 0]

    def natural(self, rng: np.random.Generator, size: int, length: int) -> Ints:
        """(size, n, d): uniform."""
        return rng.integers(0, self.modulus, (size, length, self.dim))

    def _apart(self, rng, target) -> tuple[Ints, Ints]:
        """Two items (B, 1, d) of two classes, neither single, that differ in one coordinate, if they can, by little.

        Either may be the first as likely: what the one is like tells it from the other no more than what it replaces.
        """
        one = rng.integers(0, self.modulus, (len(target), 1, self.dim))
        other = near(rng, one[:, 0], self.modulus)[:, None]
        barred = self.single(one, target) | self.single(other, target) | (one == self.partner(other, target)).all(-1)
        row = np.nonzero(barred[:, 0])[0]
        place = (one != other)[row, 0].argmax(axis=1)
        goal = target[row, 0, place]  # of that coordinate alone; its classes are {half + k, goal - half - k}, k > 0
        count = (self.modulus - 1 + goal % 2) // 2
        first = rng.integers(0, count)
        second = (first + 1 + rng.integers(0, count - 1)) % count
        for items, index in ((one, first), (other, second)):
            side = goal // 2 + 1 + index
            items[row, 0, place] = np.where(rng.integers(0, 2, len(row)), side, goal - side) % self.modulus
        return one, other

    def _half(self, rng, target) -> tuple[Ints, np.ndarray]:
        """A single item (B, 1, d), and whether there is one (B,): half of the target in each coordinate."""
        odd = self.modulus % 2
        other = self.modulus // 2 * rng.integers(0, 2, target.shape)  # of an even modulus there are two halves
        half = target * (self.modulus + 1) // 2 % self.modulus if odd else target // 2 + other
        return half, self.single(half, target)[:, 0]

    def _crowd(self, rng, size, count) -> Ints:
        """(size, count, d): items from a uniform pool of random size; of a few items, most are different."""
        most = max(count, KINDS.stop - 1)
        kinds = rng.integers(KINDS.start, most + 1, (size, 1))
        return taken(self.natural(rng, size, most), rng.integers(0, kinds, (size, count)))

    def _free(self, items, target, twice: np.ndarray | bool = False) -> Ints:
        """Each item takes the side of the first of its class; a single one occurs once, unless ``twice`` (B,).

        The first item, which is not single, takes the place of the others.
        """
        first = firsts(self.classes(items, target))
        again = self.single(items, target) & (first < np.arange(items.shape[1])) & ~np.reshape(twice, (-1, 1))
        return taken(items, np.where(again, 0, first))


def near(rng: np.random.Generator, vectors: Ints, modulus: int) -> Ints:
    """(B, d) -> (B, d): one coordinate moves, by up to an eighth of the modulus: then sums tell little."""
    step = rng.integers(1, max(modulus // 8, 1) + 1, len(vectors)) * (2 * rng.integers(0, 2, len(vectors)) - 1)
    moved, place = vectors.copy(), rng.integers(0, vectors.shape[1], len(vectors))
    moved[np.arange(len(vectors)), place] += step
    return moved % modulus


def firsts(numbers: Ints) -> Ints:
    """The place of the first equal number in its row, (B, n) -> (B, n)."""
    rows, places = np.arange(len(numbers))[:, None], np.arange(numbers.shape[1])
    order = numbers.argsort(axis=1, kind="stable")
    ranked, start = numbers[rows, order], np.zeros_like(order)
    start[:, 1:] = np.where(ranked[:, 1:] != ranked[:, :-1], places[1:], 0)
    first = np.empty_like(order)
    first[rows, order] = order[rows, np.maximum.accumulate(start, axis=1)]
    return first


def lookup(search: PairSearch, wanted: Callable[[Ints, Ints], Ints]) -> Trace:
    """A table and one pass: each item, its partner as it is written, the answer so far; 2 W + 1 tokens.

    ``wanted``: prompt (B, P), items (B, m, W) -> partners (B, m, W). A step looks for its partner in the steps before.
    """

    def steps(prompt):
        items = search.items(prompt)
        found = search.say(search.found(prompt))[..., None]
        return np.concatenate([items, wanted(prompt, items), found], axis=-1)

    def following(prompt, done):
        item = search.items(prompt)[:, [done.shape[1]]]
        partner = wanted(prompt, item)
        found = (done[..., : search.width] == partner).all(axis=-1) | (done[..., -1] == search.say(np.array(True)))
        return np.concatenate([item[:, 0], partner[:, 0], search.say(found.any(axis=1))[:, None]], axis=-1)

    return Trace(2 * search.width + 1, "n", lambda length: length, steps, following, lambda steps: steps[:, -1, -1:])


def taken(items: Ints, index: Ints) -> Ints:
    """Some items of each row, (B, n, d), (B, m) -> (B, m, d)."""
    return items[np.arange(len(items))[:, None], index]
