"""Run a list of experiments: one in this process, several each in a process of its own, so many at a time."""

import multiprocessing
import signal
import sys
import traceback
from collections.abc import Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from tqdm import tqdm

from harness import experiment, store
from harness.settings import Experiment


def launch(points: Sequence[Experiment], root: Path, jobs: int) -> list[Path]:
    """Run every point that is not finished yet and return the run folders, in the order of ``points``.

    All points are checked before the first starts (Refusal). How each ended is in its ``run.json``: a run that failed
    or was killed says why and hurts no other.
    """
    for point in points:
        experiment.check(point)
    if len(points) == 1:
        attempt(points[0], root, quiet=False)
    else:
        _processes(points, root, jobs)
    return [experiment.folder(point, root) for point in points]


def attempt(point: Experiment, root: Path, quiet: bool) -> bool:
    """Run one point; an exception becomes the run's status and its traceback ``log.txt``. True if there was none."""
    try:
        experiment.run(point, root, quiet)
    except Exception:
        store.write(experiment.folder(point, root) / "log.txt", traceback.format_exc())
        return False
    return True


def _child(point: Experiment, root: Path) -> None:
    sys.exit(0 if attempt(point, root, quiet=True) else 1)


def _processes(points: Sequence[Experiment], root: Path, jobs: int) -> None:
    """A process for each point, forked from a server that has imported torch once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["harness.experiment"])
    waiting, running, failed = list(reversed(points)), {}, 0
    try:
        with tqdm(total=len(points), desc="runs", unit=" runs", disable=None) as bar:
            while waiting or running:
                while waiting and len(running) < jobs:
                    point = waiting.pop()
                    process = context.Process(target=_child, args=(point, root))
                    process.start()
                    running[process.sentinel] = process, point
                for sentinel in wait(list(running)):
                    process, point = running.pop(sentinel)
                    failed += _ended(process, experiment.folder(point, root))
                    bar.update()
                    bar.set_postfix(running=len(running), failed=failed)
    finally:
        for process, _ in running.values():
            process.terminate()
            process.join()


def _ended(process: BaseProcess, folder: Path) -> bool:
    """Whether a child failed; one that died without a word (killed, out of memory) gets its reason from here."""
    process.join()
    if process.exitcode < 0:
        reason = f"killed by {signal.Signals(-process.exitcode).name}"
        record = store.from_json(folder / "run.json") if (folder / "run.json").exists() else None
        if record is not None and record["status"] == "RUNNING":
            store.write(folder / "run.json", store.to_json(record | {"status": "FAILED", "reason": reason}))
    return process.exitcode != 0
