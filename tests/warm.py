"""Commands of the harness, each in a process of its own that is forked from one which has imported everything.

It reads a line of JSON for each command, ``[folder, words, file]``: where to run it, what follows ``python -m harness``
and where what it says goes, stdout to ``file.1`` and stderr to ``file.2``; for each it answers with the exit code.
"""

import importlib
import json
import os
import pkgutil
import sys

import harness
from harness.__main__ import main


def run(folder: str, words: list[str], file: str) -> int:
    """The exit code of a command."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        os.chdir(folder)
        for stream in (1, 2):
            os.dup2(os.open(f"{file}.{stream}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        code = main(words)
    except SystemExit as left:  # --help
        code = left.code or 0
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    for module in pkgutil.walk_packages(harness.__path__, "harness."):
        importlib.import_module(module.name)
    for line in sys.stdin:
        print(run(*json.loads(line)), flush=True)
