"""Write report.html: verdicts, figures, runs, configs and fingerprints in one static page that needs no server."""

import argparse

from harness.nearest import refusing
from harness.verbs import rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow."""
    rows.add_selection(parser)


def run(arguments: argparse.Namespace) -> int:
    """See above."""
    folders = rows.roots(arguments)
    found = rows.selected(arguments, folders)
    from harness import judge, store
    from harness.report import page

    with refusing():
        there = judge.evidence(folders)
        text = page.page(
            rows=found,
            verdicts=judge.verdicts(there),
            pictures=[*judge.study_pictures(there), *judge.task_pictures(found, arguments.allow_mixed)],
            **judge.records(folders, found, there),
        )
    store.write(folders[0] / "report.html", text)
    print(folders[0] / "report.html")
    return 0
