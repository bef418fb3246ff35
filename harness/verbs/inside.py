"""Show what a run's layers make of tokens: matrices, their ranks against length, how many keys a query reaches."""

import argparse

from harness.nearest import Refusal, refusing, unknown
from harness.verbs.rows import add_results, run_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow."""
    parser.add_argument("run", metavar="RUN", help="a run's folder name")
    parser.add_argument("--lengths", metavar="N,N,...", help="default: those that the run was evaluated at")
    parser.add_argument("--split", default="broad", metavar="SPLIT", help="default: broad")
    parser.add_argument("--items", type=int, default=32, metavar="N", help="per length, default: 32")
    add_results(parser)


def run(arguments: argparse.Namespace) -> int:
    """See above."""
    from harness import store
    from harness.settings import Experiment
    from tasks.base import SPLITS

    folder = run_folder(arguments.run, arguments.results)
    point = Experiment.of(store.load_settings(folder))
    words = arguments.lengths.split(",") if arguments.lengths else [str(length) for length in point.evaluate.lengths]
    if not all(map(str.isdecimal, words)):
        raise Refusal(f"--lengths {arguments.lengths}: integers with commas between them are needed")
    if arguments.split not in SPLITS:
        raise unknown("--split ", arguments.split, SPLITS)
    from harness import inside  # torch
    from harness.report import inside as report  # matplotlib

    with refusing():
        rows, pictures = inside.look(folder, point, map(int, words), arguments.split, arguments.items)
    figure = report.figure(rows, pictures)
    path = store.figures(arguments.results) / f"{folder.name}-inside-{arguments.split}"
    for kind in ("png", "svg"):
        store.write(path.with_suffix(f".{kind}"), report.render(figure, kind))
    store.write(path.with_suffix(".csv"), report.over_items(rows, "head").to_csv(index=False))
    print(f"{report.table(rows)}\n\n{report.seen(rows)}\n\n{path}.csv  {path}.png")
    return 0
