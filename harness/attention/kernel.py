"""Kernel attention: softmax's exp(q·k) becomes φ_q(q)·φ_k(k), so that the past is a matrix (Katharopoulos et al. 2020).

    S_t = S_{t-1} + φ_k(k_t) v_tᵀ      z_t = z_{t-1} + φ_k(k_t)      y_t = φ_q(q_t)ᵀ S_t / φ_q(q_t)ᵀ z_t

z is what S sums of values of 1, so S has a column more here. The fast form reads the prefix as one sum, then goes
through the sequence a slice at a time, and through a slice in chunks, all of them in one product: scores inside a
chunk, the state between chunks. Positions turn φ_q(q) and φ_k(k) on their way into S alone: what z sums stays as
positive as the kernel is, so no normaliser comes near zero (Su et al. 2021, RoFormer, section 3.3).
"""

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from harness.attention.base import Attention, chunks, slices, unrotated

CHUNK = 32  # tokens; fewer make more states, more make more scores: 24 to 48 are near the best, at F = D = 16 and 32
EPSILON = 1e-6  # keeps 0/0 away where every feature underflows


class Memory(NamedTuple):
    """Sums over all tokens so far; ``F`` is the number of features."""

    seen: int
    total: Tensor  # (B, H, F, D)   of φ_k(k) vᵀ, each φ_k(k) turned by its place
    features: Tensor  # (B, H, 1, F)   of φ_k(k)


