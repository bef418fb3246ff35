"""How much must two who each see one part of a prompt tell each other? The communication matrix of a cut, exactly.

A cut of a prompt of n items is after t of them. Rows are beginnings of t items, columns rests of n - t, an entry is the
answer: 1 for *yes*, 0 for *no*. Equal rows are one residual class of beginnings, equal columns one of rests, so only
different ones are kept: the base-2 logarithm of the number of rows is what one message from left to right must carry.
The rank over the rationals is the least dimension of a *linear* state: a weighted automaton that is read out linearly
has at least as many numbers (Carlyle and Paz 1971, Fliess 1974). Whoever talks in both directions needs log2 of the
rank in bits (Mehlhorn and Schmidt 1982).

>>> from tasks.pairwise import Pairwise
>>> table = list(rows(Pairwise(alpha=2, values=2, dim=2, norm="hamming"), 4))
>>> [(row["cut"], row["rows"], row["columns"], row["rank"]) for row in table]
[(0, 1, 2, 1), (1, 4, 9, 4), (2, 9, 9, 8), (3, 9, 4, 4), (4, 2, 1, 1)]

After two of four 0-1 vectors: one of 4, a pair of neighbours in one of 4 ways, or two that are antipodes.

Where the rank is exact: :func:`exact_rank` counts modulo primes, which can only be too little, and returns when a
certificate says that it is not.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import log2
from typing import NamedTuple

import numpy as np

from harness.catalogue import changed
from harness.theory.automata import automaton, places
from harness.theory.classes import Visited
from harness.theory.machine import TooMany
from tasks.base import Ints, Task

STEPS = 2**19  # of a machine, an item read in a state: seconds
ENTRIES = 2**26  # of a matrix before equal columns become one
SIDE = 1700  # different rows or columns, whichever are fewer, of which a rank is counted: seconds if its proof is short
PRIME = 2**22  # primes are below, so that WIDTH products of two residues add up exactly in float64
WIDTH = 64
DENOMINATORS = range(1, 13)  # that are tried for the certificate
NO_PROMPT = -1


class Layers(NamedTuple):
    """All that prompts of one length lead to, cut by cut; states are numbers within a cut, one before the first."""

    after: list[Ints]  # of each place (states here, items of the place): the state behind it, NO_PROMPT for none
    answer: Ints  # (states at the end,): which of ``said``
    said: list[tuple[int, ...]]  # the different answers, sorted


class TooLarge(ValueError):
    """This instance is beyond what is counted here."""


def rows(task: Task, length: int) -> Iterator[dict]:
    """A row for each cut, after 0 .. n items, of prompts of this length.

    ``rows`` and ``columns`` that differ, ``one_way_bits`` the logarithm of the former, ``rank`` over the rationals,
    ``two_way_bits`` its logarithm: bits that are needed at least. Where a beginning and a rest are no prompt together
    the entry is neither yes nor no when rows are told apart, and 0 for the rank. Raises ValueError for a length the
    task has not, a task without an automaton or with other than two answers, and for too large an instance: then the
    sentence says which length can be done.
    """
    task.refuse(length, "natural")
    try:
        found = matrices(task, length)
    except TooLarge as error:
        raise ValueError(f"length={length}: {error}; {_possible(task, length)}") from error
    known: dict[tuple, int] = {}
    for cut, matrix in enumerate(found):
        key = matrix.shape, matrix.tobytes()
        if key not in known:
            known[key] = exact_rank(matrix == 1)
        yield {
            "length": length,
            "cut": cut,
            "rows": matrix.shape[0],
            "columns": matrix.shape[1],
            "one_way_bits": log2(matrix.shape[0]),
            "rank": known[key],
            "two_way_bits": log2(max(known[key], 1)),
        }


def matrices(task: Task, length: int) -> list[np.ndarray]:
    """The matrices (rows, columns) int8 at the cuts after 0 .. n items: 1 yes, 0 no, -1 where there is no prompt.

    Raises TooLarge, and ValueError as :func:`rows` does.
    """
    if task.chance(length) != 0.5:
        raise ValueError(
            f"{type(task).__name__}: guessing is right with probability {task.chance(length):.3g}; a communication "
            "matrix of zeros and ones needs a task with two answers"
        )
    layers = layered(task, length, STEPS)
    yes = len(layers.said) - 1  # the larger token; one that is always said counts as yes
    matrix, kind = _different((layers.answer == yes).astype(np.int8)[:, None])
    found, last, given, made = [matrix], None, (), ()
    for after in reversed(layers.after):
        if after is not last or not all(map(np.array_equal, given, (matrix, kind))):  # else it is made as the last was
            last, given, made = after, (matrix, kind), _before(after, matrix, kind)
        matrix, kind = made
        found.append(matrix)
    return found[::-1]


def _before(after: Ints, matrix: np.ndarray, kind: Ints) -> tuple[np.ndarray, Ints]:
    """The matrix one cut earlier, and which of its rows each state there has; ``kind`` says so of the states behind."""
    ahead, which = np.unique(np.append(kind, NO_PROMPT)[after], axis=0, return_inverse=True)
    entries = ahead.size * matrix.shape[1]
    if entries > ENTRIES:
        raise TooLarge(f"a communication matrix of {entries:,} entries, of {ENTRIES:,} at most")
    rests = np.concatenate([matrix, np.full_like(matrix[:1], NO_PROMPT)])[ahead]  # (rows, items, columns)
    matrix, kept = _different(rests.reshape(len(rests), -1))
    if min(matrix.shape) > SIDE:
        rows, columns = matrix.shape
        raise TooLarge(f"a communication matrix of {rows:,} by {columns:,}; one side may be longer than {SIDE:,}")
    return matrix, kept[which.ravel()]


def layered(task: Task, length: int, most: int) -> Layers:
    """Read all prompts of a length at once. Raises TooLarge beyond ``most`` steps, ValueError without an automaton.

    Places at which the same states meet the same items have one array, and its steps count once.
    """
    machine = automaton(task)
    visited = Visited(machine, most)
    try:
        after, here = visited.layers(places(task, length))
    except TooMany as error:
        raise TooLarge(f"more than {most:,} steps of its automaton") from error
    answers = [machine.answer(visited.states[state]) for state in here]
    said = {answer: place for place, answer in enumerate(sorted(set(answers)))}
    return Layers(after, np.array([said[answer] for answer in answers], dtype=np.int64), list(said))


def exact_rank(matrix: np.ndarray) -> int:
    """(R, C) of integers below 2^31 -> the rank over the rationals, certified. Raises ValueError for other numbers.

    Modulo a prime the rank is never larger: a minor that is not 0 modulo p is not 0. It is not smaller either, if

    - it is R or C; or
    - the r rows of the reduced echelon form, times a small denominator q, are congruent to small integers E that
      reproduce the matrix from r of its columns, q M = M' E. Both sides are congruent, and no two numbers whose sizes
      add up to less than p are congruent without being equal; or
    - the product of the primes at which it was never larger is above the largest that a minor of r + 1 rows can be,
      (sqrt(r + 1) max |M|)^(r + 1) (Hadamard 1893): all of those divide each such minor, so it is 0.
    """
    if not np.issubdtype(matrix.dtype, np.integer) and matrix.dtype != bool:
        raise ValueError(f"a matrix of {matrix.dtype}: the rank is exact for integers alone")
    matrix = matrix.astype(np.int64)
    largest = int(np.abs(matrix).max(initial=0))
    if largest >= 2**31:
        raise ValueError(f"entries up to {largest:,}: integers below 2^31 are possible")
    best, bits = 0, 0.0
    for p in _primes():
        basis, pivots = _echelon(matrix, p)
        best, bits = max(best, len(pivots)), bits + log2(p)
        minor = (best + 1) * (log2(best + 1) / 2 + log2(max(largest, 1)))
        if best == min(matrix.shape) or bits > minor:
            return best
        if len(pivots) == best and _lifts(matrix[:, pivots], basis, largest, p):
            return best
    raise ValueError(f"primes below {PRIME:,} do not suffice to certify a rank of {best:,}")


def kernel(dim: int, ratio: Fraction) -> np.ndarray:
    """(2^d, 2^d): exp(beta Ham(x, y)) on {0, 1}^d, e^beta = ratio > 0, times the d-th power of its denominator.

    The d-th tensor power of [[q, p], [p, q]], p/q the ratio, hence of rank 2^d for any beta but 0. Raises ValueError
    for a ratio that is not positive, and for one too large to be written in 31 bits.
    """
    ratio = Fraction(ratio)
    if ratio <= 0:
        raise ValueError(f"ratio={ratio}: e^beta is positive")
    if max(ratio.numerator, ratio.denominator) ** dim >= 2**31 or dim > 10:
        raise ValueError(f"dim={dim} ratio={ratio}: entries below 2^31 and up to 10 dimensions are possible")
    x = np.arange(2**dim)
    apart = np.bitwise_count(x[:, None] ^ x).astype(np.int64)
    return ratio.numerator**apart * ratio.denominator ** (dim - apart)


def _different(matrix: np.ndarray) -> tuple[np.ndarray, Ints]:
    """The different rows and columns, without those that are in no prompt; of each row, which it became or NO_PROMPT.

    Order is that of the numbers, so equal cuts have equal matrices.
    """
    columns = _unique(np.ascontiguousarray(matrix.T))[0]
    kept, kind = _unique(np.ascontiguousarray(columns.T))
    alive = (kept != NO_PROMPT).any(axis=1)
    number = np.where(alive, np.cumsum(alive) - 1, NO_PROMPT)
    kept = kept[alive]
    return np.ascontiguousarray(kept[:, (kept != NO_PROMPT).any(axis=0)]), number[kind]


def _unique(rows: np.ndarray) -> tuple[np.ndarray, Ints]:
    """(R, C) int8: the different rows, sorted as bytes, and which of them each is; faster than numpy over an axis."""
    packed = rows.view(np.dtype((np.void, rows.shape[1])))[:, 0]
    first, kind = np.unique(packed, return_index=True, return_inverse=True)[1:]
    return rows[first], kind


def _possible(task: Task, length: int) -> str:
    """The longest shorter length that can be done; or, if the task's shortest is too long, what can."""
    low, high = task.shortest - 1, length
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _fits(task, middle) else (low, middle)
    if low >= task.shortest:
        return f"length={low} can be done"
    small, size = type(task).tiny()
    return f"no length can be done with these settings; length={size} can with {changed(small) or 'the defaults'}"


