"""What a problem is: how to draw it, how to solve it, which algorithms solve it in the open, what is known of its cost.

Shape letters: ``B`` batch · ``P`` prompt tokens · ``A`` answer tokens · ``S`` steps of a trace · ``W`` tokens per step.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log2
from typing import ClassVar

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

SPLITS = ("boundary", "broad", "natural")


def require(good: bool, name: str, given: object, allowed: str) -> None:
    """Raise ValueError unless a task's setting is ``good``: what was given, what is allowed."""
    if not good:
        raise ValueError(f"task.{name}={given}: {allowed}")


@dataclass(frozen=True)
class Instance:
    """``B`` problems of one length. Every token is an int64 in ``[0, task.vocab)``."""

    prompt: Ints  # (B, P)   what is asked
    answer: Ints  # (B, A)   what must be said
    at: Ints | None = None  # (B, A)   prompt positions at which answer token a is said; None: after the scratchpad

    def __len__(self) -> int:
        return len(self.prompt)


@dataclass(frozen=True)
class Bound:
    """One known bound: what it says, when it holds, who proved it, and whether it is exact or asymptotic."""

    bound: str
    condition: str
    source: str
    exact: bool = False

    def __str__(self) -> str:
        return self.bound


@dataclass(frozen=True)
class Theory:
    """The known cost of a problem of length n, one bound for each resource."""

    time: Bound  # sequential time
    state: Bound  # bits that any one-pass recurrence must carry
    circuit: Bound  # circuit class
    steps: Bound  # reasoning steps that a transformer needs before it answers
    layers: Bound  # softmax layers that suffice without reasoning steps


@dataclass(frozen=True)
class Trace:
    """A named algorithm, written down as a sequence of ``S = count(length)`` steps of ``width`` tokens each.

    The algorithm is given twice: ``steps`` computes the whole record at once, ``next`` is its local rule: one more
    step, from the prompt and the steps that are written. A law holds the two equal. ``read`` is the answer that a
    complete record contains.
    """

    width: int  # W
    law: str  # the step law in words of n, e.g. "n(n-1)/2"
    count: Callable[[int], int]  # length -> S
    steps: Callable[[Ints], Ints]  # (B, P) -> (B, S, W)
    next: Callable[[Ints, Ints], Ints]  # (B, P), the i steps so far (B, i, W) -> step i (B, W)
    read: Callable[[Ints], Ints]  # (B, S, W) -> (B, A)


class Task(ABC):
    """A problem. A subclass is a frozen dataclass; its fields (int, float, bool, str, tuples of them) are settings.

    To add one, write ``tasks/<name>.py`` with the members below and edit nothing. You then get the command
    line (``task=<name> task.<field>=...``), the laws of ``tasks/check.py``, training, evaluation and figures.
    Invalid settings raise ValueError in ``__post_init__``: what is wrong, what was given, what is allowed.
    """

    version: ClassVar[int]  # raised whenever the same random stream gives other instances
    golden: ClassVar[Mapping[int, str]]  # version -> ``check.digest`` of the first instances under default settings
    # What follows may depend on the settings: a class attribute, or a property.
    theory: Theory
    shortcuts: tuple[str, ...] = ()  # names in ``check.SHORTCUTS`` that legitimately solve it
    shortest: int  # lengths that ``sample`` accepts ...
    longest: int  # ... both included
    twin_tokens: int  # prompt tokens in which the two rows of a twin may differ, at most

    @property
    @abstractmethod
    def vocab(self) -> int:
        """Number of tokens that prompts, traces and answers are written in."""

    @property
    @abstractmethod
    def traces(self) -> Mapping[str, Trace]:
        """The algorithms that solve it in the open; the first is the default. May be empty."""

    @abstractmethod
    def sample(self, rng: np.random.Generator, size: int, length: int, split: str) -> Instance:
        """Draw ``size`` problems of one length; ``rng`` is the only source of randomness.

        ``boundary``: rows 2i and 2i+1 are twins, they differ by the smallest edit and have opposite answers.
        ``broad``: as many of each answer, the distance from the boundary spread evenly. ``natural``: unconditioned.
        """

    @abstractmethod
    def solve(self, prompt: Ints) -> Ints:
        """(B, P) -> (B, A): the right answers, slowly and obviously, independent of ``sample``."""

    @abstractmethod
    def chance(self, length: int) -> float:
        """Probability that an answer drawn uniformly from the admissible ones is right."""

    @classmethod
    @abstractmethod
    def tiny(cls) -> tuple["Task", int]:
        """Settings and a length at which all prompts can be enumerated."""

    @abstractmethod
    def prompts(self, length: int) -> Ints:
        """(N, P): every prompt of this length, each once. Only called at the ``tiny`` size."""

    @classmethod
    def variations(cls) -> tuple["Task", ...]:
        """Other settings that make another problem of it: the laws are held against them and the catalogue shows them.

        They come after the defaults, which need not be named.
        """
        return ()

    def refuse(self, length: int, split: str) -> None:
        """Raise ValueError for a split that does not exist, and for a length that ``sample`` does not accept."""
        if split not in SPLITS:
            raise ValueError(f"split={split}: {', '.join(SPLITS)} exist")
        if not self.shortest <= length <= self.longest:
            raise ValueError(f"length={length}: {self.shortest} to {self.longest} are possible with these settings")

    def so_far(self, prompt: Ints) -> Ints | None:
        """(B, P): the answer to what has been read up to each prompt token, -1 where there is none to give.

        The dense readout: training may supervise it beside the answer, evaluation never does. None if the task has
        none. Where it is defined at the last token, it is the answer.
        """
        return None

    def entropy(self, length: int) -> float | None:
        """Nats in a prompt as training draws it, whatever the share of twins; None where that is not known."""
        return None

    def classes(self) -> int | None:
        """Number of residual (Myhill-Nerode) classes over prompts of all lengths, 0 included; None if unknown.

        Its base-2 logarithm is the exact number of bits that a one-pass recurrence must carry.
        """
        return None

    def state_bits(self, length: int) -> float | None:
        """Bits that a one-pass recurrence must carry at least over the middle of prompts of this length, or None.

        The middle is after n // 2 items. Here it is log2 of :meth:`classes`, for tasks in which few items lead to all.
        """
        classes = self.classes()
        return None if classes is None else log2(classes)

    def word(self, token: int) -> str:
        """How a token reads to a person."""
        return str(token)
