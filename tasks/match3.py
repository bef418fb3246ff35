"""Do three items add up to zero modulo M?

Given n tuples of ``dim`` residues, answer *yes* iff x_i + x_j + x_k = 0 in every coordinate for some i < j < k: Match3,
the 3SUM of attention. Attention compares pairs; here each pair must be compared with every third item, and how many
layers do is not known. With n(n-1)/2 tokens more it is easy: each stands for a pair, and what is left is ``match2``.
These tokens need say nothing: it is the problem on which filler was seen to help, if steps that do not depend on one
another, as those of ``pair_sums``, were trained on as well.

>>> task = Match3(modulus=10, dim=1)
>>> prompt = np.array([[1, 4, 8, 5], [1, 4, 8, 6]])  # a twin: one item of a solution; 1 + 4 + 5 = 10
>>> [task.word(token) for token in task.solve(prompt)[:, 0]]
['yes', 'no']
>>> task.traces["pair_sums"].steps(prompt)[0].tolist()  # of each pair: the third, "does it come later?" (10 = no)
[[5, 11], [1, 10], [4, 10], [8, 10], [1, 10], [7, 10]]
>>> task.traces["pair_search"].steps(prompt)[0].tolist()  # the same, "was any third found?"
[[5, 11], [1, 11], [4, 11], [8, 11], [1, 11], [7, 11]]
>>> task.so_far(prompt)[0].tolist()
[10, 10, 10, 11]

Source: Sanford, Hsu, Telgarsky 2023 (arXiv 2306.02896); tuples, and negatives that are corrupted solutions: Pfau,
Merrill, Bowman 2024, with modulus = 10 and dim = 3, at lengths up to 14.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tasks.base import Bound, Ints, Theory, Trace, require
from tasks.decision import Decision
from tasks.numbers import number
from tasks.triples import Triples
from tasks.vectors import Tokens

MOST = 65_536  # tuples: they index tables


@dataclass(frozen=True)
class Match3(Decision):
    """Whether three of n tuples add up to zero. The tuples or their coordinates are the first tokens."""

    modulus: int = 10
    dim: int = 3  # coordinates of a tuple
    tokens: str = "item"  # a tuple is one token, or dim with "coordinate"

    version = 1
    golden = {1: "e107323018b5e870"}
    shortest, longest = 4, 1024  # of three items the sum is the question itself
    theory = Theory(
        time=Bound(
            "O(n²)",
            "n^(2-o(1)) under the 3SUM conjecture, M^dim growing with n; O(N log N + n) by FFT, N = M^dim",
            "a table of what was seen, looked up for every pair",
        ),
        state=Bound(
            "Ω(min(n, M^dim)) bits", "unconditional", "set disjointness, as for match2, and an item that all have"
        ),
        circuit=Bound("AC0", "M^dim = poly(n)", "an OR over the n(n-1)(n-2)/6 triples, each of O(log n) bits"),
        steps=Bound(
            "n(n-1)/2",
            "a constant number of softmax layers",
            "the trace pair_sums, or as much filler: Pfau, Merrill, Bowman 2024; Ω(n) are needed in the BAPO model "
            "(arXiv 2602.02909)",
        ),
        layers=Bound(
            "not known",
            "one layer needs a size linear in n; that a few need no less is a conjecture",
            "Sanford, Hsu, Telgarsky 2023 (arXiv 2306.02896)",
        ),
    )

    def __post_init__(self):
        count, few = f"{self.modulus}**{self.dim} tuples", "are too few for two that are free of solutions"
        require(self.tokens in ("item", "coordinate"), "tokens", self.tokens, "item and coordinate exist")
        require(2 <= self.modulus <= MOST, "modulus", self.modulus, f"2 to {MOST} are possible")
        require(1 <= self.dim <= 16, "dim", self.dim, "1 to 16 are possible")
        require(self.modulus**self.dim <= MOST, "dim", self.dim, f"{count}; at most {MOST:,} are possible")
        require(self._triples.most >= 2, "modulus", self.modulus, f"{count} {few}")

    @property
    def symbols(self) -> int:
        """The tuples, or the residues that are their coordinates."""
        return self._tokens.no

    @property
    def twin_tokens(self) -> int:
        """One item."""
        return self._tokens.width

    @property
    def traces(self) -> Mapping[str, Trace]:
        """Every pair on its own, every pair with the answer so far, a scan of answers."""
        pairs = self._tokens.width + 1, "n(n-1)/2", lambda length: length * (length - 1) // 2
        return {
            "pair_sums": Trace(*pairs, self._pair_sums, self._next_pair_sum, self._any),
            "pair_search": Trace(*pairs, self._pair_search, self._next_pair, lambda steps: steps[:, -1, -1:]),
            "scan": Trace(1, "n", lambda length: length, self._scan, self._next_scanned, lambda steps: steps[:, -1]),
        }

    def twins(self, rng: np.random.Generator, pairs: int, length: int) -> Ints:
        """One item of a solution is corrupted, by one coordinate if that leaves no other solution."""
        return self._tokens.line(self._triples.twins(rng, pairs, length))

    def broad(self, rng: np.random.Generator, yes: np.ndarray, length: int) -> Ints:
        """The number of solutions that have no item in common is uniform from 1 to (n-1)/3."""
        return self._tokens.line(self._triples.broad(rng, yes, length))

    def natural(self, rng: np.random.Generator, size: int, length: int) -> Ints:
        """Uniform tuples."""
        return self._tokens.line(rng.integers(0, self.modulus, (size, length, self.dim)))

    def holds(self, prompt: Ints) -> np.ndarray:
        """A table of what each two items lack."""
        return self._found(prompt)[:, -1]

    def solve(self, prompt: Ints) -> Ints:
        """Look for the third of every two among the items after them, (B, P) -> (B, 1)."""
        found = []
        for row in self._tokens.read(prompt).tolist():
            items = list(map(tuple, row))
            after = [set(items[i + 1 :]) for i in range(len(items))]
            thirds = ((self._third(items[i], items[j]), j) for j in range(len(items)) for i in range(j))
            found.append(any(third in after[j] for third, j in thirds))
        return self.say(np.array(found))[:, None]

    def so_far(self, prompt: Ints) -> Ints:
        """Do three items add up to zero, up to this one? Told at the last token of each, (B, P)."""
        return self._tokens.told(self.say(self._found(prompt)))

    @classmethod
    def variations(cls) -> tuple["Match3", ...]:
        """Scalars, and the tuples of the source written coordinate by coordinate."""
        return cls(modulus=256, dim=1), cls(tokens="coordinate")

    @classmethod
    def tiny(cls) -> tuple["Match3", int]:
        """Seven values, four places: 2,401 prompts."""
        return cls(modulus=7, dim=1), 4

    def prompts(self, length: int) -> Ints:
        """Every sequence of tuples."""
        return self._tokens.every(length)

    def symbol(self, token: int) -> str:
        """Residues read as numbers, tuples as (3,0,7)."""
        return self._tokens.word(token)

    @property
    def _tokens(self) -> Tokens:
        return Tokens.of(self.modulus, self.dim, self.tokens)

    @property
    def _triples(self) -> Triples:
        return Triples(self.modulus, self.dim)

    def _found(self, prompt):
        return self._triples.found(self._tokens.read(prompt))

    def _third(self, x, y) -> tuple[int, ...]:
        return tuple(-(a + b) % self.modulus for a, b in zip(x, y, strict=True))

    def _pair_sums(self, prompt):
        items = self._tokens.read(prompt)
        first, second = np.triu_indices(items.shape[1], k=1)
        thirds = -(items[:, first] + items[:, second]) % self.modulus
        rows, last = np.arange(len(items))[:, None], np.full((len(items), self.modulus**self.dim), -1)
        for place in range(items.shape[1]):  # where each tuple occurs last
            last[rows[:, 0], number(items[:, place], self.modulus)] = place
        later = last[rows, number(thirds, self.modulus)] > second
        return np.concatenate([self._tokens.write(thirds), self.say(later)[..., None]], axis=-1)

    def _next_pair_sum(self, prompt, done):
        items = prompt.reshape(len(prompt), -1, self._tokens.width)
        first, second = (ends[done.shape[1]] for ends in np.triu_indices(items.shape[1], k=1))
        pair = self._tokens.read(items[:, [first, second]])[..., 0, :]
        third = self._tokens.write(-pair.sum(axis=1) % self.modulus)
        later = (items[:, second + 1 :] == third[:, None]).all(axis=-1).any(axis=1)
        return np.concatenate([third, self.say(later)[:, None]], axis=-1)

    def _pair_search(self, prompt):
        steps = self._pair_sums(prompt)
        steps[..., -1] = np.maximum.accumulate(steps[..., -1], axis=1)  # yes is the token after no
        return steps

    def _next_pair(self, prompt, done):
        step = self._next_pair_sum(prompt, done)
        step[:, -1:] = np.maximum(step[:, -1:], self._any(done[:, -1:]))
        return step

    def _scan(self, prompt):
        return self.say(self._found(prompt))[..., None]

    def _next_scanned(self, prompt, done):
        items = self._tokens.read(prompt)
        place = done.shape[1]
        first, second = np.triu_indices(place, k=1)
        sums = items[:, first] + items[:, second] + items[:, [place]]
        hit = (sums % self.modulus == 0).all(axis=-1).any(axis=1, keepdims=True)
        return np.maximum(self.say(hit), self._any(done[:, -1:]))

    def _any(self, steps):
        """(B, S, W) -> (B, 1): *yes* if the last token of any step is."""
        return self.say((steps[..., -1] == self.say(np.array(True))).any(axis=1))[:, None]
