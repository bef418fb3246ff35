"""``run.json``, what is known of a run, and which runs a sweep has."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from harness.store.disk import Corrupt, sha256, write
from harness.store.manifest import MANIFEST, RECORD, SETTINGS, begun, save_files, sealed, verified
from harness.store.text import LARGE, NAME, Json, from_json, to_json, to_object, to_settings, to_yaml

FORMAT = 2  # of a run's folder; in 1, which a record without a number has, no manifest vouched for all of it
SWEEPS = "sweeps"
LOG = "log.txt"  # in a run's folder: what its processes said, whenever they ended


class Sweep(NamedTuple):
    """The runs of one command, whether they have begun or not."""

    name: str
    runs: tuple[str, ...]


def load_record(folder: Path) -> Json:
    """What is known of a run, nothing if it never began.

    Raises Corrupt if that cannot be read, or was written by a harness that keeps its folders otherwise.
    """
    return to_record(folder, verified(folder, RECORD)) if begun(folder) else {}


def to_record(folder: Path, data: bytes) -> Json:
    """What these bytes say of the run of a folder, as :func:`load_record` does."""
    path = folder / RECORD
    record = to_object(path, data)
    its = record.get("format", 1)
    if its not in (1, FORMAT):
        newer = f"was written by a newer harness (format {its!r}, this one reads up to {FORMAT})"
        raise Corrupt(f"{path} {newer}: update this one")
    if its == FORMAT and not sealed(folder):
        raise Corrupt(f"{folder / MANIFEST} does not vouch for {RECORD}")
    if not isinstance(record.get("fingerprint", {}), dict):
        raise Corrupt(f"{path} is not a run's record: its fingerprint is no mapping")
    return record


def load_settings(folder: Path) -> Json:
    """``config.yaml``. Raises Corrupt if it is not what was written."""
    return to_settings(folder / SETTINGS, verified(folder, SETTINGS))


def settings_text(folder: Path) -> str:
    """``config.yaml`` as it stands. Raises Corrupt if it is not what was written."""
    return verified(folder, SETTINGS).decode()


def save_settings(folder: Path, settings: Json) -> None:
    """Write ``config.yaml``. Raises Corrupt if what stands there is not what was written."""
    save_files(folder, {SETTINGS: to_yaml(settings)})


def save_record(folder: Path, record: Json) -> None:
    """Write ``run.json``. Raises Corrupt if what stands there is not what was written."""
    save_files(folder, {RECORD: to_json(record | {"format": FORMAT})})


def save_sweep(root: Path, runs: Iterable[str]) -> None:
    """Note the runs of a sweep; nothing is written if they are noted already, and can be read."""
    names = sorted(set(runs))
    path = root / SWEEPS / f"{sha256(' '.join(names).encode())[:8]}.json"
    try:
        load_sweep(path)
    except OSError:
        write(path, to_json({"runs": names}))


def sweeps(root: Path) -> list[Path]:
    """The records of the sweeps of a results folder, the first noted first."""
    return sorted((root / SWEEPS).glob("*.json"), key=lambda path: (path.lstat().st_mtime, path.name))


def load_sweep(path: Path) -> Sweep:
    """What a record says. Raises Corrupt, naming the file, if it is none."""
    names = from_json(path, LARGE).get("runs")
    named = isinstance(names, list) and all(isinstance(name, str) and NAME.fullmatch(name) for name in names)
    if not (named and NAME.fullmatch(path.stem)):
        raise Corrupt(f"{path} is not the record of a sweep")
    return Sweep(path.stem, tuple(names))
