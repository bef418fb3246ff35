"""What an answer costs, exactly: FLOPs, scored pairs, state and serial steps, by formula from the calls that are made.

A FLOP count is the matrix products that the plain form executes (a multiply-add is 2); a test holds it equal to torch's
own counter. Element-wise work is not counted. Everything is for one sequence.
"""

from collections.abc import Collection
from dataclasses import dataclass

from harness.model.gpt import GPT
from harness.sequence import Batch


@dataclass(frozen=True)
class Cost:
    """The price of reading one problem and writing its answer."""

    prompt_flops: int  # the first pass: all that is given
    decode_flops: int  # every later pass
    scored_pairs: int  # (query, key), over heads and layers
    state_bytes: int  # what is carried from token to token, at its largest
    serial_steps: int  # longest chain of dependent token computations, prompt and decoding


def forward_flops(model: GPT, tokens: int, logits: int, seen: int | None = None) -> int:
    """FLOPs of one forward pass over ``tokens`` tokens after ``seen`` others, with logits at ``logits`` positions.

    The last block thinks only where logits are wanted.
    """
    vocab, width = model.tokens.weight.shape
    mixing = sum(block.mixer.flops(tokens, seen) for block in model.blocks)
    thinking = ((len(model.blocks) - 1) * tokens + logits) * 2 * 2 * width * 4 * width
    return mixing + thinking + 2 * logits * width * vocab


def passes(given: int, count: int, forced: Collection[int]) -> list[tuple[int, int]]:
    """(tokens read, tokens seen before) of each forward pass that ``GPT.generate`` makes."""
    made, seen = [], 0
    for offset in range(count):
        if offset not in forced:
            made.append((given + offset - seen, seen))
            seen = given + offset
    return made


def answering(model: GPT, batch: Batch) -> Cost:
    """What one problem of this batch costs when the model is evaluated on it."""
    made = passes(batch.given, batch.count, batch.forced)
    prompt, *decoded = [forward_flops(model, tokens, 1, seen) for tokens, seen in made]
    mixers = [block.mixer for block in model.blocks]
    tokens, seen = made[-1]
    numbers = sum(mixer.state_size(tokens + seen) for mixer in mixers)
    return Cost(
        prompt_flops=prompt,
        decode_flops=sum(decoded),
        scored_pairs=sum(mixer.scored_pairs(*call) for mixer in mixers for call in made),
        state_bytes=numbers * model.tokens.weight.element_size(),
        serial_steps=sum(max(mixer.serial_steps(tokens) for mixer in mixers) for tokens, _ in made),
    )


def training_flops(model: GPT, batch: Batch) -> int:
    """One update: forward and backward over the whole batch, three times the forward."""
    size, tokens = batch.tokens.shape
    supervised = tokens - batch.given
    return 3 * size * forward_flops(model, tokens - 1, supervised)


def training_serial_steps(model: GPT, tokens: int) -> int:
    """Longest chain of dependent steps over the positions in one training pass over ``tokens`` tokens."""
    return max(block.mixer.serial_steps(tokens) for block in model.blocks)
