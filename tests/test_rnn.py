"""The recurrent networks are torch's own and the papers' equations; gates have limits, and one unit keeps a parity."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from harness import attention
from harness.attention.check import count_flops, make
from harness.attention.gru import Gru
from harness.attention.lstm import Lstm
from harness.attention.trial import BATCH, HEADS, LONG, WIDTH, numbers, read

SIZE = 7  # S
KINDS = {"gru": partial(Gru, state=SIZE), "lstm": partial(Lstm, state=SIZE)}
THEIRS = {"gru": nn.GRU, "lstm": nn.LSTM}
GATES = {"gru": ("reset", "update", "new"), "lstm": ("enter", "forget", "new", "show")}  # in the order of torch's rows
SATURATED = 60.0  # σ is exactly 1 there


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(name, mixer, x):
    """(B, T, C), in numpy and in double precision, one sequence, one token and one gate at a time."""
    weights = {key: value.double().numpy() for key, value in mixer.state_dict().items()}
    token, hidden, b, c = (weights[f"cells.{key}_l0"] for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    out = np.empty(x.shape)
    for row, sequence in enumerate(x):
        h, cell = np.zeros(SIZE), np.zeros(SIZE)
        for t, read_now in enumerate(sequence):
            part, part_h = {}, {}
            for number, gate in enumerate(GATES[name]):
                rows = slice(number * SIZE, (number + 1) * SIZE)
                part[gate] = token[rows] @ read_now + b[rows]
                part_h[gate] = hidden[rows] @ h + c[rows]
            open_to = {gate: sigmoid(part[gate] + part_h[gate]) for gate in GATES[name]}
            if name == "gru":
                new = np.tanh(part["new"] + open_to["reset"] * part_h["new"])
                h = new + open_to["update"] * (h - new)
            else:
                cell = open_to["forget"] * cell + open_to["enter"] * np.tanh(part["new"] + part_h["new"])
                h = open_to["show"] * np.tanh(cell)
            out[row, t] = weights["project_out.weight"] @ h + weights["project_out.bias"]
    return out


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("name", KINDS)
def test_they_are_torchs_own_and_the_equations(name, dtype, error):
    mixer, x = make(KINDS[name]).to(dtype), numbers(LONG).detach().to(dtype)
    theirs = THEIRS[name](WIDTH, SIZE, batch_first=True).to(dtype)
    theirs.load_state_dict({key: value.clone() for key, value in mixer.cells.state_dict().items()})
    stated = theirs(x)[0] @ mixer.project_out.weight.T + mixer.project_out.bias
    out = mixer(x)[0]
    torch.testing.assert_close(out, stated, rtol=error, atol=error)
    np.testing.assert_allclose(out.detach(), by_hand(name, mixer, x.double().numpy()), rtol=error, atol=error)
    torch.testing.assert_close(mixer.naive(x), stated, rtol=error, atol=error)
    with torch.no_grad():
        parts, _ = read(mixer, x, [67] + [1] * (LONG - 67))
    torch.testing.assert_close(parts, stated, rtol=error, atol=error)
    assert out.std() > 0.1


@pytest.mark.parametrize("name", KINDS)
def test_growth_is_exact(name):
    mixer, vectors = make(KINDS[name]), {"gru": 1, "lstm": 2}[name]
    gates = len(GATES[name])
    slopes = {
        mixer.state_size: 0,
        lambda n: mixer.scored_pairs(1, n): 0,
        lambda n: mixer.flops(1, n): 0,
        lambda n: mixer.flops(n): 2 * SIZE * (gates * (WIDTH + SIZE) + WIDTH),
        mixer.serial_steps: 1,
    }
    for f, slope in slopes.items():
        for n in (2**power for power in range(4, 13)):
            assert f(n + 1) - f(n) == slope
            assert f(n + 1) - 2 * f(n) + f(n - 1) == 0
    assert mixer.state_size(0) == vectors * SIZE
    assert mixer.scored_pairs(LONG) == mixer.scored_pairs(LONG, 9) == 0
    _, state = read(mixer, numbers(LONG), [1] * LONG, room=4096)
    assert {tensor.shape for tensor in state[1:]} == {(BATCH, 1, SIZE)}


@pytest.mark.parametrize("name", KINDS)
def test_what_the_formula_says_is_executed_in_single_precision_too(name, monkeypatch):
    """oneDNN has a layer of its own for an LSTM in float32, which no counter looks into; without it all is counted."""
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    mixer, x = make(KINDS[name]).float(), numbers(LONG).detach().float()
    counted, _ = count_flops(mixer, x)
    assert counted == BATCH * mixer.flops(LONG)
    with torch.no_grad():
        for seen in (0, 70):
            _, state = read(mixer, x[:, :seen], [seen])
            counted, _ = count_flops(mixer, x[:, seen:], state)
            assert counted == BATCH * mixer.flops(LONG - seen, seen)


@torch.no_grad()
def saturated(name, **gates):
    """A mixer some of whose gates are wide open (1) or shut (0), whatever is read."""
    mixer = make(KINDS[name])
    for gate, value in gates.items():
        rows = slice(GATES[name].index(gate) * SIZE, (GATES[name].index(gate) + 1) * SIZE)
        mixer.cells.weight_ih_l0[rows] = mixer.cells.weight_hh_l0[rows] = 0
        mixer.cells.bias_hh_l0[rows] = 0
        mixer.cells.bias_ih_l0[rows] = SATURATED if value else -1e4
    return mixer


def after(mixer, seed):
    """The state after some tokens."""
    return read(mixer, numbers(9, seed), [9])[1]


def test_a_gru_keeps_its_state_while_the_update_gate_is_open():
    keeping, before = saturated("gru", update=1), after(make(KINDS["gru"]), seed=1)
    for _ in range(3):
        out, state = keeping(numbers(LONG), before)
        torch.testing.assert_close(state.hidden, before.hidden, rtol=0, atol=1e-12)
        said = keeping.project_out(before.hidden.expand(-1, LONG, -1))
        torch.testing.assert_close(out, said, rtol=0, atol=1e-12)


def test_a_gru_that_looks_at_nothing_is_a_layer_of_units():
    mixer, x = saturated("gru", update=0, reset=0), numbers(LONG)
    weight, bias = (part[2 * SIZE :] for part in (mixer.cells.weight_ih_l0, mixer.cells.bias_ih_l0))
    torch.testing.assert_close(mixer(x)[0], mixer.project_out((x @ weight.T + bias).tanh()), rtol=1e-12, atol=1e-12)


def test_an_lstm_keeps_its_cells_and_their_gradient():
    """Hochreiter & Schmidhuber's constant error carousel: over any number of tokens the derivative is 1."""
    keeping, before = saturated("lstm", forget=1, enter=0), after(make(KINDS["lstm"]), seed=1)
    start = before.cell.detach().requires_grad_()
    _, state = keeping(numbers(1000), before._replace(cell=start))
    assert torch.equal(state.cell, before.cell)
    (gradient,) = torch.autograd.grad(state.cell.sum(), start)
    assert (gradient == 1).all()


