"""One point: tried, and told how it ended; in a process of its own, with a log of its own."""

import faulthandler
import logging
import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock

from tqdm import tqdm

from harness import experiment, store
from harness.identity import folder
from harness.nearest import Refusal, printable
from harness.settings import Experiment

STORY = logging.getLogger("harness")  # what --debug shows


def attempt(point: Experiment, root: Path, complain: Callable[[str], None], quiet: bool = False) -> bool:
    """Run one point and say whether it came to its end. What its record cannot say is a sentence to ``complain``."""
    try:
        experiment.run(point, root, quiet)
    except Exception as error:
        STORY.debug("why", exc_info=True)
        named = f"{type(error).__name__}: {error}"
        if not _recorded(named, folder(point, root)):  # another process works on it, its disk is full, ...
            complain(str(error) if isinstance(error, OSError | Refusal) else named)
        return False
    return True


def _recorded(failure: str, where: Path) -> bool:
    """Whether whoever reads the results learns of it: from the record, or because this is why it cannot be read."""
    try:
        return failure.partition("\n")[0] in (store.load_record(where).get("reason") or "")
    except OSError as error:
        return str(error) in failure


def complain(sentence: str) -> None:
    """Tell whoever looks on, above the progress bar."""
    tqdm.write(f"harness: {printable(sentence)}", file=sys.stderr)


def alone(point: Experiment, root: Path) -> bool:
    """Run one point in a process of its own and say whether it came to its end.

    Its every word goes to the log in the run's folder, what its record cannot say to its first ``stderr`` as well.
    """
    if experiment.over(point, root):
        return True
    tqdm.set_lock(RLock())  # not one that all processes share: of a killed one it would be complained of
    with os.fdopen(os.dup(2), "w", buffering=1) as first:
        try:
            _divert(folder(point, root) / store.LOG)
        except OSError as error:  # there can be no log
            print(f"harness: {error}", file=first)
            return False

        def tell(sentence: str) -> None:
            for file in (sys.stderr, first):
                print(f"harness: {sentence}", file=file, flush=True)

        return attempt(point, root, tell, quiet=True)


def _divert(path: Path) -> None:
    """From here on what this process says, and whatever crashes it, goes to the end of a file."""
    handle = store.opened(path)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    print(f"{now} host {platform.node()} pid {os.getpid()}", file=sys.stderr, flush=True)
    faulthandler.enable()
