"""Are two sets disjoint?

Given a set A, a separator and a set B, answer *yes* iff no item is in both. What comes first must be remembered
entirely by whoever reads once, so the order decides what a recurrence needs: the smaller set first is cheap, the
larger one first is not, though the question is the same. Whoever may look back, or sees the whole prompt from each of
its tokens, has no such trouble. It is the cleanest test of what order and causality cost.

>>> task = Disjointness(values=9)
>>> prompt = np.array([[4, 9, 7, 2, 0, 8], [4, 9, 7, 4, 0, 8]])  # a twin: one item is changed to one of the other set
>>> [task.word(token) for token in (*prompt[0], *task.solve(prompt)[:, 0])]
['4', '|', '7', '2', '0', '8', 'yes', 'no']
>>> task.traces["lookup"].steps(prompt)[1].tolist()  # an item of B, "disjoint so far?" (10 = no, 11 = yes)
[[7, 11], [4, 10], [0, 10], [8, 10]]
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations, product
from math import prod

import numpy as np

from tasks.base import Bound, Ints, Theory, Trace, require
from tasks.decision import Decision
from tasks.sampling import distinct, spare
from tasks.sorting import sorting


@dataclass(frozen=True)
class Disjointness(Decision):
    """Whether two sets, n items together, are disjoint. Items are the tokens below ``values``, the separator is next.

    ⌊n / (ratio + 1)⌋ items belong to the smaller set. Lengths go up to half the values: of more, all different, the
    total tells much. Of three items, a common one is the smallest or the largest, which is too easy to see.
    """

    values: int = 256  # M, items to choose from
    ratio: int = 3  # size of the larger set in sizes of the smaller one
    first: str = "smaller"  # the set that is read first: smaller, larger

    version = 1
    golden = {1: "5e89a4f3be9a1c26"}
    twin_tokens = 1
    shortcuts = ("distinct_tokens",)  # the size of the union is the whole problem
    theory = Theory(
        time=Bound(
            "Θ(n)", "by hashing; Θ(n log n) comparisons", "each item alone turns the answer; of comparisons Ben-Or 1983"
        ),
        state=Bound(
            "log2(C(M, |A|) + 1) bits",
            "|B| > 1, after one item of B, A the set that comes first; Ω(min(|A|, |B|)) only if that is the smaller",
            "a set B that meets one of two sets A tells them apart, and one class more has met; Just Read Twice "
            "(Arora et al. 2024)",
            exact=True,
        ),
        circuit=Bound("AC0", "", "an OR over the pairs of equalities of log2(values) bits"),
        steps=Bound("0", "a softmax model of two layers", "as for layers"),
        layers=Bound(
            "2",
            "size O(log n); one layer needs size linear in the smaller set, whatever comes first",
            "Bhattamishra et al. 2024 (arXiv 2406.09347)",
        ),
    )

    def __post_init__(self):
        require(8 <= self.values <= 8192, "values", self.values, "8 to 8192 are possible; lengths go up to the half")
        most = self.longest - 1
        require(1 <= self.ratio <= most, "ratio", self.ratio, f"1, for equal sizes, to {most} are possible")
        require(self.first in ("smaller", "larger"), "first", self.first, "smaller and larger exist")

    @property
    def shortest(self) -> int:
        """Four, or one item beside ``ratio``."""
        return max(4, self.ratio + 1)

    @property
    def longest(self) -> int:
        """1,024, or half the values."""
        return min(1024, self.values // 2)

    @property
    def symbols(self) -> int:
        """The values and the separator."""
        return self.values + 1

    @property
    def traces(self) -> Mapping[str, Trace]:
        """Each item of B looked up in A; every pair; sorting, which puts an item and its equal side by side."""
        small = f"⌊n/{self.ratio + 1}⌋"
        lookup = Trace(
            width=2,
            law=small if self.first == "larger" else f"n-{small}",
            count=lambda length: self._sizes(length)[1],
            steps=lambda prompt: np.stack([self._sets(prompt)[1], self._unless(self._met(prompt))], axis=2),
            next=self._next_lookup,
            read=lambda steps: steps[:, -1, 1:],
        )
        pairs = Trace(
            width=3,
            law=f"{small}(n-{small})",
            count=lambda length: prod(self._sizes(length)),
            steps=self._pairs,
            next=self._next_pair,
            read=lambda steps: steps[:, -1, 2:],
        )
        sort = sorting(items=lambda prompt: np.concatenate(self._sets(prompt), axis=1), say=self._unless)
        return {"lookup": lookup, "pairs": pairs, "sort": sort}

    def twins(self, rng: np.random.Generator, pairs: int, length: int) -> Ints:
        """Disjoint, and one item of either set changed to one of the other.

        Neither is the smallest or the largest item of all: those are common no more often in a no than in a yes.
        """
        items, row = distinct(rng, pairs, length, self.values), np.arange(pairs)
        size = self._sizes(length)[0]
        ends = np.stack([rng.integers(0, size, pairs), rng.integers(size, length, pairs)], axis=1)  # of the equal pair
        aside = spare(distinct(rng, pairs, 2, length - 2), ends)  # where the smallest and the largest are put
        for extreme, place in ((np.argmin, aside[:, 0]), (np.argmax, aside[:, 1])):
            here = extreme(items, axis=1)
            items[row, here], items[row, place] = items[row, place], items[row, here]
        changed, equalled = rng.permuted(ends, axis=1).T
        no = items.copy()
        no[row, changed] = items[row, equalled]
        return self._write(np.stack([items, no], axis=1))

    def broad(self, rng: np.random.Generator, yes: np.ndarray, length: int) -> Ints:
        """In a no, each number of common items from 1 to the size of the smaller set is equally likely."""
        items, (size, other) = distinct(rng, len(yes), length, self.values), self._sizes(length)
        one, two, most = items[:, :size], items[:, size:], min(size, other)
        common = np.where(yes, 0, rng.integers(1, most + 1, len(yes)))[:, None]
        two[:, :most] = np.where(np.arange(most) < common, one[:, :most], two[:, :most])
        return self._write(np.concatenate([rng.permuted(part, axis=1) for part in (one, two)], axis=1))

    def natural(self, rng: np.random.Generator, size: int, length: int) -> Ints:
        """Any two sets."""
        sets = [distinct(rng, size, count, self.values) for count in self._sizes(length)]
        return self._write(np.concatenate(sets, axis=1))

    def holds(self, prompt: Ints) -> np.ndarray:
        """No two neighbours are equal once both sets are sorted into one."""
        return (np.diff(np.sort(prompt, axis=1), axis=1) > 0).all(axis=1)

    def solve(self, prompt: Ints) -> Ints:
        """Intersect the sets on both sides of the separator, (B, P) -> (B, 1)."""
        answers = []
        for row in prompt.tolist():
            middle = row.index(self.values)
            answers.append([set(row[:middle]).isdisjoint(row[middle + 1 :])])
        return self.say(np.array(answers))

    def so_far(self, prompt: Ints) -> Ints:
        """Is B, up to this item, disjoint from A? Told from the first item of B on, (B, P)."""
        told = np.full(prompt.shape, -1)
        met = self._met(prompt)
        told[:, -met.shape[1] :] = self._unless(met)
        return told

    @classmethod
    def variations(cls) -> tuple["Disjointness", ...]:
        """The other order, and sets of one size."""
        return (cls(first="larger"), cls(ratio=1))

    @classmethod
    def tiny(cls) -> tuple["Disjointness", int]:
        """One item and three, of eight values: 2,688 prompts."""
        return cls(values=8), 4

    def prompts(self, length: int) -> Ints:
        """Every order of every two sets."""
        sets = [permutations(range(self.values), size) for size in self._sizes(length)]
        return self._write(np.array([one + two for one, two in product(*sets)]))

    def symbol(self, token: int) -> str:
        """A stroke for the separator, items as numbers."""
        return "|" if token == self.values else str(token)

    def _sizes(self, length) -> tuple[int, int]:
        """|A| and |B|."""
        small = length // (self.ratio + 1)
        return (small, length - small) if self.first == "smaller" else (length - small, small)

    def _write(self, items) -> Ints:
        """(..., n) -> (..., P): the separator goes between the sets."""
        one, two = np.split(items, [self._sizes(items.shape[-1])[0]], axis=-1)
        return np.concatenate([one, np.full((*items.shape[:-1], 1), self.values), two], axis=-1)

    def _sets(self, prompt) -> tuple[Ints, Ints]:
        """A (B, |A|) and B (B, |B|)."""
        size = self._sizes(prompt.shape[1] - 1)[0]
        return prompt[:, :size], prompt[:, size + 1 :]

    def _unless(self, found) -> Ints:
        """Found common items become *no*."""
        return self.say(~found)

    def _met(self, prompt) -> np.ndarray:
        """(B, |B|) bool: is an item of B, up to this one, in A?"""
        one, two = self._sets(prompt)
        return np.logical_or.accumulate((two[:, :, None] == one[:, None]).any(axis=2), axis=1)

    def _found(self, done) -> np.ndarray:
        """(B,) bool: whether the last step says that the sets have met."""
        return (done[:, -1:, -1] == self.say(False)).any(axis=1)

    def _next_lookup(self, prompt, done):
        one, two = self._sets(prompt)
        item = two[:, [done.shape[1]]]
        return np.column_stack([item, self._unless((one == item).any(axis=1) | self._found(done))])

    def _pairs(self, prompt):
        one, two = self._sets(prompt)
        x, y = np.repeat(one, two.shape[1], axis=1), np.tile(two, one.shape[1])
        return np.stack([x, y, self._unless(np.logical_or.accumulate(x == y, axis=1))], axis=2)

    def _next_pair(self, prompt, done):
        one, two = self._sets(prompt)
        row, column = divmod(done.shape[1], two.shape[1])
        x, y = one[:, row], two[:, column]
        return np.column_stack([x, y, self._unless((x == y) | self._found(done))])
