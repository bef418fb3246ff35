"""The verbs of the command line, a file for each: its docstring is its help.

``add_arguments(parser)`` says what may follow the verb, ``run(arguments)`` does it and returns the exit code. Nothing
heavy is imported before ``run`` needs it.
"""

import importlib
from pathlib import Path
from types import ModuleType

FIRST = "run"  # no verb means this one


def names() -> list[str]:
    """All verbs."""
    found = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in ("__init__", "rows"))
    return [FIRST, *(name for name in found if name != FIRST)]


def load(name: str) -> ModuleType:
    """A verb."""
    return importlib.import_module(f"{__name__}.{name}")
