"""What the laws try a variant with: weights, inputs, prefixes, readings in parts, and comparisons.

All is float64 on the CPU, so tolerance is no opinion; sizes are distinct, so no axis passes for another.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from harness.attention.base import Mixer, State, masks_of

Variant = Callable[[int, int], Mixer]

SEED = 20_260_801  # of every stream in this file
BATCH, HEADS, WIDTH = 3, 2, 12  # B, H, C; D = 6 is even, since rotations turn pairs
SHORT, LONG = 13, 131  # T: every cut of the short is tried, the long is more than one chunk for whoever has chunks
EDGES = (0, 1, 62, 63, 64, 65, 129)  # of the long
TOLERANCE = 1e-9  # relative to the largest number, or to 1


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


def prefixes(mixer: Mixer, tokens: int, state: bool = False) -> list[int]:
    """None, some and all of the tokens, as far as the mixer's masks go; with ``state``, if they hand on a state."""
    masks = set(mixer.masks) - ({"encoder"} if state else set())
    return [prefix for prefix in sorted({0, 2 * tokens // 3, tokens}) if masks & masks_of(prefix, tokens)]


def cases(mixer: Mixer, *sizes: int, state: bool = False) -> Iterator[tuple[int, int]]:
    """(tokens, prefix) for each of these numbers of tokens and each of its :func:`prefixes`."""
    return ((tokens, prefix) for tokens in sizes for prefix in prefixes(mixer, tokens, state))


def read(mixer: Mixer, x: Tensor, sizes: Iterable[int], room: int = 0, prefix: int = 0) -> tuple[Tensor, State]:
    """Read x (B, T, C) in parts of these sizes, from the empty state on; parts of 0 tokens are not read."""
    state, outs = mixer.empty(len(x), room), [x[:, :0]]
    for part in x.split(list(sizes), 1):
        if part.shape[1]:
            out, state = mixer(part, state, 0 if len(outs) > 1 else prefix)
            outs.append(out)
    return torch.cat(outs, 1), state


def gradients(out: Tensor, wanted: list[Tensor]) -> tuple[Tensor, ...]:
    """Gradients of one random sum of ``out``."""
    weights = torch.from_numpy(np.random.default_rng(SEED).normal(size=tuple(out.shape) or 1)).view(out.shape)
    return torch.autograd.grad((out * weights).sum(), wanted, retain_graph=True, materialize_grads=True)


def all_gradients(out: Tensor, mixer: Mixer, x: Tensor) -> dict[str, Tensor]:
    """The same with respect to the input and to every parameter."""
    wanted = {"the input": x, **dict(mixer.named_parameters())}
    found = gradients(out, list(wanted.values()))
    return dict(zip((f"the gradient of {name}" for name in wanted), found, strict=True))


def hold_equal(what: str, found: Tensor, expected: Tensor) -> None:
    """Fail unless they agree within ``TOLERANCE``."""
    assert found.shape == expected.shape, f"{what}: shapes {tuple(found.shape)} and {tuple(expected.shape)}"
    error, scale = (found - expected).abs().max().item(), max(1.0, expected.abs().max().item())
    assert error <= TOLERANCE * scale, f"{what}: they differ by {error:.1e} where numbers reach {scale:.1e}"


def hold_same_map(what: str, mixer: Mixer, x: Tensor, stated: Tensor, found: Mapping[str, Tensor]) -> None:
    """Outputs made of ``x`` by one mixer, each under its name, agree with ``stated`` in value and in every gradient."""
    gradients_stated = all_gradients(stated, mixer, x)
    for form, out in found.items():
        hold_equal(f"{what} {form}", out, stated)
        for name, gradient in all_gradients(out, mixer, x).items():
            hold_equal(f"{what} {form}, {name}", gradient, gradients_stated[name])
