"""Several points, wherever they run: what is free is started, what has ended is judged by its folder."""

from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from tqdm import tqdm

from harness import experiment, signals, store
from harness.identity import folder
from harness.launch.alone import complain
from harness.settings import Experiment

LINE = "{l_bar}{bar}| {n_fmt} of {total_fmt} runs ended{postfix}, {remaining} left"


class Death(NamedTuple):
    """What ended a job that could not say so itself."""

    status: str
    reason: str
    said: str = ""  # its last words


Jobs = dict[Hashable, Death | None]


class Place(Protocol):
    """Where jobs run, each known by something hashable."""

    room: int  # how many at once

    def start(self, points: Sequence[Experiment]) -> list[Hashable]:
        """A job for each point."""

    def ended(self, jobs: Sequence[Hashable]) -> Jobs:
        """Those that have ended, after a moment's waiting; None for one that left by itself."""

    def stop(self, jobs: Sequence[Hashable]) -> Jobs:
        """Ask all to save and leave; those that had to be killed."""


def drive(points: Sequence[Experiment], root: Path, place: Place) -> dict[Path, bool]:
    """For each run folder whether nothing is missing, once every point has ended.

    A run has one job at a time. One that another process works on is waited for, and done if that leaves it undone.
    """
    folders = {point: folder(point, root) for point in points}
    waiting, running, ended = list(points), {}, dict.fromkeys(folders.values(), True)
    with tqdm(total=len(points), desc="sweep", bar_format=LINE, disable=None) as bar:

        def end(point: Experiment, done: bool) -> None:
            ended[folders[point]] &= done
            bar.update()

        try:
            while waiting or running:
                signals.check()
                fresh = []
                for point in _free(waiting, folders, [*running.values()]):
                    if len(running) + len(fresh) >= place.room:
                        break
                    signals.check()
                    waiting.remove(point)
                    if experiment.over(point, root):
                        end(point, True)
                    else:
                        fresh.append(point)
                if fresh:
                    running |= zip(place.start(fresh), fresh, strict=True)
                failed = sum(not done for done in ended.values())
                elsewhere = f", {len(waiting)} elsewhere" if waiting and len(running) < place.room else ""
                bar.set_postfix_str(f"{len(running)} running, {failed} failed{elsewhere}")
                for job, death in place.ended([*running]).items():
                    point = running.pop(job)
                    done = experiment.over(point, root)
                    if not done and store.owner(folders[point]):  # that was there before
                        waiting.append(point)
                    else:
                        _note(folders[point], death)
                        end(point, done)
        finally:
            for job, death in place.stop([*running]).items():
                _note(folders[running[job]], death)
    return ended


def _free(
    waiting: Sequence[Experiment], folders: dict[Experiment, Path], running: Sequence[Experiment]
) -> Iterator[Experiment]:
    """Points whose run nobody works on, one for each run."""
    busy = {folders[point] for point in running}
    for point in list(waiting):
        where = folders[point]
        if where not in busy and not store.owner(where):
            busy.add(where)
            yield point


def _note(where: Path, death: Death | None) -> None:
    """A run whose job died without a word, killed or crashed, gets its status from here."""
    if death is None:
        return
    try:
        record = store.load_record(where)
        if record.get("status", "RUNNING") != "RUNNING":
            return
        store.append(where / store.LOG, "\n".join(filter(None, (death.said, death.reason))) + "\n")
        if record:
            with store.claim(where):
                store.save_record(where, record | {"status": death.status, "reason": death.reason})
    except OSError as error:  # another process works on it
        complain(str(error))
