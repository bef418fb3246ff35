"""What is the value of an expression in brackets, modulo a prime?

Given n operators + - * / and n + 1 numbers below ``modulus``, say the value. The expression is a tree, and finding its
value is NC1-complete: constant depth is not enough unless TC0 = NC1, while one value after the other, written down, is
easy at each step. Feng et al. 2023 showed both and trained it. Their expressions leave needless brackets out, and so
differ in length; here each operator has its brackets, and n operators make 4n + 1 tokens whatever the tree is.
The answer is a number, in the same tokens as the prompt's numbers: the last rewriting *is* the answer.

>>> task = Arithmetic()
>>> words = [task.word(token) for token in range(task.vocab)]
>>> prompt = np.array([[words.index(w) for w in line] for line in ("((7*5)/(6+4))", "((7*6)/(6+4))")])  # a twin
>>> task.solve(prompt).tolist()
[[9], [2]]
>>> "".join(task.word(token) for token in task.traces["rewriting"].steps(prompt)[0, :, 0])
'=(2/(6+4))=(2/10)=9'
>>> [" ".join(map(task.word, step)) for step in task.traces["values"].steps(prompt)[0]]  # a, operator, b, result
['7 * 5 2', '6 + 4 10', '2 / 10 9']
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import isqrt

import numpy as np

from tasks.base import Bound, Instance, Ints, Task, Theory, Trace, require

PLUS, MINUS, TIMES, OVER, OPEN, CLOSE, EQUALS = range(7)  # the tokens after the numbers, counted from the modulus


@dataclass(frozen=True)
class Arithmetic(Task):
    """The value of n operators on numbers modulo a prime. Nothing is ever divided by zero."""

    modulus: int = 11  # p

    version = 1
    golden = {1: "149f3f20b0529dfe"}
    shortest, longest = 1, 256
    twin_tokens = 1
    theory = Theory(
        time=Bound("Θ(n)", "", "one pass with a stack; each number may turn the value"),
        state=Bound(
            "⌈n/2⌉·log2 p bits at least",
            "p = modulus, in the worst tree; a stack holds a number and an operator for each open bracket",
            "fooling set: what follows (a+((b+((c+··· may multiply by 0 all but the first few",
        ),
        circuit=Bound("NC1-complete", "", "from the value of Boolean formulas, Buss 1987; Feng et al. 2023"),
        steps=Bound(
            "O(n)",
            "constant depth",
            "a rewriting of O(n) tokens for each operator, Feng et al. 2023; without any, only if TC0 = NC1",
        ),
        layers=Bound(
            "O(log n)",
            "padded; a constant number is not enough, unless TC0 = NC1",
            "NC1 lies in TC1, which is log n loops (arXiv 2505.18948)",
        ),
    )

    def __post_init__(self):
        p = self.modulus
        prime = 2 <= p <= 997 and all(p % divisor for divisor in range(2, isqrt(p) + 1))
        require(prime, "modulus", p, "a prime from 2 to 997 is needed, so that all but 0 can be divided by")

    @property
    def vocab(self) -> int:
        """The numbers, four operators, two brackets, and = before each rewriting."""
        return self.modulus + 7

    @property
    def traces(self) -> Mapping[str, Trace]:
        """The whole expression again after each operator (Feng et al.), or the operation and its result alone.

        Both take the bracket that closes first. A step of ``rewriting`` is one token, = or one of the expression.
        """
        return {
            "rewriting": Trace(
                width=1,
                law="2n^2",  # 1 + 4(n-i) + 1 for each i
                count=lambda length: 2 * length**2,
                steps=lambda prompt: self._rewritings(prompt)[..., None],
                next=self._next_token,
                read=lambda steps: steps[:, -1],
            ),
            "values": Trace(
                width=4,
                law="n",
                count=lambda length: length,
                steps=lambda prompt: np.stack([operation for operation, _ in self._reductions(prompt)], axis=1),
                next=self._next_operation,
                read=lambda steps: steps[:, -1, 3:],
            ),
        }

    def sample(self, rng: np.random.Generator, size: int, length: int, split: str) -> Instance:
        """See :meth:`Task.sample`. An expression is made from its value: again and again, a number becomes a bracket.

        Operators are uniform, and so are numbers, among those that can have the value. In boundary and broad, all
        values are equally frequent and the depth of the tree is spread evenly from that of the flattest to n. Natural
        draws the value, and then each number to become a bracket, uniformly, as Feng et al. do. The twins of boundary
        differ in one number at any place.
        """
        self.refuse(length, split)
        rows, p = (size + 1) // 2 if split == "boundary" else size, self.modulus
        even = split != "natural"
        value = rng.permutation(np.resize(rng.permutation(p), rows)) if even else rng.integers(0, p, rows)
        grown = _grown(rng, rng.integers(length.bit_length(), length + 1, rows) if even else None, rows, length)
        if split == "boundary":
            other = (value + 1 + rng.integers(0, p - 1, rows)) % p
            value, side = np.stack([value, other]), _sides(rng, grown)
        else:
            value, side = value[None], np.zeros_like(grown)
        prompt = self._written(rng, value, grown, side).swapaxes(0, 1)  # (rows, 1 or 2, P)
        return Instance(prompt.reshape(-1, prompt.shape[2])[:size], value.T.reshape(-1, 1)[:size])

    def solve(self, prompt: Ints) -> Ints:
        """Read each expression as it is defined, (B, P) -> (B, 1)."""
        return np.array([[self._evaluated(iter(row))] for row in prompt.tolist()])

    def chance(self, length: int) -> float:
        """Any number."""
        return 1 / self.modulus

    @classmethod
    def tiny(cls) -> tuple["Arithmetic", int]:
        """Two operators modulo 3: 2 trees, and what they can hold."""
        return cls(modulus=3), 2

    def prompts(self, length: int) -> Ints:
        """Every expression that divides by nothing that is 0."""
        return np.array(self._every(length), dtype=np.int64)

    def word(self, token: int) -> str:
        """Numbers, + - * / ( ) and =."""
        return str(token) if token < self.modulus else "+-*/()="[int(token) - self.modulus]

    def _applied(self, operator, left, right) -> Ints:
        """The result of an operation, token by token."""
        results = [left + right, left - right, left * right, left * _inverses(self.modulus)[right]]
        return np.choose(operator - self.modulus, results) % self.modulus

    def _evaluated(self, tokens) -> int:
        p = self.modulus
        first = next(tokens)
        if first < p:
            return first
        left, operator, right, _ = self._evaluated(tokens), next(tokens), self._evaluated(tokens), next(tokens)
        return {
            p + PLUS: lambda: left + right,
            p + MINUS: lambda: left - right,
            p + TIMES: lambda: left * right,
            p + OVER: lambda: left * pow(right, -1, p),  # ValueError if right is 0
        }[operator]() % p

    def _every(self, operators) -> list[tuple[int, ...]]:
        """All expressions with so many operators."""
        p = self.modulus
        found = [(number,) for number in range(p) if operators == 0]
        for before in range(operators):
            sides = self._every(before), range(p, p + 4), self._every(operators - 1 - before)
            for left, operator, right in product(*sides):
                if operator != p + OVER or self._evaluated(iter(right)) != 0:
                    found.append((p + OPEN, *left, operator, *right, p + CLOSE))
        return found

    def _written(self, rng, value, grown, side) -> Ints:
        """Expressions with these values (R, B), which differ in one number at most, (R, B, P)."""
        (same, size), length, rows = value.shape, len(grown), np.arange(value.shape[1])
        # Of each number: its R values, the operator after it, and how many brackets open before it and close after it.
        parts = np.zeros((same + 3, size, length + 1), dtype=np.int64)
        parts[:same, :, 0] = value
        for step, (at, inside) in enumerate(zip(grown, side, strict=True)):
            _double(parts[..., : step + 2], at)
            first, second = parts[:, rows, at], parts[:, rows, at + 1]
            first[:same], first[same], second[:same] = self._split(rng, first[:same], inside)
            first[same + 1 :] += [[1], [0]]
            first[same + 2], second[same + 1] = 0, 0
            second[same + 2] += 1
            parts[:, rows, at], parts[:, rows, at + 1] = first, second
        numbers, operators, (opened, closed) = parts[:same], parts[same, :, :-1], parts[same + 1 :]
        place = 2 * np.arange(length + 1) + opened.cumsum(axis=1) + closed.cumsum(axis=1) - closed
        between = (place + closed + 1)[:, :-1]
        seen = np.zeros((size, 4 * length + 1), dtype=np.int64)
        np.put_along_axis(seen, np.concatenate([place, between], axis=1), 1, axis=1)
        # After a number and before the operator, what stands between them can only close, elsewhere it can only open.
        brackets = self.modulus + np.where(seen.cumsum(axis=1) % 2, CLOSE, OPEN)
        prompt = np.repeat(brackets[None], same, axis=0)
        np.put_along_axis(prompt, place[None], numbers, axis=2)
        np.put_along_axis(prompt, between[None], self.modulus + operators[None], axis=2)
        return prompt

    def _split(self, rng, value, side) -> tuple[Ints, Ints, Ints]:
        """Numbers a (R, B), operators (B,) and numbers b (R, B) with a operator b = value.

        One of a and b is drawn and has one value in all R, the other follows: a, and b where ``side`` is 2.
        """
        p, second, zero = self.modulus, side == 2, value == 0
        never = second & zero.any(axis=0)  # no b makes a / b zero, unless a is
        operator = rng.integers(0, np.where(never, OVER, OVER + 1))
        drawn = rng.integers((operator >= TIMES).astype(np.int64), p)  # from 1: a factor 0 leaves nothing to follow
        other = _others(p)[second.view(np.int8), operator, drawn, value]
        # That leaves out a · 0 = 0. Of the 2p - 1 products that are zero in all R, any is as likely.
        product_is_zero = (operator == TIMES) & zero.all(axis=0)
        one = rng.integers(0, 2 * p - 1, len(side))
        a = np.where(product_is_zero, np.maximum(one - p + 1, 0), np.where(second, drawn, other))
        b = np.where(product_is_zero, np.where(one < p, one, 0), np.where(second, other, drawn))
        return a, operator, b

    def _reduced(self, expression) -> tuple[Ints, Ints]:
        """The bracket that closes first: a, operator, b, result (B, 4), and the expression without it (B, L - 4)."""
        close = (expression == self.modulus + CLOSE).argmax(axis=1)[:, None]
        left, operator, right = (np.take_along_axis(expression, close - back, axis=1) for back in (3, 2, 1))
        result = self._applied(operator, left, right)
        place = np.arange(expression.shape[1] - 4)
        shorter = np.take_along_axis(expression, place + 4 * (place > close - 4), axis=1)
        np.put_along_axis(shorter, close - 4, result, axis=1)
        return np.concatenate([left, operator, right, result], axis=1), shorter

    def _reductions(self, prompt):
        """Each operation, in the order in which brackets close, and what is left after it."""
        while prompt.shape[1] > 1:
            operation, prompt = self._reduced(prompt)
            yield operation, prompt

    def _rewritings(self, prompt) -> Ints:
        equals = np.full((len(prompt), 1), self.modulus + EQUALS)
        return np.concatenate([part for _, left in self._reductions(prompt) for part in (equals, left)], axis=1)

    def _next_token(self, prompt, done):
        """Which rewriting is being written, and which token of it: from the one before it, the prompt at first."""
        before, written = prompt, done[:, :, 0]
        while written.shape[1] >= before.shape[1] - 3:  # a rewriting is 4 tokens shorter, and has = before it
            before, written = np.split(written, [before.shape[1] - 3], axis=1)
            before = before[:, 1:]
        if written.shape[1] == 0:
            return np.full((len(prompt), 1), self.modulus + EQUALS)
        return self._reduced(before)[1][:, [written.shape[1] - 1]]

    def _next_operation(self, prompt, done):
        """The next bracket that closes, on numbers of the prompt or on earlier results."""
        rows, p, step = np.arange(len(prompt)), self.modulus, done.shape[1]
        closing = prompt == p + CLOSE
        close = (closing.cumsum(axis=1) == step + 1).argmax(axis=1)
        depth = (prompt == p + OPEN).cumsum(axis=1) - closing.cumsum(axis=1)
        operator = (prompt >= p) & (prompt < p + OPEN) & (depth == 1 + depth[rows, close][:, None])
        place = np.arange(prompt.shape[1])
        at = np.where(operator & (place < close[:, None]), place, 0).max(axis=1)  # the last one as deep as this bracket
        inside = (close - at - 2) // 4  # operators of b: their results, the last of which is b, are the latest
        results = np.concatenate([np.zeros((len(prompt), 1), dtype=np.int64), done[:, :, 3]], axis=1)
        left, right = prompt[rows, at - 1], prompt[rows, close - 1]
        left = np.where(left < p, left, results[rows, step - inside])
        right = np.where(right < p, right, results[:, step])
        return np.column_stack([left, prompt[rows, at], right, self._applied(prompt[rows, at], left, right)])


@cache
def _inverses(modulus) -> Ints:
    """1/a of each number a, 0 for 0."""
    return np.array([0, *(pow(a, -1, modulus) for a in range(1, modulus))])


@cache
def _others(p) -> Ints:
    """The other number of an operation, at [which, operator, one number, result]: a if that one is b, b if it is a."""
    one, result = np.indices((p, p), dtype=np.int32)
    inverses = _inverses(p).astype(np.int32)
    follows = [
        [result - one, result + one, result * inverses[one], result * one],
        [result - one, one - result, result * inverses[one], one * inverses[result]],
    ]
    others = np.array([[numbers % p for numbers in which] for which in follows], dtype=np.int16)
    others.setflags(write=False)
    return others


def _grown(rng, depth, size, length) -> Ints:
    """Which number becomes a bracket, at each of the n steps, (n, B); where ``depth`` (B,) is given, to that depth.

    To reach it, one of the two deepest numbers is taken as often as that; then any that are not as deep.
    """
    if depth is None:
        return np.array([rng.integers(0, step + 1, size) for step in range(length)])
    grown, level, rows = [], np.zeros((size, length + 1), dtype=np.int64), np.arange(size)
    for step in range(length):
        here = level[:, : step + 1]
        good = np.where((step < depth)[:, None], here == step, here < depth[:, None])  # the deepest, the shallow ones
        grown.append(np.where(good, rng.random(here.shape), -1).argmax(axis=1))
        level[rows, grown[-1]] += 1
        _double(level[:, : step + 2], grown[-1])
    return np.array(grown)


def _sides(rng, grown) -> Ints:
    """At each step, whether a number that is uniform in the end lies in the bracket: 0 no, 1 as a, 2 as b, (n, B)."""
    mark, side = rng.integers(0, len(grown) + 1, grown.shape[1]), np.empty_like(grown)
    for step in reversed(range(len(grown))):
        side[step] = (mark == grown[step]) + 2 * (mark == grown[step] + 1)
        mark -= mark > grown[step]
    return side


def _double(rows, at) -> None:
    """The entry at ``at`` (B,) takes the next place too, those behind it move on and the last is lost: (..., B, k)."""
    np.copyto(rows[..., 1:], rows[..., :-1], where=np.arange(1, rows.shape[-1]) > at[:, None])
