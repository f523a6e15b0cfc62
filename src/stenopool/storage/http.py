"""One file on a web server, by its address; it can be read, not listed and not written."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NoReturn, cast

from stenopool.errors import InvalidNameError, StorageError
from stenopool.model import FileRef
from stenopool.storage.base import Storage, TranslatingReader
from stenopool.storage.paths import check_path, check_prefix, matches
from stenopool.storage.translate import translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from fsspec import AbstractFileSystem

_IN_MEMORY_BYTES: Final = 64 << 20
"""A server that cannot serve ranges sends a file whole; a longer one goes to a temporary file."""

_IDENTITY: Final = ("ETag", "Content-MD5", "Digest", "Last-Modified")


class HttpStorage(Storage):
    """Files below `https://host/folder`; paths are spelled as in the address, `%20` included."""

    @cached_property
    def files(self) -> AbstractFileSystem:
        """The fsspec file system."""
        import fsspec

        return fsspec.filesystem("http", encoded=True, block_size=8 << 20)

    def list(self, prefix: str = "", patterns: Sequence[str] = ()) -> Iterator[FileRef]:
        """Yield the one file `prefix`; a web server has no listing that one could rely on.

        Raises:
            InvalidNameError: `prefix` is empty.
        """
        if not check_prefix(prefix):
            raise InvalidNameError(f"{self.root!r}: name one file; web servers cannot be listed")
        name = prefix.rpartition("/")[2]
        return iter([self.stat(prefix)] if matches(name, patterns) else [])

    def stat(self, path: str) -> FileRef:
        """See `Storage.stat`; the etag is made of the size where the server gives none."""
        address = self._address(path)
        with _asking(address):
            entry = self.files.info(address)
        if entry.get("size") is None:
            raise StorageError(f"{address!r}: the server does not say how long the file is")
        return FileRef(path=path, size_bytes=entry["size"], etag=_etag(entry))

    def open(self, path: str) -> BinaryIO:
        """See `Storage.open`."""
        address = self._address(path)
        with _asking(address):
            file = self.files.open(address, "rb")
            if not file.seekable():
                file = _spooled(file)
        return cast("BinaryIO", TranslatingReader(file, address))

    def remove(self, path: str) -> NoReturn:
        """Refuse.

        Raises:
            StorageError: always.
        """
        raise StorageError(f"{self.uri(path)!r}: a web address can only be read")

    def clear(self) -> NoReturn:
        """Refuse.

        Raises:
            StorageError: always.
        """
        raise StorageError(f"{self.root!r}: a web address can only be read")

    def _write(self, local: Path, path: str, *, overwrite: bool) -> NoReturn:  # noqa: ARG002
        raise StorageError(f"{self.uri(path)!r}: a web address can only be read")

    def _read(self, path: str, local: Path) -> None:
        address = self._address(path)
        with _asking(address):
            self.files.get_file(address, str(local))

    def _address(self, path: str) -> str:
        return f"{self.root}/{check_path(path)}"


@contextmanager
def _asking(address: str) -> Iterator[None]:
    """Translate errors; fsspec says of every failure, a refusal as well, that nothing is there."""
    with translated(address):
        try:
            yield
        except FileNotFoundError as error:
            raise error.__cause__ or error from None


def _etag(entry: Mapping[str, Any]) -> str:
    found = [str(entry[name]) for name in _IDENTITY if entry.get(name)]
    text = found[0].strip('"') if found else str(entry["size"])
    return text if text.isascii() else hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _spooled(file: BinaryIO) -> BinaryIO:
    """All of a stream, so that one can seek in it."""
    copy = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115  the caller closes it
    with file:
        shutil.copyfileobj(file, copy, 1 << 20)
    copy.seek(0)
    return cast("BinaryIO", copy)
