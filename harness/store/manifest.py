"""What vouches for the files of a run: ``manifest.json`` lists the SHA-256 of each, and has one of its own."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from harness.store import disk
from harness.store.disk import Corrupt
from harness.store.text import LARGE, SMALL, read, to_json, to_object

MANIFEST = "manifest.json"
RECORD, SETTINGS, ROWS, ITEMS, CURVE = "run.json", "config.yaml", "scores.csv", "items.npz", "curve.csv"
FILES = (RECORD, SETTINGS, ROWS, ITEMS, CURVE, "positions.csv", "loops.csv")
ABSENT = "absent"  # in place of the SHA-256 of a file that may not be there yet
FIRST = (ROWS, ITEMS)  # what a manifest without a seal, of format 1, vouches for

Listed = dict[str, list[str]]


def save_files(folder: Path, files: Mapping[str, bytes | str]) -> None:
    """Write some of a run's files, in this order.

    The manifest goes before them. It lists the SHA-256 of the bytes that stand there now beside that of those to come,
    so each file is one of the listed, whenever this ends. Raises Corrupt if what stands there now is not what was
    written.
    """
    new = {name: data.encode() if isinstance(data, str) else data for name, data in files.items()}
    there = [name for name in FILES if (folder / name).exists()]
    first = {name: [disk.sha256(verified(folder, name))] for name in ([] if sealed(folder) else there)}
    listed = _listed(folder) | first
    for name in listed.keys() & set(there):
        listed[name] = [one for one in listed[name] if one != ABSENT]  # no file is taken away
    for name, data in new.items():
        now = [disk.sha256(verified(folder, name)) if name in there else ABSENT]
        listed[name] = list(dict.fromkeys([*now, disk.sha256(data)]))
    disk.write(folder / MANIFEST, to_json(_sealing(listed)))
    for name, data in new.items():
        disk.write(folder / name, data)


def verified(folder: Path, name: str, listed: Listed | None = None) -> bytes:
    """The bytes of a file. Raises Corrupt, naming it, unless the manifest lists them, which may have been read.

    Of a folder whose manifest has no seal yet only the scores and their items have to be listed.
    """
    try:
        for number in range(3):  # a run that is at work may replace them between the two lines
            listed = _listed(folder) if listed is None or number else listed
            data = read(folder / name, LARGE)
            if disk.sha256(data) in listed.get(name, []):
                return data
            if name not in listed and name not in FIRST and not sealed(folder):
                return data
    except FileNotFoundError as error:
        raise Corrupt(f"{error.filename} is missing") from error
    if name in FIRST and not (folder / MANIFEST).exists():
        raise Corrupt(f"{folder / MANIFEST} is missing")
    raise Corrupt(f"{folder / name} does not have the SHA-256 of its {MANIFEST}")


def vouched(folder: Path) -> dict[str, bytes]:
    """name -> the bytes of each file of a run. Raises Corrupt, naming the file, unless all are what was written."""
    listed = _listed(folder)
    there = (name for name in FILES if (folder / name).exists() or _written(name, listed))
    return {name: verified(folder, name, listed) for name in there}


def begun(folder: Path) -> bool:
    """Whether a run has begun: its record is there, or was, as the manifest says or cannot be read to say."""
    try:
        return (folder / RECORD).exists() or _written(RECORD, _listed(folder))
    except OSError:
        return True


def sealed(folder: Path) -> bool:
    """Whether there is a manifest that vouches for every file, and for itself."""
    return _manifest(folder).sealed


def _written(name: str, listed: Listed) -> bool:
    return ABSENT not in listed.get(name, [ABSENT])


def _listed(folder: Path) -> Listed:
    """name -> the SHA-256 that its bytes may have; nothing if there is no manifest."""
    return _manifest(folder).files


class Manifest(NamedTuple):
    """What a manifest says."""

    files: Listed
    sealed: bool


def _manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    return _parsed(path, read(path, SMALL)) if path.exists() else Manifest({}, False)


@lru_cache(maxsize=4096)  # the same is asked for each file, and again by whoever reads the run next
def _parsed(path: Path, data: bytes) -> Manifest:
    found = to_object(path, data)
    whole = "seal" in found
    files, names = found.get("files", found), FILES if whole else FIRST
    if whole and data.decode() != to_json(_sealing(files)):
        raise Corrupt(f"{path} is not what was written")
    files = files if isinstance(files, dict) else {"": None}
    if not (files.keys() <= set(names) and all(isinstance(hashes, list) for hashes in files.values())):
        raise Corrupt(f"{path} is not a manifest")
    return Manifest(files, whole)


def _sealing(listed: Listed) -> dict[str, Listed | str]:
    return {"files": listed, "seal": disk.sha256(to_json(listed).encode())}
