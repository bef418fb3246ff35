"""Top-k attention: softmax over the k best scores of each query alone (Gupta et al. 2021).

    y_t = sum over j in best_k(t) of softmax_j(q_t · k_j / sqrt(D)) v_j

A constant number of keys, chosen by what is in them. To choose, all scores are computed, and all keys are kept: cost
and state are those of softmax attention, only the reach is bounded. Gradients go through the scores that are kept.
"""

import torch

from harness.attention.base import hold_size, unrotated
from harness.attention.softmax import Softmax, allowed

TIE = 1e-5  # scores nearer than that to the k-th best are tied with it: rounding must not choose among equal keys


class TopK(Softmax):
    """Every token weighs the k tokens that suit it best, and those tied with the last of them."""

    version = 1
    golden = {1: (-0.6781201256584337, 0.6893126991593288, -0.5501066496108595, 8348.884511788194)}
    formula = "y_t = Σ_{j≤t, j in the k best} softmax_j(q_t·k_j/√D) v_j"
    source = "Gupta et al. 2021"
    absorbs = False

    def __init__(self, width, heads, k, rotate=unrotated, bias=None):
        super().__init__(width, heads, rotate, bias)
        hold_size("k", k, power=30)
        self.k = k

    def weigh(self, q, k, v, prefix):
        """See :class:`Softmax`."""
        tokens, until, places = q.shape[2], k.shape[2], torch.arange(k.shape[2])
        scores, kept = (q / self.head_width**0.5) @ k.mT, allowed(tokens, until, prefix, q.device)  # (B, H, T, R)
        if self.bias is not None:
            scores = scores + self.bias(places[until - tokens :], places, self.heads).to(q)
        if k.shape[2] > self.k:
            ranked = scores.detach().masked_fill(~kept, -torch.inf)
            worst = ranked.topk(self.k).values[..., -1:]  # -inf where the mask allows fewer than k
            kept = kept & (ranked >= worst - TIE)
        return scores.masked_fill(~kept, -torch.inf).softmax(-1) @ v

    def naive_mix(self, q, k, v, prefix):
        """See :class:`Attention`."""
        q, k, rows = self.rotate(q, 0), self.rotate(k, 0), []
        for t in range(q.shape[2]):
            until = max(t + 1, prefix)
            scores = self.scores(q, k, t, range(until))
            worst = scores.detach().sort(descending=True).values[..., min(self.k, until) - 1, None]
            weights = scores.masked_fill(scores < worst - TIE, -torch.inf).softmax(-1)
            rows.append((weights[..., None] * v[:, :, :until]).sum(2))
        return torch.stack(rows, 2)
