"""Print a table of runs, a row for each recipe or for whatever --by names, and write it as Markdown and CSV."""

import argparse

from harness.nearest import refusing
from harness.verbs import rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow."""
    rows.add_selection(parser)
    parser.add_argument("--by", nargs="+", metavar="COLUMN", help="what to group by")


def run(arguments: argparse.Namespace) -> int:
    """See above."""
    from harness import store

    folders = rows.roots(arguments)
    found = rows.selected(arguments, folders)
    from harness.report import compare  # scipy

    with refusing():
        table = compare.table(found, arguments.by, allow_mixed=arguments.allow_mixed)
    store.write(folders[0] / "compare.md", compare.markdown(table))
    store.write(folders[0] / "compare.csv", table.to_csv(index=False))
    print(compare.text(table), end="")
    print(f"\n{folders[0] / 'compare.md'}  {folders[0] / 'compare.csv'}")
    return 0
