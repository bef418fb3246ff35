"""Short gated convolution: each channel mixes its last few tokens, a gate says how much is heard (Arora et al. 2023).

    y_t = W_o (g_t ∘ Σ_{i<r} h_i ∘ v_{t-i}),    g = W_g x,  v = W_v x

What Arora et al. 2023 (Zoology, BaseConv) and Arora et al. 2024 (Based) put before the layer that they study: one look
back, learned at once, where a softmax layer has to find it. Its reach is a constant and so is its state.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from harness.attention.base import Unscored, hold_prefix


class Tail(NamedTuple):
    """The values of the last r - 1 tokens, zeros before the first."""

    seen: int
    values: Tensor  # (B, r - 1, C)


class Convolution(Unscored):
    """A filter of r tokens for each channel, times a gate. What is further back is out of reach."""

    version = 1
    golden = {1: (-0.9371790759966463, -0.20262071365647535, 0.0019157554979867075, 2778.7984610174135)}
    formula = "y_t = W_o (W_g x_t ∘ Σ_{i<r} h_i ∘ W_v x_{t-i}), r = window"
    source = "Arora et al. 2023 (Zoology), BaseConv with a short filter"
    masks = ("causal",)

    def __init__(self, width, heads, window):
        super().__init__()
        if not 1 <= window <= 2**10:
            raise ValueError(
                f"attention.window={window}: 1 or more is needed, a token reaches itself, and at most 2^10"
            )
        self.window = window
        self.project_in = nn.Linear(width, 2 * width)
        self.filter = nn.Parameter(torch.randn(window, width) / window**0.5)  # row i: the token i before
        self.project_out = nn.Linear(width, width)

    def forward(self, x, state=None, prefix=0):
        """See :class:`Mixer`."""
        hold_prefix(prefix, x.shape[1], state, self.masks)
        gate, values = self.project_in(x).chunk(2, -1)
        before = self._zeros(x) if state is None else state.values
        values, tokens = torch.cat([before, values], 1), x.shape[1]
        shifted = (values[:, self.window - 1 - i :][:, :tokens] * self.filter[i] for i in range(self.window))
        after = None if state is None else Tail(state.seen + tokens, values[:, tokens:])
        return self.project_out(gate * sum(shifted)), after

    def naive(self, x, prefix=0):
        """See :class:`Mixer`."""
        gate, values = self.project_in(x).chunk(2, -1)
        rows = []
        for t in range(x.shape[1]):
            heard = sum(self.filter[i] * values[:, t - i] for i in range(min(self.window, t + 1)))
            rows.append(self.project_out(gate[:, t] * heard))
        return torch.stack(rows, 1)

    def empty(self, batch, room=0):
        """See :class:`Mixer`; the size does not depend on ``room``."""
        return Tail(0, self._zeros(self.filter.new_empty(batch, 0, self.filter.shape[1])))

    def _zeros(self, x: Tensor) -> Tensor:
        return x.new_zeros(len(x), self.window - 1, self.filter.shape[1])

    def state_size(self, length):
        """The last r - 1 values of each channel."""
        return (self.window - 1) * self.filter.shape[1]
