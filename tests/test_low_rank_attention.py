"""Linformer and Nyström: attention as a matrix of low rank, what it becomes where the rank is full, and its price."""

from functools import partial

import pytest
import torch
from torch import nn
from transformers import NystromformerConfig
from transformers.models.nystromformer.modeling_nystromformer import NystromformerSelfAttention

from harness import attention
from harness.attention.base import unrotated
from harness.attention.check import check_variant, make
from harness.attention.linformer import Linformer
from harness.attention.nystrom import Nystrom
from harness.attention.softmax import Softmax
from harness.attention.trial import BATCH, HEADS, LONG, SHORT, WIDTH, gradients, numbers
from harness.model.positions import Rotary

D = WIDTH // HEADS
turn = Rotary(context=LONG, width=WIDTH, head_width=D, base=10_000.0).rotate
ROTATIONS = {"unrotated": unrotated, "rotary": turn}
linformer = partial(Linformer, rank=16, longest=512)
nystrom = partial(Nystrom, rank=16, iterations=6)
BOTH = pytest.mark.parametrize("kind", [linformer, nystrom], ids=["linformer", "nystrom"])


@pytest.mark.parametrize(
    "setting",
    [
        partial(Linformer, rank=2, longest=LONG),
        partial(Linformer, rank=200, longest=140, rotate=turn),
        partial(Nystrom, rank=1, iterations=1),
        partial(Nystrom, rank=20, iterations=3, rotate=turn),
    ],
    ids=["linformer-2", "linformer-200", "nystrom-1", "nystrom-20"],
)
def test_the_laws_hold_at_other_settings(setting):
    failed = {v.law: v.detail for v in check_variant(setting) if not v.passed}
    assert list(failed) == ["golden_fingerprint_stands"], failed


@BOTH
def test_attention_is_a_matrix_of_rank_at_most_rank(kind):
    for tokens in (1, SHORT, 16, 17, LONG):
        ranks = torch.linalg.matrix_rank(make(kind).mixing(numbers(tokens), tokens))
        assert (ranks <= 16).all()
        assert (make(kind).mixing(numbers(tokens), tokens) @ torch.ones(tokens, 1).double()).shape[2] == tokens
    full = torch.linalg.matrix_rank(make(Softmax).mixing(numbers(LONG), LONG))
    assert (full > 100).all(), "softmax attention on the same input is no such matrix"


@BOTH
def test_the_map_is_its_matrix(kind):
    mixer = make(partial(kind, rotate=turn))
    for tokens in (1, SHORT, LONG):
        x = numbers(tokens)
        mixed = mixer.mixing(x, tokens) @ mixer.project(x)[2]
        torch.testing.assert_close(mixer._merge(mixed), mixer(x, prefix=tokens)[0])


@pytest.mark.parametrize("name", ["linformer", "nystrom"])
def test_a_causal_mask_and_a_prefix_are_refused(name):
    kind, settings = (linformer, "rank longest") if name == "linformer" else (nystrom, "rank iterations")
    given = {key: kind.keywords[key] for key in settings.split()}
    for mask in ("causal", "prefix"):
        with pytest.raises(ValueError, match=rf"^mask={mask}: attention={name} can be encoder$"):
            attention.configured(name, given.items(), mask=mask)
    assert attention.configured(name, given.items(), mask="encoder")(WIDTH, HEADS)
    for prefix in (0, 5):
        with pytest.raises(ValueError, match=rf"^prefix={prefix} of 13 tokens: this map can be encoder$"):
            make(kind)(numbers(SHORT), prefix=prefix)
    with pytest.raises(ValueError, match="no state"):
        make(kind).empty(1)


