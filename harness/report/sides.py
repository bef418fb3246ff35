"""Statistics of two sides: how far apart they are in accuracy, or in the longest length that they solve."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pandas as pd

from harness.report.cells import NOTHING, Cell, at, cells, runs_of, scores
from harness.report.contrast import Score, contrast
from harness.report.evidence import Evidence
from harness.report.stats import SEEDS, Estimate, solved, t_interval


def gap(
    evidence: Evidence,
    left: Sequence[str],
    right: Sequence[str],
    where: Sequence[str] = (),
    each: Sequence[str] = (),
    split: str = "boundary",
    length: int | str = "longest",
    measure: str = "accuracy",
    absolute: bool = False,
) -> Iterator[Cell]:
    """Accuracy of ``left`` less that of ``right``: paired on the items that runs of one seed share, over the seeds.

    ``absolute``: how far apart they are, whichever is the better.
    """
    sides = [at(scores(evidence, [*where, *side], split), length) for side in (left, right)]
    yield from _contrast(sides, each, partial(_gap, evidence, measure), absolute, averaged=True)


def shift(
    evidence: Evidence,
    left: Sequence[str],
    right: Sequence[str],
    where: Sequence[str] = (),
    each: Sequence[str] = (),
    absolute: bool = False,
) -> Iterator[Cell]:
    """By how many steps of the grid of lengths n* of ``left`` lies above that of ``right``, over the seeds they share.

    n* of a run is the longest length that it solves; if it solves none, or failed, the grid's place before the first.
    """
    sides = [scores(evidence, [*where, *side], "boundary") for side in (left, right)]
    yield from _contrast(sides, each, _shift, absolute)


def _contrast(
    sides: Sequence[pd.DataFrame],
    each: Sequence[str],
    of: Callable[[pd.DataFrame, pd.DataFrame], tuple[Estimate, list[str]]],
    absolute: bool,
    averaged: bool = False,
) -> Iterator[Cell]:
    """Two sides cell by cell; ``of`` takes the rows of both to an estimate and the reasons why it decides nothing."""
    if any(side.empty for side in sides):
        yield Cell("", NOTHING, (), ("no run of it can be read",))
        return
    both = [{label: (part, notes) for label, part, notes in cells(side, each, averaged)} for side in sides]
    for label in dict.fromkeys(label for side in both for label in side):
        found = [side[label] for side in both if label in side]
        runs = tuple(run for part, _ in found for run in runs_of(part))
        if len(found) < len(both):
            yield Cell(label, NOTHING, runs, ("no run of one side can be read",))
            continue
        estimate, more = of(*(part for part, _ in found))
        reasons = tuple(dict.fromkeys([*(note for _, notes in found for note in notes), *more]))
        yield Cell(label, _distance(estimate) if absolute else estimate, runs, reasons)


def _in_common(seeds: int) -> list[str]:
    """Why a comparison over the seeds of both sides decides nothing, if they are few."""
    return [f"too few seeds in common: {seeds} of {SEEDS}"] if seeds < SEEDS else []


def _shift(left: pd.DataFrame, right: pd.DataFrame) -> tuple[Estimate, list[str]]:
    grid = sorted(set(left["length"].dropna()) & set(right["length"].dropna()))
    places = [_places(side[side["length"].isin(grid) | side["accuracy"].isna()], grid) for side in (left, right)]
    steps = (places[0] - places[1]).dropna()
    top = bool(len(steps)) and bool((pd.concat(places) == len(grid) - 1).all())
    low, high = t_interval(steps)
    if len(set(steps)) == 1 and len(steps) > 1:  # seeds that agree are one grid step apart at most
        low, high = steps.iloc[0] - 0.5, steps.iloc[0] + 0.5
    estimate = Estimate(float(steps.mean()), low, high, math.nan, len(steps), "seeds")
    return estimate, [*_in_common(len(steps)), *(["solved at every length: edge of grid"] if top else [])]


def _distance(estimate: Estimate) -> Estimate:
    """Of the absolute value: 0 is its least where the interval holds 0."""
    ends = sorted((abs(estimate.low), abs(estimate.high)))
    low = 0.0 if estimate.low <= 0 <= estimate.high else ends[0]
    return Estimate(abs(estimate.value), low, ends[1], math.nan, estimate.n, estimate.unit)


def _gap(evidence: Evidence, measure: str, left: pd.DataFrame, right: pd.DataFrame) -> tuple[Estimate, list[str]]:
    """On the lengths that a seed has on both sides; on all of them if no seed is shared."""
    sides = [side[side["accuracy"].notna()].sort_values(["seed", "length"], kind="stable") for side in (left, right)]
    places = [pd.MultiIndex.from_frame(side[["seed", "length"]]) for side in sides]
    shared, reasons = set(places[0]) & set(places[1]), []
    if set(sides[0]["seed"]) & set(sides[1]["seed"]):
        if not shared:
            return NOTHING, ["no length in common"]
        sides = [side[place.isin(shared)] for side, place in zip(sides, places, strict=True)]
        reasons = _in_common(len({seed for seed, _ in shared}))
    return contrast(*(_of_seed(evidence, side, measure) for side in sides)), reasons


def _of_seed(evidence: Evidence, rows: pd.DataFrame, measure: str) -> dict[int, Score]:
    """seed -> the mean of a measure over its lengths. Items are known of accuracy, where a length has one row."""
    found = {}
    for seed, part in rows.groupby("seed"):
        single = measure == "accuracy" and part["length"].is_unique
        right = [evidence.items(row) for _, row in part.iterrows()] if single else [None]
        kept = None if any(items is None for items in right) else right
        found[seed] = Score(part[measure].mean(), part["examples"].sum(), kept)
    return found


def _places(rows: pd.DataFrame, grid: list[int]) -> pd.Series:
    """seed -> place in the grid of the longest length that is solved, -1 if none is."""
    places = {length: place for place, length in enumerate(grid)}
    found = {seed: -1 for seed in rows["seed"].unique()}
    scored = rows[rows["accuracy"].notna()]
    for seed, length in scored.loc[solved(scored), ["seed", "length"]].itertuples(index=False):
        found[seed] = max(found[seed], places[length])
    return pd.Series(found, dtype=float)
