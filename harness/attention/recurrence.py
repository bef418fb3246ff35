"""Linear recurrences whose state is a matrix: it decays from token to token, and each token writes an outer product.

    S_t = diag(e^{g_t}) S_{t-1} + k_t u_tᵀ      y_t = S_tᵀ q_t

The log-decay g_t ≤ 0 is a number for the head or one for each key coordinate; u_t is the value, unless a variant writes
another in its place.

The fast form goes through the sequence a slice at a time, and through a slice in chunks, all of them in one product:
scores inside a chunk, the state between chunks (Sun et al. 2023, Yang et al. 2024). Unrolled from the start of a chunk,
every factor is a product of decays, so it is 1 at most, and it is taken as such: a quotient of two cumulative products
would lose what was kept since a token that forgot all.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.attention.base import Attention, Rotate, chunks, slices

CHUNK = 32  # tokens; fewer make more states, which are made in turn, more make more scores: 16 is as fast, 64 slower


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

    def __init__(self, width: int, heads: int, key_width: int, rotate: Rotate):
        super().__init__(width, heads, rotate, key_width=key_width)

    def mix(self, *said):
        """See :class:`Attention`; what is said ends with the state and the prefix, which is 0."""
        q, k, v, *rest, state, _ = said
        tokens, rows, (seen, total) = q.shape[2], [], (0, None) if state is None else state
        if state is None and tokens > self.chunk:
            total = v.new_zeros(*v.shape[:2], self.key_width, v.shape[3])
        said = self.rotate(q, seen), self.rotate(k, seen), v, *rest
        numbers = self.chunk**2 * q[:, :, 0, 0].numel() * rest[0].shape[3]  # factors of a chunk, see :class:`_Factors`
        sizes = slices(tokens, self.chunk, numbers)
        for size, *part in zip(sizes, *(x.split(sizes, 2) for x in said), strict=True):
            if total is None or size < self.chunk:
                row, total = self.finish(total, state is not None, *part)
            else:
                row, total = self.advance(total, *(x.unflatten(2, (-1, self.chunk)) for x in part))
            rows.append(row)
        return torch.cat(rows, 2), None if state is None else Memory(seen + tokens, total)

    def advance(self, total: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, *more: Tensor):
        """N chunks, (B, H, N, c, any), and S before them -> (B, H, N · c, D) and S after them."""
        kept, between, left = _Factors.apply(g.exp())
        u, missed = self.written(None, kept, between, k, v, *more)
        decayed = k * left
        added, passed = decayed.mT @ u, kept[..., -1, :, None]  # (B, H, N, K, D), (B, H, N, 1 or K, 1)
        if missed is not None:
            passed = passed * torch.eye(self.key_width).to(k) - decayed.mT @ missed  # (B, H, N, K, K)
        dtype = torch.promote_types(total.dtype, torch.float32)  # whatever products are rounded to
        flat = (x.to(dtype).expand(*total.shape[:2], *x.shape[2:]).flatten(0, 1) for x in (added, passed, total))
        states, total = (x.unflatten(0, total.shape[:2]) for x in _Carried.apply(*flat, missed is not None))
        if missed is not None:
            u = u - missed @ states
        return (pairs(q, k, between) @ u + (q * kept) @ states).flatten(2, 3), total

    def finish(self, total: Tensor | None, read: bool, q: Tensor, k: Tensor, v: Tensor, g: Tensor, *more: Tensor):
        """A chunk alone (``total`` is None), or what is left behind the others: the same, S after it if it is read."""
        kept, between, left = _Factors.apply(g.exp())
        u, _ = self.written(total, kept, between, k, v, *more)
        row = pairs(q, k, between) @ u
        if total is None:
            return row, None
        row = row + (q * kept) @ total
        return row, kept[:, :, -1, :, None] * total + (k * left).mT @ u if read else None

    def written(self, total: Tensor | None, kept: Tensor, between: Tensor, k: Tensor, v: Tensor, *more: Tensor):
        """What a chunk (..., c, any) writes, (..., c, D), and what of the S before it it writes less, (..., c, K).

        Nothing less (None) where S is known, as it is before one chunk (None: zeros). ``kept`` of it is left at each
        token, ``between`` of a token at another.
        """
        return v, None

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
        """Gates; pairs inside a chunk; each token reads the state and is added to it, save in a chunk alone.

        Nor are tokens behind the last whole chunk added where nothing reads on.
        """
        gates = sum(gate.project.weight.numel() for gate in self.modules() if isinstance(gate, Gate))
        inside, (k, d) = sum(c * c for c in chunks(tokens, self.chunk)), (self.key_width, self.head_width)
        read = 0 if self.alone(tokens, seen) else tokens
        added = self.whole(tokens) if seen is None else tokens
        return 2 * (tokens * gates + self.heads * (inside * (k + d) + (read + min(added, read)) * k * d))

    def alone(self, tokens: int, seen: int | None) -> bool:
        """Whether there is no state at all."""
        return seen is None and tokens <= self.chunk

    def whole(self, tokens: int) -> int:
        """How many of them are in whole chunks."""
        return tokens - tokens % self.chunk

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


def pairs(q: Tensor, k: Tensor, between: Tensor) -> Tensor:
    """Twice (..., c, K), and what is left of a key at a query (..., c, c, 1 or K) -> scores (..., c, c), j ≤ t."""
    if between.shape[-1] == 1:
        return (q @ k.mT) * between[..., 0]
    return ((k[..., None, :, :] * between) @ q[..., None])[..., 0]


class _Factors(torch.autograd.Function):
    """Decays α of the tokens of chunks, (..., c, 1 or K) -> what is left at token t, and all behind it.

    Of what was before the chunk (..., c, 1 or K); of token j at [t, j], 0 for j > t (..., c, c, 1 or K); and of each
    token at the last (..., c, 1 or K). A step of the loop is one product for all chunks: time comes first.
    """

    @staticmethod
    def forward(ctx, decays):
        decays = decays.movedim(-2, 0).contiguous()  # (c, ..., 1 or K)
        size, *others, width = decays.shape
        kept, between = decays.clone(), decays.new_zeros(size, *others, size, width)
        between[0, ..., 0, :] = 1
        for t in range(1, size):
            kept[t] *= kept[t - 1]
            torch.mul(between[t - 1], decays[t, ..., None, :], out=between[t])
            between[t, ..., t, :] = 1
        ctx.save_for_backward(decays, kept, between)
        return kept.movedim(0, -2), between.movedim(0, -3), between[-1].clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, to_kept, to_between, to_left):
        decays, kept, between = ctx.saved_tensors
        to_kept = to_kept.movedim(-2, 0).clone(memory_format=torch.contiguous_format)
        to_between = to_between.movedim(-3, 0).clone(memory_format=torch.contiguous_format)
        to_between[-1] += to_left
        to_decays = torch.empty_like(decays)
        for t in range(len(decays) - 1, 0, -1):
            torch.sum(to_between[t] * between[t - 1], -2, out=to_decays[t]).addcmul_(to_kept[t], kept[t - 1])
            to_between[t - 1].addcmul_(to_between[t], decays[t, ..., None, :])
            to_kept[t - 1].addcmul_(to_kept[t], decays[t])
        to_decays[0] = to_kept[0]
        return to_decays.movedim(0, -2)


class _Carried(torch.autograd.Function):
    """States before chunks and after them, if chunk n makes P_n S + A_n of S; without an index into what has gradients.

    A (G, N, K, D), P (G, N, K, K) if it is a ``matrix``, else (G, N, 1 or K, 1), and S (G, K, D) -> (G, N, K, D) and
    (G, K, D).
    """

    @staticmethod
    def forward(ctx, added, passed, held, matrix):
        ctx.step = torch.baddbmm if matrix else torch.addcmul  # x + P S
        states, after = torch.empty_like(added), torch.empty_like(held)
        places = (*states.unbind(1), after)
        places[0].copy_(held)
        for more, part, before, place in zip(added.unbind(1), passed.unbind(1), places, places[1:], strict=False):
            ctx.step(more, part, before, out=place)
        ctx.save_for_backward(passed, states)
        return states, after

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, to_states, to_after):
        passed, states = ctx.saved_tensors
        matrix = ctx.step is torch.baddbmm
        to_added, to_held = torch.empty_like(states), torch.empty_like(to_after)
        places, turned = (to_held, *to_added.unbind(1)), passed.mT if matrix else passed
        places[-1].copy_(to_after)
        steps = zip(to_states.unbind(1), turned.unbind(1), places[1:], places, strict=False)
        for more, part, behind, place in reversed(list(steps)):
            ctx.step(more, part, behind, out=place)
        to_passed = to_added @ states.mT if matrix else (to_added * states).sum_to_size(passed.shape)
        return to_added, to_passed, to_held, None
