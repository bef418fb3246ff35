"""Weights that decide pairwise Hamming and orthogonal vectors in two softmax layers (THEORY: two suffice, C7).

Layer 1: each vector looks among those before it, and at itself, for the one at the largest distance, or with the
smallest inner product, and reads that one's bits. Its MLP compares the two: of bits s and a, as -1 and 1,

    |s + a| = 1 + s a        Σ_c |s_c + a_c| = 2 (d - Ham(s, a))
    relu(s + a) = 1 + a if s = 1, else 0        Σ_c relu(s_c + a_c) = 2 <s, a> as 0-1 vectors

for any a between -1 and 1 too, so a mean over several vectors has the mean of their distances. It writes how far the
sum is above a bound that lies half a unit from either answer. Layer 2: ANSWER looks for the least of these; its sign
tells.

A vector with itself is no pair, and does no harm: its distance is 0, and its inner product is 0 for the vector 0 alone,
which is orthogonal to every other.

At β = ln 4n a unit the mean of layer 1 is off by less than 1/4, which leaves 1/4 to the bound, and in layer 2, sharper
by a factor of 4, one below it outweighs all n - 1 above. Nothing else grows with n. Float32 rounds scores, of β d at
most, to 2^-24 of that: far from it.
"""

from math import log

import numpy as np
import torch

from harness.model import GPT
from harness.theory.witness.base import KNEE, Witness, add, length_of, places, shape, thirds
from tasks.base import Task
from tasks.orthogonal_vectors import OrthogonalVectors
from tasks.pairwise import Pairwise
from tasks.vectors import Tokens

SHARP = 1000.0  # what is said of a unit, far above what ANSWER leaves of itself


def _places(dim: int) -> tuple[tuple[slice, ...], int]:
    """Bits of the vector, of what it found, how far above the bound; what is said; what tells marks, and vectors."""
    return places(dim, dim, 1, 1, 1, 1)


def _write(model: GPT, task: Pairwise | OrthogonalVectors, length: int, scale: float) -> None:
    far, dim, beta = isinstance(task, Pairwise), task.dim, scale * log(4 * length)
    (own, found, above, said, mark, item), width = _places(dim)
    embedding, vectors, (first, second) = model.tokens.weight, slice(2**dim), model.blocks
    bits = 2.0 * torch.from_numpy(Tokens(2, dim).read(np.arange(2**dim)[:, None])[:, 0]).float() - 1
    add(embedding.T, own, vectors, bits.T)
    add(embedding.T, item, vectors, 1.0)
    add(embedding.T, mark, slice(task.vocab, None), (dim + 1) ** 0.5)  # so that all embeddings have one length
    hit = torch.tensor([[1.0, -1.0]]) if far else torch.tensor([[-1.0, 1.0]])  # of no, yes: where one is below
    add(embedding.T, said, slice(task.vocab - 2, task.vocab), hit)

    divided, eye, root = length_of(dim + 1, width), torch.eye(dim), width**0.5
    query, key, value = thirds(width)
    into, bias = first.mixer.project_in.weight, first.mixer.project_in.bias
    into[query][own, own] = -beta / (2 if far else 4) * divided * root * eye  # s · t or (s + 1) · t a unit
    bias[query][own] = 0 if far else -beta / 4 * root
    bias[query][mark] = -root
    into[key][own, own] = into[value][own, own] = divided * eye
    into[key][mark, mark] = beta * dim + 100  # no mark is found, whatever the vectors
    add(first.mixer.project_out.weight, found, own, eye)
    hidden, out = first.mlp.project_in.weight, first.mlp.project_out.weight
    for number, sign in enumerate((1, -1)[: 1 + far]):
        units = slice(number * dim, (number + 1) * dim)
        hidden[units, own] = hidden[units, found] = sign * KNEE * eye
        add(out, above, units, 1 / KNEE)
    hidden[2 * dim, item] = KNEE
    add(out, above, 2 * dim, -(2 * (dim - task.alpha) + 1 if far else 1) / KNEE)

    into, bias = second.mixer.project_in.weight, second.mixer.project_in.bias
    bias[query][above], bias[query][mark] = -4 * beta * root, -root
    into[key][above, above] = into[value][above, above] = 1.0
    into[key][mark, mark] = 8 * beta * width**0.5 + 100  # what LayerNorm leaves of a number is below the root of C
    add(second.mixer.project_out.weight, said, above, -SHARP)


def _whole(task: Task) -> bool:
    return task.tokens == "item"


FARTHEST = Witness(
    name="farthest",
    attention="softmax",
    problem="pairwise 0-1 vectors with one alpha, each one token (task=pairwise task.norm=hamming task.tokens=item)",
    kind=Pairwise,
    holds=lambda task: task.norm == "hamming" and task.alpha != "prompt" and _whole(task),
    evidence="exact on every prompt of up to n vectors: the mean distance found is off by less than 1/4 at β = ln 4n",
    words=lambda task, length: shape(layers=2, width=_places(task.dim)[1]),
    write=_write,
)
ORTHOGONAL = Witness(
    name="orthogonal",
    attention="softmax",
    problem="orthogonal vectors that are one token each (task=orthogonal_vectors task.tokens=item)",
    kind=OrthogonalVectors,
    holds=_whole,
    evidence="exact on every prompt of up to n vectors: the mean product found is off by less than 1/4 at β = ln 4n",
    words=lambda task, length: shape(layers=2, width=_places(task.dim)[1]),
    write=_write,
)
