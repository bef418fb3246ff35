"""What is measured without training: against theory's own numbers, brute force and independent formulas."""

import math
from itertools import product

import numpy as np
import pytest
import torch

from harness import attention, config, store
from harness.attention.kernel import CHUNK, Kernel
from harness.draw import Source
from harness.evaluate import Question, evaluate
from harness.model import build
from harness.model.positions import Nowhere
from harness.scratchpad import Scratchpad
from harness.sequence import marks
from harness.theory import decoding, initial, matrices, rank, witness
from tasks.pairwise import Pairwise

NONE = Scratchpad("none", "trace", None, 0.0, 0.0)
SMALL = {
    "initial": lambda: initial.rows(seeds=[0], widths=[32]),
    "decoding": lambda: decoding.rows(lengths=[5, 9], width=8),
    "rank": lambda: rank.rows(lengths=[16, 32], bounds=[1, 4], draws=2),
    "witness": lambda: witness.rows(lengths=[5, 9], items=20),
}


@pytest.mark.parametrize("name", SMALL)
def test_rows_are_plain_and_the_same_again(name, tmp_path):
    first = list(SMALL[name]())
    assert first == list(SMALL[name]())
    assert len({tuple(row) for row in first}) == 1, "all have the same columns"
    assert {type(value) for row in first for value in row.values()} <= {int, float, str, bool, type(None)}
    record = {"study": "study", "size": "small", "arms": {}, "theory": {name: {}}}
    record["tables"] = {name: store.save_table(tmp_path, "study", "small", name, first)}
    store.save_study(tmp_path, record)
    (path,) = store.studies([tmp_path])
    assert store.load_table(tmp_path, store.load_study(path), name) == first


# initial --------------------------------------------------------------------------------------------------------------


def test_a_model_starts_as_gpt_2_does():
    found = list(initial.rows())
    assert len(found) == 5 * 2 * 4
    assert sum(row["outside"] for row in found) == 0
    own = {row["kind"]: row["expected"] for row in found if row["width"] == 768}
    assert own == pytest.approx({"tokens": 0.02, "positions": 0.01, "weights": 0.02, "residual": 0.01})


@pytest.mark.parametrize(("kind", "factor"), list(product(["tokens", "positions", "weights", "residual"], [0.9, 1.1])))
def test_another_start_is_seen(kind, factor):
    model = build(config.points(["task=pairwise"])[0])
    numbers = initial.kinds(model)[kind]
    expected = float(numbers.double().std())
    assert initial.against(numbers, expected)["outside"] == 0
    assert initial.against(factor * numbers, expected)["outside"] == 1


def test_the_kinds_are_all_that_is_drawn():
    model = build(config.points(["task=pairwise"])[0])
    matrices_of = [p for name, p in model.named_parameters() if p.dim() > 1]
    assert sum(len(part) for part in initial.kinds(model).values()) == sum(p.numel() for p in matrices_of)
    writes = [block.mixer.project_out.weight for block in model.blocks]
    writes += [block.mlp.project_out.weight for block in model.blocks]
    assert len(initial.kinds(model)["residual"]) == sum(weight.numel() for weight in writes)


def test_an_interval_covers_as_often_as_it_says():
    """Of 4,000 draws of 50 numbers about 4 lie outside at 99.9 %: more than 14 would be one chance in 20,000."""
    torch.manual_seed(0)
    outside = sum(initial.against(3 * torch.randn(50), 3.0)["outside"] for _ in range(4000))
    assert 0 < outside < 14


# decoding -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def decoded():
    return list(decoding.rows(lengths=(16, 32, 64, 128, 256)))


def slope(found, column, variant):
    chosen = [row for row in found if row["variant"] == variant]
    x, y = ([math.log(row[name]) for row in chosen] for name in ("length", column))
    return np.polyfit(x, y, 1)[0]


def test_parallel_and_cached_logits_differ_by_rounding(decoded):
    for row in decoded:
        assert 0 < row["difference"] < 1e-4
        assert row["largest"] > 1, "a difference of logits near zero would say nothing"


