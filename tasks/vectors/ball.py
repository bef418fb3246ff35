"""The Euclidean distance (l2), and the number of coordinates that differ (hamming), which is its square on 0-1 vectors.

No summary of a few numbers tells whether all are close: each vector may be the one from which the next is too far.

>>> x, y = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
>>> int(Ball(values=2, dim=4).distance(x, y)), Ball(values=2, dim=4).limit(2)  # squares
(2, 4)
>>> int(Cube(values=2, dim=4).distance(x, y)), Cube(values=2, dim=4).limit(2)
(2, 2)
"""

from math import comb, isqrt

import numpy as np

from tasks.base import Bound, Ints, Theory
from tasks.sampling import chosen, shuffled
from tasks.vectors.base import Alpha, Norm

ROUNDS = 50  # of drawing a vector anew, then it copies another
AT_ONCE = 2**22  # distances held in memory together

CIRCUIT = Bound("AC0", "dim = polylog n; TC0 beyond", "an OR over the n(n-1)/2 distances")
STEPS = Bound(
    "0",
    "two softmax layers",
    "the first attends to the farthest vector, with logits beta·distance, the second is an OR",
)
LAYERS = Bound(
    "2",
    "a constant token to answer at, logit scale Θ(log n); one layer would need H·m·p = Ω(state)",
    "constructed weights; one layer by INDEX, as in arXiv 2408.14332",
)
EUCLIDEAN = Theory(
    time=Bound(
        "n^(2 - 1/Θ(dim))",
        "upper bound for constant dim; n^(2-o(1)) under SETH for dim = ω((log log n)^2)",
        "Williams 2018 (arXiv 1709.05282)",
    ),
    state=Bound(
        "Ω(n) bits",
        "dim >= 2 and values growing with n; at most values^dim",
        "exact diameter in the plane: Feigenbaum, Kannan, Zhang",
    ),
    circuit=CIRCUIT,
    steps=STEPS,
    layers=LAYERS,
)
HAMMING = Theory(
    time=Bound(
        "n^(2-o(1))",
        "under SETH, dim = ω(log n); O(n·dim) at alpha = dim, where hashing finds an antipode",
        "orthogonal vectors (Williams 2005), by f: 0 -> 000, 1 -> 110 and g: 0 -> 101, 1 -> 110",
    ),
    state=Bound(
        "Ω(min(n/2, 2^(alpha-1))) bits",
        "unconditional; at alpha = dim, log2(3^(2^(dim-1)) + 1) on long prompts, exactly",
        "set disjointness, on one of each antipodal pair",
    ),
    circuit=CIRCUIT,
    steps=STEPS,
    layers=LAYERS,
)


