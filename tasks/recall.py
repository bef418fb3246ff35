"""Which value came with this key? Multi-query associative recall (MQAR), the recall benchmark of Zoology.

A prompt of n tokens opens with N pairs key, value, all different. Then each key is asked once more, at even offsets and
in any order, and there, on the query's own token, the model says its value; all other tokens are blanks. A query is
likelier near the pairs: the N offsets are drawn one after another without replacement, offset 2i with weight
(i + 1)^(power - 1), the first for the first pair. Attention looks keys up; a fixed state must hold all the pairs.

>>> task = Recall(pairs=2, symbols=12)  # keys 1 .. 5, values 6 .. 11
>>> prompt = np.array([[2, 8, 4, 7, 0, 0, 4, 0, 2, 0]])
>>> " ".join(map(task.word, prompt[0]))
'k2 v2 k4 v1 . . k4 . k2 .'
>>> [task.word(token) for token in task.solve(prompt)[0]]  # said at positions 6 and 8
['v1', 'v2']
>>> task.sample(np.random.default_rng(0), 1, 10, "natural").at.tolist()
[[4, 6]]

Source: Arora et al., Zoology (arXiv 2312.04927), figure 2: symbols = 8192, power = 0.01, blanks, and
(n, pairs) = (64, 4), (128, 8), (256, 16), (512, 64); drawn as in its code, HazyResearch/zoology at d88d6f5.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain, permutations, product
from math import comb, log, log2, perm

import numpy as np

from tasks.base import SPLITS, Bound, Instance, Ints, Task, Theory, Trace
from tasks.sampling import distinct, spare

SETS = 50_000  # of slots taken before the last draw; the entropy is summed over them, for a second at most


@dataclass(frozen=True)
class Recall(Task):
    """``pairs`` keys and values, each key asked once. Token 0 is the blank, keys are the lower half, values the upper.

    ``power`` 1 scatters the queries evenly, less draws them towards the pairs. ``random_non_queries`` writes random
    tokens in place of the blanks, any but the prompt's own keys: whatever repeats a key is a query. (Zoology's are any
    at all, a few queries without an answer among them.)
    """

    pairs: int = 4
    symbols: int = 8192
    power: float = 0.01
    random_non_queries: bool = False

    version = 1
    golden = {1: "aa051ec29847bf28"}
    longest = 1024
    twin_tokens = 1
    theory = Theory(
        time=Bound("Θ(n)", "looking a key up takes one step", "one pass with a table; the last token may be a query"),
        state=Bound(
            "log2(M(M-1)···(M-N+1)) bits at least, about N·log2 M",
            "N = pairs, M = symbols / 2 values; with the keys known beforehand",
            "fooling set, as for INDEX: the query of a value tells apart what differs in it; Arora et al. 2024 (Based)",
        ),
        circuit=Bound("AC0", "", "an OR over the places of equalities of log2(symbols) bits"),
        steps=Bound("0", "a softmax model of two layers", "answers are said inside the prompt, before any step"),
        layers=Bound(
            "2",
            "width O(log symbols): a head that looks one back, a head that matches; a short convolution makes 1 enough",
            "Sanford, Hsu, Telgarsky 2024 (arXiv 2408.14332): one layer needs size linear in n",
        ),
    )

    def __post_init__(self):
        if not 1 <= self.pairs <= self.longest // 4:
            raise ValueError(
                f"task.pairs={self.pairs}: 1 to {self.longest // 4} are possible; "
                f"pairs and queries take 4·pairs tokens, and lengths go up to {self.longest}"
            )
        if self.symbols < 2 * self.pairs + 2:
            raise ValueError(
                f"task.symbols={self.symbols}: at least {2 * self.pairs + 2} are needed with task.pairs={self.pairs}; "
                "half of them are the blank and the keys, half the values and one more for the twin"
            )
        if self.symbols > 2**20:
            raise ValueError(f"task.symbols={self.symbols}: at most 1048576 are possible")
        if not 0 < self.power <= 10:
            raise ValueError(
                f"task.power={self.power}: above 0 and up to 10 is possible; 1 scatters the queries evenly"
            )

    @property
    def vocab(self) -> int:
        """The symbols: answers are values, said inside the prompt."""
        return self.symbols

    @property
    def shortest(self) -> int:
        """Two tokens for each pair, two for each query."""
        return 4 * self.pairs

    @property
    def shortcuts(self) -> tuple[str, ...]:
        """Whatever shows which values occur: they are the answers, in one of pairs! orders, and up to 3! are few."""
        return ("maximum", "total", "bag_of_tokens", "positions") if self.pairs <= 3 else ()

    @property
    def traces(self) -> Mapping[str, Trace]:
        """None: what is asked inside the prompt is answered before a step could be written."""
        return {}

    def sample(self, rng: np.random.Generator, size: int, length: int, split: str) -> Instance:
        """See :meth:`Task.sample`. Broad and natural are the paper's prompts, and so is each row of boundary.

        The twins of boundary differ in the value of one pair, and so in one answer token. Raises ValueError for a
        length outside ``shortest`` .. ``longest``.
        """
        if split not in SPLITS:
            raise ValueError(f"split={split}: {', '.join(SPLITS)} exist")
        if not self.shortest <= length <= self.longest:
            raise ValueError(f"length={length}: {self.shortest} to {self.longest} are possible, pairs={self.pairs}")
        pairs, half = self.pairs, self.symbols // 2
        keys = 1 + distinct(rng, size, pairs, half - 1)  # (B, N)
        values = half + distinct(rng, size, pairs, self.symbols - half)  # (B, N)
        slots = self._draw_slots(rng, size, length)  # (B, N)
        prompt = np.zeros((size, length), dtype=np.int64)
        if self.random_non_queries:
            prompt = spare(rng.integers(0, self.symbols - pairs, (size, length)), keys)
        if split == "boundary":
            odd = np.arange(1, size, 2)
            for part in (keys, values, slots, prompt):
                part[odd] = part[odd - 1]
            other = spare(rng.integers(0, self.symbols - half - pairs, (len(odd), 1)), values[odd] - half)
            values[odd, rng.integers(0, pairs, len(odd))] = half + other[:, 0]
        prompt[:, : 2 * pairs : 2], prompt[:, 1 : 2 * pairs : 2] = keys, values
        at = 2 * pairs + 2 * slots
        np.put_along_axis(prompt, at, keys, axis=1)
        order = at.argsort(axis=1)
        return Instance(prompt, np.take_along_axis(values, order, axis=1), np.take_along_axis(at, order, axis=1))

    def solve(self, prompt: Ints) -> Ints:
        """Write the pairs into a dictionary and look up whatever is a key, from left to right, (B, P) -> (B, A)."""
        opening, answers = 2 * self.pairs, []
        for row in prompt.tolist():
            value_of = dict(zip(row[:opening:2], row[1:opening:2], strict=True))
            answers.append([value_of[token] for token in row[opening:] if token in value_of])
        return np.array(answers)

    def chance(self, length: int) -> float:
        """Any value for each query."""
        return float(self.symbols - self.symbols // 2) ** -self.pairs

    def state_bits(self, length: int) -> float:
        """The fooling set of ``theory.state``: an ordered choice of values, for keys that are known beforehand."""
        return log2(perm(self.symbols - self.symbols // 2, self.pairs))

    def entropy(self, length: int) -> float | None:
        """Of keys, values and the slots of the queries, exact; None where there are too many sets of slots."""
        pairs, half = self.pairs, self.symbols // 2
        placement = _placement((length - 2 * pairs) // 2, pairs, self.power)
        if placement is None:
            return None
        keys = sum(log(half - 1 - i) for i in range(pairs))
        values = sum(log(self.symbols - half - i) for i in range(pairs))
        others = (length - 3 * pairs) * log(self.symbols - pairs) if self.random_non_queries else 0.0
        return keys + values + placement + others

    @classmethod
    def variations(cls) -> tuple["Recall", ...]:
        """Random tokens in place of the blanks, queries scattered evenly."""
        return (cls(symbols=64, power=1.0, random_non_queries=True),)

    @classmethod
    def tiny(cls) -> tuple["Recall", int]:
        """Two pairs of three keys and four values, eleven places: 432 prompts."""
        return cls(pairs=2, symbols=8), 11

    def prompts(self, length: int) -> Ints:
        """Every choice of keys, values, slots and what stands between the queries."""
        pairs, half, slots = self.pairs, self.symbols // 2, (length - 2 * self.pairs) // 2
        keys, values = permutations(range(1, half), pairs), permutations(range(half, self.symbols), pairs)
        rows = []
        for key, value, slot in product(keys, values, permutations(range(slots), pairs)):
            query = dict(zip((2 * s for s in slot), key, strict=True))
            others = [token for token in range(self.symbols) if token not in key] if self.random_non_queries else [0]
            for other in product(others, repeat=length - 3 * pairs):
                rest = iter(other)
                later = [query[i] if i in query else next(rest) for i in range(length - 2 * pairs)]
                rows.append([*chain.from_iterable(zip(key, value, strict=True)), *later])
        return np.array(rows, dtype=np.int64)

    def word(self, token: int) -> str:
        """A dot for the blank, keys from k1, values from v0."""
        half = self.symbols // 2
        return f"v{token - half}" if token >= half else f"k{token}" if token else "."

    def _draw_slots(self, rng, size, length) -> Ints:
        """The slot of each pair's query, (B, N): the first to arrive in a race of exponential clocks.

        The next to arrive is any of those left with probability proportional to its weight, which is what drawing one
        after another without replacement means.
        """
        slots = (length - 2 * self.pairs) // 2
        weights = np.arange(1, slots + 1) ** (self.power - 1)
        return (rng.exponential(size=(size, slots)) / weights).argsort(axis=1)[:, : self.pairs]


@cache
def _placement(slots: int, queries: int, power: float) -> float | None:
    """Nats in ``queries`` successive draws of slots: the surprise of the next slot, over all sets of those taken."""
    if comb(slots, min(queries - 1, slots // 2)) > SETS:
        return None
    weight = [i ** (power - 1) for i in range(1, slots + 1)]
    chance_of, nats = {0: 1.0}, 0.0  # of each set of taken slots, a bit for each slot
    for to_come in reversed(range(queries)):
        after = defaultdict(float)
        for taken, chance in chance_of.items():
            free = [slot for slot in range(slots) if not taken >> slot & 1]
            total = sum(weight[slot] for slot in free)
            for slot in free:
                share = weight[slot] / total
                nats -= chance * share * log(share)
                if to_come:
                    after[taken | 1 << slot] += chance * share
        chance_of = after
    return nats
