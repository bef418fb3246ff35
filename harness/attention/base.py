"""What a sequence map is: (B, T, C) -> (B, T, C), in a fast form and in the paper's, with the price of the fast one.

Shape letters: ``B`` batch · ``T`` sequence tokens · ``C`` model width · ``H`` heads · ``D`` head width.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

State = Any  # a NamedTuple of one layer: ``seen`` (tokens so far, an int), then tensors with the batch first


class Mixer(nn.Module, ABC):
    """A causal map over the sequence: output t depends on inputs 0 .. t only.

    ``forward(x)`` trains: no state is made. ``forward(x, state)`` reads on from ``state`` and returns the next one, so
    one method is prefill and decoding too, and the *resume law* holds: reading in two parts is reading at once.

    To add a variant, write ``harness/attention/<name>.py`` with one subclass (most derive from :class:`Attention`) and
    ``conf/attention/<name>.yaml`` with ``name: <name>`` and its settings, which reach ``__init__`` by name.
    Costs are per sequence; a multiply-add is 2 FLOPs; ``seen=None`` means the training form without a state.
    """

    version: ClassVar[int]  # raised whenever the same weights and input give another output
    golden: ClassVar[Mapping[int, tuple[float, ...]]]  # version -> ``check.fingerprint`` of the map
    formula: ClassVar[str]  # the map in one line, for the catalogue
    source: ClassVar[str]  # the paper

    @abstractmethod
    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
        """(B, T, C) -> (B, T, C) and the state after it (None without a state). The fast form."""

    @abstractmethod
    def naive(self, x: Tensor) -> Tensor:
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
    def flops(self, tokens: int, seen: int | None = None) -> int:
        """Floating point operations of the products that ``forward`` executes for ``tokens`` more tokens."""

    @abstractmethod
    def scored_pairs(self, tokens: int, seen: int | None = None) -> int:
        """Pairs (query, key) that are scored and that the mask allows, over all heads."""

    @abstractmethod
    def serial_steps(self, tokens: int) -> int:
        """Longest chain of dependent steps over the sequence in one call of ``forward``."""


class Attention(Mixer):
    """A mixer with heads: projects to queries, keys and values (B, H, T, D), mixes them, projects back.

    A subclass gives ``mix`` and ``naive_mix`` on heads, the state, and the price of ``mix`` for all heads together.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.head_width = heads, width // heads
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)

    @abstractmethod
    def mix(self, q: Tensor, k: Tensor, v: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        """Three times (B, H, T, D) -> (B, H, T, D) and the next state."""

    @abstractmethod
    def naive_mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The formula, a loop over positions."""

    @abstractmethod
    def mix_flops(self, tokens: int, seen: int | None) -> int:
        """FLOPs of ``mix``."""

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
        """See :class:`Mixer`."""
        mixed, state = self.mix(*self._heads(x), state)
        return self._merge(mixed), state

    def naive(self, x: Tensor) -> Tensor:
        """See :class:`Mixer`."""
        return self._merge(self.naive_mix(*self._heads(x)))

    def flops(self, tokens: int, seen: int | None = None) -> int:
        """Projections and ``mix``."""
        width = self.heads * self.head_width
        return 2 * tokens * width * 4 * width + self.mix_flops(tokens, seen)

    def _heads(self, x: Tensor) -> tuple[Tensor, ...]:
        # (B, T, 3C) -> three times (B, H, T, D)
        return self.project_in(x).unflatten(-1, (3, self.heads, self.head_width)).permute(2, 0, 3, 1, 4).unbind(0)

    def _merge(self, mixed: Tensor) -> Tensor:
        return self.project_out(mixed.transpose(1, 2).flatten(2))  # (B, H, T, D) -> (B, T, C)
