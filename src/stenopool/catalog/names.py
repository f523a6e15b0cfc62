"""Names of tables and stages, read and written as the SQL dialect does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from stenopool.errors import InvalidNameError

MAX_PART_CHARACTERS: Final = 127
"""Longest part of a name: PyIceberg keeps `DATABASE.SCHEMA` in 255 characters."""

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_FOLDED: Final = re.compile(r"[A-Z_][A-Z0-9_$]*")
_QUOTED: Final = re.compile(r'"((?:[^"]|"")*)"')


@dataclass(frozen=True, order=True)
class ObjectName:
    """The full name of a table or stage, each part as it is kept: folded, without quotes.

    Raises:
        InvalidNameError: a part is empty, too long, or has a character that no name has.
    """

    database: str
    schema: str
    name: str

    def __post_init__(self) -> None:
        for part in (self.database, self.schema, self.name):
            check_part(part)

    def __str__(self) -> str:
        return ".".join(quoted(part) for part in (self.database, self.schema, self.name))


def parse_name(text: str, *, database: str, schema: str) -> ObjectName:
    """Read a name of one, two or three parts: `T`, `SCHEMA.T`, `DB.SCHEMA.T`.

    A part without quotes folds to upper case; one in double quotes is kept as it is, `""` in it
    stands for one quote.

    Args:
        text: the name as typed.
        database: what a name of one or two parts belongs to, as it is kept.
        schema: what a name of one part belongs to, as it is kept.

    Raises:
        InvalidNameError: the text is no name.
    """
    parts, rest = read_parts(text.strip())
    if rest:
        raise InvalidNameError(_unreadable(text))
    return qualify(parts, text, database=database, schema=schema)


def qualify(parts: list[str], text: str, *, database: str, schema: str) -> ObjectName:
    """Complete the parts of a name that was typed as `text`.

    Raises:
        InvalidNameError: there are more than three.
    """
    if len(parts) > 3:
        raise InvalidNameError(f"the name {text!r} has {len(parts)} parts; three are the most")
    return ObjectName(*[database, schema][: 3 - len(parts)], *parts)


def read_parts(text: str) -> tuple[list[str], str]:
    """Read parts of a name from the start of `text`; give them and what follows.

    Raises:
        InvalidNameError: the text does not start with a name, or a part is none.
    """
    parts: list[str] = []
    rest = text
    while True:
        if match := _QUOTED.match(rest):
            part = match[1].replace('""', '"')
        elif match := _PLAIN.match(rest):
            part = match[0].upper()
        else:
            raise InvalidNameError(_unreadable(text))
        parts.append(check_part(part))
        rest = rest[match.end() :]
        if not rest.startswith("."):
            return parts, rest
        rest = rest[1:]


def quoted(part: str) -> str:
    """A part of a name as it is typed, with double quotes where it needs them."""
    if _FOLDED.fullmatch(part):
        return part
    escaped = part.replace('"', '""')
    return f'"{escaped}"'


def check_part(part: str) -> str:
    """Return a part of a name where it may be one.

    Raises:
        InvalidNameError: it is empty or too long, or has a dot, a NUL or half a character.
    """
    if not part:
        raise InvalidNameError("a name, or a part of one, is empty")
    if len(part) > MAX_PART_CHARACTERS:
        raise InvalidNameError(
            f"the name {part[:20]!r}… has {len(part)} characters; "
            f"{MAX_PART_CHARACTERS} are the most"
        )
    if "." in part or "\0" in part:
        raise InvalidNameError(
            f"the name {part!r} has a dot or a NUL in it, which no name may have"
        )
    if any("\ud800" <= character <= "\udfff" for character in part):
        raise InvalidNameError(f"the name {part!r} is not valid Unicode")
    return part


def _unreadable(text: str) -> str:
    return (
        f"{text!r} is no name: write letters, digits, '_' and '$' with dots between the parts, "
        'or put a part in "double quotes"'
    )
