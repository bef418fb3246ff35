"""The MLP of a block, a slice of rows at a time, so that what is read again soon is still in a cache.

GPT-2's GELU is x (1 + tanh(u)) / 2, u = sqrt(2/π) (x + 0.044715 x³), which is x σ(2u): torch has a vectorised kernel
of the sigmoid and none of the tanh. The products around it make s x and take x σ(2u) s, s = sqrt(8/π), at no cost, so
that 2u = s x + c (s x)³ is one pass. The slope is made with it, while all of it is at hand.
"""

import math
from itertools import zip_longest

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLICE = 2**20  # hidden numbers of the rows that go through the products: their tensors fit a last-level cache
TILE = 2**15  # hidden numbers that go through GELU: theirs fit the cache of a core
SCALE = math.sqrt(8 / math.pi)
CUBIC = 0.044715 / SCALE**2


class MLP(nn.Module):
    """C -> 4C -> C with GPT-2's GELU."""

    def __init__(self, width: int):
        super().__init__()
        self.project_in = nn.Linear(width, 4 * width)
        self.project_out = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> the same shape."""
        if x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):  # a GPU has the tanh in one kernel
            return self.project_out(F.gelu(self.project_in(x), approximate="tanh"))
        weights = *self.project_in.parameters(), *self.project_out.parameters()
        if torch.is_grad_enabled():
            return _Sliced.apply(x, *weights)
        weight_in, bias_in, weight_out, bias_out = weights
        y = x.new_empty(x.shape)
        for x_s, y_s in zip(*(_rows(part, SLICE // len(weight_in)) for part in (x, y)), strict=True):
            hidden = gelu_(torch.addmm(bias_in, x_s, weight_in.T, beta=SCALE, alpha=SCALE))
            torch.addmm(bias_out, hidden, weight_out.T, alpha=1 / SCALE, out=y_s)
        return y


class _Sliced(torch.autograd.Function):
    """The same with its backward pass; SCALE × GELU and the slope of GELU are kept for it."""

    @staticmethod
    def forward(ctx, x, weight_in, bias_in, weight_out, bias_out):
        units, y = len(weight_in), x.new_empty(x.shape)
        hidden, slope = x.new_empty(2, *x.shape[:-1], units).unbind(0)
        parts = (_rows(part, SLICE // units) for part in (x, hidden, slope, y))
        for x_s, hidden_s, slope_s, y_s in zip(*parts, strict=True):
            torch.addmm(bias_in, x_s, weight_in.T, beta=SCALE, alpha=SCALE, out=hidden_s)
            gelu_(hidden_s, slope_s)
            torch.addmm(bias_out, hidden_s, weight_out.T, alpha=1 / SCALE, out=y_s)
        ctx.save_for_backward(x, hidden, slope, weight_in, weight_out)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, to_y):
        x, hidden, slope, weight_in, weight_out = ctx.saved_tensors
        units, to_x = len(weight_in), x.new_empty(x.shape)
        to_in, to_out = torch.zeros_like(weight_in), torch.zeros_like(weight_out)
        to_bias = weight_in.new_zeros(units)
        parts = (_rows(part, SLICE // units) for part in (x, hidden, slope, to_y, to_x))
        for x_s, hidden_s, slope_s, to_y_s, to_x_s in zip(*parts, strict=True):
            torch.addmm(to_out, to_y_s.T, hidden_s, alpha=1 / SCALE, out=to_out)
            to_hidden = torch.mm(to_y_s, weight_out).mul_(slope_s)
            to_bias += to_hidden.sum(0)
            torch.addmm(to_in, to_hidden.T, x_s, out=to_in)
            torch.mm(to_hidden, weight_in, out=to_x_s)
        return to_x, to_in, to_bias, to_out, to_y.flatten(0, -2).sum(0)


def gelu_(scaled: Tensor, slope: Tensor | None = None) -> Tensor:
    """SCALE x (R, units) -> SCALE GELU(x) in its place, and the slope of GELU at x where room for it is given."""
    rows, one = TILE // scaled.shape[-1], scaled.new_ones(())
    for y, slope_t in zip_longest(_rows(scaled, rows), () if slope is None else _rows(slope, rows)):
        square = y * y
        gate = torch.addcmul(y, y, square, value=CUBIC).sigmoid_()
        y *= gate
        if slope_t is not None:
            torch.addcmul(y, y, gate, value=-1, out=slope_t)  # SCALE x σ (1 - σ)
            torch.addcmul(gate, slope_t, torch.add(one, square, alpha=3 * CUBIC, out=square), out=slope_t)
    return scaled


def _rows(x: Tensor, count: int) -> tuple[Tensor, ...]:
    """(..., any) -> parts of ``count`` rows (count, any) each, the last of them of as many as are left."""
    return x.reshape(-1, x.shape[-1]).split(max(count, 1))
