"""Where a token stands: a vector added to its embedding, a rotation of queries and keys, a bias on scores, or nothing.

To add one, write one more subclass of :class:`Position` here and ``conf/position/<name>.yaml`` with ``name: <name>``
and its settings, which reach ``__init__`` by name.
"""

from abc import ABC
from collections.abc import Iterator
from functools import cache
from typing import ClassVar

import torch
from numpy.random import Generator
from torch import Tensor, nn

from harness.attention.base import Bias, unrotated


class Position(nn.Module, ABC):
    """``places(tokens)`` says where the tokens of a sequence stand, ``forward(places)`` what is added to each there.

    A sequence's places are chosen once, for all of its tokens, and read in slices. ``rotate(x, seen)`` is what happens
    to queries and keys (B, H, T, any), and to features of them; ``unrotated`` if nothing does. ``bias``, if there is
    one, is added to scores. These two count tokens, wherever they stand.
    """

    name: ClassVar[str]
    context: int | None = None  # places there are; None: no end
    rotate = staticmethod(unrotated)
    bias: Bias | None = None

    def __init__(self, context: int, width: int, head_width: int):
        super().__init__()
        self.width = width

    def initialise(self) -> None:
        """Draw what is learned, from torch's global generator."""

    def places(self, tokens: int, rng: Generator | None = None) -> Tensor:
        """(T,) int64 on the CPU, increasing: 0 .. T-1 unless a kind says otherwise.

        Training hands over the update's generator, evaluation none: then they are a function of the number of tokens.
        """
        return torch.arange(tokens, device="cpu")

    def forward(self, places: Tensor) -> Tensor:
        """(T,) -> (T, C), in any dtype, on any device. Raises ValueError beyond ``context``."""
        return torch.zeros(len(places), self.width)


class Nowhere(Position):
    """No positions: order reaches a causal model through its mask alone (Kazemnejad et al. 2023, NoPE)."""

    name = "none"


class Learned(Position):
    """A row for each of ``context`` places (GPT-2: drawn with standard deviation 0.01); frozen if not ``train``."""

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

    def forward(self, places):
        """See :class:`Position`."""
        self.hold(int(places.max()) + 1)
        return self.table(places.to(self.table.weight.device))

    def hold(self, tokens: int) -> None:
        """Raise ValueError for more tokens than there are rows."""
        if tokens > self.context:
            raise ValueError(f"model.context={self.context}: a sequence of {tokens} tokens does not fit")


class Offset(Learned):
    """A learned table that training reads from a random row on, so that no row stands for a beginning.

    SHAPE, Kiyono et al. 2021. All starts from which the sequence fits are equally likely, with one draw for all
    sequences of an update; what is evaluated starts at 0.
    """

    name = "offset"

    def places(self, tokens, rng=None):
        """See :class:`Position`; at most ``context`` tokens."""
        self.hold(tokens)
        return super().places(tokens) + (0 if rng is None else int(rng.integers(self.context - tokens + 1)))


class Randomized(Learned):
    """A learned table of which training reads a random subset of rows, in their order (Ruoss et al. 2023).

    All subsets are equally likely, with one draw for all sequences of an update. What is evaluated stands evenly
    spread: its t-th token of T where the t-th of T drawn rows is expected, t (context + 1) / (T + 1) - 1, rounded. The
    paper draws there too; this is its mean, and the same each time.
    """

    name = "randomized"

    def places(self, tokens, rng=None):
        """See :class:`Position`; at most ``context`` tokens."""
        self.hold(tokens)
        if rng is not None:
            drawn = rng.choice(self.context, tokens, replace=False, shuffle=False)
            return torch.from_numpy(drawn).sort().values
        ranks = torch.arange(1, tokens + 1, device="cpu")  # whole numbers: half up, so no two are rounded to one row
        return (2 * ranks * (self.context + 1) + tokens + 1) // (2 * (tokens + 1)) - 1


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

    def forward(self, places):
        """See :class:`Position`."""
        angles = _angles(self.frequencies, places)
        return self.scale * torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


class Rotary(Position):
    """Pairs of coordinates of queries and keys turn by place / base^(2i/D) (Su et al. 2021): scores know distances.

    Features of queries and keys turn alike, with their own width as D.
    """

    name = "rotary"

    def __init__(self, context: int, width: int, head_width: int, base: float):
        super().__init__(context, width, head_width)
        if head_width % 2:
            raise ValueError(f"position=rotary: heads of width {head_width} are odd, coordinates turn in pairs")
        self.base = base
        _frequencies(head_width, base)  # a base that is none is refused here

    def rotate(self, x: Tensor, seen: int) -> Tensor:
        """(B, H, T, F) -> the same shape, any F: coordinates 2i and 2i+1 are a pair, the last of an odd F stays."""
        paired, places = x.shape[-1] // 2 * 2, torch.arange(seen, seen + x.shape[2], device="cpu")
        angles = _angles(_frequencies(x.shape[-1], self.base), places)  # (T, F // 2)
        sin, cos = (part.to(x) for part in (angles.sin(), angles.cos()))
        even, odd = x[..., :paired:2], x[..., 1:paired:2]
        turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)
        return turned if paired == x.shape[-1] else torch.cat([turned, x[..., paired:]], -1)


class Alibi(Position):
    """Scores lose m · |i - j|, each head with a slope m of its own (Press et al. 2022): nothing is added to embeddings.

    The paper is causal; tokens of a prefix that see those after them lose as much in that direction.
    """

    name = "alibi"

    def bias(self, queries: Tensor, keys: Tensor, heads: int) -> Tensor:
        """(T,) and (R,), tokens by their number, and H -> (H, T, R) in float64, never above 0."""
        slopes = torch.tensor(_slopes(heads), dtype=torch.float64, device=queries.device)
        return -slopes[:, None, None] * (queries[:, None] - keys).abs()


def named(name: str) -> type[Position]:
    """The class of this name."""
    return next(kind for kind in kinds() if kind.name == name)


def kinds(base: type[Position] = Position) -> Iterator[type[Position]]:
    """All kinds that there are."""
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


def _slopes(heads: int) -> list[float]:
    """m_h = 2^(-8h/H), h = 1 .. H, if H is a power of 2.

    Else those of the power P below H, then every other one of those of 2P: the paper's own rule.
    """
    power = 1 << heads.bit_length() - 1
    between = (2 ** (-8 * h / (2 * power)) for h in range(1, 2 * (heads - power), 2))
    return [2 ** (-8 * h / power) for h in range(1, power + 1)] + list(between)


@cache
def _frequencies(width: int, base: float) -> Tensor:
    """(width // 2,) in float64, on the CPU."""
    if not 1 <= base < float("inf"):
        raise ValueError(f"position.base={base}: a finite number from 1 on is needed")
    return base ** (-torch.arange(0, width - 1, 2, dtype=torch.float64, device="cpu") / width)


def _angles(frequencies: Tensor, places: Tensor) -> Tensor:
    """(T, width // 2) in float64: at place 100,000 float32 would be off by a hundredth."""
    return places.double()[:, None] * frequencies
