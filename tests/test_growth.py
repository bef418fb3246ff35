"""Growth is found, not fitted; what is measured is what was there; the picture of a mask is the mask."""

import doctest
import math
import random
from fractions import Fraction
from functools import partial

import pytest
import torch

from harness.attention import audit, growth, measured
from harness.attention.base import Attention
from harness.attention.check import make
from harness.attention.growth import EVERY, GRID, differences, formula, found, law, prices
from harness.attention.measured import Watcher, peak_bytes, training_bytes
from harness.attention.softmax import Softmax, allowed
from harness.attention.topk import TopK
from harness.attention.window import Window
from tests.test_attention import LeaksBeyondThePrefix, Linear, MeanOfAll, RunningMean

WIDTH, HEADS = 64, 4
WINDOW = partial(Window, window=100, sinks=3)
KNOWN = {  # C = 64, H = 4, D = 16; the projections are 2 n (3 C² + C²) FLOPs
    (Softmax, "training pass", "FLOPs"): "768·n² + 98,304·n",
    (Softmax, "prompt", "FLOPs"): "256·n² + 32,768·n",
    (Softmax, "one more token", "FLOPs"): "256·n + 33,024",
    (Softmax, "prompt", "pairs"): "2·n² + 2·n",
    (Softmax, "one more token", "pairs"): "4·n + 4",
    (Softmax, "state", "numbers"): "128·n",
    (Softmax, "state", "bytes"): "512·n",
    (Softmax, "training pass", "serial steps"): "1",
    (Softmax, "n more tokens", "serial steps"): "n",
    (Linear, "prompt", "FLOPs"): "45,568·n",
    (Linear, "one more token", "FLOPs"): "37,384",
    (Linear, "prompt", "pairs"): "66·n",
    (Linear, "one more token", "pairs"): "4",
    (Linear, "state", "numbers"): "1,088",
    (Linear, "training pass", "serial steps"): "n/32",
    (Linear, "n more tokens", "serial steps"): "n",
    (WINDOW, "prompt", "pairs"): "412·n - 21,012",
    (WINDOW, "one more token", "FLOPs"): "256·n + 33,024 up to n = 102, then 59,136",
    (WINDOW, "one more token", "pairs"): "4·n + 4 up to n = 102, then 412",
    (WINDOW, "state", "numbers"): "128·n up to n = 103, then 13,184",
    (WINDOW, "training pass", "serial steps"): "1",
}


def named(kind, mask=None):
    """(what, unit) -> the price."""
    return {(price.what, price.unit): price for price in prices(kind(WIDTH, HEADS), mask)}


@pytest.mark.parametrize(("kind", "what", "unit"), KNOWN, ids=lambda part: getattr(part, "__name__", str(part))[:20])
def test_the_laws_of_known_variants(kind, what, unit):
    assert law(named(kind)[what, unit]).words == KNOWN[kind, what, unit]


@pytest.mark.parametrize(
    ("kind", "pairs"),
    [
        (Softmax, lambda n: HEADS * (n + 1)),  # n and a constant
        (partial(TopK, k=4), lambda n: HEADS * (n + 1)),
        (WINDOW, lambda n: HEADS * min(n + 1, 103)),
        (Linear, lambda n: HEADS),
    ],
)
def test_a_decoded_token_scores_as_theory_says(kind, pairs):
    found = named(kind)["one more token", "pairs"].at
    for n in (2**power for power in range(4, 13)):
        assert [found(n + d) for d in (-1, 0, 1)] == [pairs(n + d) for d in (-1, 0, 1)]
        assert found(n + 1) - 2 * found(n) + found(n - 1) == 0


def test_with_an_encoder_a_token_is_a_pass():
    found = named(Softmax, "encoder")
    assert ("state", "numbers") not in found
    assert ("prompt", "FLOPs") not in found
    assert law(found["one more token", "FLOPs"]).words == "256·n² + 33,280·n + 33,024"  # the prompt's law of n + 1
    assert law(found["one more token", "pairs"]).words == "4·n² + 8·n + 4"  # 4 (n + 1)²
    assert law(found["n more tokens", "serial steps"]).words == "n"


def test_inside_a_prefix_all_pairs_are_scored():
    assert law(named(Softmax, "prefix")["prompt", "pairs"]).words == "4·n²"
    assert law(named(Softmax, "prefix")["one more token", "pairs"]).words == "4·n + 4"


