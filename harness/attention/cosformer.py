"""cosFormer attention: relu features, and near tokens weigh more, by a cosine (Qin et al. 2022).

    φ(q_t)·φ(k_j) = relu(q_t)·relu(k_j) · cos(π/2 · (t-j)/M)

The cosine of a difference is cos cos + sin sin, so each coordinate is two features of a token and its place: F = 2D.
No sequence is longer than M: past it weights would turn negative.
"""

from math import pi

import torch
from torch.nn import functional as F

from harness.attention.base import hold_size, unrotated
from harness.attention.kernel import Kernel


class Cosformer(Kernel):
    """Linear attention that knows distances. A query that no key shares a positive coordinate with reads 0."""

    version = 1
    golden = {1: (-0.5838540291329626, 0.30362756190944246, 0.09453419464031185, 4600.810684389505)}
    formula = "y_t = Σ_{j≤t} s_tj v_j / Σ_{j≤t} s_tj, s_tj = relu(q_t)·relu(k_j) cos(π/2 · (t-j)/M)"
    source = "Qin et al. 2022"

    def __init__(self, width, heads, longest, rotate=unrotated):
        super().__init__(width, heads, rotate)
        hold_size("longest", longest, power=30)
        self.longest, self.features = longest, 2 * self.head_width

    def features_of(self, q, k, seen):
        """See :class:`Kernel`. Raises ValueError beyond ``longest`` tokens."""
        until = seen + q.shape[2]
        if until > self.longest:
            raise ValueError(f"attention.longest={self.longest}: a sequence of {until} tokens does not fit")
        angles = torch.arange(seen, until, dtype=torch.float64, device="cpu")[:, None] * (pi / 2 / self.longest)
        cos, sin = (part.to(q) for part in (angles.cos(), angles.sin()))  # (T, 1)
        return tuple(torch.cat([x * cos, x * sin], -1) for x in (F.relu(q), F.relu(k)))
