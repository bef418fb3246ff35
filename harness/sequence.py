"""Instance + Scratchpad -> the token sequence that a model sees, and back.

    START prompt THINK scratch ANSWER answer END

THINK and ANSWER stand there at 0 steps too. A model is *given* everything up to THINK, filler included, and is trained
on everything after it. One batch has one length, so nothing is padded and nothing is masked out.
"""

from dataclasses import dataclass, replace
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
    targets: Tensor  # (B, T) the token that follows, IGNORE where it is given
    given: int  # tokens that an evaluated model is handed
    scratch: int  # K·W, tokens that it then writes before ANSWER is put in its mouth
    step: int  # W, tokens per step
    answer: int  # A, tokens that it writes after ANSWER

    @property
    def supervised(self) -> slice:
        """The positions whose logits are trained; the same in every row."""
        return slice(self.given - 1, self.tokens.shape[1] - 1)

    @property
    def prompt(self) -> Tensor:
        """(B, given): what an evaluated model is handed."""
        return self.tokens[:, : self.given]

    @property
    def count(self) -> int:
        """Tokens from there to the end of the answer."""
        return self.scratch + 1 + self.answer

    @property
    def forced(self) -> dict[int, int]:
        """Which of these are not the model's choice: ANSWER after the scratchpad. Offset -> token."""
        return {self.scratch: int(self.tokens[0, self.given + self.scratch])}

    def rows(self, start: int, stop: int) -> "Batch":
        """Some of the sequences."""
        return replace(self, tokens=self.tokens[start:stop], targets=self.targets[start:stop])

    def to(self, device: str) -> "Batch":
        """The same on a device."""
        return replace(self, tokens=self.tokens.to(device), targets=self.targets.to(device))

    @property
    def written(self) -> Tensor:
        """(B, K·W + 1 + A): what a perfect model writes."""
        return self.tokens[:, self.given : -1]


def encode(task: Task, scratchpad: Scratchpad, instance: Instance, length: int) -> Batch:
    """Write the instances of one length as sequences."""
    mark, size = marks(task), len(instance)
    scratch = scratchpad.write(task, instance.prompt, length, mark.filler)
    columns = [mark.start, instance.prompt, mark.think, scratch, mark.answer, instance.answer, mark.end]
    tokens = np.hstack([np.full((size, 1), c) if isinstance(c, int) else c for c in columns])
    trace = scratchpad.source(task)
    decoded = scratch.shape[1] if trace else 0
    given = 2 + instance.prompt.shape[1] + scratch.shape[1] - decoded
    targets = np.full_like(tokens, IGNORE)
    targets[:, given - 1 : -1] = tokens[:, given:]
    step = trace.width if trace else 1
    answer = instance.answer.shape[1]
    return Batch(torch.from_numpy(tokens), torch.from_numpy(targets), given, decoded, step, answer)
