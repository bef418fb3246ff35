"""Retention: a state that forgets at a fixed pace, another in every head (Sun et al. 2023, RetNet, equations 6 and 7).

    S_t = γ_h S_{t-1} + k_t v_tᵀ      y_t = S_tᵀ q_t / sqrt(K)      γ_h = 1 - 2^(-5-h), h = 0, 1, ...

The map alone: RetNet's norm of each head's output and its swish gate are left out, and it turns queries and keys under
``position=rotary`` only.
"""

import math

from harness.attention.base import unrotated
from harness.attention.recurrence import Recurrence


class Retention(Recurrence):
    """What token j says weighs γ^(t-j) at token t."""

    version = 1
    golden = {1: (6.9239064725203745, 19.955926947822295, -18.486894848653375, 35800.36954263125)}
    formula = "S_t = γ_h S_{t-1} + k_t v_tᵀ, y_t = S_tᵀ q_t/√K, γ_h = 1 - 2^(-5-h)"
    source = "Sun et al. 2023, eq. 6-7"

    def __init__(self, width, heads, key_width, rotate=unrotated):
        super().__init__(width, heads, key_width, rotate)

    def project(self, x):
        """See :class:`Recurrence`."""
        q, k, v = super().project(x)
        paces = x.new_tensor([math.log1p(-(2.0 ** (-5 - head))) for head in range(self.heads)])  # log γ
        return q / self.key_width**0.5, k, v, paces[:, None, None].expand(1, -1, x.shape[1], 1)
