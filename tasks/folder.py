"""A folder is the list of what it holds: no registry is kept by hand."""

import importlib
import inspect
import pkgutil
from collections.abc import Collection, Iterable


def names(path: Iterable[str], rooms: Collection[str]) -> list[str]:
    """The modules of a package, sorted, without those that are ``rooms`` of the house and not entries of the list."""
    return sorted(module.name for module in pkgutil.iter_modules(path) if module.name not in rooms)


def only(module_name: str, kind: type) -> type:
    """The one subclass of ``kind`` that a module defines. Raises TypeError unless it defines exactly one."""
    module = importlib.import_module(module_name)
    classes = (value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, kind))
    found = [cls for cls in classes if cls.__module__ == module_name]
    if len(found) != 1:
        raise TypeError(f"{module_name} must define one {kind.__name__}, it defines {[c.__name__ for c in found]}")
    return found[0]
