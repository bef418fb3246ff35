"""Do two items add up to zero modulo M?

Given n tuples of ``dim`` residues, answer *yes* iff x_i + x_j = 0 in every coordinate for some i < j: Match2, the 2SUM
of attention. One attention unit matches every item with its negative, and a table decides it in one pass; yet the table
is what a state must hold, which values were seen: hard in state, easy in time. With three items it is ``match3``.

>>> task = Match2(modulus=16)
>>> prompt = np.array([[3, 6, 10, 3], [3, 6, 9, 3]])  # a twin: one item; 6 + 10 = 16
>>> [task.word(token) for token in task.solve(prompt)[:, 0]]
['yes', 'no']
>>> task.traces["lookup"].steps(prompt)[0].tolist()  # x_i, -x_i, "found so far?" (16 = no, 17 = yes)
[[3, 13, 16], [6, 10, 16], [10, 6, 17], [3, 13, 17]]
>>> task.so_far(prompt)[0].tolist()
[16, 16, 17, 17]

0 and M/2 are their own negatives: one alone is no match, two are. A decider must tell which one of each other pair
{v, -v} it has seen, or neither, unless a match is found, and that is all:

>>> task.classes() == 3**7 * 2**2 + 1
True

Source: Sanford, Hsu, Telgarsky 2023 (arXiv 2306.02896), where each item says whether it has a match.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from math import comb, log2

import numpy as np

from tasks.base import Bound, Ints, Theory, Trace, require
from tasks.decision import Decision
from tasks.pairs import PairSearch
from tasks.sums import Sums, lookup
from tasks.vectors import Tokens

MOST = 65_536  # tuples that can be tokens of their own
COUNTED = 1024  # tuples up to which the classes are written out: their number has 245 digits there


@dataclass(frozen=True)
class Match2(Decision):
    """Whether two of n tuples add up to zero. The tuples or their coordinates are the first tokens."""

    modulus: int = 64
    dim: int = 1  # coordinates of a tuple
    tokens: str = "item"  # a tuple is one token, or dim with "coordinate"

    version = 1
    golden = {1: "0cb366f7a1f8a8b2"}
    shortest, longest = 2, 1024
    twin_tokens = 1
    theory = Theory(
        time=Bound("Θ(n)", "a table of what was seen", "hashing; the last item alone may turn the answer"),
        state=Bound(
            "log2(3^p·2^s + 1) bits",
            "long prompts; p pairs {v, -v}, s tuples that are their own negatives; Ω(min(n, M^dim)) bits at any length",
            "the automaton, minimal by a fooling set: one more item tells apart what was seen; set disjointness",
            exact=True,
        ),
        circuit=Bound("AC0", "M^dim = poly(n)", "an OR over the n(n-1)/2 pairs"),
        steps=Bound("0", "two softmax layers", "each item attends to its negative, then an OR"),
        layers=Bound(
            "2",
            "a constant token to answer at, logit scale Θ(log n); one layer would need H·m·p = Ω(min(n, M^dim))",
            "one unit with trigonometric features: Sanford, Hsu, Telgarsky 2023 (arXiv 2306.02896); "
            "one layer by INDEX, as in arXiv 2408.14332",
        ),
    )

    def __post_init__(self):
        count, dim = f"{self.modulus}**{self.dim} tuples", self.dim
        require(self.tokens in ("item", "coordinate"), "tokens", self.tokens, "item and coordinate exist")
        require(self.modulus >= 5, "modulus", self.modulus, "at least 5 is needed for two pairs {v, -v} to exist")
        require(self.modulus <= 2**20, "modulus", self.modulus, "at most 1048576 is possible")
        require(1 <= dim <= 26, "dim", dim, "1 to 26 are possible")
        fits = self.modulus**dim <= 2**62
        require(fits, "dim", dim, f"{count} are more than the 2**62 that can be told apart")
        few = self.tokens == "coordinate" or self.modulus**dim <= MOST
        require(few, "tokens", self.tokens, f"{count} are more than {MOST:,} tokens; coordinate writes them in parts")

    @property
    def symbols(self) -> int:
        """The tuples, or the residues that are their coordinates."""
        return self._tokens.no

    @property
    def traces(self) -> Mapping[str, Trace]:
        """A table and one pass, every pair, a scan of answers."""
        search = PairSearch(
            items=lambda prompt: prompt.reshape(len(prompt), -1, self._tokens.width),
            hit=lambda prompt, x, y: (self._tokens.single(x) == self._sums.partner(self._tokens.single(y), 0)).all(
                axis=-1
            ),
            found=lambda prompt: self._sums.found(self._tokens.read(prompt), 0),
            say=self.say,
            width=self._tokens.width,
        )
        table = lookup(search, lambda _, items: self._tokens.write(self._sums.partner(self._tokens.single(items), 0)))
        return {"lookup": table, "pairs": search.pairs, "scan": search.scan}

    def twins(self, rng: np.random.Generator, pairs: int, length: int) -> Ints:
        """One coordinate of one item moves: the item is the negative of another, then of none and like none."""
        return self._tokens.line(self._sums.twins(rng, 0, pairs, length))

    def broad(self, rng: np.random.Generator, yes: np.ndarray, length: int) -> Ints:
        """The number of pairs {v, -v} that occur is uniform over those possible with the values that occur."""
        return self._tokens.line(self._sums.broad(rng, 0, yes, length))

    def natural(self, rng: np.random.Generator, size: int, length: int) -> Ints:
        """Uniform tuples."""
        return self._tokens.line(self._sums.natural(rng, size, length))

    def holds(self, prompt: Ints) -> np.ndarray:
        """Sort by pairs {v, -v}, compare each item with the first of its pair."""
        return self._sums.found(self._tokens.read(prompt), 0)[:, -1]

    def solve(self, prompt: Ints) -> Ints:
        """Add every two, (B, P) -> (B, 1)."""
        rows = self._tokens.read(prompt).tolist()
        matched = [
            any(all((a + b) % self.modulus == 0 for a, b in zip(x, y, strict=True)) for x, y in pairs)
            for pairs in (combinations(row, 2) for row in rows)
        ]
        return self.say(np.array(matched))[:, None]

    def so_far(self, prompt: Ints) -> Ints:
        """Is there a match, up to this item? Told at the last token of each, (B, P)."""
        return self._tokens.told(self.say(self._sums.found(self._tokens.read(prompt), 0)))

    def classes(self) -> int | None:
        """Of each pair {v, -v} neither was seen, or one side was; of each single one, it or not; or all is over."""
        count = self.modulus**self.dim
        single = 2**self.dim if self.modulus % 2 == 0 else 1
        return 3 ** ((count - single) // 2) * 2**single + 1 if count <= COUNTED else None

    def state_bits(self, length: int) -> float | None:
        """Half of the items were seen; only what has a partner other than itself can repeat and be no match."""
        count, seen = self.modulus**self.dim, length // 2
        if count > COUNTED:
            return None
        single = 2**self.dim if self.modulus % 2 == 0 else 1
        pairs = (count - single) // 2
        alone = [comb(single, of) for of in range(seen + 1)]
        sides = (comb(pairs, of) * 2**of * sum(alone[: seen - of + 1]) for of in range(1, min(pairs, seen) + 1))
        return log2(sum(sides) + alone[seen] + (seen > 1))

    @classmethod
    def variations(cls) -> tuple["Match2", ...]:
        """Tuples as the third-order problem has them, and tuples that are written coordinate by coordinate."""
        return cls(modulus=10, dim=3), cls(modulus=16, dim=2, tokens="coordinate")

    @classmethod
    def tiny(cls) -> tuple["Match2", int]:
        """Six values, four places: 1,296 prompts."""
        return cls(modulus=6), 4

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
    def _sums(self) -> Sums:
        return Sums(self.modulus, self.dim)