class Kernel(Attention):
    """The past is an F x D matrix and a vector of F numbers a head, whatever its length.

    A subclass sets ``features``, F, and gives :meth:`features_of`; one whose features are products says what they cost.
    """

    features: int

    @abstractmethod
    def features_of(self, q: Tensor, k: Tensor, seen: int) -> tuple[Tensor, Tensor]:
        """Twice (B, H, T, K), the first token at place ``seen`` -> φ_q(q) and φ_k(k), twice (B, H, T, F)."""

    def feature_flops(self, tokens: int) -> int:
        """FLOPs of :meth:`features_of` for all heads."""
        return 0

    def mix(self, q, k, v, state, prefix):
        """See :class:`Attention`."""
        seen, held, tokens, rows = 0, None, q.shape[2], []
        if state is not None:
            seen, held = state.seen, torch.cat([state.total, state.features.mT], -1)
        elif tokens > CHUNK and not prefix:
            held = v.new_zeros(*v.shape[:2], self.features, v.shape[3] + 1)
        sizes = [prefix] * bool(prefix) + slices(tokens - prefix, CHUNK, CHUNK * v[:, :, 0].numel())
        forms = [whole] * bool(prefix) + [causal] * len(sizes)
        parts = zip(forms, *(x.transpose(1, 2).split(sizes, 1) for x in (q, k, v)), strict=False)
        for form, *part in parts:
            q, k, v = (x.transpose(1, 2) for x in part)
            sums, held = self._sum(form, *self.features_of(q, k, seen), v, seen, held, state is not None)
            weighed, norms = sums.split([v.shape[3], 1], -1)
            rows.append((weighed * (norms + EPSILON).reciprocal()).transpose(1, 2))
            seen += q.shape[2]
        after = None if state is None else Memory(seen, held[..., :-1], held[..., -1:].mT)
        return torch.cat(rows, 1).transpose(1, 2), after

    def _sum(self, form, q, k, v, seen, held, read):
        """One slice: φ(q)ᵀ S and, behind it, φ(q)ᵀ z, (B, H, T, D + 1), and S and z after it, (B, H, F, D + 1)."""
        ones = torch.cat([v, v.new_ones(()).expand(*v.shape[:3], 1)], -1)
        if self.rotate is unrotated:
            return form(q, k, ones, held, read)
        before = (None, None) if held is None else held.split([v.shape[3], 1], -1)
        turned, after = form(self.rotate(q, seen), self.rotate(k, seen), v, before[0], read)
        plain, features = form(q, k, ones[..., -1:], before[1], read)
        return torch.cat([turned, plain], -1), None if after is None else torch.cat([after, features], -1)

    def naive_mix(self, q, k, v, prefix):
        """See :class:`Attention`."""
        (q, k), rows = self.features_of(q, k, 0), []
        turned_q, turned_k = self.rotate(q, 0), self.rotate(k, 0)
        for t in range(q.shape[2]):
            until = max(t + 1, prefix)
            weights = (turned_q[:, :, t, None] * turned_k[:, :, :until]).sum(-1)  # (B, H, until)
            norm = (q[:, :, t, None] * k[:, :, :until]).sum((-2, -1)) + EPSILON  # (B, H)
            rows.append((weights[..., None] * v[:, :, :until]).sum(2) / norm[..., None])
        return torch.stack(rows, 2)

    def empty(self, batch, room=0):
        """See :class:`Mixer`; the size does not depend on ``room``."""
        zeros = self.project_in.weight.new_zeros
        total = zeros(batch, self.heads, self.features, self.head_width)
        return Memory(0, total, zeros(batch, self.heads, 1, self.features))

    def state_size(self, length):
        """A matrix and a vector a head."""
        return self.heads * self.features * (self.head_width + 1)

    def mix_flops(self, tokens, seen, prefix):
        """Scores are inside chunks; each token reads the state and is added to it, save in a chunk alone.

        Nor are tokens behind the last whole chunk added where nothing reads on.
        """
        f, columns, sizes = self.features, self.head_width + 1, chunks(tokens - prefix, CHUNK)
        scored = f * (1 if self.rotate is unrotated else 2)  # turned or not, where that makes a difference
        inside = sum(2 * c * c * (scored + columns) for c in sizes)
        alone = seen is None and not prefix and tokens <= CHUNK
        left = (tokens - prefix) % CHUNK if seen is None else 0
        held = 0 if alone else 2 * tokens - left
        return self.feature_flops(tokens) + self.heads * (inside + 2 * held * f * columns)

    def scored_pairs(self, tokens, seen=None, prefix=0):
        """Pairs inside a chunk; a token that is decoded scores itself alone, a prefix only reads the state."""
        return self.heads * sum(c * (c + 1) // 2 for c in chunks(tokens - prefix, CHUNK))

    def serial_steps(self, tokens, prefix=0):
        """The state goes from the prefix to the first chunk, and from chunk to chunk."""
        return bool(prefix) + len(chunks(tokens - prefix, CHUNK))


def whole(q: Tensor, k: Tensor, v: Tensor, held: None, read: bool) -> tuple[Tensor, Tensor]:
    """What :func:`causal` returns where all tokens see each other and nothing was before them."""
    total = k.mT @ v
    return q @ total, total


def causal(q: Tensor, k: Tensor, v: Tensor, held: Tensor | None, read: bool) -> tuple[Tensor, Tensor | None]:
    """Σ_{j≤t} (q_t·k_j) v_j over whole chunks or less than one, and over what was ``held`` before (B, H, F, E).

    Twice (B, H, T, F) and (B, H, T, E) -> (B, H, T, E), and what is held after it, if it is to be ``read``. None is
    held where a chunk is alone. Chunks are summed in float32 at least, whatever products are rounded to.
    """
    batch, heads, tokens, _ = q.shape
    if held is None or tokens < CHUNK:
        rows = (q @ k.mT).tril() @ v
        return rows if held is None else rows + q @ held, held + k.mT @ v if read else None
    dtype = torch.promote_types(v.dtype, torch.float32)
    with torch.autocast(q.device.type, enabled=False):
        parts = (x.to(dtype).reshape(batch * heads, tokens // CHUNK, CHUNK, x.shape[3]) for x in (q, k, v))
        rows, after = _Causal.apply(*parts, held.to(dtype).flatten(0, 1))
    return rows.view(batch, heads, tokens, -1), after.unflatten(0, (batch, heads))


class _Causal(torch.autograd.Function):
    """The same of chunks, (G, N, c, any) and (G, F, E), with its backward pass: no chunk is indexed on the way.

    What would be a sum of gradients is added to where it is made.
    """

    @staticmethod
    def forward(ctx, q, k, v, held):
        shape = q.shape
        q, k, v = (x.flatten(0, 1) for x in (q, k, v))
        scores = (q @ k.mT).mul_(_reach(shape[2], q))
        states, after = _running((k.mT @ v).unflatten(0, shape[:2]), held)
        states, rows = states.flatten(0, 1), scores @ v
        torch.baddbmm(rows, q, states, out=rows)
        ctx.save_for_backward(q, k, v, scores, states)
        return rows.unflatten(0, shape[:2]), after

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, to_rows, to_after):
        q, k, v, scores, states = ctx.saved_tensors
        shape, to_rows = to_rows.shape, to_rows.flatten(0, 1)
        to_scores = (to_rows @ v.mT).mul_(_reach(shape[2], q))
        to_states, to_held = _running((q.mT @ to_rows).unflatten(0, shape[:2]), to_after, -1)
        to_states = to_states.flatten(0, 1)
        to_q, to_k, to_v = to_scores @ k, to_scores.mT @ q, scores.mT @ to_rows
        torch.baddbmm(to_q, to_rows, states.mT, out=to_q)
        torch.baddbmm(to_k, v, to_states.mT, out=to_k)
        torch.baddbmm(to_v, k, to_states, out=to_v)
        return *(x.unflatten(0, shape[:2]) for x in (to_q, to_k, to_v)), to_held


def _running(added: Tensor, held: Tensor, way: int = 1) -> tuple[Tensor, Tensor]:
    """(G, N, any) -> the same, ``held`` (G, any) and all that was added before each, and what is held at the end."""
    states, after = torch.empty_like(added), torch.empty_like(held)
    places = (*states.unbind(1)[::way], after)
    places[0].copy_(held)
    for before, more, place in zip(places, added.unbind(1)[::way], places[1:], strict=False):
        torch.add(before, more, out=place)
    return states, after


def _reach(size: int, like: Tensor) -> Tensor:
    """(c, c): 1 for a key and itself or a later query, else 0."""
    return like.new_ones(size, size).tril()