def test_every_variant_has_a_law_for_every_price_that_holds_beyond_where_it_was_found(variant, mask):
    mixer = variant(WIDTH, HEADS)
    for price in prices(mixer, mask):
        known, where = law(price), (price.what, price.unit, mask)
        assert known.kind in (*growth.NAMES, "bounded", "no simple law"), where
        assert known.words
        if known.degree is None:
            continue
        most = {"pairs": mixer.order, "numbers": 1, "bytes": 1}.get(price.unit, mixer.order)
        assert known.degree <= most - (price.unit == "pairs" and not price.summed), where
        beyond = (9 * 1024, 16 * 1024) if price.summed else (4098, 5000, 2**13)
        if known.last is not None:
            assert [price.at(n) for n in beyond] == [known.last.at(n) for n in beyond], where


@pytest.mark.parametrize("stranger", [RunningMean, MeanOfAll])
def test_a_strangers_variant_has_laws(stranger):
    found = {(price.what, price.unit): law(price).words for price in prices(stranger(WIDTH, HEADS))}
    assert found["training pass", "FLOPs"] == "24,576·n"
    assert found["one more token", "FLOPs"] == ("8,192" if stranger is RunningMean else "8,192·n + 8,192")
    assert (("state", "numbers") in found) == (stranger is RunningMean)


@pytest.mark.parametrize("places", [EVERY, GRID], ids=["every", "grid"])
def test_polynomials_are_found_exactly(places):
    draw = random.Random(0)
    for degree in growth.DEGREES:
        whole = [draw.randint(-99, 99) for _ in range(degree)] + [draw.choice([-7, 1, 64])]
        known = found([sum(c * n**power for power, c in enumerate(whole)) for n in places], places)
        assert (known.kind, known.degree) == (growth.NAMES[degree], degree)
        assert known.last.coefficients == tuple(whole)
        assert known.words == formula(list(map(Fraction, whole)))


@pytest.mark.parametrize(
    ("function", "kind", "words"),
    [
        (lambda n: 0, "constant", "0"),
        (lambda n: 1_000_000, "constant", "1,000,000"),
        (lambda n: n * (n + 1) // 2, "quadratic", "n²/2 + n/2"),
        (lambda n: 5 - n, "linear", "-n + 5"),
        (lambda n: (n - 1) ** 3, "cubic", "n³ - 3·n² + 3·n - 1"),
        (lambda n: min(n, 1), "bounded", "0 up to n = 0, then 1"),
        (lambda n: min(n, 16), "bounded", "n up to n = 16, then 16"),
        (lambda n: 2 * min(n, 3000), "bounded", "2·n up to n = 3,000, then 6,000"),
        (lambda n: min(n, 4) + min(n, 64), "bounded", "2·n up to n = 4, n + 4 up to n = 64, then 68"),
        (lambda n: max(n - 100, 0) ** 2, "quadratic", "0 up to n = 100, then n² - 200·n + 10,000"),
        (lambda n: n % 64, "bounded", "0 to 63, again every 64 tokens"),
        (lambda n: n // 16, "linear", "+1 every 16 tokens"),
        (lambda n: 2 * n + n % 12, "linear", "+24 every 12 tokens"),
        (lambda n: min(n, 100) + n % 2, "bounded", "100 to 101, again every 2 tokens"),
        (lambda n: n.bit_length(), "no simple law", "0 to 13 at n = 0 to 4,097, last like n^0.12"),
        (math.isqrt, "no simple law", "0 to 64 at n = 0 to 4,097, last like n^0.51"),
        (lambda n: n * n.bit_length(), "no simple law", "0 to 53,261 at n = 0 to 4,097, last like n^1.12"),
        (lambda n: bin(n).count("1"), "no simple law", "0 to 12 at n = 0 to 4,097, last like n^0.13"),
        (lambda n: random.Random(n).randint(0, 9), "no simple law", None),
    ],
)
def test_each_kind_of_law(function, kind, words):
    known = found(list(map(function, EVERY)), EVERY)
    assert known.kind == kind
    assert words is None or known.words == words


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda n: sum(min(64, n - start) ** 2 for start in range(0, n, 64)), "64·n"),  # chunks are whole
        (lambda n: sum(min(t, 2000) for t in range(n + 1)), "2,000·n - 1,999,000 from n = 2,048 on"),
        (lambda n: n * n.bit_length(), "11,264 to 114,688 at n = 1,024 to 8,192, last like n^1.11"),
        (lambda n: n * math.isqrt(n), "32,768 to 737,280 at n = 1,024 to 8,192, last like n^1.49"),
    ],
)
def test_sums_are_told_as_they_end(function, words):
    assert found(list(map(function, GRID)), GRID, whole=False).words == words


