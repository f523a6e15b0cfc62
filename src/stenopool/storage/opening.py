"""Finds the storage that a root names: a folder, a bucket or a web server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from stenopool.errors import InvalidNameError
from stenopool.storage.bucket import BucketStorage
from stenopool.storage.http import HttpStorage
from stenopool.storage.local import LocalStorage
from stenopool.storage.s3 import S3Storage

if TYPE_CHECKING:
    from stenopool.storage.base import Storage

_BY_SCHEME: Final[dict[str, type[Storage]]] = {
    "az": BucketStorage,
    "gs": BucketStorage,
    "http": HttpStorage,
    "https": HttpStorage,
    "memory": BucketStorage,  # fsspec's, inside one process: the fake that ships
    "s3": S3Storage,
}


def open_storage(root: str) -> Storage:
    """Return the storage of a root; nothing is read or connected before it is used.

    Args:
        root: an absolute folder, `file:///folder`, `s3://bucket/prefix`, `gs://bucket/prefix`,
            `az://container/prefix`, or `https://host/folder`.

    Raises:
        InvalidNameError: the root is none of these.
        MissingExtraError: the library of a bucket's protocol is not installed.
    """
    if "\0" in root:
        raise InvalidNameError(f"{root!r} has a NUL character, which no folder or URL has")
    scheme, mark, rest = root.partition("://")
    if not mark:
        return LocalStorage(_folder(root))
    if scheme == "file":
        return LocalStorage(_folder(unquote(urlsplit(root).path)))
    if scheme not in _BY_SCHEME:
        raise InvalidNameError(f"{root!r}: '{scheme}://' is not one of {', '.join(_known())}")
    parts = rest.rstrip("/").split("/")
    if not parts[0] or ".." in parts:
        raise InvalidNameError(f"{root!r} names no bucket or host, or climbs with '..'")
    return _BY_SCHEME[scheme](f"{scheme}://{rest.rstrip('/')}")


def _known() -> list[str]:
    return [f"{scheme}://" for scheme in ("file", "s3", "gs", "az", "https")]


def _folder(path: str) -> str:
    if not os.path.isabs(path):  # noqa: PTH117  a root stays the text that it is
        raise InvalidNameError(f"{path!r} is not an absolute folder")
    return os.path.normpath(path)
