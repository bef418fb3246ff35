"""Adaptive depth: after each loop a position may stop, with a probability that it computes itself (PonderNet).

Banino, Balaguer and Blundell 2021. Shape letters: ``R`` loops · ``B`` batch · ``N`` positions · ``C`` model width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Halting(nn.Module):
    """The probability to stop after a loop, given that it was reached: a linear reading of the residual stream."""

    def __init__(self, width: int):
        super().__init__()
        self.norm, self.project_in = nn.LayerNorm(width), nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(R, B, N, C) -> (R, B, N), the probability that a position stops after loop r; they sum to 1 over R.

        Who has not stopped before the last loop stops there.
        """
        rates = self.project_in(self.norm(x)).squeeze(-1)
        going = F.logsigmoid(-rates[:-1]).cumsum(0)  # in logarithms, so that long runs of loops lose nothing
        reached = torch.cat([torch.zeros_like(rates[:1]), going])
        stopping = torch.cat([F.logsigmoid(rates[:-1]), torch.zeros_like(rates[:1])])
        return (reached + stopping).exp()


def stopped(chances: Tensor) -> Tensor:
    """(R, B, N) -> (B, N), the loop after which a position stops when nothing is drawn: the median, counted from 0."""
    return (chances.cumsum(0) < 0.5).sum(0).clamp(max=len(chances) - 1)


def prior(loops: int, mean: float) -> Tensor:
    """(R,): the geometric distribution of that mean, cut after the last loop and made to sum to 1."""
    weights = (1 - 1 / mean) ** torch.arange(loops, dtype=torch.get_default_dtype())
    return weights / weights.sum()


def divergence(chances: Tensor, mean: float) -> Tensor:
    """(R, B, N) -> (B, N): nats from the geometric prior of that mean, Kullback and Leibler."""
    expected = prior(len(chances), mean).to(chances)[:, None, None]
    return (torch.xlogy(chances, chances) - chances * expected.log()).sum(0)
