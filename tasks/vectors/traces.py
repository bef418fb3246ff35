"""The algorithms that compare vectors, as traces.

Shape letters: ``B`` prompts · ``n`` vectors · ``d`` coordinates · ``S`` steps, each of some vectors and an answer.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tasks.base import Ints, Trace
from tasks.vectors.base import Alpha, Norm
from tasks.vectors.tokens import Tokens


@dataclass(frozen=True)
class Comparison:
    """The traces of one problem."""

    norm: Norm
    tokens: Tokens
    question: Callable[[Ints], tuple[Ints, Alpha]]  # (B, P) -> vectors (B, n, d), the distance that is not close
    limit: int | None  # that distance where all prompts have one; None: traces of extremes have to say the answer too

    @property
    def running_extremes(self) -> Trace:
        """The least and the greatest value so far of each coordinate."""
        return Trace(
            width=2 * self.tokens.width + (self.limit is None),
            law="n",
            count=lambda length: length,
            steps=self._running_extremes,
            next=self._next_extremes,
            read=self._read_extremes,
        )

    @property
    def extremes(self) -> Trace:
        """The last step of ``running_extremes`` alone."""
        return Trace(
            width=2 * self.tokens.width + (self.limit is None),
            law="1",
            count=lambda length: 1,
            steps=lambda prompt: self._running_extremes(prompt)[:, -1:],
            next=lambda prompt, before, index: self._running_extremes(prompt)[:, -1],
            read=self._read_extremes,
        )

    @property
    def sort_scan(self) -> Trace:
        """Scalars in order, each with the answer up to it."""
        return Trace(
            width=2,
            law="n",
            count=lambda length: length,
            steps=self._sort_scan,
            next=self._next_sorted,
            read=lambda steps: steps[:, -1, 1:],
        )

    @property
    def pairs(self) -> Trace:
        """Every two vectors, with the answer up to them."""
        return Trace(
            width=2 * self.tokens.width + 1,
            law="n(n-1)/2",
            count=lambda length: length * (length - 1) // 2,
            steps=self._pairs,
            next=self._next_pair,
            read=lambda steps: steps[:, -1, -1:],
        )

    @property
    def scan(self) -> Trace:
        """The answer up to each vector, and nothing else."""
        return Trace(
            width=1,
            law="n",
            count=lambda length: length,
            steps=self._scan,
            next=self._next_scanned,
            read=lambda steps: steps[:, -1],
        )

    def _running_extremes(self, prompt):
        items, limit = self.question(prompt)
        return self._extremes(np.minimum.accumulate(items, axis=1), np.maximum.accumulate(items, axis=1), limit)

    def _next_extremes(self, prompt, before, index):
        items, limit = self.question(prompt)
        seen = items[:, index : index + 1]  # (B, 1, d), with the two extremes before it (B, 3, d)
        if before is not None:
            seen = np.concatenate([seen, self.tokens.read(before[:, : 2 * self.tokens.width])], axis=1)
        return self._extremes(seen.min(axis=1, keepdims=True), seen.max(axis=1, keepdims=True), limit)[:, 0]

    def _extremes(self, low, high, limit) -> Ints:
        """(B, S, d) twice -> (B, S, 2 W), or one token more."""
        record = [self.tokens.write(low), self.tokens.write(high)]
        if self.limit is None:
            record.append(self.tokens.say((high - low).max(axis=-1, keepdims=True) < limit[..., None]))
        return np.concatenate(record, axis=-1)

    def _read_extremes(self, steps):
        if self.limit is None:
            return steps[:, -1, -1:]
        low, high = np.split(self.tokens.read(steps[:, -1]), 2, axis=1)
        return self.tokens.say((high - low).max(axis=-1) < self.limit)

    def _sort_scan(self, prompt):
        items, limit = self.question(prompt)
        ordered = np.sort(items[..., 0], axis=1)
        return np.stack([ordered, self.tokens.say(ordered - ordered[:, :1] < limit)], axis=-1)

    def _next_sorted(self, prompt, before, index):
        items, limit = self.question(prompt)
        smallest = items.min(axis=1)  # (B, 1)
        value = smallest if before is None else np.partition(items[..., 0], index, axis=1)[:, [index]]
        return np.concatenate([value, self.tokens.say(value - smallest < limit)], axis=-1)

    def _pairs(self, prompt):
        items, limit = self.question(prompt)
        first, second = np.triu_indices(items.shape[1], k=1)
        close = np.logical_and.accumulate(self.norm.distance(items[:, first], items[:, second]) < limit, axis=1)
        written = self.tokens.write(items)
        return np.concatenate([written[:, first], written[:, second], self.tokens.say(close)[..., None]], axis=-1)

    def _next_pair(self, prompt, before, index):
        items, limit = self.question(prompt)
        row, column = 0, index + 1
        while column >= items.shape[1]:  # the row of pairs (row, row + 1), (row, row + 2), ... is exhausted
            row, column = row + 1, column - items.shape[1] + row + 2
        x, y = items[:, row], items[:, column]
        close = self._close_before(before) & (self.norm.distance(x, y) < np.ravel(limit))[:, None]
        return np.concatenate([self.tokens.write(x), self.tokens.write(y), self.tokens.say(close)], axis=-1)

    def _scan(self, prompt):
        items, limit = self.question(prompt)
        return self.tokens.say(self.norm.diameters(items) < limit)[..., None]

    def _next_scanned(self, prompt, before, index):
        items, limit = self.question(prompt)
        far = self.norm.distance(items[:, :index], items[:, index : index + 1]) >= limit
        return self.tokens.say(self._close_before(before) & ~far.any(axis=1, keepdims=True))

    def _close_before(self, before):
        """(B, 1), or True where there is no step before."""
        return True if before is None else before[:, -1:] == self.tokens.no + 1
