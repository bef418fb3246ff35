"""Recurrent networks: the past is one vector of S numbers, or two, that each token rewrites through gates.

The fast form is torch's own recurrent layer: the inputs' products at once, then a step for each token. It has no
queries and keys, so nothing is rotated, and it cannot be anything but causal.
"""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from harness.attention.base import Mixer, State, hold_prefix, hold_size

Memory = tuple[Tensor, ...]  # what is carried, the hidden vector first


class Recurrent(Mixer):
    """A hidden vector of ``state`` numbers, read out by ``project_out``; heads are not used.

    A subclass says which layer of torch it is, its number of gates, its state, ``run`` and ``step``.
    """

    masks = ("causal",)
    layer: ClassVar[type[nn.RNNBase]]
    gates: ClassVar[int]  # products of S numbers that a step makes of its token and of the hidden vector
    memory: ClassVar[type]  # a NamedTuple: seen, then what is carried, each (B, 1, S)

    def __init__(self, width: int, heads: int, state: int):
        super().__init__()
        hold_size("state", state)
        self.state = state
        self.cells = self.layer(width, state, batch_first=True)
        self.project_out = nn.Linear(state, width)
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Each gate's weights for the token uniform (Glorot & Bengio 2010), for the state orthogonal, biases 0.

        Torch's own, uniform within 1/sqrt(S) all of them, makes less of the token: with it the parity of four bits was
        learned by none of six models in 1,000 updates, with this by eight of ten.
        """
        for weight in self.cells.weight_ih_l0.chunk(self.gates):
            nn.init.xavier_uniform_(weight)
        for weight in self.cells.weight_hh_l0.chunk(self.gates):
            nn.init.orthogonal_(weight)
        self.cells.bias_ih_l0.zero_()
        self.cells.bias_hh_l0.zero_()

    @abstractmethod
    def run(self, x: Tensor, *memory: Tensor) -> tuple[Tensor, Memory]:
        """(B, T, C) and what is carried, each (1, B, S) -> all hidden vectors (B, T, S) and what is carried on."""

    @abstractmethod
    def step(self, x: Tensor, *memory: Tensor) -> Memory:
        """One token (B, C) and what is carried, each (B, S) -> what is carried on: the equations."""

    def forward(self, x: Tensor, state: State | None = None, prefix: int = 0) -> tuple[Tensor, State | None]:
        """See :class:`Mixer`."""
        hold_prefix(prefix, x.shape[1], state, self.masks)
        _, *before = self.empty(len(x)) if state is None else state
        if state is None:  # the gradient of the first hidden vector is made too, for the price: backward is 2 forwards
            before[0].requires_grad_(torch.is_grad_enabled())
        with torch.autocast(x.device.type, enabled=False):  # not every processor has these layers in another dtype
            hidden, memory = self.run(x.to(before[0]), *(tensor.transpose(0, 1) for tensor in before))
        after = None
        if state is not None:
            after = self.memory(state.seen + x.shape[1], *(tensor.transpose(0, 1) for tensor in memory))
        return self.project_out(hidden), after

    def naive(self, x: Tensor, prefix: int = 0) -> Tensor:
        """See :class:`Mixer`."""
        _, *memory = self.empty(len(x))
        memory, rows = [tensor[:, 0] for tensor in memory], []
        for t in range(x.shape[1]):
            memory = self.step(x[:, t], *memory)
            rows.append(memory[0])
        return self.project_out(torch.stack(rows, 1))

    def gated(self, x: Tensor, hidden: Tensor) -> tuple[Memory, Memory]:
        """What each gate takes from the token and from the hidden vector: for each of them ``gates`` times (B, S)."""
        cells = self.cells
        from_token = x @ cells.weight_ih_l0.T + cells.bias_ih_l0
        from_hidden = hidden @ cells.weight_hh_l0.T + cells.bias_hh_l0
        return from_token.chunk(self.gates, -1), from_hidden.chunk(self.gates, -1)

    def empty(self, batch: int, room: int = 0) -> State:
        """See :class:`Mixer`; zeros, whatever the ``room``."""
        carried = len(self.memory._fields) - 1
        return self.memory(0, *(self.project_out.weight.new_zeros(batch, 1, self.state) for _ in range(carried)))

    def state_size(self, length: int) -> int:
        """S for each vector that is carried, whatever the length."""
        return (len(self.memory._fields) - 1) * self.state

    def flops(self, tokens: int, seen: int | None = None, prefix: int = 0) -> int:
        """The gates' products with the token and with the hidden vector, the first one's zeros too; the readout."""
        width = self.project_out.out_features
        return 2 * tokens * self.state * (self.gates * (width + self.state) + width)

    def scored_pairs(self, tokens: int, seen: int | None = None, prefix: int = 0) -> int:
        """No pair is scored."""
        return 0

    def serial_steps(self, tokens: int, prefix: int = 0) -> int:
        """Each token waits for the one before it."""
        return tokens
