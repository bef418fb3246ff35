"""Kernel attention: softmax's exp(q·k) becomes φ_q(q)·φ_k(k), so that the past is a matrix (Katharopoulos et al. 2020).

    S_t = S_{t-1} + φ_k(k_t) v_tᵀ      z_t = z_{t-1} + φ_k(k_t)      y_t = φ_q(q_t)ᵀ S_t / φ_q(q_t)ᵀ z_t

The fast form reads the prefix as one sum, then goes through the sequence in chunks: scores inside a chunk, the state
between chunks. Positions turn φ_q(q) and φ_k(k) on their way into S alone: what z sums stays as positive as the kernel
is, so no normaliser comes near zero (Su et al. 2021, RoFormer, section 3.3).
"""

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from harness.attention.base import Attention, chunks

CHUNK = 64  # tokens; below it the chunk's own scores cost less than the state's products
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
        seen, total, features = (0, None, None) if state is None else state
        q, k = self.features_of(q, k, seen)
        sums = k.cumsum(2)
        if state is not None:
            sums, features = features + sums, features + k.sum(2, keepdim=True)
        if prefix:
            sums = torch.cat([sums[:, :, prefix - 1, None].expand(-1, -1, prefix, -1), sums[:, :, prefix:]], 2)
        norms = (q * sums).sum(-1, keepdim=True) + EPSILON  # (B, H, T, 1)

        sizes, rows = [prefix] * bool(prefix) + chunks(q.shape[2] - prefix, CHUNK), []
        parts = (x.split(sizes, 2) for x in (self.rotate(q, seen), self.rotate(k, seen), v))
        parts = list(zip(*parts, strict=True))
        if prefix:
            q_p, k_p, v_p = parts.pop(0)
            total = k_p.mT @ v_p  # nothing was seen before a prefix
            rows.append(q_p @ total)
        for number, (q_c, k_c, v_c) in enumerate(parts, start=1):
            row = (q_c @ k_c.mT).tril() @ v_c  # (B, H, c, c) x (B, H, c, D)
            rows.append(row if total is None else row + q_c @ total)
            if state is not None or number < len(parts):  # training has no use for the state after the last chunk
                added = k_c.mT @ v_c  # (B, H, F, c) x (B, H, c, D)
                total = added if total is None else total + added
        after = None if state is None else Memory(seen + q.shape[2], total, features)
        return torch.cat(rows, 2) / norms, after

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
        """The prefix is added to the state, then reads it; the rest does so between chunks, and scores inside them."""
        f, d, sizes = self.features, self.head_width, chunks(tokens - prefix, CHUNK)
        inside = sum(2 * c * c * (f + d) for c in sizes)
        read = prefix + sum(sizes if seen is not None or prefix else sizes[1:])
        added = prefix + sum(sizes if seen is not None else sizes[:-1])
        return self.feature_flops(tokens) + self.heads * (inside + 2 * (read + added) * f * d)

    def scored_pairs(self, tokens, seen=None, prefix=0):
        """Pairs inside a chunk; a token that is decoded scores itself alone, a prefix only reads the state."""
        return self.heads * sum(c * (c + 1) // 2 for c in chunks(tokens - prefix, CHUNK))

    def serial_steps(self, tokens, prefix=0):
        """The state goes from the prefix to the first chunk, and from chunk to chunk."""
        return bool(prefix) + len(chunks(tokens - prefix, CHUNK))
