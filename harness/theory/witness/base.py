"""What all weights that are set by hand share: the ordinary model of a config, emptied, and places in its stream.

Each number in the residual stream stands beside its negative, so every mean is 0 and LayerNorm only divides: by one
number for all tokens, where their embeddings have one length. Where they have not, the constant that a number is
compared with stands in the stream too and is divided by the same, so that signs are exact.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

import tasks
from harness import config
from harness.model import GPT
from harness.model import build as ordinary
from harness.scratchpad import Scratchpad
from harness.settings import Experiment
from tasks.base import Task

KNEE = 100.0  # of what passes a GELU: beyond 6 from 0 it is a rectifier, to float32


@dataclass(frozen=True)
class Witness:
    """A construction: which problem it decides, in which ordinary model, and why it is right.

    ``words`` are the settings that give a GPT its shapes (attention, position, model.*, scratchpad); ``write`` sets the
    weights of one whose parameters are all 0, for prompts up to a length, at a multiple of the scale that is enough.
    """

    name: str
    attention: str  # as rows have it
    problem: str  # in words
    kind: type[Task]
    holds: Callable[[Task], bool]  # whether a task of this kind is that problem
    evidence: str  # exact for what, because of what
    words: Callable[[Task, int], Sequence[str]]
    write: Callable[[GPT, Task, int, float], None]

    def refuse(self, task: Task) -> None:
        """Raise ValueError for a task that it is not for."""
        if not (isinstance(task, self.kind) and self.holds(task)):
            given = " ".join([f"task={_name(task)}", *_changed(task)])
            raise ValueError(f"witness={self.name}: {given} was given, it is for {self.problem}")

    def settings(self, task: Task, length: int) -> list[str]:
        """The command line whose model has exactly these shapes. Raises ValueError for a task that it is not for."""
        self.refuse(task)
        task_words = [f"task={_name(task)}", *_changed(task)]
        ends = [f"train.lengths=[{length}]", f"evaluate.lengths=[{length}]"]
        return [*task_words, f"attention={self.attention}", *self.words(task, length), *ends]

    def experiment(self, task: Task, length: int) -> Experiment:
        """That command line, composed."""
        (point,) = config.points(self.settings(task, length))
        return point

    def scratchpad(self, task: Task, length: int) -> Scratchpad:
        """The scratchpad that it writes, in its canonical form."""
        return self.experiment(task, length).scratchpad

    @torch.no_grad()
    def build(self, task: Task, length: int, scale: float = 1.0) -> GPT:
        """The model, for prompts up to ``length``; ``scale`` multiplies the logit scale, or what stands for it.

        At 1 it is right on what ``evidence`` says; at less it need not be. Raises ValueError for a task that it is not
        for and for a length that the task does not have.
        """
        model = empty(self.experiment(task, length))
        self.write(model, task, length, scale)
        return model


def _name(task: Task) -> str:
    """The name of the problem that a task is, or that it derives from."""
    kind = next(kind for kind in type(task).__mro__ if kind.__module__.rpartition(".")[0] == tasks.__name__)
    return kind.__module__.rpartition(".")[2]


def _changed(task: Task) -> list[str]:
    """The settings of a task that are not its defaults, as words."""
    return [f"task.{f.name}={_word(getattr(task, f.name))}" for f in fields(task) if getattr(task, f.name) != f.default]


def _word(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{','.join(map(_word, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


@torch.no_grad()
def empty(experiment: Experiment) -> GPT:
    """The ordinary model of an experiment, every parameter 0 but the gains of LayerNorm, which are 1."""
    model = ordinary(experiment)
    for parameter in model.parameters():
        parameter.zero_()
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.weight.fill_(1.0)
    return model


def shape(layers: int, width: int, heads: int = 1, context: int | None = None) -> list[str]:
    """The words of a size; with ``context`` positions are rows of a table, else there are none."""
    size = [f"model.layers={layers}", f"model.width={width}", f"model.heads={heads}"]
    place = ["position=none"] if context is None else ["position=learned", f"model.context={context}"]
    return [*size, *place]


def places(*sizes: int) -> tuple[tuple[slice, ...], int]:
    """A place in the residual stream for so many numbers each, their negatives behind them; and the width of all.

    >>> places(3, 1)
    ((slice(0, 3, None), slice(6, 7, None)), 8)
    """
    found, start = [], 0
    for size in sizes:
        found.append(slice(start, start + size))
        start += 2 * size
    return tuple(found), start


def add(weight: Tensor, into: slice, out_of: slice | int | Tensor, matrix: Tensor | float) -> None:
    """weight[into, out_of] += matrix, and as much less in the negatives behind ``into``: (any, any).

    Of a transposed token or position table ``out_of`` are tokens or positions.
    """
    size = into.stop - into.start
    weight[into, out_of] += matrix
    weight[into.start + size : into.stop + size, out_of] -= matrix


def thirds(size: int) -> tuple[slice, slice, slice]:
    """Of what is projected at once: query, key and value, or the gates of a GRU, of so many numbers each."""
    return slice(size), slice(size, 2 * size), slice(2 * size, 3 * size)


def length_of(numbers: float, width: int) -> float:
    """What LayerNorm divides by, if the squares of all numbers (without their negatives) sum to ``numbers``."""
    return (2 * numbers / width + 1e-5) ** 0.5


def signs(numbers: Tensor, bits: int) -> Tensor:
    """(N,) -> (N, bits): numbers as -1 and 1, the lowest bit first."""
    return (2.0 * (numbers[:, None] >> torch.arange(bits) & 1) - 1).float()