class Ball(Norm):
    """Twins are a pair just inside the boundary, a step of one end that crosses it, and others.

    The others are close to both ends, before and after, and to one another. Where there are none (on a line with
    alpha = 2) or none is found (one prompt of 200 at alpha = 2), they copy the end that stays, and all these pairs are
    too far apart. They never copy the end that moves: what it leaves behind would betray it to a count of the distinct.
    """

    @property
    def theory(self) -> Theory:
        """Hard in time where dim grows, hard in state from dim = 2 on."""
        return EUCLIDEAN

    @property
    def alphas(self) -> range:
        """Below 2 nothing lies between the ends, above the diagonal of the grid every pair is close."""
        return range(2, isqrt(self.dim * (self.values - 1) ** 2) + 1)

    def limit(self, alpha: Alpha) -> Alpha:
        """Distances are squares."""
        return alpha**2

    def longest(self, alpha: int) -> int:
        """Raises NotImplementedError: the largest set of bounded Euclidean diameter is not known."""
        raise NotImplementedError

    def distance(self, x: Ints, y: Ints) -> Ints:
        """The square of the Euclidean distance: (..., d), (..., d) -> (...)."""
        apart = x - y
        return np.vecdot(apart, apart)

    def diameters(self, items: Ints) -> Ints:
        """Every vector is compared with those before it: (B, n, d) -> (B, n)."""
        farthest = [np.tril(_distances(part)).max(axis=2) for part in np.array_split(items, _parts(items))]
        return np.maximum.accumulate(np.concatenate(farthest), axis=1).astype(np.int64)

    def twins(self, rng: np.random.Generator, alpha: Alpha, pairs: int, length: int) -> Ints:
        """(pairs, 2, n, d): a pair is just inside the limit, then one of its ends moves a step further out."""
        limit = np.full((pairs, 1), self.limit(alpha))[:, 0]
        ends = self._ends(rng, limit)
        others = self._others(rng, ends, limit, 1, length - 2)
        twins = [np.concatenate([ends[:, [moved, 2]], others], axis=1) for moved in (0, 1)]
        return shuffled(rng, np.stack(twins, axis=1))

    def broad(self, rng: np.random.Generator, alpha: Alpha, close: np.ndarray, length: int) -> Ints:
        """(B, n, d): the diameter is uniform below alpha where ``close`` (B,), else from alpha on, up to a step."""
        inner, outer, fixed = self._ends(rng, self._limits(rng, alpha, close, length)).swapaxes(0, 1)
        ends = np.stack([np.where(close[:, None], inner, outer), fixed], axis=1)
        others = self._others(rng, ends, self.distance(*ends.swapaxes(0, 1)) + 1, 0, length - 2)
        return shuffled(rng, np.concatenate([ends, others], axis=1)[:, None])[:, 0]

    def _limits(self, rng, alpha, close, length) -> Ints:
        """(B,): what the step of a pair crosses; ``close`` ones are taken before it, the others after it."""
        alpha, most = np.full((len(close), 1), alpha)[:, 0], np.sqrt(self.dim) * (self.values - 1)
        part = rng.random(len(close))
        distance = np.where(close, part * alpha, alpha + part * (most - alpha))
        return np.floor(distance**2).astype(np.int64) + close

    def _ends(self, rng, limit) -> Ints:
        """(B, 3, d): a vector inside the limit, the same a step further out and outside, what they are far from."""
        size, left = len(limit), limit.copy()  # left: of the limit, to the coordinates to come
        # No coordinate is the whole distance, where d permits: then the extremes of each, easily found, would tell.
        most = np.ceil(np.sqrt(limit / self.dim)), np.minimum(np.ceil(np.sqrt(limit)), self.values) - 1
        most = np.maximum(*most).astype(np.int64)
        apart = np.zeros((size, self.dim), dtype=np.int64)
        for later in range(self.dim - 1, 0, -1):
            least = np.ceil(np.sqrt(np.maximum(left - later * most**2, 0))).astype(np.int64)
            apart[:, later] = rng.integers(least, np.minimum(most, np.sqrt(left - 1).astype(np.int64)) + 1)
            left -= apart[:, later] ** 2
        apart[:, 0] = np.ceil(np.sqrt(left))
        ends = np.stack([apart, apart, np.zeros_like(apart)], axis=1)
        ends[:, 0, 0] -= 1
        ends = np.where(rng.integers(0, 2, (size, 1, self.dim)), ends, apart[:, None] - ends)
        ends += rng.integers(0, self.values - apart)[:, None]
        return np.take_along_axis(ends, rng.random((size, 1, self.dim)).argsort(axis=-1), axis=-1)

    def _others(self, rng, ends, limit, least, count) -> Ints:
        """(B, count, d), close to one another and to all ends (B, e, d), from ``least`` on: limits (B,)."""
        middle, spread = ends[:, -2:].mean(axis=1), np.sqrt(limit / self.dim)
        others = np.repeat(ends[:, -1:], count, axis=1)
        missing = np.repeat((limit > 2)[:, None] | (least == 0), count, axis=1)  # below, no more than two are close
        reach = np.repeat(rng.random((len(ends), 1)), count, axis=1)  # a ball of random radius around the middle
        for _ in range(ROUNDS):
            row, place = np.nonzero(missing)
            if not len(row):
                break
            off = (reach[row, place] * spread[row])[:, None] * rng.standard_normal((len(row), self.dim))
            guess = np.floor(middle[row] + off + rng.random(off.shape))
            guess = np.minimum(np.maximum(guess, 0), self.values - 1).astype(np.int64)
            away = self.distance(guess[:, None], ends[row])
            fits = ((away >= least) & (away < limit[row, None])).all(axis=1)
            found = row[fits], place[fits]
            others[found], missing[found] = guess[fits], False
            reach[missing] = rng.random(len(row) - len(found[0])) ** 2
        if count:  # one that is still missing copies the first that was found, if any
            copied = np.where(missing, missing.argmin(axis=1)[:, None], np.arange(count))
            others = np.take_along_axis(others, copied[..., None], axis=1)
        return _settled(others, limit)


