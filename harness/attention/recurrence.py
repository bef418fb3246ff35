"""Linear recurrences whose state is a matrix: it decays from token to token, and each token writes an outer product.

    S_t = diag(e^{g_t}) S_{t-1} + k_t u_tᵀ      y_t = S_tᵀ q_t

The log-decay g_t ≤ 0 is a number for the head or one for each key coordinate; u_t is the value, unless a variant writes
another in its place.

The fast form goes through the sequence in chunks: scores inside a chunk, the state between chunks (Sun et al. 2023,
Yang et al. 2024). Unrolled from the start of a chunk, every factor is the exponential of a sum of log-decays, so it is
1 at most, and the sums are taken as such: a difference of two cumulative sums would round away what was kept since a
token that forgot all.
"""

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.attention.base import Attention, Rotate, chunks

CHUNK = 64  # tokens; longer ones score more pairs, shorter ones wait for one another in more steps


class Memory(NamedTuple):
    """What the tokens so far have left."""

    seen: int
    total: Tensor  # (B, H, K, D)   S


class Recurrence(Attention):
    """The state is one K x D matrix a head, whatever the length.

    A subclass overrides ``project``: behind query, key and value a token says its log-decay g (B or 1, H or 1, T, 1 or
    K). One whose tokens write something else than their values adds what that takes behind g, and overrides
    :meth:`written` for the fast form and :meth:`step` for the formula.
    """

    masks = ("causal",)
    chunk: int = CHUNK  # tokens
    meetings: ClassVar[int] = 1  # how often a chunk's keys, and the state before it, are met by K-vectors

    def __init__(self, width: int, heads: int, key_width: int, rotate: Rotate):
        super().__init__(width, heads, rotate, key_width=key_width)

    def mix(self, *said):
        """See :class:`Attention`; what is said ends with the state and the prefix, which is 0."""
        q, k, *rest, state, _ = said
        seen, total = (0, None) if state is None else state
        sizes, rows = chunks(q.shape[2], self.chunk), []
        parts = (x.split(sizes, 2) for x in (self.rotate(q, seen), self.rotate(k, seen), *rest))
        for number, part in enumerate(zip(*parts, strict=True), start=1):
            read = state is not None or number < len(sizes)  # training has no use for the state after the last chunk
            row, total = self.advance(total, read, *part)
            rows.append(row)
        return torch.cat(rows, 2), None if state is None else Memory(seen + q.shape[2], total)

    def advance(self, total: Tensor | None, read: bool, q: Tensor, k: Tensor, v: Tensor, g: Tensor, *more: Tensor):
        """One chunk: S before it (None: zeros) and c of everything -> (B, H, c, D) and, if it is ``read``, S after."""
        kept, between = g.cumsum(2).exp(), since(g).exp()
        u = self.written(total, kept, between, k, v, *more)
        row = pairs(q, k, between) @ u  # (B, H, c, c) x (B, H, c, D)
        if total is not None:
            row = row + (q * kept) @ total
        if not read:
            return row, None
        added = (k * between[:, :, -1]).mT @ u  # (B, H, K, c) x (B, H, c, D)
        return row, added if total is None else kept[:, :, -1, :, None] * total + added

    def written(
        self, total: Tensor | None, kept: Tensor, between: Tensor, k: Tensor, v: Tensor, *more: Tensor
    ) -> Tensor:
        """The u of a chunk (B, H, c, D): ``kept`` of the S before it at each token, ``between`` its tokens."""
        return v

    def naive_mix(self, *said):
        """See :class:`Attention`; what is said ends with the prefix, which is 0."""
        q, k, v, *more, _ = said
        said, rows = (self.rotate(q, 0), self.rotate(k, 0), v, *more), []
        total = v.new_zeros(*q.shape[:2], q.shape[3], v.shape[3])
        for t in range(q.shape[2]):
            row, total = self.step(total, *(x[:, :, t] for x in said))
            rows.append(row)
        return torch.stack(rows, 2)

    def step(self, total: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, *more: Tensor) -> tuple[Tensor, Tensor]:
        """One token by the formula: S before it, (B, H, any) of everything -> its y (B, H, D), S after it."""
        total = g.exp()[..., None] * total + outer(k, v)
        return recall(total, q), total

    def empty(self, batch, room=0):
        """See :class:`Mixer`; the size does not depend on ``room``."""
        zeros = self.project_in.weight.new_zeros
        return Memory(0, zeros(batch, self.heads, self.key_width, self.head_width))

    def state_size(self, length):
        """A matrix a head."""
        return self.heads * self.key_width * self.head_width

    def mix_flops(self, tokens, seen, prefix):
        """Gates; pairs inside a chunk; the state is read by each chunk and added to by each that another reads."""
        sizes, k, d = chunks(tokens, self.chunk), self.key_width, self.head_width
        gates = sum(gate.project.weight.numel() for gate in self.modules() if isinstance(gate, Gate))
        inside = sum(c * c for c in sizes) * (k + d)
        read, added = (sum(sizes), sum(sizes)) if seen is not None else (sum(sizes[1:]), sum(sizes[:-1]))
        return 2 * (tokens * gates + self.heads * (self.meetings * (inside + read * k * d) + added * k * d))

    def scored_pairs(self, tokens, seen=None, prefix=0):
        """Pairs inside a chunk; a token that is decoded scores itself alone."""
        return self.heads * sum(c * (c + 1) // 2 for c in chunks(tokens, self.chunk))

    def serial_steps(self, tokens, prefix=0):
        """The state goes from chunk to chunk."""
        return len(chunks(tokens, self.chunk))


class Gate(nn.Module):
    """What each head reads off a token beside vectors: W x + b, (B, T, C) -> (B, H, T, size).

    b is no bias of a Linear, which every model starts at 0: it starts at ``start``, a number or (H · size,) of them.
    """

    def __init__(self, width: int, heads: int, size: int = 1, start: float | Tensor = 0.0):
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, heads * size, bias=False)
        self.offset = nn.Parameter(torch.zeros(heads * size) + start)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return (self.project(x) + self.offset).unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Clock(nn.Module):
    """Mamba-2's: time goes by Δ_t = softplus(w x_t + b) at a token, in which e^{-Δ_t e^a} of the state is left.

    A head starts with e^a drawn evenly from 1 to 16, and with b such that softplus(b) is drawn evenly in its logarithm
    from 0.001 to 0.1 (Gu & Dao 2023, Dao & Gu 2024).
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        time = torch.empty(heads).uniform_(math.log(0.001), math.log(0.1)).exp()
        self.time = Gate(width, heads, start=time + (-torch.expm1(-time)).log())  # softplus^-1
        self.rate = nn.Parameter(torch.empty(heads).uniform_(1, 16).log())  # a

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, C) -> Δ and the log-decay -Δ e^a, both (B, H, T, 1)."""
        time = F.softplus(self.time(x))
        return time, -time * self.rate.exp()[:, None, None]


def outer(k: Tensor, v: Tensor) -> Tensor:
    """(..., K) and (..., D) -> k vᵀ (..., K, D)."""
    return k[..., None] * v[..., None, :]


def recall(total: Tensor, q: Tensor) -> Tensor:
    """(..., K, D) and (..., K) -> Sᵀ q (..., D)."""
    return (q[..., None] * total).sum(-2)


def since(g: Tensor) -> Tensor:
    """(B, H, c, any) -> (B, H, c, c, any): at [t, j] the sum of g over j < i ≤ t, 0 if there is no such i."""
    later = torch.ones(g.shape[2], g.shape[2], dtype=torch.bool, device=g.device).tril(-1)
    return torch.where(later[..., None], g[:, :, :, None], 0).cumsum(2)


def pairs(q: Tensor, k: Tensor, between: Tensor) -> Tensor:
    """Twice (B, H, c, K), and what is left of a key at a query (B, H, c, c, 1 or K) -> scores (B, H, c, c), j ≤ t."""
    if between.shape[-1] == 1:
        return ((q @ k.mT) * between[..., 0]).tril()
    return ((k[:, :, None] * between) @ q[..., None])[..., 0].tril()
