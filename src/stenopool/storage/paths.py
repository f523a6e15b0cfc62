"""The rules for paths inside a storage, and the shell wildcards that choose among them."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from stenopool.errors import InvalidNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

_OWN_TEMPORARY: Final = re.compile(r"\.stenopool-[0-9a-f]{32}\.part")


def temporary_name() -> str:
    """A name for a file that is still being written; listings leave such names out."""
    return f".stenopool-{uuid4().hex}.part"


def is_temporary(name: str) -> bool:
    """Whether `temporary_name` made this name."""
    return _OWN_TEMPORARY.fullmatch(name) is not None


def check_path(path: str) -> str:
    """Return `path` where it may name a file below a root.

    Raises:
        InvalidNameError: it is empty, absolute, climbs with `..`, has a NUL, or is one of the
            names that are kept for files being written.
    """
    if not path:
        raise InvalidNameError("the path of a file is empty")
    if "\0" in path:
        raise InvalidNameError(f"the path {path!r} has a NUL character, which no file name has")
    if path.startswith("/"):
        raise InvalidNameError(f"the path {path!r} is absolute; name it from its stage or folder")
    parts = path.split("/")
    if ".." in parts:
        raise InvalidNameError(f"the path {path!r} leaves its stage; '..' is not allowed")
    if is_temporary(parts[-1]):
        raise InvalidNameError(f"the name {path!r} is kept for files that are being written")
    return path


def check_prefix(prefix: str) -> str:
    """Return `prefix` without slashes at its end; empty stands for the root.

    Raises:
        InvalidNameError: as in `check_path`, for any prefix that is not empty.
    """
    return check_path(prefix).rstrip("/") if prefix else ""


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether a path is chosen by any of the shell wildcards; no pattern chooses every path.

    A pattern without `/` is matched on the file's name, in any folder. One with `/` is matched
    on the whole path: there `*` stays inside a folder and `**` stands for any number of them; a
    `/` in front only ties it to the top. Upper and lower case differ.

    Args:
        path: relative, with `/` between folders.
        patterns: such as `*.flac`, `2024/*.wav`, `/*.mp3` (the top folder only), `**/a?.ogg`.
    """
    return not patterns or any(_matches_one(path, pattern) for pattern in patterns)


def _matches_one(path: str, pattern: str) -> bool:
    parts = path.split("/")
    if "/" not in pattern:
        return fnmatchcase(parts[-1], pattern)
    return _matches_parts(parts, pattern.removeprefix("/").split("/"))


def _matches_parts(parts: list[str], pattern: list[str]) -> bool:
    """Match folder by folder; `reached[i]` says that the first `i` parts fit what was read."""
    reached = [True] + [False] * len(parts)
    for number, piece in enumerate(pattern, start=1):
        if piece == "**":
            # At the end it stands for the files below a folder, and not for the folder itself.
            first = next((i for i, here in enumerate(reached) if here), len(reached))
            first += number == len(pattern)
            reached = [index >= first for index in range(len(reached))]
        else:
            fits = [fnmatchcase(part, piece) for part in parts]
            steps = zip(reached[:-1], fits, strict=True)
            reached = [False, *(before and fit for before, fit in steps)]
    return reached[-1]
