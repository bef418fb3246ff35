"""Show one problem with its twin and every trace, or what a run's model wrote."""

import argparse

from harness.nearest import Refusal, refusing, unknown
from harness.verbs.rows import add_results, run_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow."""
    parser.add_argument("settings", nargs="+", metavar="RUN|key=value", help="a run's folder name, or settings")
    add_results(parser)


def run(arguments: argparse.Namespace) -> int:
    """See above."""
    from harness import config, store
    from harness.settings import Experiment
    from tasks.base import SPLITS

    named = dict(word.split("=", 1) for word in arguments.settings if word.startswith(("length=", "split=")))
    settings = [word for word in arguments.settings if not word.startswith(("length=", "split="))]
    length, split = named.get("length"), named.get("split", SPLITS[0])
    if length is None or not length.isdecimal():
        raise Refusal(f"length={length}: show needs one length, an integer")
    if split not in SPLITS:
        raise unknown("split=", split, SPLITS)
    if not settings:
        raise Refusal("show: task=NAME or a run is needed")
    if "=" in settings[0]:
        if "split" in named:
            raise Refusal(f"split={split}: show task=NAME shows twins, of boundary; show RUN takes split=")
        (point,), folder = config.points(settings), None
    else:
        folder = run_folder(settings[0], arguments.results)
        if settings[1:]:
            raise Refusal(f"{settings[1]}: show RUN takes length= and split=")
        point = Experiment.of(store.load_settings(folder))
    if not point.task.shortest <= int(length) <= point.task.longest:
        raise Refusal(f"length={length}: {point.task.shortest} to {point.task.longest} are possible for this task")
    from harness import show  # torch

    lines = show.written(folder, point, int(length), split) if folder else show.instance(point, int(length))
    with refusing():
        text = "\n".join(lines)
    print(text)
    return 0
