"""Conjectures as data, and the verdicts that rows give them.

A claim is one positive sentence, one statistic, and two inequalities with a gap between them. Each has to hold with
95 % confidence, adjusted by Holm's procedure where the statistic has several cells. Neither is *undecided*, with the
reason. The verdict is always about the sentence.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from harness.nearest import unknown
from harness.report.cells import Cell, interval
from harness.report.evidence import Evidence
from harness.report.select import at_trained_steps
from harness.report.statistics import check, measure
from harness.report.stats import beyond, holm, solved

WORDS = ("supported", "refuted", "undecided", "leak suspected", "not here yet")
LEVEL = 0.025  # one-sided, as the ends of a 95 % interval
ALL, ANY = "all", "any"
LADDER = ("learned", "can express, did not learn", "cannot express", "did not learn, whether it can express it is open")


class Inequality(NamedTuple):
    """``> 0.5`` or ``< 0.2``."""

    above: bool
    threshold: float

    @classmethod
    def of(cls, text: str) -> "Inequality":
        """Read it. Raises ValueError."""
        sign, _, number = text.strip().partition(" ")
        if sign not in ("<", ">") or not number:
            raise ValueError(f"{text!r} is no inequality: '> 0.5' and '< 0.2' are")
        return cls(sign == ">", float(number))

    def __str__(self) -> str:
        return f"{'>' if self.above else '<'} {self.threshold:g}"


@dataclass(frozen=True)
class Control:
    """Another statistic that must pass before a verdict may be uttered (THEORY d.4): it ``guards`` these verdicts."""

    name: str
    statistic: Mapping[str, Any]
    holds_if: str
    otherwise: str  # the reason for undecided if it does not hold
    guards: tuple[str, ...] = ("supported", "refuted")
    witness: bool = False  # weights set by hand: if it holds, the model can express it

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "Control":
        """Read it. Raises ValueError."""
        made = cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in said.items()})
        check(made.statistic)
        Inequality.of(made.holds_if)
        return made


@dataclass(frozen=True)
class Claim:
    """What is claimed, by whom, and what would decide it; read from ``conf/study/*.yaml``."""

    name: str  # C7
    study: str  # whose rows decide it
    sentence: str  # one positive sentence: the verdict is about it
    source: str  # S6, or a paper
    statistic: Mapping[str, Any] = field(default_factory=dict)  # kind -> its settings, see `harness.report.statistics`
    supported_if: str = ""  # "> 0.5"
    refuted_if: str = ""  # "< 0.2"
    over: str = ALL  # of several cells: all support it and any refutes it, or the other way round
    controls: tuple[Control, ...] = ()
    missing: str = ""  # what is not here yet, of a claim that cannot be judged
    needs: str = ""  # what a machine must have for the size that decides it: a GPU
    note: str = ""  # the founding note's own sentence
    corrected: str = ""  # what can be said instead
    mind: str = ""  # what would change our mind

    @classmethod
    def of(cls, name: str, study: str, said: Mapping[str, Any]) -> "Claim":
        """Read a claim. Raises ValueError, naming it, for what cannot be judged."""
        try:
            known = {f.name for f in fields(cls)} - {"name", "study"}
            for key in said:
                if key not in known:
                    raise unknown("setting ", key, sorted(known))
            controls = tuple(Control.of(control) for control in said.get("controls", ()))
            claim = cls(name, study, **{**said, "controls": controls})
            if not claim.missing:
                check(claim.statistic)
                above = [Inequality.of(text) for text in (claim.supported_if, claim.refuted_if)]
                high, low = sorted(above, key=lambda one: one.above, reverse=True)
                if not (high.above and not low.above and low.threshold < high.threshold):
                    raise ValueError(f"supported_if {above[0]} and refuted_if {above[1]} leave no gap between them")
            if claim.over not in (ALL, ANY):
                raise unknown("over ", claim.over, (ALL, ANY))
        except (TypeError, ValueError) as error:
            raise ValueError(f"claim {name} of study {study}: {error}") from error
        return claim

    @property
    def measured(self) -> str:
        """Its statistic in words: "exponent (resource state bits, where arm=state)"; empty without one."""
        kind, settings = next(iter(self.statistic.items()), ("", {}))
        said = {key: value if isinstance(value, list | tuple) else [value] for key, value in (settings or {}).items()}
        told = ", ".join(f"{key} {' '.join(map(str, values))}" for key, values in said.items())
        return f"{kind} ({told})" if told else kind


@dataclass(frozen=True)
class Verdict:
    """What the rows say of a claim."""

    claim: Claim
    word: str  # one of WORDS
    reason: str  # what decided it, or why nothing did: one clause
    value: float  # of the statistic; NaN where there is none
    low: float  # its 95 % interval
    high: float
    ladder: str = ""  # one of LADDER
    runs: tuple[str, ...] = ()  # folder names of the deciding runs
    size: str = ""  # of the study: smoke, small, full
    cells: tuple[Cell, ...] = ()

    @property
    def number(self) -> str:
        """The statistic with its interval: ``0.03 [-0.08, 0.14]``."""
        return interval(self.value, self.low, self.high)


def judge(claim: Claim, evidence: Evidence | None) -> Verdict:
    """The verdict on a claim. Without evidence, or without a statistic, it says what is missing or damaged."""
    if claim.missing:
        return _silent(claim, "not here yet", claim.missing)
    if evidence is None:
        needs = f" (needs {claim.needs})" if claim.needs else ""
        return _silent(claim, "undecided", f"not run{needs}: python -m harness study={claim.study}")
    if evidence.damaged:
        return _silent(claim, "undecided", evidence.damaged)
    cells = tuple(measure(evidence, claim.statistic))
    runs = tuple(dict.fromkeys(run for cell in cells for run in cell.runs))
    every = evidence.chosen()
    rows = every[every["run"].isin(runs)]
    word, reason, cell = _decided(claim, cells)
    failed = [control for control in claim.controls if not _holds(control, evidence)]
    shows = any(control.witness and control not in failed for control in claim.controls)
    for control in failed:
        if word in control.guards:
            word, reason = "undecided", f"{control.otherwise} ({control.name}: {control.holds_if} does not hold)"
    lost = every.loc[every["status"] == "CORRUPT", "run"].nunique()
    if word == "undecided" and lost:
        reason += f"; of the {every['run'].nunique()} runs of the study {lost} cannot be read: `report` names them"
    if leaks := beyond_bound(rows):
        word, reason, runs = "leak suspected", f"below the least state and yet right: {', '.join(leaks)}", leaks
    found = cell.estimate
    ladder = _ladder(rows, shows) if len(rows) else ""
    decisive = runs if word == "leak suspected" else cell.runs or runs
    return Verdict(claim, word, reason, found.value, found.low, found.high, ladder, decisive, evidence.size, cells)


def beyond_bound(rows: pd.DataFrame) -> tuple[str, ...]:
    """Runs that solve boundary twins with less state than any recurrence that reads once could: the test leaks.

    A model that may err needs less than one that never does. As for INDEX, of which a decider with error e needs a
    share 1 - H(e), H the binary entropy; e is the upper end of the interval of the run's error. What carries no state
    from token to token (mask=encoder) is no such recurrence.
    """
    needed = {"least_state_bits", "state_bits", "accuracy_low"}
    if rows.empty or not needed <= set(rows.columns):
        return ()
    data = rows[rows["accuracy"].notna() & (rows["split"] == "boundary") & (rows["state_bits"] > 0)]
    data = data[data["least_state_bits"].notna()]
    if data.empty:
        return ()
    error = (1 - data["accuracy_low"].astype(float)).clip(1e-12, 0.5)
    entropy = -(error * np.log2(error) + (1 - error) * np.log2(1 - error))
    beats = solved(data) & (data["state_bits"].astype(float) < data["least_state_bits"].astype(float) * (1 - entropy))
    return tuple(data.loc[beats, "run"].unique())


def _decided(claim: Claim, cells: Sequence[Cell]) -> tuple[str, str, Cell]:
    """(word, reason, the cell that decided, or that stands for those which did not)."""
    wanted = {"supported": Inequality.of(claim.supported_if), "refuted": Inequality.of(claim.refuted_if)}
    needs_all = {"supported": claim.over == ALL, "refuted": claim.over == ANY}
    for word, inequality in wanted.items():
        chances = [_p(cell, inequality) for cell in cells]
        adjusted = holm(chances)
        passed = [p <= LEVEL for p in adjusted]
        if all(passed) if needs_all[word] else any(passed):
            decisive = int(np.argmax(adjusted) if needs_all[word] else np.argmin(adjusted))
            cell = cells[decisive]
            several = f"{cell.label}: " if cell.label else ""
            least = " in the weakest cell" if needs_all[word] and len(cells) > 1 else ""
            return word, f"{several}{cell.number} {inequality}{least}", cell
    blocked = [cell for cell in cells if cell.reasons]
    if blocked:
        reasons = dict.fromkeys(
            f"{reason}{f' ({cell.label})' if cell.label and len(blocked) < len(cells) else ''}"
            for cell in blocked
            for reason in cell.reasons
        )
        more = f" (needs {claim.needs})" if claim.needs else ""
        few = list(reasons)[:3] + ([f"{len(reasons) - 3} more"] if len(reasons) > 3 else [])
        return "undecided", "; ".join(few) + more, blocked[0]
    cell = max(cells, key=lambda one: min(_p(one, inequality) for inequality in wanted.values()))
    several = f"{cell.label}: " if cell.label else ""
    between = f"neither {wanted['supported']} nor {wanted['refuted']}"
    return "undecided", f"interval straddles: {several}{cell.number} is {between} with 95 % confidence", cell


def _p(cell: Cell, inequality: Inequality) -> float:
    """One-sided; 1 for a cell that can decide nothing."""
    if cell.reasons or math.isnan(cell.estimate.value):
        return 1.0
    return beyond(cell.estimate, inequality.threshold, inequality.above)


def _holds(control: Control, evidence: Evidence) -> bool:
    """Whether every cell of a control passes; one that was not run does not."""
    inequality = Inequality.of(control.holds_if)
    return all(_p(cell, inequality) <= LEVEL for cell in measure(evidence, control.statistic))


def _ladder(rows: pd.DataFrame, witness: bool) -> str:
    """The step of THEORY d.5 that these runs reached."""
    scores = at_trained_steps(rows[rows["accuracy"].notna()])
    scores = scores[(scores["split"] == "boundary") & scores["in_range"].eq(True)]
    if scores.empty:
        return ""
    longest = scores[scores["length"] == scores.groupby("run")["length"].transform("max")]
    if solved(longest).any():
        return LADDER[0]
    if witness:
        return LADDER[1]
    bound, state = longest["least_state_bits"].astype(float), longest["state_bits"].astype(float)
    below = bound.notna() & (state > 0) & (state < bound)
    return LADDER[2] if below.all() else LADDER[3]


def _silent(claim: Claim, word: str, reason: str) -> Verdict:
    return Verdict(claim, word, reason, math.nan, math.nan, math.nan)
