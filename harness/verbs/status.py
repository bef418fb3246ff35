"""Show how far sweeps are, what is running where, and what failed; from any machine that sees the folder."""

import argparse

from harness.verbs.rows import add_results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow."""
    add_results(parser)


def run(arguments: argparse.Namespace) -> int:
    """See above."""
    from harness import status

    print(status.text(arguments.results))
    return 0