class Cube(Ball):
    """Distinct twins are one of each antipodal pair in a random subcube of alpha coordinates, or fewer.

    The step turns one into the antipode of another. Sets of diameter 1 have two vectors: at alpha = 2 the others copy.
    """

    @property
    def theory(self) -> Theory:
        """Hard in time and state; at alpha = dim in state alone."""
        return HAMMING

    @property
    def alphas(self) -> range:
        """Up to all coordinates."""
        return range(2, self.dim + 1)

    def limit(self, alpha: Alpha) -> Alpha:
        """Alpha itself."""
        return alpha

    def longest(self, alpha: int) -> int:
        """All antipodal pairs of a subcube."""
        return 2 ** (alpha - 1)

    def classes(self, alpha: int) -> int | None:
        """At alpha = dim: of each antipodal pair one was seen, or the other, or none; or all is lost."""
        return 3**2 ** (self.dim - 1) + 1 if alpha == self.dim <= 10 else None

    def classes_within(self, alpha: int, length: int) -> int | None:
        """As many vectors were seen, of as many antipodal pairs at most."""
        if self.classes(alpha) is None:
            return None
        pairs, seen = 2 ** (self.dim - 1), length // 2
        alive = sum(comb(pairs, count) * 2**count for count in range(1, min(pairs, seen) + 1))
        return alive + (seen > 1)

    def _limits(self, rng, alpha, close, length) -> Ints:
        least = (length - 1).bit_length() if self.distinct else 0
        near, far = (rng.integers(*ends, (len(close), 1)) for ends in ((least, alpha), (alpha, self.dim + 1)))
        return np.where(close, near[:, 0] + 1, far[:, 0])

    def _others(self, rng, ends, limit, least, count) -> Ints:
        if not self.distinct:
            return super()._others(rng, ends, limit, least, count)
        # The coordinates in which the last two ends differ are the bits of a number, the moved one the lowest. The ends
        # are 1...10, 1...1 and 0: twins leave out 0, 1 and their antipodes, broad no more than its two ends.
        free, moved = ends[:, -2] != ends[:, -1], ends[:, 0] != ends[:, -2]
        rank = (2 - free - moved).argsort(axis=1, kind="stable").argsort(axis=1)
        most = 2 ** free.sum(axis=1, keepdims=True) - 1
        if least:
            number = 2 + chosen(rng, most[:, 0] // 2 - 1, count)
            number = np.where(rng.integers(0, 2, number.shape), number, most - number)
        else:
            number = 1 + chosen(rng, most[:, 0] - 1, count)
        return ends[:, -1:] ^ (free[:, None] & (number[..., None] >> rank[:, None]))


def _parts(items) -> int:
    return 1 + items.shape[0] * items.shape[1] ** 2 // AT_ONCE


def _distances(items) -> np.ndarray:
    """Squares, exact in float64: (B, n, d) -> (B, n, n)."""
    items = items.astype(np.float64)  # whose product is much faster than that of integers
    squares, distances = np.vecdot(items, items), -2 * items @ items.swapaxes(1, 2)
    distances += squares[:, :, None]
    distances += squares[:, None]
    return distances


def _settled(items, limit) -> Ints:
    """(B, n, d): in order, a vector that is not close to one before it becomes a copy of that one; ``limit`` (B,)."""
    source = np.repeat(np.arange(items.shape[1])[None], len(items), axis=0)
    for rows in np.array_split(np.arange(len(items)), _parts(items)):
        far, every = np.tril(_distances(items[rows]) >= limit[rows, None, None], k=-1), np.arange(len(rows))
        stays = np.ones(far.shape[:2], dtype=bool)
        for place in np.flatnonzero(far.any(axis=(0, 2))):
            clashes = far[:, place, :place] & stays[:, :place]
            first = clashes.argmax(axis=1)
            clash = clashes[every, first]
            stays[:, place] = ~clash
            source[rows, place] = np.where(clash, first, place)
    return np.take_along_axis(items, source[..., None], axis=1)
