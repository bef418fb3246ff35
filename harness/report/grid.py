"""What a grid of runs says of the least value that solves: between which two values it lies, for each seed."""

import math
from typing import NamedTuple

import pandas as pd

from harness.nearest import unknown
from harness.report.select import complete, known, untouched
from harness.report.stats import ROUNDING, solved

SQUEEZED = "state_bits"  # the column that squeezed states are about: others leave them out
ASKS = {"does": 0.5, "can": ROUNDING}  # the least share of the runs of one cell that solve: the median run, any run


class Tried(NamedTuple):
    """What the runs of a grid say."""

    cells: pd.DataFrame  # length, seed, value (of a resource), solves: once each
    lost: list[int]  # seeds at no known length and value, since all their runs ended without scores


def tried(rows: pd.DataFrame, column: str, asks: str) -> Tried:
    """Which seeds solved which length at which value of a column, runs that failed among them.

    Raises ValueError for an unknown column or question, and for rows of several splits.
    """
    if asks not in ASKS:
        raise unknown("asks ", asks, ASKS)
    rows = complete(rows)
    known([column], rows.columns)
    splits = sorted(rows.loc[rows["accuracy"].notna(), "split"].dropna().unique())
    if len(splits) > 1:
        raise ValueError(f"brackets are of one split, given are {', '.join(splits)}: choose split={splits[0]}")
    rows = untouched(rows, squeezed=column == SQUEEZED)
    numbers = {"length": rows["length"].astype(float), "value": rows[column].astype(float), "solves": solved(rows)}
    table = rows[["seed", "recipe"]].assign(**numbers)
    scores = table[rows["accuracy"].notna() & table["value"].notna() & table["length"].notna()]
    parts = [scores, *(_placed(row, scores) for row in table[rows["accuracy"].isna()].itertuples())]
    every = pd.concat([part for part in parts if len(part)] or [scores])
    share = every.groupby(["length", "seed", "value"])["solves"].mean()
    lost = sorted(set(table.loc[rows["accuracy"].isna(), "seed"].dropna()) - set(every["seed"]))
    return Tried((share >= ASKS[asks]).reset_index(), lost)


def held(runs: Tried, by: str, along: str, bottom: float) -> pd.DataFrame:
    """(low, high] for each ``by`` and seed: ``high`` the least of ``along`` that solves, ``low`` the largest below it.

    Columns by, seed, low, high. ``bottom`` and inf stand where there is none.
    """
    cells, key = runs.cells, [by, "seed"]
    high = cells[cells["solves"]].groupby(key)[along].min()
    every = cells[key].drop_duplicates().sort_values(key).set_index(key).index
    ends = pd.DataFrame({"high": high.astype(float).reindex(every, fill_value=math.inf)})
    below = cells[~cells["solves"]].join(ends, on=key)
    low = below[below[along] < below["high"]].groupby(key)[along].max()
    ends.insert(0, "low", low.astype(float).reindex(every, fill_value=bottom))
    nowhere = pd.DataFrame([(at, seed, bottom, math.inf) for at in cells[by].unique() for seed in runs.lost])
    found = ends.reset_index()
    if nowhere.empty:
        return found
    return pd.concat([found, nowhere.set_axis(found.columns, axis=1)]).sort_values(key, ignore_index=True)


def _placed(run: NamedTuple, scores: pd.DataFrame) -> pd.DataFrame:
    """Where a run without scores failed: at its own length and value, else where others of its recipe (or all) are."""
    kin = scores[scores["recipe"] == run.recipe]
    some = kin if len(kin) or math.isnan(run.value) else scores
    places = some[["length", "value"]].drop_duplicates()
    if not math.isnan(run.length):
        places = pd.DataFrame({"length": run.length, "value": places["value"] if len(places) else [run.value]})
    if not math.isnan(run.value):
        places = places.assign(value=run.value)
    return places.dropna().drop_duplicates().assign(seed=run.seed, solves=False)
