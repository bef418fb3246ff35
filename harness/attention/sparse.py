"""BigBird: softmax over a fixed sparse graph of global tokens, a window and random blocks (Zaheer et al. 2020).

The first ``sinks`` tokens are global: all see them, and inside a prefix they see all of it. A token sees the last
``window``, inside a prefix as far forward as back. And the sequence lies in blocks of ``block`` tokens, of which block
i draws ``blocks`` earlier ones, all if there are fewer: its tokens see theirs, inside a prefix theirs see its tokens
too. What is drawn depends on i alone, so it is the same for every length, head and layer, and reading in parts is
reading at once. Any later block may draw an earlier one: the state is the whole past, though little of it is read.

What is executed: each block of queries against the keys alone that one of its queries reaches, at most
T · (window + block - 1 + sinks + blocks · block) products without a prefix. In a prefix each drawn pair of blocks adds
block² more, the other way round, and each global token the whole prefix. All of it is linear in T.
"""

from collections.abc import Collection, Mapping
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from harness.attention.base import hold_size, unrotated
from harness.attention.softmax import Softmax

SEED = 20_260_802  # of the graph


class Block(NamedTuple):
    """Queries first .. last-1, all in one block of the sequence, with the blocks they are linked to and their keys."""

    first: int
    last: int
    linked: Collection[int]
    keys: list[int]  # places, ascending, that at least one of the queries reaches


@cache
def drawn(block: int, count: int) -> tuple[int, ...]:
    """The ``count`` blocks before this one that it draws, all if there are fewer."""
    return tuple(np.random.default_rng([SEED, block]).choice(block, min(count, block), replace=False).tolist())


class Sparse(Softmax):
    """Every token weighs a bounded number of tokens, some near, some far. The state is the whole past."""

    version = 1
    golden = {1: (-0.39607812942442294, 0.645691216739791, -0.4817573802549327, 5520.342126692997)}
    formula = "y_t = Σ_{j≤t, t-j<w or j<s or block of j drawn by t's} softmax_j(q_t·k_j/√D) v_j"
    source = "Zaheer et al. 2020 (BigBird)"
    absorbs = False

    def __init__(self, width, heads, window, sinks, blocks, block, rotate=unrotated, bias=None):
        super().__init__(width, heads, rotate, bias)
        hold_size("window", window, power=30)
        hold_size("sinks", sinks, least=0, power=30)
        hold_size("blocks", blocks, least=0, power=30)
        hold_size("block", block, power=30)
        self.window, self.sinks, self.blocks, self.block = window, sinks, blocks, block

    def mix(self, q, k, v, state, prefix):
        """See :class:`Attention`."""
        before = 0 if state is None else state.seen
        tokens, seen = q.shape[2], before + k.shape[2] - q.shape[2]  # the first query's place is ``seen``
        q, k = self.rotate(q, seen), self.rotate(k, before)
        if state is not None:
            state = state.append(k, v)
            k, v = state.keys, state.values
        blocks = self._blocks(tokens, seen, prefix)
        queries = q.split([block.last - block.first for block in blocks], 2)
        places = torch.tensor([place for block in blocks for place in block.keys], device=q.device)
        keys, values = (x.index_select(2, places).split([len(block.keys) for block in blocks], 2) for x in (k, v))
        rows = [
            F.scaled_dot_product_attention(*parts, self._reach(block, prefix, q))
            for block, *parts in zip(blocks, queries, keys, values, strict=True)
        ]
        return torch.cat(rows, 2), state

    def naive_mix(self, q, k, v, prefix):
        """See :class:`Attention`."""
        q, k, rows = self.rotate(q, 0), self.rotate(k, 0), []
        for t in range(q.shape[2]):
            reach = [j for j in range(max(t + 1, prefix)) if self._edge(t, j)]
            weights = self.scores(q, k, t, reach).softmax(-1)
            rows.append((weights[..., None] * v[:, :, reach]).sum(2))
        return torch.stack(rows, 2)

    def mix_flops(self, tokens, seen, prefix):
        """Scores and weighted sum of each block's queries over its keys, masked or not."""
        blocks = self._blocks(tokens, seen or 0, prefix)
        return 4 * self.heads * sum((one.last - one.first) * len(one.keys) for one in blocks) * self.head_width

    def scored_pairs(self, tokens, seen=None, prefix=0):
        """Each query with the keys in its reach."""
        blocks = self._blocks(tokens, seen or 0, prefix)
        reached = (self._keys(t, t + 1, one.linked, prefix) for one in blocks for t in range(one.first, one.last))
        return self.heads * sum(map(len, reached))

    def _edge(self, t: int, j: int) -> bool:
        """Whether the graph, which knows no mask, links these two places."""
        low, high = sorted((t // self.block, j // self.block))
        return abs(t - j) < self.window or min(t, j) < self.sinks or low in drawn(high, self.blocks)

    def _blocks(self, tokens: int, seen: int, prefix: int) -> list[Block]:
        """What is executed for ``tokens`` tokens after ``seen`` others: queries that one mask holds for."""
        until, later = seen + tokens, self._later(prefix)
        grid = range(seen // self.block * self.block, until, self.block)
        cuts = {*grid, seen, until, prefix, min(self.sinks, prefix)}
        made = []
        for first, last in pairwise(sorted(cut for cut in cuts if seen <= cut <= until)):
            number = first // self.block
            linked = {*drawn(number, self.blocks), *later.get(number, ())}
            made.append(Block(first, last, linked, self._keys(first, last, linked, prefix)))
        return made

    def _later(self, prefix: int) -> Mapping[int, Collection[int]]:
        """Block -> those that drew it and begin in the prefix."""
        later: dict[int, list[int]] = {}
        for number in range(-(-prefix // self.block)):
            for earlier in drawn(number, self.blocks):
                later.setdefault(earlier, []).append(number)
        return later

    def _keys(self, first: int, last: int, linked: Collection[int], prefix: int) -> list[int]:
        """Places, ascending, that at least one of the queries first .. last-1 reaches; see :meth:`_blocks`."""
        until = max(last, prefix)
        if first < min(self.sinks, prefix):
            return list(range(until))
        near, size = (first + 1 - self.window, last - 1 + self.window), self.block
        spans = [(0, self.sinks), near, *((number * size, number * size + size) for number in linked)]
        return sorted({place for start, stop in spans for place in range(max(start, 0), min(stop, until))})

    def _reach(self, block: Block, prefix: int, like: Tensor) -> Tensor:
        """(queries, keys) of a block, true where the key is in the query's reach; see :meth:`Attention.reached`."""
        queries, keys = torch.arange(block.first, block.last)[:, None], torch.tensor(block.keys)
        linked = torch.isin(keys // self.block, torch.tensor([*block.linked], dtype=torch.long))
        seen = ((queries - keys).abs() < self.window) | (torch.minimum(queries, keys) < self.sinks) | linked
        return self.reached(seen & (keys < (queries + 1).clamp(min=prefix)), queries[:, 0], keys, like)
