"""Weights that are set by hand are exact where they say so: on all prompts of a tiny size, on each split, on a crowd.

A crowd is what a witness finds hardest: one item decides, and all others are as near to it as can be. Each witness has
broken twins there, at half its scale and with a weight of another sign.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
import torch

from harness.draw import Source
from harness.evaluate import Question, answer, evaluate
from harness.sequence import encode
from harness.theory.witness import WITNESSES, Crowded
from tasks.base import Instance
from tasks.modular_addition import ModularAddition
from tasks.orthogonal_vectors import OrthogonalVectors
from tasks.pairwise import Pairwise
from tasks.parity import Parity
from tasks.recall import Recall
from tasks.vectors import Tokens


@dataclass(frozen=True)
class Far(Pairwise):
    """One vector is at alpha from the last, all others are equal and one nearer. In a *yes* there is no such one."""

    def sample(self, rng, size, length, split):
        close, order = np.arange(size) % 2 == 0, rng.random((size, self.dim)).argsort(axis=1)
        last = rng.integers(0, 2, (size, 1, self.dim))
        near, far = ((order < differ)[:, None] ^ last for differ in (self.alpha - 1, self.alpha))
        first = np.where(close[:, None, None], near, far)
        items = np.concatenate([first, np.repeat(near, length - 2, axis=1), last], axis=1)
        return Instance(Tokens(2, self.dim).line(items), self._verdict(close))


@dataclass(frozen=True)
class Met(OrthogonalVectors):
    """One vector has no bit of the last, all others are equal and have one. In a *no* there is no such one."""

    def sample(self, rng, size, length, split):
        yes, order = np.arange(size) % 2 == 0, rng.random((size, self.dim)).argsort(axis=1)
        last = (order < self.dim // 2)[:, None].astype(np.int64)
        near = 1 - last | (order == 0)[:, None]
        first = np.where(yes[:, None, None], 1 - last, near)
        items = np.concatenate([first, np.repeat(near, length - 2, axis=1), last], axis=1)
        return Instance(Tokens(2, self.dim).line(items), self.say(yes)[:, None])


@dataclass(frozen=True)
class Keyed(Recall):
    """Keys that differ from the blank in one bit: 1, 2, 4 and so on."""

    def sample(self, rng, size, length, split):
        drawn = super().sample(rng, size, length, "natural")
        prompt = drawn.prompt.copy()
        for number in range(self.pairs):
            prompt[drawn.prompt == drawn.prompt[:, [2 * number]]] = 2**number
        return Instance(prompt, drawn.answer, drawn.at)


CUBE = dict(values=2, norm="hamming")
CASES = {  # witness -> its problem, other settings of it, its crowd; parity and sums are as hard everywhere
    "softmax": (Pairwise(), [Pairwise(alpha=2, values=3)], Crowded()),
    "linear": (Pairwise(alpha=5, values=16), [Pairwise(alpha=2, values=3)], Crowded(alpha=5, values=16)),
    "farthest": (Pairwise(alpha=4, dim=7, **CUBE), [Pairwise(alpha=3, dim=3, **CUBE)], Far(alpha=4, dim=7, **CUBE)),
    "orthogonal": (OrthogonalVectors(), [OrthogonalVectors(dim=5)], Met()),
    "induction": (
        Recall(symbols=64),
        [Recall(pairs=3, symbols=41, power=1.0, random_non_queries=True)],
        Keyed(symbols=64),
    ),
    "running_bit": (Parity(), [], Parity()),
    "counter": (ModularAddition(), [ModularAddition(modulus=2)], ModularAddition()),
}
LENGTH = 24
TINY = {
    "softmax": Pairwise.tiny(),
    "linear": Pairwise.tiny(),
    "farthest": (Pairwise(alpha=2, values=2, dim=3, norm="hamming"), 4),
    "orthogonal": OrthogonalVectors.tiny(),
    "induction": Recall.tiny(),
    "running_bit": Parity.tiny(),
    "counter": ModularAddition.tiny(),
}


def accuracy(name, task, model, length, split="boundary", size=100):
    source = Source(task, WITNESSES[name].scratchpad(task, length), seed=0)
    (score,) = evaluate(model, source, [Question(split, length)], size)
    return score.accuracy


def test_every_witness_has_its_cases():
    assert set(CASES) == set(TINY) == set(WITNESSES)
    assert all(name == WITNESSES[name].name for name in WITNESSES)


@pytest.mark.parametrize("name", TINY)
def test_all_prompts_of_a_tiny_size_are_decided(name):
    task, length = TINY[name]
    witness, prompts = WITNESSES[name], task.prompts(length)
    at = None
    if isinstance(task, Recall):
        opening = 2 * task.pairs
        asked = (prompts[:, None, opening:] == prompts[:, :opening:2, None]).any(1)
        at = opening + np.nonzero(asked)[1].reshape(len(prompts), task.pairs)
    instance = Instance(prompts, task.solve(prompts), at)
    batch = encode(task, witness.scratchpad(task, length), instance, length)
    answers = answer(witness.build(task, length), batch)
    assert answers.right_tokens.all()
    assert not answers.first_error.any()


@pytest.mark.parametrize("name", CASES)
def test_every_split_is_decided_up_to_the_length_it_is_built_for(name):
    task, others, crowd = CASES[name]
    for one in (task, *others):
        model = WITNESSES[name].build(one, LENGTH)
        for length, split in product((LENGTH, 17), ("boundary", "broad", "natural")):
            assert accuracy(name, one, model, length, split) == 1.0, (one, length, split)
    assert accuracy(name, crowd, WITNESSES[name].build(crowd, LENGTH), LENGTH) == 1.0


SCALES = {  # length, scale and what a crowd is decided with at most; the counter has no logits, but saturated units
    "softmax": (24, 0.5, 0.55),
    "linear": (24, 0.5, 0.55),
    "farthest": (24, 0.5, 0.55),
    "orthogonal": (24, 0.5, 0.55),
    "induction": (64, 0.5, 0.2),
    "running_bit": (24, 0.5, 0.65),
    "counter": (24, 0.1, 0.25),
}


@pytest.mark.parametrize("name", CASES)
def test_half_the_scale_is_too_little_for_a_crowd(name):
    crowd, (length, scale, most) = CASES[name][2], SCALES[name]
    assert accuracy(name, crowd, WITNESSES[name].build(crowd, length), length) == 1.0
    assert accuracy(name, crowd, WITNESSES[name].build(crowd, length, scale), length) <= most


SIGNS = {  # a problem, its crowd, and a parameter of which no number but 0 may have the other sign
    "softmax": (Pairwise(alpha=3, values=6), Crowded(alpha=3, values=6), "mixer.project_in.weight"),
    "linear": (Pairwise(alpha=3, values=6), Crowded(alpha=3, values=6), "mixer.project_out.weight"),
    "farthest": (Pairwise(alpha=4, dim=4, **CUBE), Far(alpha=4, dim=4, **CUBE), "mixer.project_in.weight"),
    "orthogonal": (OrthogonalVectors(dim=4), Met(dim=4), "mlp.project_in.weight"),
    "induction": (Recall(symbols=64), Keyed(symbols=64), "mixer.project_in.weight"),
    "running_bit": (Parity(), Parity(), "mixer.project_in.weight"),
    "counter": (ModularAddition(modulus=3), ModularAddition(modulus=3), "mixer.cells.weight_hh_l0"),
}
BLOCK = {"induction": 1, "running_bit": 1}


@torch.no_grad()
@pytest.mark.parametrize("name", SIGNS)
def test_no_weight_may_have_the_other_sign(name):
    task, crowd, parameter = SIGNS[name]
    model = WITNESSES[name].build(task, 16)
    numbers = dict(model.blocks[BLOCK.get(name, 0)].named_parameters())[parameter].view(-1)
    places = numbers.nonzero()[:, 0].tolist()
    assert len(places) > 5
    for place in places[:12]:
        numbers[place] *= -1
        assert min(accuracy(name, one, model, 16) for one in (task, crowd)) < 0.9, place
        numbers[place] *= -1
    assert accuracy(name, task, model, 16) == 1.0, "as it was"