def test_the_example_of_growth_runs():
    assert doctest.testmod(growth) == (0, 2)


def test_the_ladder_of_the_theory_is_looked_at():
    assert {2**power + d for power in range(4, 13) for d in (-1, 0, 1)} <= set(EVERY)
    assert differences([1, 4, 9, 16]) == [3, 5, 7]


# What is alive


def by_hand():
    """100 float32, a view; 50 float64; twice that; half of it is gone; values and indices of a sort."""
    a = torch.zeros(100)  # 400 bytes
    b = a.view(10, 10)
    c = torch.zeros(50, dtype=torch.float64)  # 400
    del a  # the view holds it
    d = torch.cat([c, c])  # 800, and 1600 are alive
    del b, c  # 800 are
    return d.sort()  # 800 and 800: 2400


def exponentials():
    """exp three times: each keeps what it returned for backward, though no name is left."""
    x = torch.zeros(1000, requires_grad=True)
    return x, lambda: torch.autograd.grad(x.exp().exp().exp().sum(), x)


def watched(watcher, call, *known):
    with watcher(*known) as one:
        call()
    return one.peak


def test_the_peak_is_what_is_counted_by_hand():
    assert peak_bytes(by_hand) == 2400
    x, call = exponentials()
    assert peak_bytes(call, x) == 3 * 4000 + 4000 + 2 * 4, "three results, one gradient, the loss and its gradient"


def test_what_is_known_is_not_counted_nor_what_was_there_before():
    x = torch.zeros(1000)
    assert peak_bytes(lambda: x.view(10, 100).T, x) == 0
    assert peak_bytes(lambda: x + 1, x) == 4000


class SeesTheFirstAlone(Watcher):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            super().__torch_dispatch__(lambda: made, types)
        return made


class CountsViews(Watcher):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = super().__torch_dispatch__(func, types, args, kwargs)
        if "view" in str(func):
            self.now += made.nbytes
            self.peak = max(self.peak, self.now)
        return made


class NeverFrees(Watcher):
    def _freed(self, storage):
        self.alive.pop(storage)


class FreesAtOnce(Watcher):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.now, self.alive = 0, {}
        return super().__torch_dispatch__(func, types, args, kwargs)

    def _freed(self, storage):
        pass


@pytest.mark.parametrize("broken", [SeesTheFirstAlone, CountsViews, NeverFrees, FreesAtOnce])
def test_a_broken_watcher_counts_something_else(broken):
    assert watched(Watcher, by_hand) == 2400
    assert watched(broken, by_hand) != 2400


@pytest.mark.parametrize("kind", [Softmax, Linear, WINDOW, partial(TopK, k=4)])
def test_the_peak_is_the_same_each_time(kind):
    mixer = named_mixer(kind)
    assert training_bytes(mixer, 130) == training_bytes(mixer, 130) > 0


@pytest.mark.parametrize(
    ("kind", "order"), [(Linear, 1), (Softmax, 1), (partial(Window, window=16, sinks=3), 1), (partial(TopK, k=4), 2)]
)
def test_peak_memory_grows_exactly(kind, order):
    """Fused softmax never makes its n² scores, top-k does; the last difference vanishes, the one before does not."""
    mixer = named_mixer(kind)
    table = [[training_bytes(mixer, tokens) for tokens in range(512, 512 * 5, 512)]]
    for _ in range(order + 1):
        table.append(differences(table[-1]))
    assert set(table[-1]) == {0}
    assert min(table[-2]) > 0


def named_mixer(kind):
    return make(lambda width, heads: kind(WIDTH, HEADS)).float()


# What is timed


def test_seconds_are_a_median(monkeypatch):
    clock = iter([0, 0.03, 1, 1.01, 2, 2.5, 9])
    monkeypatch.setattr(measured, "perf_counter", lambda: next(clock))
    assert measured.seconds(lambda: None) == pytest.approx(0.03)
    assert next(clock) == 9


def test_an_exponent_is_that_of_the_last_doublings():
    sizes = [128, 256, 512, 1024]
    assert measured.exponent(sizes, [1e9, 2, 8, 32]) == pytest.approx(2)
    assert measured.exponent([128, 256], [1, 8]) == pytest.approx(3)


