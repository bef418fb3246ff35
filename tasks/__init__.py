"""The problems: mathematics in numpy, one problem a file.

A file in this folder that defines one subclass of :class:`tasks.base.Task` *is* its registration.
This package knows nothing of models or training and stands alone.
"""

import importlib
import inspect
import pkgutil

from tasks.base import Bound, Instance, Task, Theory, Trace

__all__ = ["Bound", "Instance", "Task", "Theory", "Trace", "load", "names"]

_ROOMS = {"base", "check"}


def names() -> list[str]:
    """The names of all tasks, sorted: every module of this folder that is not a room of the house itself."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _ROOMS)


def load(name: str) -> type[Task]:
    """The task class that ``tasks/<name>.py`` defines. Raises TypeError unless it defines exactly one."""
    module = importlib.import_module(f"tasks.{name}")
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Task) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise TypeError(f"tasks/{name}.py must define one Task, it defines {[c.__name__ for c in found]}")
    return found[0]
