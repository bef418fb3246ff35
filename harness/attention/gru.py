"""Gated recurrent unit (Cho et al. 2014): one gate says how much of the state stays, one how much of it is looked at.

    r_t = σ(W_r x_t + U_r h_{t-1})      z_t = σ(W_z x_t + U_z h_{t-1})      each with biases
    n_t = tanh(W x_t + r_t ⊙ U h_{t-1})      h_t = z_t ⊙ h_{t-1} + (1 - z_t) ⊙ n_t

As in torch and cuDNN the reset gate r_t comes after the product with U; the paper has U (r_t ⊙ h_{t-1}).
"""

from typing import NamedTuple

from torch import Tensor, nn

from harness.attention.rnn import Recurrent


class Hidden(NamedTuple):
    """The hidden vector after all tokens so far."""

    seen: int
    hidden: Tensor  # (B, 1, S)


class Gru(Recurrent):
    """The past is the hidden vector."""

    version = 1
    golden = {1: (0.5172355749018617, 0.2577374603294502, -0.043359157017629546, 1959.730867726834)}
    formula = "y_t = P h_t, h_t = z_t ⊙ h_{t-1} + (1-z_t) ⊙ tanh(W x_t + r_t ⊙ U h_{t-1}), z_t, r_t = σ(x_t, h_{t-1})"
    source = "Cho et al. 2014"
    layer, gates, memory = nn.GRU, 3, Hidden

    def run(self, x, hidden):
        """See :class:`Recurrent`."""
        out, hidden = self.cells(x, hidden)
        return out, (hidden,)

    def step(self, x, hidden):
        """See :class:`Recurrent`."""
        (r_x, z_x, n_x), (r_h, z_h, n_h) = self.gated(x, hidden)
        reset, update = (r_x + r_h).sigmoid(), (z_x + z_h).sigmoid()
        new = (n_x + reset * n_h).tanh()
        return (update * hidden + (1 - update) * new,)
