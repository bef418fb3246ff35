"""Independent implementations that ours are held against. A missing one is an error, never a skip."""

import importlib.util
from pathlib import Path
from types import ModuleType


def fla_naive(name: str) -> ModuleType:
    """``fla/ops/<name>/naive.py`` of fla-core, a file of plain torch; importing ``fla.ops`` would ask for triton.

    Raises ModuleNotFoundError without fla-core, FileNotFoundError for a name that it does not have.
    """
    package = importlib.util.find_spec("fla")
    if package is None:
        raise ModuleNotFoundError("fla-core is not installed; the tests need .[test]")
    path = Path(package.submodule_search_locations[0], "ops", name, "naive.py")
    spec = importlib.util.spec_from_file_location(f"fla_naive_{name.replace('/', '_')}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
