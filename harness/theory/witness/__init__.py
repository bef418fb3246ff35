"""Weights that are set by hand, in the ordinary model: what a map can express, whatever training finds.

Each is built for one problem and evaluated in the ordinary way; :meth:`Witness.settings` is the command line whose
model has its shapes, so that training can start from it.

>>> from tasks.pairwise import Pairwise
>>> witness(Pairwise(), "softmax").settings(Pairwise(), 16)[:4]
['task=pairwise', 'attention=softmax', 'model.layers=1', 'model.width=8']
"""

from collections.abc import Mapping
from types import MappingProxyType

from harness.nearest import unknown
from harness.theory.witness.base import Witness
from harness.theory.witness.counter import COUNTER
from harness.theory.witness.extremes import ENOUGH, SCALES, SOFTMAX, Crowded, rows, scalars, scaled
from harness.theory.witness.farthest import FARTHEST, ORTHOGONAL
from harness.theory.witness.histogram import LINEAR
from harness.theory.witness.induction import INDUCTION
from harness.theory.witness.running_bit import RUNNING_BIT
from tasks.base import Task

__all__ = ["ENOUGH", "SCALES", "WITNESSES", "Crowded", "Witness", "rows", "scalars", "scaled", "witness"]

WITNESSES: Mapping[str, Witness] = MappingProxyType(
    {one.name: one for one in (SOFTMAX, LINEAR, FARTHEST, ORTHOGONAL, INDUCTION, RUNNING_BIT, COUNTER)}
)


def witness(task: Task, name: str) -> Witness:
    """The witness of this name. Raises ValueError for a name that does not exist and for a task that it is not for."""
    if name not in WITNESSES:
        raise unknown("witness=", name, WITNESSES)
    WITNESSES[name].refuse(task)
    return WITNESSES[name]
