"""Softmax attention: y_t = sum_{j <= t} softmax_j(q_t · k_j / sqrt(D)) v_j (Vaswani et al. 2017), with a KV cache.

Inside a prefix the sum goes over all of it; queries and keys are turned by their places before they meet.
"""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.attention.base import Attention, Spared, hold_prefix, unrotated

FEWER = 3  # times fewer FLOPs that smaller products need to be faster, measured


class Cache(NamedTuple):
    """Turned keys, and values, of all tokens so far: the first ``seen`` of the R rows are written."""

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


def allowed(tokens: int, until: int, prefix: int, device: torch.device) -> Tensor:
    """(T, R), true where the mask allows: the last ``tokens`` of ``until`` tokens see those before, a prefix itself."""
    mask = torch.ones(tokens, until, dtype=torch.bool, device=device).tril(until - tokens)
    mask[:, :prefix] = True  # whoever comes after it sees it in any case
    return mask


class Softmax(Attention):
    """Every token weighs all tokens before it. The state is the whole past."""

    version = 1
    golden = {1: (-0.3030025545648129, 0.4814041820568839, -0.25014453912804263, 5265.813518661545)}
    formula = "y_t = Σ_{j≤t} softmax_j(q_t·k_j/√D) v_j"
    source = "Vaswani et al. 2017"
    biased = True
    absorbs: ClassVar[bool] = True  # whether all keys in reach are weighed, by nothing but their scores

    def __init__(self, width, heads, rotate=unrotated, bias=None):
        super().__init__(width, heads, rotate, bias)

    def mix(self, q, k, v, state, prefix):
        """See :class:`Attention`."""
        seen = 0 if state is None else state.seen
        q, k = self.rotate(q, seen + k.shape[2] - q.shape[2]), self.rotate(k, seen)
        if state is not None:
            state = state.append(k, v)
            k, v = state.keys[:, :, : state.seen], state.values[:, :, : state.seen]
        return self.weigh(q, k, v, prefix), state

    def ending(self, x, last, state=None, prefix=0):
        """See :class:`Mixer`: the last tokens alone query."""
        hold_prefix(prefix, x.shape[1], state, self.masks)
        if self._absorption(x.shape[1], last, state):
            return self._absorbing(x, last, prefix), None
        width, (weight, bias) = self.heads * self.key_width, self.project_in.parameters()
        q = F.linear(x[:, x.shape[1] - last :], weight[:width], bias[:width])
        k, v = F.linear(x, weight[width:], bias[width:]).split([width, len(weight) - 2 * width], -1)
        mixed, state = self.mix(*map(self._split, (q, k, v)), state, prefix)
        return self._merge(mixed), state

    def spared(self, tokens, last, seen=None, prefix=0):
        """See :class:`Mixer`: of the other tokens the queries, their scores, and the way back from heads; all keys and
        values where inputs are met in their place.
        """
        unasked, later = tokens - last, (seen or 0) + tokens - last
        weights = self.project_out.weight.numel() + self.heads * self.key_width * self.project_in.in_features
        mixing = self.mix_flops(tokens, seen, prefix) - self.mix_flops(last, later, prefix)
        pairs = self.scored_pairs(tokens, seen, prefix) - self.scored_pairs(last, later, prefix)
        return Spared(2 * unasked * weights + mixing + self._absorption(tokens, last, seen), pairs)

    def _absorption(self, tokens: int, last: int, state: object) -> int:
        """FLOPs spared where few queries meet inputs in the place of keys and values: no key is turned, none is kept.

        Either keys and values go through their weights, and scores and sums are D wide; or else the ``last`` queries
        and what they read go through them, and scores and sums are C wide.
        """
        width, head = self.project_in.in_features, self.head_width
        made, absorbed = tokens * head * (width + last), last * width * (head + tokens)
        pays = FEWER * absorbed <= made
        if not self.absorbs or not pays or state is not None or self.rotate is not unrotated:
            return 0
        return 4 * self.heads * (made - absorbed)

    def _absorbing(self, x: Tensor, last: int, prefix: int) -> Tensor:
        """(B, T, C) -> its ``last`` outputs (B, last, C), without keys or values of any token.

        q · (K x_j) = (K' q) · x_j, and sum_j p_j V x_j = V sum_j p_j x_j (DeepSeek-AI 2024, DeepSeek-V2, section 2.1.2,
        does so in decoding). What all keys have in common, their bias, changes no weight of the softmax.
        """
        weight, bias = (part.unflatten(0, (3, self.heads, -1)) for part in self.project_in.parameters())
        (to_q, to_k, to_v), (b_q, _, b_v) = weight, bias  # (H, D, C) and (H, D) each
        until, asked = x.shape[1], (self.heads, last)
        places = torch.arange(until)
        reach = self.reached(allowed(last, until, prefix, x.device), places[until - last :], places, x)
        q = F.linear(x[:, until - last :], to_q.flatten(0, 1), b_q.flatten()).unflatten(-1, (self.heads, -1))
        q = torch.einsum("bthd,hdc->bhtc", q / self.head_width**0.5, to_k)
        scores = (q.flatten(1, 2) @ x.mT).unflatten(1, asked)  # (B, H, last, T)
        scores = scores.masked_fill(~reach, -torch.inf) if reach.dtype == torch.bool else scores + reach
        weighed = (scores.softmax(-1).flatten(1, 2) @ x).unflatten(1, asked)  # (B, H, last, C)
        return self.project_out(torch.einsum("bhtc,hdc->bthd", weighed, to_v).flatten(2) + b_v.flatten())

    def weigh(self, q: Tensor, k: Tensor, v: Tensor, prefix: int) -> Tensor:
        """The last T of R tokens weigh all R: (B, H, T, D) and twice (B, H, R, D) -> (B, H, T, D)."""
        tokens, until = q.shape[2], k.shape[2]
        if self.bias is None and tokens == 1:  # a fused kernel is made for many queries
            return (q / self.head_width**0.5 @ k.mT).softmax(-1) @ v
        if self.bias is None and prefix == until:  # all may see all
            return F.scaled_dot_product_attention(q, k, v)
        if self.bias is None and tokens == until and not prefix:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)
        places = torch.arange(until)
        reach = self.reached(allowed(tokens, until, prefix, q.device), places[until - tokens :], places, q)
        return F.scaled_dot_product_attention(q, k, v, reach)

    def naive_mix(self, q, k, v, prefix):
        """See :class:`Attention`."""
        q, k, rows = self.rotate(q, 0), self.rotate(k, 0), []
        for t in range(q.shape[2]):
            until = max(t + 1, prefix)
            weights = self.scores(q, k, t, range(until)).softmax(-1)
            rows.append((weights[..., None] * v[:, :, :until]).sum(2))
        return torch.stack(rows, 2)

    def empty(self, batch, room=0):
        """See :class:`Mixer`."""
        weight = self.project_in.weight
        keys, values = weight.new_zeros(2, batch, self.heads, room, self.head_width).unbind(0)
        return Cache(0, keys, values)

    def state_size(self, length):
        """Two vectors per token and head."""
        return 2 * self.heads * length * self.head_width

    def mix_flops(self, tokens, seen, prefix):
        """Scores and weighted sum over the full rectangle, masked or not."""
        return 4 * self.heads * tokens * ((seen or 0) + tokens) * self.head_width

    def scored_pairs(self, tokens, seen=None, prefix=0):
        """Each query with every key up to its own, in the prefix with those after it too."""
        seen, inside = seen or 0, max(prefix - (seen or 0), 0)  # queries in the prefix see what comes after them too
        return self.heads * (tokens * seen + tokens * (tokens + 1) // 2 + inside * (inside - 1) // 2)

    def serial_steps(self, tokens, prefix=0):
        """All positions at once."""
        return 1
