"""Maximum likelihood of a line with normal noise, each observation exact, within an interval, or beyond an end.

An observation is a pair (low, high): equal where it is exact, -inf or inf where it has no end (a Tobit model). With
theta = 1 / sigma and gamma = theta x coefficients the log-likelihood is concave (Olsen 1978), so that Newton's method
finds its maximum.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

Floats = npt.NDArray[np.float64]
Sides = npt.NDArray[np.int_]
NORM = math.log(2 * math.pi) / 2
STEPS = 100  # of Newton's method; some 8 are taken
ROOT = 1e-9  # relative: the end of an interval, and the least spread and variance that floating-point numbers show
CLOSE = 1e-7  # to the maximum: one more step, whose error is the square, and it is there
TINY = 1e-14  # no likelihood falls by less


class Maximum(NamedTuple):
    """Where a log-likelihood is largest."""

    value: float
    at: Floats  # (p + 1,) theta x coefficients, theta
    information: Floats  # (p + 1, p + 1) minus the second derivatives there

    @property
    def line(self) -> Floats:
        """(p,) the coefficients."""
        return self.at[:-1] / self.at[-1]

    @property
    def covariance(self) -> Floats:
        """(p, p) of the coefficients."""
        turn = np.concatenate([np.eye(len(self.line)), -self.line[:, None]], axis=1) / self.at[-1]
        return turn @ np.linalg.solve(self.information, turn.T)


class _Point(NamedTuple):
    value: float
    gradient: Floats
    information: Floats


def likeliest(low: Floats, high: Floats, design: Floats, rest: float, start: Floats) -> Maximum:
    """The maximum over coefficients and spread: low, high (m,), design (m, p), start (p + 1,) as `Maximum.at`.

    ``rest`` is a sum of squares that is added to the residuals' own: no spread is estimated smaller than it allows.
    """
    here = _at(low, high, design, rest, start)
    for _ in range(STEPS):
        step = np.linalg.solve(here.information + TINY * np.eye(len(start)), here.gradient)
        gain = here.gradient @ step  # twice the gain in log-likelihood, were that a parabola
        there = _at(low, high, design, rest, start + step)
        while gain > CLOSE and not there.value > here.value:
            step, gain = step / 2, gain / 2
            there = _at(low, high, design, rest, start + step)
        start, here = start + step, there
        if gain <= CLOSE:
            break
    return Maximum(here.value, start, here.information)


@dataclass(frozen=True)
class Line:
    """Points (m,), exact or limits, and the likeliest line through them.

    What is computed with is what they rise above ``about``, a line near by, in units of ``scale``.
    """

    y: Floats
    sides: Sides  # (m,) 0 exact, 1 above y, -1 below y
    design: Floats  # (m, p)
    rest: float
    about: Floats  # (p,)
    scale: float
    best: Maximum

    @property
    def coefficients(self) -> Floats:
        """(p,) in the units of the points, as all below."""
        return self.about + self.scale * self.best.line

    @property
    def covariance(self) -> Floats:
        """(p, p) of the coefficients."""
        return self.scale**2 * self.best.covariance

    @property
    def log_likelihood(self) -> float:
        """The largest there is."""
        return self.best.value - float((self.sides == 0).sum()) * math.log(self.scale)

    @property
    def shares(self) -> Floats:
        """(m,) what each point says, as a share of an exact one: the curvature of its log-likelihood, from 0 to 1.

        A limit far off the line says nothing, one that the line has crossed by far says all.
        """
        u = -self.sides * (self.y * self.best.at[-1] - self.design @ self.best.at[:-1])
        ratio = np.exp(-u * u / 2 - NORM - log_ndtr(u))
        return np.where(self.sides == 0, 1.0, ratio * (u + ratio))

    def end(self, step: float, cut: float) -> float:
        """The last coefficient, on the side of ``step``, at which twice the log-likelihood has fallen by ``cut``.

        All else is maximised anew. It falls without end on each side as long as more than p points are exact.
        """
        low, high = _observed(self.y, self.sides)
        middle, step, inside, outside, last = self.best.line[-1], step / self.scale, 0.0, math.inf, (0.0, 0.0)
        at, aim = np.append(self.best.at[:-2], self.best.at[-1]), math.sqrt(cut)
        for _ in range(STEPS):
            offset = (middle + step) * self.design[:, -1]
            found = likeliest(low - offset, high - offset, self.design[:, :-1], self.rest, at)
            at, root = found.at, math.sqrt(max(2 * (self.best.value - found.value), TINY))
            if abs(root - aim) < ROOT * aim:
                break
            inside, outside = (abs(step), outside) if root < aim else (inside, abs(step))
            slope = (abs(step) - last[0]) / ((root - last[1]) or math.inf)  # a root of the fall is nearly a line
            last, further = (abs(step), root), abs(step) + (aim - root) * slope
            if not inside < further < outside:
                further = (inside + outside) / 2 if outside < math.inf else 2 * inside
            step = math.copysign(further, step)
        return float(self.about[-1] + self.scale * (middle + step))


def line(y: Floats, sides: Sides, design: Floats, least: float, freedom: float) -> Line:
    """The likeliest line, its residuals taken to be so large that their sum of squares / ``freedom`` is ``least``."""
    about = np.linalg.lstsq(design, y, rcond=None)[0]
    above, exact = y - design @ about, sides == 0
    scale = max(math.sqrt(np.mean(above**2)), ROOT * (1 + float(np.abs(y).max())))
    above, rest = above / scale, ROOT * len(y)
    best = likeliest(*_observed(above, sides), design, rest, np.append(0 * about, 1.0))
    residuals = (above - design @ best.line)[exact]
    rest = max(rest, freedom * least / scale**2 - float(residuals @ residuals))
    best = likeliest(*_observed(above, sides), design, rest, best.at)
    return Line(above, sides, design, rest, about, scale, best)


def _at(low: Floats, high: Floats, design: Floats, rest: float, at: Floats) -> _Point:
    """Log-likelihood and its derivatives by (gamma, theta); u = theta y - gamma . design at either end."""
    theta = at[-1]
    if theta <= 0:
        return _Point(-math.inf, at, np.eye(len(at)))
    exact, ends = low == high, []
    for y in (low, high):
        finite = np.isfinite(y)
        slopes = np.concatenate([-design, np.where(finite, y, 0.0)[:, None]], axis=1)  # du
        ends.append((finite, slopes, slopes @ at))
    (has_low, d_low, u_low), (has_high, d_high, u_high) = ends
    with np.errstate(all="ignore"):  # a trial so far off that nothing is likely there has the value -inf
        log_p = _log_between(np.where(has_low, u_low, -np.inf), np.where(has_high, u_high, np.inf), exact)
        w_low = np.exp(-u_low * u_low / 2 - NORM - log_p) * (has_low & ~exact)
        w_high = np.exp(-u_high * u_high / 2 - NORM - log_p) * (has_high & ~exact)
        each = w_high[:, None] * d_high - w_low[:, None] * d_low
        gradient = each.sum(axis=0) - (u_high * exact) @ d_high
        information = each.T @ each + d_high.T @ ((u_high * w_high + exact)[:, None] * d_high)
        information -= d_low.T @ ((u_low * w_low)[:, None] * d_low)
        count = exact.sum()
        gradient[-1] += count / theta - rest * theta
        information[-1, -1] += count / theta**2 + rest
        value = np.where(exact, math.log(theta) - u_high * u_high / 2 - NORM, log_p).sum() - rest * theta**2 / 2
    return _Point(float(value), gradient, information)


def _log_between(low: Floats, high: Floats, exact: npt.NDArray[np.bool_]) -> Floats:
    """log(Phi(high) - Phi(low)), from whichever tail is exact; 0 where there is nothing between."""
    flip = low > 0
    far, near = log_ndtr(np.where(flip, -high, low)), log_ndtr(np.where(flip, -low, high))
    return np.where(exact, 0.0, near + np.log1p(-np.exp(np.where(exact, -math.inf, far - near))))


def _observed(y: Floats, sides: Sides) -> tuple[Floats, Floats]:
    return np.where(sides < 0, -np.inf, y), np.where(sides > 0, np.inf, y)
