"""States that are matrices: what retention, gates, state spaces and delta rules promise beyond the laws."""

from functools import partial

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness import attention, config
from harness.attention import Attention, base, check, kernel, linear, recurrence
from harness.attention.cosformer import Cosformer
from harness.attention.delta import Delta
from harness.attention.gated import Gated
from harness.attention.gated_delta import GatedDelta
from harness.attention.recurrence import Clock
from harness.attention.retention import Retention
from harness.attention.softmax import Softmax
from harness.attention.ssm import SSM
from harness.attention.trial import BATCH, HEADS, LONG, WIDTH, all_gradients, gradients, hold_same_map, numbers
from harness.attention.window import Window
from harness.model import build
from harness.model.positions import Rotary
from tests.references import fla_naive
from tests.test_kernel_attention import FEATURES

K, D = 16, WIDTH // HEADS
turn = Rotary(context=LONG, width=WIDTH, head_width=D, base=10_000.0).rotate
KINDS = {
    "retention": partial(Retention, key_width=K),
    "gated-vector": partial(Gated, decay="vector", temperature=16.0, key_width=K),
    "gated-scalar": partial(Gated, decay="scalar", temperature=16.0, key_width=K),
    "ssm": partial(SSM, key_width=K),
    "delta-positive": partial(Delta, eigenvalues="positive", key_width=K),
    "delta-signed": partial(Delta, eigenvalues="signed", key_width=K),
    "gated_delta-positive": partial(GatedDelta, eigenvalues="positive", key_width=K),
    "gated_delta-signed": partial(GatedDelta, eigenvalues="signed", key_width=K),
}
DELTAS = [name for name in KINDS if "delta" in name]
FADING = [name for name in KINDS if "gated" in name or name == "ssm"]  # decays that tokens say
each = pytest.mark.parametrize("name", KINDS)


def said(mixer, tokens, scale=1.0):
    """What tokens say: queries, keys, values, log-decays, and of the delta rules β."""
    x = (scale * numbers(tokens).detach()).to(mixer.project_in.weight.dtype)
    return [part.detach().requires_grad_() for part in mixer.project(x)]


