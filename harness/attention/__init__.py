"""The sequence maps, one variant a file: a file here and a yaml in ``conf/attention`` *are* its registration."""

import importlib
import inspect
import pkgutil

from harness.attention.base import Attention, Mixer, State

__all__ = ["Attention", "Mixer", "State", "load", "names"]

_ROOMS = {"base", "check"}


def names() -> list[str]:
    """The names of all variants, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _ROOMS)


def load(name: str) -> type[Mixer]:
    """The one class that ``harness/attention/<name>.py`` defines. Raises TypeError unless it defines exactly one."""
    module = importlib.import_module(f"harness.attention.{name}")
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Mixer) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise TypeError(f"harness/attention/{name}.py must define one Mixer, it defines {[c.__name__ for c in found]}")
    return found[0]
