"""What is timed: each function makes, in the process that is to be timed, the call that is.

Architectures are the same for all: GPT-2's block with ``LAYERS`` layers and ``HEADS`` heads, learned positions, the
token table again as the readout, no dropout, float32. Shape letters: ``B`` batch · ``T`` tokens · ``C`` width.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from harness import attention, config, train
from harness.attention import Mixer
from harness.model import GPT
from harness.model.positions import named
from harness.seeding import rng
from harness.sequence import IGNORE, Batch

LAYERS, HEADS, VOCABULARY = 2, 4, 128
RATE = 1e-3  # of learning; the harness's own cosine would change it by nothing that costs time
Settings = tuple[tuple[str, object], ...]


class Plain(GPT):
    """Ours, computing everything at all positions before it takes those that are asked for."""

    def read(self, tokens, given, at, rng=None):
        """See :class:`GPT`."""
        return super().read(tokens, given, slice(None), rng)[:, at]


def gpt(width: int, context: int, kind: str = "softmax", settings: Settings = (), plain: bool = False) -> GPT:
    """Ours; ``context`` learned positions, none at all if 0."""
    learned = {"std": 0.01, "train": True} if context else {}
    position = named("learned" if context else "none")(context, width, width // HEADS, **learned)
    mixers = [attention.configured(kind, settings)(width, HEADS) for _ in range(LAYERS)]
    return (Plain if plain else GPT)(VOCABULARY, width, mixers, position)


def tokens(size: int, count: int) -> Tensor:
    """(B, T): random tokens, the same for everybody. Token 0 is left out, some peers stop at it."""
    return torch.randint(1, VOCABULARY, (size, count), generator=torch.Generator().manual_seed(0), device="cpu")


def batch(size: int, count: int, last: bool) -> Batch:
    """(B, T+1) random tokens, of which T are read: each says the next, or the ``last`` alone does."""
    drawn = tokens(size, count + 1)
    return Batch(
        tokens=drawn,
        targets=F.pad(drawn[:, 1:], (0, 1), value=IGNORE),
        supervised=slice(count - 1 if last else 0, count),
        given=count,
        scratch=0,
        step=1,
        answer=drawn[:, -1:],
        said=slice(count - 1, count),
        so_far=torch.full((size, count), IGNORE),
    )


def ours(width: int, size: int, count: int, last: bool, plain: bool = False) -> Callable[[], object]:
    """One update as a run makes it: ``train.fit`` with our optimizer, on one batch that is drawn before."""
    line = ["task=parity", f"train.learning_rate={RATE}", "train.warmup=0", "train.updates=1000000000"]
    settings = config.points(line)[0].train
    model, drawn = gpt(width, count, plain=plain), batch(size, count, last)
    updates = train.fit(model, train.optimizer(model, settings), lambda n: (count, drawn, rng(0, "", n)), settings)
    return lambda: next(updates)


def hugging_face(width: int, size: int, count: int, last: bool) -> Callable[[], object]:
    """One update of Hugging Face's GPT-2, in the bare loop that its documentation shows."""
    model, given = _gpt2(width, count), tokens(size, count)
    labels = given.clone()
    labels[:, : count - 1 if last else 0] = IGNORE
    return _loop(model, lambda: model(input_ids=given, labels=labels).loss)