def drawn(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def near(found, expected, error):
    """Within ``error`` of the largest number."""
    torch.testing.assert_close(found, expected, rtol=0, atol=error * expected.abs().max().item())


@pytest.mark.parametrize("rotation", ["unrotated", "rotary"])
@pytest.mark.parametrize("name", ["gated-scalar", "delta-signed", "gated_delta-signed"])
def test_the_laws_hold_at_the_other_settings(name, rotation):
    kind = KINDS[name] if rotation == "unrotated" else partial(KINDS[name], rotate=turn)
    failed = {verdict.law: verdict.detail for verdict in check.check_variant(kind) if not verdict.passed}
    assert list(failed) == ["golden_fingerprint_stands"], failed


# Independent implementations. Theirs divide scores by √K; most have time before heads, and the state behind the output.


def swapped(x):
    """(B, H, T, any) <-> (B, T, H, any)."""
    return x.transpose(1, 2)


def retained(q, k, v, g):
    return fla_naive("retention").naive_retention(K**0.5 * q, k, v)


def decayed(ops, function):
    def theirs(q, k, v, g):
        g = g if ops == "gla" else g.squeeze(-1)
        return swapped(getattr(fla_naive(ops), function)(*map(swapped, (K**0.5 * q, k, v, g)))[0])

    return theirs


def corrected(function, *size):
    def theirs(q, k, v, g, beta):
        return getattr(fla_naive("delta_rule"), function)(K**0.5 * q, k, v, beta.squeeze(-1), *size)[0]

    return theirs


def corrected_and_decayed(function):
    def theirs(q, k, v, g, beta):
        by_name = {"g": swapped(g.squeeze(-1)), "beta": swapped(beta.squeeze(-1)), "scale": 1.0}
        return swapped(getattr(fla_naive("gated_delta_rule"), function)(*map(swapped, (q, k, v)), **by_name)[0])

    return theirs


RULE = [corrected("delta_rule_recurrence"), corrected("delta_rule_chunkwise", 32)]
GATED_RULE = [corrected_and_decayed(f"naive_{form}_gated_delta_rule") for form in ("recurrent", "chunk")]
SIMPLE = [decayed("simple_gla", f"naive_{form}_simple_gla") for form in ("recurrent", "chunk", "parallel")]
REFERENCES = {  # the first of each is one that torch can go back through
    "retention": [retained],
    "gated-vector": [decayed("gla", "naive_recurrent_gla")],
    "gated-scalar": SIMPLE,
    "ssm": SIMPLE,
    "delta-positive": RULE,
    "delta-signed": RULE,
    "gated_delta-positive": GATED_RULE,
    "gated_delta-signed": GATED_RULE,
}


@each
def test_it_is_what_others_compute(name):
    mixer = check.make(KINDS[name]).float()
    parts = said(mixer, 128)
    ours, theirs = mixer.mix(*parts, None, 0)[0], [reference(*parts) for reference in REFERENCES[name]]
    if name == "ssm":  # theirs has no d
        ours = ours - mixer.skip[:, None, None] * parts[2]
    for out in theirs:
        near(ours, out, 1e-5)
    learned = [part for number, part in enumerate(parts) if number != 3 or name in FADING]
    for one, other in zip(gradients(ours, learned), gradients(theirs[0], learned), strict=True):
        near(one, other, 1e-5)


# What a token says.


@pytest.mark.parametrize("name", ["retention", *FADING])
@torch.no_grad()
def test_what_is_kept_is_what_the_papers_say(name):
    mixer, x = check.make(KINDS[name]), numbers(LONG)
    kept = mixer.project(x)[3].exp()
    if name == "retention":
        stated = torch.tensor([31 / 32, 63 / 64], dtype=x.dtype)[:, None, None].expand(1, -1, LONG, 1)
    else:
        gate = mixer.gate if name.startswith("gated-") else mixer.clock.time
        raw = (x @ gate.project.weight.mT + gate.offset).view(3, LONG, HEADS, -1).transpose(1, 2)
        if name.startswith("gated-"):
            stated = (1 / (1 + (-raw).exp())) ** (1 / 16)
        else:
            stated = (1 + raw.exp()) ** -mixer.clock.rate.exp()[:, None, None]  # e^(-softplus · e^a)
    torch.testing.assert_close(kept, stated)
    assert kept.shape[-1] == (K if name == "gated-vector" else 1)


def plain(mixer):
    """Queries, keys and values as they are projected."""
    return Attention.project(mixer, numbers(LONG))


@pytest.mark.parametrize("name", ["retention", "gated-vector", "gated-scalar"])
@torch.no_grad()
def test_scores_are_divided_by_the_root_of_the_width(name):
    mixer = check.make(KINDS[name])
    for one, other, factor in zip(mixer.project(numbers(LONG)), plain(mixer), (1 / 4, 1, 1), strict=False):
        torch.testing.assert_close(one, factor * other)


@torch.no_grad()
def test_time_scales_what_a_state_space_writes():
    mixer = check.make(KINDS["ssm"])
    q, k, v, g = mixer.project(numbers(LONG))
    time = -g / mixer.clock.rate.exp()[:, None, None]
    for one, other in zip((q, k, v), plain(mixer), strict=True):
        torch.testing.assert_close(one, time * other if one is k else other)


@pytest.mark.parametrize("rotation", ["unrotated", "rotary"])
@pytest.mark.parametrize("name", DELTAS)
@torch.no_grad()
def test_the_delta_rules_look_up_directions(name, rotation):
    mixer = check.make(KINDS[name])
    (q, k, v, *_), raw = mixer.project(numbers(LONG)), plain(mixer)
    for one, other in zip((q, k), raw, strict=False):
        torch.testing.assert_close(one, F.normalize(other, dim=-1), rtol=0, atol=1e-5)
        turned = turn(one, 0) if rotation == "rotary" else one
        torch.testing.assert_close(turned.norm(dim=-1), torch.ones_like(turned[..., 0]), rtol=0, atol=1e-5)
    assert torch.equal(v, raw[2])
    mixer.project_in.bias.zero_()
    assert all((part == 0).all() for part in mixer.project(0 * numbers(2))[:3])


@pytest.mark.parametrize("name", DELTAS)
@torch.no_grad()
def test_eigenvalues_lie_where_the_setting_says(name):
    """Of the transition S_{t-1} -> S_t, read off a token that writes nothing into the unit matrix."""
    mixer, tokens, found = check.make(KINDS[name]), 40, []
    q, k, _, g, beta = (part[:, :, :tokens] for part in said(mixer, LONG, scale=2))
    units, nothing = torch.eye(K, dtype=k.dtype).expand(3, HEADS, K, K), k.new_zeros(3, HEADS, K)
    for t in range(tokens):
        row = (q[:, :, t], k[:, :, t], nothing, g[:, :, t], beta[:, :, t])
        found.append(torch.linalg.eigvals(mixer.step(units, *row)[1]))
    found = torch.stack(found, 2)  # (B, H, T, K)
    assert found.imag.abs().max() < 1e-6
    kept, along = g.exp(), 1 - beta * k.square().sum(-1, keepdim=True)
    stated = torch.cat([along, torch.ones(3, HEADS, tokens, K - 1)], -1) * kept
    torch.testing.assert_close(found.real.sort().values, stated.sort().values)
    least, most = found.real.min().item(), found.real.max().item()
    assert -1 - 1e-9 <= least < -0.3 if name.endswith("signed") else -1e-9 <= least < 0.1
    assert 0.9 < most <= 1 + 1e-9


# The map as a matrix.


def closed(q, k, g, beta):
    """(B, H, T, T): all at once, without a state or a chunk. Decays are differences of cumulative sums here."""
    b = g.expand(*q.shape[:-1], -1).cumsum(2)
    left = (b[:, :, :, None] - b[:, :, None]).clamp(max=0).exp()  # (B, H, T, T, 1 or K)

    def scores(x):
        return torch.einsum("bhtk,bhjk,bhtjk->bhtj", x, k, left.expand(*left.shape[:-1], k.shape[-1]))

    if beta is None:
        return scores(q).tril()
    units = torch.eye(q.shape[2], dtype=q.dtype)
    return scores(q).tril() @ torch.linalg.inv(units + beta * scores(k).tril(-1)) * beta.mT


@pytest.mark.parametrize("rotation", ["unrotated", "rotary"])
@each
@torch.no_grad()
def test_the_chunks_are_one_matrix(name, rotation):
    mixer = check.make(KINDS[name] if rotation == "unrotated" else partial(KINDS[name], rotate=turn))
    q, k, v, g, *beta = said(mixer, LONG)
    matrix = closed(mixer.rotate(q, 0), mixer.rotate(k, 0), g, *(beta or [None]))
    if name == "ssm":
        matrix = matrix + torch.diag_embed(mixer.skip[:, None].expand(-1, LONG))
    torch.testing.assert_close(mixer.mixing(numbers(LONG)), matrix)
    torch.testing.assert_close(mixer(numbers(LONG))[0], mixer._merge(matrix @ v))


@torch.no_grad()
def test_retention_fades_by_a_power_of_the_distance():
    mixer, apart = check.make(KINDS["retention"]), torch.arange(LONG)[:, None] - torch.arange(LONG)
    q, k, *_ = mixer.project(numbers(LONG))
    pace = torch.tensor([31 / 32, 63 / 64], dtype=q.dtype)[:, None, None]
    torch.testing.assert_close(mixer.mixing(numbers(LONG)), (q @ k.mT * pace ** apart.clamp(min=0)).tril())


@each
@torch.no_grad()
def test_blocks_off_the_diagonal_have_the_rank_of_the_state(name):
    """Semiseparable: what the past says to the future goes through K numbers a value; the whole has full rank."""
    x, tokens = numbers(48), 48
    matrix = check.make(partial(KINDS[name], key_width=3)).mixing(x)
    softmax = check.make(Softmax).mixing(x)
    for cut in range(1, tokens):
        rank, of_softmax = (torch.linalg.matrix_rank(m[..., cut:, :cut], rtol=1e-10) for m in (matrix, softmax))
        assert (rank == min(3, cut, tokens - cut)).all()
        assert (of_softmax == min(cut, tokens - cut)).all()
    assert (torch.linalg.matrix_rank(matrix, rtol=1e-14) == tokens).all()


# Limits.


@pytest.mark.parametrize("name", ["gated-vector", "gated-scalar"])
@torch.no_grad()
def test_what_forgets_nothing_is_linear_attention(name):
    mixer = check.make(KINDS[name])
    q, k, v, g = said(mixer, LONG)
    torch.testing.assert_close(mixer.mix(q, k, v, torch.zeros_like(g), None, 0)[0], (q @ k.mT).tril() @ v)
    mixer.gate.offset += 1e9  # sigmoid is 1
    torch.testing.assert_close(mixer.mixing(numbers(LONG)), (q @ k.mT).tril())


@torch.no_grad()
def test_a_vector_of_equal_decays_is_a_scalar_and_a_fixed_one_is_retention():
    vector, scalar, retention = (check.make(KINDS[name]) for name in ("gated-vector", "gated-scalar", "retention"))
    q, k, v, g = said(scalar, LONG)
    one, other = vector.mix(q, k, v, g.expand_as(k), None, 0)[0], scalar.mix(q, k, v, g, None, 0)[0]
    torch.testing.assert_close(one, other)
    q, k, v, g = said(retention, LONG)
    torch.testing.assert_close(
        scalar.mix(q, k, v, g.expand(3, -1, -1, -1), None, 0)[0], retention.mix(q, k, v, g, None, 0)[0]
    )


@torch.no_grad()
def test_a_state_space_is_gated_attention_and_a_skip():
    ssm, gated = check.make(KINDS["ssm"]), check.make(KINDS["gated-scalar"])
    parts = said(ssm, LONG)
    skipped = ssm.skip[:, None, None] * parts[2]
    torch.testing.assert_close(ssm.mix(*parts, None, 0)[0], gated.mix(*parts, None, 0)[0] + skipped)


@torch.no_grad()
def test_a_gated_delta_rule_that_keeps_all_is_the_delta_rule():
    delta, gated = check.make(KINDS["delta-signed"]), check.make(KINDS["gated_delta-signed"])
    gated.load_state_dict(delta.state_dict(), strict=False)
    gated.clock.rate -= 1e9  # e^a is 0
    torch.testing.assert_close(gated(numbers(LONG))[0], delta(numbers(LONG))[0])


@torch.no_grad()
def test_on_keys_that_never_meet_the_delta_rule_is_linear_attention():
    mixer = check.make(KINDS["delta-positive"])
    q, _, v, g, beta = (part[:, :, :K] for part in said(mixer, LONG))
    k = torch.linalg.qr(drawn(3, HEADS, K, K)).Q
    torch.testing.assert_close(mixer.mix(q, k, v, g, beta, None, 0)[0], (q @ k.mT).tril() @ (beta * v))


@pytest.mark.parametrize("name", DELTAS)
@torch.no_grad()
def test_orthonormal_keys_recall_what_was_said_last(name):
    """β = 1, nothing fades: K pairs are held at once, each the last of its key; without the rule they would pile up."""
    mixer, pick = check.make(KINDS[name]), torch.Generator().manual_seed(0)
    keys = torch.linalg.qr(drawn(K, K)).Q
    written, asked = torch.randint(K, (2, LONG), generator=pick)
    v, last, expected = drawn(LONG, D), {}, []
    for t in range(LONG):
        last[written[t].item()] = v[t]
        expected.append(last.get(asked[t].item(), torch.zeros(D, dtype=v.dtype)))
    g, beta = v.new_zeros(1, 1, LONG, 1), v.new_ones(1, 1, LONG, 1)
    q, k, v = (x[None, None] for x in (keys[asked], keys[written], v))
    out = mixer.mix(q, k, v, g, beta, None, 0)[0][0, 0]
    torch.testing.assert_close(out, torch.stack(expected), rtol=0, atol=1e-12)
    piled = check.make(KINDS["gated-scalar"]).mix(q, k, v, g, None, 0)[0][0, 0]
    assert (piled - torch.stack(expected)).abs().max() > 1


# Parity. The state is one number, the sign of what token 0 wrote at e_1; a bit of 1 comes with its own β.


def signs(bits, beta, dtype=torch.float64):
    """(R, T) bits -> (R, T), what e_1 recalls once each was read, if a bit of 1 is a token e_1 that writes 0 with β."""
    mixer = check.make(partial(Delta, eigenvalues="signed", key_width=2)).to(dtype)
    bits = bits[:, None, :, None].to(dtype)
    key = torch.cat([torch.ones_like(bits), torch.zeros_like(bits)], -1)
    first = torch.ones_like(bits[:, :, :1])
    key, value = torch.cat([key[:, :, :1], key], 2), torch.cat([first, 0 * bits], 2)
    strength = torch.cat([first, beta * bits], 2)
    out, _ = mixer.mix(key, key, value, torch.zeros_like(strength), strength, None, 0)
    return out[:, 0, 1:, 0]


def bits():
    return torch.randint(2, (100, 256), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_reflections_count_parity(dtype):
    assert torch.equal(signs(bits(), 2, dtype), 1 - 2 * (bits().cumsum(1) % 2).to(dtype))


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_positive_eigenvalues_do_not(beta):
    """(1 - β)^ones never changes its sign; at β = 1 the first one clears it for good."""
    found = signs(bits(), beta)
    assert (found > -1e-12).all()
    torch.testing.assert_close(found, (1.0 - beta) ** bits().cumsum(1).double())


@pytest.mark.parametrize(("setting", "most"), [("positive", 1.0), ("signed", 2.0)])
@torch.no_grad()
def test_the_setting_is_what_beta_can_reach(setting, most):
    mixer = check.make(partial(Delta, eigenvalues=setting, key_width=K))
    beta = mixer.project(numbers(LONG))[-1]
    assert 0 < beta.min() < 0.2 * most < 0.8 * most < beta.max() < most
    mixer.strength.offset += 1e3
    assert (mixer.project(numbers(LONG))[-1] == most).all()


# Prices.


@each
def test_growth_is_exact(name):
    mixer = check.make(KINDS[name])
    chunk, meetings = mixer.chunk, 2 if name in DELTAS else 1
    gates = {"gated-vector": K}.get(name, 1) * (name in FADING) + (name in DELTAS)
    one = 2 * WIDTH * HEADS * gates + 2 * HEADS * (meetings * (K + D + K * D) + K * D)  # a token that is decoded
    full = 2 * chunk * WIDTH * HEADS * gates
    full += 2 * HEADS * (meetings * (chunk**2 * (K + D) + chunk * K * D) + chunk * K * D)
    if name in DELTAS:  # systems are solved for keys too, which makes a K x K matrix, and that meets the state
        full += 2 * HEADS * (chunk**2 * K + chunk * K * K + K * K * D)
    slopes = [
        (0, mixer.state_size),
        (0, lambda n: mixer.scored_pairs(1, n)),
        (0, lambda n: mixer.mix_flops(1, n, 0)),
        (HEADS * chunk * (chunk + 1) // 2, lambda n: mixer.scored_pairs(chunk * n)),
        (full, lambda n: mixer.mix_flops(chunk * n, None, 0)),
        (1, lambda n: mixer.serial_steps(chunk * n)),
    ]
    for slope, f in slopes:
        for n in (2**power for power in range(4, 13)):
            assert f(n + 1) - f(n) == slope
            assert f(n + 1) - 2 * f(n) + f(n - 1) == 0
    assert (mixer.state_size(1), mixer.scored_pairs(1, 0), mixer.mix_flops(1, 0, 0)) == (HEADS * K * D, HEADS, one)
    assert [mixer.serial_steps(n) for n in (1, chunk, chunk + 1, 2 * chunk + 1)] == [1, 1, 2, 3]
    assert mixer.scored_pairs(chunk + 1) == HEADS * (chunk * (chunk + 1) // 2 + 1)


# Slices and chunks.

LINEAR = {**KINDS, **{name: kind for name, (kind, _) in FEATURES.items()}, "window": partial(Window, window=9, sinks=2)}
LINEAR["cosformer"] = partial(Cosformer, longest=4096)


class Indexed(Retention):
    """Takes each chunk by its index: going back, each is laid into a tensor as long as the sequence."""

    def mix(self, *said):
        *said, _, _ = said
        rows, state = [], self.empty(len(said[0]))
        for start in range(0, said[0].shape[2], 32):
            row, state = super().mix(*(x[:, :, start : start + 32] for x in said), state, 0)
            rows.append(row)
        return torch.cat(rows, 2), None


class Made(TorchDispatchMode):
    """How many numbers operators return."""

    numbers = 0

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        made = operator(*args, **(kwargs or {}))
        self.numbers += sum(x.numel() for x in tree_leaves(made) if isinstance(x, torch.Tensor))
        return made


def grows(kind, tokens):
    """What a training pass makes of four times as many tokens, over what it makes of these."""
    mixer, made = check.make(kind), []
    for x in (numbers(tokens), numbers(4 * tokens)):
        with Made() as counter:
            mixer(x)[0].sum().backward()
        made.append(counter.numbers)
    return made[1] / made[0]


@pytest.mark.parametrize("size", [1, 2**19])
@pytest.mark.parametrize("name", LINEAR)
def test_a_training_pass_is_linear_in_the_tokens(name, size, monkeypatch):
    monkeypatch.setattr(base, "SLICE", size)
    assert 3.5 < grows(LINEAR[name], 256) < 4.2


def test_one_that_indexes_its_chunks_is_not():
    assert grows(partial(Indexed, key_width=K), 256) > 5


@pytest.mark.parametrize("name", LINEAR)
def test_slices_change_nothing(name, monkeypatch):
    """Nor what is counted: one slice, and one for each chunk."""
    mixer, x = check.make(LINEAR[name]), numbers(LONG)
    stated, flops = mixer(x)[0], []
    for size in (1, 2**30):
        monkeypatch.setattr(base, "SLICE", size)
        counted, (out, _) = check.count_flops(mixer, x)
        flops.append(counted)
        hold_same_map("slices and", mixer, x, stated, {f"of {size}": out})
    assert flops == [BATCH * mixer.flops(LONG)] * 2


FUNCTIONS = {  # with a backward pass of their own -> what they take
    "factors": (recurrence._Factors.apply, [(2, 3, 5, 1)]),
    "factors of each coordinate": (recurrence._Factors.apply, [(2, 3, 5, 4)]),
    "carried, a number": (lambda *x: recurrence._Carried.apply(*x, False), [(2, 5, 3, 4), (2, 5, 1, 1), (2, 3, 4)]),
    "carried, of each coordinate": (
        lambda *x: recurrence._Carried.apply(*x, False),
        [(2, 5, 3, 4), (2, 5, 3, 1), (2, 3, 4)],
    ),
    "carried, a matrix": (lambda *x: recurrence._Carried.apply(*x, True), [(2, 5, 3, 4), (2, 5, 3, 3), (2, 3, 4)]),
    "causal": (kernel._Causal.apply, [(2, 3, 5, 4), (2, 3, 5, 4), (2, 3, 5, 2), (2, 4, 2)]),
    "elu": (linear._EluAndOne.apply, [(2, 5)]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_that_are_written_out_are_those_of_finite_differences(name):
    function, shapes = FUNCTIONS[name]
    given = [drawn(*shape).requires_grad_() for shape in shapes]
    assert torch.autograd.gradcheck(function, given)
    if "factors" in name:  # at the first token and elsewhere, nothing may be left
        given[0].data[:, :, [0, 3]] = 0
        assert torch.autograd.gradcheck(function, given)


# Numbers.


@each
@torch.no_grad()
def test_long_sequences_are_stable(name):
    single = check.make(KINDS[name]).float()
    double, x = check.make(KINDS[name]), numbers(4096).float()
    double.load_state_dict(single.state_dict())
    out, state = single(x, single.empty(3))
    assert out.isfinite().all()
    assert state.total.isfinite().all()
    near(out.double(), double(x.double())[0], 1e-4)


@each
def test_single_precision_is_finite_too(name):
    mixer = check.make(KINDS[name]).float()
    for scale in (0.0, 1e4):
        x = (scale * numbers(LONG).detach()).float().requires_grad_()
        out = mixer(x)[0]
        for what, value in {"out": out, **all_gradients(out, mixer, x)}.items():
            assert value.isfinite().all(), what


@pytest.mark.parametrize("name", FADING)
@torch.no_grad()
def test_what_was_kept_since_all_was_forgotten_is_not_rounded_away(name):
    """A log-decay of -100,000 in the middle of a chunk: after it, those of -0.001 still count to the last digit."""
    mixer, tokens = check.make(KINDS[name]), 30
    q, k, v, g, *beta = (part[:, :, :tokens] for part in said(mixer, LONG))
    g = torch.full_like(g, -0.001)
    g[:, :, 2] = g[:, :, 20] = -1e5
    parts = [x.float() for x in (q, k, v, g, *beta)]
    single, double = (mixer.mix(*x, None, 0)[0] for x in (parts, [x.double() for x in parts]))
    near(single.double(), double, 1e-6)


# Settings and where training starts.


@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [
        ("gated", {"decay": "vektor"}, "attention.decay=vektor: vector, scalar can be"),
        ("gated", {"temperature": 0.0}, "attention.temperature=0.0: a finite number above 0"),
        ("gated", {"temperature": float("inf")}, "attention.temperature=inf: a finite number above 0"),
        ("delta", {"eigenvalues": "negative"}, "attention.eigenvalues=negative: positive, signed can be"),
        ("gated_delta", {"eigenvalues": "sign"}, "attention.eigenvalues=sign: positive, signed can be"),
        *((name, {"key_width": 0}, "attention.key_width=0: ") for name in ("retention", "gated", "ssm", "delta")),
    ],
)
def test_impossible_settings_are_refused(name, wrong, says):
    settings = dict(config.variant([f"attention={name}"]).settings) | wrong
    with pytest.raises(ValueError, match=says):
        attention.configured(name, settings.items())(WIDTH, HEADS)


@torch.no_grad()
def test_a_clock_starts_slow_and_fast():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        clock = Clock(4, 4096)
    time, rate = F.softplus(clock.time.offset), clock.rate.exp()
    for drawn, low, high in ((time.log10(), -3, -1), (rate, 1, 16)):
        assert low - 1e-3 <= drawn.min() < low + 0.05 < high - 0.05 < drawn.max() <= high + 1e-3
        assert abs(drawn.mean() - (low + high) / 2) < 0.3
    assert abs(torch.corrcoef(torch.stack([time, rate]))[0, 1]) < 0.1


@pytest.mark.parametrize("name", ["gated", "ssm", "delta", "gated_delta"])
@torch.no_grad()
def test_a_model_leaves_them_where_they_start(name):
    (point,) = config.points(["task=parity", f"attention={name}", "model.width=16", "model.heads=2"])
    for mixer in (block.mixer for block in build(point).blocks):
        started = {key: value for key, value in mixer.named_parameters() if key.endswith(("offset", "rate", "skip"))}
        assert started
        for key, value in started.items():
            if key == "clock.rate":
                assert ((value.exp() >= 1) & (value.exp() <= 16)).all()
            elif key == "clock.time.offset":
                assert ((F.softplus(value) > 0.999e-3) & (F.softplus(value) < 0.1001)).all()
            else:
                assert (value == (1 if key == "skip" else 0)).all()
