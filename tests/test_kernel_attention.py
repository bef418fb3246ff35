"""What attention with features promises beyond the laws: its kernels in closed form, its limits, its price."""

from functools import partial
from math import cos, pi

import pytest
import torch
from torch.nn import functional as F

from harness import attention
from harness.attention import kernel
from harness.attention.base import chunks, unrotated
from harness.attention.check import LAWS, count_flops, make
from harness.attention.cosformer import Cosformer
from harness.attention.kernel import CHUNK
from harness.attention.linear import Linear
from harness.attention.performer import Performer, orthogonal
from harness.attention.taylor import Taylor
from harness.attention.trial import BATCH, HEADS, LONG, SHORT, WIDTH, numbers, read
from harness.model.positions import Rotary
from tasks.verdict import judge
from tests.references import fla_naive

D = WIDTH // HEADS
turn = Rotary(context=LONG, width=WIDTH, head_width=D, base=10_000.0).rotate
ROTATIONS = {"unrotated": unrotated, "rotary": turn}
FEATURES = {  # setting -> (the variant under it, F)
    "elu": (partial(Linear, feature="elu", features=9), D),
    "relu": (partial(Linear, feature="relu", features=9), D),
    "exp": (partial(Linear, feature="exp", features=9), D),
    "learned": (partial(Linear, feature="learned", features=9), 9),
    "taylor": (partial(Taylor, key_width=8), 45),
    "taylor-3": (partial(Taylor, key_width=3), 10),
    "taylor-1": (partial(Taylor, key_width=1), 3),
    "performer": (partial(Performer, features=16), 16),
    "performer-7": (partial(Performer, features=7), 7),
    "cosformer": (partial(Cosformer, longest=LONG), 2 * D),
}
every_setting = pytest.mark.parametrize(("kind", "features"), FEATURES.values(), ids=FEATURES)


def scores(mixer, q, k):
    """(B, H, T, T), what each query makes of each key, by the closed form of its kernel."""
    s = torch.einsum("bhtd,bhjd->bhtj", q, k) / mixer.key_width**0.5
    if isinstance(mixer, Taylor):
        return 1 + s + s**2 / 2
    if isinstance(mixer, Performer):  # a mean over directions, of what Lemma 1 takes the expectation of
        q, k = (x[..., None, :] / D**0.25 for x in (q, k))
        exponents = ((mixer.directions * x).sum(-1) for x in (q, k))
        of_q, of_k = exponents
        of_q, of_k = of_q - of_q.amax(-1, keepdim=True), of_k - k.square().sum(-1) / 2
        return torch.stack([(of_q[:, :, t, None] + of_k).exp().mean(-1) for t in range(q.shape[2])], 2)
    if isinstance(mixer, Cosformer):
        near = [[cos(pi / 2 * (t - j) / mixer.longest) for j in range(k.shape[2])] for t in range(q.shape[2])]
        return scores(make(FEATURES["relu"][0]), q, k) * torch.tensor(near, dtype=q.dtype)
    if mixer.feature == "exp":
        return (q.clamp(max=30)[..., None, :] + k.clamp(max=30)[:, :, None]).exp().sum(-1)
    if mixer.feature == "learned":
        bias = mixer.feature_bias.unflatten(0, (HEADS, -1))
        heads = [[x[:, h] @ mixer.feature_weight[h] + bias[h] for h in range(HEADS)] for x in (q, k)]
        q, k = (torch.stack(parts, 1) for parts in heads)
    if mixer.feature == "elu":
        q, k = (torch.where(x > 0, x + 1, x.exp()) for x in (q, k))
    else:
        q, k = (x * (x > 0) for x in (q, k))
    return torch.einsum("bhtd,bhjd->bhtj", q, k)


def may_see(tokens, prefix):
    """(T, T) by the definition of the mask."""
    return torch.tensor([[j <= t or (t < prefix and j < prefix) for j in range(tokens)] for t in range(tokens)])


