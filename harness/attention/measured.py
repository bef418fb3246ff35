"""What a variant takes on this machine: seconds and peak memory at a ladder of n, and one pass against many.

Beside the exact growth stands the measured one, so that what a formula leaves out (element-wise work, memory traffic,
the cost of many small calls) can be seen. Batch 1, width 64, 4 heads, float32, random weights.
"""

import math
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness.attention.base import Mixer
from harness.attention.trial import SEED, Variant, make

WIDTH, HEADS = 64, 4
LADDER = (64, 128, 256, 512, 1024, 2048)
LONGEST = 1.5  # seconds that the next size may be expected to take, or the ladder ends
AGAIN = 0.06  # seconds that a call is repeated for, three times at least
DECODED = 32  # tokens, one after the other


class Measured(NamedTuple):
    """At one n: seconds, medians of repetitions, and bytes."""

    tokens: int
    training: float  # a forward and a backward pass over n tokens
    prompt: float | None  # reading n tokens into a state; None without one
    decoding: float  # one more token
    peak: int  # of the training pass, see Watcher


class Watcher(TorchDispatchMode):
    """Counts the bytes of all tensors made inside that are alive, whoever holds them: autograd's graph does too.

    What ``known`` tensors hold is not counted, nor what a kernel uses for itself and frees before it returns.
    """

    def __init__(self, *known: Tensor):
        super().__init__()
        self.alive = {id(tensor.untyped_storage()): 0 for tensor in known}  # bytes of each storage
        self.now = self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Runs one operation and looks at what it returned; views have the storage of what they view."""
        made = func(*args, **(kwargs or {}))
        for storage in (leaf.untyped_storage() for leaf in tree_leaves(made) if isinstance(leaf, Tensor)):
            if id(storage) not in self.alive:
                self.alive[id(storage)] = storage.nbytes()
                self.now += storage.nbytes()
                weakref.finalize(storage, self._freed, id(storage))
        self.peak = max(self.peak, self.now)
        return made

    def _freed(self, storage: int) -> None:
        self.now -= self.alive.pop(storage)


def peak_bytes(call: Callable[[], object], *known: Tensor) -> int:
    """The most that was alive at once during a call, beyond what is ``known``."""
    with Watcher(*known) as watcher:
        call()
    return watcher.peak


def training_bytes(mixer: Mixer, tokens: int, prefix: int = 0) -> int:
    """Peak of one training pass over n tokens: activations that backward needs, temporaries and gradients."""
    x = _input(mixer, tokens)
    return peak_bytes(lambda: _train(mixer, x, prefix), x, *mixer.parameters(), *mixer.buffers())


def ladder(variant: Variant, mask: str, sizes: Iterable[int] = LADDER) -> Iterator[Measured]:
    """One size after the other, until the next would take too long or is longer than the variant can read."""
    mixer, last = _made(variant).float(), None
    for tokens in sizes:
        prefix = 0 if mask == "causal" else tokens
        if last and last.training * (tokens / last.tokens) ** mixer.order > LONGEST:
            return
        try:
            peak = training_bytes(mixer, tokens, prefix)
            with torch.no_grad():
                decoding = _decoding(mixer, x := _input(mixer, tokens), mask)
        except ValueError:  # as it says itself
            return
        training = seconds(lambda x=x, prefix=prefix: _train(mixer, x, prefix))
        with torch.no_grad():
            read = None if mask == "encoder" else seconds(lambda x=x, prefix=prefix: _read(mixer, x, prefix))
        last = Measured(tokens, training, read, decoding, peak)
        yield last


class Together(NamedTuple):
    """One pass with a loss at each of T tokens against T passes with a loss at the end, in float64."""

    tokens: int
    loss: float  # the largest difference, relative to the largest number
    gradient: float  # that of any gradient, of the input and of every parameter
    faster: float  # seconds of the many passes over those of the one


def together(variant: Variant, tokens: int = 64) -> Together:
    """The causal mask makes them equal; that is what lets all tokens be trained at once."""
    mixer = _made(variant)
    x, target = _input(mixer, tokens), _input(mixer, tokens, seed=1).detach()
    wanted = [x, *mixer.parameters()]

    def one() -> Tensor:
        return (mixer(x)[0] - target).square().sum()

    def many() -> Tensor:
        ends = [mixer(x[:, : t + 1])[0][:, -1] for t in range(tokens)]
        return (torch.stack(ends, 1) - target).square().sum()

    losses = one(), many()
    gradients = [_gradients(loss, wanted) for loss in losses]
    times = [seconds(lambda loss=loss: _gradients(loss(), wanted)) for loss in (one, many)]
    worst = max(_apart(*pair) for pair in zip(*gradients, strict=True))
    return Together(tokens, _apart(*losses), worst, times[1] / times[0])


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """e of values ~ n^e over the last two doublings, or the one there is."""
    first = max(len(sizes) - 3, 0)
    return math.log(values[-1] / values[first]) / math.log(sizes[-1] / sizes[first])


def seconds(call: Callable[[], object]) -> float:
    """The median of repetitions; a slow call has one or two of them."""
    took: list[float] = []
    while sum(took) < AGAIN or (len(took) < 3 and sum(took) < 1):
        start = perf_counter()
        call()
        took.append(perf_counter() - start)
    return median(took)


def _decoding(mixer: Mixer, x: Tensor, mask: str) -> float:
    """Seconds of the token after x; room is reserved for it, as a model that decodes does."""
    token = x[:, :1]
    if mask == "encoder":
        longer = torch.cat([x, token], 1)
        return seconds(lambda: mixer(longer, prefix=longer.shape[1]))
    _, state = mixer(x, mixer.empty(1, x.shape[1] + DECODED), x.shape[1] if mask == "prefix" else 0)
    took = []
    for _ in range(DECODED):
        start = perf_counter()
        _, state = mixer(token, state)
        took.append(perf_counter() - start)
    return median(took)


def _made(variant: Variant) -> Mixer:
    return make(lambda width, heads: variant(WIDTH, HEADS))


def _input(mixer: Mixer, tokens: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(SEED + seed)
    dtype = next((parameter.dtype for parameter in mixer.parameters()), torch.float32)
    return torch.randn(1, tokens, WIDTH, generator=generator, dtype=dtype).requires_grad_()


def _train(mixer: Mixer, x: Tensor, prefix: int) -> None:
    _gradients(mixer(x, prefix=prefix)[0].square().sum(), [x, *mixer.parameters()])


def _gradients(loss: Tensor, wanted: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, wanted, materialize_grads=True)


def _read(mixer: Mixer, x: Tensor, prefix: int) -> None:
    mixer(x, mixer.empty(1, x.shape[1]), prefix)


def _apart(one: Tensor, other: Tensor) -> float:
    return ((one - other).abs().max() / other.abs().max().clamp(min=1)).item()
