"""Linear attention: features of single coordinates (Katharopoulos et al. 2020), or learned ones.

    elu      φ(x) = elu(x) + 1
    relu     φ(x) = relu(x)
    exp      φ(x) = exp(min(x, 30))
    learned  φ(x) = relu(W x + b)      one W and b a head, of queries and keys (Kasai et al. 2021, T2R)

The clamp of exp keeps F e^60, the largest score, and sums of them within float32; below it φ is exact, above it flat.
Of relu and of learned features a score may be 0: a query that shares no feature with any key reads 0.
"""

import torch
from torch import nn
from torch.nn import functional as F

from harness.attention.base import hold_size, unrotated
from harness.attention.kernel import Kernel

FEATURES = {
    "elu": lambda x: _EluAndOne.apply(x) if x.requires_grad else F.elu(x) + 1,
    "relu": F.relu,
    "exp": lambda x: x.clamp(max=30).exp(),
    "learned": F.relu,  # of W x + b
}


class Linear(Kernel):
    """The past is a D x D matrix and a D vector a head; of learned features there may be more or fewer than D."""

    version = 1
    golden = {1: (-0.3459932937630326, 0.385309974213874, -0.12472658318795787, 4339.984251267982)}
    formula = "y_t = φ(q_t)ᵀ Σ_{j≤t} φ(k_j) v_jᵀ / φ(q_t)ᵀ Σ_{j≤t} φ(k_j), φ = elu + 1, relu, exp or learned"
    source = "Katharopoulos et al. 2020, learned features of Kasai et al. 2021"

    def __init__(self, width, heads, feature, features, rotate=unrotated):
        super().__init__(width, heads, rotate)
        if feature not in FEATURES:
            raise ValueError(f"attention.feature={feature}: {', '.join(FEATURES)} can be chosen")
        hold_size("features", features)
        self.feature, self.features = feature, self.head_width
        if feature == "learned":
            self.features = features
            self.feature_weight = nn.Parameter(torch.randn(heads, self.head_width, features) / self.head_width**0.5)
            self.feature_bias = nn.Parameter(torch.zeros(heads * features))  # one vector: biases are not decayed

    def features_of(self, q, k, seen):
        """See :class:`Kernel`."""
        return self._feature(q), self._feature(k)

    def feature_flops(self, tokens):
        """A matrix for each query and key where features are learned; the others are no products."""
        return (self.feature == "learned") * 4 * self.heads * tokens * self.head_width * self.features

    def _feature(self, x):
        if self.feature == "learned":
            x = x @ self.feature_weight + self.feature_bias.view(self.heads, 1, -1)  # (B, H, T, D) x (H, D, F)
        return FEATURES[self.feature](x)


class _EluAndOne(torch.autograd.Function):
    """x + 1 above 0 and exp(x) below, in three passes; its slope is its value, at most 1."""

    @staticmethod
    def forward(ctx, x):
        y = torch.clamp(x, max=0, out=x.new_empty(x.shape)).exp_().add_(x.clamp(min=0))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, to_y):
        (y,) = ctx.saved_tensors
        return y.clamp(max=1).mul_(to_y)
