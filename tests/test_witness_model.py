"""Weights that are set by hand are those of ordinary models, refuse other problems, and hold inside what they say."""

import doctest
import io
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from harness import attention, config
from harness.draw import Source
from harness.model import GPT, Learned, build
from harness.model.positions import Nowhere
from harness.sequence import marks
from harness.settings import Experiment
from harness.theory import witness as theory_witness
from harness.theory.witness import (
    WITNESSES,
    Crowded,
    base,
    counter,
    farthest,
    histogram,
    induction,
    running_bit,
    witness,
)
from harness.theory.witness.base import add, length_of, places, signs
from tasks.majority import Majority
from tasks.modular_addition import ModularAddition
from tasks.orthogonal_vectors import OrthogonalVectors
from tasks.pairwise import Pairwise
from tasks.parity import Parity
from tasks.recall import Recall
from tasks.vectors import Tokens

HAMMING = Pairwise(alpha=3, values=2, dim=5, norm="hamming")
TASKS = {
    "softmax": Pairwise(alpha=5, values=16),
    "linear": Pairwise(alpha=5, values=16),
    "farthest": HAMMING,
    "orthogonal": OrthogonalVectors(dim=5, density=0.3),
    "induction": Recall(pairs=2, symbols=21, power=0.5, random_non_queries=True),
    "running_bit": Parity(),
    "counter": ModularAddition(modulus=5),
}


def batch_of(name, length, split="broad", size=30, task=None):
    task = task or TASKS[name]
    return Source(task, WITNESSES[name].scratchpad(task, length), seed=0).items(split, length, size)


@torch.no_grad()
def stream(model, tokens, block):
    """The residual stream before the MLP of a block, (B, T, C)."""
    kept = []
    hook = model.blocks[block].norm_mlp.register_forward_pre_hook(lambda module, given: kept.append(given[0]))
    model(tokens)
    hook.remove()
    return kept[0]


# settings -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("length", [9, 14])
def test_the_model_of_its_settings_takes_the_weights_and_says_the_same(name, length):
    model, words = WITNESSES[name].build(TASKS[name], length), WITNESSES[name].settings(TASKS[name], length)
    (experiment,) = config.points(words)
    assert isinstance(experiment, Experiment)
    assert experiment.task == TASKS[name]
    assert experiment.attention.name == WITNESSES[name].attention
    assert experiment.scratchpad == WITNESSES[name].scratchpad(TASKS[name], length)
    written = io.BytesIO()
    torch.save(model.state_dict(), written)
    written.seek(0)
    other, tokens = build(experiment), batch_of(name, length).read
    with torch.no_grad():
        said = model(tokens)[0]
        assert not torch.equal(other(tokens)[0], said)
        other.load_state_dict(torch.load(written, weights_only=True))
        assert torch.equal(other(tokens)[0], said)


@pytest.mark.parametrize("name", TASKS)
def test_it_is_built_the_same_again(name):
    torch.manual_seed(1)
    first = WITNESSES[name].build(TASKS[name], 9).state_dict()
    torch.manual_seed(2)
    again = WITNESSES[name].build(TASKS[name], 9).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)


@pytest.mark.parametrize("name", TASKS)
def test_it_is_an_ordinary_model(name):
    model = WITNESSES[name].build(TASKS[name], 9)
    layers = {"softmax": 1, "linear": 1, "counter": 1}.get(name, 2)
    assert type(model) is GPT
    assert len(model.blocks) == layers
    assert type(model.position) is (Learned if name in ("induction", "running_bit") else Nowhere)
    kinds = {type(block.mixer) for block in model.blocks}
    assert kinds == {attention.load(WITNESSES[name].attention)}
    for block in model.blocks:
        assert (block.norm_mixer.weight == 1).all(), "LayerNorm is as it starts"
        assert (block.norm_mixer.bias == 0).all()


@pytest.mark.parametrize("name", ["linear", "counter"])
def test_the_state_does_not_grow(name):
    sizes = {
        WITNESSES[name].build(TASKS[name], length).blocks[0].mixer.state_size(seen)
        for length in (9, 20)
        for seen in (9, 99)
    }
    assert len(sizes) == 1


