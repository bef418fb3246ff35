"""A selective state space map, the core of Mamba-2 (Dao & Gu 2024, SSD): at some tokens more time goes by.

    S_t = e^{-Δ_t e^a} S_{t-1} + Δ_t k_t v_tᵀ      y_t = S_tᵀ q_t + d v_t      Δ_t = softplus(w x_t + b)

a, b and d are numbers of a head, and K is the state size N: what is called q, k, v here is C, B, x there. The map
alone: no convolution, no gate, no norm; every head has queries and keys of its own.
"""

import torch
from torch import nn

from harness.attention.base import unrotated
from harness.attention.recurrence import Clock, Recurrence


class SSM(Recurrence):
    """Where no time goes by (Δ = 0) the state stays as it is: nothing is forgotten, nothing written."""

    version = 1
    golden = {1: (-1.0647471831307156, -1.8159144750166478, 1.20461954692167, 16355.740343123725)}
    formula = "S_t = e^{-Δ_t e^a} S_{t-1} + Δ_t k_t v_tᵀ, y_t = S_tᵀ q_t + d v_t, Δ_t = softplus(w x_t + b)"
    source = "Dao & Gu 2024"

    def __init__(self, width, heads, key_width, rotate=unrotated):
        super().__init__(width, heads, key_width, rotate)
        self.clock = Clock(width, heads)
        self.skip = nn.Parameter(torch.ones(heads))  # d

    def project(self, x):
        """See :class:`Recurrence`; keys come as Δ k."""
        q, k, v = super().project(x)
        time, g = self.clock(x)
        return q, time * k, v, g

    def mix(self, *said):
        """See :class:`Recurrence`."""
        mixed, state = super().mix(*said)
        return mixed + self.skip[:, None, None] * said[2], state

    def step(self, total, q, k, v, g):
        """See :class:`Recurrence`."""
        row, total = super().step(total, q, k, v, g)
        return row + self.skip[:, None] * v, total
