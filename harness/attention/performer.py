"""Performer attention: positive orthogonal random features of softmax's kernel (Choromanski et al. 2021, FAVOR+).

    φ(x)_i = exp(w_i·x' - |x'|²/2)/√r      x' = x/D^¼      w_i ~ N(0, 1), so E φ(q)·φ(k) = exp(q·k/√D)

Directions w are orthogonal D at a time, which lowers the variance, and as long as normal vectors are, so each of them
is normal and the estimate unbiased. They are drawn once for all heads of a layer and never trained. The variance that
one feature brings, relative to the kernel's square, is exp(|q'+k'|²) - 1: long vectors ask for exponentially many.

A factor of a query stands above and below the fraction, so its largest exponent is taken off: no feature of it passes
1/√r. Keys need nothing of the kind, w·k' - |k'|²/2 is at most |w|²/2, some D/2. What is lost are keys so long that all
their features vanish beside EPSILON: such a past reads 0, where softmax would heed its direction.
"""

import torch

from harness.attention.base import hold_size, unrotated
from harness.attention.kernel import Kernel


class Performer(Kernel):
    """Softmax attention in expectation, with a state that does not grow."""

    version = 1
    golden = {1: (-0.2993553232583271, 0.598565435496238, -0.24181201184475948, 5541.441027157089)}
    formula = "y_t = φ(q_t)ᵀ Σ_{j≤t} φ(k_j) v_jᵀ / φ(q_t)ᵀ Σ_{j≤t} φ(k_j), φ(x) = exp(w·x' - |x'|²/2)/√r, x' = x/D^¼"
    source = "Choromanski et al. 2021, lemma 1"

    def __init__(self, width, heads, features, rotate=unrotated):
        super().__init__(width, heads, rotate)
        hold_size("features", features)
        self.features = features
        self.register_buffer("directions", orthogonal(features, self.head_width).to(self.project_in.weight))

    def features_of(self, q, k, seen):
        """See :class:`Kernel`."""
        q, k = (x / self.head_width**0.25 for x in (q, k))
        of_q, of_k = (x @ self.directions.mT for x in (q, k))  # (B, H, T, D) x (D, F)
        of_q = of_q - of_q.amax(-1, keepdim=True)
        of_k = of_k - k.square().sum(-1, keepdim=True) / 2
        return tuple(x.exp() / self.features**0.5 for x in (of_q, of_k))

    def training_flops(self, tokens, prefix=0):
        """The directions are not learned: going back along them costs one product, not two."""
        return super().training_flops(tokens, prefix) - self.feature_flops(tokens)

    def feature_flops(self, tokens):
        """Each query and each key along all directions."""
        return 4 * self.heads * tokens * self.head_width * self.features


def orthogonal(count: int, width: int) -> torch.Tensor:
    """(count, width) in float64: normal vectors, orthogonal among 0 .. width-1, among width .. 2 · width-1, and so on.

    From torch's global generator. In float64, for the last bits of a factorisation depend on the machine.
    """
    blocks = torch.randn(-(-count // width), width, width, dtype=torch.float64, device="cpu")
    turned, factor = torch.linalg.qr(blocks)
    turned = turned * factor.diagonal(dim1=-2, dim2=-1).sign()[:, None]  # without it no column would be uniform
    lengths = torch.randn(count, width, dtype=torch.float64, device="cpu").norm(dim=-1, keepdim=True)
    return turned.mT.flatten(0, 1)[:count] * lengths
