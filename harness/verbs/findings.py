"""Write docs/findings.md and the README's table from the committed evidence; --check says whether they are its own."""

import argparse
import sys
from pathlib import Path

from harness.nearest import Refusal, refusing

EVIDENCE = Path("results") / "reference"
PAGE, README = Path("docs") / "findings.md", Path("README.md")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow."""
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if a text is not what the rows say")
    parser.add_argument("--results", type=Path, default=EVIDENCE, metavar="DIR", help=f"default: {EVIDENCE}")


def run(arguments: argparse.Namespace) -> int:
    """See above."""
    if not README.exists() or not PAGE.parent.exists():
        raise Refusal(f"{README} and {PAGE.parent} are not here: findings are written in a checkout of the repository")
    from harness import judge, store
    from harness.report import findings

    with refusing():
        there = judge.evidence([arguments.results])
        for found in there.values():
            if found.damaged:
                raise Refusal(found.damaged)
        verdicts = judge.verdicts(there)
        shown = judge.shown(there, arguments.results, PAGE.parent)
        texts = {
            PAGE: findings.page(verdicts, shown),
            README: findings.spliced(README.read_text(encoding="utf-8"), findings.summary(verdicts)),
        }
    if not arguments.check:
        for path, text in texts.items():
            store.write(path, text)
            print(path)
        return 0
    there = {path: path.read_text(encoding="utf-8") if path.exists() else "" for path in texts}
    wrong = [findings.first_difference(str(path), there[path], text) for path, text in texts.items()]
    if any(wrong):
        print("\n".join(filter(None, wrong)), file=sys.stderr)
        return 1
    print(f"{PAGE} and {README} say what the rows of {arguments.results} say")
    return 0
