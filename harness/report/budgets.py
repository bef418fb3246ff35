"""Comparison at equal budgets: which recipes may use as much as each other, and how far apart they are then."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.nearest import unknown
from harness.report.contrast import Score, contrast
from harness.report.evidence import ONE_ROW, RATE, Items, tuned
from harness.report.select import SPLITS, Line, at_trained_steps, casualties, check_versions, complete, lines, word
from harness.report.stats import holm

BUDGETS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "parameters": lambda scores: scores["parameters"],
    "state_bits": lambda scores: scores["state_bits"],  # at its largest, what reasoning tokens left in it included
    "flops": lambda scores: scores["prompt_flops"] + scores["decode_flops"],  # of an answer and its reasoning tokens
    "train_flops": lambda scores: scores["train_flops"],
}
ROUNDING = 1e-9  # of a ratio


@dataclass(frozen=True)
class _Contender:
    """A recipe at the learning rate that validation chose, and what it costs."""

    line: Line
    task: str
    problem: str  # the task with its settings: only one problem's recipes are rivals
    scores: Mapping[tuple[float, str], Mapping[int, Score]]  # (trained length, boundary or broad) -> seed -> score
    prices: dict[float, float]  # length -> budget, a mean over runs and splits
    note: str

    @property
    def kind(self) -> tuple[str, str]:
        """What rivals differ in."""
        return self.line.variant, self.line.scratchpad


def matched(
    rows: pd.DataFrame,
    budget: str,
    tolerance: float = 0.1,
    items: Items = lambda row: None,
    allow_mixed: bool = False,
) -> pd.DataFrame:
    """A row for each pair of variants or scratchpads whose budgets agree within a factor 1 + `tolerance`.

    Budgets: `parameters`; `state_bits`, the state at its largest; `flops` of one answer, prompt and decoding;
    `train_flops` of the whole training. Reasoning tokens are charged, in the FLOPs of decoding and in the state that
    they leave. A pair is compared at the longest length that both were trained on; the budgets are those at that
    length. Of several learning rates the one that did best on validation stands for its cell.

    `boundary_difference`, `broad_difference`: accuracy of left less that of right, with a 95 % interval (`_low`,
    `_high`) and a p value (`_p`) that is adjusted by Holm's procedure for all numbers of the table. It is paired on
    test items where `items` has those of both rows, else on seeds, else (no seed in common) not at all; `over` says
    what the intervals are over. A recipe without a partner has a row of its own, and the `note` says why. Raises
    ValueError for an unknown budget, a tolerance that is no share, no runs, and mixed code versions.
    """
    if budget not in BUDGETS:
        raise unknown("budget ", budget, BUDGETS)
    if not 0 <= tolerance < math.inf:
        raise ValueError(f"a tolerance of {tolerance} is no share: 0.1 lets budgets differ by 10 %")
    if rows.empty:
        raise ValueError("nothing to compare: there are no runs")
    if not allow_mixed:
        check_versions(rows)
    contenders, absent = _contenders(complete(rows.reset_index(drop=True)), budget, items)
    pairs, partners = [], {id(one): math.inf for one in contenders}
    nearest: dict[int, tuple[float, str, float]] = {}  # how far, who, at which length
    for left, right in itertools.combinations(contenders, 2):
        if (length := _common(left, right)) is None:
            continue
        factor = _factor(left.prices[length], right.prices[length])
        for one, other in ((left, right), (right, left)):
            if factor < nearest.get(id(one), (math.inf, "", 0))[0]:
                nearest[id(one)] = factor, other.line.label, length
            partners[id(one)] = min(partners[id(one)], factor)
        if factor <= 1 + tolerance + ROUNDING:
            pairs.append(_pair(left, right, length, factor, budget))
    alone = [one for one in contenders if partners[id(one)] > 1 + tolerance + ROUNDING]
    lonely = [_alone(one, nearest.get(id(one)), budget, tolerance) for one in alone]
    return _adjusted(pd.DataFrame([*pairs, *lonely, *absent]).reindex(columns=_columns(budget)))


def _contenders(rows: pd.DataFrame, budget: str, items: Items) -> tuple[list[_Contender], list[dict]]:
    """Those that can be compared, and a row with the reason for each recipe that cannot."""
    rows = rows.drop_duplicates([column for column in ONE_ROW if column in rows])  # a run that two arms share
    rows = rows.assign(train_flops=rows.get("train_flops", math.nan))
    chosen = tuned(rows)
    if len(chosen) < len(rows) and not (rows["split"] == "validation").any():
        raise ValueError(
            "learning rates are chosen on validation, and none of these rows is of it: leave split out of --where"
        )
    edges = dict(zip(chosen["run"], chosen["edge"], strict=True))
    scored = at_trained_steps(rows[rows["accuracy"].notna()])
    scored = scored[scored["split"].isin(SPLITS) & scored["in_range"].eq(True)]
    scored = scored.assign(price=BUDGETS[budget](scored).astype(float))
    found, absent = [], []
    for line in lines(rows.drop(columns="stop")):
        first, scores = line.rows.iloc[0], scored[scored.index.isin(line.rows.index)]
        notes = [casualties(line.rows)]
        if edges.get(first["run"]):
            notes.append("at the edge of its learning-rate grid")
        prices = scores.groupby("length")["price"].mean().dropna().to_dict()
        if first["run"] not in edges:
            notes.insert(0, f"validation chose another learning rate than {word(first[RATE])}")
        elif scores.empty:
            notes.insert(0, "no scores within the trained lengths")
        elif not prices:
            notes.insert(0, f"its {budget} are not known")
        else:
            settings = [column for column in rows if column.startswith("task.")]
            problem = " ".join(word(first[column]) for column in ("task", *settings))
            of_seed = _of_seed(scores, items)
            found.append(_Contender(line, word(first["task"]), problem, of_seed, prices, _said(notes)))
            continue
        absent.append({"task": word(first["task"]), "left": line.label, "note": _said(notes)})
    return found, absent


def _common(left: _Contender, right: _Contender) -> float | None:
    """The longest length to compare two rivals at; None if they are none, or were trained on no length in common."""
    if left.problem != right.problem or left.kind == right.kind:
        return None
    return max(left.prices.keys() & right.prices.keys(), default=None)


def _factor(one: float, other: float) -> float:
    """How many times the smaller the larger is; nothing at all is as much as nothing at all."""
    low, high = sorted((one, other))
    return 1.0 if low == high else high / low if low else math.inf


def _pair(left: _Contender, right: _Contender, length: float, factor: float, budget: str) -> dict:
    sides = [{split: side.scores.get((length, split), {}) for split in SPLITS} for side in (left, right)]
    seeds = set.intersection(*({seed for scores in side.values() for seed in scores} for side in sides))
    cells = {"task": left.task, "left": left.line.label, "right": right.line.label, "length": int(length)}
    cells |= {"seeds": len(seeds), f"left_{budget}": left.prices[length], f"right_{budget}": right.prices[length]}
    over = []
    for split in SPLITS:
        found = contrast(*(side[split] for side in sides))
        ends = {"": found.value, "_low": found.low, "_high": found.high}
        cells |= {f"{split}_difference{end}": value for end, value in ends.items()} | {f"{split}_p": found.p}
        over += [f"{found.n} {found.unit}"] if not math.isnan(found.value) else []
    notes = [f"{side.line.label}: {side.note}" for side in (left, right) if side.note]
    return cells | {"factor": factor, "over": ", ".join(dict.fromkeys(over)), "note": _said(notes)}


def _alone(one: _Contender, nearest: tuple[float, str, float] | None, budget: str, tolerance: float) -> dict:
    """The row of a recipe that has no partner; what is nearest to it, and how far."""
    within = f"no partner within {100 * tolerance:g} %"
    if nearest is None:
        length, why = max(one.prices), "no rival on this problem has a budget to compare at a length in common"
    else:
        length, why = nearest[2], f"nearest is {nearest[1]} at {max(nearest[0], 1.01):.3g}x"
    about = {"task": one.task, "left": one.line.label, "length": int(length), f"left_{budget}": one.prices[length]}
    return about | {"note": _said([f"{within}: {why}", one.note])}


def _of_seed(scores: pd.DataFrame, items: Items) -> dict[tuple[float, str], dict[int, Score]]:
    found: dict[tuple[float, str], dict[int, Score]] = {}
    for _, row in scores.iterrows():
        right = items(row)
        score = Score(row["accuracy"], row.get("examples", math.nan), None if right is None else [right])
        found.setdefault((row["length"], row["split"]), {})[row["seed"]] = score
    return found


def _adjusted(table: pd.DataFrame) -> pd.DataFrame:
    """The p values of all splits by Holm's procedure, as one family."""
    names = [f"{split}_p" for split in SPLITS]
    p = table[names].to_numpy(float, copy=True)
    told = ~np.isnan(p)
    p[told] = holm(p[told])
    return table.assign(**dict(zip(names, p.T, strict=True)))


def _columns(budget: str) -> list[str]:
    of_split = ("difference", "difference_low", "difference_high", "p")
    first = ["task", "left", "right", "length", "seeds", f"left_{budget}", f"right_{budget}", "factor"]
    return [*first, *(f"{split}_{name}" for split in SPLITS for name in of_split), "over", "note"]


def _said(notes: Iterator[str] | list[str]) -> str:
    return "; ".join(note for note in notes if note)
