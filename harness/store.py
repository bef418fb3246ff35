"""Run folders: write, save, read back. The only room that writes files.

Every write goes to a temporary name in the same folder, is flushed to the disk and then renamed, so a reader sees the
old bytes or the new ones. Nothing is pickled; everything that is read back is checked.
"""

import csv
import hashlib
import io
import json
import math
import os
import re
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

LARGE = 16 * 2**20  # bytes of a table, or of all items of a run, that are read back
SMALL = 64 * 2**10  # the same of a settings file or a record
DEEPEST = 20  # levels of a settings file
GENERATIONS = 2  # checkpoints kept

NAMES = ("task", "attention", "scratchpad")
NAME = re.compile(r"[\w-]+")  # files are named after these
NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?", re.ASCII)

Json = dict[str, Any]


class Corrupt(OSError):
    """A file is not what was written."""


def write(path: Path, data: bytes | str) -> None:
    """Replace a file durably. Raises OSError, naming path and free space, if the disk does not take it all."""
    data = data.encode() if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            if file.write(data) != len(data):
                raise OSError("short write")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        free = shutil.disk_usage(path.parent).free
        raise OSError(f"{path} cannot be written ({error}): {len(data)} bytes needed, {free} free") from error


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def to_json(value: Any) -> str:
    """Strict JSON, stable in its order: NaN and infinity are refused with ValueError."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"


def from_json(path: Path) -> Json:
    """A JSON object. Raises Corrupt for anything else."""
    try:
        value = json.loads(_text(path, SMALL), parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Corrupt(f"{path} is not a JSON object")
    return value


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"{text} is not a finite number")
    return float(text)


def from_yaml(path: Path) -> Json:
    """Plain settings: mappings, lists, finite numbers, words. Raises Corrupt for tags, aliases and anything else."""
    try:
        text, level = _text(path, SMALL), 0
        for event in yaml.parse(text, yaml.SafeLoader):
            level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None) or level > DEEPEST:
                raise ValueError(f"tags, aliases and more than {DEEPEST} levels are not read")
        value = yaml.safe_load(text)
        to_json(value)  # refuses what is neither number nor word: dates, NaN
    except (TypeError, ValueError, yaml.YAMLError) as error:
        raise Corrupt(f"{path} is not a settings file: {error}") from error
    if not isinstance(value, dict):
        raise Corrupt(f"{path} is not a settings file")
    return value


def to_yaml(settings: Json) -> str:
    """Plain settings as yaml, in their own order."""
    return yaml.safe_dump(_lists(settings), sort_keys=False)


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(part) for key, part in value.items()}
    return [_lists(part) for part in value] if isinstance(value, tuple) else value


def _text(path: Path, largest: int) -> str:
    if path.stat().st_size > largest:
        raise Corrupt(f"{path} is larger than {largest} bytes")
    return path.read_text(encoding="utf-8")


def to_csv(rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> str:
    """Rows as CSV; floats in full precision, None as an empty cell."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def from_csv(path: Path) -> list[Json]:
    """The rows that :func:`to_csv` was given, every value as it was. Raises Corrupt for anything else."""
    try:
        header, *lines = csv.reader(io.StringIO(_text(path, LARGE)), strict=True)
        return [dict(zip(header, map(_cell, line), strict=True)) for line in lines]
    except (ValueError, csv.Error) as error:
        raise Corrupt(f"{path} is not a table: {error}") from error


def _cell(text: str) -> str | float | bool | None:
    if text in ("", "True", "False"):
        return {"": None, "True": True, "False": False}[text]
    if not NUMBER.fullmatch(text):
        return text
    return int(text) if text.lstrip("-").isdigit() else _finite(text)


def run_folder(root: Path, name: str) -> Path:
    """``<root>/runs/<name>``."""
    return root / "runs" / name


def save_checkpoint(folder: Path, update: int, tensors: Mapping[str, Any], facts: Json) -> None:
    """Write ``checkpoint/<update>``: tensors, facts, and last the manifest of their SHA-256 that makes it count.

    The last ``GENERATIONS`` checkpoints stay; what is older goes once the new one is durable.
    """
    from safetensors.torch import save

    target = folder / "checkpoint" / f"{update:08d}"
    parts = {"tensors.safetensors": save(dict(tensors)), "facts.json": to_json(facts | {"update": update}).encode()}
    for name, data in parts.items():
        write(target / name, data)
    write(target / "manifest.json", to_json({name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}))
    oldest = _generations(folder)[:GENERATIONS][-1]
    for old in (folder / "checkpoint").iterdir():
        if old.name < oldest.name:
            shutil.rmtree(old)


def load_checkpoint(folder: Path) -> tuple[dict[str, Any], Json, list[str]] | None:
    """The newest checkpoint that verifies: tensors, facts, and a sentence for each newer one that does not.

    None if there is no checkpoint at all. Raises Corrupt if there are some and none verifies.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    complaints = []
    for generation in _generations(folder):
        try:
            manifest = from_json(generation / "manifest.json")
            parts = {name: (generation / name).read_bytes() for name in ("tensors.safetensors", "facts.json")}
            for name, data in parts.items():
                if manifest.get(name) != hashlib.sha256(data).hexdigest():
                    raise Corrupt(f"{generation / name} does not have the SHA-256 of its manifest")
            facts = from_json(generation / "facts.json")
            if facts.get("update") != int(generation.name):
                raise Corrupt(f"{generation} holds the checkpoint of update {facts.get('update')}")
            return load(parts["tensors.safetensors"]), facts, complaints
        except SafetensorError as error:
            complaints.append(f"{generation / 'tensors.safetensors'}: {error}")
        except OSError as error:
            complaints.append(str(error))
    if complaints:
        raise Corrupt("no checkpoint can be read: " + "; ".join(complaints))
    return None


def _generations(folder: Path) -> list[Path]:
    complete = (folder / "checkpoint").glob("[0-9]" * 8 + "/manifest.json")
    return sorted((manifest.parent for manifest in complete), reverse=True)


def save_scores(folder: Path, rows: list[Json], columns: Iterable[str], items: Mapping[str, np.ndarray]) -> None:
    """``scores.csv`` and, before it, ``items.npz``: a row never stands there without its items.

    ``items`` maps :func:`item_key` of each row to its (examples,) bool; it is stored as packed bits.
    """
    buffer = io.BytesIO()
    np.savez(buffer, **{key: np.packbits(right) for key, right in items.items()})
    write(folder / "items.npz", buffer.getvalue())
    write(folder / "scores.csv", to_csv(rows, columns))


def load_scores(folder: Path) -> tuple[list[Json], dict[str, np.ndarray]]:
    """The rows of ``scores.csv`` and their items; nothing if there is no such file. Raises Corrupt if it is damaged."""
    if not (folder / "scores.csv").exists():
        return [], {}
    rows, path = from_csv(folder / "scores.csv"), folder / "items.npz"
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGE:
                raise ValueError(f"more than {LARGE} bytes")
        with np.load(path, allow_pickle=False) as stored:
            return rows, {item_key(row): _unpacked(stored[item_key(row)], row["examples"]) for row in rows}
    except Exception as error:  # numpy promises no exception of its own for damaged bytes
        raise Corrupt(f"{path} cannot be read: {error!r}") from error


def _unpacked(packed: np.ndarray, examples: int) -> np.ndarray:
    if len(packed) != -(-examples // 8):
        raise ValueError(f"{len(packed)} bytes for {examples} items")
    return np.unpackbits(packed, count=examples).astype(bool)


def item_key(row: Mapping[str, Any]) -> str:
    """What tells the rows of one run apart."""
    return f"{row['split']}-length{row['length']}-steps{row['steps']}-examples{row['examples']}-{row['stop']}"


def _largest(scores: list[Json]) -> list[Json]:
    """One row for each question: where it was asked over several numbers of examples, the row over the most of them."""
    found: dict[tuple, Json] = {}
    for score in scores:
        question = tuple(score[column] for column in ("split", "length", "steps", "stop"))
        if question not in found or score["examples"] > found[question]["examples"]:
            found[question] = score
    return list(found.values())


def read(roots: Iterable[Path]) -> pd.DataFrame:
    """Every run below these results folders as one frame: a row per score, its settings as dotted columns.

    A run without scores is one row with its status and empty measures; a run that lies in several results folders is
    read from the first. Raises Corrupt, naming the file, for a run folder that cannot be read.
    """
    folders = {folder.name: folder for root in reversed(list(roots)) for folder in runs(root)}
    return pd.DataFrame([row for name in sorted(folders) for row in _rows(folders[name])])


def read_run(folder: Path) -> pd.DataFrame:
    """The same for one run folder."""
    return pd.DataFrame(_rows(folder))


def runs(root: Path) -> list[Path]:
    """The run folders of a results folder."""
    return [folder for folder in sorted((root / "runs").glob("*/")) if (folder / "run.json").exists()]


def _rows(folder: Path) -> list[Json]:
    record, settings = from_json(folder / "run.json"), _flat(from_yaml(folder / "config.yaml"))
    scores = from_csv(folder / "scores.csv") if (folder / "scores.csv").exists() else []
    try:
        answers = _largest(scores)
        known = {key: record.get(key) for key in ("run", "recipe", "status", "reason")}
        versions = {f"version.{name}": number for name, number in record["versions"].items()}
        names = {key: settings[f"{key}.name"] for key in NAMES} | {"seed": settings["seed"]}
    except (KeyError, AttributeError) as error:
        raise Corrupt(f"{folder} is not a run's folder: {error!r}") from error
    rows = [settings | versions | names | known | score for score in answers or [{}]]
    for key, name in ((key, row[key]) for row in rows for key in ("run", *NAMES)):
        if not NAME.fullmatch(str(name)):
            raise Corrupt(f"{folder} is not a run's folder: {key}={name!r} is not a name")
    return rows


def _flat(settings: Json, prefix: str = "") -> Json:
    flat = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = tuple(value) if isinstance(value, list) else value
    return flat
