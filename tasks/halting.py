"""Does the walk reach *halt* within t steps?

Each of n nodes has one successor, a node or *halt*. The prompt lists the edges (node, successor) in any order, then the
node where the walk starts. Nodes are configurations of a machine: whether one halts within a bound is what no machine
decides in much less time than the bound, and so no forward pass beyond its cost (the time hierarchy). Here a pass is
bounded by its depth: followed one by one, t steps take t layers, and log2 t if each layer follows twice as many. With t
steps of reasoning a few layers are enough.

>>> task = Halting(within=4, labels=9)
>>> prompt = np.array([[7, 0, 2, 1, 4, 2, 5, 4, 1, 7, 4], [7, 0, 2, 5, 4, 2, 5, 4, 1, 7, 4]])  # a twin: one successor
>>> [" ".join(map(task.word, row)) for row in prompt]
['7 halt 2 1 4 2 5 4 1 7 4', '7 halt 2 5 4 2 5 4 1 7 4']
>>> [task.word(token) for token in task.solve(prompt)[:, 0]]
['yes', 'no']
>>> [" ".join(map(task.word, steps[:, 0])) for steps in task.traces["walk"].steps(prompt)]
['2 1 7 halt', '2 5 4 2']
>>> [" ".join(map(task.word, row)) for row in task.traces["doubling"].steps(prompt)[0, :, 0].reshape(3, 6)]
['halt 1 2 4 7 4', 'halt 7 1 2 halt 4', 'halt halt halt 7 halt halt']

The three rounds say where 1, 2, 4 steps from each node lead. At the end of a round, the walk is made by as many, if t
has this binary digit: four steps are made in the third.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

from tasks.base import Bound, Ints, Theory, Trace, require
from tasks.decision import Decision
from tasks.pointers import Pointers
from tasks.sampling import distinct, shuffled

HALT = 0


@dataclass(frozen=True)
class Halting(Decision):
    """Whether *halt*, token 0, is reached within so many steps. Nodes are other tokens, n of ``labels``.

    Short prompts are small graphs: at n = 2t, how many nodes halt within t, wherever the walk starts, is right on .85
    of the twins (t = 4), at 4t on .68, at 8t on .61. It takes the whole graph to count them.
    """

    within: int = 4  # steps, t
    labels: int = 128

    version = 1
    golden = {1: "536789a55f1aa12f"}
    twin_tokens = 1
    theory = Theory(
        time=Bound("Θ(n)", "t <= n", "a table of the successors, then t steps"),
        state=Bound(
            "log2 ⌊n/2⌋! bits at least, about (n/2) log2 n",
            "t >= 2",
            "fooling set: half of the edges map nodes one to one, the others send one of these to halt; derived",
        ),
        circuit=Bound(
            "AC0 for each t, complete for L for t up to n", "", "reachability with outdegree 1: Cook and McKenzie 1987"
        ),
        steps=Bound("t", "constant depth", "one node a step; as k-hop with k = t (arXiv 2501.12997)"),
        layers=Bound("O(log t)", "as k-hop with k = t", "doubling: Sanford, Hsu, Telgarsky 2024 (arXiv 2402.09268)"),
    )

    def __post_init__(self):
        require(2 <= self.within <= 256, "within", self.within, "2 to 256 steps are possible")
        least = self.shortest
        possible = f"{least} to 4096 are possible with task.within={self.within}; twins have {least} nodes or more"
        require(least <= self.labels <= 4096, "labels", self.labels, possible)

    @property
    def shortest(self) -> int:
        """Nodes of a walk that halts after t steps, and of one that leaves it anywhere and does not."""
        return 2 * self.within

    @property
    def longest(self) -> int:
        """As many nodes as there are labels."""
        return min(1024, self.labels)

    @property
    def symbols(self) -> int:
        """Halt, and the labels."""
        return 1 + self.labels

    @property
    def traces(self) -> Mapping[str, Trace]:
        """The walk, and by doubling from all nodes. A step of either is a node, or halt."""
        return {"walk": self._pointers.walk, "doubling": self._pointers.doubling}

    def twins(self, rng: np.random.Generator, pairs: int, length: int) -> Ints:
        """One walk halts after t steps. The other leaves it on the way, to halt later (see :meth:`broad`) or never."""
        return self._graphs(rng, np.full(pairs, self.within), length, np.tile([True, False], (pairs, 1)))

    def broad(self, rng: np.random.Generator, yes: np.ndarray, length: int) -> Ints:
        """Walks of 1 to t steps, or from t + 1 up to 2 t if there are nodes enough; of these a quarter never halt."""
        return self._graphs(rng, rng.integers(1, self.within + 1, len(yes)), length, yes[:, None])[:, 0]

    def natural(self, rng: np.random.Generator, size: int, length: int) -> Ints:
        """Uniform successors, halt among them, and a uniform start."""
        return self._written(rng, rng.integers(-1, length, (size, 1, length)))[:, 0]

    def holds(self, prompt: Ints) -> np.ndarray:
        """Is halt where the walk from the start ends?"""
        successor, (node, _) = self._pointers.follow(prompt), self._pointers.begin(prompt)
        for _ in range(self.within):
            node = np.take_along_axis(successor, node, axis=1)
        return node[:, 0] == HALT

    def solve(self, prompt: Ints) -> Ints:
        """Take t steps in a dictionary, (B, P) -> (B, 1)."""
        halts = []
        for *edges, node in prompt.tolist():
            successor = {HALT: HALT} | dict(zip(edges[::2], edges[1::2], strict=True))
            for _ in range(self.within):
                node = successor[node]
            halts.append(node == HALT)
        return self.say(halts)[:, None]

    @classmethod
    def variations(cls) -> tuple["Halting", ...]:
        """A longer walk."""
        return (cls(within=8),)

    @classmethod
    def tiny(cls) -> tuple["Halting", int]:
        """Two steps among four nodes: 60,000 prompts."""
        return cls(within=2, labels=4), 4

    def prompts(self, length: int) -> Ints:
        """Every choice of nodes in every order, with all their successors and every start."""
        rows = []
        for nodes in permutations(range(1, self.labels + 1), length):
            for successors in product((HALT, *nodes), repeat=length):
                edges = [token for edge in zip(nodes, successors, strict=True) for token in edge]
                rows += [[*edges, start] for start in nodes]
        return np.array(rows, dtype=np.int64)

    def symbol(self, token: int) -> str:
        """Nodes read as numbers."""
        return "halt" if token == HALT else str(token)

    def _graphs(self, rng, time, length, yes) -> Ints:
        """(B, K, P): graphs that halt after ``time`` <= t steps (B,); after more or never if not ``yes`` (B, K).

        Three chains of nodes: from the start to the node that decides, and two to choose its successor from. The first
        of these leads to halt in time, the other does not. All else is the same, whichever is chosen. At least two
        edges lead to halt: they are of chains, or else of other nodes; these have random successors otherwise.
        """
        size, t, role = len(time), self.within, np.arange(length)
        room = max(length - 2, 2 * t)  # nodes of chains
        common = rng.integers(1, np.maximum(2, time))  # nodes of the first chain
        short = time - common  # of the second; 0 where the first itself may halt
        never = rng.random(size) < 0.25
        most = np.minimum(2 * t, room - short)  # steps
        long = rng.integers(np.where(never, common, t) + 1, most + 1) - common  # nodes of the third
        back = rng.integers(0, common + long - 1)  # a node of the first chain, or of the third but its first: it would
        back += np.where(back < common, 0, short + 1)  # have a predecessor, which the first of the second has not
        third = common + short
        other = role - (third + long)[:, None]  # (B, n): the others are counted from 0
        missing = 2 - (yes | (short > 0)[:, None]) - ~never[:, None]  # (B, K) edges to halt
        successor = rng.integers(np.where(other < 2, 0, -1), length)[:, None]  # -1 is halt
        successor = np.where(other[:, None] < missing[:, :, None], -1, successor)
        successor = np.where(other[:, None] < 0, role + 1, successor)  # (B, K, n)
        rows = np.arange(size)
        successor[rows, :, third + long - 1] = np.where(never, back, -1)[:, None]
        successor[rows, :, third - 1] = -1
        successor[rows, :, common - 1] = np.where(yes, np.where(short > 0, common, -1)[:, None], third[:, None])
        return self._written(rng, successor)

    def _written(self, rng, successor) -> Ints:
        """Name the nodes 0 .. n-1 of graphs (B, K, n) and write down the edges, in an order that all K share."""
        size, graphs, length = successor.shape
        names = np.pad(1 + distinct(rng, size, length, self.labels), [(0, 0), (1, 0)])  # (B, n + 1), halt before all
        nodes = np.broadcast_to(names[:, None, 1:], successor.shape)
        targets = np.take_along_axis(np.broadcast_to(names[:, None], (size, graphs, length + 1)), successor + 1, axis=2)
        edges = shuffled(rng, np.stack([nodes, targets], axis=-1)).reshape(size, graphs, 2 * length)
        return np.concatenate([edges, nodes[:, :, :1]], axis=2)

    @property
    def _pointers(self) -> Pointers:
        return Pointers(
            follow=lambda prompt: np.pad(self._place(prompt, prompt[:, 1::2]), [(0, 0), (1, 0)]),
            hop=self._hop,
            begin=lambda prompt: (self._place(prompt, prompt[:, -1:]), np.full((len(prompt), 1), self.within)),
            places=lambda tokens: tokens // 2,
            most=self.within,
            write=lambda prompt, places: self._node(prompt, places)[..., None],
            read=lambda prompt, written: self._place(prompt, written[..., 0]),
            answer=lambda steps: self.say(steps[:, -1] == HALT),
            letter="t",
        )

    def _place(self, prompt, nodes) -> Ints:
        """Which edges, counted from 1, leave these nodes (B, m); 0 for halt."""
        places, length = np.zeros((len(prompt), self.symbols), dtype=np.int64), prompt.shape[1] // 2
        np.put_along_axis(places, prompt[:, :-1:2], 1 + np.arange(length)[None], axis=1)
        return np.take_along_axis(places, nodes, axis=1)

    def _node(self, prompt, places) -> Ints:
        """The nodes that these edges (B, m) leave; halt for 0."""
        return np.where(places, np.take_along_axis(prompt, np.maximum(2 * places - 2, 0), axis=1), HALT)

    def _hop(self, prompt, place) -> Ints:
        """Look for the edge that leaves the node to which this edge (B, 1) leads."""
        to = np.take_along_axis(prompt, np.maximum(2 * place - 1, 0), axis=1)
        leaves = (prompt[:, :-1:2] == to) & (place > 0)
        return np.where(leaves.any(axis=1), 1 + leaves.argmax(axis=1), 0)[:, None]
