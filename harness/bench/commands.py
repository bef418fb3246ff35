"""What is timed of the harness around the model: the parts of a run, whole commands, a sweep."""

import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from harness import config, identity, store, train, training
from harness.draw import Source
from harness.evaluate import Question, evaluate
from harness.model import build
from harness.seeding import rng

Line = tuple[str, ...]


def parts(line: Line, root: str) -> Callable[[str], object]:
    """What does one of PARTS, by its name, of the training that a command line describes."""
    (experiment,) = config.points(line)
    train.optimizer(build(experiment), experiment.train)  # the first imports much
    made = {name: make(experiment, root) for name, make in PARTS.items()}
    return lambda name: made[name]()


def _whole(experiment, root: str) -> Callable[[], object]:
    """A run from its first update to its last with all that happens between, but not the final evaluation."""
    folders = (Path(root) / str(number) for number in count())
    return lambda: training.finish(experiment, build(experiment), next(folders), None, quiet=True)


def _bare(experiment, root: str) -> Callable[[], object]:
    """The same updates alone, on batches that were drawn before."""
    settings, source = experiment.train, Source.of(experiment)
    batches = [
        (*source.training(update, settings.lengths, settings.batch, settings.mix), rng(experiment.seed, "", update))
        for update in range(1, settings.updates + 1)
    ]

    def updates() -> None:
        model = build(experiment)
        for _ in train.fit(model, train.optimizer(model, settings), lambda update: batches[update - 1], settings):
            pass

    return updates


def _data(experiment, root: str) -> Callable[[], object]:
    """The drawing of these batches alone."""
    settings, source = experiment.train, Source.of(experiment)

    def draws() -> None:
        for update in range(1, settings.updates + 1):
            source.training(update, settings.lengths, settings.batch, settings.mix)

    return draws


def _validation(experiment, root: str) -> Callable[[], object]:
    """The validations on the way."""
    settings, source, model = experiment.train, Source.of(experiment), build(experiment)
    times = -(-settings.updates // settings.validate_every)
    asked = [Question("validation", length) for length in settings.lengths]

    def validations() -> None:
        for _ in range(times):
            list(evaluate(model, source, asked, settings.validate_examples))

    return validations


PARTS = {"whole run": _whole, "bare updates": _bare, "data": _data, "validation": _validation}


def command(words: Line) -> Callable[[], object]:
    """A command line of the harness, in a process of its own, to its end."""
    return lambda: _harness(words)


def separate(line: Line, seeds: int, root: str) -> Callable[[], object]:
    """A command for each seed, one after the other."""
    folders = (str(Path(root) / str(number)) for number in count())

    def commands() -> None:
        folder = next(folders)
        for seed in range(seeds):
            _harness((*line, f"seed={seed}", "--results", folder))

    return commands


def sweep(line: Line, seeds: int, root: str, jobs: int) -> Callable[[], object]:
    """One command for all seeds, so many at a time."""
    folders = (str(Path(root) / str(number)) for number in count())
    all_of_them = f"seed={','.join(map(str, range(seeds)))}"
    return lambda: _harness(("-m", *line, all_of_them, f"launcher.jobs={jobs}", "--results", next(folders)))


def first_update(line: Line, root: str) -> Callable[[], object]:
    """From the command to the checkpoint that follows the run's one update; what comes after it is cut off.

    Raises RuntimeError if the run ends before.
    """
    (experiment,) = config.points(line)
    folders = (Path(root) / str(number) for number in count())

    def until() -> None:
        folder = next(folders)
        words = [sys.executable, "-m", "harness", *line, "--results", str(folder)]
        run = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not store.has_checkpoint(identity.folder(experiment, folder)):
                if run.poll() is not None:
                    raise RuntimeError(f"{' '.join(line)}: it ended before its first update")
                time.sleep(0.005)
        finally:
            run.kill()
            run.wait()

    return until


def _harness(words: Line) -> None:
    """Raises RuntimeError, with what it said, for a command that fails."""
    done = subprocess.run([sys.executable, "-m", "harness", *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr[-2000:]}")
