"""Where a token stands: a vector added to its embedding, or a rotation of queries and keys, or nothing.

To add one, write one more subclass of :class:`Position` here and ``conf/position/<name>.yaml`` with ``name: <name>``
and its settings, which reach ``__init__`` by name.
"""

from abc import ABC
from typing import ClassVar

import torch
from torch import Tensor, nn

from harness.attention.base import unrotated


class Position(nn.Module, ABC):
    """``forward(seen, tokens)`` is (T, C), what is added to the next ``tokens`` embeddings after ``seen`` of them.

    It may come in any dtype and from the CPU.
    ``rotate(x, seen)`` is what happens to queries and keys (B, H, T, D) of these tokens; ``unrotated`` if nothing does.
    """

    name: ClassVar[str]
    context: int | None = None  # positions there are; None: no end
    rotate = staticmethod(unrotated)

    def __init__(self, context: int, width: int, head_width: int):
        super().__init__()
        self.width = width

    def initialise(self) -> None:
        """Draw what is learned, from torch's global generator."""

    def forward(self, seen: int, tokens: int) -> Tensor:
        """Raises ValueError beyond ``context``."""
        return torch.zeros(tokens, self.width)


class Nowhere(Position):
    """No positions: order reaches a causal model through its mask alone (Kazemnejad et al. 2023, NoPE)."""

    name = "none"


class Learned(Position):
    """A row for each of ``context`` positions (GPT-2: drawn with standard deviation 0.01); frozen if not ``train``."""

    name = "learned"

    def __init__(self, context: int, width: int, head_width: int, std: float, train: bool):
        super().__init__(context, width, head_width)
        if not 0 <= std < float("inf"):
            raise ValueError(f"position.std={std}: 0 or more is needed")
        self.context, self.std = context, std
        self.table = nn.Embedding(context, width)
        self.table.weight.requires_grad_(train)

    def initialise(self):
        """See :class:`Position`."""
        nn.init.normal_(self.table.weight, std=self.std)

    def forward(self, seen, tokens):
        """See :class:`Position`."""
        if seen + tokens > self.context:
            raise ValueError(f"model.context={self.context}: a sequence of {seen + tokens} tokens does not fit")
        return self.table.weight[seen : seen + tokens]


class Sinusoidal(Position):
    """scale · (sin, cos) of place / base^(2i/C), C / 2 frequencies (Vaswani et al. 2017, section 3.5)."""

    name = "sinusoidal"

    def __init__(self, context: int, width: int, head_width: int, base: float, scale: float):
        super().__init__(context, width, head_width)
        if width % 2:
            raise ValueError(f"position=sinusoidal: model.width={width} is odd, sines come with cosines")
        if not 0 < scale < float("inf"):
            raise ValueError(f"position.scale={scale}: a finite number above 0 is needed")
        self.scale, self.frequencies = scale, _frequencies(width, base)

    def forward(self, seen, tokens):
        """See :class:`Position`."""
        angles = _angles(self.frequencies, seen, tokens)
        return self.scale * torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


class Rotary(Position):
    """Pairs of coordinates of queries and keys turn by place / base^(2i/D) (Su et al. 2021): scores know distances."""

    name = "rotary"

    def __init__(self, context: int, width: int, head_width: int, base: float):
        super().__init__(context, width, head_width)
        if head_width % 2:
            raise ValueError(f"position=rotary: heads of width {head_width} are odd, coordinates turn in pairs")
        self.frequencies = _frequencies(head_width, base)

    def rotate(self, x: Tensor, seen: int) -> Tensor:
        """(B, H, T, D) -> the same shape; coordinates 2i and 2i+1 are a pair."""
        angles = _angles(self.frequencies, seen, x.shape[2])  # (T, D/2)
        sin, cos = (part.to(x) for part in (angles.sin(), angles.cos()))
        even, odd = x[..., ::2], x[..., 1::2]
        return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)


def named(name: str) -> type[Position]:
    """The class of this name."""
    return next(kind for kind in Position.__subclasses__() if kind.name == name)


def _frequencies(width: int, base: float) -> Tensor:
    """(width/2,) in float64, on the CPU."""
    if not 1 <= base < float("inf"):
        raise ValueError(f"position.base={base}: a finite number from 1 on is needed")
    return base ** (-torch.arange(0, width, 2, dtype=torch.float64, device="cpu") / width)


def _angles(frequencies: Tensor, seen: int, tokens: int) -> Tensor:
    """(T, width/2) in float64: at place 100,000 float32 would be off by a hundredth."""
    return torch.arange(seen, seen + tokens, dtype=torch.float64, device="cpu")[:, None] * frequencies
