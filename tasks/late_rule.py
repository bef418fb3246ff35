"""Do two items add up to a number that is told only after them?

Given residues x_1 .. x_n modulo ``values`` and a target c, answer *yes* iff x_i + x_j = c for some i < j: ``match2``
with the target in the prompt. With rule=last it comes after the items. Under a causal mask no item then knows what to
look for: it can keep what might be asked, or the model must look again. With rule=first the same content comes in the
other order, and each item looks for its partner c - x_i. What an encoder, or a prefix model that reads the prompt in
both directions, makes of it does not depend on the order: this is the order-sensitive task of claim C2, what a causal
mask costs (statement S3).

>>> task = LateRule(values=16)
>>> prompt = np.array([[3, 9, 8, 16 + 12], [3, 11, 8, 16 + 12]])  # a twin: one item; 3 + 9 = 12
>>> [task.word(token) for token in prompt[0]], [task.word(token) for token in task.solve(prompt)[:, 0]]
(['3', '9', '8', 'c=12'], ['yes', 'no'])
>>> task.traces["lookup"].steps(prompt)[0].tolist()  # x_i, c - x_i, "found so far?" (32 = no, 33 = yes)
[[3, 9, 32], [9, 3, 33], [8, 4, 33]]
>>> task.so_far(prompt)[0].tolist()  # before the rule is told, there is no answer
[-1, -1, -1, 33]
>>> LateRule(values=16, rule="first").so_far(np.array([[28, 3, 9, 8]])).tolist()
[[-1, 32, 33, 33]]
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from tasks.base import Bound, Ints, Theory, Trace, require
from tasks.decision import Decision
from tasks.pairs import PairSearch
from tasks.sums import Sums, lookup

CIRCUIT = Bound("AC0", "values = poly(n)", "an OR over the n(n-1)/2 pairs")
TIME = Bound("Θ(n)", "a table of the items, read once c is known", "hashing; any item may turn the answer")
LAST = Theory(
    time=TIME,
    state=Bound(
        "Ω(min(n, values)) bits",
        "2·values are enough: each value was seen not at all, once or more often",
        "fooling set: of sets without a match for c = 0, one more item and that target tell any two apart",
    ),
    circuit=CIRCUIT,
    steps=Bound(
        "0",
        "an encoder or a prefix model of three layers",
        "read c, attend to c - x_i, an OR; a causal one in n steps, the trace lookup: they come after c",
    ),
    layers=Bound(
        "3",
        "an encoder or a prefix model; what a causal one needs is not known: two layers are enough with a width of "
        "Θ(values) and Θ(values²) hidden units, a histogram and then an AND for each pair of values",
        "read c, attend to c - x_i, an OR; encoders and decoders are separated on other problems, by Chen, Peng, Wu "
        "2024 (arXiv 2412.02975)",
    ),
)
FIRST = Theory(
    time=TIME,
    state=Bound(
        "Ω(min(n, values)) bits",
        "once c is told, log2(3^p·2^s + 1) on long prompts: p pairs {v, c - v}, s values that are their own partner",
        "match2, whose items are shifted; set disjointness",
    ),
    circuit=CIRCUIT,
    steps=Bound("0", "three softmax layers, causal or not", "read c, attend to c - x_i, an OR"),
    layers=Bound("3", "logit scale Θ(log n); that two are too few is not known", "read c, attend to c - x_i, an OR"),
)


@dataclass(frozen=True)
class LateRule(Decision):
    """Whether two of n residues add up to c. Residues are the first tokens, as many targets follow: P = n + 1."""

    values: int = 64  # the modulus
    rule: str = "last"  # where c stands in the prompt, or first

    version = 1
    golden = {1: "eedf531467a1125d"}
    shortest, longest = 2, 1024
    twin_tokens = 1

    def __post_init__(self):
        require(self.rule in ("first", "last"), "rule", self.rule, "first and last exist")
        require(self.values >= 5, "values", self.values, "at least 5 are needed for two pairs {v, c - v} to exist")
        require(self.values <= 2**20, "values", self.values, "at most 1048576 are possible")

    @property
    def theory(self) -> Theory:
        """One content, two orders."""
        return LAST if self.rule == "last" else FIRST

    @property
    def symbols(self) -> int:
        """The residues, then the targets."""
        return 2 * self.values

    @property
    def traces(self) -> Mapping[str, Trace]:
        """A table and one pass, every pair, a scan of answers."""
        search = PairSearch(
            items=lambda prompt: self._question(prompt)[0],
            hit=lambda prompt, x, y: (x == self._partner(prompt, y))[..., 0],
            found=lambda prompt: Sums(self.values).found(*self._question(prompt)),
            say=self.say,
        )
        return {"lookup": lookup(search, self._partner), "pairs": search.pairs, "scan": search.scan}

    def twins(self, rng: np.random.Generator, pairs: int, length: int) -> Ints:
        """One item moves: it is the partner of another, then of none and like none. The target is theirs together."""
        target = self._targets(rng, pairs)
        twins = Sums(self.values).twins(rng, target, pairs, length).reshape(2 * pairs, length, 1)
        return self._write(twins, np.repeat(target, 2, axis=0)).reshape(pairs, 2, length + 1)

    def broad(self, rng: np.random.Generator, yes: np.ndarray, length: int) -> Ints:
        """The number of pairs {v, c - v} that occur is uniform over those possible with the values that occur."""
        target = self._targets(rng, len(yes))
        return self._write(Sums(self.values).broad(rng, target, yes, length), target)

    def natural(self, rng: np.random.Generator, size: int, length: int) -> Ints:
        """Uniform items, a uniform target."""
        return self._write(Sums(self.values).natural(rng, size, length), self._targets(rng, size))

    def holds(self, prompt: Ints) -> np.ndarray:
        """Sort by pairs {v, c - v}, compare each item with the first of its pair."""
        return Sums(self.values).found(*self._question(prompt))[:, -1]

    def solve(self, prompt: Ints) -> Ints:
        """Add every two, (B, P) -> (B, 1)."""
        matched = []
        for row in prompt.tolist():
            target, items = (row[-1], row[:-1]) if self.rule == "last" else (row[0], row[1:])
            matched.append(any((x + y - target) % self.values == 0 for x, y in combinations(items, 2)))
        return self.say(np.array(matched))[:, None]

    def so_far(self, prompt: Ints) -> Ints:
        """Is there a match, up to this item? (B, P); with rule=last there is no answer before the target."""
        told, found = np.full(prompt.shape, -1), self.say(Sums(self.values).found(*self._question(prompt)))
        if self.rule == "last":
            told[:, -1] = found[:, -1]
        else:
            told[:, 1:] = found
        return told

    @classmethod
    def variations(cls) -> tuple["LateRule", ...]:
        """The control: the same content, the rule first."""
        return (cls(rule="first"),)

    @classmethod
    def tiny(cls) -> tuple["LateRule", int]:
        """Five values, four items and a target: 3,125 prompts."""
        return cls(values=5), 4

    def prompts(self, length: int) -> Ints:
        """Every sequence of items with every target."""
        items, targets = [range(self.values)] * length, [range(self.values, 2 * self.values)]
        return np.array(list(product(*(items + targets if self.rule == "last" else targets + items))), dtype=np.int64)

    def symbol(self, token: int) -> str:
        """Items read as numbers, targets as c=7."""
        return str(token) if token < self.values else f"c={token - self.values}"

    def _targets(self, rng, size) -> Ints:
        return rng.integers(0, self.values, (size, 1, 1))

    def _write(self, items, target) -> Ints:
        """(B, n, 1), (B, 1, 1) -> (B, n + 1)."""
        parts = [items[..., 0], self.values + target[..., 0]]
        return np.concatenate(parts if self.rule == "last" else parts[::-1], axis=1)

    def _question(self, prompt) -> tuple[Ints, Ints]:
        """The items, (B, n, 1), and the target, (B, 1, 1)."""
        at = -1 if self.rule == "last" else 0
        return np.delete(prompt, at, axis=1)[..., None], prompt[:, at, None, None] - self.values

    def _partner(self, prompt, items) -> Ints:
        """(B, P), (B, m, 1) -> (B, m, 1)."""
        return Sums(self.values).partner(items, self._question(prompt)[1])
