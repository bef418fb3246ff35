"""The state squeeze: what a model carries over the middle of a prompt, in b bits for each of its numbers.

What is said at the end is a function of that state and of what is read after it, and a state of s numbers in b bits
each has 2^(s·b) values: where the first halves of prompts fall into more classes, told apart by some second half, one
pass cannot be right on all prompts (pigeonhole). Before ANSWER there is no such bound: there a decision is one bit.

The code is fixed before any test item is read: each number of the state (a channel; a place of a cache) has a range,
[low, high], that of the same number over ``ITEMS`` validation items of that length, in which 2^b levels stand evenly;
what falls outside is clipped. With b = ``WHOLE`` the numbers are left as they are.

>>> low, high = torch.zeros(1, 1), torch.ones(1, 1)
>>> rounded(torch.tensor([[0.2], [0.6], [7.0]]), low, high, bits=2).flatten()
tensor([0.3333, 0.6667, 1.0000])
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.attention.base import State
from harness.model.gpt import GPT
from harness.sequence import Batch, marks
from tasks.base import Task

ITEMS = 250  # validation items that the ranges are taken from
WHOLE = 32  # bits that a number has


@dataclass(frozen=True)
class Code:
    """``bits`` for each number of a state, and its range: two states of one item, the lows and the highs."""

    bits: int
    low: list[State]
    high: list[State]

    @property
    def cut(self) -> int:
        """Tokens that are read before the state is told."""
        return self.low[0].seen

    @classmethod
    def of(cls, states: list[State], bits: int) -> "Code":
        """The ranges of these states, layer by layer, over their batch."""
        low = [_each(lambda x: x.amin(0, keepdim=True), layer) for layer in states]
        return cls(bits, low, [_each(lambda x: x.amax(0, keepdim=True), layer) for layer in states])

    def rounded(self, states: list[State]) -> list[State]:
        """The states as this code tells them: each item for itself, after as many tokens as those of the ranges."""

        def one(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
            return rounded(x, low, high, self.bits)

        return [_each(one, *layers) for layers in zip(states, self.low, self.high, strict=True)]


def rounded(x: Tensor, low: Tensor, high: Tensor, bits: int) -> Tensor:
    """(B, ...) -> the same at the nearest of 2^bits levels from ``low`` to ``high``, both (1, ...)."""
    if bits == WHOLE:
        return x
    steps = 2**bits - 1
    start, span = low.double(), high.double() - low.double()  # float32 cannot number the levels of 24 bits and more
    share = (x.double() - start) / torch.where(span > 0, span, 1)
    return (start + span * ((share.clamp(0, 1) * steps).round() / steps)).to(x.dtype)


def numbers(model: GPT, tokens: int) -> int:
    """Numbers in the state of one sequence after so many tokens."""
    return model.loops * sum(block.mixer.state_size(tokens) for block in model.blocks)


def middle(task: Task, batch: Batch, length: int) -> int:
    """Tokens up to the middle of the prompt, START among them: half of its items, else of its tokens."""
    tokens = int((batch.tokens[0] == marks(task).think).nonzero()[0]) - 1
    item = tokens // length if tokens % length == 0 else 1
    return 1 + tokens // item // 2 * item


@torch.no_grad()
def carried(model: GPT, given: Tensor, cut: int, whole: int, room: int = 0) -> list[State]:
    """The states after the first ``cut`` of the tokens (B, T) that are given, in a sequence of ``whole`` tokens.

    Raises ValueError where a prompt is not read from left to right.
    """
    if model.mask != "causal":
        raise ValueError(f"with mask={model.mask} no state is carried over the middle of a prompt")
    places = model.position.places(whole)[:cut]
    return model(given[:, :cut], model.empty(len(given), room), at=slice(-1, None), places=places)[1]


def _each(change: Callable[..., Tensor], layer: State, *more: State) -> State:
    """One layer's state with its numbers changed, those of the other states beside them; ``seen`` is no content."""
    parts = zip(layer, *more, strict=True)
    return layer._make(change(*part) if isinstance(part[0], Tensor) else part[0] for part in parts)
