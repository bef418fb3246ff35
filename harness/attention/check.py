"""The laws of a variant: each is a function that fails with one sentence. They run on any Mixer, also on a stranger's.

>>> from harness.attention.linear import Linear
>>> [verdict.law for verdict in check_variant(Linear) if not verdict.passed]
[]

A variant is whatever makes a mixer from a width and a number of heads: the class, or ``partial(Window, window=8)``.
All is float64 on the CPU, so tolerance is no opinion; sizes are odd and distinct, so no axis passes for another.
To add a law, write one more function ``law_<name>(variant)``; nothing else is edited.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from harness.attention.base import Mixer, State
from tasks.check import Verdict, judge

Variant = Callable[[int, int], Mixer]

SEED = 20_260_801  # of every stream in this file
BATCH, HEADS, WIDTH = 3, 2, 10  # B, H, C
SHORT, LONG = 13, 131  # T: every cut of the short is tried, the long is more than one chunk for whoever has chunks
EDGES = (0, 1, 62, 63, 64, 65, 129)  # of the long
TOLERANCE = 1e-9  # relative to the largest number, or to 1


def check_variant(variant: Variant) -> list[Verdict]:
    """The verdict of every law, in the order of this file."""
    return [judge(law, variant) for law in LAWS.values()]


def fingerprint(variant: Variant) -> tuple[float, ...]:
    """Four numbers that stand for the map, see ``Mixer.golden``: three of one output, the sum of all magnitudes."""
    out, _ = make(variant)(numbers(LONG))
    return (*out[0, -1, :3].tolist(), out.abs().sum().item())


def make(variant: Variant, seed: int = 0) -> Mixer:
    """A float64 mixer. Every parameter is drawn from numpy: training may bring it anywhere, so no value is special."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mixer = variant(WIDTH, HEADS).double()
    rng = np.random.default_rng([SEED, seed])
    for parameter in mixer.parameters():
        drawn = rng.normal(size=tuple(parameter.shape)) / parameter.shape[-1:].numel() ** 0.5
        parameter.data.copy_(torch.as_tensor(drawn))
    return mixer


def numbers(tokens: int, seed: int = 0) -> Tensor:
    """An input (B, T, C) ~ N(0, 1), which is what a norm hands to a mixer; it takes gradients."""
    drawn = np.random.default_rng([SEED, seed, tokens]).normal(size=(BATCH, tokens, WIDTH))
    return torch.from_numpy(drawn).requires_grad_()


