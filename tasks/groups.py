"""Finite groups by name: Z5, S5, A4xZ5. The table of their products, and the slow product that needs no table.

Elements are the numbers from 0, the identity, in lexicographic order: of the residues of Zm, of the permutations of Sk
and Ak, of the pairs of a direct product. Of two permutations, the left one is done first.

>>> s3 = group("S3")
>>> [s3.word(element) for element in range(6)]  # where 1, 2, 3 go
['123', '132', '213', '231', '312', '321']
>>> s3.word(s3.table[1, 2]), s3.word(s3.products([1, 2])[-1])  # exchange 2 and 3, then 1 and 2
('231', '231')
>>> group("A4xZ5").order, group("A4xZ5").solvable, group("A5").solvable
(60, True, False)
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property, reduce
from itertools import accumulate, combinations, permutations, product
from math import factorial, prod

import numpy as np

from tasks.base import Ints
from tasks.numbers import number

NAMES = "Zm for m from 2, S3, S4, S5, A4, A5 and direct products of them, such as A4xZ5, exist"
MOST = 1024  # elements; a table has their square


@dataclass(frozen=True)
class Factor:
    """Zm, Sk or Ak. An element is a residue, or the tuple of the places to which 0 .. k-1 go."""

    kind: str  # Z, S or A
    degree: int  # m or k

    @property
    def order(self) -> int:
        """Number of elements."""
        return self.degree if self.kind == "Z" else factorial(self.degree) // (1 + (self.kind == "A"))

    @cached_property
    def elements(self) -> list:
        """In lexicographic order, so that the identity is the first."""
        if self.kind == "Z":
            return list(range(self.degree))
        return [one for one in permutations(range(self.degree)) if self.kind == "S" or _even(one)]

    @cached_property
    def table(self) -> Ints:
        """(order, order): the number of the product of the row's element and the column's."""
        elements = np.array(self.elements)
        if self.kind == "Z":
            return (elements[:, None] + elements) % self.degree
        numbers = number(elements, self.degree)  # they rise, as the elements do
        return np.searchsorted(numbers, number(elements[:, elements], self.degree)).T

    def times(self, one, other):
        """The product of two elements."""
        return (one + other) % self.degree if self.kind == "Z" else tuple(other[place] for place in one)


@dataclass(frozen=True)
class Group:
    """A direct product of factors, often of one. Its elements are numbers in [0, order)."""

    factors: tuple[Factor, ...]

    @property
    def order(self) -> int:
        """Number of elements."""
        return prod(factor.order for factor in self.factors)

    @property
    def abelian(self) -> bool:
        """Whether the order of a product's factors does not matter."""
        return all(factor.kind == "Z" for factor in self.factors)

    @property
    def solvable(self) -> bool:
        """Whether it is built of abelian groups: all are, but those that contain A5."""
        return all(factor.kind == "Z" or factor.degree < 5 for factor in self.factors)

    @cached_property
    def table(self) -> Ints:
        """(order, order) int64: x times y at [x, y], x first."""
        return reduce(_direct, (factor.table for factor in self.factors))

    @cached_property
    def _elements(self) -> list[tuple]:
        """Of each number, the elements of the factors."""
        return list(product(*(factor.elements for factor in self.factors)))

    def products(self, numbers: Iterable[int]) -> list[int]:
        """The product up to each number, without the table: residues added, permutations done one after another."""
        return [self._elements.index(one) for one in accumulate((self._elements[n] for n in numbers), self._times)]

    def word(self, element: int) -> str:
        """Residues read as numbers, permutations as the places from 1 to which 1, 2, 3, .. go."""
        parts = self._elements[element]
        return ",".join(str(p) if isinstance(p, int) else "".join(str(place + 1) for place in p) for p in parts)

    def _times(self, one, other):
        return tuple(factor.times(x, y) for factor, x, y in zip(self.factors, one, other, strict=True))


@cache
def group(name: str) -> Group | None:
    """The group of that name; None if there is none, or if it has more than ``MOST`` elements."""
    parts = [re.fullmatch(r"(Z)([1-9]\d{0,3})|(S)([345])|(A)([45])", part) for part in str(name).split("x")]
    if not all(parts):
        return None
    kinds = [[text for text in part.groups() if text] for part in parts]
    found = Group(tuple(Factor(kind, int(degree)) for kind, degree in kinds))
    return found if all(factor.order > 1 for factor in found.factors) and found.order <= MOST else None


def _even(permutation) -> bool:
    return sum(x > y for x, y in combinations(permutation, 2)) % 2 == 0


def _direct(one: Ints, other: Ints) -> Ints:
    """The table of the direct product of two groups: their elements' numbers are the digits."""
    both = one[:, None, :, None] * len(other) + other[None, :, None, :]
    return both.reshape(len(one) * len(other), -1)
