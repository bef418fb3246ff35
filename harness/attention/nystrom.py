"""Nyströmformer: softmax attention rebuilt from what it makes of a few landmarks (Xiong et al. 2021).

    y = softmax(q k̃ᵀ) A⁺ softmax(q̃ kᵀ) v      A = softmax(q̃ k̃ᵀ)      all scores divided by sqrt(D)

The landmarks q̃ and k̃ are the means of min(rank, T) segments of near-equal length, so that the cost is T · rank. A⁺ is
approached by the paper's iteration from Z = Aᵀ / (‖A‖₁ ‖A‖∞), where ‖A‖∞ = 1 as the rows of A add up to 1:

    Z <- Z (13 I - A Z (15 I - A Z (7 I - A Z))) / 4

Where every token is a landmark it is A A⁺ A = A, softmax attention, up to what the iteration leaves. There is no causal
form: a mean over a segment is one over the future of its first tokens. The convolution of values that the paper adds to
the output is left out. Positions turn queries and keys before their means are taken.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.attention.base import Bidirectional, hold_size, unrotated

MOST = 32  # iterations: what rounding puts into the kernel of A grows by 13/4 in each


class Nystrom(Bidirectional):
    """Every token weighs landmarks, which weigh all tokens."""

    version = 1
    golden = {1: (-0.25155062402201195, 0.44737347115776666, -0.2535053887350546, 1692.0258310279128)}
    formula = "y = softmax(q k̃ᵀ/√D) softmax(q̃ k̃ᵀ/√D)⁺ softmax(q̃ kᵀ/√D) v, q̃ and k̃ means of r segments"
    source = "Xiong et al. 2021 (Nyströmformer)"

    def __init__(self, width, heads, rank, iterations, rotate=unrotated):
        super().__init__(width, heads, rotate)
        hold_size("rank", rank)
        if not 1 <= iterations <= MOST:
            raise ValueError(
                f"attention.iterations={iterations}: 1 to {MOST} are possible, more add up rounding errors"
            )
        self.rank, self.iterations = rank, iterations

    def mix(self, q, k, v, state, prefix):
        """See :class:`Attention`."""
        q, k = self.rotate(q, 0) / self.head_width**0.5, self.rotate(k, 0)
        few_q, few_k = self.landmarks(q), self.landmarks(k)
        far = (q @ few_k.mT).softmax(-1)  # (B, H, T, m)
        back = self.inverse((few_q @ few_k.mT).softmax(-1))  # (B, H, m, m)
        near = F.scaled_dot_product_attention(few_q, k, v, scale=1.0)  # (B, H, m, D)
        return far @ (back @ near), None

    def naive_mix(self, q, k, v, prefix):
        """See :class:`Attention`."""
        q, k = self.rotate(q, 0), self.rotate(k, 0)
        few = min(self.rank, q.shape[2])
        few_q, few_k = (torch.stack([part.mean(2) for part in x.tensor_split(few, 2)], 2) for x in (q, k))
        a = self._weights(few_q, few_k)
        z = a.mT / (a.sum(-2).amax(-1) * a.sum(-1).amax(-1))[..., None, None]
        for _ in range(self.iterations):
            zaz = z @ a @ z
            z = (13 * z - 15 * zaz + 7 * zaz @ a @ z - zaz @ a @ zaz) / 4
        summed = torch.stack([(row[..., None] * v).sum(2) for row in self._weights(few_q, k).unbind(2)], 2)
        summed = z @ summed
        return torch.stack([(row[..., None] * summed).sum(2) for row in self._weights(q, few_k).unbind(2)], 2)

    def landmarks(self, x: Tensor) -> Tensor:
        """(B, H, T, D) -> (B, H, m, D), the means of segments; the first T mod m are one token longer."""
        few = min(self.rank, x.shape[2])
        size, longer = divmod(x.shape[2], few)
        long, short = x.split([longer * (size + 1), (few - longer) * size], 2)
        parts = long.unflatten(2, (longer, size + 1)), short.unflatten(2, (few - longer, size))
        return torch.cat([part.mean(3) for part in parts], 2)

    def inverse(self, a: Tensor) -> Tensor:
        """(..., m, m) -> the same shape, near the pseudo-inverse of a matrix whose rows add up to 1."""
        z, one = a.mT / a.sum(-2).amax(-1)[..., None, None], torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
        for _ in range(self.iterations):
            az = a @ z
            z = z @ (13 * one - az @ (15 * one - az @ (7 * one - az))) / 4
        return z

    def mix_flops(self, tokens, seen, prefix):
        """Queries with landmarks and back, landmarks with keys and values; the iteration's four products of m x m."""
        few = min(self.rank, tokens)
        wide = 8 * tokens * few * self.head_width + 4 * few**2 * self.head_width
        return self.heads * (wide + 8 * self.iterations * few**3)

    def scored_pairs(self, tokens, seen=None, prefix=0):
        """Queries with landmarks, landmarks with keys and with one another."""
        few = min(self.rank, tokens)
        return self.heads * few * (2 * tokens + few)

    def _weights(self, q: Tensor, k: Tensor) -> Tensor:
        """(B, H, N, D) and (B, H, M, D) -> (B, H, N, M), softmax a row at a time."""
        rows = [((row[:, :, None] * k).sum(-1) / self.head_width**0.5).softmax(-1) for row in q.unbind(2)]
        return torch.stack(rows, 2)
