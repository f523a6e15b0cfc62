"""What every storage can do, and the part of `put` and `get` that all of them share."""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final

from stenopool.errors import AlreadyExistsError, InvalidNameError, NotFoundError, StorageError
from stenopool.storage.paths import check_path, temporary_name
from stenopool.storage.translate import translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from stenopool.model import FileRef

_COMPARE_BYTES: Final = 1 << 20


class Storage(ABC):
    """Files below a root. It holds the root alone, so it can be sent to another process.

    Attributes:
        root: an absolute folder, or a URL without a slash at its end.
    """

    def __init__(self, root: str) -> None:
        self.root = root

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.root!r})"

    def __reduce__(self) -> tuple[type[Storage], tuple[str]]:
        return type(self), (self.root,)

    @abstractmethod
    def list(self, prefix: str = "", patterns: Sequence[str] = ()) -> Iterator[FileRef]:
        """Yield the files below a folder, or one file, sorted within each folder.

        What a listing needs is read while it is consumed: a million files are never held.

        Args:
            prefix: a folder or a file below the root; empty for all.
            patterns: shell wildcards as in `matches`, on the name or on the path below `prefix`.

        Raises:
            NotFoundError: nothing lies at `prefix`, or the root is not there.
            AccessDeniedError: this user may not list a folder.
        """

    @abstractmethod
    def stat(self, path: str) -> FileRef:
        """Return a file's size and etag.

        Raises:
            NotFoundError: no file lies there.
        """

    @abstractmethod
    def open(self, path: str) -> BinaryIO:
        """Open a file for reading; the result can seek.

        Raises:
            NotFoundError: no file lies there.
            AccessDeniedError: this user may not read it.
            InvalidNameError: the path, or a link in it, leaves the root.
            StorageError: the storage failed.
        """

    def read(self, path: str) -> bytes:
        """All bytes of a file, in one request where the storage can; errors as in `open`."""
        with self.open(path) as file:
            return file.read()

    @abstractmethod
    def remove(self, path: str) -> None:
        """Remove a file.

        Raises:
            NotFoundError: no file lies there.
        """

    @abstractmethod
    def clear(self) -> None:
        """Remove every file below the root; a root that is not there is clear."""

    def uri(self, path: str) -> str:
        """Where a file lies, in full."""
        return f"{self.root}/{path}"

    def put(self, local: Path, path: str, *, overwrite: bool = False) -> bool:
        """Copy a local file to `path`; readers see the old file or all of the new one.

        Returns:
            False where the same content was there already and nothing was written.

        Raises:
            AlreadyExistsError: other content is there, and `overwrite` is not set.
            NotFoundError: `local` does not exist.
        """
        check_path(path)
        with translated(str(local)):
            _require_file(local)
        if self._holds(local, path, overwrite=overwrite):
            return False
        try:
            self._write(local, path, overwrite=overwrite)
        except FileExistsError as error:
            # Another process wrote it after the look above.
            if self._holds(local, path, overwrite=overwrite):
                return False
            raise AlreadyExistsError(f"{self.uri(path)!r} exists already") from error
        return True

    def get(self, path: str, local: Path) -> None:
        """Copy a file to the local file `local`, whose folder is made where it is missing.

        Raises:
            NotFoundError: no file lies there.
            StorageError: `local` cannot be written.
        """
        check_path(path)
        with translated(str(local)), placing(local, overwrite=True) as part:
            self._read(path, part)

    def _holds(self, local: Path, path: str, *, overwrite: bool) -> bool:
        """Whether `path` has the content of `local`; other content is an error or replaced."""
        try:
            present = self.stat(path)
        except NotFoundError:
            return False
        with translated(self.uri(path)):
            if local.stat().st_size == present.size_bytes and self._same(local, path):
                return True
        if not overwrite:
            raise AlreadyExistsError(
                f"{self.uri(path)!r} exists already with other content; "
                "overwrite it or choose another name"
            )
        return False

    def _same(self, local: Path, path: str) -> bool:
        """Whether two files of one size have the same bytes."""
        with local.open("rb") as ours, self.open(path) as theirs:
            while chunk := ours.read(_COMPARE_BYTES):
                if theirs.read(len(chunk)) != chunk:
                    return False
        return True

    @abstractmethod
    def _write(self, local: Path, path: str, *, overwrite: bool) -> None:
        """Write `local` to `path`; FileExistsError where it exists and may not be replaced."""

    @abstractmethod
    def _read(self, path: str, local: Path) -> None:
        """Read `path` into the new file `local`."""


def _require_file(local: Path) -> None:
    if local.is_dir():
        raise InvalidNameError(f"{str(local)!r} is a folder, not a file")
    local.stat()


@contextmanager
def placing(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a name beside `target` to write to, and put that file in place when the block ends.

    Raises:
        FileExistsError: `target` exists and may not be overwritten.
        StorageError: its folder is a file.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise StorageError(f"{str(target.parent)!r} lies in a file, not in a folder") from error
    part = target.parent / temporary_name()
    try:
        yield part
        if overwrite:
            part.replace(target)
        else:
            _place_new(part, target)
    finally:
        part.unlink(missing_ok=True)


def _place_new(part: Path, target: Path) -> None:
    """Give `part` a second name, which fails where a file has that name already."""
    try:
        target.hardlink_to(part)
    except FileExistsError:
        raise
    except OSError:
        # Some file systems know no second names; there, a race is lost silently.
        if target.exists():
            raise FileExistsError(target) from None
        part.replace(target)


class TranslatingReader(io.BufferedIOBase):
    """A file of a remote storage whose late errors, while it is read, are ours too."""

    def __init__(self, inner: BinaryIO, uri: str) -> None:
        self._inner = inner
        self._uri = uri

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes; all that is left where it is None or negative."""
        with translated(self._uri):
            return self._inner.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to `offset` bytes from the start, the present place or the end."""
        with translated(self._uri):
            return self._inner.seek(offset, whence)

    def tell(self) -> int:
        """The present place, in bytes from the start."""
        return self._inner.tell()

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._inner.close()
        super().close()
