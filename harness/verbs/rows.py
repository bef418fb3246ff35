"""What verbs that read rows share: which results folders, and which rows of them."""

import argparse
import gc
from collections.abc import Sequence
from pathlib import Path

from harness.nearest import Refusal, refusing, unknown

SELDOM = (500_000, 10, 10)  # rows and figures are many objects: to look for cycles takes a tenth of the time by default


def _folder(text: str) -> Path:
    """A results folder, which there may not be yet."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a file, and results are a folder")
    return path


def add_results(parser: argparse.ArgumentParser) -> None:
    """One results folder."""
    parser.add_argument("--results", type=_folder, default=Path("results"), metavar="DIR", help="results folder")


def add_roots(parser: argparse.ArgumentParser, what: str = "results folder, may be repeated") -> None:
    """Several results folders."""
    parser.add_argument("--results", type=_folder, action="append", metavar="DIR", help=what)


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Several results folders, and conditions on their rows."""
    add_roots(parser)
    some = {"nargs": "+", "action": "extend", "default": []}
    parser.add_argument("--where", **some, metavar="COLUMN=VALUE", help="only these rows")
    parser.add_argument("--allow-mixed", action="store_true", help="take rows of different code versions together")


def roots(arguments: argparse.Namespace) -> list[Path]:
    """The results folders that are named, or the usual one."""
    return arguments.results or [Path("results")]


def selected(arguments: argparse.Namespace, folders: Sequence[Path]):
    """The rows below these folders that meet the conditions. Raises Refusal if there are none."""
    from harness import store

    gc.set_threshold(*SELDOM)
    rows = store.read(folders)
    if rows.empty:
        named = ", ".join(str(folder / "runs") for folder in folders)
        raise Refusal(f"there is no run in {named}: `python -m harness task=NAME` makes one")
    from harness.report.select import select

    with refusing():
        return select(rows, arguments.where)


def run_folder(name: str, results: Path) -> Path:
    """The folder of a run. Raises Refusal with the nearest name if there is none."""
    from harness import store

    folders = {folder.name: folder for folder in store.runs(results)}
    if name not in folders:
        raise unknown("run ", name, folders)
    return folders[name]