@BOTH
def test_every_output_depends_on_every_input(kind):
    """Why neither can be causal: with any output, also the first, comes the last input."""
    mixer, x = make(kind), numbers(LONG)
    out, _ = mixer(x, prefix=LONG)
    for t in (0, 64, LONG - 1):
        assert (gradients(out[:, t], [x])[0].abs().amax(-1) > 0).all()


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("linformer", {"rank": 0, "longest": 512}, r"rank=0: 1 or more is needed, and at most 2\^16"),
        ("linformer", {"rank": 16, "longest": 0}, r"longest=0: 1 or more is needed, and at most 2\^16"),
        ("nystrom", {"rank": 0, "iterations": 6}, r"rank=0: 1 or more is needed, and at most 2\^16"),
        ("nystrom", {"rank": 16, "iterations": 0}, "iterations=0: 1 to 32 are possible, more add up rounding errors"),
        ("nystrom", {"rank": 16, "iterations": 33}, "iterations=33: 1 to 32 are possible, more add up rounding errors"),
    ],
)
def test_impossible_settings_are_refused(name, settings, says):
    with pytest.raises(ValueError, match=rf"^attention\.{says}$"):
        attention.configured(name, settings.items(), mask="encoder")(WIDTH, HEADS)


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("tokens", [1, SHORT, LONG])
def test_linformer_is_its_formula(tokens, rotation):
    mixer = make(partial(linformer, rotate=ROTATIONS[rotation]))
    q, k, v = mixer.project(numbers(tokens))
    q, k = ROTATIONS[rotation](q, 0), ROTATIONS[rotation](k, 0)
    e, f = (part[:, :tokens].expand(BATCH, HEADS, -1, -1) for part in (mixer.mix_keys, mixer.mix_values))
    weights = ((q @ (e @ k).mT) / D**0.5).softmax(-1)
    torch.testing.assert_close(mixer.mixing(numbers(tokens), tokens), weights @ f)
    torch.testing.assert_close(mixer(numbers(tokens), prefix=tokens)[0], mixer._merge(weights @ (f @ v)))


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_linformer_that_mixes_nothing_is_softmax(rotation):
    softmax, mixer = (
        make(partial(kind, rotate=ROTATIONS[rotation])) for kind in (Softmax, partial(Linformer, rank=64, longest=64))
    )
    mixer.load_state_dict({**softmax.state_dict(), "mix_keys": torch.eye(64), "mix_values": torch.eye(64)})
    x = numbers(64)
    torch.testing.assert_close(mixer(x, prefix=64)[0], softmax(x, prefix=64)[0])


def test_linformer_uses_the_first_columns_and_refuses_more_tokens_than_there_are():
    mixer = make(partial(Linformer, rank=4, longest=20))
    for used in (mixer.mix_keys, mixer.mix_values):
        (gradient,) = gradients(mixer(numbers(SHORT), prefix=SHORT)[0], [used])
        assert torch.equal((gradient != 0).all(0), torch.arange(20) < SHORT)
        assert torch.equal((gradient != 0).any(0), torch.arange(20) < SHORT)
    assert mixer(numbers(20), prefix=20)[0].shape[1] == 20
    for call in (mixer.forward, mixer.naive, mixer.mixing):
        with pytest.raises(ValueError, match=r"^attention\.longest=20: a sequence of 21 tokens does not fit$"):
            call(numbers(21), prefix=21)


def test_linformer_begins_with_random_projections_that_keep_lengths_in_the_mean():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mixer = linformer(WIDTH, HEADS)
    for drawn in (mixer.mix_keys, mixer.mix_values):
        squares = drawn.square().sum(0)  # of E applied to each unit vector: chi², 16 degrees, over 16
        assert abs(squares.mean() - 1) < 4 * (2 / 16 / 512) ** 0.5
    assert abs((mixer.mix_keys * mixer.mix_values).mean() * 16) < 4 / (16 * 512) ** 0.5, "drawn apart"


@pytest.mark.parametrize(("tokens", "landmarks"), [(12, 3), (128, 16), (130, 65), (64, 1)])
def test_nystrom_is_the_one_of_transformers(tokens, landmarks):
    """One row and one head, as theirs starts the iteration from the largest sum of all rows and heads."""
    names = {"hidden_size": WIDTH, "num_attention_heads": 1, "num_landmarks": landmarks}
    config = NystromformerConfig(**names, segment_means_seq_len=tokens, attention_probs_dropout_prob=0.0)
    theirs = NystromformerSelfAttention(config).double()
    theirs.conv_kernel_size = None
    ours = make(lambda width, _: Nystrom(width, 1, rank=landmarks, iterations=6))
    weights, biases = ours.project_in.weight.split(WIDTH), ours.project_in.bias.split(WIDTH)
    for part, weight, bias in zip((theirs.query, theirs.key, theirs.value), weights, biases, strict=True):
        part.weight, part.bias = nn.Parameter(weight), nn.Parameter(bias)
    x = numbers(tokens)[:1]
    torch.testing.assert_close(ours(x, prefix=tokens)[0], ours.project_out(theirs(x)[0]))


