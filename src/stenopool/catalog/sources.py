"""What a run reads: a stage, a folder, one file, a glob or a URL, found before anything starts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stenopool.catalog.names import qualify, read_parts
from stenopool.catalog.places import absolute
from stenopool.errors import InvalidNameError, NotFoundError
from stenopool.storage import matches, open_storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from stenopool.catalog.catalog import Catalog
    from stenopool.model import FileRef
    from stenopool.settings import Settings
    from stenopool.storage import Storage

_WILDCARD: Final = re.compile(r"[*?[]")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Recordings that lie together; it can be sent to another process.

    Attributes:
        name: in full: `@DB.SCHEMA.STAGE`, `/folder`, `s3://bucket/prefix`, `https://host/folder`.
        root: where they lie, for `open_storage`; the paths of its files start there.
        prefix: the folder or file below the root; empty for all.
        patterns: the user's shell wildcards; a file is chosen by any of them.
        glob: the source's own wildcards, which a file must match as well; empty without.
    """

    name: str
    root: str
    prefix: str
    patterns: tuple[str, ...] = ()
    glob: str = ""

    def list(self) -> Iterator[FileRef]:
        """Yield the files that it names, while the listing is read.

        Raises:
            NotFoundError: nothing lies there.
        """
        found = open_storage(self.root).list(self.prefix, (self.glob,) if self.glob else ())
        return (one for one in found if matches(self._below(one.path), self.patterns))

    def uri(self, path: str) -> str:
        """A file's name in full, from its path below the root."""
        return f"{self.name}/{path}"

    def _below(self, path: str) -> str:
        if path == self.prefix:
            return path.rpartition("/")[2]
        return path.removeprefix(f"{self.prefix}/") if self.prefix else path


def resolve_source(
    source: str, patterns: Sequence[str], catalog: Catalog, settings: Settings
) -> Source:
    """Find what a source names, so that a missing one is said before anything starts.

    Args:
        source: `@STAGE/path`, `@DB.SCHEMA.STAGE/path`, a folder, a file, a glob such as
            `calls/**/*.flac`, `s3://bucket/prefix`, `gs://…`, `az://…`, or the `https://` address
            of one file.
        patterns: shell wildcards that choose among the files, as in `storage.matches`.
        catalog: where stages are known.
        settings: what a stage's short name belongs to.

    Raises:
        NotFoundError: the stage, folder, file or bucket does not exist.
        InvalidNameError: the source cannot be one.
        AccessDeniedError: this user may not look there.
    """
    if not source.strip():
        raise InvalidNameError("the source is empty; name a folder, a file, '@STAGE' or a URL")
    chosen = tuple(patterns)
    if source.startswith("@"):
        return _in_stage(source, chosen, catalog, settings)
    scheme, mark, _ = source.partition("://")
    if mark and scheme in ("http", "https"):
        return _at_address(source, chosen)
    if mark and scheme != "file":
        return _in_bucket(source, chosen)
    return _in_folder(source, chosen)


def _in_stage(
    source: str, patterns: tuple[str, ...], catalog: Catalog, settings: Settings
) -> Source:
    parts, rest = read_parts(source[1:])
    if rest and not rest.startswith("/"):
        raise InvalidNameError(
            f"{source!r}: a stage's name is followed by '/' and a path, or nothing"
        )
    name = qualify(parts, source, database=settings.database, schema=settings.schema)
    stage = catalog.stage(name)
    storage = open_storage(stage.root)
    prefix, glob = _split(rest.strip("/"), lambda path: _lies(storage, path))
    _require(storage, prefix, source)
    return _sure(
        Source(name=f"@{name}", root=stage.root, prefix=prefix, patterns=patterns, glob=glob),
        source,
    )


def _in_bucket(url: str, patterns: tuple[str, ...]) -> Source:
    scheme, _, rest = url.partition("://")
    bucket, _, path = rest.partition("/")
    whole = open_storage(f"{scheme}://{bucket}")
    fixed, glob = _split(path.rstrip("/"), lambda key: _lies(whole, key))
    if fixed and not glob and not path.endswith("/") and _is_file(whole, fixed):
        folder, _, name = f"{whole.root}/{fixed}".rpartition("/")
        return Source(name=folder, root=folder, prefix=name, patterns=patterns)
    _require(whole, fixed, url)
    root = f"{whole.root}/{fixed}".rstrip("/")
    return _sure(Source(name=root, root=root, prefix="", patterns=patterns, glob=glob), url)


def _at_address(url: str, patterns: tuple[str, ...]) -> Source:
    place, mark, rest = url.partition("?")  # a signature behind it may have slashes
    root, _, name = place.rpartition("/")
    if not name or root.endswith(":/"):
        raise InvalidNameError(f"{url!r} names no file; web servers cannot be listed")
    name += mark + rest
    open_storage(root).stat(name)
    return Source(name=root, root=root, prefix=name, patterns=patterns)


def _in_folder(source: str, patterns: tuple[str, ...]) -> Source:
    text = open_storage(source).root if source.startswith("file://") else source
    fixed, glob = _split(absolute(text), lambda path: Path(path or "/").exists())
    place = Path(fixed or "/")
    if not place.exists() or (glob and not place.is_dir()):
        raise NotFoundError(f"{source!r} does not exist; name a folder, a file, '@STAGE' or a URL")
    if place.is_dir():
        root = str(place)
        return _sure(Source(name=root, root=root, prefix="", patterns=patterns, glob=glob), source)
    place = place.resolve() if place.is_symlink() else place
    folder = str(place.parent)
    return Source(name=folder, root=folder, prefix=place.name, patterns=patterns)


def _split(path: str, exists: Callable[[str], bool]) -> tuple[str, str]:
    """Divide a path before its first wildcard; a name with `[` in it that exists is no wildcard."""
    parts = path.split("/")
    for index, part in enumerate(parts):
        if _WILDCARD.search(part) and not exists("/".join(parts[: index + 1])):
            return "/".join(parts[:index]), "/" + "/".join(parts[index:])
    return path, ""


def _sure(found: Source, typed: str) -> Source:
    """Check that a glob matches something, as a shell would."""
    if found.glob and next(found.list(), None) is None:
        raise NotFoundError(f"no file matches {typed!r}")
    return found


def _require(storage: Storage, prefix: str, typed: str) -> None:
    """Check that something lies at `prefix`; a stage or bucket itself may be empty."""
    try:
        storage.list(prefix)
    except NotFoundError as error:
        raise NotFoundError(f"{typed!r} does not exist: nothing lies there") from error


def _lies(storage: Storage, path: str) -> bool:
    """Whether a file or folder lies at `path`."""
    try:
        storage.list(path)
    except NotFoundError:
        return False
    return True


def _is_file(storage: Storage, path: str) -> bool:
    try:
        storage.stat(path)
    except NotFoundError:
        return False
    return True
