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

from harness.draw import Source
from harness.evaluate import Question, evaluate
from harness.model import GPT
from harness.nearest import unknown
from harness.scratchpad import Scratchpad
from harness.sequence import marks
from harness.theory.witness.base import Witness, add, empty, length_of, places, shape
from tasks.base import Instance, Task
from tasks.pairwise import Pairwise

SCALES: Mapping[str, float] = MappingProxyType({"half": 0.5, "one": 1.0})  # β as multiples of ln n; enough is ln 4n
ENOUGH = "enough"
HEADS = 2
(VALUE, REST, MARK, SAID), WIDTH = places(1, 1, 1, 1)
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


def one_alpha(task: Task) -> bool:
    """Whether a problem of pairs is the one of scalars, with one alpha for all prompts."""
    return task.norm == "abs" and task.alpha != "prompt"


@torch.no_grad()
def scalars(task: Pairwise, beta: float) -> GPT:
    """One layer and two heads that decide ``task``, scalars with one alpha, at logits of ``beta`` a step.

    The ordinary model of ``SOFTMAX.settings``. Raises ValueError for another kind of pairs.
    """
    model = empty(SOFTMAX.experiment(task, task.shortest))
    _write(model, task, beta)
    return model


def _write(model: GPT, task: Pairwise, beta: float) -> None:
    half, answer, value = (task.values - 1) / 2, marks(task).answer, torch.arange(task.values)
    at = torch.linspace(-1, 1, task.values, dtype=torch.float64)
    embedding = model.tokens.weight
    add(embedding.T, VALUE, value, at[None])
    add(embedding.T, REST, value, (1 - at.square()).sqrt()[None])  # so that all values have one length
    add(embedding.T, MARK, slice(task.vocab, None), 1.0)
    add(embedding.T, SAID, slice(task.vocab - 2, task.vocab), torch.tensor([[-1.0, 1.0]]))  # no, yes
    (block,) = model.blocks
    seen, mixer = length_of(1, WIDTH), block.mixer
    size = WIDTH // HEADS
    for head, sign in enumerate((1, -1)):
        query, key, of_value = (part * WIDTH + head * size for part in range(3))
        mixer.project_in.bias[query] = size**0.5  # every query asks for the same
        mixer.project_in.weight[key, VALUE] = sign * beta * half * seen
        mixer.project_in.weight[key, MARK] = -2 * beta * half - 100  # no mark is found, whatever the values
        mixer.project_in.weight[of_value, VALUE] = half * seen
        add(mixer.project_out.weight, SAID, head * size, -sign * SHARP)
    add(mixer.project_out.bias[:, None], SAID, 0, SHARP * (task.alpha - 0.5))
    mixer.project_out.bias -= embedding[answer]  # ANSWER, which reads, leaves nothing of itself


SOFTMAX = Witness(
    name="softmax",
    attention="softmax",
    problem="pairwise scalars with one alpha (task=pairwise task.norm=abs)",
    kind=Pairwise,
    holds=one_alpha,
    evidence="exact on every prompt of up to n values: at β = ln 4n each soft extreme is off by less than 1/4",
    words=lambda task, length: shape(layers=1, width=WIDTH, heads=HEADS),
    write=lambda model, task, length, scale: _write(model, task, scale * log(4 * length)),
)
