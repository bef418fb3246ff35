"""No mixing, a control: y_t = W_o W_v x_t. What a model solves with it needs nothing but its own position's token."""

from typing import NamedTuple

import torch
from torch import nn

from harness.attention.base import Unscored, hold_prefix


class Nothing(NamedTuple):
    """Of the past only its length is known."""

    seen: int


class Identity(Unscored):
    """Every token sees itself alone, in a prefix too."""

    version = 1
    golden = {1: (-0.348185115832959, -0.20912925662638807, 0.23648895687775265, 12233.970629077725)}
    formula = "y_t = W_o W_v x_t"
    source = "control: no mixing"
    local = True

    def __init__(self, width, heads):
        super().__init__()
        self.project_in, self.project_out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x, state=None, prefix=0):
        """See :class:`Mixer`."""
        hold_prefix(prefix, x.shape[1], state, self.masks)
        return self.project_out(self.project_in(x)), None if state is None else Nothing(state.seen + x.shape[1])

    def naive(self, x, prefix=0):
        """See :class:`Mixer`."""
        return torch.stack([self.project_out(self.project_in(x[:, t])) for t in range(x.shape[1])], 1)

    def empty(self, batch, room=0):
        """See :class:`Mixer`."""
        return Nothing(0)

    def state_size(self, length):
        """Nothing."""
        return 0

    def mixing(self, x, prefix=0):
        """See :class:`Mixer`: (B, 1, T, T)."""
        hold_prefix(prefix, x.shape[1], None, self.masks)
        return torch.eye(x.shape[1], dtype=x.dtype, device=x.device).expand(len(x), 1, -1, -1)
