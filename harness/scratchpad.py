"""What the model writes between question and answer: steps of a trace, filler, or nothing.

One value covers the whole axis. *none* is a scratchpad of 0 steps, *full* writes every step, a budget writes
k(n) = scale · n^power steps, and *filler* puts k(n) tokens without content into the prompt.
"""

from dataclasses import dataclass

import numpy as np

from harness.nearest import unknown
from tasks.base import Ints, Task, Trace


@dataclass(frozen=True)
class Scratchpad:
    """Which steps are written, and how many as a function of length.

    ``scale=None`` writes every step of the trace; otherwise k(n) = round(scale · n^power), k evenly spaced steps that
    include the last. ``trace=None`` is the task's default trace. Filler needs no trace.
    """

    name: str
    content: str  # "trace" or "filler"
    trace: str | None
    scale: float | None
    power: float

    def __post_init__(self):
        if self.content not in ("trace", "filler"):
            raise ValueError(f"scratchpad.content={self.content}: trace and filler exist")
        if self.scale is None and self.content == "filler":
            raise ValueError("scratchpad.scale=null: filler needs a number, it has no trace to take it from")
        if self.scale is not None and not 0 <= self.scale <= 1e6:
            raise ValueError(f"scratchpad.scale={self.scale}: 0 to a million, or null for every step of the trace")
        if not 0 <= self.power <= 4:
            raise ValueError(f"scratchpad.power={self.power}: 0 to 4 are possible")

    def canonical(self, task: Task) -> "Scratchpad":
        """The same scratchpad under its own name, every setting that cannot matter neutral. Two that agree are one run.

        Raises ValueError for a trace that the task does not have, wanted or only named.
        """
        if self.trace is not None and self.trace not in task.traces:
            raise unknown("scratchpad.trace=", self.trace, task.traces)
        if self.scale == 0:
            return Scratchpad("none", "trace", None, 0.0, 0.0)
        if self.content == "filler":
            return Scratchpad("filler", "filler", None, float(self.scale), float(self.power))
        if not task.traces:
            raise ValueError(f"scratchpad={self.name}: the task has no trace to write, none and filler are possible")
        trace = self.trace if self.trace is not None else next(iter(task.traces))
        if self.scale is None:
            return Scratchpad("full", "trace", trace, None, 0.0)
        return Scratchpad("budget", "trace", trace, float(self.scale), float(self.power))

    def source(self, task: Task) -> Trace | None:
        """The trace that is written, None for filler and for 0 steps. Expects a canonical scratchpad."""
        return task.traces[self.trace] if self.trace is not None else None

    def steps(self, task: Task, length: int) -> int:
        """k(n): how many steps are written at this length. Raises ValueError if the trace has fewer."""
        trace = self.source(task)
        if self.scale is None:
            return trace.count(length)
        budget = round(self.scale * length**self.power)
        if trace is not None and budget > trace.count(length):
            raise ValueError(
                f"scratchpad.scale={self.scale}: {budget} steps at length {length}, "
                f"but {self.trace} has {trace.count(length)} there"
            )
        return budget

    def tokens(self, task: Task, length: int) -> int:
        """Scratch tokens at this length: k steps of W tokens, or k filler tokens."""
        trace = self.source(task)
        return self.steps(task, length) * (trace.width if trace else 1)

    def write(self, task: Task, prompt: Ints, length: int, filler: int) -> Ints:
        """(B, P) -> (B, K·W), the scratch tokens: k steps of the trace, or k times the token ``filler``."""
        trace, budget = self.source(task), self.steps(task, length)
        if trace is None:
            return np.full((len(prompt), budget), filler)
        kept = np.arange(1, budget + 1) * trace.count(length) // max(budget, 1) - 1
        return trace.steps(prompt)[:, kept].reshape(len(prompt), -1)
