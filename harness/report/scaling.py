"""How a resource must grow with the length: brackets of r*(n), one estimate for each length, a law with its interval.

r*(n) is the least value of a resource at which the problem of length n is solved (THEORY d.1), n*(r) the longest length
that a value solves. A run says only between which two values of a grid r* lies. What never solved is right-censored,
what always did left-censored; neither is dropped. All estimates here are maxima of one likelihood
(`harness.report.likelihood`): normal noise on a scale where the law is a line, each observation exact, within an
interval, or beyond an end.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy  # its parts are imported where they are asked for: nearly a second

from harness.nearest import unknown
from harness.report.grid import Tried, held, tried
from harness.report.likelihood import Floats, Sides, likeliest, line

RESOURCES: Mapping[str, str] = MappingProxyType(
    {
        "state bits": "state_bits", "width": "model.width", "layers": "model.layers", "heads": "model.heads",
        "loops": "model.loops", "steps": "steps", "rank": "attention.rank", "window": "attention.window",
        "k": "attention.k", "features": "attention.features", "key width": "attention.key_width",
        "recurrent width": "attention.state", "logit scale": "logit_scale", "keys reached": "keys_reached",
        "d": "task.dim", "parameters": "parameters", "scored pairs": "scored_pairs", "serial steps": "serial_steps",
        "prompt FLOPs": "prompt_flops", "decode FLOPs": "decode_flops", "training FLOPs": "train_flops",
    }
)  # fmt: skip
LEAST = 5  # lengths inside the grid without which no law is fitted
QUANTILE = 0.975
PULL = 1e-3  # keeps the spread of seeds above some sixth of the grid, where no seed shows more


class Form(NamedTuple):
    """The scale on which a law is a line: response = intercept + slope x across(length)."""

    across: Callable[[npt.ArrayLike], Floats]
    up: Callable[[npt.ArrayLike], Floats]  # log r -> response
    back: Callable[[npt.ArrayLike], Floats]  # response -> r
    stretch: Callable[[npt.ArrayLike], Floats]  # d response / d log r at log r


LAWS: Mapping[str, Form] = MappingProxyType(
    {
        "power": Form(np.log, np.positive, np.exp, np.ones_like),
        "exponential": Form(np.positive, lambda y: y / math.log(2), np.exp2, lambda y: np.ones_like(y) / math.log(2)),
        "logarithm": Form(np.log, np.exp, np.positive, np.exp),
    }
)


@dataclass(frozen=True)
class Law:
    """Power: ``log r = a + b log n``; exponential: ``log2 r = a + b n``; logarithm: ``r = a + b log n``."""

    name: str
    slope: float  # b; NaN with a reason
    low: float  # its 95 % interval
    high: float
    intercept: float  # a
    lengths: int  # that there are points of
    censored: int  # of them
    reason: str = ""  # why there is no slope, in words; empty if there is
    covariance: tuple[tuple[float, float], tuple[float, float]] = ((math.nan, math.nan), (math.nan, math.nan))
    freedom: int = 1  # degrees of freedom of the residuals

    def predict(self, x: npt.ArrayLike) -> Floats:
        """The resource at lengths ``x``."""
        form = LAWS[self.name]
        return form.back(self.intercept + self.slope * form.across(np.asarray(x, dtype=float)))

    def band(self, x: npt.ArrayLike) -> tuple[Floats, Floats]:
        """(low, high) of the mean line at lengths ``x``, 95 % at each."""
        form = LAWS[self.name]
        at = form.across(np.asarray(x, dtype=float))
        (aa, ab), (_, bb) = self.covariance
        half = scipy.stats.t.ppf(QUANTILE, self.freedom) * np.sqrt(np.maximum(aa + 2 * ab * at + bb * at**2, 0))
        middle = self.intercept + self.slope * at
        return form.back(middle - half), form.back(middle + half)


def brackets(rows: pd.DataFrame, resource: str, asks: str = "does") -> pd.DataFrame:
    """The interval (low, high] that holds r* of each (length, seed): columns length, seed, low, high.

    ``high`` is the least value at which that seed solves, inf if none; ``low`` the largest below it at which it does
    not, 0 if it solves at the least. Where several runs share length, seed and value, ``does`` asks of the median one
    (at least half of them solve) and ``can`` of the best (THEORY d.5): the best of many runs says what is possible, not
    what a training does, so that is the default. A run without scores solves nothing: it counts at its value of a
    setting, or where the runs of its recipe are; a seed that is nowhere has (0, inf) at every length. The split, and
    whether forced stops count, is the caller's choice. Raises ValueError for an unknown resource, or for rows of
    several splits.
    """
    return held(_tried(rows, resource, asks), "length", "value", 0.0)


def required(rows: pd.DataFrame, resource: str, asks: str = "does") -> pd.DataFrame:
    """r*(n), a row for each length, its index.

    least: the least value at which at least half of the seeds solve, inf if none (THEORY d.1) ·
    estimate: log r*, interval-censored maximum likelihood over the seeds; they are normal about it with one sigma that
    all lengths share, so where all share a bracket it is its log-midpoint; a censored length has its limit instead ·
    low, high: log ends of the brackets of all its seeds · hidden: standard deviation of what a bracket hides where all
    seeds share it, log width / sqrt(12) · censored: "left" (all seeds solve at the least value), "right" (none at any),
    "" (where no seed at all lies between two values, it is as most seeds of the length are) · seeds, and how many of
    them solved at any value. Raises ValueError as `brackets`.
    """
    runs = _tried(rows, resource, asks)
    points = estimated(held(runs, "length", "value", 0.0), "length")
    return _with_share(points, runs.cells, "length", "value", "least", "min", math.inf)


def critical(rows: pd.DataFrame, resource: str, asks: str = "does") -> pd.DataFrame:
    """n*(r), the longest length that is solved, a row for each value of the resource, its index.

    Columns as of `required`, with the roles swapped: n* lies in [largest solved, smallest not solved above it); "left"
    is solved at no length, "right" at all; ``largest`` is the longest that at least half of the seeds solve, 0 if none.
    """
    cells, lost = _tried(rows, resource, asks)
    mirrored = held(Tried(cells.assign(length=-cells["length"]), lost), "value", "length", -math.inf)
    ends = mirrored.assign(low=(-mirrored["high"]).clip(lower=0), high=-mirrored["low"])
    return _with_share(estimated(ends, "value"), cells, "value", "length", "largest", "max", 0.0)


def estimated(ends: pd.DataFrame, by: str = "length") -> pd.DataFrame:
    """The points of `required` from brackets (columns ``by``, low, high; a row for each seed): one for each ``by``."""
    ends = ends.sort_values(by, kind="stable")
    index, start, place = np.unique(ends[by].to_numpy(), return_index=True, return_inverse=True)
    low, high = ends["low"].to_numpy(dtype=float), ends["high"].to_numpy(dtype=float)
    grid = np.concatenate([low, high])
    grid = grid[(grid > 0) & np.isfinite(grid)]
    with np.errstate(divide="ignore"):  # 0 steps have no logarithm: at most the least number above
        low, high = np.log(low), np.log(np.maximum(high, grid.min() if len(grid) else 0))
    least, most = np.minimum.reduceat, np.maximum.reduceat
    hull, inner = (least(low, start), most(high, start)), (most(low, start), least(high, start))
    right = np.isposinf(inner[1])
    left = np.isneginf(inner[0]) & ~right
    inside = ~(left | right)
    if not (np.isfinite(low) & np.isfinite(high))[inside[place]].any():  # no pair of values shows how seeds spread
        half = 2 * np.bincount(place, np.isfinite(high)) >= np.bincount(place)
        left, right = left | (inside & half), right | (inside & ~half)
        inside = ~(left | right)
    told = (
        np.where(np.isfinite(low), low, np.inf),
        np.where(np.isfinite(high), high, -np.inf),
    )  # by who was tried
    estimate = np.where(right, least(told[0], start), most(told[1], start))
    if inside.any():
        some = inside[place] & (np.isfinite(low) | np.isfinite(high))
        estimate[inside] = _centres(low[some], high[some], place[some])
    agree = inside & (hull[0] == inner[0]) & (hull[1] == inner[1])
    width = np.subtract(hull[1], hull[0], out=np.zeros(len(index)), where=agree)
    points = {"estimate": estimate, "low": hull[0], "high": hull[1], "hidden": width / math.sqrt(12)}
    points |= {"censored": np.where(right, "right", np.where(left, "left", ""))}
    counts = np.bincount(place, minlength=len(index)), np.bincount(place, np.isfinite(high), len(index)).astype(int)
    return pd.DataFrame(points | {"seeds": counts[0], "solved": counts[1]}, index=pd.Index(index, name=by))


def fit(points: pd.DataFrame, law: str = "power") -> Law:
    """The law through points of `required`: index x, log ``estimate``, ``censored``, and ``hidden`` where a grid hides.

    Normal maximum likelihood on the scale where the law is a line, a censored length beyond its limit (Tobit). The
    slope's interval is that of profile likelihood, cut at m log(1 + t^2 / df): df = uncensored lengths - 2, t =
    t_{.975, df}, m = points, a censored one counting by the share of an exact point's curvature that its likelihood
    has, between 0 and 1. With none censored that is the t interval of least squares, and so it is of the others where
    those censored say nothing; with m = all points intervals cover up to .99. Residuals cannot be smaller than what the
    grid hides: their variance is at least the mean of ``hidden``^2, 0 for lengths whose seeds differ, whose error the
    residuals show. Otherwise points that agree to the grid step would have an interval of no width. Fewer than 5
    lengths inside the grid have no slope but a ``reason``. Raises ValueError for an unknown law, and for lengths that
    it has no logarithm of.
    """
    if law not in LAWS:
        raise unknown("law ", law, LAWS)
    points = points[np.isfinite(points["estimate"])]
    sides = _sides(points)
    exact, nan = sides == 0, math.nan
    if reason := _reason(sides):
        return Law(law, nan, nan, nan, nan, len(points), int((~exact).sum()), reason)
    form, y = LAWS[law], points["estimate"].to_numpy(dtype=float)
    x = _across(points, form)
    hidden = _hidden(points) * form.stretch(y)
    middle, unit = x.mean(), x.std()
    design, df = np.stack([np.ones(len(x)), (x - middle) / unit], axis=1), int(exact.sum()) - 2
    found = line(form.up(y), sides, design, float(np.mean(hidden[exact] ** 2)), df)
    m = found.shares.sum()
    t, covariance = scipy.stats.t.ppf(QUANTILE, df), found.covariance * m / df
    half, cut = t * math.sqrt(covariance[1, 1]), m * math.log1p(t**2 / df)
    low, high = (found.end(side * half, cut) / unit for side in (-1, 1))
    turn = np.array([[1, -middle / unit], [0, 1 / unit]])  # from standardised x
    covariance, (a, b) = turn @ covariance @ turn.T, map(float, turn @ found.coefficients)
    spread = tuple(tuple(map(float, row)) for row in covariance)
    return Law(law, b, low, high, a, len(x), int((~exact).sum()), "", spread, df)


def compare_laws(points: pd.DataFrame) -> pd.DataFrame:
    """Constant, logarithm, power and exponential by AICc: a row for each, the likeliest first.

    Columns: parameters (sigma among them), log_likelihood, aicc, delta (to the best), weight. All are fitted to log r
    by the censored likelihood, so no length is left out; AICc counts as sample the uncensored ones. No law is rewarded
    for residuals below what the grid hides. With fewer than 5 lengths inside the grid every measure is NaN.
    """
    points = points[np.isfinite(points["estimate"])]
    sides = _sides(points)
    names, parameters = ["constant", "logarithm", "power", "exponential"], np.array([2, 3, 3, 3])
    table = pd.DataFrame({"parameters": parameters}, index=pd.Index(names, name="law"))
    measures = ["log_likelihood", "aicc", "delta", "weight"]
    if _reason(sides):
        return table.assign(**dict.fromkeys(measures, math.nan))
    y, n = points["estimate"].to_numpy(dtype=float), int((sides == 0).sum())
    least, one = float(np.mean(_hidden(points)[sides == 0] ** 2)), np.ones(len(points))
    log_n, plain = _across(points, LAWS["power"]), _across(points, LAWS["exponential"])
    depth = log_n - log_n.mean()

    def value(y: Floats, *columns: Floats) -> float:
        return line(y, sides, np.stack([one, *columns], axis=1), least, n).log_likelihood

    def bent(c: float) -> float:  # r = s (1 + c log(n / mean)), which stays above 0
        return value(y - np.log1p(c * depth))

    grid = np.linspace(-1 / depth.max(), -1 / depth.min(), 66)[1:-1]
    place = int(np.argmax([bent(c) for c in grid]))
    around = grid[max(place - 1, 0)], grid[min(place + 1, len(grid) - 1)]
    logarithm = -scipy.optimize.minimize_scalar(lambda c: -bent(c), bounds=around, method="bounded").fun
    lines = (value(y, (x - x.mean()) / x.std()) for x in (log_n, plain))
    table["log_likelihood"] = [value(y), logarithm, *lines]
    correction = 2 * parameters * (parameters + 1) / (n - parameters - 1)
    table["aicc"] = 2 * parameters - 2 * table["log_likelihood"] + correction
    table["delta"] = table["aicc"] - table["aicc"].min()
    table["weight"] = np.exp(-table["delta"] / 2) / np.exp(-table["delta"] / 2).sum()
    return table.sort_values("delta", kind="stable")


def _tried(rows: pd.DataFrame, resource: str, asks: str) -> Tried:
    if resource not in RESOURCES:
        raise unknown("resource ", resource, RESOURCES)
    return tried(rows, RESOURCES[resource], asks)


def _with_share(
    points: pd.DataFrame, cells: pd.DataFrame, by: str, along: str, name: str, first: str, none: float
) -> pd.DataFrame:
    """The points, and before them the first value that at least half of the seeds that tried it solve."""
    share = cells.groupby([by, along])["solves"].mean().reset_index()
    found = share[share["solves"] >= 1 / 2].groupby(by)[along].agg(first)
    points.insert(0, name, found.astype(float).reindex(points.index, fill_value=none))
    return points


def _centres(low: Floats, high: Floats, place: Sides) -> Floats:
    """The likeliest centre of each length's seeds, which lie between low and high (m,), all with one sigma."""
    _, place = np.unique(place, return_inverse=True)
    design = np.eye(place.max() + 1)[place]
    closed = np.isfinite(low) & np.isfinite(high)
    unit = np.median((high - low)[closed]) if closed.any() else 1.0
    about = (np.where(np.isfinite(low), low, high) + np.where(np.isfinite(high), high, low)) / 2
    start = np.bincount(place, about / unit) / np.bincount(place)
    return likeliest(low / unit, high / unit, design, PULL, np.append(start, 1.0)).line * unit


def _reason(sides: Sides) -> str:
    """Why these points have no slope."""
    inside = int((sides == 0).sum())
    if len(sides) and (sides == -1).all():
        return "solved at the least value everywhere: edge of grid"
    if len(sides) and (sides == 1).all():
        return "solved at no value anywhere: edge of grid"
    if inside < LEAST:
        within = f" inside the grid: {inside} of {len(sides)}" if inside < len(sides) else f": {inside}"
        return f"fewer than {LEAST} lengths{within}"
    return ""


def _sides(points: pd.DataFrame) -> Sides:
    """(m,) on which side of its limit a point lies: 0 for one that is no limit."""
    censored = points["censored"].to_numpy(dtype=str)
    return (censored == "right").astype(int) - (censored == "left")


def _hidden(points: pd.DataFrame) -> Floats:
    """(m,) on the log scale; what was measured exactly hides nothing."""
    return points["hidden"].to_numpy(dtype=float) if "hidden" in points else np.zeros(len(points))


def _across(points: pd.DataFrame, form: Form) -> Floats:
    at = points.index.to_numpy(dtype=float)
    if form.across is np.log and (at <= 0).any():
        raise ValueError(f"a law in log n needs lengths above 0, given is {at.min():g}")
    return form.across(at)
