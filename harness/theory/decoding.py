"""One parallel pass against cached decoding, token by token (claims C1a, C1b).

A causal model is trained on all positions at once and decoded from a state; both are one map, so their logits differ by
rounding alone. What they cost differs: the state of softmax attention is the whole past, that of linear attention a
matrix, and both train in parallel; a GRU's is a vector, and its training waits for every token.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from harness import config, cost
from harness.model import GPT, build
from harness.seeding import rng

ORDER_ONE = ["model.token_std=1", "position.std=1"]  # logits of order one, so that a difference means something
SHORT = ["train.lengths=[4]", "evaluate.lengths=[4]"]  # nothing is trained; what is read are random tokens


def rows(
    lengths: Sequence[int] = tuple(2**power for power in range(4, 13)),
    variants: Sequence[str] = ("softmax", "linear", "gru"),
    width: int = 32,
    layers: int = 2,
    seed: int = 0,
) -> Iterator[dict]:
    """A row for each variant and number of tokens, in float32 and with the weights of the start.

    ``difference`` is the largest of two logits, ``largest`` the largest logit; ``state_bytes`` and ``token_flops`` are
    those after so many tokens, ``train_serial_steps`` of one training pass over them.
    """
    for variant in variants:
        line = ["task=pairwise", f"attention={variant}", f"seed={seed}", *ORDER_ONE, *SHORT]
        line += [f"model.context={max(8, *lengths)}", f"model.width={width}", "model.heads=2", f"model.layers={layers}"]
        model = build(config.points(line)[0]).eval()
        vocab = len(model.tokens.weight)
        tokens = torch.from_numpy(rng(seed, "theory/decoding", 0).integers(vocab, size=(1, max(lengths))))
        one_by_one = decoded(model, tokens)
        mixers = [block.mixer for block in model.blocks]
        for length in lengths:
            with torch.no_grad():
                together = model(tokens[:, :length])[0]
            numbers = [sum(mixer.state_size(n) for mixer in mixers) for n in (length, 2 * length)]
            yield {
                "variant": variant,
                "length": length,
                "difference": float((together - one_by_one[:, :length]).abs().max()),
                "largest": float(together.abs().max()),
                "state_bytes": numbers[0] * together.element_size(),
                "constant_state": numbers[0] == numbers[1],
                "token_flops": cost.forward_flops(model, cost.Pass(1, length, 0, 1), 1),
                "train_serial_steps": max(mixer.serial_steps(length) for mixer in mixers),
            }


@torch.no_grad()
def decoded(model: GPT, tokens: Tensor) -> Tensor:
    """(B, T) -> logits (B, T, V): each token read by itself, the past from the state."""
    state, said = model.empty(len(tokens), tokens.shape[1]), []
    for token in tokens.split(1, 1):
        logits, state = model(token, state)
        said.append(logits)
    return torch.cat(said, 1)
