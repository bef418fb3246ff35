"""What a map can express, shown by weights that are set by hand: the ordinary model, evaluated in the ordinary way."""

import pytest
import torch

from harness.attention.topk import TopK
from harness.draw import Source
from harness.evaluate import Question, evaluate
from harness.model import GPT
from harness.model.positions import Nowhere
from harness.scratchpad import Scratchpad
from harness.sequence import marks, vocabulary
from tasks.pairwise import Pairwise

DIM, WIDTH = 5, 64
TASK = Pairwise(alpha=DIM, values=2, dim=DIM, norm="hamming")
SHARP = 30.0  # of what passes a GELU, so that it is a rectifier
# Places in the residual stream, each beside its negative, so that every mean is 0 and LayerNorm only scales.
OWN, FOUND, NEAR, SAID, MARK, ITEM = (slice(s, s + w) for s, w in ((0, 5), (10, 5), (20, 1), (22, 1), (24, 1), (26, 1)))


def add(weight, into, out_of, matrix):
    """weight[into, out_of] += matrix, and the same with the other sign for the negative of ``into``."""
    size = into.stop - into.start
    weight[into, out_of] += matrix
    weight[into.start + size : into.stop + size, out_of] -= matrix


@torch.no_grad()
def antipodes(variant):
    """Two layers for alpha = dim, where two vectors are too far apart iff one is the antipode of the other.

    Layer 1: each vector looks for the one most unlike it; its MLP writes NEAR, how far that is from an antipode.
    Layer 2: ANSWER looks for the smallest NEAR; 0 is *no*.
    """
    model = GPT(vocabulary(TASK), WIDTH, [variant(WIDTH, 1) for _ in range(2)], Nowhere(WIDTH, WIDTH, WIDTH))
    for name, parameter in model.named_parameters():
        parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
    signs = 2.0 * TASK._tokens.read(torch.arange(2**DIM)[:, None].numpy())[:, 0] - 1
    embedding = model.tokens.weight
    add(embedding.T, OWN, slice(0, 2**DIM), torch.from_numpy(signs).T.float())
    add(embedding.T, ITEM, slice(0, 2**DIM), torch.ones(1, 2**DIM))
    answer, no = marks(TASK).answer, TASK.vocab - 2  # yes comes after no
    add(embedding.T, MARK, slice(answer, answer + 1), torch.full((1, 1), 3.0))
    add(embedding.T, SAID, slice(no, no + 2), torch.tensor([[-1.0, 1.0]]))
    first, second = model.blocks
    eye, one = torch.eye(DIM), torch.ones(1, 1)
    queries, keys, values = (first.mixer.project_in.weight[s : s + WIDTH] for s in (0, WIDTH, 2 * WIDTH))
    scale = ((2 * DIM + 2) / WIDTH) ** 0.5  # what LayerNorm divides a vector's embedding by
    queries[OWN, OWN], keys[OWN, OWN], values[OWN, OWN] = -30 * eye, 30 * eye, scale * eye
    add(first.mixer.project_out.weight, FOUND, OWN, eye)
    for sign, hidden in ((1, slice(0, DIM)), (-1, slice(DIM, 2 * DIM))):  # |own + found|, coordinate by coordinate
        first.mlp.project_in.weight[hidden, OWN] = first.mlp.project_in.weight[hidden, FOUND] = sign * SHARP * eye
    add(first.mlp.project_out.weight, NEAR, slice(0, 2 * DIM), torch.full((1, 2 * DIM), 1 / SHARP))
    queries, keys, values = (second.mixer.project_in.weight[s : s + WIDTH] for s in (0, WIDTH, 2 * WIDTH))
    queries[NEAR, MARK], queries[ITEM, MARK] = 30 * one, 300 * one  # any vector before any mark, then the nearest
    keys[NEAR, NEAR], keys[ITEM, ITEM], values[NEAR, NEAR] = -30 * one, 90 * one, 100 * one
    add(second.mixer.project_out.weight, SAID, NEAR, one)
    add(second.mixer.project_out.bias[:, None], SAID, slice(0, 1), torch.full((1, 1), -50.0))
    return model


def accuracies(model, lengths, size=1000):
    source = Source(TASK, Scratchpad("none", "trace", None, 0.0, 0.0), seed=0)
    asked = [Question(split, length) for split in ("boundary", "broad", "natural") for length in lengths]
    return [score.accuracy for score in evaluate(model, source, asked, size)]


def test_one_key_a_query_is_enough_for_hamming_at_two_layers():
    assert accuracies(antipodes(lambda width, heads: TopK(width, heads, k=1)), (2, 4, 16, 64)) == [1.0] * 12


@pytest.mark.parametrize("weight", ["blocks.0.mixer.project_in.weight", "blocks.1.mixer.project_in.weight"])
def test_a_witness_that_looks_nowhere_fails(weight):
    model = antipodes(lambda width, heads: TopK(width, heads, k=1))
    dict(model.named_parameters())[weight].data[:WIDTH] = 0  # no query
    assert max(accuracies(model, (4, 16))[:2]) < 0.7
