"""What an update and a decoded token ask of the machine, in numbers that do not jitter: operators, FLOPs and bytes.

Seconds are measured by ``python -m harness bench``; what is held here is what they follow from.
"""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness import attention, config, cost, train
from harness.attention.check import count_flops, make
from harness.attention.linear import Linear
from harness.attention.measured import peak_bytes
from harness.draw import Source
from harness.model import build
from harness.model.mlp import MLP
from tests.conftest import variant

CARRIED = [name for name in attention.names() if attention.load(name).masks != ("encoder",)]
LINEAR = "linear performer retention gated delta gated_delta ssm window convolution".split()


class Work(TorchDispatchMode):
    """Counts the operators that run and the bytes of the storages they make, freed or not."""

    def __init__(self):
        super().__init__()
        self.operators = self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        self.operators += 1
        given = {
            leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)
        }
        for leaf in tree_leaves(made):
            if isinstance(leaf, torch.Tensor) and leaf.untyped_storage()._cdata not in given:
                self.bytes += leaf.untyped_storage().nbytes()
        return made


def work(call):
    with Work() as counted:
        call()
    return counted


def drawn(*words, length=32):
    (point,) = config.points(["task=pairwise", f"train.lengths=[{length}]", *words])
    model, source = build(point), Source.of(point)
    return point, model, source.batch(length, 64, 0.5, 1)


def plain(model, batch):
    """The same loss with everything computed at every position."""
    logits = model.read(batch.read, batch.given, slice(None))[:, batch.supervised]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.labels.flatten())


@pytest.mark.parametrize("mask", ["causal", "prefix"])
@pytest.mark.parametrize(
    "words", [[], ["attention=topk"], ["attention=linear"], ["scratchpad=full"], ["model.loops=2"]]
)
@pytest.mark.parametrize(("position", "length"), [("rotary", 6), ("learned", 24), ("alibi", 24)])
def test_what_is_not_asked_for_changes_nothing(words, mask, position, length):
    if position == "alibi" and "attention=linear" in words:
        pytest.skip("it has no scores to be biased")
    point, model, batch = drawn(*words, f"mask={mask}", f"position={position}", length=length)
    model.double()
    losses = train.objective(model, batch, point.train), plain(model, batch)
    torch.testing.assert_close(*losses, rtol=0, atol=1e-12)
    gradients = [torch.autograd.grad(loss, list(model.parameters())) for loss in losses]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_one_supervised_position_costs_little_more_than_all_but_the_last_block():
    point, model, batch = drawn()
    forward, loss = count_flops(lambda: train.objective(model, batch, point.train))
    backward, _ = count_flops(loss.backward)
    assert forward + backward == cost.training_flops(model, batch)
    whole, loss = count_flops(lambda: plain(model, batch))
    more, _ = count_flops(loss.backward)
    assert forward + backward < 0.62 * (whole + more)
    peaks = [peak_bytes(lambda made=made: made().backward(), *model.parameters()) for made in (
        lambda: train.objective(model, batch, point.train), lambda: plain(model, batch)
    )]  # fmt: skip
    assert peaks[0] < 0.65 * peaks[1]


def test_an_update_is_few_operators():
    """A third more would be an eighth of the time of an update of 512 tokens."""
    point, model, batch = drawn(length=4)
    optimizer = train.optimizer(model, point.train)

    def draw(update):
        return 4, batch, np.random.default_rng(0)

    updates = train.fit(model, optimizer, draw, point.train)
    next(updates)
    assert work(lambda: next(updates)).operators < 420


@pytest.mark.parametrize(("size", "tile"), [(1, 1), (96, 32), (96, 2**15), (2**20, 64), (2**20, 2**15)])
def test_the_mlp_in_slices_is_gpt2s(size, tile, monkeypatch):
    """However many rows are in a slice or a tile: values and all gradients are those of torch's own GELU, by tanh."""
    monkeypatch.setattr("harness.model.mlp.SLICE", size)
    monkeypatch.setattr("harness.model.mlp.TILE", tile)
    mlp = MLP(8).double()
    x = (3 * torch.randn(3, 5, 8, dtype=torch.float64)).requires_grad_()
    plain = mlp.project_out(torch.nn.functional.gelu(mlp.project_in(x), approximate="tanh"))
    torch.testing.assert_close(mlp(x), plain, rtol=0, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(mlp(x), plain, rtol=0, atol=1e-12)
    weights, wanted = torch.randn_like(plain), [x, *mlp.parameters()]
    for ours, theirs in zip(*(torch.autograd.grad(y, wanted, weights) for y in (mlp(x), plain)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_an_update_of_the_mlp_keeps_two_hidden_tensors():
    """GELU and its slope; what else there is of their size lives in slices."""
    mlp, x = MLP(64), torch.randn(64, 512, 64, requires_grad=True)
    hidden = 4 * x.numel() * 4
    peak = peak_bytes(lambda: mlp(x).sum().backward(), x, *mlp.parameters())
    assert 2 * hidden < peak < 3 * hidden


@pytest.mark.parametrize("name", LINEAR)
def test_work_is_linear_in_the_length(name):
    """Bytes made by a training pass, freed or not, at twice the length: a backward pass that is quadratic shows."""
    few, many = (trained_bytes(variant(name), tokens) for tokens in (1024, 2048))
    assert many < 2.1 * few


class Indexed(Linear):
    """A loop that indexes: the backward pass of each of its slices makes a whole tensor."""

    def mix(self, q, k, v, state, prefix):
        parts = [
            super(Indexed, self).mix(*(x[:, :, at : at + 16] for x in (q, k, v)), None, 0)[0]
            for at in range(0, q.shape[2], 16)
        ]
        return torch.cat(parts, 2), None


def test_a_loop_that_indexes_is_not_linear():
    few, many = (trained_bytes(lambda w, h: Indexed(w, h, "elu", 16), tokens) for tokens in (1024, 2048))
    assert many > 2.5 * few


def trained_bytes(variant, tokens):
    mixer = make(variant)
    x = torch.randn(1, tokens, 12, dtype=torch.float64, requires_grad=True)
    return work(lambda: mixer(x)[0].square().sum().backward()).bytes


@pytest.mark.parametrize("name", CARRIED)
def test_a_token_is_decoded_by_as_many_operators_at_any_length(name):
    mixer = make(variant(name)).requires_grad_(False)
    counts, made = [], []
    for tokens in (100, 200):
        _, state = mixer(torch.randn(3, tokens, 12, dtype=torch.float64), mixer.empty(3, tokens + 2))
        one = work(lambda state=state: mixer(torch.randn(3, 1, 12, dtype=torch.float64), state))
        counts.append(one.operators)
        made.append(one.bytes)
    assert counts[0] == counts[1]
    assert made[1] <= 2.1 ** (mixer.order - 1) * made[0], "scores grow, a cache with room is not copied"
