"""The largest difference of a coordinate (linf); on scalars, the absolute difference (abs).

All are close iff they fit into a box of side alpha - 1: the extremes of each coordinate tell everything.

>>> Box(values=8, dim=2).diameters(np.array([[[4, 2], [3, 2], [6, 1]]])).tolist()
[[0, 1, 3]]
"""

import numpy as np

from tasks.base import Bound, Ints, Theory
from tasks.numbers import digits
from tasks.sampling import chosen, shuffled
from tasks.vectors.base import Alpha, Norm

SCALARS = Theory(
    time=Bound("Θ(n)", "", "all are close iff max - min < alpha"),
    state=Bound(
        "log2(alpha·M - 3·alpha(alpha-1)/2 + 2) bits",
        "M = values >= 2·alpha; for alpha < M < 2·alpha: log2(K(K+1)/2 + 1), K = M - alpha + 1",
        "Myhill-Nerode classes of the clipped (min, max), by Moore minimisation",
        exact=True,
    ),
    circuit=Bound("AC0", "", "an OR over the n(n-1)/2 comparisons of constant size"),
    steps=Bound("0", "one softmax layer of two heads", "softmax maximum minus softmax minimum", exact=True),
    layers=Bound("1", "logit scales ±beta above ln 4n", "each extreme is off by (n-1)e^-beta or less", exact=True),
)
VECTORS = Theory(
    time=Bound("Θ(n·dim)", "", "all are close iff max - min < alpha in each coordinate"),
    state=Bound(
        "log2((alpha·M - 3·alpha(alpha-1)/2)^dim + 2) bits",
        "M = values >= 2·alpha",
        "Myhill-Nerode classes: those of the coordinates, multiplied, the empty prompt and the far one",
        exact=True,
    ),
    circuit=Bound("AC0", "", "an OR over the dim·n(n-1)/2 comparisons of constant size"),
    steps=Bound("0", "one softmax layer of 2·dim heads", "the maximum minus the minimum of each", exact=True),
    layers=Bound("1", "logit scales ±beta above ln 4n", "each extreme is off by (n-1)e^-beta or less", exact=True),
)