def test_an_lstm_with_open_gates_sums_what_comes_in():
    mixer, x = saturated("lstm", forget=1, enter=1, show=1), numbers(LONG)
    with torch.no_grad():
        mixer.cells.weight_hh_l0[2 * SIZE : 3 * SIZE] = 0
    weight, bias, more = (
        part[2 * SIZE : 3 * SIZE] for part in (mixer.cells.weight_ih_l0, mixer.cells.bias_ih_l0, mixer.cells.bias_hh_l0)
    )
    sums = (x @ weight.T + bias + more).tanh().cumsum(1)
    torch.testing.assert_close(mixer(x)[0], mixer.project_out(sums.tanh()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", KINDS)
def test_gates_start_from_the_usual_distributions(name):
    """Input weights of each gate uniform within sqrt(6 / (C + S)), recurrent ones orthogonal, the forget gate open."""
    width, size = 96, 48
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mixer = {"gru": Gru, "lstm": Lstm}[name](width, HEADS, state=size)
    weights = dict(mixer.cells.named_parameters())
    eye, end = torch.eye(size), (6 / (width + size)) ** 0.5
    for token, hidden in zip(*(weights[f"weight_{side}_l0"].split(size) for side in ("ih", "hh")), strict=True):
        torch.testing.assert_close(hidden @ hidden.T, eye, rtol=0, atol=1e-5)
        assert token.abs().max() <= end
        assert abs(token.mean()) < 5 * end / (3 * token.numel()) ** 0.5
        assert token.var().item() == pytest.approx(end**2 / 3, rel=0.07)
    assert not weights["bias_hh_l0"].any()
    opened = [
        gate for gate, bias in zip(GATES[name], weights["bias_ih_l0"].split(size), strict=True) if (bias == 1).all()
    ]
    assert opened == {"gru": [], "lstm": ["forget"]}[name]
    assert weights["bias_ih_l0"].sum() == size * len(opened)


START, ZERO, ONE = torch.eye(WIDTH)[:3]


@torch.no_grad()
def parity(name):
    """One unit, from two gates: START makes it 1, ZERO keeps it, ONE makes it its own negative."""
    mixer = {"gru": Gru, "lstm": Lstm}[name](WIDTH, HEADS, state=1)
    for parameter in mixer.parameters():
        parameter.zero_()
    row = {gate: number for number, gate in enumerate(GATES[name])}
    token, hidden, bias = mixer.cells.weight_ih_l0, mixer.cells.weight_hh_l0, mixer.cells.bias_ih_l0
    for gate in {"gru": ("update",), "lstm": ("forget",)}[name]:
        token[row[gate]] = SATURATED * (ZERO - START - ONE) * 2
    if name == "lstm":
        token[row["enter"]] = SATURATED * (START + ONE - ZERO) * 2
    bias[row["reset" if name == "gru" else "show"]] = SATURATED
    token[row["new"]], hidden[row["new"]] = SATURATED * START, -SATURATED
    mixer.project_out.weight[0] = 1
    return mixer


@pytest.mark.parametrize("name", KINDS)
def test_one_unit_keeps_a_parity_at_any_length(name):
    """A finite automaton by hand: a token of the sequence turns the sign of what is carried."""
    bits = np.random.default_rng(0).integers(0, 2, (8, 3000))
    x = torch.cat([START.expand(8, 1, -1), torch.stack([ZERO, ONE])[torch.from_numpy(bits)]], 1)
    said = parity(name)(x)[0][..., 0].sign()[:, 1:].detach().numpy()
    assert (said == (-1.0) ** bits.cumsum(1)).all()


@pytest.mark.parametrize("name", KINDS)
def test_they_are_linear_in_no_values(name):
    assert make(KINDS[name]).mixing(numbers(5)) is None


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("size", [0, -1, 2**16 + 1])
def test_impossible_sizes_are_refused(name, size):
    with pytest.raises(ValueError, match=rf"attention.state={size}: 1 or more is needed, and at most 2\^16$"):
        attention.configured(name, [("state", size)])(WIDTH, HEADS)


@pytest.mark.parametrize("name", KINDS)
def test_what_they_cannot_have_is_refused(name):
    for mask in ("prefix", "encoder"):
        with pytest.raises(ValueError, match=f"mask={mask}: attention={name} can be causal$"):
            attention.configured(name, [("state", 4)], mask=mask)
    with pytest.raises(ValueError, match=f"attention={name} has no queries and keys to rotate$"):
        attention.configured(name, [("state", 4)], rotate=lambda x, seen: x)
    with pytest.raises(ValueError, match=f"attention={name} has no scores to take distances from$"):
        attention.configured(name, [("state", 4)], bias=lambda queries, keys, heads: keys)
    with pytest.raises(ValueError, match=r"prefix=3 of 9 tokens: this map can be causal$"):
        make(KINDS[name])(numbers(9), prefix=3)
