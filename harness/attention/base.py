"""What a sequence map is: (B, T, C) -> (B, T, C), in a fast form and in the paper's, with the price of the fast one.

Shape letters: ``B`` batch · ``T`` sequence tokens · ``C`` model width · ``H`` heads · ``D`` head width.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

State = Any  # a NamedTuple of one layer: ``seen`` (tokens so far, an int), then tensors with the batch first
Rotate = Callable[[Tensor, int], Tensor]  # (B, H, T, D), the first of them at place ``seen`` -> the same shape
MASKS = ("causal", "prefix", "encoder")


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

    @abstractmethod
    def forward(self, x: Tensor, state: State | None = None, prefix: int = 0) -> tuple[Tensor, State | None]:
        """(B, T, C) -> (B, T, C) and the state after it (None without a state). The fast form."""

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
        """Pairs (query, key) that are scored and that the mask allows, over all heads."""

    @abstractmethod
    def serial_steps(self, tokens: int, prefix: int = 0) -> int:
        """Longest chain of dependent steps over the sequence in one call of ``forward``."""


class Attention(Mixer):
    """A mixer with heads: projects to queries, keys and values (B, H, T, D), mixes them, projects back.

    A subclass gives ``mix`` and ``naive_mix`` on heads, the state, and the price of ``mix`` for all heads together.
    ``self.rotate`` is what the positions do to queries and keys; ``mix`` applies it where its formula says so, so that
    scores depend on the distance (Su et al. 2021, RoFormer).
    """

    def __init__(self, width: int, heads: int, rotate: Rotate = unrotated):
        super().__init__()
        self.heads, self.head_width, self.rotate = heads, width // heads, rotate
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)

    @abstractmethod
    def mix(self, q: Tensor, k: Tensor, v: Tensor, state: State | None, prefix: int) -> tuple[Tensor, State | None]:
        """Three times (B, H, T, D) -> (B, H, T, D) and the next state; the prefix is legal."""

    @abstractmethod
    def naive_mix(self, q: Tensor, k: Tensor, v: Tensor, prefix: int) -> Tensor:
        """The formula, a loop over positions."""

    @abstractmethod
    def mix_flops(self, tokens: int, seen: int | None, prefix: int) -> int:
        """FLOPs of ``mix``."""

    def forward(self, x: Tensor, state: State | None = None, prefix: int = 0) -> tuple[Tensor, State | None]:
        """See :class:`Mixer`."""
        hold_prefix(prefix, x.shape[1], state, self.masks)
        mixed, state = self.mix(*self._heads(x), state, prefix)
        return self._merge(mixed), state

    def naive(self, x: Tensor, prefix: int = 0) -> Tensor:
        """See :class:`Mixer`."""
        return self._merge(self.naive_mix(*self._heads(x), prefix))

    def flops(self, tokens: int, seen: int | None = None, prefix: int = 0) -> int:
        """Projections and ``mix``."""
        width = self.heads * self.head_width
        return 2 * tokens * width * 4 * width + self.mix_flops(tokens, seen, prefix)

    def _heads(self, x: Tensor) -> tuple[Tensor, ...]:
        # (B, T, 3C) -> three times (B, H, T, D)
        return self.project_in(x).unflatten(-1, (3, self.heads, self.head_width)).permute(2, 0, 3, 1, 4).unbind(0)

    def _merge(self, mixed: Tensor) -> Tensor:
        return self.project_out(mixed.transpose(1, 2).flatten(2))  # (B, H, T, D) -> (B, T, C)
