"""List the tasks with what theory knows of them, the traces, attention variants, positions and scratchpads."""

import argparse

from harness.nearest import Refusal, unknown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow."""
    shelves = "tasks|bounds|traces|attention|positions|scratchpads|studies"
    parser.add_argument("shelf", nargs="?", metavar=shelves, help="default: everything")
    parser.add_argument("--page", action="store_true", help="tasks or attention as Markdown, a section for each")


def run(arguments: argparse.Namespace) -> int:
    """See above."""
    from harness.catalogue import SHELVES, shelf
    from harness.pages import PAGES, page

    if arguments.page:
        if arguments.shelf not in PAGES:
            raise Refusal(f"list --page: {' and '.join(f'`list {name} --page`' for name in PAGES)} print Markdown")
        print(page(arguments.shelf), end="")
        return 0
    if arguments.shelf is not None and arguments.shelf not in SHELVES:
        raise unknown("list ", arguments.shelf, SHELVES)
    print("\n\n".join(shelf(name) for name in ([arguments.shelf] if arguments.shelf else SHELVES)))
    return 0
