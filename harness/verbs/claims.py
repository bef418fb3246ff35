"""Print every claim with its verdict and write them as Markdown; --explain shows what one was decided by."""

import argparse

from harness.nearest import Refusal, refusing, unknown
from harness.verbs import rows

KINDS = ("png", "svg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow."""
    parser.add_argument("--explain", metavar="CLAIM", help="one of them: cells, rows, figures, deciding runs")
    rows.add_roots(parser)


def run(arguments: argparse.Namespace) -> int:
    """See above."""
    from harness import judge, store
    from harness.report import compare, ledger

    folders = rows.roots(arguments)
    if arguments.results and not any(folder.exists() for folder in folders):
        raise Refusal(f"there is no results folder {', '.join(map(str, folders))}")
    with refusing():
        if arguments.explain is None:
            found = judge.verdicts(judge.evidence(folders))
            store.write(folders[0] / "claims.md", ledger.markdown(found))
            print(f"{ledger.table(found)}\n\n{folders[0] / 'claims.md'}")
            return 0
        known = {claim.name: claim for claim in judge.claims()}
        if arguments.explain not in known:
            raise unknown("claim ", arguments.explain, known)
        claim = known[arguments.explain]
        there = judge.evidence(folders).get(claim.study)
        verdict = judge.judge(claim, there)
        table, drawn = "", []
        if there is not None:
            of_runs = there.chosen()
            decisive = of_runs[of_runs["run"].isin(verdict.runs)]
            table = compare.text(compare.table(decisive)) if len(decisive) else ""
            files = (folders[0] / "figures" / f"{name}.{kind}" for name in judge.picture_names(there) for kind in KINDS)
            drawn = [str(file) for file in files if file.exists()]
    print(ledger.explained(verdict, table, drawn))
    return 0
