"""Files in an object store, through the fsspec file system that speaks its protocol."""

from __future__ import annotations

import hashlib
import itertools
from datetime import UTC, datetime
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Final, cast

from stenopool.errors import MissingExtraError, NotFoundError
from stenopool.model import FileRef
from stenopool.storage.base import Storage, TranslatingReader
from stenopool.storage.paths import check_path, check_prefix, matches
from stenopool.storage.translate import translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from fsspec import AbstractFileSystem

READ_BLOCK_BYTES: Final = 8 << 20
"""How much one request of an open file reads ahead; fsspec's 50 MB would fill small workers."""

_PARTS: Final = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gcs"), "az": ("adlfs", "azure")}
"""The library that speaks each protocol, and the optional part of the package that brings it."""

_MODIFIED: Final = ("updated", "last_modified", "created")


class BucketStorage(Storage):
    """Files below `scheme://bucket/prefix`; what is special about S3 is in `S3Storage`.

    Attributes:
        scheme: the protocol, such as `gs`.
        base: the root without it: `bucket/prefix`.
        options: of the protocol's fsspec file system.

    Raises:
        MissingExtraError: the library of the protocol is not installed.
    """

    options: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.scheme, _, self.base = root.partition("://")
        library, extra = _PARTS.get(self.scheme, ("fsspec", ""))
        if find_spec(library) is None:
            raise MissingExtraError(
                f"{self.scheme}:// needs a part that is not installed; "
                f"run: pip install 'stenopool[{extra}]'"
            )

    @cached_property
    def files(self) -> AbstractFileSystem:
        """The fsspec file system; its login comes from the environment, as the service defines."""
        import fsspec

        with translated(self.root):
            return fsspec.filesystem(self.scheme, use_listings_cache=False, **self.options)

    def list(self, prefix: str = "", patterns: Sequence[str] = ()) -> Iterator[FileRef]:
        """See `Storage.list`."""
        prefix = check_prefix(prefix)
        found = self._below(prefix)
        first = next(found, None)
        if first is None:
            if prefix:
                raise NotFoundError(f"{self.uri(prefix)!r} does not exist: nothing lies there")
            return iter(())
        every = itertools.chain([first], found)
        return (one for one in every if matches(_below(one.path, prefix), patterns))

    def stat(self, path: str) -> FileRef:
        """See `Storage.stat`."""
        with translated(self.uri(path)):
            entry = self.files.info(self._key(path))
        if entry["type"] != "file":
            raise NotFoundError(f"{self.uri(path)!r} is a folder; name a file")
        return _reference(path, entry)

    def open(self, path: str) -> BinaryIO:
        """See `Storage.open`."""
        with translated(self.uri(path)):
            file = self.files.open(self._key(path), "rb", block_size=READ_BLOCK_BYTES)
        if getattr(file, "details", {}).get("type", "file") != "file":
            file.close()
            raise NotFoundError(f"{self.uri(path)!r} is a folder; name a file")
        return cast("BinaryIO", TranslatingReader(file, self.uri(path)))

    def remove(self, path: str) -> None:
        """See `Storage.remove`."""
        self.stat(path)
        with translated(self.uri(path)):
            self.files.rm_file(self._key(path))

    def clear(self) -> None:
        """See `Storage.clear`."""
        for found in self.list():
            with translated(self.uri(found.path)):
                self.files.rm_file(self._key(found.path))

    def _write(self, local: Path, path: str, *, overwrite: bool) -> None:
        # adlfs refuses to replace unless told; the others take no such argument.
        options = {"overwrite": overwrite} if self.scheme == "az" else {}
        with translated(self.uri(path)):
            self.files.put_file(str(local), self._key(path), **options)

    def _read(self, path: str, local: Path) -> None:
        with translated(self.uri(path)):
            self.files.get_file(self._key(path), str(local))
        if local.is_dir():  # what fsspec makes of a folder
            local.rmdir()
            raise NotFoundError(f"{self.uri(path)!r} is a folder; name a file")

    def _key(self, path: str) -> str:
        return f"{self.base}/{check_path(path)}"

    def _below(self, prefix: str) -> Iterator[FileRef]:
        """Yield the file `prefix` itself, where there is one, and those below it."""
        top = f"{self.base}/{prefix}" if prefix else self.base
        with translated(f"{self.scheme}://{top}"):
            try:
                entry = self.files.info(top)
            except FileNotFoundError:
                # A prefix without objects is an empty folder, in a bucket that is there.
                self.files.info(self.base.partition("/")[0])
                return
            if entry["type"] == "file" and prefix:
                yield _reference(prefix, entry)
                return
            for _, _, entries in self.files.walk(top, detail=True, on_error="raise"):
                for name, entry in sorted(entries.items()):
                    if name and not (entry["name"].endswith("/") and not entry["size"]):
                        yield _reference(self._path(entry["name"]), entry)

    def _path(self, name: str) -> str:
        """A file's path below the root, from the name that fsspec gives it."""
        return name.lstrip("/")[len(self.base) + 1 :]


def _below(path: str, prefix: str) -> str:
    """A file's path below the prefix; its name where it is the prefix itself."""
    return path.rpartition("/")[2] if path == prefix else path.removeprefix(f"{prefix}/")


def _reference(path: str, entry: Mapping[str, Any]) -> FileRef:
    """A file from what fsspec says about it; each service has its own words."""
    modified = _moment(next((entry[word] for word in _MODIFIED if word in entry), None))
    etag = entry.get("etag") or entry.get("ETag")
    if not etag:
        etag = hashlib.blake2b(f"{entry['size']} {modified}".encode(), digest_size=16).hexdigest()
    return FileRef(path=path, size_bytes=entry["size"], etag=etag.strip('"'), modified_at=modified)


def _moment(value: datetime | str | float | None) -> datetime | None:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, int | float):
        value = datetime.fromtimestamp(value, UTC)
    return None if value is None else value.astimezone(UTC)
