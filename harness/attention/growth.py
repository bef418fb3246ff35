"""How a price grows: functions of n by name, and the law that each is found to be by exact differences, never by a fit.

>>> from harness.attention.window import Window
>>> for price in prices(Window(64, 4, window=16, sinks=0)):
...     if price.unit == "pairs":
...         print(price.what, price.unit, "|", law(price).words)
prompt pairs | 64·n - 480
one more token pairs | 4·n + 4 up to n = 15, then 64

The price of one token, and what a state holds, are looked at for every n from 0 to 4097; sums over n tokens at
n = 1024, 2048, ... 8192, where chunks of any power of two up to 1024 are whole. A law is exact there, or it is none.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from harness.attention.base import Mixer

EVERY = range(2**12 + 2)  # second differences about each of 2^4 .. 2^12, and about all between
GRID = range(1024, 8 * 1024 + 1, 1024)
DEGREES = range(5)  # constant to quartic
NAMES = ("constant", "linear", "quadratic", "cubic", "quartic")
PIECES = 3  # a window that fills, and sinks before it; more pieces are no simple law
PERIODS = (*range(2, 129), 256, 512, 1024)  # of chunks and blocks


class Price(NamedTuple):
    """A price as a function of n, for one sequence and one layer."""

    what: str
    unit: str
    at: Callable[[int], int]
    summed: bool  # over n tokens; else it is one token's, after n others, or what a state holds then


class Piece(NamedTuple):
    """A polynomial in n, from ``first`` to ``last``."""

    first: int
    last: int
    coefficients: tuple[Fraction, ...]  # of 1, n, n², ...

    def at(self, n: int) -> Fraction:
        """Its value."""
        return sum((c * n**power for power, c in enumerate(self.coefficients)), Fraction(0))


class Law(NamedTuple):
    """What a function of n was found to be. ``degree`` is that of its growth, None where there is no simple law."""

    kind: str
    words: str
    degree: int | None
    last: Piece | None = None  # the polynomial in which it ends, unless it is periodic


def prices(mixer: Mixer, mask: str | None = None) -> list[Price]:
    """The functions that exist under a mask, by default the mixer's first. Training costs three forward passes.

    With *causal* nothing is a prefix. With *prefix* the n tokens are one, save those that are decoded. With *encoder*
    there is no state: a training pass supervises one token, and a decoded token is a pass over all before it.
    """
    mask = mixer.masks[0] if mask is None else mask
    if mask == "encoder":
        return [
            Price("training pass", "FLOPs", lambda n: mixer.training_flops(n, n), True),
            Price("one more token", "FLOPs", lambda n: mixer.flops(n + 1, None, n + 1), True),
            Price("one more token", "pairs", lambda n: mixer.scored_pairs(n + 1, None, n + 1), True),
            Price("training pass", "serial steps", lambda n: mixer.serial_steps(n, n), True),
            Price(
                "n more tokens", "serial steps", lambda n: sum(mixer.serial_steps(t, t) for t in range(1, n + 1)), True
            ),
        ]
    prefix = int(mask == "prefix")
    return [
        Price("training pass", "FLOPs", lambda n: mixer.training_flops(n, prefix * n), True),
        Price("prompt", "FLOPs", lambda n: mixer.flops(n, 0, prefix * n), True),
        Price("one more token", "FLOPs", lambda n: mixer.flops(1, n), False),
        Price("prompt", "pairs", lambda n: mixer.scored_pairs(n, 0, prefix * n), True),
        Price("one more token", "pairs", lambda n: mixer.scored_pairs(1, n), False),
        Price("state", "numbers", mixer.state_size, False),
        Price("state", "bytes", lambda n: 4 * mixer.state_size(n), False),
        Price("training pass", "serial steps", lambda n: mixer.serial_steps(n, prefix * n), True),
        Price("n more tokens", "serial steps", lambda n: n * mixer.serial_steps(1), True),
    ]


def law(price: Price) -> Law:
    """The law of a price."""
    if price.summed:
        return found(list(map(price.at, GRID)), GRID, whole=False)
    return found(list(map(price.at, EVERY)), EVERY)


def rows(mixer: Mixer, mask: str | None = None, at: int = 1024) -> Iterator[list[str]]:
    """A line for each price: of what, counted in what, how it grows, by which law, and its value at one n."""
    for price in prices(mixer, mask):
        known = law(price)
        yield [price.what, price.unit, known.kind, known.words, f"{price.at(at):,}"]


def found(values: Sequence[int], places: range, whole: bool = True) -> Law:
    """The law of integers at evenly spaced ``places``, ``whole``: told from the first place on, else as it ends.

    An end must be long enough to be one: half of the few places of a sum, beyond what the polynomial takes.
    """
    pieces = list(_pieces(values, places))
    *_, last = pieces
    certain = (last.last - last.first) // places.step + 1 - len(last.coefficients)  # places that tell nothing new
    if len(pieces) <= PIECES and certain >= (2 if whole or len(pieces) == 1 else len(places) // 2):
        return _of_pieces(pieces, whole)
    for period in PERIODS if places.step == 1 else ():
        if periodic := _of_period(values, period):
            return periodic
    return _lawless(values, places)


def differences(values: Sequence[int]) -> list[int]:
    """f(n+1) - f(n) of each two that follow one another."""
    return [after - before for before, after in pairwise(values)]


def _pieces(values: Sequence[int], places: range) -> Iterator[Piece]:
    """Cut into polynomials, from the first place on: each of the degree that explains most beyond what it takes."""
    tables = [list(values)]
    for _ in DEGREES:
        tables.append(differences(tables[-1]))  # tables[d][i]: the d-th difference at values[i]
    start = 0
    while start < len(values):
        reach = {degree: _reach(tables[degree + 1], start, degree) for degree in DEGREES}
        degree = max(DEGREES, key=lambda degree: (reach[degree] - degree, -degree))
        last = min(start + reach[degree], len(values)) - 1
        yield Piece(places[start], places[last], _polynomial([t[start] for t in tables[: degree + 1]], places[start:]))
        start = last + 1


def _reach(vanishing: Sequence[int], start: int, degree: int) -> int:
    """How many values from ``start`` on lie on one polynomial of this degree, whose next difference vanishes."""
    end = next((i for i in range(start, len(vanishing)) if vanishing[i]), len(vanishing))
    return max(end, start) - start + degree + 1


def _polynomial(leading: Sequence[int], places: range) -> tuple[Fraction, ...]:
    """Coefficients of 1, n, n², ... by Newton's formula, from the differences of every order at the first place."""
    total, basis = [Fraction(0)] * len(leading), [Fraction(1)]  # basis: binomial((n - first) / step, order)
    for order, difference in enumerate(leading):
        for power, coefficient in enumerate(basis):
            total[power] += difference * coefficient
        root, scale = places.start + order * places.step, Fraction(1, places.step * (order + 1))
        shifted, kept = [Fraction(0), *basis], [*basis, Fraction(0)]
        basis = [scale * (s - root * k) for s, k in zip(shifted, kept, strict=True)]
    while len(total) > 1 and not total[-1]:
        total.pop()
    return tuple(total)


