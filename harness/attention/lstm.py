"""Long short-term memory (Hochreiter & Schmidhuber 1997), with the forget gate of Gers et al. 2000.

    i_t, f_t, o_t = σ(W x_t + U h_{t-1}), each with its own W, U and biases      g_t = tanh(W_g x_t + U_g h_{t-1})
    c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t      h_t = o_t ⊙ tanh(c_t)

What a cell holds is scaled by its forget gate alone from token to token, so a gate near 1 keeps it, and its gradient.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from harness.attention.rnn import Recurrent


class Cells(NamedTuple):
    """What is said and what is held after all tokens so far."""

    seen: int
    hidden: Tensor  # (B, 1, S)
    cell: Tensor  # (B, 1, S)


class Lstm(Recurrent):
    """The past is the hidden vector and the cells."""

    version = 1
    golden = {1: (0.22581784638662067, -0.003924018986935174, 0.24171615807575894, 1043.305600858619)}
    formula = "y_t = P (o_t ⊙ tanh c_t), c_t = f_t ⊙ c_{t-1} + i_t ⊙ tanh(W x_t + U h_{t-1}), gates σ(x_t, h_{t-1})"
    source = "Hochreiter & Schmidhuber 1997, forget gate of Gers et al. 2000"
    layer, gates, memory = nn.LSTM, 4, Cells

    @torch.no_grad()
    def initialise(self):
        """See :class:`Recurrent`; the bias of the forget gate is 1, so that cells keep (Jozefowicz et al. 2015)."""
        super().initialise()
        self.cells.bias_ih_l0[self.state : 2 * self.state] = 1

    def run(self, x, hidden, cell):
        """See :class:`Recurrent`."""
        return self.cells(x, (hidden, cell))

    def step(self, x, hidden, cell):
        """See :class:`Recurrent`."""
        enter, forget, new, show = (a + b for a, b in zip(*self.gated(x, hidden), strict=True))
        cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
        return show.sigmoid() * cell.tanh(), cell
