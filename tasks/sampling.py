"""How to draw different things: without a loop over rows, every outcome equally likely.

Shape letters: ``B`` rows, each drawn on its own.
"""

import numpy as np

from tasks.base import Ints


def chosen(rng: np.random.Generator, below: Ints, count: int) -> Ints:
    """(B, count) different numbers in [0, below), all sets equally likely, their order not; ``below`` (B,) >= count."""
    numbers = np.zeros((len(below), count), dtype=np.int64)
    for place in range(count):  # Floyd's method: one more number can be drawn each time; it replaces a repetition
        newest = below - count + place
        number = rng.integers(0, newest + 1)
        numbers[:, place] = np.where((numbers[:, :place] == number[:, None]).any(axis=1), newest, number)
    return numbers


def distinct(rng: np.random.Generator, size: int, count: int, kinds: int) -> Ints:
    """``count`` different numbers below ``kinds`` in each of ``size`` rows, every ordered choice equally likely."""
    if kinds < 4 * count:
        return rng.permuted(np.tile(np.arange(kinds), (size, 1)), axis=1)[:, :count]
    # What repeats an earlier number is drawn again until nothing does. No number is preferred to another on the way,
    # so all outcomes are equally likely.
    drawn, rows = rng.integers(0, kinds, (size, count)), np.arange(size)[:, None]
    while True:
        order = drawn.argsort(axis=1, kind="stable")
        ranked = drawn[rows, order]
        row, place = np.nonzero(ranked[:, 1:] == ranked[:, :-1])
        if not len(row):
            return drawn
        drawn[row, order[row, place + 1]] = rng.integers(0, kinds, len(row))


def spare(index: Ints, taken: Ints) -> Ints:
    """The number that stands at ``index`` (B, F) among those that are not in ``taken`` (B, N)."""
    passed = np.sort(taken, axis=1) - np.arange(taken.shape[1])  # the index from which on a taken number is passed
    return index + (index[:, :, None] >= passed[:, None]).sum(axis=2)


def shuffled(rng: np.random.Generator, items: Ints) -> Ints:
    """(B, k, n, d): the n vectors in random order, one order for all k."""
    order = rng.random((len(items), items.shape[2])).argsort(axis=1)
    return items.swapaxes(1, 2)[np.arange(len(items))[:, None], order].swapaxes(1, 2)
