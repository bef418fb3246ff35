"""What a sequence map is: (B, T, C) -> (B, T, C), in a fast form and in the paper's, with the price of the fast one.

Shape letters: ``B`` batch · ``T`` sequence tokens · ``C`` model width · ``H`` heads · ``D`` head width · ``K`` width
of a head's queries and keys, D unless a setting ``key_width`` says otherwise.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

State = Any  # a NamedTuple of one layer: ``seen`` (tokens so far, an int), then tensors with the batch first
Rotate = Callable[[Tensor, int], Tensor]  # (B, H, T, any), the first of them at place ``seen`` -> the same shape
Bias = Callable[[Tensor, Tensor, int], Tensor]  # (T,) and (R,), places of queries and of keys, and H -> (H, T, R)
MASKS = ("causal", "prefix", "encoder")
SLICE = 2**19  # numbers: what a slice makes fits a last-level cache, and is enough for the work around it


class Spared(NamedTuple):
    """What need not be computed where only the last outputs are asked for."""

    flops: int = 0
    pairs: int = 0


def unrotated(x: Tensor, seen: int) -> Tensor:
    """What positions do to queries and keys that they do not rotate."""
    return x


def masks_of(prefix: int, tokens: int) -> set[str]:
    """The masks under which ``tokens`` tokens are read from the start with this prefix."""
    return {"causal"} if not prefix else {"prefix", "encoder"} if prefix == tokens else {"prefix"}


def hold_prefix(prefix: int, tokens: int, state: State | None, masks: Collection[str] = MASKS) -> None:
    """Raise ValueError for a prefix that is split: it must be read at once, before anything else.

    And for one that none of the ``masks`` has: a map that is causal alone has no prefix.
    """
    if not 0 <= prefix <= tokens:
        raise ValueError(f"prefix={prefix}: a call that reads {tokens} tokens has a prefix of 0 to {tokens}")
    seen = 0 if state is None else state.seen
    if prefix and seen:
        raise ValueError(f"prefix={prefix}: {seen} tokens were seen already, a prefix is read first")
    if not seen and masks_of(prefix, tokens).isdisjoint(masks):
        raise ValueError(f"prefix={prefix} of {tokens} tokens: this map can be {' or '.join(masks)}")


def hold_size(key: str, value: int, least: int = 1, power: int = 16) -> None:
    """Raise ValueError for a setting of a variant that is not from ``least`` to 2^``power``."""
    if not least <= value <= 2**power:
        raise ValueError(f"attention.{key}={value}: {least} or more is needed, and at most 2^{power}")


def chunks(tokens: int, size: int) -> list[int]:
    """Lengths of the chunks in which so many tokens are read."""
    return [min(size, tokens - start) for start in range(0, tokens, size)]


def slices(tokens: int, chunk: int, numbers: int) -> list[int]:
    """Lengths of the slices in which so many tokens are read: whole chunks of so many numbers, then what is left."""
    left = tokens % chunk
    return chunks(tokens - left, chunk * max(SLICE // numbers, 1)) + [left] * bool(left)


class Mixer(nn.Module, ABC):
    """A map over the sequence: output t depends on inputs 0 .. t, on the first ``prefix`` inputs if t is among them.

    ``forward(x)`` trains: no state is made. ``forward(x, state)`` reads on from ``state`` and returns the next one, so
    one method is prefill and decoding too, and the *resume law* holds: reading in two parts is reading at once.
    The mask is a number: ``prefix`` first tokens see each other, 0 is causal, T is an encoder. A prefix is not split:
    ValueError unless it is read in one call, before anything else (:func:`hold_prefix`).

    To add a variant, write ``harness/attention/<name>.py`` with one subclass (most derive from :class:`Attention`) and
    ``conf/attention/<name>.yaml`` with ``name: <name>`` and its settings, which reach ``__init__`` by name.
    Costs are per sequence; a multiply-add is 2 FLOPs; ``seen=None`` means the training form without a state.
    """

    version: ClassVar[int]  # raised whenever the same weights and input give another output
    golden: ClassVar[Mapping[int, tuple[float, ...]]]  # version -> ``check.fingerprint`` of the map
    formula: ClassVar[str]  # the map in one line, for the catalogue
    source: ClassVar[str]  # the paper
    masks: ClassVar[tuple[str, ...]] = MASKS  # which it can keep; the others are refused
    order: ClassVar[int] = 2  # tokens that meet in a score: a pair, or more of them
    local: ClassVar[bool] = False  # a control: output t depends on input t alone

    @abstractmethod
    def forward(self, x: Tensor, state: State | None = None, prefix: int = 0) -> tuple[Tensor, State | None]:
        """(B, T, C) -> (B, T, C) and the state after it (None without a state). The fast form."""

    def ending(self, x: Tensor, last: int, state: State | None = None, prefix: int = 0) -> tuple[Tensor, State | None]:
        """The ``last`` outputs of :meth:`forward`, (B, last, C), and its state; see :meth:`spared`."""
        mixed, state = self(x, state, prefix)
        return mixed[:, x.shape[1] - last :], state

    @abstractmethod
    def naive(self, x: Tensor, prefix: int = 0) -> Tensor:
        """(B, T, C) -> (B, T, C): the same map as the paper's formula says it, a loop over positions."""

    @abstractmethod
    def empty(self, batch: int, room: int = 0) -> State:
        """The state before the first token. ``room`` reserves memory for that many tokens, which are written in place.

        A state with room is spent by the call that reads on from it; without room it may be read on from many times.
        """

    @abstractmethod
    def state_size(self, length: int) -> int:
        """Numbers that the state of one sequence holds after ``length`` tokens."""

    @abstractmethod
    def flops(self, tokens: int, seen: int | None = None, prefix: int = 0) -> int:
        """Floating point operations of the products that ``forward`` executes for ``tokens`` more tokens."""

    @abstractmethod
    def scored_pairs(self, tokens: int, seen: int | None = None, prefix: int = 0) -> int:
        """Pairs (query, key) that are scored and that the mask allows, over all heads; of ``order`` 3, triples."""

    @abstractmethod
    def serial_steps(self, tokens: int, prefix: int = 0) -> int:
        """Longest chain of dependent steps over the sequence in one call of ``forward``."""

    def spared(self, tokens: int, last: int, seen: int | None = None, prefix: int = 0) -> Spared:
        """What ``ending`` does not compute of ``forward``; its backward pass spares twice the FLOPs."""
        return Spared()

    def training_flops(self, tokens: int, prefix: int = 0) -> int:
        """FLOPs of ``forward`` and of its backward pass, which has two products for each: one an input, one a weight.

        What is multiplied by numbers that are not learned has one.
        """
        return 3 * self.flops(tokens, None, prefix)

    def mixing(self, x: Tensor, prefix: int = 0) -> Tensor | None:
        """(B, T, C) -> (B, H, T, T): what output t of a head makes of the value of token j, the map as a matrix.

        None for a map that is not linear in any values.
        """
        return None


