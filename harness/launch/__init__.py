"""Run a list of experiments: one in this process, several each in a process or a SLURM job of its own."""

from collections.abc import Sequence
from pathlib import Path

from harness import experiment, signals, store
from harness.identity import folder
from harness.launch.alone import attempt, complain
from harness.launch.local import Processes
from harness.launch.slurm import Cluster
from harness.launch.sweep import drive
from harness.sections import Local, Slurm
from harness.settings import Experiment


def launch(points: Sequence[Experiment], root: Path, launcher: Local | Slurm) -> dict[Path, bool]:
    """Do what is missing of every point; for each run folder, in the order of ``points``, whether nothing is now.

    All points are checked before the first starts (Refusal). How each ended is in its ``run.json``: a run that failed
    or was killed says why and hurts no other; what it said is in its log. The runs of a sweep are noted, so that
    ``status`` can tell which have not begun. Raises Interrupted, with no process left, after SIGTERM, SIGINT, SIGUSR1.
    """
    here = isinstance(launcher, Local)
    with signals.watching():
        for point in points:
            signals.check()
            try:
                experiment.check(point, root, here)
            except OSError:
                continue  # what lies in its folder is damaged: running it will say so and hurt no other
        if here and len(points) == 1:
            return {folder(points[0], root): attempt(points[0], root, complain)}
        place = Processes(points, root, launcher.jobs) if here else Cluster(points, root, launcher)
        if len(points) > 1:
            store.save_sweep(root, (folder(point, root).name for point in points))
        return drive(points, root, place)
