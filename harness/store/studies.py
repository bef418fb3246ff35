"""What was done for a study: the runs of each arm, the tables measured without training, by which command."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.store.disk import Corrupt, write
from harness.store.text import LARGE, NAME, Json, from_csv, from_json, to_csv, to_json

FOLDER = "studies"


def save_study(root: Path, record: Json) -> Path:
    """Write ``<root>/studies/<study>-<size>.json``: ``study``, ``size``, ``words``, ``arms`` (arm -> names of runs)."""
    path = root / FOLDER / f"{record['study']}-{record['size']}.json"
    write(path, to_json(record))
    return path


def save_table(root: Path, study: str, size: str, table: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write a table of a study; its columns are those of its rows, in their order."""
    path = _table(root, study, size, table)
    write(path, to_csv(rows, dict.fromkeys(column for row in rows for column in row)))
    return path


def load_table(root: Path, study: str, size: str, table: str) -> list[Json] | None:
    """The rows of a table, None if there is none. Raises Corrupt if it cannot be read."""
    path = _table(root, study, size, table)
    return from_csv(path) if path.exists() else None


def load_studies(roots: Iterable[Path]) -> list[tuple[Path, Json]]:
    """Every study below these results folders: (its results folder, its record). The first of two with one name counts.

    Raises Corrupt, naming the file, for one that is no study's record.
    """
    found: dict[str, tuple[Path, Json]] = {}
    for root in roots:
        for path in sorted((root / FOLDER).glob("*.json")):
            found.setdefault(path.name, (root, _checked(path)))
    return [found[name] for name in sorted(found)]


def _checked(path: Path) -> Json:
    record = from_json(path, LARGE)  # of thousands of runs, maybe
    arms, named = record.get("arms"), [record.get("study"), record.get("size")]
    listed = isinstance(arms, dict) and all(isinstance(runs, list) for runs in arms.values())
    words = [*named, *(arms or {}), *(run for runs in arms.values() for run in runs)] if listed else [None]
    theory, said = record.get("theory", {}), record.get("words", [])
    tables = list(theory) if isinstance(theory, dict) else [None]
    said = said if isinstance(said, list) else [None]
    good = all(isinstance(word, str) and NAME.fullmatch(word) for word in (*words, *tables))
    if not (good and all(isinstance(word, str) and word.isprintable() for word in said)):
        raise Corrupt(f"{path} is not the record of a study")
    return record


def _table(root: Path, study: str, size: str, table: str) -> Path:
    return root / FOLDER / f"{study}-{size}-{table}.csv"