class Unscored(Mixer):
    """A mixer without products of tokens: ``project_in``, work element by element, ``project_out``."""

    project_in: nn.Linear
    project_out: nn.Linear

    def flops(self, tokens: int, seen: int | None = None, prefix: int = 0) -> int:
        """The projections: what is between them has no products."""
        return 2 * tokens * (self.project_in.weight.numel() + self.project_out.weight.numel())

    def scored_pairs(self, tokens: int, seen: int | None = None, prefix: int = 0) -> int:
        """Nothing is scored."""
        return 0

    def serial_steps(self, tokens: int, prefix: int = 0) -> int:
        """All positions at once."""
        return 1


class Attention(Mixer):
    """A mixer with heads: projects to queries and keys (B, H, T, K) and values (B, H, T, D), mixes, projects back.

    A subclass gives ``mix`` and ``naive_mix`` on heads, the state, and the price of ``mix`` for all heads together.
    Both are linear in the values, whatever their width. ``self.rotate`` is what the positions do to queries and keys;
    ``mix`` applies it where its formula says so, after a feature map, so that scores depend on the distance (Su et al.
    2021, RoFormer). ``self.bias``, where ``biased``, is what they add to scores.
    One whose tokens say more than three things (how much to forget, say) overrides :meth:`project` and
    ``mix_flops``, and takes what is more behind the values: ``mix(q, k, v, more, state, prefix)``.
    """

    biased: ClassVar[bool] = False  # whether there are scores that a bias can be added to; then it takes ``bias``

    def __init__(
        self, width: int, heads: int, rotate: Rotate = unrotated, bias: Bias | None = None, key_width: int | None = None
    ):
        super().__init__()
        self.heads, self.head_width, self.rotate, self.bias = heads, width // heads, rotate, bias
        self.key_width = self.head_width if key_width is None else key_width
        hold_size("key_width", self.key_width)
        self.project_in = nn.Linear(width, heads * (2 * self.key_width + self.head_width))
        self.project_out = nn.Linear(width, width)

    @abstractmethod
    def mix(self, q: Tensor, k: Tensor, v: Tensor, state: State | None, prefix: int) -> tuple[Tensor, State | None]:
        """Twice (B, H, T, K) and (B, H, T, D) -> (B, H, T, D) and the next state; the prefix is legal."""

    @abstractmethod
    def naive_mix(self, q: Tensor, k: Tensor, v: Tensor, prefix: int) -> Tensor:
        """The formula, a loop over positions."""

    @abstractmethod
    def mix_flops(self, tokens: int, seen: int | None, prefix: int) -> int:
        """FLOPs of all but ``project_in`` and ``project_out``."""

    def forward(self, x: Tensor, state: State | None = None, prefix: int = 0) -> tuple[Tensor, State | None]:
        """See :class:`Mixer`."""
        hold_prefix(prefix, x.shape[1], state, self.masks)
        mixed, state = self.mix(*self.project(x), state, prefix)
        return self._merge(mixed), state

    def ending(self, x: Tensor, last: int, state: State | None = None, prefix: int = 0) -> tuple[Tensor, State | None]:
        """See :class:`Mixer`."""
        hold_prefix(prefix, x.shape[1], state, self.masks)
        mixed, state = self.mix(*self.project(x), state, prefix)
        return self._merge(mixed[:, :, x.shape[1] - last :]), state

    def spared(self, tokens: int, last: int, seen: int | None = None, prefix: int = 0) -> Spared:
        """The way back from heads."""
        return Spared(2 * (tokens - last) * self.project_out.weight.numel())

    def naive(self, x: Tensor, prefix: int = 0) -> Tensor:
        """See :class:`Mixer`."""
        return self._merge(self.naive_mix(*self.project(x), prefix))

    def mixing(self, x: Tensor, prefix: int = 0) -> Tensor | None:
        """See :class:`Mixer`: what is mixed of unit vectors."""
        hold_prefix(prefix, x.shape[1], None, self.masks)
        q, k, _, *more = self.project(x)
        units = torch.eye(x.shape[1], dtype=x.dtype, device=x.device).expand(*q.shape[:2], -1, -1)
        return self.mix(q, k, units, *more, None, prefix)[0]

    def flops(self, tokens: int, seen: int | None = None, prefix: int = 0) -> int:
        """Projections and ``mix``."""
        weights = self.project_in.weight.numel() + self.project_out.weight.numel()
        return 2 * tokens * weights + self.mix_flops(tokens, seen, prefix)

    def reached(self, mask: Tensor, queries: Tensor, keys: Tensor, like: Tensor) -> Tensor:
        """(T, R), true where a key is in reach -> what scores (B, H, T, R) take as their mask: the bias inside it."""
        mask = mask.to(like.device)
        if self.bias is None:
            return mask
        return self.bias(queries, keys, self.heads).to(like).masked_fill(~mask, -torch.inf)

    def scores(self, q: Tensor, k: Tensor, t: int, keys: Sequence[int]) -> Tensor:
        """(B, H, keys): what query t makes of these keys, for formulas; the bias, if there is one, is added."""
        scores = (q[:, :, t, None] * k[:, :, keys]).sum(-1) / self.head_width**0.5
        if self.bias is None:
            return scores
        return scores + self.bias(torch.tensor([t]), torch.tensor(keys), self.heads).to(q)[:, 0]

    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, T, C) -> what ``mix`` takes before the state: queries, keys, values, a token in each row."""
        sizes = [self.heads * width for width in (self.key_width, self.key_width, self.head_width)]
        return tuple(self._split(part) for part in self.project_in(x).split(sizes, -1))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, T, H · any) -> (B, H, T, any)

    def _merge(self, mixed: Tensor) -> Tensor:
        return self.project_out(mixed.transpose(1, 2).flatten(2))  # (B, H, T, D) -> (B, T, C)


class Bidirectional(Attention):
    """Attention that cannot be causal: each output needs all tokens, so nothing is carried from one to the next."""

    masks = ("encoder",)

    def empty(self, batch: int, room: int = 0) -> State:
        """Raises ValueError: there is no state."""
        raise ValueError("a map that cannot be causal has no state")

    def state_size(self, length: int) -> int:
        """Nothing is carried."""
        return 0

    def serial_steps(self, tokens: int, prefix: int = 0) -> int:
        """All positions at once."""
        return 1
