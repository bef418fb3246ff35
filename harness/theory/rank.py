"""When is an attention matrix near one of low rank, and how many keys does a query reach? (claims C3, C4a)

Alman and Song 2023: with entries of Q and K in [-B, B] and d = O(log n), attention is near a matrix of rank n^o(1) if
B = o(sqrt(log n)), and not if B is larger. Measured is the ε-rank of softmax(Q Kᵀ / d), entries uniform, d = log2 n,
which is the least rank of a truncated SVD that errs by at most ``tolerance`` in every row, in L1. Truncation is best in
Frobenius norm, not in this one, so it is an upper estimate of the rank that is needed.

Three maps beside it show that a low rank and few keys are two things:

- *kernel*, attention to everything through 8 positive features: rank 8 at most, a query reaches about all n keys
- *linear*, causal kernel attention with one feature: a triangle, so its rank is n (though its ε-rank grows slower),
  and query t reaches about t keys
- *window*, softmax over the last 16 keys: a query reaches 16 at most, and the rank is about n
"""

from collections.abc import Iterator, Sequence
from math import log2

import numpy as np
from scipy.special import softmax

from harness.report.inside import EPSILON
from harness.seeding import rng
from harness.theory.matrices import epsilon_rank, keys, rank

FEATURES, WINDOW = 8, 16


def rows(
    lengths: Sequence[int] = (64, 128, 256, 512),
    bounds: Sequence[float] = (0.5, 1, 1.5, 2, 3, 4, 6),
    draws: int = 20,
    tolerance: float = EPSILON,
    seed: int = 0,
) -> Iterator[dict]:
    """A row for each map, length and bound: medians over the draws, and the least and largest ε-rank among them.

    ``rank`` is the ε-rank, ``exact_rank`` counts singular values that are not rounding, ``reach`` is the mean over
    queries of how many keys one reaches, exp of the entropy of its weights. Maps but softmax have no bound: None.
    """
    for length in lengths:
        for bound in bounds:
            yield _row(
                "softmax", length, bound, [random(length, bound, seed, draw) for draw in range(draws)], tolerance
            )
        for name, drawn in (("kernel", kernel), ("linear", linear), ("window", window)):
            yield _row(name, length, None, [drawn(length, seed, draw) for draw in range(draws)], tolerance)


def _row(name: str, length: int, bound: float | None, drawn: Sequence[np.ndarray], tolerance: float) -> dict:
    near = [int(epsilon_rank(matrix, tolerance)) for matrix in drawn]
    return {
        "map": name,
        "length": length,
        "bound": bound,
        "draws": len(drawn),
        "rank": float(np.median(near)),
        "rank_low": min(near),
        "rank_high": max(near),
        "exact_rank": float(np.median([rank(matrix) for matrix in drawn])),
        "reach": float(np.median([keys(matrix).mean() for matrix in drawn])),
    }


def random_rank(n: int, bound: float, draws: int = 5, tolerance: float = EPSILON) -> float:
    """The median ε-rank of :func:`random`."""
    return float(np.median([epsilon_rank(random(n, bound, 0, draw), tolerance) for draw in range(draws)]))


def random(n: int, bound: float, seed: int, draw: int) -> np.ndarray:
    """(n, n): softmax(Q Kᵀ / d), entries uniform on [-bound, bound], d = log2 n."""
    d = round(log2(n))
    q, k = rng(seed, f"random rank/{n}/{float(bound)}", draw).uniform(-bound, bound, (2, n, d))
    return softmax(q @ k.T / d, axis=-1)


def kernel(n: int, seed: int, draw: int) -> np.ndarray:
    """(n, n): weights proportional to φ(q)·φ(k) of all keys, 8 features uniform on [0, 1]."""
    q, k = rng(seed, f"random kernel/{n}", draw).uniform(size=(2, n, FEATURES))
    return _shares(q @ k.T)


def linear(n: int, seed: int, draw: int) -> np.ndarray:
    """(n, n), lower triangular: weights proportional to one feature of the key, uniform on [1/2, 1]."""
    k = rng(seed, f"random linear/{n}", draw).uniform(0.5, 1, n)
    return _shares(np.tril(np.broadcast_to(k, (n, n))))


def window(n: int, seed: int, draw: int) -> np.ndarray:
    """(n, n), a band: softmax over the last 16 keys of scores that are uniform on [-1, 1]."""
    scores = rng(seed, f"random window/{n}", draw).uniform(-1, 1, (n, n))
    return _shares(np.triu(np.tril(np.exp(scores)), 1 - WINDOW))


def _shares(weights: np.ndarray) -> np.ndarray:
    return weights / weights.sum(-1, keepdims=True)
