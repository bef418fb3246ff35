"""The laws of a variant: each is a function that fails with one sentence. They run on any Mixer, also on a stranger's.

>>> from harness.attention.softmax import Softmax
>>> [verdict.law for verdict in check_variant(Softmax) if not verdict.passed]
[]

A variant is whatever makes a mixer from a width and a number of heads: the class, or ``partial(Window, window=8)``.
A law is held for each prefix that the variant's masks allow; one whose heads are rotated is a variant like any other.
To add a law, write one more function ``law_<name>(variant)``, here or in ``price.py``; nothing else is edited.
"""

from functools import partial

import numpy as np
import torch

from harness.attention import price
from harness.attention.price import count_flops
from harness.attention.trial import (
    BATCH,
    EDGES,
    LONG,
    SHORT,
    TOLERANCE,
    Variant,
    all_gradients,
    cases,
    gradients,
    hold_equal,
    hold_same_map,
    make,
    numbers,
    prefixes,
    read,
)
from tasks.verdict import Verdict, judge

__all__ = ["LAWS", "check_variant", "count_flops", "fingerprint", "make"]


def check_variant(variant: Variant) -> list[Verdict]:
    """The verdict of every law, in the order of this file."""
    return [judge(law, variant) for law in LAWS.values()]


def fingerprint(variant: Variant) -> tuple[float, ...]:
    """Four numbers that stand for the map, see ``Mixer.golden``: three of one output, the sum of all magnitudes.

    The sum goes over causal, prefix and encoder, as far as the masks go.
    """
    mixer, x = make(variant), numbers(LONG)
    outs = [mixer(x, prefix=prefix)[0] for prefix in prefixes(mixer, LONG)]
    return (*outs[0][0, -1, :3].tolist(), sum(out.abs().sum().item() for out in outs))


def law_shape_and_dtype_are_kept(variant: Variant) -> None:
    """(B, T, C) float64 becomes (B, T, C) float64; there is a state after it if and only if there was one before."""
    mixer = make(variant)
    for tokens, prefix in cases(mixer, 1, SHORT, LONG):
        x = numbers(tokens)
        made = {"forward(x)": mixer(x, prefix=prefix), "naive(x)": (mixer.naive(x, prefix), None)}
        if prefix in prefixes(mixer, tokens, state=True):
            made["forward(x, state)"] = mixer(x, mixer.empty(BATCH), prefix)
        for form, (out, state) in made.items():
            assert out.shape == x.shape, f"{form} makes {tuple(out.shape)} of {tuple(x.shape)}"
            assert out.dtype == x.dtype, f"{form} makes {out.dtype} of {x.dtype}; compute in the dtype of the input"
            carries = (form == "forward(x, state)") == (state is not None)
            assert carries, "forward(x) returns no state, forward(x, state) returns the next"


def law_finite(variant: Variant) -> None:
    """Zeros and numbers of 10,000 give finite outputs and gradients, at one token and at many."""
    mixer = make(variant)
    calls = [("x", None, *case) for case in cases(mixer, 1, SHORT, LONG)]
    calls += [("x, state", mixer.empty(BATCH), *case) for case in cases(mixer, 1, SHORT, LONG, state=True)]
    for form, state, tokens, prefix in calls:
        for scale in (0.0, 1e4):
            x = (numbers(tokens).detach() * scale).requires_grad_()
            out, _ = mixer(x, state, prefix)
            for name, value in {"the output": out, **all_gradients(out, mixer, x)}.items():
                what = f"forward({form}), T={tokens}, prefix={prefix}, size {scale:g}: {name}"
                assert value.isfinite().all(), f"{what} is not finite"


def law_causal(variant: Variant) -> None:
    """Outputs depend on no later input save inside the prefix: the gradient is exactly zero, others change nothing.

    Output t < prefix depends on inputs 0 .. prefix-1 at most, output t >= prefix on 0 .. t.
    """
    mixer, ends = make(variant), {SHORT: range(SHORT - 1), LONG: EDGES}
    for tokens, prefix in cases(mixer, SHORT, LONG):
        x, other = numbers(tokens), 100 * numbers(tokens, seed=1)
        out, _ = mixer(x, prefix=prefix)
        for until in sorted({max(end + 1, prefix) for end in ends[tokens]} - {tokens}):
            what = f"outputs 0 to {until - 1} of {tokens}, prefix={prefix}"
            (gradient,) = gradients(out[:, :until], [x])
            leak = gradient[:, until:].abs().max().item()
            assert leak == 0, f"{what}, have gradient {leak:.1e} to a later input"
            changed, _ = mixer(torch.cat([x[:, :until], other[:, until:]], 1), prefix=prefix)
            hold_equal(f"{what}, once later inputs change", changed[:, :until], out[:, :until])