def _of_pieces(pieces: Sequence[Piece], whole: bool) -> Law:
    *before, last = pieces
    degree, words = len(last.coefficients) - 1, formula(last.coefficients)
    if before and whole:
        words = (
            ", ".join(f"{formula(piece.coefficients)} up to n = {piece.last:,}" for piece in before) + f", then {words}"
        )
    elif before:
        words += f" from n = {last.first:,} on"
    return Law("bounded" if before and not degree else NAMES[degree], words, degree, last)


def _of_period(values: Sequence[int], period: int) -> Law | None:
    """f(n + period) - f(n) is one number, from the middle on at the latest; chunks and blocks make such steps."""
    tail = values[len(values) // 2 :]
    rise = tail[period] - tail[0]
    if any(after - before != rise for before, after in zip(tail, tail[period:], strict=False)):
        return None
    if rise:
        return Law("linear", f"+{rise:,} every {period} tokens", 1)
    low, high = min(tail[:period]), max(tail[:period])
    return Law("bounded", f"{low:,} to {high:,}, again every {period} tokens", 0)


def _lawless(values: Sequence[int], places: range) -> Law:
    """No law: only where it lies, and how its largest value grew when n doubled last."""
    half = places.index(places[-1] // 2 // places.step * places.step) + 1
    words = f"{min(values):,} to {max(values):,} at n = {places[0]:,} to {places[-1]:,}"
    if max(values[:half]) > 0:
        words += f", last like n^{math.log2(max(values) / max(values[:half])):.2f}"
    return Law("no simple law", words, None)


def formula(coefficients: Sequence[Fraction]) -> str:
    """A polynomial, highest power first: ``768·n² + 98,304·n``, ``n/64``."""
    terms = []
    for power, coefficient in reversed(list(enumerate(coefficients))):
        if coefficient:
            terms.append((coefficient < 0, _term(abs(coefficient), power)))
    if not terms:
        return "0"
    (negative, first), *rest = terms
    return ("-" if negative else "") + first + "".join(f" {'-' if minus else '+'} {term}" for minus, term in rest)


def _term(coefficient: Fraction, power: int) -> str:
    variable = ("", "n", "n²", "n³", "n⁴")[power]
    top = f"{coefficient.numerator:,}"
    product = variable if variable and coefficient.numerator == 1 else f"{top}·{variable}" if variable else top
    return product if coefficient.denominator == 1 else f"{product}/{coefficient.denominator}"
