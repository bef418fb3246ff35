"""Weights that decide pairwise scalars in one layer of linear attention, whose state is a histogram (claim C7).

Each value x of 0 .. M - 1 is written as the M - 1 answers to "is x ≥ t?", as -1 or 1. All values have one feature, all
marks none, and the query has it too, so ANSWER reads the mean of each answer: the share of values above each threshold,
in counts of n. The MLP makes a step of every count, min(1, count), with two bends. Thresholds that some value reaches
number max, those that some value misses M - 1 - min, and their sum is compared with M - 1 + alpha - 1/2.

    max - min = Σ_t [some x ≥ t] + Σ_t [some x < t] - (M - 1)

The state is M - 1 numbers and a count, whatever n; nothing grows with n but the slope n of the steps. What limits it is
float32: a mean is rounded to 2^-24, so n times that in a count, and M - 1 counts of either side are added, so if all
err alike half a step is reached at n M = 2^22. Values 0 .. 63 at n = 1,024 are 64 times below.
"""

import torch

from harness.model import GPT
from harness.theory.witness.base import KNEE, Witness, add, length_of, places, shape, thirds
from harness.theory.witness.extremes import one_alpha
from tasks.pairwise import Pairwise


def _places(task: Pairwise) -> tuple[tuple[slice, ...], int]:
    """Answers at thresholds, the same of what is read, one that is 1 everywhere, what tells marks, what is said."""
    return places(task.values - 1, task.values - 1, 1, 1, 1)


def _write(model: GPT, task: Pairwise, length: int, scale: float) -> None:
    (above, shares, one, mark, said), width = _places(task)
    steps, embedding, (block,) = task.values - 1, model.tokens.weight, model.blocks
    reached = torch.arange(task.values) > torch.arange(steps)[:, None]  # (M - 1, M)
    add(embedding.T, above, slice(task.values), 2.0 * reached - 1)
    add(embedding.T, mark, slice(task.vocab, None), steps**0.5)  # so that all embeddings have one length
    for given in (slice(task.values), slice(task.vocab, None)):
        add(embedding.T, one, given, 1.0)
    add(embedding.T, said, slice(task.vocab - 2, task.vocab), torch.tensor([[-1.0, 1.0]]))  # no, yes
    divided, mixer, mlp = length_of(1 + steps, width), block.mixer, block.mlp
    query, key, value = thirds(width)
    mixer.project_in.bias[query][0] = 1.0
    mixer.project_in.weight[key][0, one], mixer.project_in.weight[key][0, mark] = divided, -2 * divided
    mixer.project_in.weight[value][:steps, above] = divided * torch.eye(steps)
    add(mixer.project_out.weight, shares, slice(steps), torch.eye(steps))
    hidden, slope = mlp.project_in.weight, KNEE * scale * length / 2
    sharp = 10 * task.values  # what is said of a step, far above what ANSWER has in common with any token
    for number, (sign, bend) in enumerate([(1, 0), (1, 1), (-1, 0), (-1, 1)]):  # some reach it: up at 0, level at 1
        units = slice(number * steps, (number + 1) * steps)
        hidden[units, shares] = sign * slope * torch.eye(steps)
        hidden[units, one] = slope - KNEE * bend
        add(mlp.project_out.weight, said, units, (2 * bend - 1) * sharp)
    hidden[4 * steps, one] = KNEE
    add(mlp.project_out.weight, said, 4 * steps, (steps + task.alpha - 0.5) * sharp)


LINEAR = Witness(
    name="linear",
    attention="linear",
    problem="pairwise scalars with one alpha (task=pairwise task.norm=abs)",
    kind=Pairwise,
    holds=one_alpha,
    evidence="exact on every prompt of up to n values: a count of 1 in n is told from 0 at each of M - 1 thresholds",
    words=lambda task, length: ["attention.feature=relu", *shape(layers=1, width=_places(task)[1])],
    write=_write,
)
