"""Positions are what their papers say: rows, sines, rotations that know distances alone, or nothing."""

import inspect
import re
from functools import partial

import numpy as np
import pytest
import torch
import yaml
from torch import nn
from transformers.models.gptj.modeling_gptj import apply_rotary_pos_emb, create_sinusoidal_positions

from harness.attention.base import unrotated
from harness.attention.check import make
from harness.attention.linear import Linear
from harness.attention.softmax import Softmax
from harness.attention.topk import TopK
from harness.attention.trial import HEADS, LONG, WIDTH, numbers, read
from harness.attention.window import Window
from harness.config import CONF
from harness.model.gpt import GPT
from harness.model.positions import Learned, Nowhere, Position, Rotary, Sinusoidal, named

D = WIDTH // HEADS
KINDS = {
    "none": partial(Nowhere, 200, WIDTH, D),
    "learned": partial(Learned, 200, WIDTH, D, std=1.0, train=True),
    "sinusoidal": partial(Sinusoidal, 200, WIDTH, D, base=10_000.0, scale=1.0),
    "rotary": partial(Rotary, 200, WIDTH, D, base=10_000.0),
}


def heads(tokens, seed=0, width=D):
    """(B, H, T, D) in float64."""
    return torch.from_numpy(np.random.default_rng([seed, tokens]).normal(size=(3, HEADS, tokens, width)))


@pytest.mark.parametrize("path", sorted((CONF / "position").glob("*.yaml")), ids=lambda path: path.stem)
def test_one_yaml_one_class(path):
    settings = yaml.safe_load(path.read_text())
    parameters = list(inspect.signature(named(path.stem).__init__).parameters)
    assert settings.pop("name") == path.stem
    assert parameters == ["self", "context", "width", "head_width", *settings]


