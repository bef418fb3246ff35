"""Is the number of ones even?

Given bits x_1 .. x_n, answer *even* or *odd*. One bit of state decides it in one pass, yet no circuit of AND, OR, NOT
of constant depth does below exponential size: the smallest problem for a recurrence whose state may change its sign,
and the classical hard one for attention. Every bit matters, for whatever is left out might have turned the answer.

>>> task = Parity()
>>> prompt = np.array([[1, 0, 1, 1], [1, 0, 0, 1]])  # a twin: one bit is flipped
>>> [task.word(token) for token in task.solve(prompt)[:, 0]]
['odd', 'even']
>>> [task.word(token) for token in task.traces["running_bit"].steps(prompt)[0, :, 0]]
['odd', 'odd', 'even', 'odd']
>>> round(task.entropy(4), 3)  # 4 ln 2
2.773
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import log

import numpy as np

from tasks.base import Bound, Instance, Ints, Task, Theory, Trace

EVEN, ODD = 2, 3


@dataclass(frozen=True)
class Parity(Task):
    """Whether n bits, the tokens 0 and 1, hold an even number of ones. *even* and *odd* are the tokens after them."""

    version = 1
    golden = {1: "7bd843615550ea1a"}
    shortest, longest = 2, 1024
    twin_tokens = 1
    shortcuts = ("total", "bag_of_tokens")  # the number of ones is the whole problem
    theory = Theory(
        time=Bound("Θ(n)", "", "each bit alone turns the answer"),
        state=Bound(
            "1 bit",
            "a linear recurrence with real eigenvalues needs a negative one",
            "the automaton of two states; Grazzi et al. 2025 (arXiv 2411.12537)",
            exact=True,
        ),
        circuit=Bound("TC0, not AC0", "", "Furst, Saxe, Sipser 1984; Håstad 1986"),
        steps=Bound(
            "0",
            "soft attention of two layers",
            "Chiang and Cholak 2022; with unique hard attention Ω(n), and n are enough (arXiv 2502.02393)",
        ),
        layers=Bound(
            "2",
            "one layer of one head cannot; that two can does not say that training finds them",
            "Chiang and Cholak 2022; with positions that know no length, arXiv 2602.05896",
        ),
    )

    @property
    def vocab(self) -> int:
        """Two bits and two answers."""
        return 4

    @property
    def traces(self) -> Mapping[str, Trace]:
        """The automaton. Its steps are answer tokens, not bits: each is the answer to the bits so far."""
        return {
            "running_bit": Trace(
                width=1,
                law="n",
                count=lambda length: length,
                steps=lambda prompt: self.so_far(prompt)[:, :, None],
                next=self._next_bit,
                read=lambda steps: steps[:, -1],
            )
        }

    def sample(self, rng: np.random.Generator, size: int, length: int, split: str) -> Instance:
        """See :meth:`Task.sample`. Every row of every split is uniform over all 2^n prompts.

        For broad too: each prompt is one flipped bit away from the other answer, so there is no distance to spread.
        It is natural, balanced. The twins of boundary differ in one bit at a place that is uniform as well.
        """
        prompt = rng.integers(0, 2, (size, length))
        if split == "boundary":
            flipped = np.arange(1, size, 2)
            prompt[flipped] = prompt[flipped - 1]
            prompt[flipped, rng.integers(0, length, len(flipped))] ^= 1
        elif split == "broad":
            wanted = (rng.permutation(size) + rng.integers(2)) % 2  # of an odd size, either answer may get one more
            prompt[:, -1] ^= np.bitwise_xor.reduce(prompt, axis=1) ^ wanted
        elif split != "natural":
            raise ValueError(f"split={split}: boundary, broad and natural exist")
        return Instance(prompt, EVEN + np.bitwise_xor.reduce(prompt, axis=1, keepdims=True))

    def solve(self, prompt: Ints) -> Ints:
        """Count the ones, (B, P) -> (B, 1)."""
        return np.array([[ODD if row.count(1) % 2 else EVEN] for row in prompt.tolist()])

    def chance(self, length: int) -> float:
        """Two answers."""
        return 0.5

    def so_far(self, prompt: Ints) -> Ints:
        """Whether the ones up to each bit are even, (B, P)."""
        return EVEN + np.bitwise_xor.accumulate(prompt, axis=1)

    def entropy(self, length: int) -> float:
        """A bit for each bit, on every split."""
        return length * log(2)

    def classes(self) -> int:
        """Even so far, odd so far."""
        return 2

    @classmethod
    def tiny(cls) -> tuple["Parity", int]:
        """Five places: 32 prompts."""
        return cls(), 5

    def prompts(self, length: int) -> Ints:
        """Every sequence of bits."""
        return np.array(list(product((0, 1), repeat=length)), dtype=np.int64)

    def word(self, token: int) -> str:
        """Bits read as digits, answers as words."""
        return {EVEN: "even", ODD: "odd"}.get(int(token), str(token))

    def _next_bit(self, prompt, done):
        before, bit = done[:, -1:, 0], prompt[:, done.shape[1]]
        return EVEN + np.bitwise_xor(bit[:, None], (before - EVEN).sum(axis=1, keepdims=True))
