"""The problems: mathematics in numpy, one problem a file.

A file in this folder that defines one subclass of :class:`tasks.base.Task` *is* its registration.
This package knows nothing of models or training and stands alone.
"""

from tasks import folder
from tasks.base import Bound, Instance, Task, Theory, Trace

__all__ = ["Bound", "Instance", "Task", "Theory", "Trace", "load", "names"]


# files that are not problems
ROOMS = set(
    "alignment base check decision draws folder groups numbers pairs pointers"
    " sampling shortcuts sorting sums triples vectors verdict".split()
)


def names() -> list[str]:
    """The names of all tasks, sorted."""
    return folder.names(__path__, rooms=ROOMS)


def load(name: str) -> type[Task]:
    """The task class that ``tasks/<name>.py`` defines. Raises TypeError unless it defines exactly one."""
    return folder.only(f"tasks.{name}", Task)
