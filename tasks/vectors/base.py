"""What a norm is: how far apart vectors are, and how to draw sets of them near and around the boundary.

Shape letters: ``B`` prompts · ``n`` vectors · ``d`` coordinates. An alpha is a number, or one for each row, (B, 1).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from tasks.base import Ints, Theory
from tasks.numbers import digits
from tasks.sampling import chosen, shuffled

Alpha = int | Ints


@dataclass(frozen=True)
class Norm(ABC):
    """Vectors of ``dim`` coordinates in [0, values), measured one way; ``distinct``: all vectors of a prompt differ."""

    values: int
    dim: int
    distinct: bool = False

    @property
    @abstractmethod
    def theory(self) -> Theory:
        """What is known of the cost of telling whether all are closer than alpha."""

    @property
    @abstractmethod
    def alphas(self) -> range:
        """The alphas for which twins exist."""

    @abstractmethod
    def limit(self, alpha: Alpha) -> Alpha:
        """The distance, as :meth:`distance` counts it, from which on two vectors are not close."""

    @abstractmethod
    def longest(self, alpha: int) -> int:
        """How many distinct vectors twins can have."""

    @abstractmethod
    def distance(self, x: Ints, y: Ints) -> Ints:
        """(..., d), (..., d) -> (...)."""

    @abstractmethod
    def diameters(self, items: Ints) -> Ints:
        """The largest distance among the first i + 1 vectors, for every i: (B, n, d) -> (B, n)."""

    @abstractmethod
    def twins(self, rng: np.random.Generator, alpha: Alpha, pairs: int, length: int) -> Ints:
        """(pairs, 2, n, d): all are close, then a step of 1 in one coordinate puts one pair at alpha or just beyond.

        More pairs than one only where nothing else fills the prompt; each norm says where.
        """

    @abstractmethod
    def broad(self, rng: np.random.Generator, alpha: Alpha, close: np.ndarray, length: int) -> Ints:
        """(B, n, d): the diameter is spread evenly below alpha where ``close`` (B,), from alpha on elsewhere."""

    def classes(self, alpha: int) -> int | None:
        """Residual classes over sequences of vectors of all lengths, which may repeat; None where not known."""
        return None

    def classes_within(self, alpha: int, length: int) -> int | None:
        """The same in the middle of sequences of one length, after half of the vectors, rounded down."""
        return self.classes(alpha)

    def natural(self, rng: np.random.Generator, size: int, length: int) -> Ints:
        """(B, n, d), uniform: the same whatever the norm."""
        if not self.distinct:
            return rng.integers(0, self.values, (size, length, self.dim))
        numbers = chosen(rng, np.full(size, self.values**self.dim), length)
        return shuffled(rng, digits(numbers, self.values, self.dim)[:, None])[:, 0]
