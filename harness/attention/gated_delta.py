"""The gated delta rule: what a key recalls is replaced, and all else fades (Yang et al. 2025, Gated DeltaNet).

    S_t = α_t (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ      y_t = S_tᵀ q_t      α_t = e^{-Δ_t e^a}

α_t is Mamba-2's decay (see :class:`Clock`), a number of the head; β, q and k are those of :class:`Delta`. The map
alone: no convolution, no output gate, no norm of the output.
"""

from harness.attention.base import unrotated
from harness.attention.delta import Delta
from harness.attention.recurrence import Clock


class GatedDelta(Delta):
    """The state can be cleared at one token, which the delta rule alone takes K tokens for."""

    version = 1
    golden = {1: (0.19293158881022568, 1.0209443932901372, 0.5668789770893287, 1151.5472658135025)}
    formula = "S_t = α_t (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ, y_t = S_tᵀ q_t, |q_t| = |k_t| = 1"
    source = "Yang et al. 2025"

    def __init__(self, width, heads, eigenvalues, key_width, rotate=unrotated):
        super().__init__(width, heads, eigenvalues, key_width, rotate)
        self.clock = Clock(width, heads)

    def decay(self, x):
        """See :class:`Delta`."""
        return self.clock(x)[1]