def test_a_task_of_another_class_has_the_settings_of_its_problem():
    assert WITNESSES["softmax"].settings(Crowded(alpha=5, values=16), 9) == WITNESSES["softmax"].settings(
        Pairwise(alpha=5, values=16), 9
    )


REFUSED = {
    "another task": ("softmax", Majority(), "witness=softmax: task=majority .*pairwise scalars"),
    "another norm": ("linear", HAMMING, "task.norm=hamming .*pairwise scalars with one alpha"),
    "any alpha": ("softmax", Pairwise(alpha="prompt"), "task.alpha=prompt was given"),
    "scalars": ("farthest", Pairwise(), "task=pairwise was given, it is for pairwise 0-1 vectors"),
    "coordinates": (
        "farthest",
        Pairwise(alpha=3, values=2, dim=5, norm="hamming", tokens="coordinate"),
        "each one token",
    ),
    "coordinates of others": ("orthogonal", OrthogonalVectors(tokens="coordinate"), "one token each"),
    "many units": ("counter", ModularAddition(modulus=33), "task.modulus=33 was given, it is for sums modulo 2 to 32"),
    "no such witness": ("sofmax", Pairwise(), "did you mean softmax"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_is_not_for_is_refused_in_one_sentence(case):
    name, task, sentence = REFUSED[case]
    with pytest.raises(ValueError, match=sentence) as caught:
        witness(task, name)
    assert "\n" not in str(caught.value)
    if name in WITNESSES:
        for use in (WITNESSES[name].settings, WITNESSES[name].build):
            with pytest.raises(ValueError, match=sentence):
                use(task, 9)


def test_what_it_is_for_is_given():
    assert all(witness(TASKS[name], name) is WITNESSES[name] for name in TASKS)
    assert witness(ModularAddition(modulus=32), "counter") is WITNESSES["counter"]


def test_a_length_that_the_task_does_not_have_is_refused():
    with pytest.raises(ValueError, match=r"train.lengths=1:"):
        WITNESSES["softmax"].build(Pairwise(), 1)
    with pytest.raises(ValueError, match=r"train.lengths=2000:"):
        WITNESSES["running_bit"].build(Parity(), 2000)


@dataclass(frozen=True)
class Named(Parity):
    flag: bool = True
    few: tuple[int, ...] = (1, 2)


def test_settings_are_written_as_words():
    with pytest.raises(ValueError, match=r"task=parity task.flag=false task.few=\[3\] was given"):
        WITNESSES["softmax"].refuse(Named(flag=False, few=(3,)))
    with pytest.raises(ValueError, match=r"task=parity was given"):
        WITNESSES["softmax"].refuse(Named())


def test_the_examples_run():
    assert doctest.testmod(theory_witness) == (0, 2)
    assert doctest.testmod(base) == (0, 1)


# places ---------------------------------------------------------------------------------------------------------------


def test_each_number_stands_beside_its_negative():
    (first, second), width = places(3, 1)
    weight = torch.zeros(width, 5)
    add(weight, first, slice(2), torch.arange(6.0).view(3, 2))
    add(weight, second, 4, 7.0)
    assert weight.sum(0).tolist() == [0.0] * 5
    assert weight[:3, :2].flatten().tolist() == [0, 1, 2, 3, 4, 5]
    assert weight[6:, 4].tolist() == [7, -7]
    assert (width, length_of(8, 4)) == (8, pytest.approx(2.0, rel=1e-5))


def test_signs_are_bits():
    assert signs(torch.tensor([0, 5, 6]), 3).tolist() == [[-1, -1, -1], [1, -1, 1], [-1, 1, 1]]


# inside ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["farthest", "orthogonal"])
@pytest.mark.parametrize("scale", [0.15, 1.0])
def test_each_vector_finds_the_mean_of_the_soft_extreme(name, scale):
    """Independent arithmetic: all distances, or products, up to each vector, weighed by e^{β ..}, in float64."""
    task, length = TASKS[name], 12
    model, batch = WITNESSES[name].build(task, length, scale), batch_of(name, length)
    bits = Tokens(2, task.dim).read(batch.prompt[:, 1:-1].numpy())
    products = bits @ bits.swapaxes(1, 2)
    ones = bits.sum(-1)
    units = ones[:, :, None] + ones[:, None] - 2 * products if name == "farthest" else -products
    weights = np.exp(scale * np.log(4 * length) * units) * np.tril(np.ones((length, length)))
    mean = (weights * units).sum(-1) / weights.sum(-1)
    (own, found, above, *_), _ = farthest._places(task.dim)
    before = stream(model, batch.prompt, 0)[:, 1:-1]
    signed = 2 * bits - 1
    expected = (weights @ signed) / weights.sum(-1, keepdims=True)
    np.testing.assert_allclose(before[..., own].numpy(), signed)
    np.testing.assert_allclose(before[..., found].numpy(), expected, atol=1e-4)
    met = np.abs(signed + expected) if name == "farthest" else np.maximum(signed + expected, 0)
    sums = 2 * (task.dim - mean) if name == "farthest" else -2 * mean
    np.testing.assert_allclose(met.sum(-1), sums, atol=1e-9)
    bound = 2 * (task.dim - task.alpha) + 1 if name == "farthest" else 1
    with torch.no_grad():
        written = model.blocks[0].think(before)[..., above.start]
    divided = before.square().mean(-1).add(1e-5).sqrt()
    np.testing.assert_allclose((written * divided).numpy(), sums - bound, atol=0.35 * task.dim / 100)


def test_linear_attention_counts():
    task, length = TASKS["linear"], 14
    batch = batch_of("linear", length)
    tokens = torch.cat([batch.prompt, torch.full((30, 1), marks(task).answer)], 1)
    (_, shares, *_), _ = histogram._places(task)
    read = stream(WITNESSES["linear"].build(task, length), tokens, 0)[:, -1, shares]
    counts = (batch.prompt[:, 1:-1, None] > torch.arange(task.values - 1)).sum(1)
    torch.testing.assert_close((read + 1) / 2 * length, counts.float(), atol=1e-4, rtol=0)


def test_an_induction_head_looks_one_back():
    task, length = TASKS["induction"], 30
    batch = batch_of("induction", length)
    (own, before, *_), _ = induction._places(task, length)
    after = stream(WITNESSES["induction"].build(task, length), batch.prompt, 0)
    torch.testing.assert_close(after[:, 1:, before], after[:, :-1, own], atol=0.02, rtol=0)


@pytest.mark.parametrize("length", [2, 7, 14])
def test_a_written_bit_finds_the_next_one_whatever_the_length(length):
    """The weights of the neighbours: e^{-β k²} at k places, and everything is seen up to the reader."""
    task = TASKS["running_bit"]
    model, tokens = WITNESSES["running_bit"].build(task, 14), batch_of("running_bit", length).read
    at = torch.arange(length + 1, 2 * length + 1)  # THINK, then all but the last that is written
    found = stream(model, tokens, 1)[:, :, running_bit.FETCHED][..., 0]
    turned = (tokens == 1) | (tokens == 3)
    for reader, wanted in [*zip(at.tolist(), range(1, length + 1), strict=True), (2 * length + 2, 2 * length + 1)]:
        weights = torch.exp(-1.25 * (torch.arange(reader + 1) - wanted).double().square())
        expected = ((1 - 2.0 * turned[:, : reader + 1]) * weights).sum(1) / weights.sum()
        torch.testing.assert_close(found[:, reader].double(), expected, atol=1e-3, rtol=0)
        assert (found[:, reader].sign() == 1 - 2 * turned[:, wanted].float()).all()


def test_a_counter_is_in_one_state_exactly():
    task, length = TASKS["counter"], 200
    model, batch = WITNESSES["counter"].build(task, length), batch_of("counter", length)
    with torch.no_grad():
        _, (state,) = model(batch.prompt, model.empty(30))
    residues = batch.prompt[:, 1:-1]
    expected = torch.nn.functional.one_hot(residues.sum(1) % 5 * 5 + residues[:, -1], 25) * 2.0 - 1
    assert torch.equal(state.hidden[:, 0], expected), "to the last bit"
    assert counter.SATURATED == 10
    assert torch.tensor(10.0).tanh() == torch.tensor(100.0).sigmoid() == 1
