"""Uniform attention, a control: every token weighs all that it may see alike, whatever is in them.

    y_t = W_o · the mean of W_v x_j over all j <= t, inside a prefix over all of it

This is softmax attention whose queries are 0. It can count what there is and nothing else: what another map does better
needs scores.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from harness.attention.base import Unscored, hold_prefix


class Sum(NamedTuple):
    """Of all values so far."""

    seen: int
    total: Tensor  # (B, 1, C)


class Uniform(Unscored):
    """The mean of the past. Heads would all do the same, so there is one."""

    version = 1
    golden = {1: (0.5017838514865302, -0.6478619420333294, 0.2586181671903139, 5740.597315367297)}
    formula = "y_t = W_o mean_{j≤t} W_v x_j"
    source = "control: softmax attention with queries of 0"

    def __init__(self, width, heads):
        super().__init__()
        self.project_in, self.project_out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x, state=None, prefix=0):
        """See :class:`Mixer`."""
        hold_prefix(prefix, x.shape[1], state, self.masks)
        values, seen = self.project_in(x), 0 if state is None else state.seen
        totals = values.cumsum(1) if state is None else state.total + values.cumsum(1)
        after = None if state is None else Sum(seen + x.shape[1], totals[:, -1:])
        if prefix:
            totals = torch.cat([totals[:, prefix - 1, None].expand(-1, prefix, -1), totals[:, prefix:]], 1)
        return self.project_out(totals / self._counts(x.shape[1], seen, prefix).to(totals)), after

    def naive(self, x, prefix=0):
        """See :class:`Mixer`."""
        values = self.project_in(x)
        return torch.stack([self.project_out(values[:, : max(t + 1, prefix)].mean(1)) for t in range(x.shape[1])], 1)

    def empty(self, batch, room=0):
        """See :class:`Mixer`; the size does not depend on ``room``."""
        weight = self.project_in.weight
        return Sum(0, weight.new_zeros(batch, 1, len(weight)))

    def state_size(self, length):
        """One vector."""
        return len(self.project_in.weight)

    def mixing(self, x, prefix=0):
        """See :class:`Mixer`: (B, 1, T, T)."""
        hold_prefix(prefix, x.shape[1], None, self.masks)
        counts = self._counts(x.shape[1], 0, prefix).to(x.device)
        reach = torch.arange(x.shape[1], device=x.device) < counts
        return (reach / counts.to(x)).expand(len(x), 1, -1, -1)

    def _counts(self, tokens: int, seen: int, prefix: int) -> Tensor:
        """(T, 1), how many each of the tokens sees, itself included."""
        return torch.arange(seen + 1, seen + tokens + 1)[:, None].clamp(min=prefix)
