"""The delta rule: a token replaces what its key recalls (Schlag et al. 2021; Yang et al. 2024, DeltaNet).

    S_t = (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ      y_t = S_tᵀ q_t      |q_t| = |k_t| = 1

β_t is sigmoid(w x_t + b) under ``eigenvalues=positive``: those of I - β k kᵀ are 1 and 1 - β, in [0, 1]. Under
``eigenvalues=signed`` it is twice that, and they reach -1 (Grazzi et al. 2025): a reflection, which can count parity.

The fast form: S_t = S_{t-1} + k_t u_tᵀ with u_t = β_t (v_t - S_{t-1}ᵀ k_t), so the u of a chunk solve one triangular
system, and then it is a recurrence that writes u for v (the WY form of Bischof & Van Loan 1987). The system is linear
in the S before the chunk, so all chunks are solved at once: for the u if S is 0, and for what S takes off them.
"""

import torch
from torch import Tensor

from harness.attention.base import chunks, unrotated
from harness.attention.recurrence import Gate, Recurrence, outer, pairs, recall

EPSILON = 1e-6  # inside the root: a vector of zeros keeps a direction of 0, and finite gradients
MOST = {"positive": 1, "signed": 2}  # what β stays below


class Delta(Recurrence):
    """With orthonormal keys and β = 1 every value is recalled as it was said last."""

    version = 1
    golden = {1: (0.9029034105596128, 2.1425415906058762, 0.3676516674333258, 2856.5272263619495)}
    formula = "S_t = (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ, y_t = S_tᵀ q_t, |q_t| = |k_t| = 1"
    source = "Schlag et al. 2021, Yang et al. 2024"

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
        system = beta * pairs(k, k, between)  # of which what lies under the diagonal is read
        chunked = k.dim() > 4
        if total is not None:
            v = v - (k * kept) @ total
        right = beta * (torch.cat([v, k * kept], -1) if chunked else v)
        solved = torch.linalg.solve_triangular(system, right, upper=False, unitriangular=True)
        return solved.split([v.shape[-1], k.shape[-1]], -1) if chunked else (solved, None)

    def mix_flops(self, tokens, seen, prefix):
        """Keys meet too, systems are solved for values and in whole chunks for keys, whose states are carried by K²."""
        inside, (k, d) = sum(c * c for c in chunks(tokens, self.chunk)), (self.key_width, self.head_width)
        more = inside * (k + d)
        if not self.alone(tokens, seen):
            whole = self.whole(tokens)
            more += tokens * k * d + whole * (self.chunk + k) * k + whole // self.chunk * k * k * d
        return super().mix_flops(tokens, seen, prefix) + 2 * self.heads * more

    def step(self, total, q, k, v, g, beta):
        """See :class:`Recurrence`."""
        total = g.exp()[..., None] * (total - beta[..., None] * outer(k, recall(total, k)))
        total = total + beta[..., None] * outer(k, v)
        return recall(total, q), total


def direction(x: Tensor) -> Tensor:
    """(..., K) -> the same of length 1, near 0 shorter."""
    return x / (x.square().sum(-1, keepdim=True) + EPSILON).sqrt()
