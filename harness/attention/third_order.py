"""Third-order attention: a token weighs *pairs* of tokens (Sanford, Hsu, Telgarsky 2023; Alman and Song 2023).

    y_t = sum over j, l <= t of softmax_(j,l)(q_t · (a_j ∘ b_l) / sqrt(D)) (u_j ∘ w_l)      ∘: coordinate by coordinate

Inside a prefix both sums go over all of it. Each token has a query, two keys a, b and two values u, w. One head of
width 5 answers match3, for which one layer of softmax attention needs a size linear in n (the first of the two papers).
Cost is T³: blocks of queries go one after another, so that a pass without gradients holds BLOCK · T² scores at a time.
Rotary positions are refused: turned vectors that are multiplied coordinate by coordinate know no distance any more.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from harness.attention.base import Mixer, hold_prefix
from harness.attention.softmax import Cache, allowed

BLOCK = 16  # queries; smaller blocks compute fewer masked triples, in more calls


class ThirdOrder(Mixer):
    """Every token weighs all pairs of tokens before it. The state is the whole past."""

    version = 1
    golden = {1: (-0.4521288231520083, 0.8695403085751657, -0.45377269041012924, 4295.186230219967)}
    formula = "y_t = Σ_{j,l≤t} softmax_{j,l}(q_t·(a_j∘b_l)/√D) (u_j∘w_l)"
    source = "Sanford, Hsu, Telgarsky 2023; Alman, Song 2023"
    order = 3

    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.head_width = heads, width // heads
        self.project_in, self.project_out = nn.Linear(width, 5 * width), nn.Linear(width, width)

    def forward(self, x, state=None, prefix=0):
        """See :class:`Mixer`."""
        hold_prefix(prefix, x.shape[1], state, self.masks)
        q, keys, values = self._project(x)
        if state is not None:
            state = state.append(keys, values)
            keys, values = state.keys[:, :, : state.seen], state.values[:, :, : state.seen]
        (u, w), rows = values.chunk(2, -1), []
        for weights in self._weights(q, keys, prefix):
            queries, until = weights.shape[2:4]
            inner = weights.flatten(2, 3) @ w[:, :, :until]  # (B, H, t · j, l) x (B, H, l, D)
            rows.append((u[:, :, None, :until] * inner.unflatten(2, (queries, until))).sum(3))
        return self._merge(torch.cat(rows, 2)), state

    def naive(self, x, prefix=0):
        """See :class:`Mixer`."""
        q, keys, values = self._project(x)
        (a, b), (u, w), rows = keys.chunk(2, -1), values.chunk(2, -1), []
        for t in range(x.shape[1]):
            until = max(t + 1, prefix)
            pairs = torch.einsum("bhd,bhjd,bhld->bhjl", q[:, :, t], a[:, :, :until], b[:, :, :until])
            weights = (pairs / self.head_width**0.5).flatten(2).softmax(-1).view_as(pairs)
            rows.append(torch.einsum("bhjl,bhjd,bhld->bhd", weights, u[:, :, :until], w[:, :, :until]))
        return self._merge(torch.stack(rows, 2))

    def empty(self, batch, room=0):
        """See :class:`Mixer`; both keys of a token are one row of twice the width, and both values."""
        shape = 2, batch, self.heads, room, 2 * self.head_width
        return Cache(0, *self.project_in.weight.new_zeros(shape).unbind(0))

    def state_size(self, length):
        """Four vectors per token and head."""
        return 4 * self.heads * length * self.head_width

    def flops(self, tokens, seen=None, prefix=0):
        """Projections; scores and weighted sum over the box of each block, masked or not."""
        weights = self.project_in.weight.numel() + self.project_out.weight.numel()
        triples = sum((last - first) * until**2 for first, last, until in _blocks(tokens, seen or 0, prefix))
        return 2 * tokens * weights + 4 * self.heads * triples * self.head_width

    def scored_pairs(self, tokens, seen=None, prefix=0):
        """Triples: each query with every pair of the keys that it sees."""
        squares = _squares((seen or 0) + tokens) - _squares(max(seen or 0, prefix))
        return self.heads * (prefix**3 + squares)

    def serial_steps(self, tokens, prefix=0):
        """All positions at once: the blocks do not wait for one another."""
        return 1

    def mixing(self, x, prefix=0):
        """(B, T, C) -> (B, H, T, T): the share of token j in the pairs that are weighed, ½ Σ_l (w_(j,l) + w_(l,j)).

        Rows add up to 1. The map is bilinear in its two values, so no matrix makes its output of them.
        """
        hold_prefix(prefix, x.shape[1], None, self.masks)
        q, keys, _ = self._project(x)
        shares = [(weights.sum(-1) + weights.sum(-2)) / 2 for weights in self._weights(q, keys, prefix)]
        return torch.cat([nn.functional.pad(share, (0, x.shape[1] - share.shape[-1])) for share in shares], 2)

    def _weights(self, q: Tensor, keys: Tensor, prefix: int) -> Iterator[Tensor]:
        """(B, H, T, D) and (B, H, R, 2D) -> for each block of t queries (B, H, t, j, l), what they make of pairs."""
        blocks = _blocks(q.shape[2], keys.shape[2] - q.shape[2], prefix)
        a, b = keys.chunk(2, -1)
        q = q / self.head_width**0.5
        for first, last, until in blocks:
            turned = (q[:, :, first:last, None] * a[:, :, None, :until]).flatten(2, 3)  # (B, H, t · j, D)
            scores = (turned @ b[:, :, :until].mT).unflatten(2, (last - first, until))
            if first >= prefix:
                reach = allowed(last - first, until, 0, q.device)  # (t, R)
                scores = scores.masked_fill(~(reach[:, :, None] & reach[:, None]), -torch.inf)
            yield scores.flatten(3).softmax(-1).view_as(scores)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, C) -> queries (B, H, T, D), both keys and both values, (B, H, T, 2D) each."""
        q, *pairs = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.project_in(x).chunk(5, -1))
        return q, torch.cat(pairs[:2], -1), torch.cat(pairs[2:], -1)

    def _merge(self, mixed: Tensor) -> Tensor:
        return self.project_out(mixed.transpose(1, 2).flatten(2))  # (B, H, T, D) -> (B, T, C)


def _blocks(tokens: int, seen: int, prefix: int) -> Iterator[tuple[int, int, int]]:
    """(first, last, until): queries first .. last-1 of a call and keys 0 .. until-1, in the prefix, then after it."""
    for start, stop in ((0, prefix), (prefix, tokens)):
        for first in range(start, stop, BLOCK):
            last = min(first + BLOCK, stop)
            yield first, last, max(seen + last, prefix)


def _squares(n: int) -> int:
    """1² + 2² + ... + n²."""
    return n * (n + 1) * (2 * n + 1) // 6
