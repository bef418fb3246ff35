"""Are two of the vectors orthogonal?

Given n vectors of ``dim`` bits, answer *yes* iff <x_i, x_j> = 0 for some i < j. Orthogonal vectors (OV) is the problem
behind the conjecture that the square of n cannot be avoided: n^(2-o(1)) under SETH once dim grows faster than log n.
One attention layer looks at all pairs at once; a fixed state must remember nearly every vector it has read.

>>> task = OrthogonalVectors(dim=4)
>>> prompt = np.array([[0b0110, 0b1011, 0b1001], [0b0110, 0b1011, 0b1101]])  # a twin: one bit of the last vector
>>> [task.word(token) for token in (*prompt[0], *task.solve(prompt)[:, 0])]
['(0,1,1,0)', '(1,0,1,1)', '(1,0,0,1)', 'yes', 'no']
>>> task.traces["pairs"].steps(prompt)[0].tolist()  # x_i, x_j, "found so far?" (16 = no, 17 = yes)
[[6, 11, 16], [6, 9, 17], [11, 9, 17]]
>>> task.so_far(prompt)[0].tolist()
[16, 16, 17]

Some pair is orthogonal iff not all of these vectors are closer than 2·dim + 1, so the flagship question is as hard:

>>> from tasks.pairwise import Pairwise
>>> vectors = as_hamming(np.array([[[0, 1, 1, 0], [1, 0, 1, 1], [1, 0, 0, 1]]]))  # (1, 6, 13)
>>> close = Pairwise(alpha=9, values=2, dim=13, norm="hamming", tokens="coordinate")
>>> [close.word(token) for token in close.solve(vectors.reshape(1, -1))[0]]
['no']

Source: Williams 2005; planted as by Kühnemann, Polak, Rosen 2025 (arXiv 2505.00206), conjectured hard on average: all
bits are independent ones with probability p, and of the two orthogonal vectors too each looks like that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, count
from math import comb

import numpy as np

from tasks.base import Bound, Ints, Theory, Trace, require
from tasks.decision import Decision
from tasks.pairs import PairSearch
from tasks.sampling import shuffled
from tasks.vectors import Tokens

ACCIDENTS = 0.02  # orthogonal pairs to expect among n vectors, where the density is not at its limit
FREE = 0.25  # of the yes of broad, in which further pairs may be orthogonal
AT_ONCE = 2**22  # inner products held in memory together


@dataclass(frozen=True)
class OrthogonalVectors(Decision):
    """Whether two of n 0-1 vectors are orthogonal. The vectors or their bits are the first tokens.

    A step of one bit changes the number of ones: of few short vectors that tells the twins apart (with dim = 4 it is
    right on .71 of them at n = 4 and .61 at 8, with dim = 9 on .56 and .54), which the law reports at small dim.
    """

    dim: int = 9  # bits of a vector
    density: float = 0.4  # of ones, at most: so many that ``ACCIDENTS`` pairs are orthogonal, or as many as this
    tokens: str = "item"  # a vector is one token, or dim with "coordinate"

    version = 1
    golden = {1: "506a55926c651c2a"}
    shortest, longest = 2, 1024
    twin_tokens = 1
    theory = Theory(
        time=Bound(
            "n^(2-o(1))",
            "under SETH, dim = ω(log n); n^(2-1/O(log c)) is enough at dim = c·log n, and O(2^dim·dim + n) always",
            "Williams 2005; Abboud, Williams, Yu 2015; a table of which vectors have a subset among those seen",
        ),
        state=Bound(
            "Ω(min(n, C(dim, dim/2))) bits",
            "unconditional; Ω(n) from dim = log2 n + O(log log n) on; 2^dim are enough",
            "fooling set: vectors of half ones, rounded up, all meet, if only one of two complements is taken; the "
            "complement of one tells whether it was seen",
        ),
        circuit=Bound("AC0", "dim = polylog n; TC0 beyond", "an OR over the n(n-1)/2 inner products"),
        steps=Bound(
            "0",
            "two softmax layers",
            "each vector attends to the one it meets least, then an OR; no steps spare the n^(2-o(1)) operations",
        ),
        layers=Bound(
            "2",
            "a constant token to answer at, head dimension dim + 1, logit scale Θ(log n); 1 where the answer is pooled",
            "one unit decides it: Alman, Yu 2024; then an OR",
        ),
    )

    def __post_init__(self):
        require(self.tokens in ("item", "coordinate"), "tokens", self.tokens, "item and coordinate exist")
        require(2 <= self.dim <= 1024, "dim", self.dim, "2 to 1024 are possible")
        few, many = self.tokens == "coordinate" or self.dim <= 16, f"2**{self.dim} vectors are more than 65,536 tokens"
        require(few, "tokens", self.tokens, f"{many}; coordinate writes them in parts")
        allowed = "above 0 and below 0.5; at 0.5 the orthogonal vectors would be complements, which a table finds"
        require(0 < self.density < 0.5, "density", self.density, allowed)

    @property
    def symbols(self) -> int:
        """The vectors, or two bits."""
        return self._tokens.no

    @property
    def traces(self) -> Mapping[str, Trace]:
        """Every pair, a scan of answers."""
        search = PairSearch(
            items=lambda prompt: prompt.reshape(len(prompt), -1, self._tokens.width),
            hit=lambda prompt, x, y: ~(self._tokens.read(x) & self._tokens.read(y)).any(axis=(-1, -2)),
            found=lambda prompt: _found(self._tokens.read(prompt)),
            say=self.say,
            width=self._tokens.width,
        )
        return {"pairs": search.pairs, "scan": search.scan}

    def ones(self, length: int) -> float:
        """The probability of a one, such that no more than ``ACCIDENTS`` pairs are expected to be orthogonal."""
        pairs = length * (length - 1) / 2
        return min(self.density, (1 - (ACCIDENTS / pairs) ** (1 / self.dim)) ** 0.5)

    def twins(self, rng: np.random.Generator, pairs: int, length: int) -> Ints:
        """One pair is orthogonal, then one of its two vectors gets a one of the other; all others meet."""
        yes = np.concatenate([self._planted(rng, pairs, length, 1), self._others(rng, pairs, length)], axis=1)
        _meet(rng, yes, np.ones(pairs, dtype=np.int64))
        no = yes.copy()
        no[np.arange(pairs), 0, _any(rng, yes[:, 1])] = 1
        return self._tokens.line(shuffled(rng, np.stack([yes, no], axis=1)))

    def broad(self, rng: np.random.Generator, yes: np.ndarray, length: int) -> Ints:
        """One pair is orthogonal, or has the smallest inner product, uniform from 1 to :meth:`most`.

        Each vector of the pair has as many ones whatever the answer, and all other pairs meet at least as much as those
        of a *no* of the same draw. But for a share ``FREE`` of the *yes*, where the others are as they were drawn: any
        number of pairs may be orthogonal, and a vector may be 0. What training never shows is not learned.
        """
        least = rng.integers(1, self.most(length) + 1, len(yes))
        pair = self._planted(rng, len(yes), length, self.most(length))
        for met in range(1, self.most(length) + 1):  # one after another, ones of the second move to where the first has
            row = np.nonzero(~yes & (met <= least))[0]
            first, second = pair[row].swapaxes(0, 1)
            gained, lost = _any(rng, first & ~second), _any(rng, second & ~first)
            pair[row, 1, gained], pair[row, 1, lost] = 1, 0
        items = np.concatenate([pair, self._others(rng, len(yes), length)], axis=1)
        _meet(rng, items, np.where(yes & (rng.random(len(yes)) < FREE), 0, least))
        return self._tokens.line(shuffled(rng, items[:, None])[:, 0])

    def natural(self, rng: np.random.Generator, size: int, length: int) -> Ints:
        """All bits independent."""
        return self._tokens.line((rng.random((size, length, self.dim)) < self.ones(length)).astype(np.int64))

    def holds(self, prompt: Ints) -> np.ndarray:
        """All inner products in one matrix product."""
        return _found(self._tokens.read(prompt))[:, -1]

    def most(self, length: int) -> int:
        """The largest of the smallest inner products of broad: what n random vectors are as likely as not to reach."""
        meets, pairs, below = self.ones(length) ** 2, length * (length - 1) / 2, 0.0
        for met in range(self.dim // 2):
            below += pairs * comb(self.dim, met) * meets**met * (1 - meets) ** (self.dim - met)
            if below > 0.5:
                return max(met, 1)
        return max(self.dim // 2, 1)

    def solve(self, prompt: Ints) -> Ints:
        """Multiply every two, (B, P) -> (B, 1)."""
        rows = self._tokens.read(prompt).tolist()
        meet = [all(any(a and b for a, b in zip(*pair, strict=True)) for pair in combinations(row, 2)) for row in rows]
        return self.say(~np.array(meet))[:, None]

    def so_far(self, prompt: Ints) -> Ints:
        """Are two vectors orthogonal, up to this one? Told at the last token of each, (B, P)."""
        return self._tokens.told(self.say(_found(self._tokens.read(prompt))))

    @classmethod
    def variations(cls) -> tuple["OrthogonalVectors", ...]:
        """In the dimension in which no cheap statistic of 64 vectors tells."""
        return (cls(dim=64, tokens="coordinate"),)

    @classmethod
    def tiny(cls) -> tuple["OrthogonalVectors", int]:
        """Three bits, four vectors: 4,096 prompts."""
        return cls(dim=3), 4

    def prompts(self, length: int) -> Ints:
        """Every sequence of vectors."""
        return self._tokens.every(length)

    def symbol(self, token: int) -> str:
        """Bits read as numbers, vectors as (0,1,1)."""
        return self._tokens.word(token)

    @property
    def _tokens(self) -> Tokens:
        return Tokens.of(2, self.dim, self.tokens)

    def _planted(self, rng, size, length, least) -> Ints:
        """(size, 2, d): orthogonal, each with the marginal of all vectors but for at least ``least`` ones."""
        part = rng.random((size, self.dim))
        pair = np.stack([part < self.ones(length), part >= 1 - self.ones(length)], axis=1).astype(np.int64)
        row = np.nonzero((pair.sum(axis=2) < least).any(axis=1))[0]
        places = rng.random((len(row), self.dim)).argsort(axis=1)[:, : 2 * least]
        for end, place in enumerate((places[:, :least], places[:, least:])):
            pair[row[:, None], end, place], pair[row[:, None], 1 - end, place] = 1, 0
        return pair

    def _others(self, rng, size, length) -> Ints:
        """(size, n - 2, d). At the limit of the density each vector has one of its own, uniform up to twice the limit.

        There vectors get ones until they meet, and a one more or less must not be seen in how many there are.
        """
        ones = np.full((size, length - 2, 1), self.ones(length))
        if self.ones(length) == self.density:
            ones *= 2 * rng.random(ones.shape)
        return (rng.random((size, length - 2, self.dim)) < ones).astype(np.int64)


def as_hamming(vectors: Ints) -> Ints:
    """The reduction to far pairs, (B, n, d) -> (B, 2n, 3d + 1) bits: two at distance 2d + 1 iff two are orthogonal.

    Each vector is once on the side A, 0 -> 000 and 1 -> 110, and once on B, 0 -> 101 and 1 -> 110, which one more bit
    tells apart. Across, the distance is 2d + 1 - 2<a, b>; on one side it is at most 2d. A vector meets itself across:
    0 is orthogonal to itself, but with n >= 2 the answer is yes with a 0 anyway.
    """
    sides = np.array([[[0, 0, 0], [1, 1, 0]], [[1, 0, 1], [1, 1, 0]]])[:, vectors]  # (2, B, n, d, 3)
    flat = sides.reshape(*sides.shape[:3], -1)
    tagged = np.concatenate([flat, np.broadcast_to([[[[0]]], [[[1]]]], (*flat.shape[:3], 1))], axis=-1)
    return np.concatenate(list(tagged), axis=1)


def _found(items) -> np.ndarray:
    """Are two of the first i + 1 vectors orthogonal? (B, n, d) -> (B, n) bool."""
    before = np.triu(np.ones((items.shape[1], items.shape[1]), dtype=bool), k=1)
    hit = [((_products(part) == 0) & before).any(axis=1) for part in np.array_split(items, _parts(items))]
    return np.logical_or.accumulate(np.concatenate(hit), axis=1)


def _meet(rng, items, least) -> None:
    """Change vectors until all but the first two have inner products of at least ``least`` (B,) with all, in place.

    The first two have as many ones themselves. Who meets an earlier one too little moves a one to where that has one,
    in the first round, then gets one more in each. It ends: all ones would do, and the first who meets too little gets
    one in every round, for those before it have enough to give.
    """
    before = np.triu(np.ones((items.shape[1], items.shape[1]), dtype=bool), k=1)
    before[0, 1] = False
    for rows in np.array_split(np.arange(len(items)), _parts(items)):
        for turn in count():
            short = (_products(items[rows]) < least[rows, None, None]) & before  # (B, i, j)
            few = short.any(axis=1)
            row, place = np.nonzero(few)
            if not len(row):
                break
            other = _any(rng, short[row, :, place])
            own, target = items[rows[row], place], items[rows[row], other]
            gained = _any(rng, target & ~own)
            lost = _any(rng, own & ~target)
            if turn == 0:
                own[np.arange(len(own)), lost] = 0
            own[np.arange(len(own)), gained] = 1
            items[rows[row], place] = own
            rows = rows[few.any(axis=1)]


def _products(items) -> np.ndarray:
    """Inner products, exact in float32, (B, n, d) -> (B, n, n)."""
    items = items.astype(np.float32)
    return items @ items.swapaxes(1, 2)


def _any(rng, bits) -> Ints:
    """The place of any one, all equally likely, the first place if there is none: (B, d) -> (B,)."""
    return (bits * (1 - rng.random(bits.shape, dtype=np.float32))).argmax(axis=1)  # above 0, as random() is not


def _parts(items) -> int:
    return 1 + items.shape[0] * items.shape[1] ** 2 // AT_ONCE
