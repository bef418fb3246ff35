"""Gated linear attention: each token says how much of the past is kept (Yang et al. 2024, GLA, section 4).

    S_t = diag(α_t) S_{t-1} + k_t v_tᵀ      y_t = S_tᵀ q_t / sqrt(K)      α_t = sigmoid(W x_t + b)^(1/τ)

``decay=vector``: α_t has a number for each key coordinate, as in GLA. ``decay=scalar``: one number for the head, as in
Mamba-2 and in the authors' simple GLA. The map alone: no output gate, no norm, and W has full rank.
"""

from torch.nn import functional as F

from harness.attention.base import unrotated
from harness.attention.recurrence import Gate, Recurrence

CHUNK = 8  # tokens, where every pair inside a chunk has K numbers of its own


class Gated(Recurrence):
    """A temperature above 1 keeps α_t near 1, so that the past lasts."""

    version = 1
    golden = {1: (5.685950327530361, 12.62110269283573, -5.489559156761229, 21246.137361982088)}
    formula = "S_t = diag(α_t) S_{t-1} + k_t v_tᵀ, y_t = S_tᵀ q_t/√K, α_t = σ(W x_t + b)^(1/τ)"
    source = "Yang et al. 2024, GLA"

    def __init__(self, width, heads, decay, temperature, key_width, rotate=unrotated):
        super().__init__(width, heads, key_width, rotate)
        if decay not in ("vector", "scalar"):
            raise ValueError(f"attention.decay={decay}: vector, scalar can be chosen")
        if not 0 < temperature < float("inf"):
            raise ValueError(f"attention.temperature={temperature}: a finite number above 0 is needed")
        self.temperature = temperature
        self.gate = Gate(width, heads, self.key_width if decay == "vector" else 1)
        if decay == "vector":
            self.chunk = CHUNK

    def project(self, x):
        """See :class:`Recurrence`."""
        q, k, v = super().project(x)
        return q / self.key_width**0.5, k, v, F.logsigmoid(self.gate(x)) / self.temperature
