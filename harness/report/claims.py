"""Conjectures as data, and the verdicts that rows give them.

A claim is one positive sentence, one statistic, and two inequalities with a gap between them. Each has to hold with 95 %
confidence: the lower end of the statistic's interval above ``supported_if``, the upper end below ``refuted_if`` (or the
other way round). Neither is *undecided*, with the reason. The verdict is always about the sentence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

WORDS = ("supported", "refuted", "undecided", "leak suspected", "not here yet")


@dataclass(frozen=True)
class Claim:
    """What is claimed, by whom, and what would decide it; read from ``conf/study/*.yaml``."""

    name: str  # C7
    sentence: str  # one positive sentence: the verdict is about it
    source: str  # S6, or a paper
    study: str  # whose rows decide it
    statistic: Mapping[str, Any] = field(default_factory=dict)  # kind -> its settings, see `harness.report.statistics`
    supported_if: str = ""  # "> 0.5"
    refuted_if: str = ""  # "< 0.2"
    missing: str = ""  # what is not here yet, of a claim that cannot be judged
    note: str = ""  # the founding note's own sentence
    corrected: str = ""  # what can be said instead
    mind: str = ""  # what would change our mind


@dataclass(frozen=True)
class Verdict:
    """What the rows say of a claim."""

    claim: Claim
    word: str  # one of WORDS
    reason: str  # what decided it, or why nothing did: one clause
    value: float  # of the statistic; NaN where there is none
    low: float  # its 95 % interval
    high: float
    ladder: str = ""  # "cannot express", "can express, did not learn", "learned"
    runs: tuple[str, ...] = ()  # folder names of the deciding runs
    size: str = ""  # of the study: smoke, small, full
