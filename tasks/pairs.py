"""Is there a pair that hits? The two algorithms that many problems share, as traces.

Shape letters: ``B`` prompts · ``n`` items · ``W`` tokens of an item · ``m`` pairs.

>>> equal = PairSearch(
...     items=lambda prompt: prompt[:, :, None],
...     hit=lambda prompt, x, y: (x == y).all(axis=-1),
...     found=lambda prompt: np.array([[len(set(row[: i + 1])) <= i for i in range(len(row))] for row in prompt]),
...     say=lambda found: 8 + found,  # 8 = no, 9 = yes
... )
>>> equal.pairs.steps(np.array([[5, 2, 5]]))[0].tolist()
[[5, 2, 8], [5, 5, 9], [2, 5, 9]]
>>> equal.scan.steps(np.array([[5, 2, 5]]))[0].tolist()
[[8], [8], [9]]
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tasks.base import Ints, Trace


@dataclass(frozen=True)
class PairSearch:
    """A question about pairs of the ``n = length`` items of a prompt."""

    items: Callable[[Ints], Ints]  # (B, P) -> (B, n, W) as they are written
    hit: Callable[[Ints, Ints, Ints], np.ndarray]  # prompt (B, P), items (B, m, W), others (B, m, W) -> (B, m) bool
    found: Callable[[Ints], np.ndarray]  # (B, P) -> (B, n) bool: does a pair of the first i + 1 items hit?
    say: Callable[[np.ndarray], Ints]  # found or not -> the answer token
    width: int = 1  # W

    @property
    def pairs(self) -> Trace:
        """Every two items, with the answer up to them: n(n-1)/2 steps of 2 W + 1 tokens."""
        return Trace(
            width=2 * self.width + 1,
            law="n(n-1)/2",
            count=lambda length: length * (length - 1) // 2,
            steps=self._pairs,
            next=self._next_pair,
            read=lambda steps: steps[:, -1, -1:],
        )

    @property
    def scan(self) -> Trace:
        """The answer up to each item, and nothing else: n steps of one token; each looks at all items before."""
        return Trace(
            width=1,
            law="n",
            count=lambda length: length,
            steps=lambda prompt: self.say(self.found(prompt))[..., None],
            next=self._next_scanned,
            read=lambda steps: steps[:, -1],
        )

    def _pairs(self, prompt):
        items = self.items(prompt)
        x, y = (items[:, ends] for ends in np.triu_indices(items.shape[1], k=1))
        found = np.logical_or.accumulate(self.hit(prompt, x, y), axis=1)
        return np.concatenate([x, y, self.say(found)[..., None]], axis=-1)

    def _next_pair(self, prompt, done):
        items = self.items(prompt)
        row, column = 0, done.shape[1] + 1
        while column >= items.shape[1]:  # the row of pairs (row, row + 1), (row, row + 2), ... is exhausted
            row, column = row + 1, column - items.shape[1] + row + 2
        x, y = items[:, row], items[:, column]
        hit = self.hit(prompt, x[:, None], y[:, None])[:, 0]
        return np.concatenate([x, y, self.say(hit | self._before(done))[:, None]], axis=-1)

    def _next_scanned(self, prompt, done):
        items = self.items(prompt)
        item = done.shape[1]
        earlier = items[:, :item]
        hit = self.hit(prompt, earlier, np.broadcast_to(items[:, [item]], earlier.shape)).any(axis=1)
        return self.say(hit | self._before(done))[:, None]

    def _before(self, done):
        """(B,) bool: whether the last step says that a pair was found."""
        return (done[:, -1:, -1] == self.say(np.array(True))).any(axis=1)
