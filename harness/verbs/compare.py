"""Print a table of runs, a row for each recipe or for whatever --by names, and write it as Markdown and CSV."""

import argparse

from harness.nearest import refusing
from harness.verbs import rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow."""
    rows.add_selection(parser)
    parser.add_argument("--by", nargs="+", metavar="COLUMN", help="what to group by")
    budgets = "parameters|state_bits|flops|train_flops"
    parser.add_argument(
        "--equal", metavar=budgets, help="pairs of recipes with as much of it, and what tells them apart"
    )


def run(arguments: argparse.Namespace) -> int:
    """See above."""
    from harness import store

    folders = rows.roots(arguments)
    found = rows.selected(arguments, folders)
    from harness.report import budgets, compare  # scipy

    name, mixed = folders[0] / "compare", arguments.allow_mixed
    with refusing():
        if arguments.equal:
            from harness import judge

            name = folders[0] / f"compare-equal-{arguments.equal.replace('_', '-')}"
            table = budgets.matched(found, arguments.equal, items=judge.items(folders), allow_mixed=mixed)
        else:
            table = compare.table(found, arguments.by, allow_mixed=mixed)
    store.write(name.with_suffix(".md"), compare.markdown(table))
    store.write(name.with_suffix(".csv"), table.to_csv(index=False))
    print(compare.text(table), end="")
    print(f"\n{name}.md  {name}.csv")
    return 0
