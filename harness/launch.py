"""Run a list of experiments: one in this process, several each in a process of its own, so many at a time."""

import faulthandler
import logging
import multiprocessing
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread

from tqdm import tqdm

from harness import experiment, signals, store
from harness.identity import folder
from harness.nearest import Refusal
from harness.settings import Experiment

STORY = logging.getLogger("harness")  # what --debug shows
SAID = (0, 1, 75, 130)  # exit codes of a child that has left its status
GRACE = 5.0  # seconds that a process has to save and leave
WARM = [  # what every run imports sooner or later, the last of them for its optimizer
    "harness.experiment", "harness.report.figures", "scipy.stats", "torch._dynamo"
]  # fmt: skip
LINE = "{l_bar}{bar}| {n_fmt} of {total_fmt} runs ended{postfix}, {remaining} left"


def launch(points: Sequence[Experiment], root: Path, jobs: int) -> dict[Path, bool]:
    """Do what is missing of every point; for each run folder, in the order of ``points``, whether nothing is now.

    All points are checked before the first starts (Refusal). How each ended is in its ``run.json``: a run that failed
    or was killed says why and hurts no other; what it said is in its log. The runs of a sweep are noted, so that
    ``status`` can tell which have not begun. Raises Interrupted, with no process left, after SIGTERM, SIGINT, SIGUSR1.
    """
    with signals.watching():
        for point in points:
            signals.check()
            try:
                experiment.check(point, root)
            except OSError:
                continue  # what lies in its folder is damaged: running it will say so and hurt no other
        if len(points) == 1:
            return {folder(points[0], root): attempt(points[0], root, _complain)}
        store.save_sweep(root, (folder(point, root).name for point in points))
        return _processes(points, root, jobs)


def attempt(point: Experiment, root: Path, complain: Callable[[str], None], quiet: bool = False) -> bool:
    """Run one point and say whether it came to its end. What its record cannot say is a sentence to ``complain``."""
    try:
        experiment.run(point, root, quiet)
    except (OSError, Refusal) as error:  # another process works on it, the disk is full, ...
        STORY.debug("why", exc_info=True)
        complain(str(error))
        return False
    except Exception as error:  # its record has the reason and its log the traceback, if it came so far
        STORY.debug("why", exc_info=True)
        if not store.load_record(folder(point, root)):
            complain(f"{type(error).__name__}: {error}")
        return False
    return True


def _complain(sentence: str) -> None:
    tqdm.write(f"harness: {sentence}", file=sys.stderr)


def _child(point: Experiment, root: Path) -> None:
    """Run one point in a process of its own, whose every word goes to the log in the run's folder."""
    Thread(target=_leave_with_parent, daemon=True).start()
    with os.fdopen(os.dup(2), "w", buffering=1) as parents, signals.watching():
        code = 1

        def complain(sentence: str) -> None:
            for file in (sys.stderr, parents):
                print(f"harness: {sentence}", file=file, flush=True)

        try:
            if experiment.over(point, root):
                sys.exit(0)
            _divert(folder(point, root) / store.LOG)
            code = 0 if attempt(point, root, complain, quiet=True) else 1
        except signals.Interrupted as interrupted:
            code = interrupted.code
        except OSError as error:  # there can be no log
            print(f"harness: {error}", file=parents)
    sys.exit(code)


def _divert(path: Path) -> None:
    """From here on what this process says, and whatever crashes it, goes to the end of a file."""
    handle = store.opened(path)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    print(f"{now} host {platform.node()} pid {os.getpid()}", file=sys.stderr, flush=True)
    faulthandler.enable()


def _leave_with_parent() -> None:
    """A parent that was killed cannot pass on a signal."""
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)


def _processes(points: Sequence[Experiment], root: Path, jobs: int) -> dict[Path, bool]:
    """A process for each point, forked from a server that has imported torch once; one at a time for each folder."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(WARM)
    resource_tracker.ensure_running()  # it lets signals through as it starts, so it may not start where they are held
    folders = {point: folder(point, root) for point in points}
    ended, waiting, running = dict.fromkeys(folders.values(), True), list(points), {}
    try:
        with tqdm(total=len(points), desc="sweep", bar_format=LINE, disable=None) as bar:
            while waiting or running:
                signals.check()
                free = [point for point in waiting if folders[point] not in running]
                if free and len(running) < jobs:
                    process = context.Process(target=_child, args=(free[0], root))
                    with signals.held():  # so no signal meets the server, or a child before it watches
                        process.start()
                    waiting.remove(free[0])
                    running[folders[free[0]]] = process
                    continue
                wait([process.sentinel for process in running.values()], timeout=0.2)
                for where in [where for where, process in running.items() if not process.is_alive()]:
                    ended[where] &= _ended(running.pop(where), where)
                    bar.update()
                bar.set_postfix_str(f"{len(running)} running, {len(ended) - sum(ended.values())} failed")
    finally:
        _stop(running)
    return ended


def _stop(running: dict[Path, BaseProcess]) -> None:
    """Ask every process to save and leave, and kill what has not done so in time."""
    for process in running.values():
        process.terminate()
    last = time.monotonic() + GRACE
    for where, process in running.items():
        process.join(max(0.0, last - time.monotonic()))
        if process.is_alive():
            process.kill()
            _ended(process, where, "PREEMPTED")


def _ended(process: BaseProcess, where: Path, status: str = "FAILED") -> bool:
    """Whether a child came to its end; one that died without a word, killed or crashed, gets its status from here."""
    process.join()
    if process.exitcode not in SAID:
        killed = process.exitcode < 0
        reason = f"killed by {signal.Signals(-process.exitcode).name}" if killed else f"exit {process.exitcode}"
        try:
            store.append(where / store.LOG, f"{reason}\n")
            with store.claim(where):
                record = store.load_record(where)
                if record.get("status") == "RUNNING":
                    store.save_record(where, record | {"status": status, "reason": reason})
        except OSError as error:  # another process works on it
            _complain(str(error))
    return process.exitcode == 0
