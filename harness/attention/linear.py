"""Linear attention: softmax's exp(q·k) replaced by φ(q)·φ(k), so that the past is a matrix (Katharopoulos et al. 2020).

    S_t = S_{t-1} + φ(k_t) [v_t, 1]ᵀ      y_t = φ(q_t) S_t, its last column the normaliser      φ(x) = elu(x) + 1

The fast form goes through the sequence in chunks: scores inside a chunk, the state between chunks.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.attention.base import Attention

CHUNK = 64  # tokens; below it the chunk's own scores cost less than the state's products
EPSILON = 1e-6  # keeps 0/0 away where every feature underflows


class Memory(NamedTuple):
    """The sum of φ(k) [v, 1]ᵀ over all tokens so far."""

    seen: int
    total: Tensor  # (B, H, D, D+1)


def feature(x: Tensor) -> Tensor:
    """φ(x) = elu(x) + 1, positive."""
    return F.elu(x) + 1


class Linear(Attention):
    """The past is one D x (D+1) matrix a head, whatever its length."""

    version = 1
    golden = {1: (-0.10203349610413093, 0.3872018694748461, 0.14280713792710978, 872.7134277474781)}
    formula = "y_t = φ(q_t)ᵀ Σ_{j≤t} φ(k_j) v_jᵀ / φ(q_t)ᵀ Σ_{j≤t} φ(k_j), φ = elu + 1"
    source = "Katharopoulos et al. 2020"

    def mix(self, q, k, v, state):
        """See :class:`Attention`."""
        chunks = [tensor.split(CHUNK, dim=2) for tensor in (feature(q), feature(k), F.pad(v, (0, 1), value=1.0))]
        total, rows = (None if state is None else state.total), []
        for number, (q_c, k_c, v_c) in enumerate(zip(*chunks, strict=True), start=1):
            row = (q_c @ k_c.mT).tril() @ v_c  # (B, H, c, c) x (B, H, c, D+1)
            rows.append(row if total is None else row + q_c @ total)
            if state is not None or number < len(chunks[0]):  # training has no use for the state after the last chunk
                added = k_c.mT @ v_c  # (B, H, D, c) x (B, H, c, D+1)
                total = added if total is None else total + added
        mixed = torch.cat(rows, 2)
        after = None if state is None else Memory(state.seen + q.shape[2], total)
        return mixed[..., :-1] / (mixed[..., -1:] + EPSILON), after

    def naive_mix(self, q, k, v):
        """See :class:`Attention`."""
        q, k, rows = feature(q), feature(k), []
        for t in range(q.shape[2]):
            weights = (q[:, :, t, None] * k[:, :, : t + 1]).sum(-1)  # (B, H, t+1)
            weights = weights / (weights.sum(-1, keepdim=True) + EPSILON)
            rows.append((weights[..., None] * v[:, :, : t + 1]).sum(2))
        return torch.stack(rows, 2)

    def empty(self, batch, room=0):
        """See :class:`Mixer`; the size does not depend on ``room``."""
        return Memory(0, self.project_in.weight.new_zeros(batch, self.heads, self.head_width, self.head_width + 1))

    def state_size(self, length):
        """One matrix a head."""
        return self.heads * self.head_width * (self.head_width + 1)

    def mix_flops(self, tokens, seen):
        """Two products over the c² pairs of each chunk, between chunks one to read the state and one to add to it."""
        d, chunks = self.head_width, _chunks(tokens)
        inside = sum(2 * c * c * (2 * d + 1) for c in chunks)
        read = tokens if seen is not None else sum(chunks[1:])
        added = tokens if seen is not None else sum(chunks[:-1])
        return self.heads * (inside + 2 * (read + added) * d * (d + 1))

    def scored_pairs(self, tokens, seen=None):
        """Pairs inside a chunk; a token that is decoded scores itself alone."""
        return self.heads * sum(c * (c + 1) // 2 for c in _chunks(tokens))

    def serial_steps(self, tokens):
        """The state goes from chunk to chunk."""
        return len(_chunks(tokens))


def _chunks(tokens: int) -> list[int]:
    """Lengths of the chunks."""
    return [min(CHUNK, tokens - start) for start in range(0, tokens, CHUNK)]
