"""Softmax attention: y_t = sum_{j <= t} softmax_j(q_t · k_j / sqrt(D)) v_j (Vaswani et al. 2017), with a KV cache."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.attention.base import Attention


class Cache(NamedTuple):
    """Keys and values of all tokens so far: the first ``seen`` of the R rows are written."""

    seen: int
    keys: Tensor  # (B, H, R, D)
    values: Tensor  # (B, H, R, D)

    def append(self, k: Tensor, v: Tensor) -> "Cache":
        """Write T more rows, in place while there is room."""
        until = self.seen + k.shape[2]
        if until <= self.keys.shape[2]:
            self.keys[:, :, self.seen : until] = k
            self.values[:, :, self.seen : until] = v
            return self._replace(seen=until)
        written = slice(self.seen)
        return Cache(until, torch.cat([self.keys[:, :, written], k], 2), torch.cat([self.values[:, :, written], v], 2))


class Softmax(Attention):
    """Every token weighs all tokens before it. The state is the whole past."""

    version = 1
    golden = {1: (-0.13706736367112915, 0.766874483000489, -0.14143565139332115, 1608.2533752798408)}
    formula = "y_t = Σ_{j≤t} softmax_j(q_t·k_j/√D) v_j"
    source = "Vaswani et al. 2017"

    def mix(self, q, k, v, state):
        """See :class:`Attention`."""
        if state is None:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True), None
        state = state.append(k, v)
        keys, values = state.keys[:, :, : state.seen], state.values[:, :, : state.seen]
        tokens = q.shape[2]  # the last `tokens` of `seen` rows: a single one sees them all and needs no mask
        mask = q.new_ones(tokens, state.seen, dtype=torch.bool).tril(state.seen - tokens) if tokens > 1 else None
        return F.scaled_dot_product_attention(q, keys, values, attn_mask=mask), state

    def naive_mix(self, q, k, v):
        """See :class:`Attention`."""
        rows = []
        for t in range(q.shape[2]):
            scores = (q[:, :, t, None] * k[:, :, : t + 1]).sum(-1) / self.head_width**0.5  # (B, H, t+1)
            weights = scores.softmax(-1)
            rows.append((weights[..., None] * v[:, :, : t + 1]).sum(2))
        return torch.stack(rows, 2)

    def empty(self, batch, room=0):
        """See :class:`Mixer`."""
        weight = self.project_in.weight
        keys, values = weight.new_zeros(2, batch, self.heads, room, self.head_width).unbind(0)
        return Cache(0, keys, values)

    def state_size(self, length):
        """Two vectors per token and head."""
        return 2 * self.heads * length * self.head_width

    def mix_flops(self, tokens, seen):
        """Scores and weighted sum over the full rectangle, masked or not."""
        return 4 * self.heads * tokens * ((seen or 0) + tokens) * self.head_width

    def scored_pairs(self, tokens, seen=None):
        """Each query with every key up to its own."""
        return self.heads * (tokens * (seen or 0) + tokens * (tokens + 1) // 2)

    def serial_steps(self, tokens):
        """All positions at once."""
        return 1