def count_flops(call: Callable, *arguments: object) -> tuple[int, Any]:
    """FLOPs of a call and what it returned. Fused attention would go uncounted, so it is switched off."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        result = call(*arguments)
    return counter.get_total_flops(), result


def law_shape_and_dtype_are_kept(variant: Variant) -> None:
    """(B, T, C) float64 becomes (B, T, C) float64; there is a state after it if and only if there was one before."""
    mixer = make(variant)
    for tokens in (1, SHORT, LONG):
        x = numbers(tokens)
        (trained, none), (read, state) = mixer(x), mixer(x, mixer.empty(BATCH))
        for form, out in (("forward(x)", trained), ("forward(x, state)", read), ("naive(x)", mixer.naive(x))):
            assert out.shape == x.shape, f"{form} makes {tuple(out.shape)} of {tuple(x.shape)}"
            assert out.dtype == x.dtype, f"{form} makes {out.dtype} of {x.dtype}; compute in the dtype of the input"
        assert (none is None, state is None) == (True, False), "forward(x) returns no state, forward(x, state) does"


def law_finite(variant: Variant) -> None:
    """Zeros and numbers of 10,000 give finite outputs and gradients, at one token and at many."""
    mixer = make(variant)
    for tokens in (1, SHORT, LONG):
        for scale in (0.0, 1e4):
            x = (numbers(tokens).detach() * scale).requires_grad_()
            for form, (out, _) in (("x", mixer(x)), ("x, state", mixer(x, mixer.empty(BATCH)))):
                for name, value in {"the output": out, **_gradients(out, mixer, x)}.items():
                    assert value.isfinite().all(), f"forward({form}), T={tokens}, size {scale:g}: {name} is not finite"


def law_causal(variant: Variant) -> None:
    """Output t does not depend on input s > t: its gradient is exactly zero, and other inputs there change nothing."""
    mixer = make(variant)
    for tokens, ends in ((SHORT, range(SHORT - 1)), (LONG, EDGES)):
        x, other = numbers(tokens), 100 * numbers(tokens, seed=1)
        out, _ = mixer(x)
        for t in ends:
            leak = _gradients(out[:, t], mixer, x)["the gradient of the input"][:, t + 1 :].abs().max().item()
            assert leak == 0, f"output {t} of {tokens} has gradient {leak:.1e} to a later input"
            changed, _ = mixer(torch.cat([x[:, : t + 1], other[:, t + 1 :]], 1))
            _hold_equal(f"outputs 0 to {t} once later inputs change", changed[:, : t + 1], out[:, : t + 1])


def law_depends_on_the_past(variant: Variant) -> None:
    """The last output has a gradient to some input before it."""
    mixer = make(variant)
    for tokens in (2, SHORT, LONG):
        x = numbers(tokens)
        past = _gradients(mixer(x)[0][:, -1], mixer, x)["the gradient of the input"][:, :-1].abs().max().item()
        assert past > TOLERANCE, f"output {tokens - 1} has no gradient to any of the inputs before it"


def law_two_forms_agree(variant: Variant) -> None:
    """``forward`` and ``naive`` are one map: equal values and equal gradients of the input and of every parameter."""
    mixer = make(variant)
    for tokens in (1, SHORT, LONG):
        x = numbers(tokens)
        _hold_same_map(f"fast and naive, {tokens} tokens", mixer, x, mixer(x)[0], mixer.naive(x))


def law_resume(variant: Variant) -> None:
    """Reading in parts is reading at once: cut anywhere, with gradients, and token by token, into any ``room``."""
    mixer = make(variant)
    for tokens, cuts in ((SHORT, range(SHORT)), (LONG, EDGES)):
        x = numbers(tokens)
        whole, _ = mixer(x)
        for cut in cuts:
            parts, _ = _read(mixer, x, [cut, tokens - cut])
            _hold_same_map(f"{tokens} tokens in one part and cut at {cut}", mixer, x, parts, whole)
    with torch.no_grad():
        for tokens, sizes in ((SHORT, [1] * SHORT), (SHORT, [4, 3, 1, 1, 4]), (LONG, [67] + [1] * (LONG - 67))):
            x = numbers(tokens)
            whole, _ = mixer(x)
            for room in (0, 5, tokens, tokens + 7):
                parts, _ = _read(mixer, x, sizes, room)
                _hold_equal(f"{tokens} tokens at once and as {sizes[:5]}... into room {room}", parts, whole)


def law_a_state_may_be_read_twice(variant: Variant) -> None:
    """A state without room is not spent: whoever reads on from it leaves it as it was."""
    mixer, one, other = make(variant), numbers(SHORT), numbers(SHORT, seed=1)
    for cut in (0, 1, 6):
        with torch.no_grad():
            _, state = _read(mixer, one[:, :cut], [cut])
            (first, _), _, (again, _) = (mixer(x[:, cut:], state) for x in (one, other, one))
        _hold_equal(f"the same read twice from one state, {cut} tokens seen", again, first)


def law_rows_do_not_see_one_another(variant: Variant) -> None:
    """A row of the batch alone comes out as it does among others, with a state and without."""
    mixer = make(variant)
    for tokens in (1, SHORT, LONG):
        x, sizes = numbers(tokens), [tokens // 2, tokens - tokens // 2]
        for form, read in (("x", mixer), ("x, state", partial(_read, mixer, sizes=sizes))):
            alone = torch.cat([read(x[row : row + 1])[0] for row in range(BATCH)])
            _hold_equal(f"forward({form}) of each row alone and of all", alone, read(x)[0])


def law_state_size(variant: Variant) -> None:
    """``state_size(n)`` is what the tensors of a state without room hold per row; ``seen`` comes first and counts."""
    mixer = make(variant)
    for tokens in (0, 1, SHORT, 64, LONG):
        _, state = _read(mixer, numbers(tokens), [tokens])
        seen, *tensors = state
        assert type(state)._fields[0] == "seen", f"the first field of a state is seen, here {type(state)._fields[0]}"
        assert (type(seen), seen) == (int, tokens), f"seen is {seen!r} after {tokens} tokens"
        assert all(len(tensor) == BATCH for tensor in tensors), "every tensor of a state has the batch first"
        held, stated = sum(tensor.numel() for tensor in tensors) / BATCH, mixer.state_size(tokens)
        assert held == stated, f"state_size({tokens}) is {stated}, the state holds {held:g} numbers a sequence"


def law_parallel_is_the_sum_of_prefixes(variant: Variant) -> None:
    """One pass with a loss at each token is T passes, each over a prefix with a loss at its end; gradients too."""
    mixer = make(variant)
    for tokens in (SHORT, 70):
        x, target = numbers(tokens), numbers(tokens, seed=1).detach()
        ends = torch.stack([mixer(x[:, : t + 1])[0][:, -1] for t in range(tokens)], 1)
        apart, together = ((out - target).square().sum() for out in (ends, mixer(x)[0]))
        _hold_same_map(f"the loss of one pass and of {tokens} prefixes", mixer, x, apart, together)


def law_every_parameter_is_trained(variant: Variant) -> None:
    """Every parameter tensor receives a gradient, and ten updates on one batch lower its loss."""
    mixer, x, target, losses = make(variant), numbers(SHORT), numbers(SHORT, seed=1), []
    for _ in range(10):
        mixer.zero_grad()
        loss = (mixer(x)[0] - target).square().mean()
        loss.backward()
        for name, parameter in mixer.named_parameters():
            trained = parameter.grad is not None and parameter.grad.abs().max() > 1e-12
            assert trained, f"the parameter {name} receives no gradient"
            parameter.data -= 0.01 * parameter.grad
        losses.append(loss.item())
    fell = losses[-1] < losses[0] or not list(mixer.parameters())
    assert fell, f"plain gradient descent took the loss from {losses[0]:.6f} to {losses[-1]:.6f}"


def law_saved_and_loaded(variant: Variant) -> None:
    """Another mixer that loads its ``state_dict`` computes the same."""
    mixer, other, x = make(variant), make(variant, seed=1), numbers(SHORT)
    other.load_state_dict(mixer.state_dict())
    _hold_equal("saved and loaded", other(x)[0], mixer(x)[0])


def law_flops_are_counted(variant: Variant) -> None:
    """``flops`` is what torch counts in the plain (math) form, with a state and without; backward is twice forward."""
    mixer, frozen = make(variant), make(variant).requires_grad_(False)
    for tokens in (1, SHORT, 64, 65, LONG):
        x = numbers(tokens)
        forward, (out, _) = count_flops(mixer, x)
        stated = BATCH * mixer.flops(tokens)
        assert forward == stated, f"flops({tokens}) says {stated} for {BATCH} sequences, torch counts {forward}"
        backward, _ = count_flops(out.sum().backward)
        assert backward == 2 * forward, f"{tokens} tokens: {forward} FLOPs forward, {backward} backward; twice is right"
        for seen in (0, 1, 70):
            _, state = _read(frozen, numbers(seen).detach(), [seen], room=seen + tokens + 7)
            read, _ = count_flops(frozen, x.detach(), state)
            stated = BATCH * mixer.flops(tokens, seen)
            assert read == stated, f"flops({tokens}, {seen}) says {stated} for {BATCH} sequences, torch counts {read}"


def law_scored_pairs(variant: Variant) -> None:
    """Pairs are counted in whole numbers, cost a multiply-add each, and reading in parts never scores more of them."""
    mixer = make(variant)
    for tokens, seen in ((1, None), (LONG, None), (1, 0), (1, 70), (SHORT, 0), (SHORT, 70), (LONG, LONG)):
        pairs, flops = mixer.scored_pairs(tokens, seen), mixer.flops(tokens, seen)
        good = type(pairs) is int and 0 <= 2 * pairs <= flops
        assert good, f"scored_pairs({tokens}, {seen}) is {pairs!r}; {flops} FLOPs score 0 to {flops // 2} pairs"
    for cut in EDGES[1:]:
        whole, parts = mixer.scored_pairs(LONG, 0), mixer.scored_pairs(cut, 0) + mixer.scored_pairs(LONG - cut, cut)
        assert parts <= whole, f"{LONG} tokens cut at {cut} score {parts} pairs, at once only {whole}"


def law_growth_is_at_most_linear(variant: Variant) -> None:
    """After n tokens the next scores at most n + 1 times the pairs of the first; they fill at most n times one's state.

    True of a fixed state (both constant), of a cache (both straight lines) and of everything between, such as windows.
    """
    mixer = make(variant)
    first, start = mixer.scored_pairs(1, 0), mixer.state_size(0)
    for n in (2**power for power in range(13)):
        pairs, most = mixer.scored_pairs(1, n), (n + 1) * first
        assert pairs <= most, f"scored_pairs(1, {n}) is {pairs}: linear growth from {first} at 0 makes {most} at most"
        state, most = mixer.state_size(n), start + n * (mixer.state_size(1) - start)
        assert state <= most, f"state_size({n}) is {state}: linear growth from {start} at 0 makes {most} at most"


def law_serial_steps(variant: Variant) -> None:
    """Serial steps are whole numbers from 1 on, and more tokens never take fewer."""
    mixer = make(variant)
    steps = [mixer.serial_steps(tokens) for tokens in range(1, 2 * LONG)]
    good = all(type(step) is int and step >= 1 for step in steps) and steps == sorted(steps)
    assert good, f"serial_steps(1), serial_steps(2), ... are {steps[:3]} ... {steps[-3:]}"


def law_golden_fingerprint_stands(variant: Variant) -> None:
    """The map under its default settings is the one that ``golden[version]`` was taken from."""
    mixer, now = make(variant), fingerprint(variant)
    stated = mixer.golden.get(mixer.version)
    same = stated is not None and len(stated) == len(now) and np.allclose(stated, now, rtol=TOLERANCE, atol=TOLERANCE)
    assert same, f"golden[{mixer.version}] is {stated}, the fingerprint {now}; another map needs another version"


def _read(mixer: Mixer, x: Tensor, sizes: Iterable[int], room: int = 0) -> tuple[Tensor, State]:
    """Read x (B, T, C) in parts of these sizes, from the empty state on; parts of 0 tokens are not read."""
    state, outs = mixer.empty(len(x), room), [x[:, :0]]
    for part in x.split(list(sizes), 1):
        if part.shape[1]:
            out, state = mixer(part, state)
            outs.append(out)
    return torch.cat(outs, 1), state


def _gradients(out: Tensor, mixer: Mixer, x: Tensor) -> dict[str, Tensor]:
    """Gradients of one random sum of ``out`` with respect to the input and to every parameter."""
    weights = torch.from_numpy(np.random.default_rng(SEED).normal(size=tuple(out.shape) or 1)).view(out.shape)
    wanted = {"the input": x, **dict(mixer.named_parameters())}
    found = torch.autograd.grad((out * weights).sum(), list(wanted.values()), retain_graph=True, materialize_grads=True)
    return dict(zip((f"the gradient of {name}" for name in wanted), found, strict=True))


def _hold_equal(what: str, found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape, f"{what}: shapes {tuple(found.shape)} and {tuple(expected.shape)}"
    error, scale = (found - expected).abs().max().item(), max(1.0, expected.abs().max().item())
    assert error <= TOLERANCE * scale, f"{what}: they differ by {error:.1e} where numbers reach {scale:.1e}"


def _hold_same_map(what: str, mixer: Mixer, x: Tensor, found: Tensor, expected: Tensor) -> None:
    """Two outputs made of ``x`` by one mixer agree in value and in every gradient."""
    _hold_equal(what, found, expected)
    stated = _gradients(expected, mixer, x)
    for name, gradient in _gradients(found, mixer, x).items():
        _hold_equal(f"{what}, {name}", gradient, stated[name])


LAWS = {name[4:]: law for name, law in list(globals().items()) if name.startswith("law_")}