def law_depends_on_the_past(variant: Variant) -> None:
    """The last output has a gradient to some input before it; to none if the map is ``local``."""
    mixer = make(variant)
    for tokens, prefix in cases(mixer, 2, SHORT, LONG):
        x = numbers(tokens)
        (gradient,) = gradients(mixer(x, prefix=prefix)[0][:, -1], [x])
        past = gradient[:, :-1].abs().max().item()
        what = f"output {tokens - 1}, prefix={prefix},"
        if mixer.local:
            assert past == 0, f"{what} of a local map has gradient {past:.1e} to an input before it"
        else:
            assert past > TOLERANCE, f"{what} has no gradient to any of the inputs before it"


def law_a_prefix_sees_itself(variant: Variant) -> None:
    """Some output inside the prefix has a gradient to an input of the prefix after it, unless the map is ``local``."""
    mixer = make(variant)
    for tokens, prefix in cases(mixer, 2, SHORT, LONG):
        x = numbers(tokens)
        out, _ = mixer(x, prefix=prefix)
        later = (gradients(out[:, t], [x])[0][:, t + 1 : prefix].abs().max() for t in range(prefix - 1))
        sees = prefix < 2 or any(gradient > TOLERANCE for gradient in later)
        wrong = "an" if mixer.local else "no"
        assert sees != mixer.local or prefix < 2, (
            f"prefix={prefix} of {tokens}: {wrong} output in it has a gradient to an input after it"
        )


def law_an_illegal_prefix_is_refused(variant: Variant) -> None:
    """ValueError, never another prefix, for one that is split, longer than the call, or that no mask of it has."""
    mixer, x = make(variant), numbers(SHORT)
    illegal = {-1, 0, 8, SHORT, SHORT + 1}.difference(prefixes(mixer, SHORT))
    calls = [("at the start", None, prefix) for prefix in illegal]
    for first in prefixes(mixer, 4, state=True):
        _, state = read(mixer, x[:, :4], [4], prefix=first)
        calls += [("after 4 others", state, prefix) for prefix in (1, SHORT)]
        calls += [("at the start", mixer.empty(BATCH), SHORT + 1)]
    for when, state, prefix in calls:
        try:
            mixer(x, state, prefix)
        except ValueError:
            continue
        raise AssertionError(f"prefix={prefix} of {SHORT} tokens {when} is not refused")


def law_two_forms_agree(variant: Variant) -> None:
    """``forward`` and ``naive`` are one map: equal values and equal gradients of the input and of every parameter."""
    mixer = make(variant)
    for tokens, prefix in cases(mixer, 1, SHORT, LONG):
        x = numbers(tokens)
        fast, naive = mixer(x, prefix=prefix)[0], mixer.naive(x, prefix)
        hold_same_map(f"{tokens} tokens, prefix={prefix}, naive and", mixer, x, naive, {"fast": fast})


def law_resume(variant: Variant) -> None:
    """Reading in parts is reading at once: cut anywhere, with gradients, and token by token, into any ``room``.

    A prefix is never cut, it is read with the first part.
    """
    mixer, places = make(variant), {SHORT: range(SHORT), LONG: EDGES}
    sizes = {SHORT: ([1] * SHORT, [4, 3, 1, 1, 4]), LONG: ([67] + [1] * (LONG - 67),)}
    for tokens, prefix in cases(mixer, SHORT, LONG, state=True):
        x, what = numbers(tokens), f"{tokens} tokens, prefix={prefix}, at once and"
        whole, _ = mixer(x, prefix=prefix)
        cuts = sorted({max(place, prefix) for place in places[tokens]})
        parts = {f"cut at {cut}": read(mixer, x, [cut, tokens - cut], prefix=prefix)[0] for cut in cuts}
        hold_same_map(what, mixer, x, whole, parts)
        for steps in ([prefix] + [1] * (tokens - prefix),) if prefix else sizes[tokens]:
            for room in (0, 5, tokens, tokens + 7) if tokens == SHORT else (0, tokens):
                with torch.no_grad():
                    apart, _ = read(mixer, x, steps, room, prefix)
                hold_equal(f"{what} as {steps[:5]}... into room {room}", apart, whole)


def law_a_state_may_be_read_twice(variant: Variant) -> None:
    """A state without room is not spent: whoever reads on from it leaves it as it was."""
    mixer, one, other = make(variant), numbers(SHORT), numbers(SHORT, seed=1)
    for seen, prefix in cases(mixer, 0, 1, 6, state=True):
        with torch.no_grad():
            _, state = read(mixer, one[:, :seen], [seen], prefix=prefix)
            (first, _), _, (again, _) = (mixer(x[:, seen:], state) for x in (one, other, one))
        hold_equal(f"the same read twice from one state, {seen} tokens seen, prefix={prefix}", again, first)