@pytest.mark.parametrize("tokens", [1, 5, 13, 16, 17, 31, 32, 33, 131])
def test_landmarks_are_means_of_near_equal_segments(tokens):
    x = make(nystrom).project(numbers(tokens))[0]
    segments = x.tensor_split(min(16, tokens), 2)
    assert max(part.shape[2] for part in segments) - min(part.shape[2] for part in segments) <= 1
    torch.testing.assert_close(make(nystrom).landmarks(x), torch.stack([part.mean(2) for part in segments], 2))


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("tokens", [1, 2, SHORT])
def test_where_all_tokens_are_landmarks_nystrom_goes_to_softmax_with_the_iterations(tokens, rotation):
    x = numbers(tokens)
    softmax = make(partial(Softmax, rotate=ROTATIONS[rotation]))(x, prefix=tokens)[0]
    mixers = [make(partial(Nystrom, rank=16, iterations=n, rotate=ROTATIONS[rotation])) for n in (1, 6, 12, 24)]
    errors = [(mixer(x, prefix=tokens)[0] - softmax).abs().max().item() for mixer in mixers]
    assert errors[-1] < 1e-9
    assert tokens < SHORT or (errors[0] > errors[1] > errors[2] > 1e-6 and errors[1] < 0.1), errors


def test_the_inverse_is_a_pseudo_inverse():
    """Of matrices whose rows add up to 1: also of those that have no inverse, as all rows are the same."""
    rng = torch.Generator().manual_seed(0)
    full = (3 * torch.eye(8) + torch.randn(4, 2, 8, 8, generator=rng, dtype=torch.double)).softmax(-1)
    equal = full[:, :, :1].expand(-1, -1, 8, -1)
    for a, iterations in ((full, 24), (equal, 6)):
        z = make(partial(Nystrom, rank=16, iterations=iterations)).inverse(a)
        torch.testing.assert_close(z, torch.linalg.pinv(a), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(a @ z @ a, a)


def smooth(tokens):
    """(1, T, C), waves that are slow against the segments of many landmarks."""
    place = torch.arange(tokens, dtype=torch.double) / tokens
    return torch.stack([torch.sin(2 * torch.pi * (f * place + f * f / 7)) for f in range(1, WIDTH + 1)], -1)[None]


def test_nystroms_error_falls_with_the_rank():
    for x, last in ((smooth(512), 0.02), (numbers(512).detach(), 0.6)):
        softmax = make(Softmax)(x, prefix=512)[0]
        mixers = [make(partial(Nystrom, rank=2**power, iterations=6)) for power in range(8)]
        errors = [(mixer(x, prefix=512)[0] - softmax).abs().max().item() for mixer in mixers]
        assert errors == sorted(errors, reverse=True)
        assert errors[-1] < last < errors[0] / 2


@pytest.mark.parametrize("iterations", [6, 16])
@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0, 100.0, 1e4])
def test_nystrom_in_float32_is_nystrom_in_float64(scale, iterations):
    """The map is not smooth at 10,000, so that there only its size is held."""
    mixer, x = make(partial(Nystrom, rank=16, iterations=iterations)), scale * numbers(LONG).detach()
    exact, rounded = mixer(x, prefix=LONG)[0], mixer.float()(x.float(), prefix=LONG)[0]
    assert (rounded.abs().max() / exact.abs().max()).log2().abs() < 1
    if scale <= 1:
        torch.testing.assert_close(rounded.double(), exact, rtol=0, atol=0.02 if scale and iterations > 6 else 1e-3)


def test_growth_is_exact():
    mixer = make(linformer)
    for n in (2**power for power in range(4, 13)):
        for slope, f in ((HEADS * 16, mixer.scored_pairs), (8 * WIDTH * 16, lambda n: mixer.mix_flops(n, None, n))):
            assert f(n) == slope * n
            assert f(n + 1) - 2 * f(n) + f(n - 1) == 0
    mixer = make(nystrom)
    for n in (2**power for power in range(5, 13)):
        for slope, f in ((HEADS * 32, mixer.scored_pairs), (8 * WIDTH * 16, lambda n: mixer.mix_flops(n, None, n))):
            assert f(n + 1) - f(n) == slope
            assert f(n + 1) - 2 * f(n) + f(n - 1) == 0
    for n in range(1, 17):  # every token is a landmark: three squares of scores, and cubes of the iteration
        assert mixer.scored_pairs(n) == HEADS * 3 * n**2
        assert mixer.mix_flops(n, None, n) == HEADS * (12 * n**2 * D + 48 * n**3)
    assert [make(kind).state_size(n) for kind in (linformer, nystrom) for n in (0, 4096)] == [0] * 4
