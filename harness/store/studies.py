"""What was done for a study: the runs of each arm, the tables measured without training, by which command."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.store.disk import Corrupt, sha256, write
from harness.store.text import LARGE, NAME, Json, read, to_csv, to_json, to_object, to_table

FOLDER = "studies"
KEYS = {"study", "size", "words", "arms", "theory", "tables", "changed", "seal"}


def study_file(root: Path, study: str, size: str) -> Path:
    """``<root>/studies/<study>-<size>.json``."""
    return root / FOLDER / f"{study}-{size}.json"


def save_study(root: Path, record: Json) -> Path:
    """Write the record of a study, with a seal: its own SHA-256.

    ``study``, ``size``, ``words``; ``arms``: arm -> names of runs; ``theory``: what was measured without training ->
    its arguments; ``tables``: the same -> the SHA-256 that :func:`save_table` gave.
    """
    path = study_file(root, record["study"], record["size"])
    write(path, to_json(sealed(record)))
    return path


def save_table(root: Path, study: str, size: str, table: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Write a table of a study; its columns are those of its rows, in their order. Its SHA-256."""
    data = to_csv(rows, dict.fromkeys(column for row in rows for column in row)).encode()
    write(_table(root, study, size, table), data)
    return sha256(data)


def load_table(root: Path, record: Json, table: str) -> list[Json] | None:
    """The rows of a table of a study's record, None if there is none.

    Raises Corrupt if it cannot be read, or is not what was written; the record of an older harness vouches for none.
    """
    path = _table(root, record["study"], record["size"], table)
    if not path.exists():
        return None
    data = read(path, LARGE)
    if "seal" in record and sha256(data) != record.get("tables", {}).get(table):
        raise Corrupt(f"{path} does not have the SHA-256 of its study's record: remove it, and it is measured again")
    return to_table(path, data)


def studies(roots: Iterable[Path]) -> list[Path]:
    """The records of the studies of these results folders, by name; of two with one name the first."""
    found = {path.name: path for root in reversed(list(roots)) for path in (root / FOLDER).glob("*.json")}
    return [found[name] for name in sorted(found)]


def load_study(path: Path) -> Json:
    """What a record says. Raises Corrupt, naming the file, if it is none."""
    data = read(path, LARGE)  # of thousands of runs, maybe
    record = to_object(path, data)
    if "seal" in record and data.decode() != to_json(sealed(record)):
        raise Corrupt(f"{path} is not what was written: remove it, and the study's command writes it again")
    if not _is_record(record) or path.stem != f"{record['study']}-{record['size']}":
        raise Corrupt(f"{path} is not the record of a study")
    return record


def sealed(record: Json) -> Json:
    """A record with the SHA-256 of all the rest of it."""
    rest = {key: value for key, value in record.items() if key != "seal"}
    return rest | {"seal": sha256(to_json(rest).encode())}


def _is_record(record: Json) -> bool:
    arms, theory, tables = (record.get(key, {}) for key in ("arms", "theory", "tables"))
    words = record.get("words", [])
    if not all(isinstance(part, dict) for part in (arms, theory, tables)) or not isinstance(words, list):
        return False
    if "arms" not in record or not all(isinstance(runs, list) for runs in arms.values()):
        return False
    runs = [run for of_arm in arms.values() for run in of_arm]
    names = [record.get("study"), record.get("size"), *arms, *runs, *theory, *tables]
    named = all(isinstance(name, str) and NAME.fullmatch(name) for name in names)
    return named and record.keys() <= KEYS and all(isinstance(word, str) and word.isprintable() for word in words)


def _table(root: Path, study: str, size: str, table: str) -> Path:
    return root / FOLDER / f"{study}-{size}-{table}.csv"
