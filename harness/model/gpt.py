"""GPT in the form of GPT-2: token and position tables, pre-norm blocks, the token table again as the readout.

Shape letters: ``B`` batch · ``T`` sequence tokens · ``C`` model width · ``V`` vocabulary · ``R`` loops.
"""

import copy
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from numpy.random import Generator
from torch import Tensor, nn
from torch.nn import functional as F

from harness import signals
from harness.attention.base import Mixer, State
from harness.model.halting import Halting, stopped
from harness.model.mlp import MLP
from harness.model.positions import Position


class Block(nn.Module):
    """Mix over positions, then think at each of them: both add to the residual stream (B, T, C)."""

    def __init__(self, mixer: Mixer, width: int):
        super().__init__()
        self.norm_mixer, self.mixer = nn.LayerNorm(width), mixer
        self.norm_mlp, self.mlp = nn.LayerNorm(width), MLP(width)

    def mix(self, x: Tensor, state: State | None, prefix: int, last: int) -> tuple[Tensor, State | None]:
        """(B, T, C) -> its ``last`` rows (B, last, C), and the next state of this layer."""
        read = self.norm_mixer(x)
        if last == x.shape[1]:
            mixed, state = self.mixer(read, state, prefix)
        else:
            mixed, state = self.mixer.ending(read, last, state, prefix)
        return x[:, x.shape[1] - last :] + mixed, state

    def think(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return x + self.mlp(self.norm_mlp(x))


class GPT(nn.Module):
    """A language model over ``vocab`` tokens, one block for each of the ``mixers``.

    ``mask`` says which tokens see each other: *causal*, those before; *prefix*, also all that is given; *encoder*: each
    token is predicted by a pass of its own, in which all tokens before it see each other (ENTP, Ewer et al. 2024).

    The blocks are gone through ``loops`` times with the same weights (a looped, or universal, transformer: Dehghani et
    al. 2019); its state has a layer for each block of each loop. With ``halts`` a position speaks from the loop after
    which it stops (:mod:`harness.model.halting`); what others see of it goes on to the last.
    """

    def __init__(
        self,
        vocab: int,
        width: int,
        mixers: Sequence[Mixer],
        position: Position,
        token_std: float = 0.02,
        mask: str = "causal",
        loops: int = 1,
        halts: bool = False,
    ):
        super().__init__()
        self.loops = loops
        self.tokens = nn.Embedding(vocab, width)
        self.position, self.mask = position, mask
        self.blocks = nn.ModuleList(Block(mixer, width) for mixer in mixers)
        self.norm = nn.LayerNorm(width)
        self.halting = Halting(width) if halts else None
        self.initialise(token_std)

    @torch.no_grad()
    def initialise(self, token_std: float) -> None:
        """GPT-2's initial distributions, all of them.

        tokens ~ N(0, token_std²) · positions ~ N(0, position.std²) · weights ~ N(0, 0.02² · 768/C), which is GPT-2's
        own at its width and gives units the same variance at any other; those that write into the residual stream
        divided by sqrt(2 layers), each loop's counted (Radford et al. 2019, section 2.3) · biases 0.
        """
        std = 0.02 * (768 / self.tokens.embedding_dim) ** 0.5
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                writes = name.endswith("project_out")
                nn.init.normal_(module.weight, std=std / (2 * self.depth) ** 0.5 if writes else std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.tokens.weight, std=token_std)
        self.position.initialise()

    @property
    def depth(self) -> int:
        """Blocks that a token goes through."""
        return self.loops * len(self.blocks)

    def looped(self, loops: int, halts: bool = False) -> "GPT":
        """The same weights with another number of loops, all of them gone through unless it ``halts`` as this one."""
        other = copy.copy(self)
        other.loops, other._modules = loops, {**self._modules, "halting": self.halting if halts else None}
        return other

    def forward(
        self,
        tokens: Tensor,
        state: list[State] | None = None,
        prefix: int = 0,
        at: slice | Tensor = slice(None),
        places: Tensor | None = None,
    ) -> tuple[Tensor, list[State] | None]:
        """(B, T) -> logits (B, |at|, V) and the state after them (None while training).

        ``at`` are the positions whose logits are wanted, a slice or a (B, N) of them for each row; ``prefix`` first
        tokens see each other; ``places`` (T,) is where the tokens stand, right after those that were seen if None.
        """
        spoken, after = self._spoken(tokens, state, prefix, at, places)
        if self.halting is None:
            return self._logits(spoken[-1]), after
        each = torch.stack(spoken)
        loop = stopped(self.halting(each))[None, ..., None].expand(-1, -1, -1, each.shape[-1])
        return self._logits(each.gather(0, loop)[0]), after

    def _spoken(
        self, tokens: Tensor, state: list[State] | None, prefix: int, at: slice | Tensor, places: Tensor | None
    ) -> tuple[list[Tensor], list[State] | None]:
        """What may be read out: (B, |at|, C) after each loop of one that halts, else after the last; the next state."""
        if places is None:
            seen = 0 if state is None else state[0].seen
            places = torch.arange(seen, seen + tokens.shape[1], device="cpu")
        last, at = last_of(at, tokens.shape[1])
        x = self.tokens(tokens)
        x = x + self.position(places).to(x)
        spoken, after = [], []
        for number, before in enumerate(state or [None] * self.depth, start=1):
            block = self.blocks[(number - 1) % len(self.blocks)]
            x, layer = block.mix(x, before, prefix, last if number == self.depth else x.shape[1])
            if number == self.depth:
                x, at = _pick(x, at), slice(None)  # after the last mixing no position is read by another
            x = block.think(x)
            after.append(layer)
            if number == self.depth or (self.halting is not None and number % len(self.blocks) == 0):
                spoken.append(_pick(x, at))
        return spoken, None if state is None else after

    def _logits(self, x: Tensor) -> Tensor:
        return F.linear(self.norm(x), self.tokens.weight)

    def read(self, tokens: Tensor, given: int, at: slice | Tensor, rng: Generator | None = None) -> Tensor:
        """(B, T) -> logits (B, |at|, V) at the positions ``at`` under the model's mask; ``given`` tokens are given.

        The tokens are a whole sequence. In training ``rng`` chooses where they stand, if the positions leave it open.
        """
        return self._read(tokens, given, at, self.position.places(tokens.shape[1], rng))

    def read_each(
        self, tokens: Tensor, given: int, at: slice | Tensor, rng: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same of a model that halts, after each loop: logits (R, B, |at|, V) and the chances to stop there."""
        places = self.position.places(tokens.shape[1], rng)
        spoken, _ = self._spoken(tokens, None, given if self.mask == "prefix" else 0, at, places)
        each = torch.stack(spoken)
        return self._logits(each), self.halting(each)

    @torch.no_grad()
    def stops(self, tokens: Tensor, given: int, at: slice | Tensor) -> Tensor:
        """(B, T) -> (B, |at|): after how many loops these positions of whole sequences stop."""
        if self.halting is None:
            return _pick(torch.full_like(tokens, self.loops)[..., None], at).squeeze(-1)
        return stopped(self.read_each(tokens, given, at)[1]) + 1

    def _read(self, tokens: Tensor, given: int, at: slice | Tensor, places: Tensor) -> Tensor:
        if self.mask != "encoder":
            return self(tokens, prefix=given if self.mask == "prefix" else 0, at=at, places=places)[0]
        if isinstance(at, slice):
            at = torch.arange(tokens.shape[1], device=tokens.device)[at].expand(len(tokens), -1)
        logits = self.tokens.weight.new_empty(*at.shape, len(self.tokens.weight))
        for last in at.unique().tolist():
            row, column = (at == last).nonzero(as_tuple=True)
            until = last + 1
            said, _ = self(tokens[row, :until], prefix=until, at=slice(-1, None), places=places[:until])
            logits[row, column] = said[:, 0].to(logits)
        return logits

    def empty(self, batch: int, room: int = 0) -> list[State]:
        """The state before the first token, layer by layer; see :meth:`Mixer.empty`."""
        return [block.mixer.empty(batch, room) for _ in range(self.loops) for block in self.blocks]

    @torch.no_grad()
    def generate(
        self,
        given: Tensor,
        count: int,
        forced: Mapping[int, int] = MappingProxyType({}),
        until: int | None = None,
        after: int = 0,
        state: list[State] | None = None,
    ) -> Tensor:
        """(B, T) -> (B, count), the likeliest token each time; at offsets in ``forced`` that token is put in its mouth.

        The model reads only when it has to speak: everything that came since it last did, each token once. With
        ``until``, nothing is put in the mouth of a row that has said this token itself, and it ends, with fewer than
        ``count`` tokens, once every row has said ``after`` more. Tokens stand where those of a sequence of all that is
        given and ``count`` more do. With a ``state`` the tokens that it has seen, the first, are not read again.
        """
        most = given.shape[1] + count
        if state is None and self.mask != "encoder":
            state = self.empty(len(given), most)
        tokens = given
        places = self.position.places(most)
        for offset in range(count):
            signals.check()
            written = tokens[:, given.shape[1] :]
            if until is not None and (written[:, : max(offset - after, 0)] == until).any(1).all():
                break
            free = (written == until).any(1, keepdim=True) if until is not None else given.new_zeros(1, dtype=bool)
            if offset in forced and not free.any():
                token = tokens.new_full((len(given), 1), forced[offset])
            else:
                token, state = self._next(tokens, given.shape[1], state, places[: tokens.shape[1]])
                if offset in forced:
                    token = torch.where(free, token, forced[offset])
            tokens = torch.cat([tokens, token], 1)
        return tokens[:, given.shape[1] :]

    def _next(
        self, tokens: Tensor, given: int, state: list[State] | None, places: Tensor
    ) -> tuple[Tensor, list[State] | None]:
        """The likeliest token (B, 1) after these, which stand at ``places``, and the state once all are read."""
        if state is None:
            return self._read(tokens, given, slice(-1, None), places).argmax(-1), None
        seen = state[0].seen
        prefix = given if self.mask == "prefix" and not seen else 0
        logits, state = self(tokens[:, seen:], state, prefix, at=slice(-1, None), places=places[seen:])
        return logits.argmax(-1), state


def last_of(at: slice | Tensor, tokens: int) -> tuple[int, slice | Tensor]:
    """How many of the last tokens are asked for an output, and the positions counted from the end where they can be."""
    if not isinstance(at, slice):
        return tokens, at
    start, stop, _ = at.indices(tokens)
    return tokens - start, slice(start - tokens, stop - tokens or None)


def _pick(x: Tensor, at: slice | Tensor) -> Tensor:
    """(B, T, C) -> (B, |at|, C)."""
    if isinstance(at, slice):
        return x[:, slice(*at.indices(x.shape[1]))]  # counted from 0 a slice of all is none to autograd
    return x.gather(1, at[..., None].expand(-1, -1, x.shape[-1]))
