"""Taylor attention: softmax's exponential up to its second order (Arora et al. 2024, Based).

    φ(q)·φ(k) = 1 + s + s²/2      s = q·k/√f      φ(x) = (1, x', x'_i x'_j for i < j, x'_i²/√2)      x' = x/f^¼

Queries and keys are f wide. Of the f² products the symmetric half is kept, so F = 1 + f + f(f+1)/2 features. The kernel
is ((1+s)² + 1)/2, never below 1/2. Based's short convolution is left out: this is its attention alone.
"""

import torch

from harness.attention.base import unrotated
from harness.attention.kernel import Kernel


class Taylor(Kernel):
    """Every pair of coordinates of a key is a feature: the state grows with the square of the keys' width."""

    version = 1
    golden = {1: (-0.050143474976601175, -0.13964403719855153, -0.07615781680023481, 3154.226587196123)}
    formula = "y_t = Σ_{j≤t} (1 + s_tj + s_tj²/2) v_j / Σ_{j≤t} (1 + s_tj + s_tj²/2), s_tj = q_t·k_j/√f"
    source = "Arora et al. 2024, Based"

    def __init__(self, width, heads, key_width, rotate=unrotated):
        super().__init__(width, heads, rotate, key_width=key_width)
        if key_width > 2**8:
            raise ValueError(f"attention.key_width={key_width}: at most 2^8, its square is the number of features")
        self.features = 1 + key_width + key_width * (key_width + 1) // 2

    def features_of(self, q, k, seen):
        """See :class:`Kernel`."""
        return self._feature(q), self._feature(k)

    def _feature(self, x):
        x = x / self.key_width**0.25
        mixed = [x[..., i, None] * x[..., i + 1 :] for i in range(self.key_width - 1)]
        return torch.cat([torch.ones_like(x[..., :1]), x, *mixed, x * x / 2**0.5], -1)
