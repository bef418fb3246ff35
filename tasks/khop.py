"""Which character is k hops back, where a hop goes to what came after this character the last time?

The prompt is k and n characters, no two neighbours alike. From place i a hop goes to find(i), the largest j <= i with
x_(j-1) = x_i, where an induction head would look. The answer is the character k hops from the last place, or *none* if
a hop goes nowhere. Each hop needs the one before, but hops can be composed: k steps of reasoning, or log2 k layers.

>>> task = Khop(hops=3)
>>> prompt = np.array([[2, 34, 33, 36, 33, 34, 35, 34], [2, 34, 33, 35, 33, 34, 35, 34]])  # a twin: one is another
>>> [" ".join(map(task.word, row)) for row in prompt]
['2 b a d a b c b', '2 b a c a b c b']
>>> [task.word(token) for token in task.solve(prompt)[:, 0]]  # after the b at 5 comes c, at 6; that was new, or at 3
['none', 'a']
>>> [" ".join(map(task.word, step)) for step in task.traces["hops"].steps(prompt)[1]]  # a place in two digits
['0 6 c', '0 4 a', '0 4 a']
>>> task.so_far(prompt).tolist()  # the same question for each place (37 = none)
[[-1, 37, 37, 37, 37, 37, 37, 37], [-1, 37, 37, 37, 37, 37, 35, 33]]

Source: Sanford, Hsu, Telgarsky 2024 (arXiv 2402.09268), chsanford/hop-induction-heads at 5735bca. There asked="every",
n = 98, k is uniform from 0 to 16, and so are texts of 4 characters: our broad and natural.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, product
from string import ascii_lowercase

import numpy as np

from tasks.base import Bound, Instance, Ints, Task, Theory, Trace, require
from tasks.numbers import digits, number
from tasks.pointers import Pointers
from tasks.sampling import spare

FEWEST = 33  # number tokens: two digits of this base write all places up to 1,088


@dataclass(frozen=True)
class Khop(Task):
    """k-hop induction heads. Tokens: numbers (k, and two digits of a place in traces), characters, *none*.

    Places count from 1, so that place i is token i of the prompt. With asked="every", as in the paper, the answer for
    each place is said on its character; with asked="last" the answer for the last place is said after the prompt.
    """

    hops: int = 16  # largest k
    least: int = 0  # smallest k
    characters: int = 4
    asked: str = "last"  # answer, or that of every place

    version = 1
    golden = {1: "057ae05a28ef5423"}
    longest = 1024
    twin_tokens = 1
    theory = Theory(
        time=Bound("Θ(n)", "k <= n", "one pass notes for each place where its character came before, then k hops"),
        state=Bound(
            "O(C·k·log C) bits, C characters",
            "k is told first; it may be as large as n",
            "kept of each character: what 0 .. k-1 hops lead to from the place after it; derived. It is not Ω(n), "
            "since k is told first",
        ),
        circuit=Bound("AC0 for each k, L for k up to n", "", "a hop is first-order; pointers can be followed in L"),
        steps=Bound("k", "one layer of hard attention", "a hop a step; exactly so many: arXiv 2501.12997"),
        layers=Bound(
            "⌊log2 k⌋ + 2",
            "Ω(log k) are needed if it takes log n rounds to tell one cycle from two (MPC)",
            "Sanford, Hsu, Telgarsky 2024 (arXiv 2402.09268)",
        ),
    )

    def __post_init__(self):
        require(1 <= self.hops <= 128, "hops", self.hops, "1 to 128 are possible")
        require(0 <= self.least <= self.hops, "least", self.least, f"0 to task.hops={self.hops} are possible")
        require(4 <= self.characters <= 26, "characters", self.characters, "4 to 26 are possible")
        require(self.asked in ("every", "last"), "asked", self.asked, "every and last exist")

    @property
    def shortest(self) -> int:
        """Twice the smallest k, and so long that it tells little which characters are there or near the end.

        If every place is asked, twice the largest k: most answers would otherwise be none.
        """
        k = self.hops if self.asked == "every" else self.least
        return max(2 * k + 2, 2 * self.characters, 24 if self.hops < 5 else 0)

    @property
    def vocab(self) -> int:
        """Numbers, characters, none."""
        return self._none + 1

    @property
    def traces(self) -> Mapping[str, Trace]:
        """One hop after another, or hops from every place, composed with themselves. None where every place is asked.

        A step of either is a place and the character there: 0 and none, if there is no such place.
        """
        if self.asked == "every":
            return {}
        return {"hops": self._pointers.walk, "doubling": self._pointers.doubling}

    def sample(self, rng: np.random.Generator, size: int, length: int, split: str) -> Instance:
        """See :meth:`Task.sample`. In natural k and the text are uniform, and in broad if every place is asked."""
        self.refuse(length, split)
        if split == "boundary":
            prompt = self._twins(rng, (size + 1) // 2, length).reshape(-1, length + 1)[:size]
        elif split == "broad" and self.asked == "last":
            prompt = self._broad(rng, size, length)
        else:
            steps = rng.integers(1, self.characters, (size, length))  # to another character than that before
            steps[:, 0] = rng.integers(0, self.characters, size)
            prompt = self._write(rng.integers(self.least, self.hops + 1, size), steps.cumsum(axis=1) % self.characters)
        if self.asked == "last":
            return Instance(prompt, self._answer(prompt))
        return Instance(prompt, self._answers(prompt)[:, 1:], np.tile(np.arange(1, length + 1), (size, 1)))

    def solve(self, prompt: Ints) -> Ints:
        """Search what is before for the same character, k times, (B, P) -> (B, n) or (B, 1)."""
        ends = slice(0 if self.asked == "every" else -1, None)
        return np.array([[self._searched(row, end) for end in range(1, len(row))[ends]] for row in prompt.tolist()])

    def chance(self, length: int) -> float:
        """Any character or none, of each place that is asked."""
        return float(self.characters + 1) ** -(length if self.asked == "every" else 1)

    def so_far(self, prompt: Ints) -> Ints | None:
        """The answer for each place, (B, P), -1 at k; None where the answers are just these."""
        if self.asked == "every":
            return None
        said = self._answers(prompt)
        said[:, 0] = -1
        return said

    @classmethod
    def variations(cls) -> tuple["Khop", ...]:
        """As in the paper; few hops."""
        return cls(asked="every"), cls(hops=3)

    @classmethod
    def tiny(cls) -> tuple["Khop", int]:
        """Three to five hops among eight characters: 26,244 prompts."""
        return cls(hops=5, least=3), 8

    def prompts(self, length: int) -> Ints:
        """Every k before every text without two neighbours alike."""
        texts = product(range(self.characters), repeat=length)
        texts = np.array([text for text in texts if all(x != y for x, y in pairwise(text))])
        hops = np.arange(self.least, self.hops + 1)
        return self._write(np.repeat(hops, len(texts)), np.tile(texts, (len(hops), 1)))

    def word(self, token: int) -> str:
        """Numbers as they are, characters from a, none."""
        words = [*map(str, range(self._numbers)), *ascii_lowercase[: self.characters], "none"]
        return words[token]

    @property
    def _numbers(self) -> int:
        """Tokens that are numbers; characters come after them."""
        return max(FEWEST, self.hops + 1)

    @property
    def _none(self) -> int:
        return self._numbers + self.characters

    def _write(self, hops, text) -> Ints:
        """k (B,) and characters (B, n) from 0 as prompts, (B, n + 1)."""
        return np.concatenate([hops[:, None], self._numbers + text], axis=1)

    def _searched(self, row, place) -> int:
        """The answer for one place of a prompt."""
        for _ in range(row[0]):
            earlier = [j for j in range(2, place + 1) if row[j - 1] == row[place]]
            if not earlier:
                return self._none
            place = earlier[-1]
        return row[place]

    # Texts. Let one be written from right to left, uniformly, and remember the character of the place where the hops
    # have come to. Whenever it is written again, one hop more is possible; that is so with probability 1 / (C - 1) at
    # each of the n - 2 places to the left of the first two, independently. So how many hops a text has, and where, is
    # chosen first, and the text has then the uniform distribution under that condition.

    def _text(self, rng, hops) -> Ints:
        """Uniform characters (B, n) that can be hopped just there: ``hops`` (B, n - 2) bool, from right to left."""
        size, free = hops.shape
        text = np.zeros((size, free + 2), dtype=np.int64)
        waited = text[:, -1] = rng.integers(0, self.characters, size)  # the character whose return is a hop
        text[:, -2] = (waited + rng.integers(1, self.characters, size)) % self.characters
        right, others = text[:, -2], _others(self.characters)
        drawn = rng.integers(0, self.characters - 2, (free, size))
        for hop, one, place in zip(hops.T, drawn, reversed(range(free)), strict=True):
            here = np.where(hop, waited, others[right, waited, one])
            waited = np.where(hop, right, waited)
            text[:, place] = right = here
        return text

    def _most(self, length) -> int:
        """The largest k of boundary and broad: half of the places at which a hop can be."""
        return min(self.hops, (length - 2) // 2)

    def _broad(self, rng, size, length):
        """As many of each answer, k uniform, and the number of possible hops uniform: below k (none), or from k on."""
        kinds, most = self.characters + 1, self._most(length)
        wanted = (rng.permutation(size) + rng.integers(kinds)) % kinds  # which of them get one more is random
        none = wanted == self.characters
        k = rng.integers(max(self.least, 1), most + 1, size)
        if self.least == 0:  # without hops there is an answer: the share of k = 0 is taken from texts that have one
            k[~none & (rng.random(size) < kinds / (kinds - 1) / (most + 1))] = 0
        plenty = np.maximum(2 * k, 2 * (length - 2) // (self.characters - 1))  # twice what is usual
        possible = rng.integers(np.where(none, 0, k), np.where(none, k, plenty + 1))
        hops = rng.random((size, length - 2)).argsort(axis=1).argsort(axis=1) < possible[:, None]
        text = self._text(rng, hops)
        found = self._answer(self._write(k, text)) - self._numbers
        text = (text + np.where(none[:, None], 0, wanted[:, None] - found)) % self.characters
        return self._write(k, text)

    def _twins(self, rng, pairs, length):
        """(pairs, 2, P), k uniform from 1 on. In two of C + 1 pairs, one row has *none* as its answer.

        There the last hop is to the only time that its character had come before, and the twin has another one there.
        In the other pairs up to twice k hops are possible, and the answer itself is replaced by another one.
        """
        kinds, free = self.characters + 1, length - 2
        k = rng.integers(max(self.least, 1), self._most(length) + 1, pairs)
        lost = (rng.permutation(pairs) + rng.integers(kinds)) % kinds < 2
        possible = np.where(lost, k, rng.integers(k, np.minimum(2 * k, free - 1) + 1))
        order = rng.random((pairs, free))
        order[~lost, -1] = 1  # after all others
        hops = order.argsort(axis=1).argsort(axis=1) < possible[:, None]
        # There the k-th hop is left out. Elsewhere it and those after it are moved by one to the left, so that the
        # answer stands in no place that an earlier hop has seen. Either way, the twins differ in the same place.
        kth = (hops & (hops.cumsum(axis=1) == k[:, None])).argmax(axis=1)[:, None]
        moved = np.arange(free) - ((np.arange(free) > kth) & ~lost[:, None])
        hops = np.take_along_axis(hops, moved, axis=1)
        np.put_along_axis(hops, kth, False, axis=1)
        edited = free - kth  # in the prompt
        prompt = self._write(k, self._text(rng, hops))
        waited = self._answer(np.concatenate([k[:, None] - 1, prompt[:, 1:]], axis=1))
        here, right = np.take_along_axis(prompt, edited, axis=1), np.take_along_axis(prompt, edited + 1, axis=1)
        taken = np.concatenate([here, right, waited], axis=1) - self._numbers
        other = self._numbers + spare(rng.integers(0, self.characters - 3, (pairs, 1)), taken)
        twin = prompt.copy()
        np.put_along_axis(twin, edited, np.where(lost[:, None], waited, other), axis=1)
        return np.stack([prompt, twin], axis=1)

    def _find(self, prompt) -> Ints:
        """(B, P): where a hop from each place goes, 0 where it goes nowhere."""
        characters, rows = prompt[:, 1:], np.arange(len(prompt))[:, None]
        order = characters.argsort(axis=1, kind="stable")  # equal ones side by side, as they follow one another
        ranked = characters[rows, order]
        find = np.zeros_like(prompt)
        find[rows, 1 + order[:, 1:]] = np.where(ranked[:, 1:] == ranked[:, :-1], 2 + order[:, :-1], 0)
        return find

    @property
    def _pointers(self) -> Pointers:
        return Pointers(
            follow=self._find,
            hop=self._hop,
            begin=lambda prompt: (np.full((len(prompt), 1), prompt.shape[1] - 1), prompt[:, :1]),
            places=lambda tokens: tokens - 1,
            most=self.hops,
            write=self._step,
            read=lambda prompt, written: number(written[..., :2], self._numbers),
            answer=lambda steps: steps[:, -1, 2:],
            letter="k",
            width=3,
        )

    def _hop(self, prompt, place) -> Ints:
        """Look for the character at this place, (B, 1), among those before it."""
        before = np.arange(prompt.shape[1]) < place
        same = before & (prompt == self._at(prompt, place))
        nearest = prompt.shape[1] - 1 - same[:, ::-1].argmax(axis=1)
        return np.where(same.any(axis=1), nearest + 1, 0)[:, None]

    def _answers(self, prompt) -> Ints:
        """(B, P): the character k hops from each place, or none."""
        return self._at(prompt, self._pointers.ends(prompt, np.tile(np.arange(prompt.shape[1]), (len(prompt), 1))))

    def _answer(self, prompt) -> Ints:
        """(B, 1): that of the last place."""
        return self._at(prompt, self._pointers.ends(prompt, self._pointers.begin(prompt)[0]))

    def _at(self, prompt, places) -> Ints:
        """The characters at these places (B, m), none at place 0."""
        return np.where(places, np.take_along_axis(prompt, places, axis=1), self._none)

    def _step(self, prompt, places) -> Ints:
        """Places (B, m) as they are written, with the characters there, (B, m, 3)."""
        return np.concatenate([digits(places, self._numbers, 2), self._at(prompt, places)[..., None]], axis=-1)


@cache
def _others(characters: int) -> Ints:
    """At [x, y, i] the i-th character that is neither x nor y, which differ, (C, C, C - 2)."""
    one, other = np.indices((characters, characters)).reshape(2, -1, 1)
    index = np.tile(np.arange(characters - 2), (characters**2, 1))
    others = spare(index, np.concatenate([one, other], axis=1)).reshape(characters, characters, -1)
    others.setflags(write=False)
    return others
