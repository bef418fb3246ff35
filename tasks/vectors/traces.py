"""The algorithms that compare vectors, as traces.

Shape letters: ``B`` prompts · ``n`` vectors · ``d`` coordinates · ``S`` steps, each of some vectors and an answer.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tasks.base import Ints, Trace
from tasks.pairs import PairSearch
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
            next=lambda prompt, done: self._running_extremes(prompt)[:, -1],
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
        return self._search.pairs

    @property
    def scan(self) -> Trace:
        """The answer up to each vector, and nothing else."""
        return self._search.scan

    @property
    def _search(self) -> PairSearch:
        """For a pair that is not close."""
        return PairSearch(
            items=lambda prompt: self.tokens.write(self.question(prompt)[0]),
            hit=self._far,
            found=self._found,
            say=lambda far: self.tokens.say(~far),
            width=self.tokens.width,
        )

    def _far(self, prompt, x, y):
        return self.norm.distance(self.tokens.single(x), self.tokens.single(y)) >= self.question(prompt)[1]

    def _found(self, prompt):
        items, limit = self.question(prompt)
        return self.norm.diameters(items) >= limit

    def _running_extremes(self, prompt):
        items, limit = self.question(prompt)
        return self._extremes(np.minimum.accumulate(items, axis=1), np.maximum.accumulate(items, axis=1), limit)

    def _next_extremes(self, prompt, done):
        items, limit = self.question(prompt)
        extremes = done[:, -1:, : 2 * self.tokens.width]  # of the step before, if there is one
        before = self.tokens.read(extremes.reshape(len(done), -1))  # (B, 2, d), or (B, 0, d)
        seen = np.concatenate([items[:, [done.shape[1]]], before], axis=1)
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

    def _next_sorted(self, prompt, done):
        items, limit = self.question(prompt)
        smallest, index = items.min(axis=1), done.shape[1]  # (B, 1)
        value = np.partition(items[..., 0], index, axis=1)[:, [index]]
        return np.concatenate([value, self.tokens.say(value - smallest < limit)], axis=-1)
