"""What is the product of these elements of a group?

The word problem: x_1 .. x_n are elements of a finite group, and x_1 is the leftmost, of permutations the one done
first. One state of log2|G| bits decides it in one pass, whatever the group. What a circuit or a transformer of constant
depth can do depends on the group: counting is enough if it is abelian, a few levels of counting if it is solvable, and
no constant depth is, as far as is known, for A5 and S5 (Barrington). Z60, A4xZ5 and A5 have 60 elements each.

With asked="every", as in the paper, the model says the product up to each element on that element's own token; with
asked="last" it says the product of all after the prompt, and may write steps before.

>>> task = Words(group="S3", asked="last")
>>> prompt = np.array([[1, 2, 3, 1], [1, 5, 3, 1]])  # a twin: one element is another
>>> [" ".join(map(task.word, row)) for row in prompt]  # where 1, 2, 3 go
['132 213 231 132', '132 321 231 132']
>>> [task.word(token) for token in task.solve(prompt)[:, 0]]
['=213', '=132']
>>> [task.word(token) for token in task.traces["running_product"].steps(prompt)[0, :, 0]]
['=132', '=231', '=312', '=213']
>>> [task.word(token) for token in task.traces["tree"].steps(prompt)[0, :, 0]]  # of the first two, the others, both
['=231', '=321', '=213']
>>> Words(group="Z5").sample(np.random.default_rng(0), 1, 4, "natural").at.tolist()
[[0, 1, 2, 3]]

Source: Merrill, Petty, Sabharwal 2024 (arXiv 2404.08819): every product, of uniform elements of Z60, A4xZ5, A5.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import log

import numpy as np

from tasks.base import Bound, Instance, Ints, Task, Theory, Trace, require
from tasks.groups import MOST, NAMES, Group, group


@dataclass(frozen=True)
class Words(Task):
    """Products in a group. Its |G| elements are the first tokens, 0 the identity; products are as many after them."""

    group: str = "Z5"  # Zm, S3, S4, S5, A4, A5 or a direct product such as A4xZ5
    asked: str = "every"  # product up to each element, or the last one

    version = 1
    golden = {1: "872548f81e9b7b0b"}
    shortest, longest = 2, 1024
    twin_tokens = 1

    def __post_init__(self):
        exist = f"{NAMES}; at most {MOST} elements are possible"
        require(group(self.group) is not None, "group", self.group, exist)
        require(self.asked in ("every", "last"), "asked", self.asked, "every and last exist")

    @property
    def theory(self) -> Theory:
        """What depends on the group: circuits, layers, and whether steps can help."""
        if self._group.solvable:
            circuit = Bound("ACC0, so TC0; not AC0", "the group is solvable", "Barrington and Thérien 1988")
            steps = Bound("0", "constant depth", "Liu et al. 2023 (arXiv 2210.10749): solvable groups")
            layers = Bound("O(1)", "width polynomial in n", "Liu et al. 2023 (arXiv 2210.10749): solvable groups")
        else:
            circuit = Bound("NC1-complete", "the group is not solvable", "Barrington 1989")
            running = "the product so far is a step; 0 are not enough unless TC0 = NC1 (arXiv 2310.07923)"
            steps = Bound("n", "constant depth", running)
            layers = Bound("O(log n)", "a constant number is not enough unless TC0 = NC1", "arXiv 2503.03961")
        if self.asked == "every":
            steps = Bound("0", "", "answers are said inside the prompt, before any step")
        return Theory(
            time=Bound("Θ(n)", "", "each element alone changes the product"),
            state=Bound("log2|G| bits", "", "each product is a residual class of its own", exact=True),
            circuit=circuit,
            steps=steps,
            layers=layers,
        )

    @property
    def shortcuts(self) -> tuple[str, ...]:
        """In an abelian group how often each element occurs is the whole problem, and so is the sum in Zm.

        In the smallest groups a few elements show more: of three of S3 the sum, of Z2 and Z3 the first, an answer too.
        """
        if not self._group.abelian:
            return ("total",) if self._group.order == 6 else ()
        counts = ("total", "bag_of_tokens", "minimum", "maximum", "distinct_tokens", "extreme_ties")
        return counts + ("first_token", "last_token", "positions") * (self._group.order < 4 and self.asked == "every")

    @property
    def vocab(self) -> int:
        """The elements, and the products."""
        return 2 * self._group.order

    @property
    def traces(self) -> Mapping[str, Trace]:
        """From left to right, and the parallel algorithm: neighbours in rounds. None where each product is asked."""
        if self.asked == "every":
            return {}
        running = Trace(
            width=1,
            law="n",
            count=lambda length: length,
            steps=lambda prompt: self._products(prompt)[..., None],
            next=self._next_running,
            read=lambda steps: steps[:, -1],
        )
        tree = Trace(
            width=1,
            law="n-1",
            count=lambda length: length - 1,
            steps=self._tree,
            next=self._next_in_tree,
            read=lambda steps: steps[:, -1],
        )
        return {"running_product": running, "tree": tree}

    def sample(self, rng: np.random.Generator, size: int, length: int, split: str) -> Instance:
        """See :meth:`Task.sample`. Every row of every split is uniform over all |G|^n prompts.

        For broad too: each prompt is one element away from every other answer, so there is no distance to spread. It is
        natural, and where one product is asked, as many of each. The twins of boundary differ in one element anywhere.
        """
        self.refuse(length, split)
        order, table = self._group.order, self._group.table
        prompt = rng.integers(0, order, (size, length))
        if split == "boundary":
            odd = np.arange(1, size, 2)
            prompt[odd] = prompt[odd - 1]
            place = rng.integers(0, length, len(odd))
            prompt[odd, place] = (prompt[odd, place] + rng.integers(1, order, len(odd))) % order
        elif split == "broad" and self.asked == "last":
            wanted = (rng.permutation(size) + rng.integers(order)) % order  # which of them get one more is random
            before = self._products(prompt[:, :-1])[:, -1] - order
            inverse = (table == 0).argmax(axis=1)
            prompt[:, -1] = table[inverse[before], wanted]
        answer = self._products(prompt)
        if self.asked == "last":
            return Instance(prompt, answer[:, -1:])
        return Instance(prompt, answer, np.tile(np.arange(length), (size, 1)))

    def solve(self, prompt: Ints) -> Ints:
        """Add residues, do permutations one after another, (B, P) -> (B, n) or (B, 1)."""
        said = self._group.order + np.array([self._group.products(row) for row in prompt.tolist()])
        return said if self.asked == "every" else said[:, -1:]

    def chance(self, length: int) -> float:
        """Any element, of each product that is asked."""
        return float(self._group.order) ** -(length if self.asked == "every" else 1)

    def so_far(self, prompt: Ints) -> Ints | None:
        """The product up to each element, (B, P); None where the answers are just these."""
        return self._products(prompt) if self.asked == "last" else None

    def entropy(self, length: int) -> float:
        """Uniform elements, on every split."""
        return length * log(self._group.order)

    def classes(self) -> int:
        """One for each product."""
        return self._group.order

    @classmethod
    def variations(cls) -> tuple["Words", ...]:
        """The three groups of 60 elements of the paper, and single products: in S5, and where counting is enough."""
        every = (cls(group="Z60"), cls(group="A4xZ5"), cls(group="A5"))
        return (*every, cls(group="S5", asked="last"), cls(group="Z5", asked="last"))

    @classmethod
    def tiny(cls) -> tuple["Words", int]:
        """Four permutations of three things: 1,296 prompts."""
        return cls(group="S3", asked="last"), 4

    def prompts(self, length: int) -> Ints:
        """Every sequence of elements."""
        return np.array(list(product(range(self._group.order), repeat=length)), dtype=np.int64)

    def word(self, token: int) -> str:
        """Elements as the group writes them, products with =."""
        is_product, element = divmod(int(token), self._group.order)
        return "=" * is_product + self._group.word(element)

    @property
    def _group(self) -> Group:
        return group(self.group)

    def _products(self, prompt) -> Ints:
        """The product up to each element, as it is said, (B, n)."""
        table, so_far = self._group.table, prompt.copy()
        for place in range(1, prompt.shape[1]):
            so_far[:, place] = table[so_far[:, place - 1], prompt[:, place]]
        return self._group.order + so_far

    def _next_running(self, prompt, done):
        element, order = prompt[:, done.shape[1]], self._group.order
        if not done.shape[1]:
            return order + element[:, None]
        return order + self._group.table[done[:, -1] - order, element[:, None]]

    def _tree(self, prompt):
        size, length = prompt.shape
        values = np.concatenate([prompt, np.zeros((size, length - 1), dtype=np.int64)], axis=1)  # the tree's nodes
        for node, (left, right) in enumerate(_operands(length), start=length):
            values[:, node] = self._group.table[values[:, left], values[:, right]]
        return self._group.order + values[:, length:, None]

    def _next_in_tree(self, prompt, done):
        left, right = _operands(prompt.shape[1])[done.shape[1]]
        values = np.concatenate([prompt, done[:, :, 0] - self._group.order], axis=1)
        return self._group.order + self._group.table[values[:, left], values[:, right]][:, None]


@cache
def _operands(length: int) -> list[tuple[int, int]]:
    """The two factors of each product in the tree: numbers below ``length`` are elements, others earlier products."""
    operands, level = [], list(range(length))
    while len(level) > 1:
        pairs = list(zip(level[::2], level[1::2], strict=False))  # of an odd number, the last waits for the next round
        first = length + len(operands)
        operands += pairs
        level = [*range(first, first + len(pairs)), *level[2 * len(pairs) :]]
    return operands
