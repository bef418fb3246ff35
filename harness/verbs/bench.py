"""Measure speed side by side with named peers, and as a share of what this machine can do at all."""

import argparse
import sys
from pathlib import Path

from harness.nearest import Refusal, unknown

OUT = Path("results") / "bench"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow."""
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help=f"for bench.csv and its figure; {OUT}")
    parser.add_argument("--only", nargs="+", default=[], metavar="FAMILY", help="training decoding linear sweep ...")
    parser.add_argument("--quick", action="store_true", help="try whether everything runs; the numbers mean nothing")
    pages = "print the page that these bench.csv make, and stop"
    parser.add_argument("--page", nargs="+", type=Path, metavar="CSV", help=pages)


def run(arguments: argparse.Namespace) -> int:
    """See above."""
    import pandas as pd

    if arguments.page is not None:
        from harness.bench.page import page

        for path in arguments.page:
            if not path.is_file():
                raise Refusal(f"--page {path}: there is no such file, `python -m harness bench` makes one")
        print(page(*map(pd.read_csv, arguments.page)), end="")
        return 0
    from harness.bench.race import Died

    try:
        return _measure(arguments.only, arguments.out, arguments.quick)
    except Died as error:  # what its process said stands above
        print(f"harness: {error}", file=sys.stderr)
        return 1


def _measure(only: list[str], out: Path, quick: bool) -> int:
    import pandas as pd
    from tqdm import tqdm

    from harness import signals, store
    from harness.bench import cases, figure, rows
    from harness.report import style

    for family in only:
        if family not in cases.FAMILIES:
            raise unknown("--only ", family, cases.FAMILIES)
    scale, known, found = cases.QUICK if quick else cases.FULL, rows.machine(quick), []
    with signals.watching(), store.scratch() as root:
        for family in only or cases.FAMILIES:
            for comparison in cases.comparisons(family, scale, Path(root)):
                with tqdm(desc=f"{family}: {comparison.case}", unit=" repetitions", leave=False, disable=None) as bar:
                    made = rows.measured(comparison, bar.update)
                print("\n".join(rows.lines(made)), flush=True)
                found += [row | known for row in made]
                store.write(out / "bench.csv", store.to_csv(found, rows.COLUMNS))
        missing = {row["subject"] for row in found if row["status"] == "missing"}
    print(out / "bench.csv")
    table = pd.read_csv(out / "bench.csv")
    for kind in ("png", "svg"):
        store.write(out / f"bench.{kind}", style.render(figure.figure(table), kind))
    print(out / "bench.png")
    if missing:
        print(f"harness: {', '.join(sorted(missing))} not installed: {rows.INSTALL}", file=sys.stderr)
    return 0
