"""What an answer costs, exactly: FLOPs, scored pairs, state and serial steps, by formula from the calls that are made.

A FLOP count is the matrix products that the plain form executes (a multiply-add is 2); a test holds it equal to torch's
own counter. Element-wise work is not counted. Everything is for one sequence.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from harness.attention.base import Spared
from harness.model.gpt import GPT, last_of
from harness.sequence import Batch


class Pass(NamedTuple):
    """One forward pass."""

    tokens: int  # that it reads
    seen: int | None  # tokens in the state that it reads on from; None: there is no state
    prefix: int  # of its tokens see each other
    last: int  # of its tokens are asked for an output, and those before them not: the last block leaves them out

    @property
    def read(self) -> tuple[int, int | None, int]:
        """What a mixer's price depends on."""
        return self[:3]


@dataclass(frozen=True)
class Cost:
    """The price of reading one problem and writing its answer."""

    prompt_flops: float  # the first pass: all that is given
    decode_flops: int  # every later pass
    scored_pairs: float  # (query, key), over heads and layers
    state_bytes: int  # what is carried from token to token, at its largest; nothing where every pass starts anew
    serial_steps: int  # longest chain of dependent token computations, prompt and decoding


def forward_flops(model: GPT, made: Pass, logits: int) -> int:
    """FLOPs of one forward pass with logits at so many positions."""
    mixing = sum(block.mixer.flops(*made.read) for block in model.blocks)
    return model.loops * mixing - _spared(model, made).flops + _beside_mixing(model, made.tokens, logits)


def _spared(model: GPT, made: Pass) -> Spared:
    """What the last block leaves out."""
    return model.blocks[-1].mixer.spared(made.tokens, made.last, made.seen, made.prefix)


def _beside_mixing(model: GPT, tokens: int, logits: int, each: bool = False) -> int:
    """FLOPs of the MLPs and of the readout; the last block thinks only where logits are wanted.

    A model that halts asks after each loop whether a position stops there, and reads out once; while it is trained,
    ``each`` loop is read out.
    """
    vocab, width = model.tokens.weight.shape
    thinking = ((model.depth - 1) * tokens + logits) * 2 * 2 * width * 4 * width
    asking = 0 if model.halting is None else model.loops * 2 * logits * width
    return thinking + asking + (model.loops if each and asking else 1) * 2 * logits * width * vocab


def passes(mask: str, given: int, count: int, forced: Collection[int]) -> list[Pass]:
    """Each forward pass that ``GPT.generate`` makes."""
    made, seen = [], 0
    for offset in range(count):
        if offset in forced:
            continue
        until = given + offset
        if mask == "encoder":
            made.append(Pass(until, None, until, 1))
        else:
            made.append(Pass(until - seen, seen, given if mask == "prefix" and not seen else 0, 1))
        seen = until
    return made


def scattered(model: GPT, batch: Batch) -> bool:
    """Whether problems of one length differ in price: each answer has a pass of its own, at a place of its own."""
    return model.mask == "encoder" and batch.inside


def answering(model: GPT, batch: Batch, written: int | None = None, own: bool = False) -> Cost:
    """What one problem of this batch costs when the model is evaluated on it, the mean where problems differ.

    ``written`` scratch tokens stand before ANSWER (None: as many as were trained), which the model wrote itself if
    ``own``.
    """
    mixers, answer = [block.mixer for block in model.blocks] * model.loops, batch.answer.shape[1]
    if not batch.inside:
        made = passes(model.mask, batch.given, batch.count(written), () if own else batch.forced(written))
        flops = [forward_flops(model, one, 1) for one in made]
        read, rows = batch.given + batch.count(written) - 1, 1
    elif scattered(model, batch):
        made = [Pass(last + 1, None, last + 1, 1) for last in batch.said.flatten().tolist()]
        flops = [sum(forward_flops(model, one, 1) for one in made)]
        read, rows = batch.given, len(batch.said)
    else:
        made = [Pass(batch.given, None, batch.given if model.mask == "prefix" else 0, batch.given)]
        flops, read, rows = [forward_flops(model, made[0], answer)], batch.given, 1
    serial = [max(mixer.serial_steps(one.tokens, one.prefix) for mixer in mixers) for one in made]
    pairs = sum(sum(mixer.scored_pairs(*one.read) for mixer in mixers) - _spared(model, one).pairs for one in made)
    numbers = 0 if model.mask == "encoder" else sum(mixer.state_size(read) for mixer in mixers)
    return Cost(
        prompt_flops=_mean(flops[0], rows),
        decode_flops=sum(flops[1:]),
        scored_pairs=_mean(pairs, rows),
        state_bytes=numbers * model.tokens.weight.element_size(),
        serial_steps=max(serial) if batch.inside else sum(serial),
    )


def training_flops(model: GPT, batch: Batch) -> int:
    """One update: forward and backward over the whole batch, three times the forward where all weights are learned."""
    size, labels = batch.labels.shape
    passes, logits = _training_passes(model, batch), 1
    if model.mask != "encoder":
        passes, logits = Counter({one: size for one in passes}), labels
    mixers = [block.mixer for block in model.blocks] * model.loops
    total = 0
    for one, count in passes.items():
        mixing = sum(mixer.training_flops(one.tokens, one.prefix) for mixer in mixers)
        beside = _beside_mixing(model, one.tokens, logits, each=True) - _spared(model, one).flops
        total += count * (mixing + 3 * beside)
    return total


def training_serial_steps(model: GPT, batch: Batch) -> int:
    """Longest chain of dependent steps over the positions in one training pass; passes do not wait for one another."""
    mixers = [block.mixer for block in model.blocks]
    return max(mixer.serial_steps(o.tokens, o.prefix) for mixer in mixers for o in _training_passes(model, batch))


def _training_passes(model: GPT, batch: Batch) -> Counter[Pass]:
    """One for all sequences at once; with mask=encoder one for each sequence and position, and how many are equal."""
    size, tokens = batch.read.shape
    if model.mask != "encoder":
        last, _ = last_of(batch.supervised, tokens)
        return Counter([Pass(tokens, None, batch.given if model.mask == "prefix" else 0, last)])
    at = batch.supervised
    ends = Counter(dict.fromkeys(range(tokens)[at], size) if isinstance(at, slice) else at.flatten().tolist())
    return Counter({Pass(end + 1, None, end + 1, 1): count for end, count in ends.items()})


def _mean(total: int, rows: int) -> float:
    return total if rows == 1 else total / rows
