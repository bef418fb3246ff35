"""Every change that the package makes to a disk.

A file is written under a temporary name in the same folder, flushed to the disk and then renamed, so a reader sees the
old bytes or the new ones, whenever the writer dies.
"""

import errno
import hashlib
import os
import secrets
import shutil
import tempfile
from pathlib import Path


class Corrupt(OSError):
    """A file is not what was written."""


def write(path: Path, data: bytes | str) -> None:
    """Replace a file durably. Raises OSError, naming path and free space, if the disk does not take it all."""
    data = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:  # never what stands there, be it a link
            if file.write(data) != len(data):
                raise OSError("short write")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        if temporary.exists():  # not so if its folder could not be made
            temporary.unlink()
        raise _unwritten(path, error, len(data)) from error


def figures(root: Path) -> Path:
    """``<root>/figures``. Raises OSError if that is a link: what is drawn stays in the results folder."""
    path = root / "figures"
    if path.is_symlink():
        raise OSError(f"{path} is a link, and figures are not drawn elsewhere: remove it")
    return path


def append(path: Path, text: str) -> None:
    """Add a text to the end of a file, whoever else adds to it. Raises OSError, as :func:`write` does."""
    data = text.encode()
    handle = opened(path, len(data))
    try:
        if os.write(handle, data) != len(data):
            raise OSError("short write")
        os.fsync(handle)
    except OSError as error:
        raise _unwritten(path, error, len(data)) from error
    finally:
        os.close(handle)


def opened(path: Path, needed: int = 0) -> int:
    """A descriptor of a file, for what is written to go to its end. Whoever asks for it closes it.

    Raises OSError, as :func:`write` does; ``needed`` is how many bytes are to be written, if that is known.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    except OSError as error:
        raise _unwritten(path, error, needed) from error


def scratch() -> tempfile.TemporaryDirectory:
    """A folder that is gone once its context is left."""
    return tempfile.TemporaryDirectory(prefix="harness-")


def _unwritten(path: Path, error: OSError, needed: int) -> OSError:
    there = next(folder for folder in path.absolute().parents if folder.is_dir())
    free = shutil.disk_usage(there).free
    return OSError(f"{path} cannot be written ({error}): {needed} bytes needed, {free} free")


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(data: bytes) -> str:
    """In hexadecimal digits: what tells the bytes that were written from any others."""
    return hashlib.sha256(data).hexdigest()


def move(folder: Path, name: Path) -> bool:
    """Give a folder another name in one step. False if a folder with something in it has that name."""
    try:
        folder.rename(name)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def touch(path: Path) -> None:
    """Say that a file is still meant. Raises FileNotFoundError, rather than make it anew, if it is gone."""
    os.utime(path)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_empty(folder: Path) -> None:
    """Remove a folder unless there is something in it."""
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise
