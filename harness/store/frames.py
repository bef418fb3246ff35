"""Run folders as one frame: a row per score."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from harness.nearest import printable
from harness.store.disk import Corrupt
from harness.store.manifest import CURVE, RECORD, SETTINGS, begun, verified, vouched
from harness.store.records import to_record
from harness.store.scores import largest, to_rows
from harness.store.text import NAME, Json, to_settings, to_table

NAMES = ("task", "attention", "scratchpad")
WORDS = {  # columns of scores that hold words, the others hold numbers
    *("run", "task", "attention", "scratchpad", "trace", "objective", "weights", "position", "mask"),
    *("dtype", "split", "stop"),
}  # fmt: skip
KNOWN = ("recipe", "status", "reason", "loss", "loss_floor")  # of a run's record


def run_folder(root: Path, name: str) -> Path:
    """``<root>/runs/<name>``."""
    return root / "runs" / name


def runs(root: Path) -> list[Path]:
    """The run folders of a results folder."""
    return [folder for folder in sorted((root / "runs").glob("*/")) if begun(folder)]


def folders(roots: Iterable[Path]) -> dict[str, Path]:
    """name -> folder of every run below these results folders; of one that lies in several of them, the first."""
    return {folder.name: folder for root in reversed(list(roots)) for folder in runs(root)}


def read(roots: Iterable[Path]) -> pd.DataFrame:
    """Every run below these results folders; one that lies in several of them is read from the first."""
    found = folders(roots)
    return read_folders(found[name] for name in sorted(found))


def read_folders(folders: Iterable[Path]) -> pd.DataFrame:
    """These runs as one frame: a row per score, settings as dotted columns.

    A run without scores is one row with its status and empty measures; so is one that cannot be read, with the status
    CORRUPT and the reason, which names the file.
    """
    return _frame(folders, _scores)


def read_run(folder: Path) -> pd.DataFrame:
    """The same for one run folder. Raises Corrupt, naming the file, if it cannot be read."""
    files, about = _about(folder)
    return pd.DataFrame(_scores(folder, about, files))


def read_curves(folders: Iterable[Path]) -> pd.DataFrame:
    """The same of their training: a row for each logged update, none of a run that logged nothing."""
    return _frame(folders, _curve)


def _frame(folders: Iterable[Path], part: Callable[[Path, Json, Mapping[str, bytes]], list[Json]]) -> pd.DataFrame:
    rows: list[Json] = []
    for folder in folders:
        about = {"run": "".join(letter if NAME.fullmatch(letter) else "_" for letter in folder.name)}
        try:
            files, about = _about(folder)
            rows += part(folder, about, files)
        except OSError as error:
            rows.append(about | {"status": "CORRUPT", "reason": str(error)})
    return pd.DataFrame(rows)


def _about(folder: Path) -> tuple[dict[str, bytes], Json]:
    """The files of a run, vouched for, and what is the same in every row: settings, versions, status."""
    files = vouched(folder)
    record, settings = (files.get(name) or verified(folder, name) for name in (RECORD, SETTINGS))  # or it is missing
    record, settings = to_record(folder, record), _flat(to_settings(folder / SETTINGS, settings))
    try:
        known = {"run": record["run"]} | {key: record.get(key) for key in KNOWN}
        versions = {f"version.{name}": number for name, number in record["versions"].items()}
        names = {key: settings[f"{key}.name"] for key in NAMES} | {"seed": settings["seed"]}
    except (KeyError, AttributeError) as error:
        raise Corrupt(f"{folder} is not a run's folder: {error!r}") from error
    if known["reason"] is not None:
        known["reason"] = printable(known["reason"])
    about = settings | versions | names | known
    _require_names(folder, about)
    for key, value in about.items():
        parts = value if isinstance(value, tuple) else (value,)
        if not all(_plain(part) for part in parts) or (value is None and key in ("recipe", "status")):
            raise Corrupt(f"{folder} is not a run's folder: {printable(key)}={printable(value)[:80]}")
    return files, about


def _plain(value: Any) -> bool:
    """Whether a value is a number that fits, a word that shows, or nothing."""
    if isinstance(value, str):
        return value.isprintable()
    return value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)


def _scores(folder: Path, about: Json, files: Mapping[str, bytes]) -> list[Json]:
    """A row for each question, or one without measures."""
    try:
        rows = [about | score for score in largest(to_rows(folder, files)) or [{}]]
    except (KeyError, TypeError) as error:
        raise Corrupt(f"{folder / 'scores.csv'} is not a table of scores: {error!r}") from error
    numbers = rows[0].keys() - about.keys() - WORDS  # the columns of all are the same
    for row in rows:
        _require_names(folder, row)
        if odd := [key for key in numbers if isinstance(row[key], str)]:
            raise Corrupt(f"{folder / 'scores.csv'} has a word where a number has to be: {printable(odd[0])}")
        if row["run"] != about["run"]:
            raise Corrupt(f"{folder / 'scores.csv'} holds rows of another run")
    return rows


def _curve(folder: Path, about: Json, files: Mapping[str, bytes]) -> list[Json]:
    """A row for each logged update."""
    return [about | row for row in (to_table(folder / CURVE, files[CURVE]) if CURVE in files else [])]


def _require_names(folder: Path, row: Json) -> None:
    for key in ("run", *NAMES):
        if not NAME.fullmatch(str(row[key])):
            raise Corrupt(f"{folder} is not a run's folder: {key}={row[key]!r} is not a name")


def _flat(settings: Json, prefix: str = "") -> Json:
    flat = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = _told(value) if isinstance(value, list) else value
    return flat


def _told(values: list) -> tuple | str:
    """A list as a value that can be compared; one of named choices (the layers of a hybrid) in words."""
    if not any(isinstance(value, dict) for value in values):
        return tuple(values)
    words = []
    for value in values:
        settings = ",".join(f"{key}={setting}" for key, setting in value.items() if key != "name")
        words.append(f"{value.get('name')}({settings})" if settings else str(value.get("name")))
    return "+".join(words)