@pytest.mark.parametrize("mask", ["causal", "prefix", "encoder"])
def test_the_ladder_measures_what_there_is(mask):
    rows = list(measured.ladder(WINDOW, mask, (16, 32)))
    assert [row.tokens for row in rows] == [16, 32]
    for row in rows:
        assert (row.prompt is None) == (mask == "encoder")
        assert min(row.training, row.decoding, row.prompt or 1) > 0
        assert row.peak == training_bytes(named_mixer(WINDOW), row.tokens, 0 if mask == "causal" else row.tokens)
    assert torch.is_grad_enabled()


def test_the_ladder_ends_before_it_takes_too_long(monkeypatch):
    monkeypatch.setattr(measured, "LONGEST", 0)
    assert len(list(measured.ladder(Softmax, "causal", (16, 32, 64)))) == 1


class Short(Softmax):
    def mix(self, q, k, v, state, prefix):
        if q.shape[2] > 20:
            raise ValueError("20 tokens at most")
        return super().mix(q, k, v, state, prefix)


def test_the_ladder_ends_where_the_variant_does():
    assert [row.tokens for row in measured.ladder(Short, "causal", (16, 32))] == [16]


class ForgetsItsLength(Softmax):
    """A map that is not causal: what is mixed is divided by how many tokens there are."""

    def mix(self, q, k, v, state, prefix):
        mixed, after = super().mix(q, k, v, state, prefix)
        return mixed / q.shape[2], after


def test_one_pass_is_many_for_a_causal_map_alone():
    same, other = measured.together(Softmax, tokens=16), measured.together(ForgetsItsLength, tokens=16)
    assert max(same.loss, same.gradient) < 1e-12
    assert min(other.loss, other.gradient) > 1e-3
    assert same.faster > 1


# Who sees whom


class Alone(Attention):
    """A control: each token sees itself."""

    local = True
    masks = ("causal", "encoder")

    def mix(self, q, k, v, state, prefix):
        return v * (q * k).sum(-1, keepdim=True), None

    naive_mix = mix_flops = empty = state_size = scored_pairs = serial_steps = None


def near(window, sinks, prefix):
    """By the definition of a window."""
    places = torch.arange(audit.TOKENS)
    reach = ((places[:, None] - places).abs() < window) | (places < sinks)
    return reach & allowed(audit.TOKENS, audit.TOKENS, prefix, places.device)


@pytest.mark.parametrize("prefix", audit.PREFIX.values())
def test_the_picture_is_the_mask(prefix):
    tokens = audit.TOKENS
    assert torch.equal(audit.seen(Softmax, prefix), allowed(tokens, tokens, prefix, torch.device("cpu")))
    assert torch.equal(audit.seen(partial(Window, window=5, sinks=2), prefix), near(5, 2, prefix))
    if prefix in (0, tokens):
        assert torch.equal(audit.seen(Alone, prefix), torch.eye(tokens, dtype=torch.bool))


def test_a_picture_has_two_outputs_in_a_line():
    grid = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]]).bool()
    assert audit.drawn(grid) == ["█▀▄·", "▄▄▄▄"]
    first, *lines = audit.picture(partial(Window, window=1, sinks=0))
    assert first.split("   ")[0] == "causal"
    assert [line[:24] for line in lines] == ["·" * 2 * i + "▀▄" + "·" * (22 - 2 * i) for i in range(12)]


def test_every_variant_is_drawn_and_none_leaks(variant):
    title, *lines = audit.picture(variant)
    assert len(lines) == audit.TOKENS // 2, lines[audit.TOKENS // 2 :]
    masks = make(variant).masks
    assert [mask in title for mask in ("causal", "prefix of 10", "encoder")] == [
        mask in masks for mask in ("causal", "prefix", "encoder")
    ]
    assert all(set(line) <= set("·▀▄█ ") for line in lines)
    assert lines[-1][len(lines[-1]) - 1] in "▄█", "the last token sees itself"


def test_a_leak_is_named():
    *_, said = audit.picture(LeaksBeyondThePrefix)
    assert said == "LEAKS: with mask=prefix output 0 depends on input 10, and 9 more pairs should not"


def test_a_mask_that_a_variant_does_not_have_is_not_drawn():
    assert audit.picture(RunningMean)[0] == "causal"
    with pytest.raises(ValueError, match="this map can be causal"):
        audit.seen(RunningMean, prefix=5)
