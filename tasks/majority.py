"""Are there more ones than zeros?

Given bits x_1 .. x_n, answer *yes* iff more than n/2 of them are ones; a tie is a *no*. One head that attends to all
bits alike sees their mean, so one layer decides it, and small models that were trained to do so go on at three times
the length; yet in the BAPO model, where few tokens can be attended to, Ω(n) reasoning steps are needed. Which of the
two describes a trained transformer is the question. A recurrence needs a counter: log2(n) bits, not a fixed number.

>>> task = Majority()
>>> prompt = np.array([[1, 0, 1, 0, 1], [1, 0, 0, 0, 1]])  # a twin: one bit is flipped
>>> [task.word(token) for token in task.solve(prompt)[:, 0]]
['yes', 'no']
>>> task.traces["running_count"].steps(prompt)[0].tolist()  # ones so far, zeros so far, in two digits each
[[0, 1, 0, 0], [0, 1, 0, 1], [0, 2, 0, 1], [0, 2, 0, 2], [0, 3, 0, 2]]
>>> task.traces["vote"].steps(prompt)[1].tolist()  # (candidate, its lead)
[[1, 0, 1], [1, 0, 0], [0, 0, 1], [0, 0, 2], [0, 0, 1]]
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from tasks.base import Bound, Ints, Theory, Trace
from tasks.decision import Decision
from tasks.numbers import digits, number

BASE, DIGITS = 33, 2  # counts up to 1,088


@dataclass(frozen=True)
class Majority(Decision):
    """Whether n bits, the tokens 0 and 1, hold more ones than zeros. Traces write counts in digits of base 33."""

    version = 1
    golden = {1: "a3f8def0f076513b"}
    shortest, longest = 2, 1024
    twin_tokens = 1
    symbols = BASE  # bits are the first two digits
    shortcuts = ("total", "bag_of_tokens", "positions")  # the number of ones, which is linear in the bits
    theory = Theory(
        time=Bound("Θ(n)", "", "with n/2 ones elsewhere, each bit alone turns the answer"),
        state=Bound(
            "log2(⌈n/2⌉ + 1) bits",
            "n known beforehand, at the cut after half of the bits, rounded up",
            "counting argument: the ones so far, as far as the rest can still turn the answer",
            exact=True,
        ),
        circuit=Bound("TC0, not AC0", "", "its own gate; were it in AC0, parity were: Furst, Saxe, Sipser 1984"),
        steps=Bound(
            "0",
            "soft attention over all bits",
            "as for layers; Ω(n) in BAPO, a model of bounded attention (arXiv 2602.02909)",
        ),
        layers=Bound(
            "1",
            "one head, precision O(log n)",
            "uniform attention: the mean of the bits, against 1/2; trained (one head, width 16) it is right on .9996 "
            "at three times the length (Huang et al. 2025, C-RASP)",
        ),
    )

    @property
    def traces(self) -> Mapping[str, Trace]:
        """Both counts so far; the vote of Boyer and Moore (1991), exact for two candidates; sorting, for the median."""
        return {
            "running_count": Trace(
                width=2 * DIGITS,
                law="n",
                count=lambda length: length,
                steps=lambda prompt: _written(np.stack([prompt, 1 - prompt], axis=2).cumsum(axis=1)),
                next=self._next_count,
                read=lambda steps: self.say(np.greater(*_read(steps[:, -1]).T))[:, None],
            ),
            "vote": Trace(
                width=1 + DIGITS,
                law="n",
                count=lambda length: length,
                steps=self._vote,
                next=self._next_vote,
                read=lambda steps: self.say((steps[:, -1, 0] == 1) & (steps[:, -1, 1:] > 0).any(axis=1))[:, None],
            ),
            "sort": Trace(
                width=1,
                law="n",
                count=lambda length: length,
                steps=lambda prompt: np.sort(prompt, axis=1)[:, :, None],
                next=self._next_sorted,
                read=lambda steps: self.say(steps[:, (steps.shape[1] - 1) // 2, 0] == 1)[:, None],  # the lower median
            ),
        }

    def twins(self, rng: np.random.Generator, pairs: int, length: int) -> Ints:
        """⌊n/2⌋ ones, and one more in the yes; every such twin is equally likely."""
        ones = length // 2 + np.array([1, 0])
        return (_ranks(rng, pairs, length)[:, None] < ones[:, None]).astype(np.int64)

    def broad(self, rng: np.random.Generator, yes: np.ndarray, length: int) -> Ints:
        """Each number of ones on the wanted side is equally likely, and so is each place of theirs."""
        half = length // 2
        ones = np.where(yes, rng.integers(half + 1, length + 1, len(yes)), rng.integers(0, half + 1, len(yes)))
        return (_ranks(rng, len(yes), length) < ones[:, None]).astype(np.int64)

    def natural(self, rng: np.random.Generator, size: int, length: int) -> Ints:
        """Uniform over all 2^n prompts."""
        return rng.integers(0, 2, (size, length))

    def holds(self, prompt: Ints) -> np.ndarray:
        """Twice the ones are more than n."""
        return 2 * prompt.sum(axis=1) > prompt.shape[1]

    def solve(self, prompt: Ints) -> Ints:
        """Count ones and zeros, (B, P) -> (B, 1)."""
        return self.say(np.array([[row.count(1) > row.count(0)] for row in prompt.tolist()]))

    def so_far(self, prompt: Ints) -> Ints:
        """Are there more ones than zeros up to each bit? (B, P)."""
        return self.say((2 * prompt - 1).cumsum(axis=1) > 0)

    @classmethod
    def tiny(cls) -> tuple["Majority", int]:
        """Six places: 64 prompts."""
        return cls(), 6

    def prompts(self, length: int) -> Ints:
        """Every sequence of bits."""
        return np.array(list(product((0, 1), repeat=length)), dtype=np.int64)

    def _next_count(self, prompt, done):
        bit = prompt[:, done.shape[1]]
        return _written(_read(_last(done, prompt, 2 * DIGITS)) + np.stack([bit, 1 - bit], axis=1))

    def _vote(self, prompt):
        ahead = (2 * prompt - 1).cumsum(axis=1)  # ones minus zeros
        candidate = np.where(ahead == 0, 1 - prompt, ahead > 0)  # whoever lost the lead just now is still the candidate
        return np.concatenate([candidate[:, :, None], digits(np.abs(ahead), BASE, DIGITS)], axis=2)

    def _next_vote(self, prompt, done):
        before, bit = _last(done, prompt, 1 + DIGITS), prompt[:, done.shape[1]]
        lead = number(before[:, 1:], BASE)
        candidate = np.where(lead == 0, bit, before[:, 0])
        return np.column_stack([candidate, digits(lead + np.where(bit == candidate, 1, -1), BASE, DIGITS)])

    def _next_sorted(self, prompt, done):
        zeros = (prompt == 0).sum(axis=1) - (done == 0).sum(axis=(1, 2))  # not written yet
        return (zeros == 0).astype(np.int64)[:, None]


def _ranks(rng, size, length) -> Ints:
    """(size, n): the numbers below n in random order."""
    return rng.random((size, length)).argsort(axis=1)


def _written(counts) -> Ints:
    """(..., 2) -> (..., 2 DIGITS)."""
    return digits(counts, BASE, DIGITS).reshape(*counts.shape[:-1], 2 * DIGITS)


def _read(written) -> Ints:
    """The inverse: (..., 2 DIGITS) -> (..., 2)."""
    return number(written.reshape(*written.shape[:-1], 2, DIGITS), BASE)


def _last(done, prompt, width) -> Ints:
    """The last step (B, W), zeros before the first."""
    return done[:, -1] if done.shape[1] else np.zeros((len(prompt), width), dtype=np.int64)
