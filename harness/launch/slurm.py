"""Runs on a cluster: a job for each, sent to SLURM as one array by submitit.

How a job ended is read from the queue, which lists it for some minutes more, and from the run's folder: no accounting
is needed, and none of the pickles that submitit leaves is read. SLURM tells a job before its time is up (SIGUSR2) or
before it is preempted (SIGTERM): the run saves, and the job has itself queued again. What is lost with a node SLURM
queues again.
"""

import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from harness import signals, store
from harness.identity import folder
from harness.launch.alone import alone, complain
from harness.launch.sweep import Death, Jobs
from harness.nearest import Refusal, unknown
from harness.sections import Slurm
from harness.settings import Experiment

POLL = 5.0  # seconds between looks at the queue
GRACE = 4.0  # seconds that cancelled jobs are waited for
LARGEST = 1000  # jobs of an array: SLURM's own limit, if a cluster sets no other
NOTICE = 90  # seconds before its time is up that a job is told
ENDED = {  # states of a job that is over; the first if the queue has forgotten it
    "gone",
    *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "DEADLINE", "OUT_OF_MEMORY"),
    *("NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REVOKED"),
}  # fmt: skip
LOST = ("NODE_FAIL", "BOOT_FAIL")  # whose processes may be alive
HELD = (  # a Python that signals wait for until they are watched: none meets a job while it imports
    f"import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, {[*map(int, signals.CAUGHT)]}); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
LAST_WORDS = 2000  # characters of what a job said outside its log


class Seen(NamedTuple):
    """A job as the queue shows it."""

    state: str
    restart: int  # how often it was started again


GONE = Seen("gone", 0)


class Cluster:
    """The cluster that this machine can send jobs to. Raises Refusal if it can send none, or there is no partition."""

    room = LARGEST

    def __init__(self, points: Sequence[Experiment], root: Path, launcher: Slurm):
        try:
            from submitit import SlurmExecutor
        except ImportError as error:
            raise Refusal("launcher=slurm needs submitit: pip install submitit") from error
        try:
            partitions = _asked("sinfo", "--noheader", "--format=%R").split()
        except OSError as error:
            raise Refusal(f"launcher=slurm: {error}; launcher=local needs none") from error
        if launcher.partition is not None and launcher.partition not in partitions:
            raise unknown("launcher.partition=", launcher.partition, partitions)
        self.root, self.folder = root.resolve(), (root / "slurm" / secrets.token_hex(4)).resolve()
        self.points, self.looked, self.seen = {}, 0.0, {}
        self.executor = SlurmExecutor(self.folder, python=shlex.join([sys.executable, "-c", HELD]))
        self.executor.update_parameters(
            job_name="harness",
            partition=launcher.partition,
            time=launcher.minutes,
            mem=f"{launcher.memory}GB",
            cpus_per_task=max(point.threads for point in points),
            gpus_per_node=launcher.gpus or None,
            array_parallelism=launcher.jobs,
            signal_delay_s=min(NOTICE, 30 * launcher.minutes),
            stderr_to_stdout=True,
            additional_parameters={"requeue": True, **dict(option.split(":", 1) for option in launcher.sbatch)},
        )

    def start(self, points: Sequence[Experiment]) -> list[str]:
        """A job for each point. Raises Refusal, with its reason, if SLURM takes none."""
        from submitit.core.utils import FailedJobError

        try:
            with redirect_stderr(StringIO()), self.executor.batch():  # submitit repeats what sbatch says
                submitted = [self.executor.submit(work, point, self.root) for point in points]
        except FailedJobError as error:
            raise Refusal(f"SLURM takes no job: {error}") from error
        self.looked = time.monotonic()
        jobs = [str(one.job_id) for one in submitted]
        self.points |= zip(jobs, points, strict=True)
        return jobs

    def ended(self, jobs: Sequence[str]) -> Jobs:
        """Those that have ended; none while SLURM does not answer. A failure counts once it was seen twice."""
        time.sleep(0.2)
        if time.monotonic() - self.looked < POLL:
            return {}
        try:
            states = queue()
        except OSError:
            return {}
        finally:
            self.looked = time.monotonic()
        before, self.seen = self.seen, {one: states.get(one, GONE) for one in jobs}
        sure = {one: seen for one, seen in self.seen.items() if seen.state == "COMPLETED" or seen == before.get(one)}
        return {one: self._death(one, seen) for one, seen in sure.items() if seen.state in ENDED}

    def stop(self, jobs: Sequence[str]) -> Jobs:
        """Cancel all, which lets them save."""
        if jobs:
            try:
                _cancelled(jobs)
            except OSError as error:
                complain(f"{error}; the jobs that it has still go on")
        store.remove(self.folder)
        return {}

    def _death(self, job: str, seen: Seen) -> Death | None:
        if seen.state == "COMPLETED":
            return None
        if seen.state not in LOST:  # nothing of it is alive, wherever it ran; what it was before it restarted may be
            store.release(folder(self.points[job], self.root), job, seen.restart)
        status = "OOM" if seen.state == "OUT_OF_MEMORY" else "FAILED"
        return Death(status, f"SLURM ended job {job}: {seen.state}", self._last_words(job))

    def _last_words(self, job: str) -> str:
        """What a job said before it had a log, and SLURM of it."""
        path = self.folder / f"{job}_0_log.out"
        return path.read_text(errors="replace")[-LAST_WORDS:].strip() if path.exists() else ""


def _cancelled(jobs: Sequence[str]) -> None:
    """Cancel jobs and wait for a moment until all are over. Raises OSError if SLURM does not answer."""
    queue()
    subprocess.run(["scancel", *jobs], capture_output=True)  # it fails if one is over by now
    last = time.monotonic() + GRACE
    while time.monotonic() < last and not ENDED.issuperset(queue().get(one, GONE).state for one in jobs):
        time.sleep(0.2)


def work(point: Experiment, root: Path) -> None:
    """What a job does, on its node: run one point, and be queued again if it is preempted, or late and has got on."""
    where = folder(point, root)
    with signals.watching():
        before = _far(where)
        try:
            code = 0 if alone(point, root) else 1
        except signals.Interrupted as interrupted:
            code = interrupted.code
            job = store.this_job()["job"]
            late = interrupted.number == signal.SIGUSR2 and _far(where) != before
            if late or "PreemptTime=None" not in _asked("scontrol", "show", "job", job):
                _asked("scontrol", "requeue", job)  # it would not be: it leaves before it is killed
    raise SystemExit(code)


def _far(where: Path) -> tuple[int, int]:
    """How far a run is: updates that are saved, rows that are measured."""
    return store.reached(where), len(store.load_scores(where)[0])


def queue() -> dict[str, Seen]:
    """Each job of this user's that SLURM has not forgotten. Raises OSError if it does not answer."""
    columns = "--Format=JobArrayID:40,State:30,RestartCnt:20"
    lines = _asked("squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}", columns).splitlines()
    return {job: Seen(state, int(restart)) for job, state, restart in map(str.split, lines)}


def _asked(*words: str) -> str:
    """What a command of SLURM's says. Raises OSError, in a sentence, if it does not answer."""
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout
    except subprocess.SubprocessError as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[0]
        raise OSError(f"SLURM does not answer: {said}") from error
