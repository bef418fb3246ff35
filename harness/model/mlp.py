"""The MLP of a block, a slice of rows at a time: what stands between its two products stays in the cache.

GPT-2's GELU is x (1 + tanh(u)) / 2, u = sqrt(2/π) (x + 0.044715 x³), which is x σ(2u): torch has a vectorised kernel
of the sigmoid and none of the tanh. Its slope, σ(2u) + x σ(2u) (1 - σ(2u)) 2u', is made with it, while it is at hand.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLICE = 2**18  # hidden numbers of the rows at work: the four tensors of a slice fit a last-level cache
LINEAR = math.sqrt(8 / math.pi)
CUBIC = 0.044715 * LINEAR


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
        for x_s, y_s in zip(*(_slices(part, len(weight_in)) for part in (x, y)), strict=True):
            hidden = gelu(torch.addmm(bias_in, x_s, weight_in.T))
            torch.addmm(bias_out, hidden, weight_out.T, out=y_s)
        return y


class _Sliced(torch.autograd.Function):
    """The same with its backward pass; GELU and its slope are kept for it."""

    @staticmethod
    def forward(ctx, x, weight_in, bias_in, weight_out, bias_out):
        units, y = len(weight_in), x.new_empty(x.shape)
        hidden, slope = x.new_empty(2, *x.shape[:-1], units).unbind(0)
        parts = (_slices(part, units) for part in (x, hidden, slope, y))
        for x_s, hidden_s, slope_s, y_s in zip(*parts, strict=True):
            gelu(torch.addmm(bias_in, x_s, weight_in.T), hidden_s, slope_s)
            torch.addmm(bias_out, hidden_s, weight_out.T, out=y_s)
        ctx.save_for_backward(x, hidden, slope, weight_in, weight_out)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, to_y):
        x, hidden, slope, weight_in, weight_out = ctx.saved_tensors
        units, to_x = len(weight_in), x.new_empty(x.shape)
        to_in, to_out = torch.zeros_like(weight_in), torch.zeros_like(weight_out)
        to_bias = weight_in.new_zeros(units)
        parts = (_slices(part, units) for part in (x, hidden, slope, to_y, to_x))
        for x_s, hidden_s, slope_s, to_y_s, to_x_s in zip(*parts, strict=True):
            torch.addmm(to_out, to_y_s.T, hidden_s, out=to_out)
            to_hidden = torch.mm(to_y_s, weight_out).mul_(slope_s)
            to_bias += to_hidden.sum(0)
            torch.addmm(to_in, to_hidden.T, x_s, out=to_in)
            torch.mm(to_hidden, weight_in, out=to_x_s)
        return to_x, to_in, to_bias, to_out, to_y.flatten(0, -2).sum(0)


def gelu(x: Tensor, out: Tensor | None = None, slope: Tensor | None = None) -> Tensor:
    """GELU of any shape, and its slope where room for it is given; ``x`` is spent."""
    linear, square = x.new_tensor(LINEAR), x * x
    gate = torch.add(linear, square, alpha=CUBIC).mul_(x).sigmoid_()
    said = torch.mul(x, gate, out=out)
    if slope is not None:
        torch.addcmul(said, said, gate, value=-1, out=x)  # x σ (1 - σ)
        torch.addcmul(gate, x, torch.add(linear, square, alpha=3 * CUBIC, out=square), out=slope)
    return said


def _slices(x: Tensor, units: int) -> tuple[Tensor, ...]:
    """(..., any) -> rows (r, any), so many that their hidden numbers are ``SLICE``."""
    return x.reshape(-1, x.shape[-1]).split(max(SLICE // units, 1))
