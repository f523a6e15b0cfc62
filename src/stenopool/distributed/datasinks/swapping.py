"""Steps of a file system that are seen whole or not at all, and locks that die with their owner."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HERE: Final = -100  # AT_FDCWD of fcntl.h: paths are taken from the working folder
_EXCHANGE: Final = 2  # RENAME_EXCHANGE of linux/fs.h


def exchange(one: Path, other: Path) -> None:
    """Swap two folders of one file system: every reader sees both before or both after.

    Raises:
        OSError: EINVAL, ENOSYS or ENOTSUP where the file system cannot, as NFS.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), str(other))
    if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a lock that lies in a folder, which is made for it and goes when it is empty again."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "lock"
        try:
            file = path.open("w")
        except FileNotFoundError:
            continue  # its last user removed the folder in between
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file, path):
                continue  # the lock that was waited for is gone
            try:
                yield
            finally:
                if os.listdir(folder) == ["lock"]:  # noqa: PTH208  names alone
                    path.unlink()
                    folder.rmdir()
            return


def take(path: Path) -> IO[str]:
    """Make a file and hold its lock until it is closed, or this process ends in whatever way."""
    file = path.open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def is_held(path: Path) -> bool:
    """Whether a process that lives, on any machine, holds the lock of a file."""
    try:
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
