"""What is promised of the speed, and what a bench.csv says of it: each promise reads its number off the rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.bench.cases import FIXED, FULL, HF, LINEAR, MATRIX, NAMES, OURS, PLAIN, XT

About = Mapping[str, object]  # the columns that describe a row
OF_MATRIX = {64: 0.53, 128: 0.70, 256: 0.82}
BARE, DATA, VALIDATION = "bare updates", "data", "validation"  # of the family overhead


@dataclass(frozen=True)
class Promise:
    """A number that the rows of a bench decide; None where they do not hold it."""

    family: str
    what: str
    bound: float
    least: bool  # whether the bound is the least that is promised, or the most
    found: Callable[[pd.DataFrame], float | None]
    unit: str = ""

    def kept(self, rows: pd.DataFrame) -> bool | None:
        """None if it was not measured."""
        value = self.found(rows)
        return None if value is None else bool(value >= self.bound if self.least else value <= self.bound)


def promises() -> list[Promise]:
    """All of them, in the order of the page."""
    made = []
    for width, user in ((64, 1.5), (128, 1.4)):
        made.append(_peer("all positions", HF, width, user, "untouched"))
        made.append(_peer("all positions", HF, width, 1.15, "kept"))
        made.append(_peer("all positions", XT, width, 1.05, "kept"))
    for width, plain, peer in ((64, 1.6, 2.2), (128, 1.8, 2.0)):
        made.append(_peer("last position", PLAIN, width, plain, "kept"))
        made.append(_peer("last position", HF, width, peer, "untouched"))
    made += [_of_matrix(width, least) for width, least in OF_MATRIX.items()]
    made.append(Promise("overhead", "a 1,000-update run beside its updates and validations", 0.05, False, _overhead))
    made.append(Promise("overhead", "drawing data, of an update", 0.03, False, _data))
    made.append(_peer("generate", HF, 64, 1.8, "untouched", family="decoding"))
    made += [_step(kind) for kind in FIXED]
    for width, linear in ((64, 25.0), (128, 15.0)):
        made += [
            _against_softmax("mixer alone", "linear", width, linear),
            _against_softmax("mixer alone", "delta", width, 8.0),
        ]
        made.append(_against_softmax("whole model", "linear", width, 8.0))
        made += [_slope(kind, width, until, most) for kind in LINEAR for until, most in ((16384, 1.15), (65536, 1.2))]
    made.append(Promise("sweep", "16 points by one command with launcher.jobs=2 over 16 commands", 0.65, False, _sweep))
    made += [_command(name, 1.0) for name in NAMES]
    made.append(_command("first update", 4.0))
    return made


def one(rows: pd.DataFrame, column: str, where: About) -> float | None:
    """The number in a column of the one measured row of this description, None if there is no such row."""
    there = rows[rows["status"] == "measured"]
    for name, value in where.items():
        there = there[there[name] == value]
    values = there[column].dropna()
    return float(values.iloc[0]) if len(values) == 1 else None


def slope(rows: pd.DataFrame, until: int, where: About) -> float | None:
    """The steepest log-log slope of seconds from one n to the next, up to ``until``; None unless that was reached."""
    there = rows[(rows["status"] == "measured") & (rows["n"] <= until)]
    for name, value in where.items():
        there = there[there[name] == value]
    there = there.sort_values("n")
    if until not in set(there["n"]) or len(there) < 2:
        return None
    return float((np.diff(np.log(there["seconds"])) / np.diff(np.log(there["n"]))).max())


def crossover(rows: pd.DataFrame, kind: str, width: int) -> int | None:
    """The least n from which on a mixer alone is faster than softmax wherever both were measured; None if nowhere."""
    there = rows[(rows["case"] == "mixer alone") & (rows["subject"] == kind) & (rows["width"] == width)]
    there = there.dropna(subset="ratio").sort_values("n", ascending=False)
    faster = there[(there["ratio"] < 1).cummin()]
    return None if faster.empty else int(faster["n"].min())


def _inverse(value: float | None) -> float | None:
    return None if value is None else 1 / value


def _peer(case: str, peer: str, width: int, least: float, memory: str, family: str = "training") -> Promise:
    words = {"kept": ", memory kept", "untouched": ""}[memory] if peer == HF else ""
    about = {"family": family, "case": case, "subject": peer, "memory": memory, "width": width}
    what = f"{case}, width {width}: times as fast as {peer.removeprefix('ours, ')}{words}"
    return Promise(family, what, least, True, lambda rows: one(rows, "ratio", about), "x")


def _of_matrix(width: int, least: float) -> Promise:
    about = {"case": "all positions", "subject": OURS, "width": width}
    what = f"all positions, width {width}: share of the {MATRIX} rate"
    return Promise("training", what, least, True, lambda rows: one(rows, "of_matrix", about))


def _step(kind: str) -> Promise:
    until = FULL.seen[-1]
    what = f"one more token through {kind}, from {FULL.seen[0]} to {until:,} tokens seen: slope over all of them"

    def found(rows: pd.DataFrame) -> float | None:
        ends = [one(rows, "seconds", {"case": "one token", "subject": kind, "n": n}) for n in (FULL.seen[0], until)]
        return None if None in ends else float(np.log(ends[1] / ends[0]) / np.log(until / FULL.seen[0]))

    return Promise("decoding", what, 0.05, False, found)


def _against_softmax(case: str, kind: str, width: int, least: float) -> Promise:
    about = {"case": case, "subject": kind, "width": width, "n": 8192}
    what = f"{case}, {kind}, width {width}, n = 8,192: times as fast as softmax"
    return Promise("linear", what, least, True, lambda rows: _inverse(one(rows, "ratio", about)), "x")


def _slope(kind: str, width: int, until: int, most: float) -> Promise:
    about = {"case": "mixer alone", "subject": kind, "width": width}
    what = f"mixer alone, {kind}, width {width}: steepest slope up to n = {until:,}"
    return Promise("linear", what, most, False, lambda rows: slope(rows, until, about))


def _overhead(rows: pd.DataFrame) -> float | None:
    shares = [one(rows, "ratio", {"family": "overhead", "subject": name}) for name in (BARE, VALIDATION)]
    return None if None in shares else 1 - sum(shares)


def _data(rows: pd.DataFrame) -> float | None:
    data, bare = (one(rows, "seconds", {"family": "overhead", "subject": name}) for name in (DATA, BARE))
    return None if data is None or bare is None else data / bare


def _sweep(rows: pd.DataFrame) -> float | None:
    return one(rows, "ratio", {"family": "sweep", "subject": "one sweep"})


def _command(name: str, most: float) -> Promise:
    what = (
        "from the command to the first update"
        if name == "first update"
        else f"`{'--help' if name == 'help' else name}`"
    )
    return Promise(
        "startup", what, most, False, lambda rows: one(rows, "seconds", {"family": "startup", "subject": name}), " s"
    )