def _fits(task: Task, length: int) -> bool:
    try:
        matrices(task, length)
    except TooLarge:
        return False
    return True


def _primes() -> Iterator[int]:
    """Primes below PRIME, downwards."""
    small = np.arange(2, int(PRIME**0.5) + 1)
    return (p for p in range(PRIME - 1, PRIME // 2, -2) if (p % small).all())


def _echelon(matrix: Ints, p: int) -> tuple[Ints, list[int]]:
    """The reduced row echelon form modulo p, rows (rank, C) in any order, and the column of each row's leading 1.

    Gauss and Jordan, WIDTH rows at a time: these are freed of what is known already by a product of matrices.
    """
    basis, pivots = np.empty((0, matrix.shape[1]), dtype=np.int64), []
    for start in range(0, len(matrix), WIDTH):
        fresh, leading = _jordan(_cleared(matrix[start : start + WIDTH] % p, basis, pivots, p), p)
        basis = np.concatenate([_cleared(basis, fresh, leading, p), fresh])
        pivots += leading
    return basis, pivots


def _cleared(rows: Ints, basis: Ints, pivots: Sequence[int], p: int) -> Ints:
    """Rows less what they have of a reduced basis: 0 in its pivots. WIDTH products of residues add up below 2^53."""
    for start in range(0, len(pivots), WIDTH):
        part = basis[start : start + WIDTH].astype(np.float64)
        share = rows[:, pivots[start : start + WIDTH]].astype(np.float64)
        rows = (rows - (share @ part).astype(np.int64)) % p
    return rows


def _jordan(rows: Ints, p: int) -> tuple[Ints, list[int]]:
    """The same of few rows, one at a time."""
    kept, pivots = [], []
    for number in range(len(rows)):
        nonzero = np.flatnonzero(rows[number])
        if len(nonzero):
            lead = int(nonzero[0])
            rows[number] = rows[number] * pow(int(rows[number, lead]), -1, p) % p
            others = rows[:, lead].copy()
            others[number] = 0
            rows = (rows - others[:, None] * rows[number]) % p
            kept.append(number)
            pivots.append(lead)
    return rows[kept], pivots


def _lifts(chosen: Ints, basis: Ints, largest: int, p: int) -> bool:
    """Is q M = M' E, M' the ``chosen`` columns, with small enough integers E congruent to q times the basis?"""
    most = int(np.abs(chosen).sum(axis=1).max(initial=0))
    for q in DENOMINATORS:
        lifted = q * basis % p
        if q * largest + most * int(np.minimum(lifted, p - lifted).max(initial=0)) < p:
            return True
    return False