def test_the_state_of_softmax_grows_as_n_and_that_of_the_others_not_at_all(decoded):
    assert slope(decoded, "state_bytes", "softmax") == pytest.approx(1)
    for variant in ("linear", "gru"):
        assert slope(decoded, "state_bytes", variant) == pytest.approx(0)
    constant = {row["variant"]: row["constant_state"] for row in decoded}
    assert constant == {"softmax": False, "linear": True, "gru": True}


def test_one_more_token_costs_as_much_more(decoded):
    flops = {v: [row["token_flops"] for row in decoded if row["variant"] == v] for v in ("softmax", "linear", "gru")}
    doublings = np.diff(flops["softmax"])
    assert (doublings[1:] == 2 * doublings[:-1]).all()
    assert doublings[0] == 2 * 4 * 32 * 16, "2 layers, 4 FLOPs for each of 32 channels and 16 keys more"
    assert len(set(flops["linear"])) == len(set(flops["gru"])) == 1


def test_training_is_serial_for_a_gru_alone(decoded):
    serial = {(row["variant"], row["length"]): row["train_serial_steps"] for row in decoded}
    for length in (16, 64, 256):
        assert serial["gru", length] == length
        assert serial["softmax", length] == 1
        assert serial["linear", length] == max(1, length / CHUNK)


def test_decoding_that_forgets_is_seen():
    """A broken specimen: a model whose decoding starts anew at every token."""
    model = build(config.points(["task=pairwise", "model.width=8", "model.heads=2", *decoding.ORDER_ONE])[0])
    tokens = torch.arange(12)[None]
    with torch.no_grad():
        whole = model(tokens)[0]
        anew = torch.cat([model(token)[0] for token in tokens.split(1, 1)], 1)
    assert (decoding.decoded(model, tokens) - whole).abs().max() < 1e-4
    assert (anew - whole).abs().max() > 1e-3


# rank -----------------------------------------------------------------------------------------------------------------

TABLE = {0.5: 1, 1: 8, 1.5: 9, 2: 27, 3: 87, 4: 163, 6: 191}  # at n = 256, of one draw each (THEORY b.1)


def test_the_median_rank_is_that_of_the_table():
    (found,) = [[row for row in rank.rows(lengths=[256], draws=20) if row["map"] == "softmax"]]
    assert {row["bound"] for row in found} == set(TABLE)
    for row in found:
        assert TABLE[row["bound"]] / 1.35 <= row["rank"] <= TABLE[row["bound"]] * 1.35, row
        assert row["rank_low"] <= row["rank"] <= row["rank_high"]


@pytest.mark.parametrize("draw", range(3))
def test_the_rank_is_the_first_truncation_that_is_near_enough(draw):
    matrix = rank.random(48, 3, seed=1, draw=draw)
    np.testing.assert_allclose(matrix.sum(1), 1)
    u, s, v = np.linalg.svd(matrix)
    errors = [np.abs(matrix - (u[:, :r] * s[:r]) @ v[:r]).sum(1).max() for r in range(49)]
    assert matrices.epsilon_rank(matrix, 0.1) == next(r for r, error in enumerate(errors) if error <= 0.1)
    assert matrices.epsilon_rank(matrix, 0.01) > matrices.epsilon_rank(matrix, 0.1)


def test_entries_are_uniform_within_the_bound_and_scores_are_divided_by_d():
    """Softmax rows keep log-ratios of scores: with one bound twice the other they are four times as large."""
    small, large = (np.log(rank.random(64, bound, 0, 0)) for bound in (1.0, 2.0))
    spreads = [np.std(x - x.mean(1, keepdims=True)) for x in (small, large)]
    expected = math.sqrt(6) / 6 / 3  # of a mean over d = 6 of products of two uniforms with variance 1/3 each
    assert spreads[0] == pytest.approx(expected, rel=0.2)
    assert spreads[1] == pytest.approx(4 * expected, rel=0.2)


