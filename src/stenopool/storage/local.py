"""Files in a local folder, which nothing leaves: neither by `..` nor by a symbolic link."""

from __future__ import annotations

import logging
import os
import shutil
import stat
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from stenopool.errors import InvalidNameError, NotFoundError
from stenopool.model import FileRef
from stenopool.storage.base import Storage, placing
from stenopool.storage.paths import check_path, check_prefix, is_temporary, matches
from stenopool.storage.translate import translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

logger = logging.getLogger(__name__)


class LocalStorage(Storage):
    """A folder of this machine, or of one that is mounted here."""

    def list(self, prefix: str = "", patterns: Sequence[str] = ()) -> Iterator[FileRef]:
        """See `Storage.list`; links to folders are not followed, links to files inside are."""
        prefix = check_prefix(prefix)
        start = self._locate(prefix) if prefix else self.root
        with translated(self.uri(prefix) if prefix else self.root):
            if not stat.S_ISDIR(os.stat(start).st_mode):  # noqa: PTH116  names may not be UTF-8
                return iter([self.stat(prefix)] if matches(Path(prefix).name, patterns) else [])
        return (
            found
            for path in self._walk(start)
            if matches(path, patterns)
            and (found := self._present(f"{prefix}/{path}" if prefix else path)) is not None
        )

    def stat(self, path: str) -> FileRef:
        """See `Storage.stat`."""
        place = self._locate(path)
        with translated(self.uri(path)):
            return self._plain(path, os.stat(place))  # noqa: PTH116

    def open(self, path: str) -> BinaryIO:
        """See `Storage.open`."""
        place = self._locate(path)
        with translated(self.uri(path)):
            # Without O_NONBLOCK a named pipe would block until someone writes to it.
            handle = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                self._plain(path, os.fstat(handle))
            except NotFoundError:
                os.close(handle)
                raise
            return os.fdopen(handle, "rb")

    def remove(self, path: str) -> None:
        """See `Storage.remove`; of a link, the link and not what it points to."""
        folder, _, name = check_path(path).rpartition("/")
        place = Path(self._locate(folder) if folder else self.root) / name
        with translated(self.uri(path)):
            if not place.is_symlink():
                self._plain(path, place.lstat())
            place.unlink()

    def clear(self) -> None:
        """See `Storage.clear`; the folder goes too."""
        with translated(self.root), suppress(FileNotFoundError):
            shutil.rmtree(self.root)

    def _write(self, local: Path, path: str, *, overwrite: bool) -> None:
        place = Path(self._locate(path))
        with translated(self.uri(path)), placing(place, overwrite=overwrite) as part:
            shutil.copyfile(local, part)

    def _read(self, path: str, local: Path) -> None:
        with self.open(path) as source, local.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)

    def _locate(self, path: str) -> str:
        """The real place of a path.

        Raises:
            InvalidNameError: it lies outside of the root.
        """
        top = os.path.realpath(self.root)
        with translated(self.uri(path)):
            place = os.path.realpath(os.path.join(top, check_path(path)))  # noqa: PTH118
        if place != top and not place.startswith(top.rstrip("/") + "/"):
            raise InvalidNameError(f"{self.uri(path)!r} is a link that leaves {self.root!r}")
        return place

    def _plain(self, path: str, status: os.stat_result) -> FileRef:
        """The file that has this status.

        Raises:
            NotFoundError: it is a folder, a pipe, a device.
        """
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise NotFoundError(f"{self.uri(path)!r} is {kind}; name a file")
        return FileRef(
            path=path,
            size_bytes=status.st_size,
            etag=f"{status.st_mtime_ns:x}-{status.st_size:x}",
            modified_at=_moment(status.st_mtime),
        )

    def _walk(self, top: str) -> Iterator[str]:
        """Yield the paths below `top` that are no folders, in the order of a bucket's keys."""
        waiting = [iter(_names(top))]
        folders: list[str] = []
        while waiting:
            name = next(waiting[-1], None)
            if name is None:
                waiting.pop()
                del folders[-1:]
            elif name.endswith("/"):
                folders.append(name)
                waiting.append(iter(_names(os.path.join(top, *folders))))  # noqa: PTH118
            else:
                yield "".join(folders) + name

    def _present(self, path: str) -> FileRef | None:
        """A listed file; None for one that went away since, a device, or a link to elsewhere."""
        try:
            with translated(self.uri(path)):
                status = os.lstat(f"{self.root}/{path}")
            return self.stat(path) if stat.S_ISLNK(status.st_mode) else self._plain(path, status)
        except (InvalidNameError, NotFoundError) as reason:
            logger.warning("left out of the listing: %s", reason)
            return None


def _names(folder: str) -> list[str]:
    """The sorted names in a folder, those of folders with `/` behind; only names are held."""
    with translated(folder), os.scandir(folder) as entries:
        names = [
            entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name
            for entry in entries
            if not is_temporary(entry.name)
        ]
    return sorted(names, key=os.fsencode)


def _moment(timestamp: float) -> datetime | None:
    """The time in UTC; None for one outside the calendar, which a damaged disk may hold."""
    try:
        return datetime.fromtimestamp(timestamp, UTC)
    except (OverflowError, ValueError, OSError):
        return None
