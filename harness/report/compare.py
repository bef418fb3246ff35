"""The comparison as a table: a row for each recipe, or for whatever is asked for; no run is ever left out of it."""

import math
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from harness.report.select import (
    ALWAYS,
    OF_A_RUN,
    OF_A_SCORE,
    SPLITS,
    STATUS,
    at_trained_steps,
    check_versions,
    complete,
    known,
    order,
    untouched,
    varying,
    word,
)
from harness.report.stats import t_interval

ENDINGS = ("done", *dict.fromkeys(STATUS.values()))
RARE = ("out of memory", "damaged")  # counted where there is one
COSTS = ("state_bytes", "flops_per_answer", "serial_steps", "scratch_tokens")
HEADS = {"state_bytes": "state (bytes)", "flops_per_answer": "FLOPs/answer"}


def table(rows: pd.DataFrame, by: Sequence[str] | None = None, allow_mixed: bool = False) -> pd.DataFrame:
    """One row for each group of `by`; the default is task, attention, scratchpad and every setting that varies.

    Accuracy (in [0, 1], exact and free-running, at the trained number of steps unless `by` names steps) is a mean over
    runs of a run's mean over lengths, with its 95 % t interval over runs (`_low`, `_high`): `boundary` and `broad`
    within the trained lengths, `boundary_beyond` and `broad_beyond` outside them. A mean takes the lengths that every
    run of its group has on every split: `lengths`, `lengths_beyond`. What `by` names (length, split) is not
    averaged. `seeds` counts the seeds with scores; runs without are in `failed`, `diverged` and `unfinished` and add a
    row of their own if the group has no others. A `by` of one's own may pool recipes: `recipes` says how many, and the
    mean has no interval then. Costs are of one answer at the longest trained length: bytes of state, FLOPs, serial
    steps, scratch tokens.
    """
    if rows.empty:
        raise ValueError("nothing to compare: there are no runs")
    if not allow_mixed:
        check_versions(rows)
    rows = complete(rows)
    known(by or (), [c for c in rows.columns if c in (*OF_A_RUN, *OF_A_SCORE) or "." in c])
    names = list(dict.fromkeys(by or [*ALWAYS, *varying(rows)]))
    outer, inner = ([c for c in names if (c in OF_A_SCORE) == late] for late in (False, True))
    rows = rows.assign(flops_per_answer=rows["prompt_flops"] + rows["decode_flops"], code=_code(rows))
    for column in outer:
        if not pd.api.types.is_numeric_dtype(rows[column]):
            rows[column] = rows[column].map(word)  # so that a missing word equals an empty one
    found: list[dict] = []
    for key, group in rows.groupby(outer or (lambda _: 0), dropna=False):
        about = dict(zip(outer, key, strict=True)) if outer else {}
        about |= {"recipes": group["recipe"].nunique()} if by else {}
        status = group.groupby("run")["status"].first()
        ended = status.map({"DONE": "done", **STATUS}).value_counts()
        counts = {name: int(ended.get(name, 0)) for name in ENDINGS}
        scores = group[group["accuracy"].notna() & (group["split"].isin(SPLITS) | ("split" in inner))]
        squeezed, forced = "bits_per_number" in inner, "forced_loops" in inner
        scores = untouched(scores, squeezed, forced)
        if "steps" not in inner:
            own = scores["stop"] == "self" if "stop" in inner else False
            scores = scores[scores.index.isin(at_trained_steps(scores, squeezed, forced).index) | own]
        whole = [([None] * len(inner), scores)]
        for values, part in scores.groupby(inner, dropna=False) if inner and len(scores) else whole:
            cells = about | dict(zip(inner, values, strict=True)) | {"seeds": part["seed"].nunique()} | counts
            cells |= dict(_accuracies(part, inner))
            cells["parameters"] = group["parameters"].mean()
            within = part[part["in_range"].astype(bool)] if "length" not in inner else part
            longest = within[within["length"] == within["length"].max()]
            found.append(cells | {cost: longest[cost].mean() for cost in COSTS})
    result = pd.DataFrame(sorted(found, key=lambda cells: [order(name, word(cells[name])) for name in names]))
    first = [*names, *(c for c in ("recipes", "seeds", *ENDINGS) if c in result)]
    beyond = [c for c in result if c.endswith("_beyond") and not any(map(word, result[c]))]
    dropped = {f"{c}{end}" for c in beyond for end in ("", "_low", "_high")} | {c for c in RARE if not result[c].any()}
    ordered = [*first, *(c for c in result if c not in first)]
    return result[[c for c in ordered if c not in dropped]]


def _code(rows: pd.DataFrame) -> pd.Series:
    """What a run was made by: its recipe, and the versions of the code where these differ."""
    versions = [column for column in rows if column.startswith("version.") and rows[column].nunique() > 1]
    return rows["recipe"].map(word).str.cat([rows[column].map(word) for column in versions], sep=" ")


