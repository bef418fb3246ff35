"""Runs on this machine: a process for each, forked from a server that has imported torch once."""

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

import torch

from harness import signals
from harness.identity import settled
from harness.launch.alone import alone
from harness.launch.sweep import Death, Jobs
from harness.settings import Experiment

SAID = (0, 1, 75, 130)  # exit codes of a child that has left its status
GRACE = 5.0  # seconds that a process has to save and leave
MOMENT = 0.2  # seconds between looks
WARM = [  # what every run imports sooner or later, the last of them for its optimizer
    "harness.experiment", "harness.report.figures", "scipy.stats", "torch._dynamo"
]  # fmt: skip


class Processes:
    """So many processes at a time: ``jobs``, or one for each GPU if there is a run for it, or one for each core.

    GPUs are dealt out in turn: of two processes on two GPUs each has its own.
    """

    def __init__(self, points: Sequence[Experiment], root: Path, jobs: int | None):
        on_gpu = any(settled(point).device == "cuda" for point in points)
        self.gpus = torch.cuda.device_count() if on_gpu else 0
        self.room = jobs or self.gpus or cores()
        self.root = root
        self.places: dict[BaseProcess, int] = {}
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(WARM)
        resource_tracker.ensure_running()  # it lets signals through as it starts, so not where they are held

    def start(self, points: Sequence[Experiment]) -> list[BaseProcess]:
        """A process for each point."""
        return [self._start(point) for point in points]

    def _start(self, point: Experiment) -> BaseProcess:
        place = min(set(range(self.room)) - set(self.places.values()))
        gpu = place % self.gpus if self.gpus and settled(point).device == "cuda" else None
        process = self.context.Process(target=_child, args=(point, self.root, gpu))
        with signals.held():  # so no signal meets the server, or a child before it watches
            process.start()
        self.places[process] = place
        return process

    def ended(self, jobs: Sequence[BaseProcess]) -> Jobs:
        """Those that have ended."""
        wait([process.sentinel for process in jobs], timeout=MOMENT)
        return {process: self._death(process, "FAILED") for process in jobs if not process.is_alive()}

    def stop(self, jobs: Sequence[BaseProcess]) -> Jobs:
        """Ask every process to save and leave, and kill what has not done so in time."""
        for process in jobs:
            process.terminate()
        last, killed = time.monotonic() + GRACE, {}
        for process in jobs:
            process.join(max(0.0, last - time.monotonic()))
            if process.is_alive():
                process.kill()
                killed[process] = self._death(process, "PREEMPTED")
        return killed

    def _death(self, process: BaseProcess, status: str) -> Death | None:
        process.join()
        del self.places[process]
        if process.exitcode in SAID:
            return None
        killed = process.exitcode < 0
        name = f"killed by {signal.Signals(-process.exitcode).name}" if killed else f"exit {process.exitcode}"
        return Death(status, name)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _child(point: Experiment, root: Path, gpu: int | None) -> None:
    Thread(target=_leave_with_parent, daemon=True).start()
    with signals.watching():
        try:
            if gpu is not None:
                torch.cuda.set_device(gpu)
            code = 0 if alone(point, root) else 1
        except signals.Interrupted as interrupted:
            code = interrupted.code
    sys.exit(code)


def _leave_with_parent() -> None:
    """A parent that was killed cannot pass on a signal."""
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)
