"""At most one process works on a run.

``claim/`` in the run's folder holds one file, named after its owner and nobody else; its time is the owner's heartbeat.
A claim is taken by giving a folder with that file in it the name ``claim``, which fails while there is a file in it. A
stale claim is emptied by deleting the file of this one owner, so whoever comes late deletes nothing of the next one; of
all who race for the empty folder, one wins.
"""

import math
import os
import platform
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

from harness.store import disk
from harness.store.disk import Corrupt
from harness.store.text import Json, from_json, to_json

BEAT = 30.0  # seconds between heartbeats
SILENT = 600.0  # seconds without one after which an owner elsewhere is given up
PROCESSES = Path("/proc")


class Claimed(OSError):
    """Another process works on the run."""


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Work on a run alone. Raises Claimed, naming the owner, while another process does.

    An owner on this host whose process is gone is followed at once, one elsewhere after ten minutes of silence.
    """
    name = f"{time.time_ns()}-{os.getpid()}.json"
    prepared, taken = folder / f".claim-{name}", folder / "claim"
    since = datetime.now(UTC).isoformat(timespec="seconds")
    me = {"host": platform.node(), "pid": os.getpid(), "started": _started(os.getpid()), "since": since, **this_job()}
    disk.write(prepared / name, to_json(me))
    try:
        while not disk.move(prepared, taken):
            for file in _files(taken):
                if owner := _living(file):
                    who = " ".join(f"{key} {owner[key]}" for key in ("host", "pid", "job", "since") if key in owner)
                    raise Claimed(f"another process works on {folder.name}: {who or file}")
                disk.remove(file)
    except BaseException:
        disk.remove(prepared)
        raise
    ended = Event()
    heart = Thread(target=_beat, args=(taken / name, ended), daemon=True)
    heart.start()
    try:
        _tidy(folder)
        yield
    finally:
        ended.set()
        heart.join()  # a last beat would look for the file in vain
        disk.remove(taken / name)
        disk.remove_empty(taken)


def owner(folder: Path) -> Json | None:
    """Who works on a run just now (host, pid, since); None if nobody does."""
    return next((found for file in _files(folder / "claim") if (found := _living(file))), None)


def release(folder: Path, name: str, restart: int) -> None:
    """End the claim of a SLURM job, started again so many times, that is known to be over, on whatever host it ran."""
    for file in _files(folder / "claim"):
        owner = _living(file) or {}
        if (owner.get("job"), owner.get("restart")) == (name, restart):
            disk.remove(file)


def this_job() -> Json:
    """What SLURM calls the job that this process is in, if it is in one."""
    one, array = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_ARRAY_JOB_ID")
    name = f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID')}" if array else one
    return {"job": name, "restart": int(os.environ.get("SLURM_RESTART_COUNT", 0))} if name else {}


def _files(taken: Path) -> list[Path]:
    try:
        return list(taken.iterdir())
    except FileNotFoundError:
        return []


def _living(file: Path) -> Json | None:
    """Who holds a claim by this file, if the owner is still there."""
    try:
        silence, owner = _silence(file), from_json(file)
    except FileNotFoundError:  # let go just now
        return None
    except Corrupt:  # whoever it is, the heart may beat
        silence, owner = _silence(file), {}
    here = owner.get("host") == platform.node() and isinstance(owner.get("pid"), int)
    gone = _started(owner["pid"]) != owner.get("started") if here else silence > SILENT
    return None if gone else owner or {"file": str(file)}


def _silence(path: Path) -> float:
    """Seconds since the last beat; for ever if it is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return math.inf


def _started(pid: int) -> int | None:
    """When a process of this host started, in ticks since boot, 0 where that is not told; None if there is none."""
    try:
        if not PROCESSES.exists():
            os.kill(pid, 0)
            return 0
        fields = (PROCESSES / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except PermissionError:
        return 0
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])  # a zombie is gone


def _beat(file: Path, ended: Event) -> None:
    while not ended.wait(BEAT):
        try:
            disk.touch(file)
        except FileNotFoundError:  # this machine slept for so long that another took over: leave
            signal.raise_signal(signal.SIGTERM)
            return
        except OSError:
            continue  # a shared folder may be away for a moment; ten minutes are enough to come back


def _tidy(folder: Path) -> None:
    """Remove what processes left that were killed amid a write; nobody else writes here now, but may prepare to."""
    for path in folder.glob(".*.tmp"):
        disk.remove(path)
    for path in folder.glob(".claim-*"):
        if _silence(path) > SILENT:
            disk.remove(path)
