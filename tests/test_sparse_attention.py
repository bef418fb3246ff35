"""Sparse attention: its graph is the one that is stated, its price the graph's, and its limits are other variants."""

from functools import partial
from itertools import pairwise

import pytest
import torch

from harness import attention
from harness.attention.base import unrotated
from harness.attention.check import check_variant, make
from harness.attention.softmax import Softmax
from harness.attention.sparse import Sparse, drawn
from harness.attention.trial import BATCH, HEADS, LONG, SHORT, WIDTH, numbers
from harness.attention.window import Window
from harness.model.positions import Rotary

turn = Rotary(context=LONG, width=WIDTH, head_width=WIDTH // HEADS, base=10_000.0).rotate
ROTATIONS = {"unrotated": unrotated, "rotary": turn}
DEFAULT = {"window": 16, "sinks": 1, "blocks": 1, "block": 16}
SETTINGS = [
    DEFAULT,
    {"window": 3, "sinks": 0, "blocks": 2, "block": 4},
    {"window": 2, "sinks": 21, "blocks": 1, "block": 8},  # sinks fill more than two blocks
    {"window": 1, "sinks": 2, "blocks": 3, "block": 1},
    {"window": 30, "sinks": 5, "blocks": 1, "block": 7},  # the window is wider than what is drawn is far
    {"window": 4, "sinks": 1, "blocks": 9, "block": 100},  # fewer earlier blocks than are drawn
]


def distances(queries, keys, heads):
    """A bias, as of ALiBi."""
    return -(queries[:, None] - keys).abs() * torch.arange(1, heads + 1)[:, None, None] / 8


def graph(tokens, window, sinks, blocks, block):
    """(T, T), true for places that are linked: symmetric, without a mask."""
    places = torch.arange(tokens)
    linked = (places[:, None] - places).abs() < window
    linked[:sinks], linked[:, :sinks] = True, True
    for number in range(-(-tokens // block)):
        for earlier in drawn(number, blocks):
            mine, theirs = (slice(one * block, one * block + block) for one in (number, earlier))
            linked[mine, theirs], linked[theirs, mine] = True, True
    return linked


def reach(tokens, prefix, **settings):
    """(T, T), true where a query sees the key: the graph under the mask."""
    mask = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    mask[:prefix, :prefix] = True
    return graph(tokens, **settings) & mask


@pytest.mark.parametrize("count", [0, 1, 3, 50])
def test_a_block_draws_earlier_ones_and_depends_on_its_number_alone(count):
    draws = [drawn(block, count) for block in range(40)]
    for block, chosen in enumerate(draws):
        assert len(set(chosen)) == len(chosen) == min(count, block)
        assert all(0 <= earlier < block for earlier in chosen)
    drawn.cache_clear()
    assert [drawn(block, count) for block in reversed(range(40))] == draws[::-1]


def test_every_earlier_block_is_drawn_as_often_as_any_other():
    """Of the blocks behind the 200th, their relative place is uniform: its mean is 1/2, its variance 1/12."""
    places = torch.tensor([(drawn(block, 1)[0] + 0.5) / block for block in range(200, 1200)])
    assert abs(places.mean() - 1 / 2) < 4 * (1 / 12 / 1000) ** 0.5
    assert abs(places.var() - 1 / 12) < 4 * (1 / 180 / 1000) ** 0.5  # of a uniform's squared deviation


@pytest.mark.parametrize(
    "others",
    [
        {**SETTINGS[1], "rotate": turn},
        {**SETTINGS[2], "bias": distances},
        SETTINGS[5],
    ],
    ids=["rotary", "biased", "plain"],
)
def test_the_laws_hold_at_other_settings(others):
    failed = {v.law: v.detail for v in check_variant(partial(Sparse, **others)) if not v.passed}
    assert list(failed) == ["golden_fingerprint_stands"], failed


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("tokens", [1, SHORT, LONG])
def test_who_weighs_whom_and_how_many_pairs_that_is(settings, tokens):
    mixer = make(partial(Sparse, **settings))
    for prefix in {0, min(3, tokens), tokens // 2, 2 * tokens // 3, tokens}:
        expected = reach(tokens, prefix, **settings)
        assert torch.equal(mixer.mixing(numbers(tokens), prefix) > 0, expected.expand(BATCH, HEADS, -1, -1))
        assert mixer.scored_pairs(tokens, None, prefix) == HEADS * expected.sum()
        for cut in range(max(prefix, 1), tokens):
            parts = mixer.scored_pairs(cut, 0, prefix), mixer.scored_pairs(tokens - cut, cut)
            assert parts == tuple(HEADS * part.sum() for part in (expected[:cut, :cut], expected[cut:]))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_block_of_queries_gathers_what_one_of_them_reaches_and_nothing_else(settings):
    mixer, block, sinks = make(partial(Sparse, **settings)), settings["block"], settings["sinks"]
    for prefix in (0, 40, LONG):
        seen = reach(LONG, prefix, **settings)
        cuts = sorted({*range(0, LONG, block), min(sinks, prefix), prefix, LONG})
        products = sum((last - first) * seen[first:last].any(0).sum() for first, last in pairwise(cuts))
        assert mixer.mix_flops(LONG, None, prefix) == 4 * WIDTH * products


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_weights_are_a_softmax_over_the_graph(settings):
    mixer = make(partial(Sparse, **settings, bias=distances))
    q, k, _ = mixer.project(numbers(LONG))
    places = torch.arange(LONG)
    scores = q @ k.mT / (WIDTH // HEADS) ** 0.5 + distances(places, places, HEADS)
    for prefix in (0, 40, LONG):
        expected = scores.masked_fill(~reach(LONG, prefix, **settings), -torch.inf).softmax(-1)
        torch.testing.assert_close(mixer.mixing(numbers(LONG), prefix), expected)


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize(
    "wide",
    [
        {"window": LONG, "sinks": 0, "blocks": 0, "block": 16},
        {"window": LONG, "sinks": 1, "blocks": 1, "block": 16},
        {"window": 1, "sinks": LONG, "blocks": 0, "block": 16},
        {"window": 16, "sinks": 0, "blocks": LONG, "block": 16},
        {"window": 1, "sinks": 0, "blocks": LONG, "block": 1},
    ],
    ids=str,
)
def test_with_everything_in_reach_it_is_softmax(wide, rotation):
    softmax, mixer = (make(partial(kind, rotate=ROTATIONS[rotation])) for kind in (Softmax, partial(Sparse, **wide)))
    for prefix in (0, 40, LONG):
        x = numbers(LONG)
        torch.testing.assert_close(mixer(x, prefix=prefix)[0], softmax(x, prefix=prefix)[0])
        assert mixer.scored_pairs(LONG, None, prefix) == softmax.scored_pairs(LONG, None, prefix)


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize(("window", "sinks"), [(16, 1), (5, 9), (1, 0), (40, 3)])
def test_without_random_blocks_it_is_a_window_with_sinks(window, sinks, rotation):
    plain, mixer = (
        make(partial(kind, window=window, sinks=sinks, rotate=ROTATIONS[rotation]))
        for kind in (Window, partial(Sparse, blocks=0, block=8))
    )
    for prefix in (0, 40, LONG) if not sinks else (0,):  # in a prefix only our sinks see beyond the window
        x = numbers(LONG)
        torch.testing.assert_close(mixer(x, prefix=prefix)[0], plain(x, prefix=prefix)[0])
        assert mixer.scored_pairs(LONG, None, prefix) == plain.scored_pairs(LONG, None, prefix)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_an_encoder_is_symmetric_and_two_steps_reach_everything_through_a_global_token(settings):
    seen = (make(partial(Sparse, **settings)).mixing(numbers(LONG), LONG) > 0)[0, 0]
    assert torch.equal(seen, seen.T)
    if settings["sinks"]:
        assert ((seen.double() @ seen.double()) > 0).all()


def test_the_price_of_a_token_is_bounded_and_that_of_the_state_a_line():
    """A token scores window + sinks + blocks · block pairs, less those that two of them share."""
    mixer, most = make(partial(Sparse, **DEFAULT)), 16 + 1 + 16
    reached, clear = [], []
    for t in range(16, 4096):
        (block,) = drawn(t // 16, 1)
        shared = {0, *range(t - 15, t + 1)} & {*range(block * 16, block * 16 + 16)}
        reached.append(mixer.scored_pairs(1, t) == HEADS * (most - len(shared)))
        assert mixer.mix_flops(1, t, 0) == 4 * (WIDTH // HEADS) * mixer.scored_pairs(1, t)
        clear.append(not shared)
    assert all(reached)
    assert sum(clear) > 0.9 * len(clear)
    for n in (2**power for power in range(4, 13)):
        assert mixer.state_size(n + 1) - mixer.state_size(n) == 2 * WIDTH
        assert mixer.state_size(n + 1) - 2 * mixer.state_size(n) + mixer.state_size(n - 1) == 0


def test_the_price_of_a_sequence_is_linear():
    """Each block of queries adds the same products, unless what it draws lies in the window or with the sinks."""
    mixer = make(partial(Sparse, **DEFAULT))
    steps = [mixer.mix_flops(16, 16 * block, 0) for block in range(1024)]
    most = 4 * WIDTH * 16 * (16 + 15 + 1 + 16)
    assert max(steps) == most == sorted(steps)[50]
    assert sum(steps) == mixer.mix_flops(16 * 1024, None, 0)
    whole = [mixer.mix_flops(tokens, None, tokens) for tokens in (1024, 2048, 4096, 8192)]  # and of an encoder
    for tokens, flops in zip((1024, 2048, 4096, 8192), whole, strict=True):
        links = tokens // 16 - 1  # each is looked along both ways; each window reaches 15 forward; one token sees all
        assert flops <= 4 * WIDTH * (16 * (tokens // 16) * (16 + 15 + 15 + 1) + 2 * links * 16 * 16 + tokens)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [("window", 0, "1 or more"), ("sinks", -1, "0 or more"), ("blocks", -1, "0 or more"), ("block", 0, "1 or more")],
)
def test_impossible_settings_are_refused(key, value, says):
    with pytest.raises(ValueError, match=rf"^attention\.{key}={value}: {says} is needed, and at most 2\^30$"):
        attention.configured("sparse", (DEFAULT | {key: value}).items())(WIDTH, HEADS)
    assert attention.configured("sparse", DEFAULT.items())(WIDTH, HEADS)
