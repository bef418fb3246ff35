"""The rows of a run and their items."""

import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.store.disk import Corrupt
from harness.store.manifest import ITEMS, ROWS, save_files, verified
from harness.store.text import LARGE, Json, to_csv, to_table

MOST = 20_000  # rows of a run


def save_scores(folder: Path, rows: list[Json], columns: Iterable[str], items: Mapping[str, np.ndarray]) -> None:
    """Write ``items.npz`` and then ``scores.csv``: a row never stands there without its items.

    ``items`` maps :func:`item_key` of each row to its (examples,) bool; it is stored as packed bits. Raises Corrupt if
    what stands there now is not what was written.
    """
    buffer = io.BytesIO()
    np.savez(buffer, **{key: np.packbits(right) for key, right in items.items()})
    save_files(folder, {ITEMS: buffer.getvalue(), ROWS: to_csv(rows, columns)})


def to_rows(folder: Path, files: Mapping[str, bytes]) -> list[Json]:
    """The rows among the files of a run, which are vouched for. Raises Corrupt if rows have no items."""
    if ROWS not in files:
        return []
    if ITEMS not in files:
        raise Corrupt(f"{folder / ITEMS} is missing")
    return to_table(folder / ROWS, files[ROWS], MOST)


def load_scores(folder: Path) -> tuple[list[Json], dict[str, np.ndarray]]:
    """The rows of ``scores.csv`` and their items; nothing if there is no such file. Raises Corrupt if it is damaged."""
    if not (folder / ROWS).exists():
        return [], {}
    files = {name: verified(folder, name) for name in (ROWS, ITEMS)}
    rows = to_rows(folder, files)
    if not rows:
        return [], {}
    try:
        with zipfile.ZipFile(io.BytesIO(files[ITEMS])) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGE:
                raise ValueError(f"more than {LARGE} bytes")
        with np.load(io.BytesIO(files[ITEMS]), allow_pickle=False) as stored:
            return rows, {item_key(row): _unpacked(stored[item_key(row)], row["examples"]) for row in rows}
    except Exception as error:  # numpy promises no exception of its own for damaged bytes
        raise Corrupt(f"{folder / ITEMS} cannot be read: {error!r}") from error


def _unpacked(packed: np.ndarray, examples: int) -> np.ndarray:
    if len(packed) != -(-examples // 8):
        raise ValueError(f"{len(packed)} bytes for {examples} items")
    return np.unpackbits(packed, count=examples).astype(bool)


def question(row: Mapping[str, Any]) -> str:
    """What a row is about. How many steps a model takes that stops itself is an answer and no part of it.

    A row of a frame says the same as that of the file: there whole numbers may be floats, and what is empty is NaN.
    """
    steps = _whole(row["steps"]) if row["stop"] == "budget" else "own"
    bits = _whole(row.get("bits_per_number"))
    loops = _whole(row.get("forced_loops"))
    more = {"bits": bits, "loops": loops}
    changed = "".join(f"-{name}{value}" for name, value in more.items() if isinstance(value, int | np.integer))
    return f"{row['split']}-length{_whole(row['length'])}-steps{steps}-{row['stop']}{changed}"


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def item_key(row: Mapping[str, Any]) -> str:
    """What tells the rows of one run apart: the question, and over how many examples it was asked."""
    return f"{question(row)}-examples{_whole(row['examples'])}"


def largest(rows: list[Json]) -> list[Json]:
    """One row for each question: where it was asked over several numbers of examples, the row over the most of them."""
    found: dict[str, Json] = {}
    for row in rows:
        if question(row) not in found or row["examples"] > found[question(row)]["examples"]:
            found[question(row)] = row
    return list(found.values())
