"""What does it cost to turn one string into another?

Two strings of n characters; a character may be inserted or deleted, for 2 each, or replaced, for 3 (Feng et al. 2023).
The textbook fills a table of n^2 cells, each from three neighbours, and no algorithm is essentially faster if SETH
holds. So this is the problem on which n^2 reasoning steps are natural: as many as there is work. All cells of an
anti-diagonal could be filled at once, though: 2n - 1 rounds are enough, and how deep a problem is says another thing.

>>> task = EditDistance()
>>> words = [task.word(token) for token in range(task.vocab)]
>>> prompt = np.array([[words.index(w) for w in line] for line in ("abc|bcd", "abc|bbd")])  # a twin: one character
>>> [task.word(token) for token in task.solve(prompt)[:, 0]]  # delete a and insert d, or replace a and c
['4', '6']
>>> " ".join(map(task.word, task.traces["table"].steps(prompt)[0, :, 0]))  # of a, ab, abc into b, bc, bcd
'3 5 7 2 4 6 4 2 4'
>>> " ".join(map(task.word, task.traces["diagonals"].steps(prompt)[0, :, 0]))
'3 5 2 7 4 4 6 2 4'
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import product

import numpy as np

from tasks.alignment import Alignment
from tasks.base import Bound, Instance, Ints, Task, Theory, Trace, require
from tasks.sampling import distinct

ROUNDS = 4  # of drawing strings at random before they are constructed
ATONCE = 128  # strings that are drawn in a round, however few are wanted: in numpy they cost hardly more than one
BLOCK = 256  # pairs whose tables are held at once


@dataclass(frozen=True)
class EditDistance(Task):
    """The least cost of turning the first string into the second. Tokens: characters, a separator, costs from 0 on.

    Inside, strings are columns: two of them are (2, n, B), of int8.
    """

    characters: int = 4
    insert: int = 2  # what it costs to insert a character, or to delete one
    replace: int = 3

    version = 1
    golden = {1: "ff961d8c0e3b823a"}
    shortest, longest = 4, 128  # of three characters, how many differ nearly tells the cost
    twin_tokens = 1
    theory = Theory(
        time=Bound("O(n^2)", "n^(2-o(1)) under SETH", "Backurs and Indyk 2015"),
        state=Bound(
            "n·log2 c bits at least",
            "c = characters; a row of the table is enough for what follows the first string",
            "fooling set: after the first string, the same string costs 0, every other one more",
        ),
        circuit=Bound(
            "NL",
            "costs are constants",
            "to cost at most t: guess the path through the table; place and cost take O(log n) bits",
        ),
        steps=Bound("n^2", "constant depth", "a cell each, Feng et al. 2023; that fewer suffice is not excluded"),
        layers=Bound(
            "O(log n)",
            "polynomially many padding tokens; without, 2n - 1 loops, an anti-diagonal each",
            "NL lies in TC1, which is log n loops (arXiv 2505.18948): paths of twice the length each time",
        ),
    )

    def __post_init__(self):
        insert, replace = self.insert, self.replace
        few = "3 to 26 are possible: one for each string alone, one that both have"
        require(3 <= self.characters <= 26, "characters", self.characters, few)
        require(1 <= insert <= 9, "insert", insert, "1 to 9 are possible")
        good = [cost for cost in range(1, 2 * insert + 1) if cost == 2 * insert or cost % (2 * insert - cost) == 0]
        possible = f"{', '.join(map(str, good))} are possible with task.insert={insert}"
        reason = "what it saves against deleting and inserting has to divide it, for costs to be evenly spaced"
        require(replace in good, "replace", replace, f"{possible}; {reason}")

    @property
    def vocab(self) -> int:
        """The characters, the separator, and all costs from 0 to that of replacing each character."""
        return self._zero + self.replace * self.longest + 1

    @property
    def traces(self) -> Mapping[str, Trace]:
        """The cells of the table, one token each: row by row, or along anti-diagonals, as they could be all at once."""
        return {"table": self._trace(_by_rows), "diagonals": self._trace(_by_diagonals)}

    def sample(self, rng: np.random.Generator, size: int, length: int, split: str) -> Instance:
        """See :meth:`Task.sample`. In boundary and broad, all admissible costs are equally frequent.

        The twins of boundary cost as much as two neighbours among the admissible costs; rows of broad are drawn alike,
        without the twin. Natural draws each character uniformly.
        """
        self.refuse(length, split)
        if split == "natural":
            strings = rng.integers(0, self.characters, (2, length, size), dtype=np.int8)
            return self._asked(strings, self._align.cost(strings))
        costs = np.array(self.costs(length))
        if split == "boundary":
            index = 2 * _evenly(rng, len(costs) // 2, (size + 1) // 2)
            index += rng.integers(0, 2, len(index))
        else:
            index = _evenly(rng, len(costs), size)
        first, second = costs[index], costs[index ^ 1]
        strings, twins = self._drawn(rng, first, second, length, both=split == "boundary")
        if split == "broad":
            return self._asked(strings, first)
        strings = np.stack([strings, twins], axis=-1).reshape(2, length, -1)
        return self._asked(strings[..., :size], np.column_stack([first, second]).ravel()[:size])

    def solve(self, prompt: Ints) -> Ints:
        """Fill the table row by row, (B, P) -> (B, 1)."""
        answers, length = [], prompt.shape[1] // 2
        for tokens in prompt.tolist():
            above = [self.insert * j for j in range(length + 1)]
            for i, x in enumerate(tokens[:length], start=1):
                row = [self.insert * i]
                for j, y in enumerate(tokens[length + 1 :], start=1):
                    aligned = above[j - 1] + (0 if x == y else self.replace)
                    row.append(min(above[j] + self.insert, row[j - 1] + self.insert, aligned))
                above = row
            answers.append([self._zero + above[-1]])
        return np.array(answers)

    def costs(self, length: int) -> list[int]:
        """The admissible ones, an even number of them: equal strings are left out where that makes it even.

        They are all that occur. With m characters kept, g deleted and g inserted, n - m - g are replaced:
        replace · (n - m) + spared · g, and never is more paid than for replacing all.
        """
        replace, spared = self.replace, self._align.spared
        shifts = replace // spared if spared else 1  # from so many on, replacing one more is as cheap
        every = [replace * k + spared * g for k in range(length) for g in range(min(k + 1, shifts))]
        every.append(replace * length)
        return every[len(every) % 2 :]

    def chance(self, length: int) -> float:
        """Any admissible cost."""
        return 1 / len(self.costs(length))

    @classmethod
    def tiny(cls) -> tuple["EditDistance", int]:
        """Strings of four of three characters: 6,561 prompts."""
        return cls(characters=3), 4

    def prompts(self, length: int) -> Ints:
        """Every two strings."""
        strings = list(product(range(self.characters), repeat=length))
        return np.array([(*x, self.characters, *y) for x, y in product(strings, strings)], dtype=np.int64)

    def word(self, token: int) -> str:
        """Letters, a bar between the strings, costs as numbers."""
        if token >= self._zero:
            return str(token - self._zero)
        return chr(ord("a") + token) if token < self.characters else "|"

    @property
    def _zero(self) -> int:
        """The token of cost 0, after the characters and the separator."""
        return self.characters + 1

    @property
    def _align(self) -> Alignment:
        return Alignment(self.insert, self.replace)

    def _asked(self, strings, cost) -> Instance:
        x, y = strings.swapaxes(1, 2).astype(np.int64)
        between = np.full((len(x), 1), self.characters)
        return Instance(np.concatenate([x, between, y], axis=1), self._zero + cost.astype(np.int64)[:, None])

    def _turned(self, rng, strings, wanted):
        """Two strings with one character replaced, so that they cost what is wanted, (2, n, B); where that is, (B,)."""
        swapped, turned, found = rng.random(len(wanted)) < 0.5, strings.copy(), np.zeros(len(wanted), dtype=bool)
        for start in range(0, len(wanted), BLOCK):
            block = slice(start, start + BLOCK)
            pair = np.where(swapped[block], strings[::-1, :, block], strings[..., block])
            good = self._align.cost_with(pair, self.characters) == wanted[block]
            good, rows = good.reshape(-1, pair.shape[2]), np.arange(pair.shape[2])  # (c n, B)
            character, place = np.divmod(np.where(good, rng.random(good.shape), -1).argmax(axis=0), pair.shape[1])
            turned[swapped[block].astype(int), place, start + rows] = character
            found[block] = good.any(axis=0)
        return turned, found

    def _walked(self, rng, wanted, room, length):
        """Two strings that cost what is wanted, or less than a replacement more, (2, n, B).

        They are alike but for a part of at least ``room`` places, of any order of magnitude. There, a walk leads from a
        string and what some insertions and deletions make of it, to two strings at random, and on to two that share no
        character. Each step changes one character, so the cost changes by a replacement at most. Between a point that
        costs less than is wanted and one that costs as much, halving finds two neighbours.
        """
        shape, size, kinds = (length, len(wanted)), len(wanted), self.characters
        part = np.minimum(length, room * ((length + 1) / room) ** rng.random(size)).astype(np.int64)
        place = np.arange(length)[:, None] - rng.integers(0, length - part + 1)
        alike = (place < 0) | (place >= part)
        x, y, middle = rng.integers(0, kinds, (3, *shape), dtype=np.int8)
        moved = rng.integers(0, wanted // (2 * self.insert) + 1)
        source, target = ((_ranks(rng, alike) < moved).argsort(axis=0, kind="stable") for _ in range(2))
        kept = np.arange(length)[:, None] < length - moved
        copied = np.where(kept, np.take_along_axis(x, source, axis=0), np.take_along_axis(y, target, axis=0))
        np.put_along_axis(y, target, copied, axis=0)
        letters = distinct(rng, size, kinds, kinds).T.astype(np.int8)
        cut = rng.integers(1, kinds, size)
        ours, theirs = rng.integers(0, cut, shape), rng.integers(cut, kinds, shape)
        end = np.take_along_axis(letters, np.concatenate([ours, theirs]), axis=0).reshape(2, *shape)
        when = np.where(alike, 3 * length, _ranks(rng, alike))
        later = np.where(alike, 3 * length, length + _ranks(rng, np.concatenate([alike, alike])).reshape(2, *shape))

        def at(step):
            return np.where(later < step, end, np.stack([x, np.where(when < step, middle, y)]))

        low, high = np.full(size, -1), np.full(size, 3 * length)
        for _ in range((3 * length).bit_length()):
            half = (low + high) // 2
            less = self._align.cost(at(half)) < wanted
            low, high = np.where(less, half, low), np.where(less, high, half)
        return at(high).astype(np.int8)

    def _drawn(self, rng, first, second, length, both):
        """Strings that cost what ``first`` says, (2, n, B), and others that cost what the neighbour ``second`` says.

        Those differ from them in one character, but are any strings unless ``both`` are asked for. Where no strings are
        found in a few rounds, they are constructed.
        """
        strings = np.empty((2, length, len(first)), dtype=np.int8)
        twins, left = strings.copy(), np.arange(len(first))
        room = -(-np.maximum(first, second) // self.replace)  # places that even the dearer ones need
        for _ in range(ROUNDS):
            if not len(left):
                break
            rows = np.tile(left, max(1, ATONCE // len(left)))
            pair = self._walked(rng, first[rows], room[rows], length)
            off = np.flatnonzero(self._align.cost(pair) != first[rows])
            good = np.ones(len(rows), dtype=bool)
            pair[..., off], good[off] = self._turned(rng, pair[..., off], first[rows[off]])
            twin, turned = self._turned(rng, pair, second[rows]) if both else (pair, True)
            good = np.flatnonzero(good & turned)
            found, one = np.unique(rows[good], return_index=True)
            strings[..., found], twins[..., found] = pair[..., good[one]], twin[..., good[one]]
            left = np.setdiff1d(left, found)
        strings[..., left], twins[..., left] = self._constructed(rng, first[left], second[left], length)
        return strings, twins

    def _constructed(self, rng, first, second, length):
        """Twins for each two neighbouring costs: equal strings but for k + 1 places, *caaa* and *ddcd* there.

        Where the c stand g places apart, they cost replace · k + spared · g. One c more, beside it and nearer, makes g
        less by 1, and without any c all k + 1 places are replaced.
        """
        low, high = np.minimum(first, second), np.maximum(first, second)
        k, shift = low // self.replace, low % self.replace // max(self._align.spared, 1)
        place = np.arange(length)[:, None] - rng.integers(0, length - k)
        common = rng.integers(0, self.characters, place.shape)
        a, c, d = distinct(rng, len(first), 3, self.characters).T
        other = (place == shift + 1) & (high % self.replace > 0)
        x = np.where(place == 0, c, a)
        both = [np.stack([x, np.where(mark, c, d)]) for mark in ((place == shift) | other, other)]
        cheap, dear = (np.where((place >= 0) & (place <= k), strings, common) for strings in both)
        return np.where(first < second, cheap, dear), np.where(first < second, dear, cheap)

    def _trace(self, order) -> Trace:
        return Trace(
            width=1,
            law="n^2",
            count=lambda length: length**2,
            steps=partial(self._cells, order),
            next=partial(self._next_cell, order),
            read=lambda steps: steps[:, -1],
        )

    def _cells(self, order, prompt) -> Ints:
        length = prompt.shape[1] // 2
        table = self._align.table(np.stack([prompt[:, :length].T, prompt[:, length + 1 :].T]))
        rows, columns, _ = order(length)
        return self._zero + table[rows + 1, columns + 1].T[..., None]

    def _next_cell(self, order, prompt, done) -> Ints:
        """The next cell, from the three that are written before it; beyond the edge all is inserted or deleted."""
        length = prompt.shape[1] // 2
        rows, columns, place = order(length)
        i, j = rows[done.shape[1]], columns[done.shape[1]]

        def cell(i, j):
            inside = i >= 0 and j >= 0
            return done[:, place[i, j], 0] if inside else np.full(len(prompt), self._zero + self.insert * (i + j + 2))

        unlike = prompt[:, i] != prompt[:, length + 1 + j]
        aligned = cell(i - 1, j - 1) + self.replace * unlike
        return np.minimum(aligned, self.insert + np.minimum(cell(i - 1, j), cell(i, j - 1)))[:, None]


def _evenly(rng, kinds, size) -> Ints:
    """Numbers below ``kinds`` in random order, as many of each as there can be."""
    return rng.permutation(np.resize(rng.permutation(kinds), size))


def _ranks(rng, last) -> Ints:
    """Each column a random order of the numbers below its length, the highest where ``last`` is true."""
    return (rng.random(last.shape) + last).argsort(axis=0).argsort(axis=0)


@cache
def _by_rows(length) -> tuple[Ints, Ints, Ints]:
    """Of each step the row and the column, and of each cell (i, j) the step."""
    rows, columns = np.indices((length, length)).reshape(2, -1)
    return rows, columns, np.arange(length**2).reshape(length, length)


@cache
def _by_diagonals(length) -> tuple[Ints, Ints, Ints]:
    """The same, anti-diagonal after anti-diagonal, each from its first row."""
    rows, columns, _ = _by_rows(length)
    order = np.lexsort([rows, rows + columns])
    place = np.empty(length**2, dtype=np.int64)
    place[order] = np.arange(length**2)
    return rows[order], columns[order], place.reshape(length, length)
