"""Where the bytes of stages and tables lie: folders and prefixes made from any names."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from stenopool.catalog.names import ObjectName

_MAX_FOLDER_CHARACTERS: Final = 120
"""Below the 255 bytes that file systems allow, with room for what others append."""


def place_of(top: str, name: ObjectName) -> str:
    """The folder or prefix below `top` that belongs to a name alone.

    Args:
        top: a folder, also a relative one, or a URL.
        name: any; different names get different places.
    """
    parts = (name.database, name.schema, name.name)
    return "/".join([absolute(top), *map(_folder, parts)])


def absolute(top: str) -> str:
    """A folder as an absolute path; a URL as it is; both without a slash at the end."""
    if "://" not in top:
        top = os.path.abspath(os.path.expanduser(top))  # noqa: PTH100, PTH111  text in, text out
    return top.rstrip("/") or "/"


def _folder(part: str) -> str:
    """A part of a name with only letters, digits, `_`, `-` and `~XX` for all else."""
    text = quote(part, safe="").replace("~", "%7E").replace("%", "~")
    if len(text) <= _MAX_FOLDER_CHARACTERS:
        return text
    digest = hashlib.blake2b(part.encode(), digest_size=16).hexdigest()
    return f"{text[: _MAX_FOLDER_CHARACTERS - 36]}~~{digest}"