def test_a_bound_is_the_same_written_as_an_integer():
    assert np.array_equal(rank.random(16, 3, 0, 0), rank.random(16, 3.0, 0, 0))


def by_map(lengths, draws=3):
    found = rank.rows(lengths=lengths, bounds=[1], draws=draws)
    return {(row["map"], row["length"]): row for row in found}


def test_one_causal_feature_has_full_rank_and_a_kernel_reaches_all_keys_with_a_rank_of_8():
    found = by_map((32, 64, 128))
    for n in (32, 64, 128):
        assert found["linear", n]["exact_rank"] == n
        assert found["kernel", n]["exact_rank"] == 8
        assert found["kernel", n]["rank"] <= 8
        assert found["kernel", n]["reach"] > 0.9 * n
        assert 0.4 * n < found["linear", n]["reach"] < 0.55 * n
        assert found["window", n]["reach"] <= 16
        assert found["window", n]["exact_rank"] > 0.95 * n
        assert found["window", n]["rank"] > 0.7 * n


def test_a_window_is_the_last_16_keys():
    band = rank.window(40, seed=0, draw=0) > 0
    t, j = np.indices((40, 40))
    assert np.array_equal(band, (j <= t) & (t - j < 16))


def test_reach_is_the_exponent_of_an_entropy():
    even = by_map((64,))["softmax", 64]
    assert 60 < even["reach"] < 64
    peaked = next(iter(rank.rows(lengths=[64], bounds=[6], draws=3)))
    assert peaked["reach"] < 8
    triangle = np.tril(np.ones((6, 6))) / np.arange(1, 7)[:, None]
    assert matrices.keys(triangle) == pytest.approx(np.arange(1, 7))


def test_the_linear_map_is_kernel_attention_with_one_feature():
    """The house's own kernel attention, handed one feature, has the same matrix."""
    n, keys = 12, np.random.default_rng(0).uniform(0.5, 1, 12)

    class One(Kernel):
        features = 1

        def features_of(self, q, k, seen):
            phi = torch.from_numpy(keys)[None, None, :, None]
            return torch.ones_like(phi), phi

    mixer = One(4, 1).double()
    found = mixer.mixing(torch.zeros(1, n, 4, dtype=torch.float64))[0, 0].detach().numpy()
    expected = np.tril(np.broadcast_to(keys, (n, n)))
    np.testing.assert_allclose(found, expected / expected.sum(1, keepdims=True), atol=1e-5)
    drawn = rank.linear(n, 0, 0)
    np.testing.assert_allclose(drawn / drawn[:, :1], np.tril(np.broadcast_to(drawn[-1] / drawn[-1, 0], (n, n))))
    assert attention.load("linear").__mro__[1] is Kernel or issubclass(attention.load("linear"), Kernel)


# witness --------------------------------------------------------------------------------------------------------------


def accuracy(model, task, length, size=400, split="boundary"):
    (score,) = evaluate(model, Source(task, NONE, 0), [Question(split, length)], size)
    return score.accuracy


@pytest.mark.parametrize(("values", "alpha"), [(64, 24), (16, 5), (8, 3), (6, 2)])
def test_at_ln_4n_every_input_is_decided(values, alpha):
    task, crowded = (kind(alpha=alpha, values=values) for kind in (Pairwise, witness.Crowded))
    for length in (4, 16, 64):
        model = witness.scalars(task, math.log(4 * length))
        assert [accuracy(model, task, length, split=s) for s in ("boundary", "broad", "natural")] == [1.0] * 3
        assert accuracy(model, crowded, length) == 1.0


def test_at_ln_4n_all_prompts_of_a_tiny_size_are_decided():
    task, length = Pairwise.tiny()
    prompts = task.prompts(length)
    tokens = np.hstack([np.full((len(prompts), 1), marks(task).start), prompts])
    tokens = np.hstack([tokens, np.tile([marks(task).think, marks(task).answer], (len(prompts), 1))])
    with torch.no_grad():
        logits, _ = witness.scalars(task, math.log(4 * length))(torch.from_numpy(tokens), at=slice(-1, None))
    assert np.array_equal(logits[:, 0].argmax(-1).numpy(), task.solve(prompts)[:, 0])