class Box(Norm):
    """Of twins, one pair is alpha apart, however many vectors there are, unless they are distinct.

    (alpha - 1) * alpha**(d - 1) + 1 distinct vectors still have one such pair. More fit into the box only where they
    are as far from one end of the pair as its other end is.
    """

    @property
    def theory(self) -> Theory:
        """Easy for every number of coordinates."""
        return SCALARS if self.dim == 1 else VECTORS

    @property
    def alphas(self) -> range:
        """Below 2 nothing lies between the extremes, from ``values`` on every pair is close."""
        return range(2, self.values)

    def limit(self, alpha: Alpha) -> Alpha:
        """Alpha itself."""
        return alpha

    def longest(self, alpha: int) -> int:
        """A full box."""
        return alpha**self.dim

    def distance(self, x: Ints, y: Ints) -> Ints:
        """(..., d), (..., d) -> (...)."""
        return np.abs(x - y).max(axis=-1)

    def diameters(self, items: Ints) -> Ints:
        """Running maximum minus running minimum, of the widest coordinate: (B, n, d) -> (B, n)."""
        lines = np.moveaxis(items, -1, 0)  # (d, B, n)
        return (np.maximum.accumulate(lines, axis=-1) - np.minimum.accumulate(lines, axis=-1)).max(axis=0)

    def classes(self, alpha: int) -> int | None:
        """The intervals that are still allowed, for each coordinate; nothing seen; all lost."""
        if self.values >= 2 * alpha:
            return (alpha * self.values - 3 * alpha * (alpha - 1) // 2) ** self.dim + 2
        starts = self.values - alpha + 1
        return starts * (starts + 1) // 2 + 1 if self.dim == 1 else None

    def classes_within(self, alpha: int, length: int) -> int | None:
        """Two vectors span any interval that can still be allowed; of two or three, one is seen."""
        classes = self.classes(alpha)
        if classes is None or length > 3:
            return None if classes is None else classes - (self.values >= 2 * alpha)  # at a cut something was seen
        return len({(max(0, x - alpha + 1), min(self.values, x + alpha)) for x in range(self.values)}) ** self.dim

    def twins(self, rng: np.random.Generator, alpha: Alpha, pairs: int, length: int) -> Ints:
        """(pairs, 2, n, d): in one coordinate the extremes are alpha - 1 apart, then one moves a step further out."""
        if self.dim == 1 and not self.distinct:
            return self._scalar_twins(rng, alpha, pairs, length)[..., None]
        alpha = np.full((pairs, 1), alpha)
        if self.distinct:
            layer = alpha ** (self.dim - 1)
            above = (alpha - 1) * layer - 1  # places above the lowest layer, without that of the upper end
            items = self._filled(rng, alpha - 1, np.where(above >= length - 2, above, alpha * layer - 2), length)
        else:
            # Most of the time the others leave out the height from which the upper end moves. If they often shared it,
            # extremes without equals would betray the answer, if they never did, those of few heights their sum would.
            top = alpha - ((alpha > 2) & (rng.random((pairs, 1)) < 0.6))
            part = np.sort(rng.integers(1, top, (pairs, 3)), axis=1)
            items = self._beside(rng, alpha - 1, rng.integers(part[:, :1], part[:, 2:] + 1, (pairs, length - 2)))
        twins = np.stack([items, items], axis=1)
        twins[:, 1, 0, 0] += 1
        line, upwards = twins[..., 0], rng.integers(0, 2, (pairs, 1, 1)).astype(bool)
        line[...] = np.where(upwards, line, alpha[..., None] - line) + rng.integers(0, self.values - alpha)[..., None]
        return self._placed(rng, twins)

    def broad(self, rng: np.random.Generator, alpha: Alpha, close: np.ndarray, length: int) -> Ints:
        """(B, n, d): the diameter is uniform on 0 .. alpha - 1 where ``close`` (B,), else on alpha .. values - 1.

        Distinct vectors need room: it starts where a box holds them.
        """
        least = min(side for side in range(length) if (side + 1) ** self.dim >= length) if self.distinct else 0
        near, far = (rng.integers(*ends, (len(close), 1)) for ends in ((least, alpha), (alpha, self.values)))
        spread = np.where(close[:, None], near, far)
        if self.distinct:
            items = self._filled(rng, spread, (spread + 1) ** self.dim - 2, length)
        elif self.dim > 1:
            items = self._beside(rng, spread, rng.integers(0, spread + 1, (len(close), length - 2)))
        else:
            return self._spanning(rng, spread, rng.integers(0, spread + 1, (len(close), length)))[..., None]
        items[..., 0] += rng.integers(0, self.values - spread)
        return self._placed(rng, items[:, None])[:, 0]

    def _scalar_twins(self, rng, alpha, pairs, length) -> Ints:
        """(pairs, 2, n)."""
        # The others fill a random part of the gap. If they filled all of it, long prompts would betray the answer:
        # an extreme that was moved in meets equals, one that was moved out never does.
        part = np.sort(rng.integers(1, alpha, (pairs, 2)), axis=1)
        inside = rng.integers(part[:, :1], part[:, 1:] + 1, (pairs, length))
        apart = self._spanning(rng, np.full((pairs, 1), alpha), inside)
        closer = apart.copy()
        highest, rows = rng.integers(0, 2, pairs).astype(bool), np.arange(pairs)
        moved = np.where(highest, apart.argmax(1), apart.argmin(1))
        closer[rows, moved] -= np.where(highest, 1, -1)
        return np.stack([closer, apart], axis=1)

    def _spanning(self, rng, spread, inside) -> Ints:
        """(B, n) scalars, the minimum uniform and the maximum ``spread`` (B, 1) above it, both at random places."""
        rows, length = np.arange(len(inside)), inside.shape[1]
        low = rng.integers(0, length, len(inside))
        high = (low + rng.integers(1, length, len(inside))) % length
        inside[rows, low], inside[rows, high] = 0, spread[:, 0]
        return inside + rng.integers(0, self.values - spread)

    def _beside(self, rng, side, between) -> Ints:
        """(B, n, d): heights ``side`` (B, 1), 0 and ``between`` (B, n - 2); in the other coordinates a box, no wider.

        No other vector equals the first, so that no equal is left behind where it moves.
        """
        height = np.concatenate([side, np.zeros_like(side), between], axis=1)
        wide = rng.integers(np.minimum(side, 1)[..., None], side[..., None] + 1, (len(side), 1, self.dim - 1))
        rest = rng.integers(0, wide + 1, (*height.shape, self.dim - 1))
        equal = (height == side) & (rest == rest[:, :1]).all(axis=-1)
        equal[:, 0] = False
        rest[..., 0] = (rest[..., 0] + equal) % (wide[..., 0] + 1)
        # A box that may stick out of the grid and is pushed back covers all values about equally.
        corner = np.clip(rng.integers(-wide, self.values), 0, self.values - 1 - wide)
        return np.concatenate([height[..., None], rest + corner], axis=-1)

    def _filled(self, rng, side, room, length) -> Ints:
        """(B, n, d): as :meth:`_beside`, distinct, and all coordinates may span ``side`` (B, 1).

        The vectors of the box are numbered from the first one, in its upper layer, down to the second one, the last of
        its lowest layer. The others are drawn from the next ``room`` (B, 1) after the first.
        """
        layer = (side + 1) ** (self.dim - 1)
        ends = np.concatenate([np.zeros_like(side), (side + 1) * layer - 1], axis=1)
        numbers = np.concatenate([ends, 1 + chosen(rng, room[:, 0], length - 2)], axis=1)
        height = side - numbers // layer
        upper, lowest = rng.integers(0, layer), rng.integers(0, layer)  # where each of the two layers begins
        place = (numbers + np.where(height == side, upper, np.where(height == 0, lowest, 0))) % layer
        corner = rng.integers(0, self.values - side, (len(side), self.dim - 1))
        return np.concatenate([height[..., None], digits(place, side + 1, self.dim - 1) + corner[:, None]], axis=-1)

    def _placed(self, rng, items) -> Ints:
        """(B, k, n, d): the vectors in random order, the first coordinate moved to a random place."""
        source = (np.arange(self.dim) - rng.integers(0, self.dim, (len(items), 1))) % self.dim
        return np.take_along_axis(shuffled(rng, items), source[:, None, None], axis=-1)
