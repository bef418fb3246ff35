"""How many pairs complete the last item to a sum of 0 modulo n?

Given residues x_1 .. x_n modulo their own number n, answer |{(i, j) : x_i + x_j + x_n = 0 mod n}| mod n, i and j from 1
to n. Only the last item says which sums count, so whoever reads from left to right, as a causal mask makes a model do,
must keep how often each residue came, while a model that sees the last item from every place adds up a few numbers:
does the mask cost something? (One that is as wide as there are residues keeps the counts with ease. The question is
about narrow ones.) With a fixed modulus few counts are enough, and the mask costs nothing: that is the control.

>>> task = Count3()
>>> prompt = np.array([[1, 2, 3, 0, 1], [1, 2, 3, 1, 1]])  # a twin: one item is another, two more pairs count
>>> [task.word(token) for token in task.solve(prompt)[:, 0]]
['=0', '=2']
>>> for step in task.traces["targets"].steps(prompt)[1]:  # what completes an item, how often it is there, sum so far
...     print(*map(task.word, step))
3 =1 =1
2 =1 =2
1 =3 =0
3 =1 =1
3 =1 =2

Source: Ewer et al., ENTP (arXiv 2410.01600; Triplet-Counting in its first version), where every item of a sequence is
the answer to those before it. There a seed comes first and an item is not always less than n; here all items are free
and less than n, and one answer is asked. Written from memory of the definition, which could not be looked up.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from tasks.base import Bound, Instance, Ints, Task, Theory, Trace, require

Made = Callable[[Ints], Ints]  # numbers of prompts that were drawn (B,) -> these, with twins if they are to have one
POOL, ROUNDS = 2048, 128  # of prompts drawn at once, and how often, to find those with the wanted answers


@dataclass(frozen=True)
class Count3(Task):
    """The pairs that complete the last of n residues, counted modulo n, or modulo a fixed ``modulus``.

    Residues come first among the tokens, then as many answers. Of fewer than eight items, how many of them differ says
    too much of the answer.
    """

    modulus: int = 0  # m; 0: the number of items, n

    version = 1
    golden = {1: "cd17a01533bece10"}
    twin_tokens = 1
    theory = Theory(
        time=Bound(
            "Θ(n)",
            "with space for n counts; O(n²) is known in constant space",
            "a table of counts; each pair by itself (Ewer et al. 2024)",
        ),
        state=Bound(
            "Θ(n) bits",
            "before the last item; log2 C(2n-2, n-1) < 2n are enough, with a fixed modulus m·log2(m)",
            "fooling set: n/16 free bits beside a residue that fills up; above, how often each residue came",
        ),
        circuit=Bound("TC0", "", "sums of n² products of bits"),
        steps=Bound("at most n", "a decoder that looks back at the prompt", "the trace of targets"),
        layers=Bound(
            "O(1)",
            "an encoder; a decoder of width O(n²), the counts of all residues in one mean",
            "Ewer et al. 2024 (arXiv 2410.01600); a narrow decoder cannot if a conjecture of theirs holds",
        ),
    )

    def __post_init__(self):
        good = self.modulus == 0 or (self.modulus % 2 == 1 and 5 <= self.modulus <= 63)
        allowed = "0, for the number of items, or an odd one from 5 to 63; of others some residues are rarely an answer"
        require(good, "modulus", self.modulus, allowed)

    @property
    def shortest(self) -> int:
        """Eight, or the modulus, so that every residue is an answer."""
        return self.modulus or 8

    @property
    def longest(self) -> int:
        """64, so many are the tokens; 1,024 with a fixed modulus."""
        return 1024 if self.modulus else 64

    @property
    def vocab(self) -> int:
        """As many residues as the longest prompt may have, and as many answers."""
        return 2 * self._residues

    @property
    def traces(self) -> Mapping[str, Trace]:
        """For each item the number of those that complete it, with the sum; every pair, with the count so far."""
        return {
            "targets": Trace(
                width=3,
                law="n",
                count=lambda length: length,
                steps=self._targets,
                next=self._next_target,
                read=lambda steps: steps[:, -1, 2:],
            ),
            "pairs": Trace(
                width=3,
                law="n(n+1)/2",
                count=lambda length: length * (length + 1) // 2,
                steps=self._pairs,
                next=self._next_pair,
                read=lambda steps: steps[:, -1, 2:],
            ),
        }

    def sample(self, rng: np.random.Generator, size: int, length: int, split: str) -> Instance:
        """See :meth:`Task.sample`. Broad is natural, given the answer, of which there are as many of each.

        So is boundary. In the odd row of a twin one item before the last is another, such that two more pairs count.
        With another last item nearly all pairs are others, which is no small edit.
        """
        self.refuse(length, split)
        m = self.modulus or length
        if split == "boundary":
            prompt = _balanced(rng, (size + 1) // 2, length, m, _twins).reshape(-1, length)[:size]
        elif split == "broad":
            prompt = _balanced(rng, size, length, m, _singles)[:, 0]
        else:
            prompt = rng.integers(0, m, (size, length))
        return Instance(prompt, self._say(_count(prompt, m))[:, None])

    def solve(self, prompt: Ints) -> Ints:
        """Try every pair, (B, P) -> (B, 1)."""
        answers, m = [], self.modulus or prompt.shape[1]
        for row in prompt.tolist():
            answers.append([sum((x + y + row[-1]) % m == 0 for x, y in product(row, repeat=2)) % m])
        return self._say(np.array(answers))

    def chance(self, length: int) -> float:
        """Any residue: each is the answer to some prompt."""
        return 1 / (self.modulus or length)

    def so_far(self, prompt: Ints) -> Ints:
        """The answer to the items up to each one, as in the paper: their number is the modulus if none is fixed."""
        counts = []
        for number in range(1, prompt.shape[1] + 1):
            m = self.modulus or number
            counts.append(_count(prompt[:, :number] % m, m))
        return self._say(np.stack(counts, axis=1))

    @classmethod
    def variations(cls) -> tuple["Count3", ...]:
        """The control: with a fixed modulus a fixed state is enough from left to right."""
        return (cls(modulus=11),)

    @classmethod
    def tiny(cls) -> tuple["Count3", int]:
        """Five residues, five places: 3,125 prompts, for which it is all the same whether the modulus is fixed."""
        return cls(modulus=5), 5

    def prompts(self, length: int) -> Ints:
        """Every sequence of residues."""
        return np.array(list(product(range(self.modulus or length), repeat=length)), dtype=np.int64)

    def word(self, token: int) -> str:
        """Residues read as digits, answers and counts with an equals sign."""
        return str(token) if token < self._residues else f"={int(token) - self._residues}"

    @property
    def _residues(self) -> int:
        return self.modulus or self.longest

    def _say(self, count) -> Ints:
        return self._residues + count

    def _targets(self, prompt):
        m = self.modulus or prompt.shape[1]
        target = (-prompt - prompt[:, -1:]) % m
        times = np.take_along_axis(_histogram(prompt, m), target, axis=1)
        counts = np.stack([times, times.cumsum(axis=1)], axis=2) % m
        return np.concatenate([target[:, :, None], self._say(counts)], axis=2)

    def _next_target(self, prompt, done):
        m = self.modulus or prompt.shape[1]
        target = (-prompt[:, done.shape[1]] - prompt[:, -1]) % m
        times = (prompt == target[:, None]).sum(axis=1)
        return np.column_stack([target, self._say(times % m), self._say((self._before(done) + times) % m)])

    def _pairs(self, prompt):
        m = self.modulus or prompt.shape[1]
        first, second = np.triu_indices(prompt.shape[1])
        x, y = prompt[:, first], prompt[:, second]
        times = np.where(first == second, 1, 2) * ((x + y + prompt[:, -1:]) % m == 0)  # (i, j) and (j, i)
        return np.stack([x, y, self._say(times.cumsum(axis=1) % m)], axis=2)

    def _next_pair(self, prompt, done):
        n, row, column = prompt.shape[1], 0, done.shape[1]
        while column >= n:  # the row of pairs (row, row), (row, row + 1), ... is exhausted
            row, column = row + 1, column - n + row + 1
        m, x, y = self.modulus or n, prompt[:, row], prompt[:, column]
        times = (1 if row == column else 2) * ((x + y + prompt[:, -1]) % m == 0)
        return np.column_stack([x, y, self._say((self._before(done) + times) % m)])

    def _before(self, done) -> Ints:
        """(B,): the count in the last step, 0 before the first."""
        return done[:, -1, -1] - self._residues if done.shape[1] else np.zeros(len(done), dtype=np.int64)


def _histogram(prompt, m) -> Ints:
    """(B, m): how often each residue is there."""
    rows = np.arange(len(prompt))[:, None] * m
    return np.bincount((rows + prompt).ravel(), minlength=len(prompt) * m).reshape(-1, m)


@cache
def _thirds(m) -> Ints:
    """(m, m): the residue that completes two."""
    thirds = -np.add.outer(np.arange(m), np.arange(m)) % m
    thirds.setflags(write=False)
    return thirds


def _completed(prompt, m) -> tuple[Ints, Ints]:
    """(B, m) twice: how often each residue is there, and how often the one that completes it with the last item."""
    times = _histogram(prompt, m)
    return times, times.take(_thirds(m)[prompt[:, -1]] + np.arange(len(prompt))[:, None] * m)


def _count(prompt, m) -> Ints:
    """(B,): for each item, how many complete it; their sum modulo m."""
    return _total(*_completed(prompt, m))


def _total(times, completing) -> Ints:
    return np.einsum("bm,bm->b", times, completing) % times.shape[1]


def _balanced(rng, size, length, m, draw) -> Ints:
    """(size, k, n): what ``draw`` gives, as many with each answer to the first of k prompts, one more of some.

    Every answer is that of at least one in 2,000 (measured; the rarest is that of 35 in 64 items), and so many are
    drawn that one is found too seldom less than once in 10^10 calls. Then some are as they come.
    """
    wanted, left = (rng.permutation(size) + rng.integers(m)) % m, np.arange(size)
    offered, made = draw(rng, max(POOL, 2 * size), length, m)
    found = made(np.arange(size) % len(offered))
    for _ in range(ROUNDS):
        met, by = _matched(wanted[left], offered)
        found[left[met]] = made(by)
        left = np.delete(left, met)
        if not len(left):
            break
        offered, made = draw(rng, max(POOL, 2 * size), length, m)
    return found


def _singles(rng, size, length, m) -> tuple[Ints, Made]:
    """The answers to any prompts, (size,), and what gives some of these, (B, 1, n)."""
    prompt = rng.integers(0, m, (size, length))
    return _count(prompt, m), lambda rows: prompt[rows, None]


def _twins(rng, size, length, m) -> tuple[Ints, Made]:
    """The answers to any prompts in which an item can be another one such that 2 more pairs count, (at most size,).

    And what gives some of these with such twins, (B, 2, n). The place, which is not the last, and the item are random.
    An item is in 2 c pairs with c that complete it at other places, and in one more if it completes itself.
    """
    prompt, row = rng.integers(0, m, (size, length)), np.arange(size)
    place, item = rng.integers(0, length - 1, size), np.arange(m)
    own, thirds = prompt[row, place], _thirds(m)[prompt[:, -1]]
    times, pairs = _completed(prompt, m)
    total = _total(times, pairs)
    pairs[row, thirds[row, own]] -= 1
    pairs *= 2
    pairs += thirds == item
    residue = np.arange(2 * length + 4) % m
    more = residue[pairs] == residue[pairs[row, own] + 2][:, None]
    some, lot = np.flatnonzero(more.any(axis=1)), rng.random((size, m))

    def made(rows):
        rows = some[rows]
        twins = np.repeat(prompt[rows, None], 2, axis=1)
        twins[np.arange(len(rows)), 1, place[rows]] = np.where(more[rows], lot[rows], -1).argmax(axis=1)
        return twins

    return total[some], made


def _matched(wanted, offered) -> tuple[Ints, Ints]:
    """Places in ``wanted`` and, for each, one in ``offered`` with the same number: as many as there are, none twice."""

    def numbered(numbers):  # the k-th of equal numbers is to meet the k-th there, so each gets its k
        order = numbers.argsort(kind="stable")
        ranked = numbers[order]
        key = np.zeros_like(numbers)
        key[order] = (ranked << 32) + np.arange(len(ranked)) - np.searchsorted(ranked, ranked)
        return key

    return np.intersect1d(numbered(wanted), numbered(offered), assume_unique=True, return_indices=True)[1:]
