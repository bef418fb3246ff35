"""The state squeeze: what a model carries over the cut before ANSWER, in b bits for each of its numbers.

What a model says after a problem is a function of its state there, and a state of s numbers in b bits each has 2^(s·b)
values: one pass with fewer values than the problem has residual classes cannot be right on all prompts (pigeonhole).
The nominal float32 state is far above such a bound; squeezed, the two meet on one axis.

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

from harness import signals
from harness.attention.base import State
from harness.model.gpt import GPT
from harness.sequence import Batch

ITEMS = 250  # validation items that the ranges are taken from
WHOLE = 32  # bits that a number has


@dataclass(frozen=True)
class Code:
    """``bits`` for each number of a state, and its range: two states of one item, the lows and the highs."""

    bits: int
    low: list[State]
    high: list[State]

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
    return sum(block.mixer.state_size(tokens) for block in model.blocks)


@torch.no_grad()
def carried(model: GPT, batch: Batch, scratch: Tensor) -> list[State]:
    """The states after what is given and this scratchpad (B, K·W): all that is known where ANSWER will be read.

    Raises ValueError where nothing is carried there.
    """
    if model.mask == "encoder" or batch.inside:
        why = "answers are said inside the prompt" if batch.inside else "with mask=encoder every token starts anew"
        raise ValueError(f"there is no state before ANSWER to squeeze: {why}")
    read = torch.cat([batch.prompt, scratch], 1)
    prefix = batch.given if model.mask == "prefix" else 0
    places = _places(model, batch, scratch.shape[1])[: read.shape[1]]
    _, states = model(read, model.empty(len(read)), prefix, at=slice(-1, None), places=places)
    return states


@torch.no_grad()
def say(model: GPT, batch: Batch, states: list[State]) -> Tensor:
    """(B, A): what is answered from these states once ANSWER is read, the likeliest token each time."""
    seen, said = states[0].seen, []
    places = _places(model, batch, seen - batch.given)
    token = batch.prompt.new_full((len(batch.prompt), 1), batch.mark)
    for place in places[seen:-1].split(1):
        signals.check()
        logits, states = model(token, states, at=slice(-1, None), places=place)
        token = logits.argmax(-1)
        said.append(token)
    return torch.cat(said, 1)


def _places(model: GPT, batch: Batch, scratch: int) -> Tensor:
    """Where the tokens of the whole sequence stand, as they do when it is written in one go."""
    return model.position.places(batch.given + batch.count(scratch))


def _each(change: Callable[..., Tensor], layer: State, *more: State) -> State:
    """One layer's state with its numbers changed, those of the other states beside them; ``seen`` is no content."""
    parts = zip(layer, *more, strict=True)
    return layer._make(change(*part) if isinstance(part[0], Tensor) else part[0] for part in parts)
