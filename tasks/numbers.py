"""Numbers written as tokens: digits of any base, the highest first.

>>> digits(np.array([103, 7]), base=4, count=4).tolist()
[[1, 2, 1, 3], [0, 0, 1, 3]]
>>> number(np.array([[1, 2, 1, 3]]), base=4).tolist()
[103]
"""

from functools import cache

import numpy as np

from tasks.base import Ints


def digits(numbers: Ints, base: int | Ints, count: int) -> Ints:
    """The last ``count`` digits, highest first: (...) -> (..., count). Each number may have a ``base`` of its own."""
    base = np.asarray(base)[..., None]
    return numbers[..., None] // base ** np.arange(count)[::-1] % base


def number(written: Ints, base: int) -> Ints:
    """The inverse: (..., count) -> (...)."""
    return written @ _weights(base, written.shape[-1])


@cache
def _weights(base: int, count: int) -> Ints:
    """What each digit counts for, (count,)."""
    weights = base ** np.arange(count)[::-1]
    weights.setflags(write=False)  # all callers share it
    return weights