def law_the_last_outputs_are_those_of_all(variant: Variant) -> None:
    """``ending`` computes the end of ``forward``, gradients too, and leaves the state that reads on as that would."""
    mixer = make(variant)
    for tokens, prefix in cases(mixer, 1, SHORT, LONG):
        x = numbers(tokens)
        whole, _ = mixer(x, prefix=prefix)
        for last in sorted({1, min(2, tokens), tokens // 2, tokens} - {0}):
            end, _ = mixer.ending(x, last, None, prefix)
            hold_same_map(f"{last} of {tokens} outputs, prefix={prefix},", mixer, x, whole[:, -last:], {"alone": end})
    mixer.requires_grad_(False)
    for tokens, prefix in cases(mixer, 2, SHORT, LONG - 3, state=True):
        x, more, room = numbers(tokens).detach(), numbers(3, seed=1).detach(), tokens + 3
        before = 0 if prefix else tokens // 2
        states = [mixer.empty(BATCH, room) for _ in range(2)]
        if before:
            states = [mixer(x[:, :before], state)[1] for state in states]
        whole, after = mixer(x[:, before:], states[0], prefix)
        end, state = mixer.ending(x[:, before:], 1, states[1], prefix)
        what = f"the last of {tokens} outputs, {before} seen, prefix={prefix},"
        hold_equal(f"{what} alone", end, whole[:, -1:])
        hold_equal(f"{what} and what is read on", mixer(more, state)[0], mixer(more, after)[0])


def law_rows_do_not_see_one_another(variant: Variant) -> None:
    """A row of the batch alone comes out as it does among others, with a state and without."""
    mixer = make(variant)
    calls = [("x", tokens, partial(mixer, prefix=prefix)) for tokens, prefix in cases(mixer, 1, SHORT, LONG)]
    for tokens, prefix in cases(mixer, 1, SHORT, LONG, state=True):
        first = max(tokens // 2, prefix)
        calls.append(("x, state", tokens, partial(read, mixer, sizes=[first, tokens - first], prefix=prefix)))
    for form, tokens, call in calls:
        x = numbers(tokens)
        alone = torch.cat([call(x[row : row + 1])[0] for row in range(BATCH)])
        hold_equal(f"forward({form}) of each row alone and of all", alone, call(x)[0])


def law_parallel_is_the_sum_of_passes(variant: Variant) -> None:
    """One pass with a loss at each token is many passes, each over the tokens up to it with a loss at its end.

    Gradients too. The first of them ends with the prefix.
    """
    mixer = make(variant)
    for tokens, prefix in cases(mixer, SHORT, 70):
        first = max(prefix - 1, 0)
        x, target = numbers(tokens), numbers(tokens, seed=1).detach()[:, first:]
        ends = [mixer(x[:, : t + 1], prefix=prefix)[0][:, -1] for t in range(first, tokens)]
        outs = mixer(x, prefix=prefix)[0][:, first:], torch.stack(ends, 1)
        together, apart = ((out - target).square().sum() for out in outs)
        hold_same_map(f"the loss, prefix={prefix}, of one pass and", mixer, x, together, {f"of {len(ends)}": apart})


def law_every_parameter_is_trained(variant: Variant) -> None:
    """Every parameter tensor receives a gradient, and ten updates on one batch lower its loss."""
    mixer, x, target, losses = make(variant), numbers(SHORT), numbers(SHORT, seed=1), []
    for _ in range(10):
        mixer.zero_grad()
        loss = (mixer(x, prefix=prefixes(mixer, SHORT)[0])[0] - target).square().mean()
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
    for prefix in prefixes(mixer, SHORT):
        hold_equal("saved and loaded", other(x, prefix=prefix)[0], mixer(x, prefix=prefix)[0])


def law_golden_fingerprint_stands(variant: Variant) -> None:
    """The map under its default settings is the one that ``golden[version]`` was taken from."""
    mixer, now = make(variant), fingerprint(variant)
    stated = mixer.golden.get(mixer.version)
    same = stated is not None and len(stated) == len(now) and np.allclose(stated, now, rtol=TOLERANCE, atol=TOLERANCE)
    assert same, f"golden[{mixer.version}] is {stated}, the fingerprint {now}; another map needs another version"


LAWS = {name[4:]: law for name, law in [*globals().items(), *vars(price).items()] if name.startswith("law_")}
