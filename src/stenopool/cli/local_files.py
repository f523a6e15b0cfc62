"""Files on this machine: those that `put` is given, and where others may be written."""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stenopool.errors import InvalidNameError, InvalidOptionError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_WILDCARD: Final = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of this machine, and the name that it takes elsewhere.

    Attributes:
        path: where it lies.
        name: with `/` between folders; relative.
    """

    path: Path
    name: str


def find_local(arguments: Iterable[str], *, recursive: bool) -> list[LocalFile]:
    """Find the files that files, folders and globs name, so that a wrong one is said first.

    A file takes its own name. With `recursive`, a file of a folder takes its path below that
    folder, one of a glob its path below the part without wildcards.

    Raises:
        NotFoundError: nothing has that name, or matches that glob.
        InvalidOptionError: a folder without `recursive`, or two files that take one name.
    """
    found: dict[str, LocalFile] = {}
    for argument in arguments:
        for file in _find(argument, recursive=recursive):
            other = found.setdefault(file.name, file)
            if other.path != file.path:
                raise InvalidOptionError(_taken_twice(other, file, recursive=recursive))
    return list(found.values())


def _find(argument: str, *, recursive: bool) -> Iterator[LocalFile]:
    if not argument:
        raise InvalidNameError("the name of a file is empty")
    place = Path(os.path.expanduser(argument))  # noqa: PTH111 - an unknown ~user stays a name
    if place.is_dir():
        if not recursive:
            raise InvalidOptionError(
                f"{argument!r} is a folder; add --recursive to take all that is in it"
            )
        return _below(place)
    if os.path.lexists(place):
        return iter([LocalFile(place, place.name)])
    if _WILDCARD.search(argument):
        return _matching(place, argument, recursive=recursive)
    raise NotFoundError(f"{argument!r} does not exist; name a file, a folder or a glob")


def _below(folder: Path) -> Iterator[LocalFile]:
    """The files of a folder; links to folders are not followed, since they may lead around."""
    for where, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(where, name)
            yield LocalFile(path, path.relative_to(folder).as_posix())


def _matching(place: Path, argument: str, *, recursive: bool) -> Iterator[LocalFile]:
    fixed, pattern = _split(place)
    # As a shell does it: unlike Path.glob, this leaves hidden files out.
    matched = sorted(glob.glob(pattern, root_dir=fixed, recursive=True))  # noqa: PTH207
    names = [name for name in matched if not (fixed / name).is_dir()]
    if not names:
        hint = "only folders match" if matched else "no file matches"
        raise NotFoundError(f"{hint} {argument!r}; a folder is named without wildcards")
    for name in names:
        yield LocalFile(fixed / name, name if recursive else Path(name).name)


def _split(place: Path) -> tuple[Path, str]:
    """Divide a glob before its first wildcard; a name with `[` in it that exists is no wildcard."""
    fixed = Path(place.anchor)
    parts = place.parts[1:] if place.anchor else place.parts
    for index, part in enumerate(parts):
        if _WILDCARD.search(part) and not (fixed / part).exists():
            return fixed, "/".join(parts[index:])
        fixed /= part
    return fixed.parent, glob.escape(fixed.name)


def _taken_twice(one: LocalFile, two: LocalFile, *, recursive: bool) -> str:
    step = "put them into two folders" if recursive else "add --recursive to keep their folders"
    return f"both '{one.path}' and '{two.path}' would become {one.name!r}; {step}"


def place_inside(folder: Path, name: str) -> Path:
    """Where a file of that relative name lies below a folder.

    Raises:
        InvalidNameError: it would lie outside, by `..`, by a leading `/` or by a link.
    """
    parts = name.split("/")
    if not name or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise InvalidNameError(f"{name!r} is no path inside of a folder")
    place = folder.joinpath(*parts)
    top = folder.resolve()
    if not place.parent.resolve().is_relative_to(top):
        raise InvalidNameError(f"{str(place)!r} leaves '{folder}' through a link")
    return place
