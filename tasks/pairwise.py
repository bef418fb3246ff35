"""Are all pairs closer than alpha? The flagship question, on scalars.

Given integers x_1 .. x_n in [0, values), answer *yes* iff |x_i - x_j| < alpha for all i, j. It looks like n(n-1)/2
comparisons, but all pairs are close iff max - min < alpha, so one pass with two numbers of state decides it.

>>> task = Pairwise(alpha=3, values=8)
>>> prompt = np.array([[4, 2, 3], [5, 2, 3]])  # a twin: one step of one extreme value
>>> [task.word(token) for token in task.solve(prompt)[:, 0]]
['yes', 'no']
>>> task.traces["running_extremes"].steps(prompt)[1].tolist()  # (min, max) so far
[[5, 5], [2, 5], [2, 5]]
>>> task.traces["pairs"].steps(prompt)[1].tolist()  # x_i, x_j, "all close so far?" (8 = no, 9 = yes)
[[5, 2, 8], [5, 3, 8], [2, 3, 8]]
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from tasks.base import Bound, Instance, Ints, Task, Theory, Trace


@dataclass(frozen=True)
class Pairwise(Task):
    """All |x_i - x_j| < alpha, for scalars. Values are the tokens 0 .. values - 1; *no* and *yes* come after them."""

    alpha: int = 24
    values: int = 64

    version = 1
    golden = {1: "5327afb31dedd0af"}
    shortest, longest = 2, 1024
    twin_tokens = 1
    theory = Theory(
        time=Bound("Θ(n)", "", "all are close iff max - min < alpha"),
        state=Bound(
            "log2(alpha·M - 3·alpha(alpha-1)/2 + 2) bits",
            "M = values >= 2·alpha; for alpha < M < 2·alpha: log2(K(K+1)/2 + 1), K = M - alpha + 1",
            "Myhill-Nerode classes of the clipped (min, max), by Moore minimisation",
            exact=True,
        ),
        circuit=Bound("AC0", "", "an OR over the n(n-1)/2 comparisons of constant size"),
        steps=Bound("0", "one softmax layer of two heads", "softmax maximum minus softmax minimum", exact=True),
        layers=Bound("1", "logit scales ±beta above ln 4n", "each extreme is off by (n-1)e^-beta or less", exact=True),
    )

    def __post_init__(self):
        if self.values < 3:
            raise ValueError(f"task.values={self.values}: at least 3 values are needed for twins to exist")
        if not 2 <= self.alpha < self.values:
            raise ValueError(
                f"task.alpha={self.alpha}: 2 to {self.values - 1} are possible with task.values={self.values}; "
                "below 2 no twins exist, from task.values on every pair is close and the answer is always yes"
            )

    @property
    def vocab(self) -> int:
        """The values and two answers."""
        return self.values + 2

    @property
    def traces(self) -> Mapping[str, Trace]:
        """A scan, its last line alone, a sort, and the comparison of every pair."""
        return {
            "running_extremes": Trace(
                width=2,
                law="n",
                count=lambda length: length,
                steps=self._running_extremes,
                next=self._next_extremes,
                read=lambda steps: self._verdict(steps[:, -1, 1] - steps[:, -1, 0] < self.alpha),
            ),
            "extremes": Trace(
                width=2,
                law="1",
                count=lambda length: 1,
                steps=lambda prompt: np.stack([prompt.min(1), prompt.max(1)], axis=-1)[:, None],
                next=lambda prompt, before, index: np.sort(prompt, axis=1)[:, [0, -1]],
                read=lambda steps: self._verdict(steps[:, 0, 1] - steps[:, 0, 0] < self.alpha),
            ),
            "sort_scan": Trace(
                width=2,
                law="n",
                count=lambda length: length,
                steps=self._sort_scan,
                next=self._next_sorted,
                read=lambda steps: steps[:, -1, 1:],
            ),
            "pairs": Trace(
                width=3,
                law="n(n-1)/2",
                count=lambda length: length * (length - 1) // 2,
                steps=self._pairs,
                next=self._next_pair,
                read=lambda steps: steps[:, -1, 2:],
            ),
        }

    def sample(self, rng: np.random.Generator, size: int, length: int, split: str) -> Instance:
        """See :meth:`Task.sample`. In broad, max - min is uniform on 0 .. alpha - 1 (yes), alpha .. values - 1 (no)."""
        if split == "boundary":
            prompt = self._twins(rng, (size + 1) // 2, length)[:size]
        elif split == "broad":
            close = rng.permutation(size) % 2 == 0
            spread = np.where(close, rng.integers(0, self.alpha, size), rng.integers(self.alpha, self.values, size))
            prompt = self._spanning(rng, spread, rng.integers(0, spread[:, None] + 1, (size, length)))
        elif split == "natural":
            prompt = rng.integers(0, self.values, (size, length))
        else:
            raise ValueError(f"split={split}: boundary, broad and natural exist")
        return Instance(prompt, self._verdict(prompt.max(1) - prompt.min(1) < self.alpha))

    def solve(self, prompt: Ints) -> Ints:
        """Compare every value with every other, (B, P) -> (B, 1)."""
        far = np.zeros(len(prompt), dtype=bool)
        for i in range(prompt.shape[1]):
            far |= (np.abs(prompt - prompt[:, i : i + 1]) >= self.alpha).any(axis=1)
        return self._verdict(~far)

    def chance(self, length: int) -> float:
        """Two answers."""
        return 0.5

    def classes(self) -> int:
        """Residual classes of a one-pass decider, for long prompts."""
        alpha, values = self.alpha, self.values
        if values >= 2 * alpha:
            return alpha * values - 3 * alpha * (alpha - 1) // 2 + 2
        starts = values - alpha + 1
        return starts * (starts + 1) // 2 + 1

    @classmethod
    def tiny(cls) -> tuple["Pairwise", int]:
        """Six values, four places: 1,296 prompts."""
        return cls(alpha=3, values=6), 4

    def prompts(self, length: int) -> Ints:
        """Every sequence of values."""
        return np.array(list(product(range(self.values), repeat=length)), dtype=np.int64)

    def word(self, token: int) -> str:
        """Values read as numbers, answers as words."""
        return {self.values: "no", self.values + 1: "yes"}.get(int(token), str(token))

    def _verdict(self, close: np.ndarray) -> Ints:
        return self.values + close.astype(np.int64)[:, None]

    def _twins(self, rng, pairs, length) -> Ints:
        """Even rows: max - min = alpha - 1. Odd rows: one extreme a step further out, so one pair is alpha apart."""
        # The others fill a random part of the gap. If they filled all of it, long prompts would betray the answer:
        # an extreme that was moved in meets equals, one that was moved out never does.
        part = np.sort(rng.integers(1, self.alpha, (pairs, 2)), axis=1)
        inside = rng.integers(part[:, :1], part[:, 1:] + 1, (pairs, length))
        apart = self._spanning(rng, np.full(pairs, self.alpha), inside)
        closer = apart.copy()
        highest, rows = rng.integers(0, 2, pairs).astype(bool), np.arange(pairs)
        moved = np.where(highest, apart.argmax(1), apart.argmin(1))
        closer[rows, moved] -= np.where(highest, 1, -1)
        return np.stack([closer, apart], axis=1).reshape(2 * pairs, length)

    def _spanning(self, rng, spread, inside) -> Ints:
        """Values whose minimum is uniform and whose maximum lies ``spread`` above it, both at random places."""
        rows, length = np.arange(len(inside)), inside.shape[1]
        low = rng.integers(0, length, len(inside))
        high = (low + rng.integers(1, length, len(inside))) % length
        inside[rows, low], inside[rows, high] = 0, spread
        return inside + rng.integers(0, self.values - spread)[:, None]

    def _running_extremes(self, prompt):
        return np.stack([np.minimum.accumulate(prompt, axis=1), np.maximum.accumulate(prompt, axis=1)], axis=-1)

    def _next_extremes(self, prompt, before, index):
        value = prompt[:, index]
        low, high = (value, value) if before is None else before.T
        return np.stack([np.minimum(low, value), np.maximum(high, value)], axis=-1)

    def _sort_scan(self, prompt):
        ordered = np.sort(prompt, axis=1)
        return np.stack([ordered, self.values + (ordered - ordered[:, :1] < self.alpha)], axis=-1)

    def _next_sorted(self, prompt, before, index):
        smallest = prompt.min(1)
        value = smallest if before is None else np.partition(prompt, index, axis=1)[:, index]
        return np.stack([value, self.values + (value - smallest < self.alpha)], axis=-1)

    def _pairs(self, prompt):
        first, second = np.triu_indices(prompt.shape[1], k=1)
        close = np.abs(prompt[:, first] - prompt[:, second]) < self.alpha
        so_far = np.logical_and.accumulate(close, axis=1)
        return np.stack([prompt[:, first], prompt[:, second], self.values + so_far], axis=-1)

    def _next_pair(self, prompt, before, index):
        row, column = 0, index + 1
        while column >= prompt.shape[1]:  # the row of pairs (row, row + 1), (row, row + 2), ... is exhausted
            row, column = row + 1, column - prompt.shape[1] + row + 2
        x, y = prompt[:, row], prompt[:, column]
        so_far = True if before is None else before[:, 2] == self.values + 1
        return np.stack([x, y, self.values + (so_far & (np.abs(x - y) < self.alpha))], axis=-1)
