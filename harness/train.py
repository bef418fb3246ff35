"""The training loop, short enough to read in one sitting."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from numpy.random import Generator
from torch import Tensor, nn
from torch.nn import functional as F

from harness.model.gpt import GPT
from harness.model.halting import divergence
from harness.sections import Train
from harness.sequence import IGNORE, Batch

VERSION = 2  # raised whenever the same settings train to other weights


@dataclass(frozen=True)
class Progress:
    """What one update did."""

    update: int  # updates done so far
    length: int  # of the problems in its batch
    loss: float  # nats per supervised token
    gradient_norm: float  # before clipping
    learning_rate: float


class Diverged(ArithmeticError):
    """The loss or the gradient stopped being a number; the update was not made."""


def rate(train: Train, update: int) -> float:
    """Learning rate of update 1, 2, ...: linear warm-up, then a cosine down to a tenth."""
    if update <= train.warmup:
        return train.learning_rate * update / train.warmup
    done = (update - train.warmup) / max(train.updates - train.warmup, 1)
    return train.learning_rate * (0.55 + 0.45 * math.cos(math.pi * done))


def optimizer(model: nn.Module, train: Train) -> torch.optim.AdamW:
    """AdamW; weight decay on matrices, not on biases and norms."""
    learned = [p for p in model.parameters() if p.requires_grad]
    matrices, vectors = [p for p in learned if p.ndim >= 2], [p for p in learned if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": train.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=train.learning_rate, betas=(0.9, 0.99), fused=True)


def objective(model: GPT, batch: Batch, train: Train, rng: Generator | None = None) -> Tensor:
    """Nats per supervised token.

    Of a model that halts they are expected over the loop after which a position stops, and ``train.ponder`` times the
    divergence of that loop's distribution from the prior is added (Banino et al. 2021, equation 4).
    """
    if model.halting is None:
        logits = model.read(batch.read, batch.given, batch.supervised, rng)
        return F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORE)
    logits, chances = model.read_each(batch.read, batch.given, batch.supervised, rng)
    labels = batch.labels.expand(len(logits), -1, -1)
    nats = F.cross_entropy(logits.flatten(0, 2), labels.flatten(), ignore_index=IGNORE, reduction="none")
    told = (chances * nats.view_as(chances)).sum(0) + train.ponder * divergence(chances, train.prior_loops)
    return told[batch.labels != IGNORE].mean()


def fit(
    model: GPT,
    optimizer: torch.optim.Optimizer,
    draw: Callable[[int], tuple[int, Batch, Generator]],
    train: Train,
    done: Progress | None = None,
) -> Iterator[Progress]:
    """Train, yielding after every update; ``done`` was the last one made.

    ``draw(update)`` gives its length, its batch, and the generator of where the batch's tokens stand.
    Nothing here is random, so an update is a function of the weights, the optimizer's moments and its number.
    Raises Diverged before the update whose loss or gradient is not finite, and after the last if a weight is not.
    """
    last = done.loss if done else math.nan
    for update in range(done.update + 1 if done else 1, train.updates + 1):
        length, batch, rng = draw(update)
        loss = objective(model, batch, train, rng)
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), train.clip)
        if not torch.isfinite(norm + loss.detach()):
            now = f"loss {loss.item()}, gradient norm {norm.item()}"
            raise Diverged(f"update {update}: {now}; the last finite loss was {last}")
        for group in optimizer.param_groups:
            group["lr"] = rate(train, update)
        optimizer.step()
        last = loss.item()
        yield Progress(update, length, last, norm.item(), rate(train, update))
    if not all(torch.isfinite(parameter).all() for parameter in model.parameters()):
        raise Diverged(f"update {train.updates}: a weight is not finite after it; the last finite loss was {last}")
