"""How vectors and answers are written: each vector one token, or each coordinate; then *no* and *yes*.

>>> Tokens(values=4, dim=3).write(np.array([1, 0, 3])).tolist()  # in digits, 103
[19]
>>> Tokens(values=4, dim=3, width=3).write(np.array([1, 0, 3])).tolist()
[1, 0, 3]
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from tasks.base import Ints
from tasks.numbers import digits, number


@dataclass(frozen=True)
class Tokens:
    """Vectors of ``dim`` coordinates in [0, values), each in ``width`` tokens: 1 or dim."""

    values: int
    dim: int
    width: int = 1  # W

    @classmethod
    def of(cls, values: int, dim: int, tokens: str) -> "Tokens":
        """As a task's setting ``tokens`` says: *item* or *coordinate*."""
        return cls(values, dim, dim if tokens == "coordinate" else 1)

    @property
    def no(self) -> int:
        """The token after those of the vectors; *yes* is the next."""
        return self.values ** (self.dim // self.width)

    def write(self, vectors: Ints) -> Ints:
        """(..., d) -> (..., W)."""
        return vectors if self.width == self.dim else number(vectors, self.values)[..., None]

    def read(self, tokens: Ints) -> Ints:
        """(..., n W) -> (..., n, d)."""
        if self.width == self.dim:
            return tokens.reshape(*tokens.shape[:-1], tokens.shape[-1] // self.dim, self.dim)
        return digits(tokens, self.values, self.dim)

    def line(self, vectors: Ints) -> Ints:
        """One vector after the other, the inverse of :meth:`read`: (..., n, d) -> (..., n W)."""
        written = self.write(vectors)
        return written.reshape(*written.shape[:-2], written.shape[-2] * self.width)

    def single(self, written: Ints) -> Ints:
        """Vectors that are written apart: (..., W) -> (..., d)."""
        return self.read(written)[..., 0, :]

    def told(self, said: Ints) -> Ints:
        """Something said of each vector, at the last of its tokens, -1 at the others: (B, n) -> (B, n W)."""
        told = np.full((*said.shape, self.width), -1)
        told[..., -1] = said
        return told.reshape(len(said), -1)

    def every(self, length: int) -> Ints:
        """All sequences of so many vectors, (N, n W)."""
        return np.array(list(product(range(self.no), repeat=length * self.width)), dtype=np.int64)

    def say(self, close: np.ndarray) -> Ints:
        """True becomes *yes*, false *no*."""
        return self.no + close.astype(np.int64)

    def word(self, token: int) -> str:
        """How a vector, a coordinate or an answer reads to a person."""
        if token >= self.no:
            return ("no", "yes")[token - self.no]
        return str(token) if self.width == self.dim else f"({','.join(map(str, self.read(np.array(token))))})"
