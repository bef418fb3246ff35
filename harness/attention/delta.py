"""The delta rule: a token replaces what its key recalls (Schlag et al. 2021; Yang et al. 2024, DeltaNet).

    S_t = (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ      y_t = S_tᵀ q_t      |q_t| = |k_t| = 1

β_t is sigmoid(w x_t + b) under ``eigenvalues=positive``: those of I - β k kᵀ are 1 and 1 - β, in [0, 1]. Under
``eigenvalues=signed`` it is twice that, and they reach -1 (Grazzi et al. 2025): a reflection, which can count parity.

The fast form: S_t = S_{t-1} + k_t u_tᵀ with u_t = β_t (v_t - S_{t-1}ᵀ k_t), so the u of a chunk solve one triangular
system, and then it is a recurrence that writes u for v (the WY form of Bischof & Van Loan 1987).
"""

import torch
from torch import Tensor

from harness.attention.base import unrotated
from harness.attention.recurrence import Gate, Recurrence, outer, pairs, recall

EPSILON = 1e-6  # inside the root: a vector of zeros keeps a direction of 0, and finite gradients
MOST = {"positive": 1, "signed": 2}  # what β stays below


class Delta(Recurrence):
    """With orthonormal keys and β = 1 every value is recalled as it was said last."""

    version = 1
    golden = {1: (0.9029034105596128, 2.1425415906058762, 0.3676516674333258, 2856.5272263619495)}
    formula = "S_t = (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ, y_t = S_tᵀ q_t, |q_t| = |k_t| = 1"
    source = "Schlag et al. 2021, Yang et al. 2024"

    meetings = 2  # of queries and of keys

    def __init__(self, width, heads, eigenvalues, key_width, rotate=unrotated):
        super().__init__(width, heads, key_width, rotate)
        if eigenvalues not in MOST:
            raise ValueError(f"attention.eigenvalues={eigenvalues}: {', '.join(MOST)} can be chosen")
        self.most, self.strength = MOST[eigenvalues], Gate(width, heads)

    def project(self, x):
        """See :class:`Recurrence`; β (B, H, T, 1) comes last."""
        q, k, v = super().project(x)
        return direction(q), direction(k), v, self.decay(x), self.most * self.strength(x).sigmoid()

    def decay(self, x: Tensor) -> Tensor:
        """(B, T, C) -> log-decays (B or 1, H or 1, T, 1): nothing fades."""
        return x.new_zeros(1, 1, x.shape[1], 1)

    def written(self, total, kept, between, k, v, beta):
        """See :class:`Recurrence`: u + β tril(decayed k kᵀ, -1) u = β (v - what is recalled of S before the chunk)."""
        missing = v if total is None else v - (k * kept) @ total
        system = beta * pairs(k, k, between)  # of which what lies under the diagonal is read
        return torch.linalg.solve_triangular(system, beta * missing, upper=False, unitriangular=True)

    def step(self, total, q, k, v, g, beta):
        """See :class:`Recurrence`."""
        total = g.exp()[..., None] * (total - beta[..., None] * outer(k, recall(total, k)))
        total = total + beta[..., None] * outer(k, v)
        return recall(total, q), total


def direction(x: Tensor) -> Tensor:
    """(..., K) -> the same of length 1, near 0 shorter."""
    return x / (x.square().sum(-1, keepdim=True) + EPSILON).sqrt()
