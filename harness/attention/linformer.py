"""Linformer: softmax attention over ``rank`` mixtures of all keys, whose weights are learned (Wang et al. 2020).

    y_t = sum over r of softmax_r(q_t · (E k)_r / sqrt(D)) (F v)_r      E, F: (rank, T)

So attention is a matrix of rank at most ``rank``, softmax(·) F, and its cost is T · rank. E and F are learned for each
place, the first T of ``longest`` columns at T tokens, and shared by the heads of a layer (the paper's headwise sharing,
section 4). There is no causal form: each of the mixtures sums over the future of all tokens but the last.
Positions turn queries, and keys before they are mixed.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.attention.base import Bidirectional, hold_size, unrotated


class Linformer(Bidirectional):
    """Every token weighs the same few mixtures of all tokens."""

    version = 1
    golden = {1: (-0.05597366960147167, 0.004427277026713991, -0.07220478665030336, 987.4443690155279)}
    formula = "y_t = Σ_r softmax_r(q_t·(E k)_r/√D) (F v)_r, E and F of r rows"
    source = "Wang et al. 2020 (Linformer)"

    def __init__(self, width, heads, rank, longest, rotate=unrotated):
        super().__init__(width, heads, rotate)
        hold_size("rank", rank)
        hold_size("longest", longest)
        self.rank, self.longest = rank, longest
        # N(0, 1/rank) keeps lengths in the mean: |E x|² = |x|² (Johnson and Lindenstrauss)
        self.mix_keys, self.mix_values = (nn.Parameter(torch.randn(rank, longest) / rank**0.5) for _ in range(2))

    def mix(self, q, k, v, state, prefix):
        """See :class:`Attention`."""
        of_keys, of_values = self._columns(k.shape[2])
        q, k = self.rotate(q, 0), self.rotate(k, 0)
        return F.scaled_dot_product_attention(q, of_keys @ k, of_values @ v), None

    def naive_mix(self, q, k, v, prefix):
        """See :class:`Attention`."""
        q, k, rows = self.rotate(q, 0), self.rotate(k, 0), []
        columns = [part[:, :, None] for part in self._columns(k.shape[2])]  # (rank, T, 1)
        mixed_k, mixed_v = (
            torch.stack([(row * x).sum(2) for row in part], 2) for part, x in zip(columns, (k, v), strict=True)
        )  # (B, H, rank, D)
        for t in range(q.shape[2]):
            weights = ((q[:, :, t, None] * mixed_k).sum(-1) / self.head_width**0.5).softmax(-1)
            rows.append((weights[..., None] * mixed_v).sum(2))
        return torch.stack(rows, 2)

    def mix_flops(self, tokens, seen, prefix):
        """Mixtures of keys and of values; scores and weighted sum over them."""
        return 8 * self.heads * tokens * self.rank * self.head_width

    def scored_pairs(self, tokens, seen=None, prefix=0):
        """Each query with every mixture."""
        return self.heads * tokens * self.rank

    def _columns(self, tokens: int) -> tuple[Tensor, Tensor]:
        """E and F at this length, (rank, T) each. Raises ValueError where there are fewer columns."""
        if tokens > self.longest:
            raise ValueError(f"attention.longest={self.longest}: a sequence of {tokens} tokens does not fit")
        return self.mix_keys[:, :tokens], self.mix_values[:, :tokens]
