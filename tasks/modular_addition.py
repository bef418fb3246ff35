"""What is the sum of residues modulo m?

Given residues x_1 .. x_n, answer x_1 + .. + x_n mod m: the word problem of the cyclic group. It looks like any other
word problem, one step after another, but the group commutes: the order is irrelevant, counts are enough, and a
constant depth suffices where the group of S_5 needs a depth that grows. So it is the easy control of those (modulus 7
in Li et al. 2024; modulus 60 has as many elements as A_5). With modulus 2 it is parity.

>>> task = ModularAddition()
>>> prompt = np.array([[3, 6, 5, 1], [3, 6, 2, 1]])  # a twin: one residue is another
>>> [task.word(token) for token in task.solve(prompt)[:, 0]]
['=1', '=5']
>>> [task.word(token) for token in task.traces["running_sum"].steps(prompt)[0, :, 0]]
['=3', '=2', '=0', '=1']
>>> [task.word(token) for token in task.traces["tree"].steps(prompt)[0, :, 0]]  # 3 + 6, 5 + 1, the sum of both
['=2', '=6', '=1']
>>> round(task.entropy(4), 3)  # 4 ln 7
7.784
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import log

import numpy as np

from tasks.base import Bound, Instance, Ints, Task, Theory, Trace, require


@dataclass(frozen=True)
class ModularAddition(Task):
    """The sum of n residues, the tokens below ``modulus``. An answer and a step are the ``modulus`` tokens after."""

    modulus: int = 7  # m

    version = 1
    golden = {1: "25bdfe7be0d00873"}
    shortest, longest = 2, 1024
    twin_tokens = 1
    theory = Theory(
        time=Bound("Θ(n)", "", "each residue alone turns the answer"),
        state=Bound("log2(m) bits", "m = modulus", "the automaton of m states, no two of them alike", exact=True),
        circuit=Bound("ACC0, not AC0", "", "a gate that counts modulo m; Smolensky 1987"),
        steps=Bound("0", "a softmax model of constant depth", "as for layers; the control C_7 of Li et al. 2024"),
        layers=Bound(
            "O(1)",
            "precision O(log n), width that grows with n",
            "Liu et al. 2023, automata of solvable groups; here a mean and an MLP with a bend at each of its values do",
        ),
    )

    def __post_init__(self):
        require(2 <= self.modulus <= 1024, "modulus", self.modulus, "2 to 1024 are possible")

    @property
    def shortcuts(self) -> tuple[str, ...]:
        """The total is the whole problem. Of a few bits, a threshold on their number is right by chance."""
        return ("total", "bag_of_tokens") if self.modulus == 2 else ("total",)

    @property
    def vocab(self) -> int:
        """The residues and as many answers."""
        return 2 * self.modulus

    @property
    def traces(self) -> Mapping[str, Trace]:
        """The automaton, and the parallel algorithm: pairs, pairs of pairs and so on, ⌈log2 n⌉ rounds of sums."""
        return {
            "running_sum": Trace(
                width=1,
                law="n",
                count=lambda length: length,
                steps=lambda prompt: self.so_far(prompt)[:, :, None],
                next=self._next_running,
                read=lambda steps: steps[:, -1],
            ),
            "tree": Trace(
                width=1,
                law="n-1",
                count=lambda length: length - 1,
                steps=self._tree,
                next=self._next_tree,
                read=lambda steps: steps[:, -1],
            ),
        }

    def sample(self, rng: np.random.Generator, size: int, length: int, split: str) -> Instance:
        """See :meth:`Task.sample`. Every row of every split is uniform over all m^n prompts.

        For broad too: each prompt is one residue away from any other answer, so there is no distance to spread. It is
        natural, balanced. The twins of boundary differ at a place, and by an amount, that are uniform as well.
        """
        self.refuse(length, split)
        prompt = rng.integers(0, self.modulus, (size, length))
        if split == "boundary":
            edited = np.arange(1, size, 2)
            prompt[edited] = prompt[edited - 1]
            prompt[edited, rng.integers(0, length, len(edited))] += rng.integers(1, self.modulus, len(edited))
            prompt %= self.modulus
        elif split == "broad":  # where size is no multiple of m, any answers may get one more
            wanted = (rng.permutation(size) + rng.integers(self.modulus)) % self.modulus
            prompt[:, -1] = (wanted - prompt[:, :-1].sum(axis=1)) % self.modulus
        return Instance(prompt, self._say(prompt.sum(axis=1, keepdims=True)))

    def solve(self, prompt: Ints) -> Ints:
        """Go round the cycle, one residue after another, (B, P) -> (B, 1)."""
        answers = []
        for row in prompt.tolist():
            at = 0
            for residue in row:
                at = (at + residue) % self.modulus
            answers.append([self.modulus + at])
        return np.array(answers)

    def chance(self, length: int) -> float:
        """Any residue."""
        return 1 / self.modulus

    def so_far(self, prompt: Ints) -> Ints:
        """The sum up to each residue, (B, P)."""
        return self._say(prompt.cumsum(axis=1))

    def entropy(self, length: int) -> float:
        """Uniform residues on every split."""
        return length * log(self.modulus)

    def classes(self) -> int:
        """One for each sum so far."""
        return self.modulus

    @classmethod
    def variations(cls) -> tuple["ModularAddition", ...]:
        """As many elements as A_5 has, the group that cannot be solved."""
        return (cls(modulus=60),)

    @classmethod
    def tiny(cls) -> tuple["ModularAddition", int]:
        """Three residues, four places: 81 prompts."""
        return cls(modulus=3), 4

    def prompts(self, length: int) -> Ints:
        """Every sequence of residues."""
        return np.array(list(product(range(self.modulus), repeat=length)), dtype=np.int64)

    def word(self, token: int) -> str:
        """Residues read as digits, answers and steps with an equals sign."""
        return str(token) if token < self.modulus else f"={int(token) - self.modulus}"

    def _say(self, total) -> Ints:
        return self.modulus + total % self.modulus

    def _next_running(self, prompt, done):
        return self._say(prompt[:, [done.shape[1]]] + done[:, -1:, 0].sum(axis=1, keepdims=True))

    def _tree(self, prompt):
        steps = np.zeros((len(prompt), 0, 1), dtype=np.int64)
        for _ in range(prompt.shape[1] - 1):
            steps = np.concatenate([steps, self._next_tree(prompt, steps)[:, None]], axis=1)
        return steps

    def _next_tree(self, prompt, done):
        # The record goes on where the prompt ends. The first two that were not added yet are added and join the end,
        # so the i-th step adds entries 2i and 2i + 1, whatever n, and the last one is what no other step has added.
        first = 2 * done.shape[1]
        return self._say(np.concatenate([prompt, done[:, :, 0]], axis=1)[:, first : first + 2].sum(axis=1))[:, None]
