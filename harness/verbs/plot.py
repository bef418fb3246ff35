"""Draw accuracy against length, steps and state, and cost against length, a figure for each task."""

import argparse
import sys

from harness.nearest import refusing
from harness.verbs import rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow."""
    rows.add_selection(parser)


def run(arguments: argparse.Namespace) -> int:
    """See above."""
    from harness import store

    folders = rows.roots(arguments)
    found = rows.selected(arguments, folders)
    from harness.report import figures  # matplotlib
    from harness.report.select import scored

    if lost := found.loc[found["status"] == "CORRUPT", "run"].nunique():
        print(f"harness: damaged runs, which are in no figure: {lost}; report names them", file=sys.stderr)
    silent = found.groupby("task")["accuracy"].count().eq(0)
    if silent.all():
        with refusing():
            scored(found)
    for task in silent.index[silent]:
        print(f"harness: no run of {task} has scores yet, and none of its figures is drawn", file=sys.stderr)
    for task, of_task in found[~found["task"].map(silent).eq(True)].groupby("task"):
        for name in figures.AGAINST:
            with refusing():
                figure = getattr(figures, name)(of_task, allow_mixed=arguments.allow_mixed)
            for kind in ("png", "svg"):
                path = store.figures(folders[0]) / f"{task}-{name.replace('_', '-')}.{kind}"
                store.write(path, figures.render(figure, kind))
            print(path.with_suffix(".png"))
    return 0