def _accuracies(scores: pd.DataFrame, inner: list[str]) -> Iterator[tuple[str, object]]:
    """Cells of accuracy: mean, low, high for each split and range, and the lengths that they are a mean over."""
    columns = ("run", "code", "split", "length", "in_range", "accuracy")
    told = list(zip(*(scores[column].tolist() for column in columns), strict=True))  # frames are slow to cut
    splits = {"accuracy": None} if "split" in inner else {split: split for split in SPLITS}
    ranges = {"": None} if {"length", "in_range"} & set(inner) else {"": True, "_beyond": False}
    for beyond, within in ranges.items():
        inside = [one for one in told if within is None or bool(one[4]) == within]
        asked = Counter(length for _, _, length in {(run, split, length) for run, _, split, length, *_ in inside})
        whole = len({(run, split) for run, _, split, *_ in inside})
        shared = {length for length, count in asked.items() if count == whole}
        for split, named in splits.items():
            part = [one for one in inside if named in (None, one[2])]
            of_run: dict[str, list[float]] = {}
            for run, _, _, length, _, accuracy in part:
                if length in shared:
                    of_run.setdefault(run, []).append(accuracy)
            means = [sum(values) / len(values) for values in of_run.values()]
            one = len({code for _, code, *_ in part}) <= 1  # what varies between recipes is no chance
            low, high = np.clip(t_interval(means), 0, 1) if one else (math.nan, math.nan)
            ends = (f"{split}{beyond}{end}" for end in ("", "_low", "_high"))
            yield from zip(ends, (np.mean(means) if means else math.nan, low, high), strict=True)
        if "length" not in inner:
            yield f"lengths{beyond}", " ".join(str(int(length)) for length in sorted(shared))


def markdown(table: pd.DataFrame) -> str:
    """A pipe table; ``.993 [.985, 1.000]``: a mean and its interval; what is the same in every row is said once."""
    same, columns = shown(table)
    head, *body = (" | ".join(line) for line in zip(*(column.cells for column in columns), strict=True))
    rule = " | ".join("-" * (len(column.cells[0]) - 1) + "-:"[column.right] for column in columns)
    return "".join([f"{same}\n\n" if same else "", *(f"| {line} |\n" for line in (head, rule, *body))])


def text(table: pd.DataFrame, width: int = 140) -> str:
    """The same for a terminal: what goes beyond `width` characters follows below, behind the first columns again."""
    same, columns = shown(table)
    first = list(table.columns[: table.columns.get_loc("seeds")])
    keys = [column for column in columns if column.name in first]
    blocks = [list(keys)]
    for column in columns[len(keys) :]:
        if sum(len(c.cells[0]) + 2 for c in (*blocks[-1], column)) > width + 2 and len(blocks[-1]) > len(keys):
            blocks.append(list(keys))
        blocks[-1].append(column)
    grids = (zip(*(column.cells for column in block), strict=True) for block in blocks)
    parts = ["\n".join("  ".join(line).rstrip() for line in grid) for grid in grids]
    return "\n\n".join([textwrap.fill(same, width), *parts] if same else parts) + "\n"


class Column(NamedTuple):
    """A column as it is printed."""

    name: str
    right: bool  # aligned
    cells: list[str]  # the heading first, all of one width


def shown(table: pd.DataFrame) -> tuple[str, list[Column]]:
    """What is the same in every row, as a sentence, and the other columns."""
    same, columns = [], []
    for name in table.columns.drop([f"{c}_{end}" for c in table for end in ("low", "high") if f"{c}_{end}" in table]):
        if estimated := f"{name}_low" in table:
            cells = [accuracy(*row) for row in table[[name, f"{name}_low", f"{name}_high"]].itertuples(index=False)]
        else:
            tell = _format(name)
            cells = [tell(value) or "-" for value in table[name]]
        head = HEADS.get(name, name.replace("_", " "))
        kinds = set(cells) - ({"-"} if name.startswith("lengths") else set())  # without scores there are no lengths
        if len(kinds) == 1 and len(cells) > 1 and not estimated:
            same.append(f"{head} {kinds.pop()}")
        else:
            size = max(map(len, [head, *cells]))
            right = pd.api.types.is_numeric_dtype(table[name])
            padded = [cell.rjust(size) if right else cell.ljust(size) for cell in (head, *cells)]
            columns.append(Column(name, right, padded))
    return f"In every row: {', '.join(same)}." if same else "", columns


def _format(name: str) -> Callable[[Any], str]:
    """How the values of a column read."""
    if name in ("parameters", *COSTS) or name.startswith(("left_", "right_")):
        return _short
    return _three if name == "factor" or name.endswith("_p") else word


def _three(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3g}"


def accuracy(mean: float, low: float, high: float) -> str:
    """A mean and its interval, three digits: ``.993 [.985, 1.000]``; ``-`` for none."""
    three = [re.sub(r"^(-?)0(?=\.)", r"\1", f"{value:.3f}") for value in (mean, low, high)]
    return "-" if math.isnan(mean) else three[0] if math.isnan(low) else f"{three[0]} [{three[1]}, {three[2]}]"


def _short(value: float) -> str:
    """Three digits and a prefix: 512, 24.1k, 3.07M."""
    if math.isnan(value):
        return "-"
    digits, exponent = f"{value:.2e}".split("e")
    thousands = min(max(int(exponent) // 3, 0), 6)
    return f"{float(digits) * 10 ** (int(exponent) - 3 * thousands):.3g}{['', *'kMGTPE'][thousands]}"
