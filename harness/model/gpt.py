"""GPT in the form of GPT-2: token and position tables, pre-norm blocks, the token table again as the readout.

Shape letters: ``B`` batch · ``T`` sequence tokens · ``C`` model width · ``V`` vocabulary.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.attention.base import Mixer, State
from harness.model.positions import Learned


class MLP(nn.Module):
    """C -> 4C -> C with GPT-2's GELU."""

    def __init__(self, width: int):
        super().__init__()
        self.project_in = nn.Linear(width, 4 * width)
        self.project_out = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return self.project_out(F.gelu(self.project_in(x), approximate="tanh"))


class Block(nn.Module):
    """Mix over positions, then think at each of them: both add to the residual stream (B, T, C)."""

    def __init__(self, mixer: Mixer, width: int):
        super().__init__()
        self.norm_mixer, self.mixer = nn.LayerNorm(width), mixer
        self.norm_mlp, self.mlp = nn.LayerNorm(width), MLP(width)

    def mix(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
        """(B, T, C) -> (B, T, C), the next state of this layer."""
        mixed, state = self.mixer(self.norm_mixer(x), state)
        return x + mixed, state

    def think(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return x + self.mlp(self.norm_mlp(x))


class GPT(nn.Module):
    """A language model over ``vocab`` tokens, one block for each of the ``mixers``."""

    def __init__(self, vocab: int, width: int, mixers: Sequence[Mixer], position: Learned, token_std: float = 0.02):
        super().__init__()
        self.tokens = nn.Embedding(vocab, width)
        self.position = position
        self.blocks = nn.ModuleList(Block(mixer, width) for mixer in mixers)
        self.norm = nn.LayerNorm(width)
        self.initialise(token_std)

    @torch.no_grad()
    def initialise(self, token_std: float) -> None:
        """GPT-2's initial distributions, all of them.

        tokens ~ N(0, token_std²) · positions ~ N(0, position.std²) · weights ~ N(0, 0.02² · 768/C), which is GPT-2's
        own at its width and gives units the same variance at any other; those that write into the residual stream
        divided by sqrt(2 layers) (Radford et al. 2019, section 2.3) · biases 0.
        """
        std = 0.02 * (768 / self.tokens.embedding_dim) ** 0.5
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                writes = name.endswith("project_out")
                nn.init.normal_(module.weight, std=std / (2 * len(self.blocks)) ** 0.5 if writes else std)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.tokens.weight, std=token_std)
        nn.init.normal_(self.position.table.weight, std=self.position.std)

    def forward(
        self, tokens: Tensor, state: list[State] | None = None, at: slice = slice(None)
    ) -> tuple[Tensor, list[State] | None]:
        """(B, T) -> logits (B, |at|, V) at the positions ``at``, and the state after them (None while training)."""
        seen = 0 if state is None else state[0].seen
        x = self.tokens(tokens) + self.position(seen, tokens.shape[1])
        after = []
        for block, before in zip(self.blocks, state or [None] * len(self.blocks), strict=True):
            x, layer = block.mix(x, before)
            if block is self.blocks[-1]:
                x = x[:, at]  # after the last mixing no position is read by another
            x = block.think(x)
            after.append(layer)
        return F.linear(self.norm(x), self.tokens.weight), None if state is None else after

    def empty(self, batch: int, room: int = 0) -> list[State]:
        """The state before the first token, layer by layer; see :meth:`Mixer.empty`."""
        return [block.mixer.empty(batch, room) for block in self.blocks]

    @torch.no_grad()
    def generate(self, given: Tensor, count: int, forced: Mapping[int, int] = MappingProxyType({})) -> Tensor:
        """(B, T) -> (B, count), the likeliest token each time; at offsets in ``forced`` that token is put in its mouth.

        The model reads only when it has to speak: everything that came since it last did, each token once.
        """
        tokens, state = given, self.empty(len(given), given.shape[1] + count)
        for offset in range(count):
            if offset in forced:
                token = tokens.new_full((len(given), 1), forced[offset])
            else:
                logits, state = self(tokens[:, state[0].seen :], state, at=slice(-1, None))
                token = logits.argmax(-1)
            tokens = torch.cat([tokens, token], 1)
        return tokens[:, given.shape[1] :]
