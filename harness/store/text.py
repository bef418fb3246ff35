"""Text that is read back: strict JSON, plain YAML, CSV that keeps every digit. Each reader raises Corrupt by name."""

import csv
import io
import json
import math
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from harness.store.disk import Corrupt

LARGE = 16 * 2**20  # bytes of a table, or of all items of a run, that are read back
SMALL = 64 * 2**10  # the same of a settings file or a record
WIDEST = 1000  # columns of a table
DEEPEST = 20  # levels of settings, and of anything in JSON
AROUND = (yaml.StreamStartEvent, yaml.StreamEndEvent, yaml.DocumentStartEvent, yaml.DocumentEndEvent)  # no value
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's reads a thousand files in a second
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
NAME = re.compile(r"[\w-]+")  # files are named after these, and no terminal minds them
DIGITS = 19  # of a whole number, as the largest of 64 bits has
NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?", re.ASCII)

Json = dict[str, Any]


def read(path: Path, largest: int) -> bytes:
    """The bytes of a file. Raises Corrupt if there are more than ``largest``, and for a pipe or a device."""
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise Corrupt(f"{path} is not a file")
    if about.st_size > largest:
        raise Corrupt(f"{path} is larger than {largest} bytes")
    return path.read_bytes()


def to_json(value: Any) -> str:
    """Strict JSON, stable in its order: NaN and infinity are refused with ValueError."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"


def from_json(path: Path, largest: int = SMALL) -> Json:
    """A JSON object of at most ``largest`` bytes. Raises Corrupt for anything else."""
    return to_object(path, read(path, largest))


def to_object(path: Path, data: bytes) -> Json:
    """The JSON object that the bytes of a file are. Raises Corrupt, naming the file, for anything else."""
    try:
        value = json.loads(data.decode(), parse_constant=_finite, parse_float=_finite)
        if rb"\ud" in data.lower():  # half of a character is no text
            json.dumps(value, ensure_ascii=False).encode()
        if _deeper(value, DEEPEST):
            raise ValueError(f"more than {DEEPEST} levels are not read")
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Corrupt(f"{path} is not a JSON object")
    return value


def _deeper(value: Any, levels: int) -> bool:
    """Whether lists and mappings lie in each other on more than so many levels."""
    if not isinstance(value, dict | list):
        return False
    parts = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper(part, levels - 1) for part in parts)


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"{text} is not a finite number")
    return float(text)


def from_yaml(path: Path) -> Json:
    """Plain settings: mappings, lists, finite numbers, words. Raises Corrupt for tags, aliases and anything else."""
    return to_settings(path, read(path, SMALL))


def to_settings(path: Path, data: bytes) -> Json:
    """The settings that the bytes of a file are. Raises Corrupt, naming the file, for anything else."""
    try:
        if len(data) > SMALL:
            raise ValueError(f"it is larger than {SMALL} bytes")
        events = yaml.parse(data.decode(), LOADER)
        values = [_value(event, events) for event in events if not isinstance(event, AROUND)]
    except (TypeError, ValueError, yaml.YAMLError) as error:
        raise Corrupt(f"{path} is not a settings file: {error}") from error
    if len(values) != 1 or not isinstance(values[0], dict):
        raise Corrupt(f"{path} is not a settings file")
    return values[0]


def _value(event: yaml.Event, events: Iterator[yaml.Event], levels: int = DEEPEST) -> Any:
    """The value that begins with this event. Raises ValueError for tags, aliases, too many levels, keys but words."""
    if isinstance(event, yaml.AliasEvent) or event.tag:
        raise ValueError("tags and aliases are not read")
    if isinstance(event, yaml.ScalarEvent):
        return _scalar(event.value, event.implicit[0])
    if not levels:
        raise ValueError(f"more than {DEEPEST} levels are not read")
    parts = []
    while not isinstance(part := next(events), yaml.CollectionEndEvent):
        parts.append(_value(part, events, levels - 1))
    if isinstance(event, yaml.SequenceStartEvent):
        return parts
    names, values = parts[::2], parts[1::2]
    if not all(isinstance(name, str) for name in names):
        raise ValueError("a setting is named by a word")
    return dict(zip(names, values, strict=True))


@lru_cache(maxsize=4096)  # of a thousand runs most settings are the same
def _scalar(text: str, bare: bool) -> str | float | bool | None:
    """A word or a number as yaml reads it, without quotes or with them."""
    loader = yaml.SafeLoader("")
    value = loader.construct_object(yaml.ScalarNode(loader.resolve(yaml.ScalarNode, text, (bare, True)), text))
    to_json(value)  # refuses what is neither number nor word: dates, NaN
    return value


def to_yaml(settings: Json) -> str:
    """Plain settings as yaml, in their own order."""
    return yaml.dump(_lists(settings), Dumper=DUMPER, sort_keys=False)


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(part) for key, part in value.items()}
    return [_lists(part) for part in value] if isinstance(value, tuple) else value


def to_csv(rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> str:
    """Rows as CSV; floats in full precision, None as an empty cell."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def from_csv(path: Path, most: int | None = None) -> list[Json]:
    """The rows that :func:`to_csv` was given, every value as it was.

    Raises Corrupt for anything else, and for more than ``most`` rows or more columns than any table has.
    """
    return to_table(path, read(path, LARGE), most)


def to_table(path: Path, data: bytes, most: int | None = None) -> list[Json]:
    """The rows that the bytes of a file are. Raises Corrupt, naming the file, as :func:`from_csv` does."""
    try:
        reader = csv.reader(io.StringIO(data.decode(), newline=""), strict=True)
        header = next(reader, [])
        if not 0 < len(header) <= WIDEST:
            raise ValueError(f"{len(header)} columns, where 1 to {WIDEST} can be")
        lines = list(islice(reader, None if most is None else most + 1))
        if most is not None and len(lines) > most:
            raise ValueError(f"more than {most} rows")
        values = _Values()
        return [dict(zip(header, map(values.__getitem__, line), strict=True)) for line in lines]
    except (ValueError, csv.Error) as error:
        raise Corrupt(f"{path} is not a table: {error}") from error


class _Values(dict[str, "str | float | bool | None"]):
    """Cell -> its value. Most cells of a table stand in it many times."""

    def __missing__(self, text: str) -> str | float | bool | None:
        self[text] = value = _cell(text)
        return value


def _cell(text: str) -> str | float | bool | None:
    if text in ("", "True", "False"):
        return {"": None, "True": True, "False": False}[text]
    if not NUMBER.fullmatch(text):
        return text
    if not text.lstrip("-").isdigit():
        return _finite(text)
    if len(text.lstrip("-")) > DIGITS:
        raise ValueError(f"a whole number of {len(text)} digits")
    return int(text)
