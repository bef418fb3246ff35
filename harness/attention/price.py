"""The laws of a variant's price: what ``Mixer`` states by formula is what torch counts and what a state holds."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from harness.attention.base import Mixer
from harness.attention.trial import BATCH, EDGES, LONG, SHORT, Variant, cases, make, numbers, prefixes, read


def count_flops(call: Callable, *arguments: object) -> tuple[int, Any]:
    """FLOPs of a call and what it returned. Fused attention would go uncounted, so it is switched off.

    A triangular system is counted as the dense product that it stands for, as masked scores are.
    """
    custom = {torch.ops.aten.linalg_solve_triangular: _solved}
    with FlopCounterMode(display=False, custom_mapping=custom) as counter, sdpa_kernel(SDPBackend.MATH):
        result = call(*arguments)
    return counter.get_total_flops(), result


def _solved(shape: torch.Size, right: torch.Size, *_: object, out_shape: torch.Size, **__: object) -> int:
    """(..., c, c) and (..., c, m): 2 c² m for each system."""
    return 2 * shape[-1] * out_shape.numel()


def law_state_size(variant: Variant) -> None:
    """``state_size(n)`` is what the tensors of a state without room hold per row; ``seen`` comes first and counts."""
    mixer = make(variant)
    for tokens, prefix in cases(mixer, 0, 1, SHORT, 64, LONG, state=True):
        _, state = read(mixer, numbers(tokens), [tokens], prefix=prefix)
        (seen, *tensors), (name, *_) = state, type(state)._fields
        assert name == "seen", f"the first field of a state is seen, here {name}"
        assert (type(seen), seen) == (int, tokens), f"seen is {seen!r} after {tokens} tokens, prefix={prefix}"
        assert all(len(tensor) == BATCH for tensor in tensors), "every tensor of a state has the batch first"
        held, stated = sum(tensor.numel() for tensor in tensors) / BATCH, mixer.state_size(tokens)
        assert held == stated, f"state_size({tokens}) is {stated}, the state holds {held:g} numbers a sequence"


def law_flops_are_counted(variant: Variant) -> None:
    """``flops`` is what torch counts in the plain (math) form, with a state and without; so is ``training_flops``."""
    mixer, frozen, sizes = make(variant), make(variant).requires_grad_(False), (1, SHORT, 64, 65, LONG)
    for tokens, prefix in cases(mixer, *sizes):
        forward, (out, _) = count_flops(mixer, numbers(tokens), None, prefix)
        _hold_flops(forward, mixer, tokens, None, prefix)
        backward, _ = count_flops(out.sum().backward)
        stated, counted = BATCH * mixer.training_flops(tokens, prefix), forward + backward
        what = f"training_flops({tokens}, {prefix}) says {stated} for {BATCH} sequences"
        assert counted == stated, f"{what}, torch counts {forward} forward and {backward} backward"
    for tokens, prefix in cases(mixer, *sizes, state=True):
        for seen in (0,) if prefix else (0, 1, 70):
            with torch.no_grad():
                first = prefixes(mixer, seen, state=True)[0]
                _, state = read(frozen, numbers(seen), [seen], seen + tokens + 7, first)
            counted, _ = count_flops(frozen, numbers(tokens).detach(), state, prefix)
            _hold_flops(counted, mixer, tokens, seen, prefix)


def law_what_is_spared_is_counted(variant: Variant) -> None:
    """``spared`` is what torch counts less for ``ending`` than for ``forward``, backward passes too."""
    mixer, frozen = make(variant), make(variant).requires_grad_(False)
    for tokens, prefix in cases(mixer, 2, SHORT, LONG):
        whole = _both_passes(mixer, numbers(tokens), None, prefix)
        for last in sorted({1, 2, tokens // 2, tokens}):
            less = whole - _both_passes(partial(mixer.ending, last=last), numbers(tokens), state=None, prefix=prefix)
            _hold_spared(less, 3, mixer, tokens, last, None, prefix)
            spared, pairs = mixer.spared(tokens, last, None, prefix), mixer.scored_pairs(tokens, None, prefix)
            good = 0 <= spared.pairs <= pairs and 2 * spared.pairs <= spared.flops
            assert good, (
                f"spared{tokens, last, None, prefix} is {spared} of {pairs} pairs, each a multiply-add at least"
            )
    for tokens, prefix in cases(mixer, 2, SHORT, LONG - 70, state=True):
        for seen in (0,) if prefix else (0, 70):
            with torch.no_grad():
                states = [read(frozen, numbers(seen), [seen], seen + tokens)[1] for _ in range(2)]
            x = numbers(tokens).detach()
            whole, _ = count_flops(frozen, x, states[0], prefix)
            end, _ = count_flops(frozen.ending, x, 1, states[1], prefix)
            _hold_spared(whole - end, 1, mixer, tokens, 1, seen, prefix)


def _both_passes(call: Callable, *arguments: object, **named: object) -> int:
    """FLOPs of a call, forward and backward."""
    forward, (out, _) = count_flops(partial(call, **named), *arguments)
    backward, _ = count_flops(out.sum().backward)
    return forward + backward


def _hold_spared(less: int, times: int, mixer: Mixer, *call: int | None) -> None:
    stated = BATCH * times * mixer.spared(*call).flops
    what = f"spared{call} says {stated} for {BATCH} sequences, {times} times"
    assert less == stated, f"{what}, torch counts {less} less"


def _hold_flops(counted: int, mixer: Mixer, tokens: int, seen: int | None, prefix: int) -> None:
    stated = BATCH * mixer.flops(tokens, seen, prefix)
    what = f"flops({tokens}, {seen}, {prefix}) says {stated} for {BATCH} sequences"
    assert counted == stated, f"{what}, torch counts {counted}"


def law_scored_pairs(variant: Variant) -> None:
    """Pairs are counted in whole numbers, cost a multiply-add each, and reading in parts never scores more of them."""
    mixer = make(variant)
    calls = [(tokens, None, prefix) for tokens, prefix in cases(mixer, 1, SHORT, LONG)]
    calls += [(tokens, 0, prefix) for tokens, prefix in cases(mixer, 1, SHORT, LONG, state=True)]
    calls += [(tokens, 70, 0) for tokens, prefix in cases(mixer, 1, SHORT, LONG, state=True) if not prefix]
    for call in calls:
        pairs, flops = mixer.scored_pairs(*call), mixer.flops(*call)
        good = type(pairs) is int and 0 <= 2 * pairs <= flops
        assert good, f"scored_pairs{call} is {pairs!r}; {flops} FLOPs score 0 to {flops // 2} pairs"
    for tokens, prefix in cases(mixer, LONG, state=True):
        for cut in sorted({max(edge, prefix) for edge in EDGES} - {0, tokens}):
            parts = mixer.scored_pairs(cut, 0, prefix) + mixer.scored_pairs(tokens - cut, cut)
            whole, what = mixer.scored_pairs(tokens, 0, prefix), f"{tokens} tokens, prefix={prefix}, cut at {cut}"
            assert parts <= whole, f"{what} score {parts} pairs, at once only {whole}"


def law_growth_is_at_most_linear(variant: Variant) -> None:
    """After n tokens the next scores at most n + 1 times the pairs of the first; they fill at most n times one's state.

    True of a fixed state (both constant), of a cache (both straight lines) and of everything between, such as windows.
    Where triples are scored (``order`` 3) it is (n + 1)² times, and so on.
    """
    mixer = make(variant)
    if not prefixes(mixer, 1, state=True):
        return  # nothing is carried from token to token
    first, start = mixer.scored_pairs(1, 0), mixer.state_size(0)
    for n in (2**power for power in range(13)):
        pairs, most = mixer.scored_pairs(1, n), (n + 1) ** (mixer.order - 1) * first
        grows = f"growth of degree {mixer.order - 1}"
        assert pairs <= most, f"scored_pairs(1, {n}) is {pairs}: {grows} from {first} at 0 makes {most} at most"
        state, most = mixer.state_size(n), start + n * (mixer.state_size(1) - start)
        assert state <= most, f"state_size({n}) is {state}: linear growth from {start} at 0 makes {most} at most"


def law_serial_steps(variant: Variant) -> None:
    """Serial steps are whole numbers from 1 on, and more tokens never take fewer, whatever the mask."""
    mixer = make(variant)
    prefix_of = {"causal": lambda tokens: 0, "prefix": lambda tokens: min(tokens, 70), "encoder": lambda tokens: tokens}
    for mask in mixer.masks:
        steps = [mixer.serial_steps(tokens, prefix_of[mask](tokens)) for tokens in range(1, 2 * LONG)]
        good = all(type(step) is int and step >= 1 for step in steps) and steps == sorted(steps)
        assert good, f"mask={mask}: serial_steps at 1, 2, ... tokens are {steps[:3]} ... {steps[-3:]}"
