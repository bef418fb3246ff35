"""Are all items different?

Given n items of ``values`` kinds, answer *yes* iff no two are equal: element distinctness. Each pair may be the one
that matters, yet sorting or a table of what was seen spares the comparisons. Attention matches equals wherever they
are; a recurrence must remember the set of all items so far, and a state of fewer bits than that has lost.

>>> task = Distinctness(values=9)
>>> prompt = np.array([[4, 8, 2, 7, 0], [4, 8, 2, 4, 0]])  # a twin: one item is changed to another
>>> [task.word(token) for token in task.solve(prompt)[:, 0]]
['yes', 'no']
>>> [task.word(token) for token in task.traces["scan"].steps(prompt)[1, :, 0]]
['yes', 'yes', 'yes', 'no', 'no']
>>> task.traces["sort"].steps(prompt)[1].tolist()  # the next in order, "all different so far?" (9 = no, 10 = yes)
[[0, 10], [2, 10], [4, 10], [4, 9], [8, 9]]
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import comb, log2

import numpy as np

from tasks.base import Bound, Ints, Theory, Trace, require
from tasks.decision import Decision
from tasks.pairs import PairSearch
from tasks.sampling import distinct
from tasks.sorting import sorting


@dataclass(frozen=True)
class Distinctness(Decision):
    """Whether n items, the tokens below ``values``, are all different. Lengths go up to half the values.

    Of more, all different, the total tells much. Of three items, a repeated one is the smallest or the largest, which
    is too easy to see, so four are the fewest.
    """

    values: int = 256  # M

    version = 1
    golden = {1: "591169fcaa357c67"}
    shortest = 4
    twin_tokens = 1
    shortcuts = ("distinct_tokens",)  # the number of different items is the whole problem
    theory = Theory(
        time=Bound(
            "Θ(n)", "by hashing; Θ(n log n) comparisons", "each item alone turns the answer; of comparisons Ben-Or 1983"
        ),
        state=Bound(
            "log2(2^M + 1) bits",
            "M = values, prompts of all lengths; log2(C(M, n-1) + 1) for length n up to M/2 + 1",
            "the sets that may have been seen, and lost: a further item tells any two apart",
            exact=True,
        ),
        circuit=Bound("AC0", "", "an OR over the pairs of equalities of log2(values) bits"),
        steps=Bound("0", "a softmax model of two layers", "as for layers"),
        layers=Bound(
            "2",
            "width O(log values), logits O(log n); one layer read at a last token needs size Ω(min(n, M))",
            "a head that finds an equal item, an OR; below, disjointness of two halves (arXiv 2406.09347)",
        ),
    )

    def __post_init__(self):
        require(8 <= self.values <= 8192, "values", self.values, "8 to 8192 are possible; lengths go up to the half")

    @property
    def longest(self) -> int:
        """1,024, or half the values."""
        return min(1024, self.values // 2)

    @property
    def symbols(self) -> int:
        """The values."""
        return self.values

    @property
    def traces(self) -> Mapping[str, Trace]:
        """Sorting puts equals side by side; every pair; a scan that compares each item with all before."""
        search = PairSearch(
            items=lambda prompt: prompt[:, :, None],
            hit=lambda prompt, x, y: (x == y)[..., 0],
            found=_repeated,
            say=self._unless,
        )
        sort = sorting(items=lambda prompt: prompt, say=self._unless)
        return {"sort": sort, "pairs": search.pairs, "scan": search.scan}

    def twins(self, rng: np.random.Generator, pairs: int, length: int) -> Ints:
        """All different, and one item changed to another: neither the smallest nor the largest, which stay as rare."""
        yes = distinct(rng, pairs, length, self.values)
        inner = length - 2
        changed = rng.integers(0, inner, pairs)
        equalled = (changed + rng.integers(1, inner, pairs)) % inner
        place = np.take_along_axis(yes.argsort(axis=1), 1 + np.stack([changed, equalled], axis=1), axis=1)
        no, row = yes.copy(), np.arange(pairs)
        no[row, place[:, 0]] = yes[row, place[:, 1]]
        return np.stack([yes, no], axis=1)

    def broad(self, rng: np.random.Generator, yes: np.ndarray, length: int) -> Ints:
        """Of the items of a no, 1 to n-1 repeat an item before, as often each number of them.

        They repeat a random part of the kinds, of any size: a smallest or largest that is repeated is easy to see.
        """
        kinds = np.where(yes, length, rng.integers(1, length, len(yes)))[:, None]
        repeated = rng.integers(1, kinds + 1)
        again = rng.integers(0, repeated, (len(yes), length))
        kind = np.where(np.arange(length) < kinds, np.arange(length), again)
        items = np.take_along_axis(distinct(rng, len(yes), length, self.values), kind, axis=1)
        return rng.permuted(items, axis=1)

    def natural(self, rng: np.random.Generator, size: int, length: int) -> Ints:
        """Any items. As with birthdays, few suffice: of 20 in 256 values about every other prompt repeats one."""
        return rng.integers(0, self.values, (size, length))

    def holds(self, prompt: Ints) -> np.ndarray:
        """No two neighbours are equal once they are sorted."""
        return (np.diff(np.sort(prompt, axis=1), axis=1) > 0).all(axis=1)

    def solve(self, prompt: Ints) -> Ints:
        """Count the members of the set, (B, P) -> (B, 1)."""
        return self.say(np.array([[len(set(row)) == len(row)] for row in prompt.tolist()]))

    def so_far(self, prompt: Ints) -> Ints:
        """Are all items different, up to this one? (B, P)."""
        return self._unless(_repeated(prompt))

    def classes(self) -> int:
        """The sets of values that may have been seen, the empty one and all values included, and one that is lost."""
        return 2**self.values + 1

    def state_bits(self, length: int) -> float:
        """Unless all is lost, as many different values were seen as items."""
        return log2(comb(self.values, length // 2) + (length // 2 > 1))

    @classmethod
    def tiny(cls) -> tuple["Distinctness", int]:
        """Eight values, four places: 4,096 prompts."""
        return cls(values=8), 4

    def prompts(self, length: int) -> Ints:
        """Every sequence of values."""
        return np.array(list(product(range(self.values), repeat=length)), dtype=np.int64)

    def _unless(self, found) -> Ints:
        """Found equals become *no*."""
        return self.say(~found)


def _repeated(prompt) -> np.ndarray:
    """(B, n) bool: are there two equal items up to this one?"""
    order = prompt.argsort(axis=1, kind="stable")
    ranked = np.take_along_axis(prompt, order, axis=1)
    again = np.zeros(prompt.shape, dtype=bool)  # whether an item repeats one before it
    np.put_along_axis(again, order[:, 1:], ranked[:, 1:] == ranked[:, :-1], axis=1)
    return np.logical_or.accumulate(again, axis=1)