def rotations(tokens, width):
    """(T, F, F), the matrix of each place; the last coordinate of an odd width stays."""
    angles = torch.arange(tokens)[:, None] * 10_000.0 ** (-torch.arange(0, width - 1, 2, dtype=torch.float64) / width)
    planes = torch.stack([angles.cos(), -angles.sin(), angles.sin(), angles.cos()], -1).unflatten(-1, (2, 2))
    return torch.stack([torch.block_diag(*place, *torch.ones(width % 2, 1, 1)) for place in planes])


def heads_of(mixer, x):
    """Queries, keys and values without a history."""
    return [part.detach() for part in mixer.project(x.detach())]


OTHERS = {name: FEATURES[name][0] for name in ("relu", "exp", "learned", "taylor-3", "performer-7", "cosformer")}


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("setting", OTHERS)
def test_the_laws_hold_at_other_settings(setting, rotation):
    variant = partial(OTHERS[setting], rotate=ROTATIONS[rotation])
    of_settings = set(LAWS) - {"golden_fingerprint_stands", "flops_are_counted"}  # flops: of all settings, below
    verdicts = [judge(LAWS[law], variant) for law in sorted(of_settings)]
    assert [verdict for verdict in verdicts if not verdict.passed] == []


@every_setting
def test_products_of_features_are_the_kernel(kind, features):
    mixer = make(kind)
    for x in (numbers(LONG), 5 * numbers(SHORT), 0 * numbers(1)):
        q, k, _ = heads_of(mixer, x)
        of_q, of_k = mixer.features_of(q, k, 0)
        assert of_q.shape == of_k.shape == (BATCH, HEADS, x.shape[1], features)
        torch.testing.assert_close(of_q @ of_k.mT, scores(mixer, q, k), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("prefix", [0, 40, LONG])
@every_setting
def test_unchunked_it_is_one_matrix(kind, features, prefix):
    mixer, x = make(kind), numbers(LONG)
    q, k, v = heads_of(mixer, x)
    mixed = scores(mixer, q, k) * may_see(LONG, prefix)
    matrix = mixed / (mixed.sum(-1, keepdim=True) + 1e-6)
    torch.testing.assert_close(mixer.mixing(x, prefix), matrix, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(mixer(x, prefix=prefix)[0], mixer._merge(matrix @ v), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("prefix", [0, 40, LONG])
@every_setting
def test_rotated_it_is_roformers(kind, features, prefix):
    """Σ (R_t φ(q_t))·(R_j φ(k_j)) v_j / Σ φ(q_t)·φ(k_j), with each R written out as a matrix (Su et al. 2021)."""
    mixer, x, mask = make(partial(kind, rotate=turn)), numbers(LONG), may_see(LONG, prefix)
    q, k, _ = heads_of(mixer, x)
    of_q, of_k = mixer.features_of(q, k, 0)
    turned_q, turned_k = (torch.einsum("tde,bhte->bhtd", rotations(LONG, features), y) for y in (of_q, of_k))
    norms = (scores(mixer, q, k) * mask).sum(-1, keepdim=True) + 1e-6
    matrix = turned_q @ turned_k.mT * mask / norms
    torch.testing.assert_close(mixer.mixing(x, prefix), matrix, rtol=1e-9, atol=1e-12)


@every_setting
def test_weights_of_a_query_sum_to_one(kind, features):
    mixer, x = make(kind), numbers(LONG)
    for prefix in (0, 40, LONG):
        norms = (scores(mixer, *heads_of(mixer, x)[:2]) * may_see(LONG, prefix)).sum(-1)
        weights = mixer.mixing(x, prefix)
        assert (weights >= -1e-12).all()  # Taylor's features have signs, its kernel has none
        torch.testing.assert_close(weights.sum(-1), norms / (norms + 1e-6), rtol=1e-9, atol=1e-9)


@every_setting
def test_the_price_is_counted(kind, features):
    mixer, frozen = make(kind), make(kind).requires_grad_(False)
    for tokens, prefix in ((1, 0), (CHUNK, 0), (64, 0), (LONG, 0), (20, 4), (LONG, 40), (LONG, LONG)):
        forward, (out, _) = count_flops(mixer, numbers(tokens), None, prefix)
        assert forward == BATCH * mixer.flops(tokens, None, prefix)
        backward, _ = count_flops(out.sum().backward)  # directions that are never trained have no gradient
        constant = BATCH * mixer.feature_flops(tokens) if isinstance(mixer, Performer) else 0
        assert backward == 2 * forward - constant
        assert forward + backward == BATCH * mixer.training_flops(tokens, prefix)
    for tokens, seen in ((1, 0), (1, 70), (60, 70)):
        _, state = read(frozen, numbers(seen).detach(), [seen])
        assert count_flops(frozen, numbers(tokens).detach(), state)[0] == BATCH * frozen.flops(tokens, seen)


@every_setting
def test_growth_is_exact(kind, features):
    """State and decoded token cost the same at any length; each chunk, and each token of a prefix, adds a constant.

    A value has a column more, which is 1 and sums to the denominator.
    """
    mixer, width = make(kind), kind.keywords.get("key_width", D)
    made = 4 * D * features if isinstance(mixer, Performer) or kind.keywords.get("feature") == "learned" else 0
    constant = HEADS * made * isinstance(mixer, Performer)  # directions are not learned
    token = HEADS * made + 2 * WIDTH * HEADS * (2 * width + D) + 2 * WIDTH * WIDTH
    assert mixer.features == features
    for n in (2**power for power in range(4, 13)):
        assert mixer.state_size(n) == HEADS * features * (D + 1)
        assert mixer.flops(1, n) == token + HEADS * (2 * (features + D + 1) + 4 * features * (D + 1))
        assert (mixer.scored_pairs(1, n), mixer.serial_steps(1)) == (HEADS, 1)
        chunk = CHUNK * token + HEADS * (2 * CHUNK**2 * (features + D + 1) + 4 * CHUNK * features * (D + 1))
        for f, slope in (
            (lambda chunks: mixer.flops(CHUNK * chunks), chunk),
            (lambda chunks: mixer.flops(CHUNK * chunks, 0), chunk),
            (lambda chunks: mixer.training_flops(CHUNK * chunks), 3 * chunk - CHUNK * constant),
            (lambda chunks: mixer.scored_pairs(CHUNK * chunks), HEADS * CHUNK * (CHUNK + 1) // 2),
            (lambda chunks: mixer.serial_steps(CHUNK * chunks), 1),
            (lambda tokens: mixer.flops(tokens, None, tokens), token + HEADS * 4 * features * (D + 1)),
            (lambda tokens: mixer.flops(tokens + CHUNK, None, tokens), token + HEADS * 4 * features * (D + 1)),
        ):
            assert f(n + 1) - f(n) == f(n) - f(n - 1) == slope


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("prefix", [0, 40, LONG])
def test_turning_costs_scores_of_their_own(prefix, rotation):
    """Turned features score what is above the fraction, others what is below it; unturned, both are one product."""
    mixer = make(partial(FEATURES["learned"][0], rotate=ROTATIONS[rotation]))
    for tokens in {prefix, LONG} - {0}:
        forward, (out, _) = count_flops(mixer, numbers(tokens), None, prefix)
        backward, _ = count_flops(out.sum().backward)
        assert (forward, backward) == (BATCH * mixer.flops(tokens, None, prefix), 2 * forward)
    plain = make(FEATURES["learned"][0])
    scores = sum(2 * HEADS * 9 * c * c for c in chunks(LONG - prefix, CHUNK))
    assert mixer.flops(LONG, None, prefix) - plain.flops(LONG, None, prefix) == (rotation == "rotary") * scores


@every_setting
def test_the_state_holds_no_more_than_it_says(kind, features):
    mixer = make(kind)
    for tokens in (1, SHORT, LONG):
        _, state = read(mixer, numbers(tokens), [1] * tokens, room=LONG)
        assert state.total.shape == (BATCH, HEADS, features, D)
        assert state.features.shape == (BATCH, HEADS, 1, features)


@every_setting
def test_float32_stays_finite(kind, features):
    """On zeros, on numbers of 10,000, and on queries and keys that all lie beyond the clamp of exp."""
    mixer = make(kind).float()
    q, k, v = (1e4 * part.float() for part in heads_of(make(kind), numbers(LONG)))
    for queries, keys in ((q, k), (q.abs(), k.abs()), (-q.abs(), -k.abs()), (0 * q, 0 * k)):
        leaves = [part.clone().requires_grad_() for part in (queries, keys, v)]
        mixed, _ = mixer.mix(*leaves, None, 0)
        assert all(part.isfinite().all() for part in (mixed, *torch.autograd.grad(mixed.sum(), leaves)))


# linear


def test_exp_is_exact_below_its_clamp_and_flat_above():
    mixer = make(FEATURES["exp"][0])
    x = torch.tensor([-50.0, 0.0, 29.0, 30.0, 31.0, 1e4], dtype=torch.float64)
    of_x, _ = mixer.features_of(x, x, 0)
    torch.testing.assert_close(
        of_x, torch.tensor([-50.0, 0, 29, 30, 30, 30], dtype=torch.float64).exp(), rtol=1e-15, atol=0
    )


def test_exp_features_of_heads_of_width_one_are_softmax_over_keys_alone():
    """exp(q) exp(k_j) is the weight of key j whatever the query: the query's factor cancels."""
    mixer = FEATURES["exp"][0](WIDTH, WIDTH).double()
    q, k, v = heads_of(mixer, numbers(SHORT))
    of_keys = k.mT.expand(-1, -1, SHORT, -1).masked_fill(~may_see(SHORT, 0), -torch.inf).softmax(-1)
    torch.testing.assert_close(mixer.mix(q, k, v, None, 0)[0], of_keys @ v, rtol=1e-4, atol=1e-5)


def test_learned_features_begin_as_wide_as_what_they_are_made_of():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mixer = Linear(128, 2, feature="learned", features=512)
    assert 0.99 < mixer.feature_weight.std() * 64**0.5 < 1.01
    assert mixer.feature_bias.shape == (2 * 512,)  # vectors are not decayed
    assert (mixer.feature_bias == 0).all()


def test_a_learned_identity_is_relu():
    learned, relu = (make(partial(Linear, feature=feature, features=D)) for feature in ("learned", "relu"))
    learned.feature_weight.data[:], learned.feature_bias.data[:] = torch.eye(D), 0
    learned.load_state_dict(relu.state_dict(), strict=False)
    for prefix in (0, 40, LONG):
        torch.testing.assert_close(learned(numbers(LONG), prefix=prefix), relu(numbers(LONG), prefix=prefix))


@pytest.mark.parametrize("name", ["relu", "cosformer"])
def test_a_query_that_shares_no_feature_with_any_key_reads_zero(name):
    mixer = make(FEATURES[name][0])
    q, k, v = heads_of(mixer, numbers(LONG))
    mixed, _ = mixer.mix(q, torch.where(torch.arange(D) < 3, -k.abs(), k), v, None, 0)
    blind, _ = mixer.mix(
        torch.where(torch.arange(D) < 3, q, -q.abs()), torch.where(torch.arange(D) < 3, -k.abs(), k), v, None, 0
    )
    assert (blind == 0).all()
    assert (mixed != 0).any()


@pytest.mark.parametrize("feature", ["elu", "exp"])
def test_linear_is_flas(feature):
    """Both of its forms, and its state. Scale 1; 1e-10 in its denominator is 1e-6 in ours, of norms above .1."""
    fla, mixer = fla_naive("linear_attn"), make(FEATURES[feature][0]).float()
    q, k, v = (part.float() for part in heads_of(make(FEATURES[feature][0]), numbers(128)))
    mixed, state = mixer.mix(q, k, v, mixer.empty(BATCH), 0)
    of_q, of_k = ((torch.where(x > 0, x + 1, x.exp()) if feature == "elu" else x.exp()) for x in (q, k))
    theirs = [part.transpose(1, 2).contiguous() for part in (of_q, of_k, v)]
    recurrent, (total, features) = fla.naive_recurrent_linear_attn(*theirs, 1.0, None, True, normalize=True)
    chunked = fla.naive_chunk_linear_attn(*theirs, 1.0, normalize=True)
    for found in (recurrent, chunked):
        torch.testing.assert_close(found.transpose(1, 2), mixed, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(total, state.total, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(features.transpose(1, 2), state.features, rtol=1e-5, atol=1e-5)
    summed, _ = fla.naive_recurrent_linear_attn(*theirs, 1.0)  # without the denominator
    norms = (of_q * of_k.cumsum(2)).sum(-1, keepdim=True) + 1e-6
    torch.testing.assert_close(summed.transpose(1, 2), mixed * norms, rtol=1e-5, atol=1e-4)


# taylor


def test_taylor_is_flas():
    """Both of its forms: the same kernel, the same scale, the same 1e-6."""
    fla, mixer = fla_naive("based"), make(FEATURES["taylor"][0]).float()
    q, k, v = (part.float() for part in heads_of(make(FEATURES["taylor"][0]), numbers(128)))
    mixed, _ = mixer.mix(q, k, v, None, 0)
    for theirs in (fla.naive_parallel_based(q, k, v), fla.naive_chunk_based(q, k, v, chunk_size=32)):
        torch.testing.assert_close(theirs, mixed, rtol=1e-5, atol=1e-5)


def test_taylor_is_softmax_up_to_the_third_order_of_scores(monkeypatch):
    """Half the scores, an eighth of the error, and no more than the remainder s³/6 + ... of both sums allows."""
    monkeypatch.setattr(kernel, "EPSILON", 0.0)
    mixer, errors = make(FEATURES["taylor"][0]), []
    q, k, v = heads_of(mixer, numbers(LONG))
    largest = (q @ k.mT).abs().max() / 8**0.5
    for size in (0.2, 0.1, 0.05, 0.025):
        near = q * size / largest
        error = mixer.mix(near, k, v, None, 0)[0] - F.scaled_dot_product_attention(near, k, v, is_causal=True)
        errors.append(error.abs().max())
        assert errors[-1] <= 2 * v.abs().max() * size**3 / 6 * 1.5
    ratios = torch.stack(errors[:-1]) / torch.stack(errors[1:])
    torch.testing.assert_close(ratios, torch.full((3,), 8.0, dtype=torch.float64), rtol=0.1, atol=0)


def test_taylors_kernel_is_never_below_a_half():
    mixer, q = make(FEATURES["taylor"][0]), 10 * torch.randn(1, HEADS, 500, 8, generator=torch.manual_seed(0)).double()
    of_q, of_k = mixer.features_of(q, -q, 0)
    assert (of_q @ of_k.mT).min() >= 0.5 - 1e-9
    least = 8**0.25 * torch.eye(8, dtype=torch.float64)[None, None]
    of_q, of_k = mixer.features_of(least, -least, 0)
    torch.testing.assert_close((of_q * of_k).sum(-1), torch.full((1, 1, 8), 0.5, dtype=torch.float64))  # s = -1


@pytest.mark.parametrize("width", [1, 2, 8, 16, 24])
def test_taylors_state_is_baseds(width):
    """(d+1)(f(f+1)/2 + f + 1) numbers, without the 3d of its convolution."""
    stated = HEADS * (D + 1) * (width * (width + 1) // 2 + width + 1)
    assert Taylor(WIDTH, HEADS, key_width=width).state_size(99) == stated


# performer


def drawn(draws, count, seed=0):
    """(draws, count, D) directions."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.stack([orthogonal(count, D) for _ in range(draws)])


def estimates(directions, q, k):
    """exp(q·k/√D) as the features of each draw see it: (draws, r, D), (D,), (D,) -> (draws,)."""
    draws, r, _ = directions.shape
    mixer = Performer(D, 1, features=1).double()
    mixer.features, mixer.directions = draws * r, directions.flatten(0, 1)
    of_q, of_k = (of.flatten() for of in mixer.features_of(q[None, None, None], k[None, None, None], 0))
    taken_off = (mixer.directions @ q / D**0.25).max() - q @ q / D**0.5 / 2
    return (of_q * of_k * draws * r * taken_off.exp()).unflatten(0, (draws, r)).mean(1)


def pair(squared, seed=0):
    """A query and a key of one length with |q'|² = |k'|² = ``squared``, at some angle."""
    q, k = torch.randn(2, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return [x / x.norm() * squared**0.5 * D**0.25 for x in (q, k)]


def test_directions_are_orthogonal_in_blocks_and_each_is_normal():
    directions = drawn(2000, 15)  # D = 6: two blocks and half of one
    gram = directions @ directions.mT
    block = torch.arange(15) // D
    apart = (block[:, None] == block) & ~torch.eye(15, dtype=torch.bool)
    assert gram[:, apart].abs().max() < 1e-12
    assert gram[:, block[:, None] != block].abs().min(0).values.max() > 1e-12  # of two blocks, only by chance
    places = directions.flatten(0, 1).T  # (D, 30000), each a standard normal: six standard errors
    for power, moment, spread in ((1, 0, 1), (2, 1, 2**0.5), (3, 0, 15**0.5), (4, 3, 96**0.5)):
        assert ((places**power).mean(1) - moment).abs().max() < 6 * spread / 30_000**0.5
    squared = directions.square().sum(-1).flatten()  # chi² of D: mean D, variance 2D, and not the same in a block
    assert abs(squared.mean() - D) < 6 * (2 * D / 30_000) ** 0.5
    assert abs(squared.var() / (2 * D) - 1) < 0.1
    one = drawn(4000, 1, seed=1)[:, 0]  # alone: uniform on the sphere, the sign of a factorisation shows nowhere
    assert (one / one.norm(dim=-1, keepdim=True)).mean(0).abs().max() < 6 / (4000 * D) ** 0.5
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        assert 400 < sum(orthogonal(1, 1).item() > 0 for _ in range(1000)) < 600


@pytest.mark.parametrize("count", [1, 6, 16])
def test_scores_are_estimated_without_bias(count):
    q, k = pair(0.5)
    found = estimates(drawn(4000, count, seed=count), q, k)
    error = found.mean() - (q @ k / D**0.5).exp()
    assert abs(error) < 4 * found.std() / 4000**0.5


def test_the_error_of_scores_falls_as_the_root_of_features():
    q, k = pair(0.5)
    truth = (q @ k / D**0.5).exp()
    errors = [(estimates(drawn(1500, r, seed=r), q, k) - truth).square().mean().sqrt() for r in (6, 24, 96)]
    for more, fewer in zip(errors[1:], errors, strict=False):
        assert 1.8 < fewer / more < 2.2


@pytest.mark.parametrize("squared", [0.05, 0.1, 0.2])
def test_the_variance_of_one_feature_is_exponential_in_the_length(squared):
    """(exp|q'+k'|² - 1) exp(q·k/√D)²: of a normal w, E exp(2w·z) = exp(2|z|²). Here z = q' + k' = 2q'."""
    q, _ = pair(squared)
    found = estimates(drawn(1, 60_000, seed=3).transpose(0, 1), q, q)
    relative = torch.tensor(4 * squared).exp() - 1
    assert 0.9 < found.var() / ((q @ q / D**0.5).exp() ** 2 * relative) < 1.1


def test_orthogonal_directions_err_less_than_independent_ones():
    """A tenth less variance here; two samples of independent ones agree within a thirtieth."""
    q, _ = pair(0.1)
    together = drawn(1, 20_000 * D)[0].unflatten(0, (-1, D))
    apart = torch.randn(20_000, D, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert estimates(together, q, q).var() < 0.95 * estimates(apart, q, q).var()


def test_performer_nears_softmax_as_features_grow():
    """Root mean square over tokens, channels and eight draws: sixteen times the features, a quarter of the error."""
    errors = {}
    for features in (24, 384):
        squares = []
        for seed in range(8):
            mixer = make(partial(Performer, features=features), seed)
            q, k, v = heads_of(mixer, numbers(LONG))
            near = F.scaled_dot_product_attention(q / 2, k / 2, v, is_causal=True)
            squares.append((mixer.mix(q / 2, k / 2, v, None, 0)[0] - near).square().mean())
        errors[features] = torch.stack(squares).mean().sqrt()
    assert 3 < errors[24] / errors[384] < 5
    assert errors[384] < 0.05


def test_directions_are_saved_and_never_trained():
    mixer, other = (make(FEATURES["performer"][0], seed) for seed in (0, 1))
    assert "directions" in mixer.state_dict()
    assert "directions" not in dict(mixer.named_parameters())
    assert not torch.equal(mixer.directions, other.directions)
    other.load_state_dict(mixer.state_dict())
    assert torch.equal(mixer.directions, other.directions)


def test_no_feature_of_a_query_passes_the_root_and_keys_are_bounded_by_directions():
    mixer = make(FEATURES["performer"][0])
    for size in (0.1, 1, 100):
        q, k = size * torch.randn(2, 1, HEADS, 500, D, generator=torch.Generator().manual_seed(0)).double()
        of_q, of_k = mixer.features_of(q, k, 0)
        torch.testing.assert_close(of_q.amax(-1), torch.full((1, HEADS, 500), 0.25, dtype=torch.float64))
        assert (of_k <= (mixer.directions.square().sum(-1) / 2).exp() / 4).all()


# cosformer


def test_a_far_horizon_makes_it_linear_attention():
    far, relu = make(partial(Cosformer, longest=2**30)), make(FEATURES["relu"][0])
    for prefix in (0, 40, LONG):
        torch.testing.assert_close(far(numbers(LONG), prefix=prefix)[0], relu(numbers(LONG), prefix=prefix)[0])


def test_weights_fall_with_distance_alone_and_reach_the_ends():
    mixer = make(FEATURES["cosformer"][0])
    same = torch.ones(1, HEADS, LONG, D, dtype=torch.float64)
    of_q, of_k = mixer.features_of(same, same, 0)
    kernel_of = of_q @ of_k.mT
    assert (kernel_of > 0).all()
    for distance in (0, 1, 64, LONG - 1):
        stated = D * cos(pi / 2 * distance / LONG)
        for diagonal in (kernel_of.diagonal(distance, -2, -1), kernel_of.diagonal(-distance, -2, -1)):
            torch.testing.assert_close(diagonal, torch.full_like(diagonal, stated))


def test_a_sequence_longer_than_the_longest_is_refused():
    mixer = make(partial(Cosformer, longest=SHORT))
    says = rf"attention.longest={SHORT}: a sequence of {SHORT + 1} tokens does not fit"
    assert mixer(numbers(SHORT))[0].isfinite().all()
    for call in (mixer, mixer.naive, lambda x: mixer(x, prefix=SHORT + 1), lambda x: mixer(x, mixer.empty(BATCH))):
        with pytest.raises(ValueError, match=says):
            call(numbers(SHORT + 1))
    _, state = read(mixer, numbers(SHORT), [SHORT - 1, 1])
    with pytest.raises(ValueError, match=says):
        mixer(numbers(1), state)
    assert make(partial(Cosformer, longest=1))(numbers(1))[0].isfinite().all()


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("linear", {"feature": "elo", "features": 16}, "attention.feature=elo: elu, relu, exp, learned can be chosen"),
        ("linear", {"feature": "learned", "features": 0}, "attention.features=0: 1 or more"),
        ("linear", {"feature": "learned", "features": 2**17}, "attention.features=131072: .* at most 2\\^16"),
        ("taylor", {"key_width": 0}, "attention.key_width=0: 1 or more"),
        ("taylor", {"key_width": 257}, "attention.key_width=257: at most 2\\^8"),
        ("performer", {"features": 0}, "attention.features=0: 1 or more"),
        ("performer", {"features": 2**17}, "attention.features=131072: .* at most 2\\^16"),
        ("cosformer", {"longest": 0}, "attention.longest=0: 1 or more"),
        ("cosformer", {"longest": 2**31}, "attention.longest=2147483648: .* at most 2\\^30"),
    ],
)
def test_impossible_settings_are_refused(name, settings, says):
    with pytest.raises(ValueError, match=says):
        attention.configured(name, settings.items())(WIDTH, HEADS)


def test_a_reference_that_is_missing_is_an_error():
    with pytest.raises(FileNotFoundError):
        fla_naive("no_such_map")