def x_transformers(width: int, size: int, count: int) -> Callable[[], object]:
    """One update of x-transformers' decoder, with its fused attention, which is the faster of its two here."""
    from x_transformers import AutoregressiveWrapper, Decoder, TransformerWrapper

    layers = Decoder(dim=width, depth=LAYERS, heads=HEADS, attn_dim_head=width // HEADS, attn_flash=True)
    sizes = {"num_tokens": VOCABULARY, "max_seq_len": count + 1, "tie_embedding": True}
    model = AutoregressiveWrapper(TransformerWrapper(attn_layers=layers, **sizes))
    drawn = tokens(size, count + 1)
    return _loop(model, lambda: model(drawn))


def _gpt2(width: int, context: int):
    from transformers import GPT2Config, GPT2LMHeadModel
    from transformers.utils import logging

    logging.set_verbosity_error()
    sizes = {"n_embd": width, "n_layer": LAYERS, "n_head": HEADS, "n_positions": context, "vocab_size": VOCABULARY}
    none = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    return GPT2LMHeadModel(GPT2Config(**sizes, **none, bos_token_id=0, eos_token_id=0))


def _loop(model: torch.nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """A bare training loop with torch's AdamW, an update for each call."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)

    def update() -> None:
        loss().backward()
        optimizer.step()
        optimizer.zero_grad()

    return update


def ours_decoding(width: int, size: int, prompt: int, count: int) -> Callable[[], object]:
    """``count`` new tokens after a prompt, the likeliest each time."""
    model, given = gpt(width, prompt + count).eval(), tokens(size, prompt)
    return lambda: model.generate(given, count)


def hugging_face_decoding(width: int, size: int, prompt: int, count: int) -> Callable[[], object]:
    """The same by ``generate``, with its cache."""
    model, given = _gpt2(width, prompt + count).eval(), tokens(size, prompt)
    exactly = {"max_new_tokens": count, "min_new_tokens": count, "pad_token_id": 0}
    seen = torch.ones_like(given)

    @torch.no_grad()
    def write() -> Tensor:
        return model.generate(given, attention_mask=seen, do_sample=False, use_cache=True, **exactly)

    return write


def mixer(kind: str, settings: Settings, width: int) -> Mixer:
    """One layer's mixer."""
    return attention.configured(kind, settings)(width, HEADS)


def stepping(kind: str, settings: Settings, width: int, size: int) -> Callable[[int], object]:
    """One more token through a mixer whose state has seen n: the same one, whenever it is called."""
    one = mixer(kind, settings, width)

    @cache
    @torch.no_grad()
    def after(seen: int):
        return one(torch.randn(size, seen, width), one.empty(size, seen + 1))[1]

    token = torch.randn(size, 1, width)

    @torch.no_grad()
    def step(seen: int) -> object:
        return one(token, after(seen))

    return step


def mixing(kind: str, settings: Settings, width: int) -> Callable[[int], object]:
    """A mixer alone, forward and backward over n tokens of one sequence: gradients of the input and all weights."""
    one = mixer(kind, settings, width)

    @cache
    def given(count: int) -> Tensor:
        return torch.randn(1, count, width).requires_grad_()

    def both(count: int) -> object:
        x = given(count)
        return torch.autograd.grad(one(x)[0], [x, *one.parameters()], x.detach(), materialize_grads=True)

    return both


def model_mixing(kind: str, settings: Settings, width: int) -> Callable[[int], object]:
    """A whole model without positions, forward and backward over n tokens of one sequence, all supervised."""
    model = gpt(width, 0, kind, settings)
    drawn = cache(lambda count: batch(1, count, last=False))

    def both(count: int) -> None:
        of = drawn(count)
        logits = model.read(of.read, of.given, of.supervised)
        model.zero_grad()
        F.cross_entropy(logits.flatten(0, 1), of.labels.flatten()).backward()

    return both


def matrix() -> Callable[[int], object]:
    """A product of two n x n matrices into a third: what the machine can do with products."""

    @cache
    def given(size: int) -> tuple[Tensor, Tensor, Tensor]:
        return torch.randn(size, size), torch.randn(size, size), torch.empty(size, size)

    def product(size: int) -> Tensor:
        one, other, out = given(size)
        return torch.mm(one, other, out=out)

    return product


def copy() -> Callable[[int], object]:
    """A copy of n numbers, far more than the last cache holds: what the machine can do with memory."""

    @cache
    def given(count: int) -> tuple[Tensor, Tensor]:
        return torch.randn(count), torch.empty(count)

    def copied(count: int) -> Tensor:
        source, target = given(count)
        return target.copy_(source)

    return copied
