"""Train and evaluate what is missing, then say what was seen and what theory says."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness import signals
from harness.nearest import printable, refusing
from harness.verbs.rows import add_results

if TYPE_CHECKING:
    from harness.study import Study  # yaml

# how a run ended that is no result
ILL = {"FAILED": "failed", "OOM": "ran out of memory", "CORRUPT": "cannot be read", "PREEMPTED": "was interrupted"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow."""
    parser.add_argument("settings", nargs="*", metavar="key=value", help="settings, as in conf/config.yaml")
    parser.add_argument("-m", dest="sweep", action="store_true", help="run the product of all values: seed=0,1,2")
    parser.add_argument("--cfg", action="store_true", help="print the composed config and stop")
    add_results(parser)


def run(arguments: argparse.Namespace) -> int:
    """See above."""
    from harness import config, study

    if asked := study.asked(arguments.settings):
        return _study(*asked, arguments)
    if arguments.cfg:
        print(config.printed(arguments.settings, arguments.sweep), end="")
        return 0
    points = config.points(arguments.settings, arguments.sweep)
    launcher = config.launcher(arguments.settings, arguments.sweep)
    with signals.watching():  # also while torch is imported
        from harness.launch import launch

        ended = launch(points, arguments.results, launcher)
    rows = _tell(list(ended), several=len(points) > 1)
    if len(points) == 1 and rows is not None and not {"RUNNING", *ILL} & set(rows["status"]):
        from harness.report import summary

        print("\n".join(filter(None, (summary.seen(rows), summary.loss(rows)))))
        print(summary.theory(points[0].task_name, points[0].task, rows))
    return 0 if all(ended.values()) and _whole(rows) else 1


def _study(study: Study, size: str, words: list[str], arguments: argparse.Namespace) -> int:
    """Do what is missing of a study, draw it, judge its claims."""
    from harness import config

    if arguments.cfg:
        lines = [line for of_arm in study.lines(size, words).values() for line in of_arm]
        print("---\n".join(config.printed(line, sweep=True) for line in lines), end="")
        return 0
    with signals.watching():  # also while torch is imported
        from harness.conduct import conduct

        ended = conduct(study, size, words, arguments.results)
    rows = _tell(list(ended), several=True)
    from harness import judge, store
    from harness.report import figures, ledger

    with refusing():
        there = judge.evidence([arguments.results])
        for name, figure in judge.pictures(there[study.name]):
            for kind in ("png", "svg"):
                store.write(store.figures(arguments.results) / f"{name}.{kind}", figures.render(figure, kind))
            print(arguments.results / "figures" / f"{name}.png")
        judged = [one for one in judge.verdicts(there) if one.claim.study == study.name]
        print("\n" + ledger.table(judged))
    return 0 if all(ended.values()) and _whole(rows) else 1


def _whole(rows) -> bool:
    """Whether every run that was asked for can be read."""
    return rows is None or not rows["status"].eq("CORRUPT").any()


def _tell(folders: Sequence[Path], several: bool):
    """How the runs ended and what came out of them."""
    from harness import store
    from harness.report import compare, summary

    begun = [folder for folder in folders if store.begun(folder)]
    for folder in sorted(set(folders) - set(begun)):
        logged = f": {folder / store.LOG}" if (folder / store.LOG).exists() else ""
        print(f"harness: {folder.name} was ended before it began{logged}", file=sys.stderr)
    if not begun:
        return None
    rows = store.read_folders(begun)
    status = rows.groupby("run")["status"].first()
    if several:
        print(compare.text(compare.table(rows)), end="")
        print("; ".join(f"{count} {name}" for name, count in status.value_counts().items()))
    elif "accuracy" in rows and status.eq("DONE").all():
        print(f"{summary.table(rows)}\n\n{begun[0] / 'accuracy.png'}\n")
    for run, ended in status.items():
        if ended in ILL:
            reason = rows.loc[rows["run"] == run, "reason"].iloc[0]
            logged = any(folder.name == run and (folder / store.LOG).exists() for folder in begun)
            more = f"; the whole story is in its {store.LOG}" if logged and ended in ("FAILED", "OOM") else ""
            print(f"harness: {run} {ILL[ended]}: {printable(reason)}{more}", file=sys.stderr)
    return rows
