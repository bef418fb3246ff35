"""What is the rank of a function of bits, and so the shortest chain of thought? Ehrenfeucht and Haussler's, exactly.

A decision tree asks for a bit at each inner node and answers at its leaves. The rank of a leaf is 0; that of an inner
node is the larger one of its children's, plus 1 if they are equal. The rank of a function is the least of its trees: 1
for OR, whose trees need no branching but a chain, n for parity, whose trees are all complete (Ehrenfeucht and Haussler
1989). It is also the least number of steps of a decoder with one layer of hard attention (Barcelo, Kozachinskiy and
Steifer 2025, arXiv 2501.12997).

>>> bits = np.indices((2, 2, 2))
>>> decision_rank(bits.any(axis=0)), decision_rank(bits.sum(axis=0) % 2), decision_rank(bits.sum(axis=0) >= 2)
(1, 3, 2)

Found by dynamic programming over the 3^n subcubes, each bit 0, 1 or not asked for: a subcube on which the function is
constant has rank 0, any other the least over its free bits of what its two halves make.
"""

from collections.abc import Iterator

import numpy as np

from harness.theory.automata import places
from harness.theory.sensitivity import answers
from tasks.base import Task

BITS = 12  # 3^12 subcubes: a second


def rows(task: Task, length: int) -> Iterator[dict]:
    """One row: ``rank`` of the answer to prompts of this length, a function of ``bits`` bits.

    Raises ValueError for a length the task has not, a task without an automaton or whose items are not one bit each,
    and for more bits than BITS.
    """
    task.refuse(length, "natural")
    choices = [len(items) for items in places(task, length)]
    if set(choices) != {2}:
        raise ValueError(
            f"{type(task).__name__}: {max(choices):,} items may stand at a place; the rank is of a function of bits, "
            "so two items are needed at each place, as in parity and majority"
        )
    if len(choices) > BITS:
        raise ValueError(f"length={length}: {len(choices)} bits; the rank of up to {BITS} can be found")
    yield {"length": length, "bits": len(choices), "rank": decision_rank(answers(task, length, 2**BITS))}


def decision_rank(values: np.ndarray) -> int:
    """The rank of a function, (2, ..., 2) of any values, an axis for each bit. Raises ValueError for another shape."""
    if set(values.shape) - {2} or values.ndim > BITS:
        raise ValueError(f"shape {values.shape}: an axis of 2 for each of up to {BITS} bits is needed")
    least, most = _subcubes(values, np.minimum), _subcubes(values, np.maximum)
    rank = np.where(least == most, 0, values.ndim + 1).ravel()  # more than any tree's
    free = np.indices(least.shape).reshape(values.ndim, least.size) == 2
    count, strides = free.sum(axis=0), 3 ** np.arange(values.ndim)[::-1]
    for size in range(1, values.ndim + 1):
        for bit, stride in enumerate(strides):
            cube = np.flatnonzero(free[bit] & (count == size) & (rank > 0))
            zero, one = rank[cube - 2 * stride], rank[cube - stride]
            rank[cube] = np.minimum(rank[cube], np.maximum(zero, one) + (zero == one))
    return int(rank[-1])


def _subcubes(values: np.ndarray, reduce: np.ufunc) -> np.ndarray:
    """(2, ..., 2) -> (3, ..., 3): in place 2 of an axis is what ``reduce`` makes of places 0 and 1."""
    for axis in range(values.ndim):
        values = np.concatenate([values, reduce.reduce(values, axis=axis, keepdims=True)], axis=axis)
    return values
