"""Weights that are set by hand and decide pairwise scalars in one softmax layer of two heads (the control of claim C7).

All are close iff max - min < alpha. One head scores +β x and finds the maximum, the other -β x and the minimum; what
they find is subtracted and compared with alpha - 1/2. A value that lies g steps inside an extreme takes at most
g e^{-βg} ≤ e^{-β} off it, so each extreme is off by at most (n - 1) e^{-β}, which is below 1/4 if β ≥ ln 4n: then every
input is decided rightly. Of what grows with n there is only that scale, ln n.

Less is too little on the *crowded* family: one maximum, one minimum, all others one step inside them, against values
that all lie on two extremes. With β = ln n / 2 the crowd outweighs the extremes.

What limits it is float32. Scores reach β (M - 1) / 2 for values 0 .. M - 1 and are rounded to 2^-24 of that, a weight
is off by as much, and the margin at β = ln 4n is 0.1 of a step on crowded items: M = 64 and n = 1024 are far from it.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import log
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from harness.attention.softmax import Softmax
from harness.draw import Source
from harness.evaluate import Question, evaluate
from harness.model.gpt import GPT
from harness.model.positions import Nowhere
from harness.nearest import unknown
from harness.scratchpad import Scratchpad
from harness.sequence import marks, vocabulary
from tasks.base import Instance
from tasks.pairwise import Pairwise

SCALES: Mapping[str, float] = MappingProxyType({"half": 0.5, "one": 1.0})  # β as multiples of ln n; enough is ln 4n
ENOUGH = "enough"
WIDTH, HEADS = 8, 2
VALUE, REST, MARK, SAID = 0, 2, 4, 6  # places in the residual stream, each beside its negative: every mean is 0
SHARP = 100.0  # what is said of a difference of one step: far above the small number in LayerNorm


def rows(
    lengths: Sequence[int] = (16, 64, 256, 1024),
    scales: Sequence[str] = (ENOUGH, "half"),
    items: int = 2000,
    alpha: int = 24,
    values: int = 64,
    seed: int = 0,
) -> Iterator[dict]:
    """A row for each length, scale and split, boundary twins and crowded items: accuracy in the ordinary evaluation.

    ``scales`` are named: *enough* is β = ln 4n, *one* ln n and *half* half of that.
    """
    none = Scratchpad("none", "trace", None, 0.0, 0.0)
    tasks = {"boundary": Pairwise(alpha=alpha, values=values), "crowded": Crowded(alpha=alpha, values=values)}
    for length in lengths:
        for scale in scales:
            beta = scaled(scale, length)
            model = scalars(tasks["boundary"], beta)
            for split, task in tasks.items():
                (score,) = evaluate(model, Source(task, none, seed), [Question("boundary", length)], items)
                yield {
                    "length": length,
                    "scale": scale,
                    "beta": beta,
                    "beta_per_ln_n": beta / log(length),
                    "split": split,
                    "items": items,
                    "accuracy": float(score.accuracy),
                    "accuracy_low": float(score.accuracy_low),
                    "accuracy_high": float(score.accuracy_high),
                }


def scaled(scale: str, length: int) -> float:
    """β at a length. Raises ValueError for a scale that has no name."""
    if scale not in (ENOUGH, *SCALES):
        raise unknown("scale ", scale, [ENOUGH, *SCALES])
    return log(4 * length) if scale == ENOUGH else SCALES[scale] * log(length)


class Crowded(Pairwise):
    """Scalars whose extremes are outnumbered: *no* has each once, and the others one step inside; *yes* has no others.

    A *no* spans alpha, a *yes* alpha - 1, as on boundary; they take turns. All splits are this one.
    """

    def sample(self, rng: np.random.Generator, size: int, length: int, split: str) -> Instance:
        """See :meth:`Task.sample`."""
        self.refuse(length, split)
        close = np.arange(size) % 2 == 0
        low, span = rng.integers(self.values - self.alpha, size=(size, 1)), self.alpha - close[:, None]
        inside = np.where(close[:, None], 0, 1)
        upper = rng.integers(2, size=(size, length)).astype(bool)
        values = np.where(upper, low + span - inside, low + inside)
        values[:, :1], values[:, 1:2] = low, low + span
        return Instance(rng.permuted(values, axis=1), self._verdict(close))


@torch.no_grad()
def scalars(task: Pairwise, beta: float) -> GPT:
    """One layer and two heads that decide ``task``, scalars with one alpha, at logits of ``beta`` a step.

    Raises ValueError for another kind of pairs.
    """
    if task.norm != "abs" or task.alpha == "prompt":
        raise ValueError(f"norm={task.norm}, alpha={task.alpha}: scalars with one alpha have a witness")
    model = GPT(vocabulary(task), WIDTH, [Softmax(WIDTH, HEADS)], Nowhere(WIDTH, WIDTH, WIDTH))
    for name, parameter in model.named_parameters():
        parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
    half, answer = (task.values - 1) / 2, marks(task).answer
    places = torch.linspace(-1, 1, task.values, dtype=torch.float64)
    embedding = model.tokens.weight
    _both(embedding[: task.values], VALUE, places)
    _both(embedding[: task.values], REST, (1 - places.square()).sqrt())  # so that all values have one norm
    _both(embedding[task.vocab :], MARK, 1.0)
    _both(embedding[task.vocab - 2 : task.vocab], SAID, torch.tensor([-1.0, 1.0]))  # no, yes
    (block,) = model.blocks
    seen, mixer = (2 / WIDTH + block.norm_mixer.eps) ** 0.5, block.mixer  # what LayerNorm divides a value by
    size = WIDTH // HEADS
    for head, sign in enumerate((1, -1)):
        query, key, value = (part * WIDTH + head * size for part in range(3))
        mixer.project_in.bias[query] = size**0.5  # every query asks for the same
        mixer.project_in.weight[key, VALUE] = sign * beta * half * seen
        mixer.project_in.weight[key, MARK] = -2 * beta * half - 100  # no mark is found, whatever the values
        mixer.project_in.weight[value, VALUE] = half * seen
        _both(mixer.project_out.weight.T[head * size : head * size + 1], SAID, -sign * SHARP)
    _both(mixer.project_out.bias[None], SAID, SHARP * (task.alpha - 0.5))
    mixer.project_out.bias -= embedding[answer]  # ANSWER, which reads, leaves nothing of itself
    return model


def _both(rows: Tensor, place: int, values: Tensor | float) -> None:
    """Write (rows,) values at a place, and their negatives beside it."""
    rows[:, place], rows[:, place + 1] = values, -values
