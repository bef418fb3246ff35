"""Positions are what their papers say: rows, sines, rotations and biases that know distances alone, or nothing."""

import inspect
import re
import signal
from collections import Counter
from fractions import Fraction
from functools import partial
from itertools import combinations, pairwise
from math import comb, floor

import numpy as np
import pytest
import torch
import yaml
from scipy.stats import chisquare
from torch import nn
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.gptj.modeling_gptj import apply_rotary_pos_emb, create_sinusoidal_positions

from harness import experiment, store
from harness.__main__ import main
from harness.attention.base import unrotated
from harness.attention.check import check_variant, make
from harness.attention.softmax import Softmax
from harness.attention.topk import TopK
from harness.attention.trial import HEADS, LONG, WIDTH, numbers, read
from harness.attention.window import Window
from harness.groups import CONF
from harness.model.gpt import GPT
from harness.model.positions import Alibi, Learned, Nowhere, Offset, Randomized, Rotary, Sinusoidal, kinds, named
from harness.seeding import rng
from harness.settings import MASKS
from tests.conftest import variant
from tests.test_experiment import SMALL
from tests.test_resume import STOPPING, differences, interrupting, point

D = WIDTH // HEADS
KINDS = {
    "none": partial(Nowhere, 200, WIDTH, D),
    "learned": partial(Learned, 200, WIDTH, D, std=1.0, train=True),
    "sinusoidal": partial(Sinusoidal, 200, WIDTH, D, base=10_000.0, scale=1.0),
    "rotary": partial(Rotary, 200, WIDTH, D, base=10_000.0),
    "alibi": partial(Alibi, 200, WIDTH, D),
    "offset": partial(Offset, 200, WIDTH, D, std=1.0, train=True),
    "randomized": partial(Randomized, 200, WIDTH, D, std=1.0, train=True),
}
TABLES = "learned", "offset", "randomized"
DRAWN = "offset", "randomized"


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
    assert sorted(kind.name for kind in kinds()) == names == sorted(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_later_places_are_the_same_from_wherever_they_are_read(name):
    place, x = KINDS[name](), heads(LONG)
    places = place.places(LONG)
    for seen in (0, 1, 77, LONG - 1):
        torch.testing.assert_close(place(places[seen:]), place(places)[seen:])
        torch.testing.assert_close(place.rotate(x[:, :, seen:], seen), place.rotate(x, 0)[:, :, seen:])
    assert place(places).shape == (LONG, WIDTH)
    assert place.rotate(x.float(), 5).dtype == torch.float32


@pytest.mark.parametrize(("width", "base"), [(6, 10_000.0), (16, 10_000.0), (6, 50.0), (2, 1.0)])
def test_rotary_turns_the_complex_plane(width, base):
    x, place = heads(LONG, width=width), Rotary(LONG, 2 * width, width, base)
    angles = (7 + np.arange(LONG))[:, None] / base ** (np.arange(0, width, 2) / width)
    turned = (x.numpy()[..., ::2] + 1j * x.numpy()[..., 1::2]) * np.exp(1j * angles)
    found = place.rotate(x, 7).numpy()
    np.testing.assert_allclose(found[..., ::2], turned.real, atol=1e-12)
    np.testing.assert_allclose(found[..., 1::2], turned.imag, atol=1e-12)


@pytest.mark.parametrize("width", [1, 2, 5, 6, 7, 28])
def test_rotary_turns_features_of_any_width(width):
    """With frequencies of their own width; an odd last coordinate stays, and scores know distances alone."""
    x, y, place = heads(9, 0, width), heads(9, 1, width), Rotary(LONG, WIDTH, D, 10_000.0)
    turned, pairs = place.rotate(x, 7), width // 2
    angles = (7 + np.arange(9))[:, None] / 10_000 ** (2 * np.arange(pairs) / width)
    expected = (x.numpy()[..., : 2 * pairs : 2] + 1j * x.numpy()[..., 1::2]) * np.exp(1j * angles)
    np.testing.assert_allclose(turned[..., : 2 * pairs : 2], expected.real, rtol=0, atol=1e-12)
    np.testing.assert_allclose(turned[..., 1::2], expected.imag, rtol=0, atol=1e-12)
    assert turned.shape == x.shape
    assert width % 2 == 0 or torch.equal(turned[..., -1], x[..., -1])
    scores, away = (place.rotate(x, seen) @ place.rotate(y, seen).mT for seen in (0, 1000))
    torch.testing.assert_close(away, scores, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("width", [6, 16])
def test_rotary_scores_are_those_of_gptj(width):
    q, k = heads(LONG, 0, width).float(), heads(LONG, 1, width).float()
    sin, cos = create_sinusoidal_positions(LONG, width).chunk(2, -1)
    theirs = [apply_rotary_pos_emb(x.transpose(1, 2), sin[None], cos[None]).transpose(1, 2) for x in (q, k)]
    ours = [Rotary(LONG, 2 * width, width, 10_000.0).rotate(x, 0) for x in (q, k)]
    torch.testing.assert_close(ours[0] @ ours[1].mT, theirs[0] @ theirs[1].mT, rtol=1e-4, atol=1e-4)


VARIANTS = {"softmax": Softmax, "linear": variant("linear")}
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
    np.testing.assert_allclose(place(torch.arange(20, 29)).numpy(), stated, rtol=0, atol=1e-12 * scale)
    assert not list(place.parameters())


@pytest.mark.parametrize("kind", [Learned, Offset, Randomized])
@pytest.mark.parametrize("std", [0.0, 0.01, 1.0])
def test_a_learned_table_is_drawn_with_its_deviation(std, kind):
    place = kind(512, 64, 16, std, train=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        place.initialise()
    drawn = place(torch.arange(512))
    assert drawn.std().item() == pytest.approx(std, rel=0.02)
    assert drawn.mean().item() == pytest.approx(0, abs=0.02 * std)


@pytest.mark.parametrize("kind", [Learned, Offset, Randomized])
@pytest.mark.parametrize("train", [True, False])
def test_a_frozen_table_gets_no_gradient(train, kind):
    place = kind(50, WIDTH, D, std=0.5, train=train)
    model = gpt(Softmax, place)
    before = place.table.weight.detach().clone()
    model(torch.arange(9)[None])[0].logsumexp(-1).sum().backward()
    torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.1).step()
    moved = (place.table.weight - before).abs().sum(1) > 0
    assert moved.tolist() == [train] * 9 + [False] * 41
    assert (place.table.weight.grad is None) == (not train)


def gpt(mixing, place, mask="causal", of=GPT):
    """A small model far from its initial distributions."""
    bias = {} if place.bias is None else {"bias": place.bias}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mixers = [mixing(WIDTH, HEADS, rotate=place.rotate, **bias) for _ in range(2)]
        model = of(20, WIDTH, mixers, place, mask=mask)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.5)
    return model.double()


@pytest.mark.parametrize(
    ("mixing", "name"),
    [(mixing, name) for mixing in VARIANTS for name in KINDS if (mixing, name) != ("linear", "alibi")],
)
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
    assert not place(torch.arange(3, 12)).any()
    assert place.rotate is unrotated
    assert place.bias is None
    assert place.rotate(x := heads(5), 3) is x
    assert not list(place.parameters())


@pytest.mark.parametrize("name", [name for name in KINDS if name != "rotary"])
def test_what_is_added_is_not_rotated_too(name):
    assert KINDS[name]().rotate is unrotated


@pytest.mark.parametrize("name", ["rotary", "alibi"])
def test_what_is_rotated_or_taken_off_scores_is_not_added_too(name):
    assert not KINDS[name]()(torch.arange(3, 12)).any()


def test_only_distances_are_taken_off_scores():
    assert [name for name in KINDS if KINDS[name]().bias is not None] == ["alibi"]


NOT = float("nan"), float("inf")
TABLE_KINDS = Learned, Offset, Randomized
BASES, SCALES, STDS = (0.5, -2.0, *NOT), (0.0, -1.0, *NOT), (-0.1, *NOT)
REFUSED = [
    (partial(Sinusoidal, 50, 13, 13, base=10_000.0, scale=1.0), "model.width=13 is odd"),
    (partial(Rotary, 50, 10, 5, base=10_000.0), "heads of width 5 are odd"),
    *[(partial(Sinusoidal, 50, 12, 6, base=base, scale=1.0), f"position.base={base}: ") for base in BASES],
    *[(partial(Rotary, 50, 12, 6, base=base), f"position.base={base}: ") for base in BASES],
    *[(partial(Sinusoidal, 50, 12, 6, base=100.0, scale=scale), f"position.scale={scale}: ") for scale in SCALES],
    *[(partial(k, 50, 12, 6, std=std, train=True), f"position.std={std}: ") for std in STDS for k in TABLE_KINDS],
]


@pytest.mark.parametrize(("kind", "says"), REFUSED)
def test_impossible_settings_are_refused(kind, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        kind()


@pytest.mark.parametrize("name", TABLES)
def test_a_table_ends_with_its_context(name):
    place, says = KINDS[name](), r"model.context=200: a sequence of 201 tokens does not fit"
    assert place(torch.arange(190, 200)).shape == (10, WIDTH)
    with pytest.raises(ValueError, match=says):
        place(torch.arange(200, 201))
    if name in DRAWN:
        with pytest.raises(ValueError, match=says):
            place.places(201)
        with pytest.raises(ValueError, match=says):
            place.places(201, rng(0, "places", 1))


@pytest.mark.parametrize("name", [name for name in KINDS if name not in TABLES])
def test_what_has_no_table_has_no_end(name):
    assert KINDS[name]()(torch.arange(100_000, 100_003)).shape == (3, WIDTH)
    assert KINDS[name]().context is None


def slopes_of_bloom(count):
    """(H,): what Hugging Face's Bloom takes off for one place."""
    return -build_alibi_tensor(torch.ones(1, 2), count, torch.float32)[:, 0, 1]


@pytest.mark.parametrize("count", [*range(1, 21), 32, 48, 112])
def test_the_slopes_of_alibi_are_blooms(count):
    """Bloom adds m · j instead of taking m · (i - j) off, which is the same to a softmax over the keys before i."""
    places, causal = torch.arange(64), torch.ones(64, 64, dtype=torch.bool).tril()
    scores = torch.from_numpy(np.random.default_rng(count).normal(size=(count, 64, 64))).float()
    bias = KINDS["alibi"]().bias(places, places, count)
    ours, theirs = (
        (scores + added).masked_fill(~causal, -torch.inf).softmax(-1)
        for added in (bias.float(), build_alibi_tensor(torch.ones(1, 64), count, torch.float32))
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(bias[:, 1, 0].float(), slopes_of_bloom(count), rtol=1e-6, atol=0)


def test_alibi_takes_off_distances_in_both_directions():
    bias, places = KINDS["alibi"]().bias, torch.arange(LONG)
    for count in (1, 2, 6, 8):
        whole = bias(places, places, count)
        assert whole.shape == (count, LONG, LONG)
        assert torch.equal(whole, whole.mT)
        assert torch.equal(whole, bias(places + 100_000, places + 100_000, count)), "moved by as much it is the same"
        assert torch.equal(whole[:, 5:9, [0, 77]], bias(places[5:9], places[[0, 77]], count))
        assert not whole.diagonal(dim1=1, dim2=2).any()
        assert torch.equal(whole[:, 0], whole[:, 0, 1, None] * places)
    eight = [2.0**-h for h in range(1, 9)]
    assert bias(torch.tensor([1]), torch.tensor([0]), 8).flatten().tolist() == [-slope for slope in eight]


def test_where_nothing_is_asked_weights_fall_with_the_distance():
    """softmax of -m · distance over what the mask allows, m = 2^-4 and 2^-8 for two heads."""
    mixer, x, places = make(partial(Softmax, bias=KINDS["alibi"]().bias)), numbers(13), np.arange(13)
    with torch.no_grad():
        mixer.project_in.weight[:WIDTH], mixer.project_in.bias[:WIDTH] = 0, 0
        for prefix in (0, 8, 13):
            seen = (places <= places[:, None]) | (np.maximum(places, places[:, None]) < prefix)
            fall = np.exp(-np.array([2.0**-4, 2.0**-8])[:, None, None] * abs(places - places[:, None])) * seen
            stated = np.broadcast_to(fall / fall.sum(-1, keepdims=True), (3, HEADS, 13, 13))
            np.testing.assert_allclose(mixer.mixing(x, prefix), stated, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mixing", ["softmax", "topk", "window"])
def test_the_laws_of_a_map_hold_with_alibi(mixing):
    biased = partial(VARIANTS[mixing], bias=KINDS["alibi"]().bias)
    failed = {verdict.law: verdict.detail for verdict in check_variant(biased) if not verdict.passed}
    assert list(failed) == ["golden_fingerprint_stands"], failed


def hold_parts(model, given, count, forced):
    """Reading in parts and decoding stand where reading at once does."""
    start = torch.from_numpy(np.random.default_rng(given).integers(0, 20, (3, given)))
    written = model.generate(start, count, forced)
    sequence = torch.cat([start, written], 1)
    said = model.read(sequence, given, slice(given - 1, -1)).argmax(-1)
    free = [offset for offset in range(count) if offset not in forced]
    assert torch.equal(written[:, free], said[:, free]), "generate says what read says"
    if model.mask == "encoder":
        return
    whole, places = model.read(sequence, given, slice(None)), model.position.places(given + count)
    for cut in range(given, given + count):
        prefix = given if model.mask == "prefix" else 0
        first, state = model(sequence[:, :cut], model.empty(3), prefix, places=places[:cut])
        then, _ = model(sequence[:, cut:], state, places=places[cut:])
        torch.testing.assert_close(torch.cat([first, then], 1), whole, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", KINDS)
def test_decoding_in_parts_is_reading_at_once(name, mask):
    model = gpt(Softmax, KINDS[name](), mask)
    for given, count, forced in ((1, 9, {}), (13, 6, {2: 3}), (150, 3, {})):
        with torch.no_grad():
            hold_parts(model, given, count, forced)


class ForgetsTheRest(GPT):
    """One whose next token stands where the last of a sequence that ends with it would."""

    def _next(self, tokens, given, state, places):
        return super()._next(tokens, given, state, self.position.places(tokens.shape[1]))


@pytest.mark.parametrize("mask", MASKS)
def test_places_that_move_while_it_decodes_are_caught(mask):
    model = gpt(Softmax, KINDS["randomized"](), mask, of=ForgetsTheRest)
    with torch.no_grad(), pytest.raises(AssertionError, match="generate says what read says"):
        hold_parts(model, 13, 9, {})


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", TABLES)
def test_training_reads_the_rows_that_are_drawn(name, mask):
    model, tokens = gpt(Softmax, KINDS[name](), mask), torch.arange(13)[None]
    for update in range(5):
        model.zero_grad()
        model.read(tokens, 4, slice(3, None), rng(0, "places", update)).logsumexp(-1).sum().backward()
        rows = model.position.table.weight.grad.abs().sum(1).nonzero().flatten()
        assert torch.equal(rows, model.position.places(13, rng(0, "places", update)))
    before = [model.read(tokens, 4, slice(None)) for _ in range(2)]
    assert torch.equal(*before), "what is evaluated is not random"


@pytest.mark.parametrize("name", KINDS)
def test_what_is_evaluated_stands_where_it_always_does(name):
    place = KINDS[name]()
    for tokens in (1, 9, 200):
        found = place.places(tokens)
        assert (found.dtype, found.shape, found.device.type) == (torch.int64, (tokens,), "cpu")
        assert torch.equal(found, place.places(tokens))
        if name != "randomized":
            assert torch.equal(found, torch.arange(tokens))
        if name not in DRAWN:
            assert torch.equal(found, place.places(tokens, rng(0, "places", 1)))


def drawn(kind, context, tokens, draws):
    """How often each tuple of places is drawn."""
    place = kind(context, WIDTH, D, std=1.0, train=True)
    return Counter(tuple(place.places(tokens, rng(0, "places", update)).tolist()) for update in range(draws))


@pytest.mark.parametrize(("context", "tokens"), [(20, 13), (64, 9), (13, 13), (5, 1)])
def test_every_start_that_fits_is_equally_likely(context, tokens):
    found = drawn(Offset, context, tokens, draws=3000)
    assert set(found) == {tuple(range(start, start + tokens)) for start in range(context - tokens + 1)}
    assert len(found) == 1 or chisquare(list(found.values())).pvalue > 1e-3


@pytest.mark.parametrize(("context", "tokens"), [(6, 3), (7, 1), (8, 7), (5, 5), (9, 2)])
def test_every_subset_in_its_order_is_equally_likely(context, tokens):
    found = drawn(Randomized, context, tokens, draws=3000)
    assert set(found) == set(combinations(range(context), tokens))
    assert len(found) == 1 or chisquare(list(found.values())).pvalue > 1e-3


@pytest.mark.parametrize("context", range(1, 9))
def test_evaluation_stands_at_the_rounded_means_of_what_training_draws(context):
    place = Randomized(context, WIDTH, D, std=1.0, train=True)
    for tokens in range(1, context + 1):
        subsets = list(combinations(range(context), tokens))
        means = [Fraction(sum(ranked), comb(context, tokens)) for ranked in zip(*subsets, strict=True)]
        assert means == [Fraction(t * (context + 1), tokens + 1) - 1 for t in range(1, tokens + 1)]
        assert place.places(tokens).tolist() == [floor(mean + Fraction(1, 2)) for mean in means]


def test_no_two_tokens_stand_at_one_place():
    for context in (64, 200, 511, 512):
        place = Randomized(context, 2, 2, std=1.0, train=True)
        for tokens in range(1, context + 1):
            places = [-1, *place.places(tokens).tolist(), context]
            assert all(before < after for before, after in pairwise(places))


def test_drawn_places_are_where_evaluation_expects_them():
    """Each rank's mean within 5 standard errors, at a size whose subsets nobody lists."""
    context, tokens, draws = 512, 40, 2000
    place = Randomized(context, 2, 2, std=1.0, train=True)
    found = np.array([place.places(tokens, rng(0, "places", update)).numpy() for update in range(draws)])
    means = np.arange(1, tokens + 1) * (context + 1) / (tokens + 1) - 1
    assert (abs(found.mean(0) - means) < 5 * found.std(0) / draws**0.5).all()
    assert (abs(place.places(tokens).numpy() - means) <= 0.5).all()


@pytest.mark.parametrize("name", KINDS)
def test_settings_know_which_positions_are_rows_of_a_table(name):
    assert point(*SMALL, f"position={name}").bounded == (KINDS[name]().context is not None) == (name in TABLES)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["attention=linear", "position=alibi"], "position=alibi: attention=linear has no scores to take distances"),
        (["attention=gru", "position=alibi"], "position=alibi: attention=gru has no scores to take distances from"),
        (["attention=gru", "position=rotary"], "position=rotary: attention=gru has no queries and keys to rotate"),
        (["attention=lstm", "position=rotary"], "position=rotary: attention=lstm has no queries and keys to rotate"),
        (["position=offset", "model.context=9"], "model.context=9: the longest sequence of evaluate.lengths takes 11"),
        (["position=randomized", "model.context=9"], "model.context=9: the longest sequence of evaluate.lengths takes"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(line, says, tmp_path, capsys):
    assert main([*SMALL, *line, "--results", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", KINDS)
def test_a_run_with_each_kind_of_position(name, tmp_path):
    line = ["task=parity", f"position={name}", "train.lengths=[4]", "train.updates=30", "evaluate.lengths=[4,6]"]
    line += ["model.width=16", "model.heads=2", "train.validate_examples=20", "evaluate.examples=20"]
    assert main([*line, "--results", str(tmp_path)]) == 0
    (folder,) = store.runs(tmp_path)
    assert store.from_json(folder / "run.json")["status"] == "DONE"
    assert (folder / "positions.csv").exists() == (name in (*TABLES, "sinusoidal"))


@pytest.mark.parametrize("name", TABLES)
def test_the_table_tells_how_many_updates_read_each_row(name, tmp_path, monkeypatch):
    """As a spy counts while it trains."""
    kind, counted = named(name), Counter()
    real = kind.forward

    def spy(self, places):
        counted.update(places.tolist() if torch.is_grad_enabled() else ())
        return real(self, places)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "forward", spy)
        folder = experiment.run(point(*SMALL, f"position={name}"), tmp_path, quiet=True)
    table = store.from_csv(folder / "positions.csv")
    assert [row["updates"] for row in table] == [counted[row["position"]] for row in table]
    assert len(table) == 64
    moved = [row["norm"] != row["norm_at_start"] for row in table]
    assert all(moved[row["position"]] for row in table if row["updates"])


@pytest.fixture(scope="module", params=DRAWN)
def undisturbed(request, tmp_path_factory):
    """(line, results folder) of a run with random places that nothing happens to."""
    line, root = [*STOPPING, f"position={request.param}", "train.stop_at=2"], tmp_path_factory.mktemp(request.param)
    experiment.run(point(*line), root, quiet=True)
    return line, root


def interrupted(line, root, monkeypatch, before=lambda: None):
    """Stopped at its eighth update and gone on with; ``before`` each process."""
    with monkeypatch.context() as patch:
        interrupting(patch, "training", (signal.SIGTERM,))
        before()
        assert main([*line, "--results", str(root)]) == 75
    before()
    assert main([*line, "--results", str(root)]) == 0


def test_a_run_that_is_interrupted_stands_where_it_would_have(undisturbed, tmp_path, monkeypatch):
    line, whole = undisturbed
    interrupted(line, tmp_path, monkeypatch)
    assert differences(tmp_path, whole) == []


def test_places_that_begin_anew_with_the_process_are_caught(tmp_path, monkeypatch):
    dice = {}

    def begin():
        dice["process"] = np.random.default_rng(0)

    def places(self, tokens, rng=None):
        return torch.arange(tokens) + (0 if rng is None else int(dice["process"].integers(64 - tokens + 1)))

    monkeypatch.setattr(Offset, "places", places)
    line = [*STOPPING, "position=offset", "train.stop_at=2", "train.updates=12"]
    begin()
    experiment.run(point(*line), tmp_path / "whole", quiet=True)
    interrupted(line, tmp_path / "interrupted", monkeypatch, begin)
    assert "model.position.table.weight" in differences(tmp_path / "whole", tmp_path / "interrupted")
