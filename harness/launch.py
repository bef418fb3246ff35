"""Run a list of experiments: one in this process, several each in a process of its own, so many at a time."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
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

SAID = (0, 1, 75, 130)  # exit codes of a child that has left its status
GRACE = 5.0  # seconds that a process has to save and leave
WARM = [  # what every run imports sooner or later, the last of them for its optimizer
    "harness.experiment", "harness.report.figures", "scipy.stats", "torch._dynamo"
]  # fmt: skip


def launch(points: Sequence[Experiment], root: Path, jobs: int) -> dict[Path, bool]:
    """Do what is missing of every point; for each run folder, in the order of ``points``, whether nothing is now.

    All points are checked before the first starts (Refusal). How each ended is in its ``run.json``: a run that failed
    or was killed says why and hurts no other. Raises Interrupted, with no process left, after SIGTERM, SIGINT, SIGUSR1.
    """
    with signals.watching():
        for point in points:
            signals.check()
            try:
                experiment.check(point, root)
            except OSError:
                continue  # what lies in its folder is damaged: running it will say so and hurt no other
        if len(points) == 1:
            return {folder(points[0], root): attempt(points[0], root, quiet=False)}
        return _processes(points, root, jobs)


def attempt(point: Experiment, root: Path, quiet: bool) -> bool:
    """Run one point and say whether it came to its end. What its record cannot say is said on stderr."""
    try:
        experiment.run(point, root, quiet)
    except (OSError, Refusal) as error:  # another process works on it, the disk is full, ...
        print(f"harness: {error}", file=sys.stderr)
        return False
    except Exception as error:  # its record has the reason and its log the traceback, if it came so far
        if not (folder(point, root) / "run.json").exists():
            print(f"harness: {type(error).__name__}: {error}", file=sys.stderr)
        return False
    return True


def _child(point: Experiment, root: Path) -> None:
    Thread(target=_leave_with_parent, daemon=True).start()
    try:
        with signals.watching():
            code = 0 if attempt(point, root, quiet=True) else 1
    except signals.Interrupted as interrupted:
        code = interrupted.code
    sys.exit(code)


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
        with tqdm(total=len(points), desc="runs", unit=" runs", disable=None) as bar:
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
                    bar.set_postfix(running=len(running), failed=len(ended) - sum(ended.values()))
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
    if process.exitcode not in SAID and (where / "run.json").exists():
        killed = process.exitcode < 0
        reason = f"killed by {signal.Signals(-process.exitcode).name}" if killed else f"exit {process.exitcode}"
        try:
            with store.claim(where):
                record = store.from_json(where / "run.json")
                if record["status"] == "RUNNING":
                    store.write(where / "run.json", store.to_json(record | {"status": status, "reason": reason}))
        except OSError as error:  # another process works on it
            tqdm.write(f"harness: {error}", file=sys.stderr)
    return process.exitcode == 0
