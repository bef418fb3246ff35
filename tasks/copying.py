"""What were the tokens of the prompt, in their order?

The n tokens of the prompt are said again. There is nothing to compute and everything to keep: whatever reads the
prompt once into a state must hold all of it, n·log2(symbols) bits, while attention walks along what is still there.
Where all symbols differ (unique copy), the next token is the one that follows the last one said, wherever it stands;
with ``repeat``, a symbol occurs at many places and the position itself must be followed.

>>> task = Copying(symbols=8)
>>> prompt = np.array([[3, 7, 0, 5], [3, 7, 2, 5]])  # a twin: one token is a symbol that does not occur
>>> task.solve(prompt).tolist()
[[3, 7, 0, 5], [3, 7, 2, 5]]
>>> task.traces  # there is no trace: the answer is what would be written
{}
>>> round(task.entropy(4), 3), round(Copying(symbols=8, repeat=True).entropy(4), 3)  # ln(8·7·6·5), 4 ln 8
(7.427, 8.318)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations, product
from math import exp, log

import numpy as np

from tasks.base import Bound, Instance, Ints, Task, Theory, Trace, require
from tasks.sampling import distinct, spare


@dataclass(frozen=True)
class Copying(Task):
    """The answer is the prompt: n of ``symbols`` tokens, all different, or any with ``repeat``."""

    symbols: int = 256
    repeat: bool = False  # whether a symbol may occur more than once

    version = 1
    golden = {1: "4210a2debd0c7ea0"}
    shortest = 1
    twin_tokens = 1
    shortcuts = ("positions",)  # each answer token is one prompt token, at a place that is known beforehand

    def __post_init__(self):
        least, reason = (2, "to differ") if self.repeat else (3, "so that two differ and a twin has one to spare")
        allowed = f"{least} to 65536 are possible with task.repeat={self.repeat}, {reason}"
        require(least <= self.symbols <= 2**16, "symbols", self.symbols, allowed)

    @property
    def longest(self) -> int:
        """1,024; where all tokens differ, one symbol less than there are: a twin needs another."""
        return 1024 if self.repeat else min(1024, self.symbols - 1)

    @property
    def theory(self) -> Theory:
        """The state is exact: one class for each prompt."""
        prompts = "n·log2 M bits" if self.repeat else "log2(M(M-1)···(M-n+1)) bits, about n·log2 M"
        matched = "a head that looks one back, a head that matches"
        learned = "in C-RASP: training finds it for longer prompts too (Huang et al. 2025)"
        if self.repeat:
            matched = f"{matched} the last few tokens said; almost all prompts, of up to exponential length in the size"
            learned = "not in C-RASP: training finds no rule for longer prompts (Huang et al. 2025)"
        return Theory(
            time=Bound("Θ(n)", "", "each token is read and said"),
            state=Bound(prompts, "M = symbols", "counting argument: each prompt has an answer of its own", exact=True),
            circuit=Bound("AC0", "for one length no gate at all", "each bit of the answer is a bit of the prompt"),
            steps=Bound("0", "a softmax model of two layers", "the answer says one token after the other anyway"),
            layers=Bound("2", f"{matched}; {learned}", "Jelassi et al. 2024 (arXiv 2402.01032)"),
        )

    @property
    def vocab(self) -> int:
        """The symbols, in prompts and in answers."""
        return self.symbols

    @property
    def traces(self) -> Mapping[str, Trace]:
        """None: the answer is the trace."""
        return {}

    def sample(self, rng: np.random.Generator, size: int, length: int, split: str) -> Instance:
        """See :meth:`Task.sample`. Every row of every split is uniform over all prompts.

        For broad too: each prompt is one token away from other answers, so there is no distance to spread. The twins of
        boundary differ in one token, at a place that is uniform as well.
        """
        self.refuse(length, split)
        if self.repeat:
            prompt = rng.integers(0, self.symbols, (size, length))
        else:
            prompt = distinct(rng, size, length, self.symbols)
        if split == "boundary":
            one = prompt[: size // 2 * 2 : 2]
            place = rng.integers(0, length, (len(one), 1))
            taken = np.take_along_axis(one, place, axis=1) if self.repeat else one
            other = spare(rng.integers(0, self.symbols - taken.shape[1], place.shape), taken)
            twin = one.copy()
            np.put_along_axis(twin, place, other, axis=1)
            prompt[1::2] = twin
        return Instance(prompt, prompt.copy())

    def solve(self, prompt: Ints) -> Ints:
        """Say one token after the other, (B, P) -> (B, A)."""
        return np.array([list(row) for row in prompt.tolist()])

    def chance(self, length: int) -> float:
        """Any prompt."""
        return exp(-self.entropy(length))

    def entropy(self, length: int) -> float:
        """The logarithm of the number of prompts: on every split they are equally likely."""
        return sum(log(self.symbols - (0 if self.repeat else place)) for place in range(length))

    @classmethod
    def variations(cls) -> tuple["Copying", ...]:
        """Bits, which repeat: there is no token to go by."""
        return (cls(symbols=2, repeat=True),)

    @classmethod
    def tiny(cls) -> tuple["Copying", int]:
        """Three of five symbols: 60 prompts."""
        return cls(symbols=5), 3

    def prompts(self, length: int) -> Ints:
        """Every sequence of symbols, or of different ones."""
        every = (
            product(range(self.symbols), repeat=length) if self.repeat else permutations(range(self.symbols), length)
        )
        return np.array(list(every), dtype=np.int64)
