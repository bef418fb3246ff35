"""Sliding window: softmax over the last w tokens (Child et al. 2019, Beltagy et al. 2020) and over the first s.

The first s are attention sinks (Xiao et al. 2023): they are never forgotten. Inside a prefix a token reaches as far
forward as back. What is executed: blocks of 64 queries, each against all keys that one of its queries reaches, so
T · (w + s + 63) products at most where the whole rectangle has T², in blocks that do not wait for one another.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.attention.base import Attention, hold_size, unrotated

BLOCK = 64  # queries; smaller blocks compute fewer masked pairs, in more calls


class Kept(NamedTuple):
    """Turned keys, and values, of the first s tokens and of the last w: R = min(seen, w + s) rows, in their order."""

    seen: int
    keys: Tensor  # (B, H, R, D)
    values: Tensor  # (B, H, R, D)


class Block(NamedTuple):
    """Queries first .. last-1 reach keys among 0 .. sinks-1 and start .. stop-1; all are places in the sequence."""

    first: int
    last: int
    sinks: int
    start: int
    stop: int


class Window(Attention):
    """Every token weighs its neighbours and the sinks. The state stops growing once the window is full."""

    version = 1
    golden = {1: (-0.41903296065434914, 0.7653843682350098, -0.5686863650973337, 5715.780562857505)}
    formula = "y_t = Σ_{j≤t, t-j<w or j<s} softmax_j(q_t·k_j/√D) v_j"
    source = "Beltagy et al. 2020, sinks of Xiao et al. 2023"

    biased = True

    def __init__(self, width, heads, window, sinks, rotate=unrotated, bias=None):
        super().__init__(width, heads, rotate, bias)
        if not 1 <= window <= 2**30:
            raise ValueError(
                f"attention.window={window}: 1 or more is needed, a token reaches itself, and at most 2^30"
            )
        hold_size("sinks", sinks, least=0, power=30)
        self.window, self.sinks = window, sinks

    def mix(self, q, k, v, state, prefix):
        """See :class:`Attention`."""
        tokens, seen = q.shape[2], 0 if state is None else state.seen
        q, k = self.rotate(q, seen), self.rotate(k, seen)
        if state is not None:
            k, v = torch.cat([state.keys, k], 2), torch.cat([state.values, v], 2)
        forgotten = seen + tokens - k.shape[2]  # places between the sinks and the window whose keys are gone
        blocks, rows = list(self._blocks(tokens, seen, prefix)), []
        reached = [((0, block.sinks), (block.start - forgotten, block.stop - forgotten)) for block in blocks]
        parts = zip(
            blocks, q.split([block.last - block.first for block in blocks], 2), joined(k, v, reached), strict=True
        )
        for block, queries, (keys, values) in parts:
            single = queries.shape[2] == 1 and self.bias is None  # it reaches all
            rows.append(
                F.scaled_dot_product_attention(queries, keys, values, None if single else self._reach(block, prefix, q))
            )
        after = None if state is None else Kept(seen + tokens, self._keep(k), self._keep(v))
        return torch.cat(rows, 2), after

    def naive_mix(self, q, k, v, prefix):
        """See :class:`Attention`."""
        q, k, rows = self.rotate(q, 0), self.rotate(k, 0), []
        for t in range(q.shape[2]):
            reach = [j for j in range(max(t + 1, prefix)) if abs(t - j) < self.window or j < self.sinks]
            weights = self.scores(q, k, t, reach).softmax(-1)
            rows.append((weights[..., None] * v[:, :, reach]).sum(2))
        return torch.stack(rows, 2)

    def empty(self, batch, room=0):
        """See :class:`Mixer`; no ``room`` is reserved, what is kept is copied from token to token."""
        keys, values = self.project_in.weight.new_zeros(2, batch, self.heads, 0, self.head_width).unbind(0)
        return Kept(0, keys, values)

    def state_size(self, length):
        """Two vectors per head and token that is kept."""
        return 2 * self.heads * self.head_width * min(length, self.window + self.sinks)

    def mix_flops(self, tokens, seen, prefix):
        """Scores and weighted sum over the rectangle of each block, masked or not."""
        blocks = self._blocks(tokens, seen or 0, prefix)
        pairs = sum((block.last - block.first) * (block.sinks + block.stop - block.start) for block in blocks)
        return 4 * self.heads * pairs * self.head_width

    def scored_pairs(self, tokens, seen=None, prefix=0):
        """Each query with the keys in its reach."""
        return self.heads * sum(self._reached(t, prefix) for t in range(seen or 0, (seen or 0) + tokens))

    def serial_steps(self, tokens, prefix=0):
        """All positions at once."""
        return 1

    def _blocks(self, tokens: int, seen: int, prefix: int) -> Iterator[Block]:
        """What is executed for ``tokens`` tokens after ``seen`` others."""
        for first in range(seen, seen + tokens, BLOCK):
            last = min(first + BLOCK, seen + tokens)
            start = max(first + 1 - self.window, 0)
            stop = max(last, min(prefix, max(last - 1 + self.window, self.sinks)))
            yield Block(first, last, self.sinks, start, stop) if start > self.sinks else Block(first, last, 0, 0, stop)

    def _reach(self, block: Block, prefix: int, like: Tensor) -> Tensor:
        """(queries, keys) of a block, true where the key is in the query's reach; see :meth:`Attention.reached`."""
        queries = torch.arange(block.first, block.last)[:, None]
        keys = torch.cat([torch.arange(block.sinks), torch.arange(block.start, block.stop)])
        near = (queries - keys).abs() < self.window
        reach = (keys < (queries + 1).clamp(min=prefix)) & (near | (keys < self.sinks))
        return self.reached(reach, queries[:, 0], keys, like)

    def _reached(self, t: int, prefix: int) -> int:
        """How many keys query t reaches."""
        until = max(t + 1, prefix)
        start, stop, sinks = max(t + 1 - self.window, 0), min(t + self.window, until), min(self.sinks, until)
        return stop - start + min(sinks, start) + max(sinks - stop, 0)

    def _keep(self, x: Tensor) -> Tensor:
        """(B, H, any, D) -> (B, H, R, D), the sinks and the window."""
        return torch.cat([x[:, :, : self.sinks], x[:, :, self.sinks :][:, :, -self.window :]], 2)


def joined(k: Tensor, v: Tensor, spans: Sequence[Sequence[tuple[int, int]]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Of each list of spans first .. last-1, keys and values there (B, H, R, D), one span behind the other.

    They are cut once, wherever a span begins or ends: the gradient of a slice would be as long as the sequence.
    """
    edges = sorted({0, k.shape[2], *(edge for each in spans for span in each for edge in span)})
    place = {edge: number for number, edge in enumerate(edges)}
    pieces = [x.split([last - first for first, last in pairwise(edges)], 2) for x in (k, v)]
    for each in spans:
        numbers = [number for first, last in each for number in range(place[first], place[last])]
        yield tuple(torch.cat([x[number] for number in numbers], 2) for x in pieces)
