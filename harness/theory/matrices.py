"""What can be said of a matrix of weights, a row for each query and a column for each key."""

import numpy as np

from harness.report.inside import EPSILON

ZERO = 1e-9  # singular values below this share of the largest are rounding


def in_unit_rows(matrices: np.ndarray) -> np.ndarray:
    """(..., T, T) -> the same, as they are if every row sums to 1, else divided by the L1 norm of their largest row."""
    sums = np.abs(matrices.sum(-1) - 1).max(-1) < 1e-3  # linear attention keeps 0/0 away with a small number
    norms = np.abs(matrices).sum(-1).max(-1)
    return matrices / np.where(sums | (norms == 0), 1, norms)[..., None, None]


def epsilon_rank(matrices: np.ndarray, epsilon: float = EPSILON) -> np.ndarray:
    """(..., R, C) -> (...): the smallest r at which the truncated SVD of rank r errs by at most ε in every row, in L1.

    The truncation is the best in Frobenius norm, not in this one: what is found is at least the rank that is needed.
    """
    left, lowest = matrices.copy(), np.full(matrices.shape[:-2], -1)
    u, s, v = np.linalg.svd(matrices, full_matrices=False)
    for r in range(s.shape[-1] + 1):
        near = np.abs(left).sum(-1).max(-1) <= epsilon
        lowest = np.where((lowest < 0) & near, r, lowest)
        if (lowest >= 0).all():
            break
        left -= (u[..., r] * s[..., r, None])[..., None] * v[..., r, None, :]
    return lowest


def effective_rank(matrices: np.ndarray) -> np.ndarray:
    """(..., R, C) -> (...): exp of the entropy of the singular values as shares of the sum (Roy & Vetterli 2007)."""
    return _perplexity(np.linalg.svd(matrices, compute_uv=False))


def rank(matrices: np.ndarray) -> np.ndarray:
    """(..., R, C) -> (...): singular values above ``ZERO`` of the largest."""
    return np.linalg.matrix_rank(matrices, rtol=ZERO)


def keys(matrices: np.ndarray) -> np.ndarray:
    """(..., T, R) -> (..., T): how many keys each query reaches, exp of the entropy of its absolute weights."""
    return _perplexity(np.abs(matrices))


def _perplexity(masses: np.ndarray) -> np.ndarray:
    """(..., N) -> (...): exp of the entropy of what is not negative, as shares of its sum; 0 where all is 0."""
    total = masses.sum(-1, keepdims=True)
    shares = masses / np.where(total > 0, total, 1)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(-1)
    return np.where(total[..., 0] > 0, np.exp(entropy), 0)
