"""Instance + Scratchpad -> the token sequence that a model sees, and back.

    START prompt THINK scratch ANSWER answer END

THINK and ANSWER stand there at 0 steps too. A model is *given* everything up to THINK, filler included, and writes what
follows. Where the answer is said inside the prompt, the sequence is START prompt END and all but END is given. A batch
has one length, so nothing is padded and nothing is masked out.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from harness.scratchpad import Scratchpad
from tasks.base import Instance, Task

IGNORE = -100  # the target that torch's cross entropy leaves out


class Marks(NamedTuple):
    """The tokens that a sequence is built with, numbered after the task's own."""

    start: int
    think: int
    answer: int
    end: int
    filler: int


def marks(task: Task) -> Marks:
    """The five marks of a task."""
    return Marks(*range(task.vocab, task.vocab + len(Marks._fields)))


def vocabulary(task: Task) -> int:
    """V: the task's tokens and the marks."""
    return task.vocab + len(Marks._fields)


def word(task: Task, token: int) -> str:
    """How a token of the sequence reads to a person."""
    return task.word(token) if token < task.vocab else Marks._fields[token - task.vocab].upper()


@dataclass(frozen=True)
class Batch:
    """``B`` sequences of one length, and which part of them the model has to say."""

    tokens: Tensor  # (B, T) int64
    targets: Tensor  # (B, T) what is to be said at each position, IGNORE where nothing is supervised
    supervised: slice | Tensor  # the positions that have targets, (B, N) where they differ from row to row
    given: int  # tokens that an evaluated model is handed
    scratch: int  # K·W, tokens that it then writes before ANSWER is put in its mouth
    step: int  # W, tokens per step
    answer: Tensor  # (B, A) what is to be answered
    said: slice | Tensor  # the positions at which the answer is said, (B, A) inside the prompt
    so_far: Tensor  # (B, given) the answer so far at each position, IGNORE where none is supervised

    @property
    def prompt(self) -> Tensor:
        """(B, given): what an evaluated model is handed."""
        return self.tokens[:, : self.given]

    @property
    def inside(self) -> bool:
        """Whether the answer is said inside the prompt, so that nothing is decoded."""
        return not isinstance(self.said, slice)

    @property
    def mark(self) -> int:
        """The token ANSWER."""
        return int(self.tokens[0, self.given + self.scratch])

    def count(self, scratch: int | None = None) -> int:
        """Tokens from what is given to the end of the answer, with so many scratch tokens (None: as were trained)."""
        scratch = self.scratch if scratch is None else scratch
        return 0 if self.inside else scratch + 1 + self.answer.shape[1]

    def forced(self, scratch: int | None = None) -> dict[int, int]:
        """Which of these are not the model's choice: ANSWER after the scratch tokens. Offset -> token."""
        return {} if self.inside else {self.scratch if scratch is None else scratch: self.mark}

    @property
    def read(self) -> Tensor:
        """(B, T-1): what is read in training; END is only said."""
        return self.tokens[:, :-1]

    @property
    def labels(self) -> Tensor:
        """(B, N): the targets at the supervised positions."""
        at = self.supervised
        return self.targets[:, at] if isinstance(at, slice) else self.targets.gather(1, at)

    def rows(self, start: int, stop: int) -> "Batch":
        """Some of the sequences."""
        return self._each(lambda tensor: tensor[start:stop])

    def to(self, device: str) -> "Batch":
        """The same on a device."""
        return self._each(lambda tensor: tensor.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: change(part) for name, part in parts.items() if isinstance(part, Tensor)})

    @property
    def written(self) -> Tensor:
        """(B, K·W + 1 + A): what a perfect model writes after what it is given."""
        return self.tokens[:, self.given : -1]


def encode(
    task: Task, scratchpad: Scratchpad, instance: Instance, length: int, objective: str = "answer", dense: bool = False
) -> Batch:
    """Write the instances of one length as sequences.

    Supervised is what the model says after what it is given (``objective="answer"``) or every token but START and
    filler (``"sequence"``), and with ``dense`` also the answer so far at each prompt token that has one.
    """
    mark, size, prompt = marks(task), len(instance), instance.prompt
    scratch = scratchpad.write(task, prompt, length, mark.filler)
    trace, last = scratchpad.source(task), 1 + prompt.shape[1]  # the first token after the prompt
    if instance.at is None:
        columns = [mark.start, prompt, mark.think, scratch, mark.answer, instance.answer, mark.end]
        given = last + 1 + (0 if trace else scratch.shape[1])
    else:
        columns, given = [mark.start, prompt, mark.end], last
    tokens = np.hstack([np.full((size, 1), c) if isinstance(c, int) else c for c in columns])
    targets = np.full_like(tokens, IGNORE)
    if objective == "sequence":
        targets[:, :last] = tokens[:, 1 : last + 1]
    so_far = np.full((size, given), IGNORE)
    if dense:
        known = task.so_far(prompt)
        so_far[:, 1:last] = np.where(known >= 0, known, IGNORE)
        targets[:, :given] = np.where(so_far != IGNORE, so_far, targets[:, :given])
    if instance.at is None:
        targets[:, given - 1 : -1] = tokens[:, given:]
        said = slice(-1 - instance.answer.shape[1], -1)  # of what is read in training
    else:
        np.put_along_axis(targets, 1 + instance.at, instance.answer, axis=1)
        said = torch.from_numpy(1 + instance.at)
    return Batch(
        tokens=torch.from_numpy(tokens),
        targets=torch.from_numpy(targets),
        supervised=_positions(targets != IGNORE),
        given=given,
        scratch=scratch.shape[1] if trace else 0,
        step=trace.width if trace else 1,
        answer=torch.from_numpy(instance.answer),
        said=said,
        so_far=torch.from_numpy(so_far),
    )


def _positions(wanted: np.ndarray) -> slice | Tensor:
    """Where a (B, T) mask is true, the same number of times in each row: a slice if it can be one."""
    columns = np.flatnonzero(wanted[0])
    first, last = columns[0], columns[-1]
    if (wanted == wanted[0]).all() and last - first + 1 == len(columns):
        return slice(int(first), int(last) + 1)
    return torch.from_numpy(wanted.nonzero()[1].reshape(len(wanted), -1))