def test_every_class_has_a_yaml():
    names = sorted(path.stem for path in (CONF / "position").glob("*.yaml"))
    assert sorted(kind.name for kind in Position.__subclasses__()) == names == sorted(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_later_places_are_the_same_from_wherever_they_are_read(name):
    place, x = KINDS[name](), heads(LONG)
    for seen in (0, 1, 77, LONG):
        torch.testing.assert_close(place(seen, LONG - seen), place(0, LONG)[seen:])
        torch.testing.assert_close(place.rotate(x[:, :, seen:], seen), place.rotate(x, 0)[:, :, seen:])
    assert place(0, LONG).shape == (LONG, WIDTH)
    assert place.rotate(x.float(), 5).dtype == torch.float32


@pytest.mark.parametrize(("width", "base"), [(6, 10_000.0), (16, 10_000.0), (6, 50.0), (2, 1.0)])
def test_rotary_turns_the_complex_plane(width, base):
    x, place = heads(LONG, width=width), Rotary(LONG, 2 * width, width, base)
    angles = (7 + np.arange(LONG))[:, None] / base ** (np.arange(0, width, 2) / width)
    turned = (x.numpy()[..., ::2] + 1j * x.numpy()[..., 1::2]) * np.exp(1j * angles)
    found = place.rotate(x, 7).numpy()
    np.testing.assert_allclose(found[..., ::2], turned.real, atol=1e-12)
    np.testing.assert_allclose(found[..., 1::2], turned.imag, atol=1e-12)


@pytest.mark.parametrize("width", [6, 16])
def test_rotary_scores_are_those_of_gptj(width):
    q, k = heads(LONG, 0, width).float(), heads(LONG, 1, width).float()
    sin, cos = create_sinusoidal_positions(LONG, width).chunk(2, -1)
    theirs = [apply_rotary_pos_emb(x.transpose(1, 2), sin[None], cos[None]).transpose(1, 2) for x in (q, k)]
    ours = [Rotary(LONG, 2 * width, width, 10_000.0).rotate(x, 0) for x in (q, k)]
    torch.testing.assert_close(ours[0] @ ours[1].mT, theirs[0] @ theirs[1].mT, rtol=1e-4, atol=1e-4)


VARIANTS = {"softmax": Softmax, "linear": Linear}
VARIANTS |= {"window": partial(Window, window=5, sinks=2), "topk": partial(TopK, k=4)}


@pytest.mark.parametrize("mixing", VARIANTS)
@pytest.mark.parametrize("shift", [1, 100_000])
def test_rotated_attention_knows_distances_alone(mixing, shift):
    """All places moved by as much change nothing; without a rotation, or with another, the output is another."""
    turn = KINDS["rotary"]().rotate
    x, away = numbers(LONG), lambda x, seen: turn(x, seen + shift)
    here, there, still = (make(partial(VARIANTS[mixing], rotate=rotate)) for rotate in (turn, away, unrotated))
    for prefix in (0, 40, LONG):
        out, _ = here(x, prefix=prefix)
        torch.testing.assert_close(there(x, prefix=prefix)[0], out, rtol=1e-9, atol=1e-9)
        assert (still(x, prefix=prefix)[0] - out).abs().max() > 0.01
    torch.testing.assert_close(read(there, x, [67] + [1] * (LONG - 67))[0], here(x)[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("width", "base", "scale"), [(12, 10_000.0, 0.02), (64, 100.0, 3.0), (2, 1.0, 1.0)])
def test_sinusoidal_is_vaswanis(width, base, scale):
    place, stated = Sinusoidal(200, width, width, base, scale), np.empty((9, width))
    for row in range(9):
        for i in range(width // 2):
            stated[row, 2 * i] = scale * np.sin((20 + row) / base ** (2 * i / width))
            stated[row, 2 * i + 1] = scale * np.cos((20 + row) / base ** (2 * i / width))
    np.testing.assert_allclose(place(20, 9).numpy(), stated, rtol=0, atol=1e-12 * scale)
    assert not list(place.parameters())


@pytest.mark.parametrize("std", [0.0, 0.01, 1.0])
def test_a_learned_table_is_drawn_with_its_deviation(std):
    place = Learned(512, 64, 16, std, train=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        place.initialise()
    drawn = place(0, 512)
    assert drawn.std().item() == pytest.approx(std, rel=0.02)
    assert drawn.mean().item() == pytest.approx(0, abs=0.02 * std)


@pytest.mark.parametrize("train", [True, False])
def test_a_frozen_table_gets_no_gradient(train):
    place = Learned(50, WIDTH, D, std=0.5, train=train)
    model = gpt(Softmax, place)
    before = place.table.weight.detach().clone()
    model(torch.arange(9)[None])[0].logsumexp(-1).sum().backward()
    torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.1).step()
    moved = (place.table.weight - before).abs().sum(1) > 0
    assert moved.tolist() == [train] * 9 + [False] * 41
    assert (place.table.weight.grad is None) == (not train)


def gpt(variant, place, mask="causal"):
    """A small model far from its initial distributions."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mixers = [variant(WIDTH, HEADS, rotate=place.rotate) for _ in range(2)]
        model = GPT(20, WIDTH, mixers, place, mask=mask)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.5)
    return model.double()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("mixing", VARIANTS)
def test_without_positions_an_encoder_knows_no_order(mixing, name):
    """Permuted tokens, permuted logits; every kind of position tells them apart, and so do the mask and the window."""
    rng = np.random.default_rng(0)
    tokens, order = torch.from_numpy(rng.integers(0, 20, (3, 17))), torch.from_numpy(rng.permutation(17))
    model = gpt(VARIANTS[mixing], KINDS[name]())
    for prefix in (17, 0):
        with torch.no_grad():
            logits, permuted = model(tokens, prefix=prefix)[0], model(tokens[:, order], prefix=prefix)[0]
        alike = torch.allclose(permuted, logits[:, order], rtol=1e-9, atol=1e-9)
        assert alike == (name == "none" and prefix == 17 and mixing != "window")


def test_no_position_is_nothing():
    place = KINDS["none"]()
    assert not place(3, 9).any()
    assert place.rotate is unrotated
    assert place.rotate(x := heads(5), 3) is x
    assert not list(place.parameters())


@pytest.mark.parametrize("name", ["none", "learned", "sinusoidal"])
def test_what_is_added_is_not_rotated_too(name):
    assert KINDS[name]().rotate is unrotated


def test_what_is_rotated_is_not_added_too():
    assert not KINDS["rotary"]()(3, 9).any()


NOT = float("nan"), float("inf")
BASES, SCALES, STDS = (0.5, -2.0, *NOT), (0.0, -1.0, *NOT), (-0.1, *NOT)
REFUSED = [
    (partial(Sinusoidal, 50, 13, 13, base=10_000.0, scale=1.0), "model.width=13 is odd"),
    (partial(Rotary, 50, 10, 5, base=10_000.0), "heads of width 5 are odd"),
    *[(partial(Sinusoidal, 50, 12, 6, base=base, scale=1.0), f"position.base={base}: ") for base in BASES],
    *[(partial(Rotary, 50, 12, 6, base=base), f"position.base={base}: ") for base in BASES],
    *[(partial(Sinusoidal, 50, 12, 6, base=100.0, scale=scale), f"position.scale={scale}: ") for scale in SCALES],
    *[(partial(Learned, 50, 12, 6, std=std, train=True), f"position.std={std}: ") for std in STDS],
]


@pytest.mark.parametrize(("kind", "says"), REFUSED)
def test_impossible_settings_are_refused(kind, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        kind()


def test_a_table_ends_with_its_context():
    place = KINDS["learned"]()
    assert place(190, 10).shape == (10, WIDTH)
    with pytest.raises(ValueError, match=r"model.context=200: a sequence of 201 tokens does not fit"):
        place(200, 1)
    for name in ("none", "sinusoidal"):
        assert KINDS[name]()(100_000, 3).shape == (3, WIDTH)
