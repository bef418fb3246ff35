"""Softmax attention: y_t = sum_{j <= t} softmax_j(q_t · k_j / sqrt(D)) v_j (Vaswani et al. 2017), with a KV cache.

Inside a prefix the sum goes over all of it; queries and keys are turned by their places before they meet.
"""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.attention.base import Attention, Spared, hold_prefix, unrotated


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
    absorbs: ClassVar[bool] = True  # whether all keys are weighed, by nothing but their scores

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
        if self._absorbed(last, state):
            return self._absorbing(x), None
        width, (weight, bias) = self.heads * self.key_width, self.project_in.parameters()
        q = F.linear(x[:, x.shape[1] - last :], weight[:width], bias[:width])
        k, v = F.linear(x, weight[width:], bias[width:]).split([width, len(weight) - 2 * width], -1)
        mixed, state = self.mix(*map(self._split, (q, k, v)), state, prefix)
        return self._merge(mixed), state

    def spared(self, tokens, last, seen=None, prefix=0):
        """See :class:`Mixer`: of the other tokens the queries, their scores, and the way back from heads.

        Where their weights are absorbed also keys and values: of all tokens only those of one, for it costs as much to
        take a query through the weights of keys, and what was weighed through those of values.
        """
        unasked, later = tokens - last, (seen or 0) + tokens - last
        width, around = self.project_in.in_features, self.project_out.weight.numel()
        weights = around + self.heads * self.key_width * width
        mixing = self.mix_flops(tokens, seen, prefix) - self.mix_flops(last, later, prefix)
        pairs = self.scored_pairs(tokens, seen, prefix) - self.scored_pairs(last, later, prefix)
        if self._absorbed(last, seen):
            weights = around + self.project_in.weight.numel()
            mixing = self.mix_flops(tokens, seen, prefix) - 4 * self.heads * tokens * width
        return Spared(2 * unasked * weights + mixing, pairs)

    def _absorbed(self, last: int, state: object) -> bool:
        """Whether one query meets the inputs themselves: no key is turned by its place, and none is kept."""
        return self.absorbs and last == 1 and state is None and self.rotate is unrotated

    def _absorbing(self, x: Tensor) -> Tensor:
        """(B, T, C) -> its last output (B, 1, C), without keys or values of any token.

        q · (K x_j) = (K' q) · x_j, and sum_j p_j V x_j = V sum_j p_j x_j: the weights go through one token in the place
        of T (as DeepSeek-AI 2024, DeepSeek-V2, section 2.1.2, for decoding). What all keys have in common, their bias,
        changes no weight of the softmax.
        """
        weight, bias = self.project_in.parameters()
        (to_q, to_k, to_v), (b_q, _, b_v) = (part.unflatten(0, (3, self.heads, -1)) for part in (weight, bias))
        q = F.linear(x[:, -1], to_q.flatten(0, 1), b_q.flatten()).unflatten(-1, (self.heads, -1))  # (B, H, D)
        q = (q.transpose(0, 1) / self.head_width**0.5 @ to_k).transpose(0, 1)  # (H, B, D) to (B, H, C)
        scores = q @ x.mT  # (B, H, T)
        if self.bias is not None:
            places = torch.arange(x.shape[1])
            scores = scores + self.bias(places[-1:], places, self.heads).to(scores)[:, 0]
        weighed = scores.softmax(-1) @ x  # (B, H, C)
        mixed = (weighed.transpose(0, 1) @ to_v.mT).transpose(0, 1) + b_v
        return self._merge(mixed[:, :, None])

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
