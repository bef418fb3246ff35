"""A study: a question, the runs that answer it, the figures that show it, the claims that they decide. One yaml each.

Runs are written as they are typed: an arm is one or several lines ``key=value key=a,b``, whose product is run. Words of
a size stand behind those of all arms, those of the command line behind both, and of two words for one key the later
counts, so an axis that the line names is replaced.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from harness import groups
from harness.nearest import Refusal, unknown
from harness.settings import Experiment

SIZES = ("smoke", "small", "full")
COMMON = "common"  # words of every arm
WORDS = {  # of every arm of a size, before a study's own: a smoke shows that all is there and decides nothing
    "smoke": "seed=0 train.updates=2 train.warmup=1 train.batch=4 train.validate_every=2 train.validate_examples=8 "
    "evaluate.examples=8"
}


@dataclass(frozen=True)
class Study:
    """What ``conf/study/<name>.yaml`` says."""

    name: str
    question: str
    expect: str  # what will come out, before anybody has looked
    arms: Mapping[str, tuple[str, ...]]  # arm -> its lines
    common: str
    sizes: Mapping[str, Mapping[str, Any]]  # size -> minutes on 2 cores, further words of all arms (common) or of one
    theory: Mapping[str, Mapping[str, Any]]  # what is measured without training -> its arguments
    figures: tuple[Mapping[str, Any], ...]
    claims: Mapping[str, Mapping[str, Any]]

    @classmethod
    def load(cls, name: str) -> "Study":
        """Read a study. Raises Refusal, with the nearest name, if there is none."""
        if name not in names():
            raise unknown("study=", name, names())
        said = yaml.safe_load(groups.text("study", name))
        arms = {arm: (lines,) if isinstance(lines, str) else tuple(lines) for arm, lines in said["arms"].items()}
        common, theory, figures = said.get(COMMON, ""), said.get("theory", {}), tuple(said.get("figures", ()))
        return cls(name, said["question"], said["expect"], arms, common, said["sizes"], theory, figures, said["claims"])

    def size(self, size: str) -> Mapping[str, Any]:
        """Its settings. Raises Refusal if there is no such size."""
        if size not in self.sizes:
            raise unknown("study.size=", size, self.sizes)
        return self.sizes[size]

    def lines(self, size: str, words: Sequence[str] = ()) -> dict[str, list[list[str]]]:
        """arm -> the sweeps that are run; an arm that the size leaves out (``arm: null``) has none."""
        more = self.size(size)
        behind = [WORDS.get(size, ""), more.get(COMMON, "")]
        return {
            arm: [_merged([self.common, line, *behind, more.get(arm, "")], words) for line in lines]
            for arm, lines in self.arms.items()
            if more.get(arm, "") is not None
        }

    def points(self, size: str, words: Sequence[str] = ()) -> dict[str, list[Experiment]]:
        """arm -> its runs. Raises Refusal for what cannot be run."""
        from harness import config  # hydra, which no reader needs

        return {
            arm: list(dict.fromkeys(point for line in lines for point in config.points(line, sweep=True)))
            for arm, lines in self.lines(size, words).items()
        }

    def measured(self, size: str) -> dict[str, dict[str, Any]]:
        """What is measured without training -> its arguments, those of the size behind those of all."""
        more = self.size(size).get("theory", {})
        return {name: {**arguments, **more.get(name, {})} for name, arguments in self.theory.items()}


def names() -> list[str]:
    """All studies, sorted."""
    return groups.choices("study")


def asked(line: Sequence[str]) -> tuple[Study, str, list[str]] | None:
    """(study, size, other words) of a command line that names a study; None if it does not."""
    told = dict(word.split("=", 1) for word in line if word.startswith(("study=", "study.size=")))
    others = [word for word in line if not word.startswith(("study=", "study.size="))]
    if not any(word.startswith("study") for word in line):
        return None
    for word in others:
        if word.startswith("study"):
            raise unknown("setting ", word.split("=")[0], ["study", "study.size"])
    if "study" not in told:
        raise Refusal(f"study.size={told['study.size']}: study=NAME is missing: {', '.join(names())} can be chosen")
    study, size = Study.load(told["study"]), told.get("study.size", "small")
    study.size(size)
    return study, size, others


def _merged(lines: Sequence[str], words: Sequence[str]) -> list[str]:
    """All words, and of two for one key the later, at the place of the earlier."""
    found: dict[str, str] = {}
    for word in (*(word for line in lines for word in shlex.split(line)), *words):
        found[word.partition("=")[0]] = word
    return list(found.values())