@pytest.mark.parametrize("length", [16, 64])
def test_half_of_ln_n_is_too_little_for_a_crowd(length):
    found = {(r["scale"], r["split"]): r for r in witness.rows(lengths=[length], scales=["enough", "half"], items=400)}
    assert found["half", "crowded"]["accuracy"] <= 0.55
    assert found["half", "boundary"]["accuracy"] > 0.8, "an ordinary twin is no such crowd"
    assert found["enough", "crowded"]["accuracy"] == found["enough", "boundary"]["accuracy"] == 1.0
    assert found["enough", "crowded"]["beta_per_ln_n"] == pytest.approx(math.log(4 * length) / math.log(length))


def test_the_witness_computes_what_two_soft_extremes_do():
    """Independent arithmetic: soft maximum less soft minimum, below alpha - 1/2."""
    task, beta = Pairwise(alpha=5, values=16), 1.3
    prompts = np.random.default_rng(0).integers(3, 10, size=(500, 7))
    up, down = (np.exp(sign * beta * prompts) for sign in (1, -1))
    soft = (prompts * up).sum(1) / up.sum(1) - (prompts * down).sum(1) / down.sum(1)
    close = soft < 4.5
    assert 20 < close.sum() < 480
    tokens = torch.from_numpy(
        np.hstack([np.full((500, 1), marks(task).start), prompts, np.full((500, 1), marks(task).answer)])
    )
    with torch.no_grad():
        said = witness.scalars(task, beta)(tokens, at=slice(-1, None))[0][:, 0].argmax(-1).numpy()
    assert np.array_equal(said, task.vocab - 2 + close)


def test_it_is_one_layer_of_the_ordinary_class():
    model = witness.scalars(Pairwise(), 3.0)
    assert len(model.blocks) == 1
    assert type(model.blocks[0].mixer).__name__ == "Softmax"
    assert model.blocks[0].mixer.heads == 2
    assert isinstance(model.position, Nowhere)
    assert sum(p.abs().sum() for p in model.blocks[0].mlp.parameters()) == 0, "its MLP does nothing"


@pytest.mark.parametrize("head", [0, 1])
def test_a_witness_with_one_blind_head_fails(head):
    task = Pairwise()
    model = witness.scalars(task, math.log(64))
    model.blocks[0].mixer.project_in.bias.data[4 * head : 4 * head + 4] = 0
    assert accuracy(model, task, 16) < 0.7


@pytest.mark.parametrize("length", [2, 3, 9])
def test_a_crowd_is_what_it_says(length):
    task = witness.Crowded(alpha=5, values=16)
    drawn = task.sample(np.random.default_rng(0), 300, length, "boundary")
    assert np.array_equal(task.solve(drawn.prompt), drawn.answer)
    spans = np.ptp(drawn.prompt, axis=1)
    close = drawn.answer[:, 0] == task.vocab - 1
    assert np.array_equal(spans, np.where(close, 4, 5))
    assert close.sum() == 150
    low, high = drawn.prompt.min(1, keepdims=True), drawn.prompt.max(1, keepdims=True)
    on_ends = ((drawn.prompt == low) | (drawn.prompt == high)).sum(1)
    assert (on_ends[close] == length).all()
    assert (on_ends[~close] == 2).all()
    inside = (drawn.prompt == low + 1) | (drawn.prompt == high - 1)
    assert (inside[~close].sum(1) == length - 2).all()


def test_what_has_no_witness_is_refused():
    with pytest.raises(ValueError, match="scalars with one alpha"):
        witness.scalars(Pairwise(norm="hamming", values=2, dim=3, alpha=3), 1.0)
    with pytest.raises(ValueError, match="scalars with one alpha"):
        witness.scalars(Pairwise(alpha="prompt"), 1.0)
    with pytest.raises(ValueError, match="did you mean enough"):
        next(iter(witness.rows(scales=["enogh"])))
