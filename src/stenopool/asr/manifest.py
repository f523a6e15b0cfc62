"""Reads a manifest: the file that says what was said in which recording.

CSV, TSV and any other character between columns, JSON lines, or one JSON array; told by what is
in it. The names of its columns are found by what the field calls them.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import sys
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, Literal

from stenopool.asr.matching import tidy
from stenopool.errors import InvalidOptionError, NotFoundError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH_COLUMNS: Final = (
    "path", "file", "filename", "filepath", "audio", "audiopath", "audiofilepath", "audiofile",
    "wav", "recording", "url", "uri",
)  # fmt: skip
TEXT_COLUMNS: Final = (
    "transcript", "text", "sentence", "reference", "transcription", "ref", "referencetext",
)  # fmt: skip
LANGUAGE_COLUMNS: Final = ("language", "lang", "locale")
"""Names of columns as `_plain` gives them: Common Voice, NeMo, Hugging Face and others."""

FIRST_ROWS: Final = 100
"""Of JSON, any of so many rows may have the columns; the first may lack what others have."""

SEPARATORS: Final = ("\t", ";", "|", ",")
"""Between columns; the one that the first line has most of."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What was said in one recording.

    Attributes:
        path: as the manifest has it.
        text: as it was written down; may be empty where nobody speaks.
        language: as the manifest has it, such as `en` or `en-US`; None where it does not say.
        line: of the manifest, from 1.
    """

    path: str
    text: str
    language: str | None
    line: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """The manifest's columns that a user names; None finds one by its usual names."""

    path: str | None = None
    text: str | None = None


def read_manifest(file: Path, columns: Columns | None = None) -> list[Reference]:
    """Read all of a manifest.

    Args:
        file: of this machine.
        columns: those that the user names.

    Raises:
        NotFoundError: the file does not exist.
        StorageError: it cannot be read.
        InvalidOptionError: it is no manifest; the text says which line or column, and what to do.
    """
    text = _text(file)
    name = f"manifest {str(file)!r}"
    if not text.strip():
        raise InvalidOptionError(f"{name} is empty; it needs a header and a line a recording")
    is_json = text.lstrip()[0] in "{["
    rows = _json_rows(text, name) if is_json else _table_rows(text, name)
    references = list(_references(rows, name, columns or Columns()))
    if not references:
        header = "" if is_json else "one line, taken for its header, and "
        raise InvalidOptionError(f"{name} has {header}no recording")
    return _once(references, name)


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"manifest {str(file)!r} does not exist") from error
    except IsADirectoryError as error:
        raise InvalidOptionError(f"{str(file)!r} is a folder; name the manifest in it") from error
    except OSError as error:
        raise StorageError(f"manifest {str(file)!r} cannot be read: {error.strerror}") from error
    # Excel writes "Unicode text" so.
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if not wide and b"\0" in data:
        raise InvalidOptionError(f"{str(file)!r} is no text; a manifest is CSV, TSV or JSON lines")
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidOptionError(
            f"manifest {str(file)!r} is not UTF-8 (line {line}); save it as UTF-8, or convert it: "
            "iconv -f latin1 -t utf-8 OLD > NEW"
        ) from error


def _json_rows(text: str, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of JSON lines, or of one array, with their lines or places."""
    if text.lstrip().startswith("["):
        lines = [(1, text)]
    else:
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    for number, line in lines:
        try:
            value = json.loads(line)
        except ValueError as error:
            raise InvalidOptionError(f"{name}, line {number}: no JSON ({error})") from error
        for place, row in enumerate(value, 1) if isinstance(value, list) else [(number, value)]:
            if not isinstance(row, dict):
                raise InvalidOptionError(f"{name}, line {place}: no JSON object with columns")
            yield place, row


def _table_rows(text: str, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a text with separated columns, with their lines."""
    first = text.strip().split("\n", 2)[:2]
    header = next((line for line in first if not _is_excels(line)), "")
    separator = max(SEPARATORS, key=header.count)
    # Tab-separated texts of the field are not quoted, and what they say may begin with a quote.
    quoting: Literal[0, 3] = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    before = csv.field_size_limit(sys.maxsize)  # a transcript of an hour is longer than a field
    try:
        lines = io.StringIO(text, newline="")
        reader = csv.reader(lines, delimiter=separator, quoting=quoting, strict=True)
        names = [one.strip() for one in _header(reader)]
        twice = next((one for one in names if one and names.count(one) > 1), None)
        if twice is not None:
            raise InvalidOptionError(f"{name} has the column {twice!r} twice; rename one of them")
        number = reader.line_num + 1
        for fields in reader:
            if any(fields):
                yield number, _row(names, fields, f"{name}, line {number}")
            number = reader.line_num + 1
    except csv.Error as error:
        raise InvalidOptionError(
            f"{name}, line {reader.line_num}: {error}; quotes inside a quoted text are "
            "written twice"
        ) from error
    finally:
        csv.field_size_limit(before)


def _is_excels(line: str) -> bool:
    """Whether it is what Excel puts in front of the header: `sep=;`."""
    return line.lower().startswith("sep=")


def _header(reader: Iterator[list[str]]) -> list[str]:
    return next((names for names in reader if any(names) and not _is_excels(names[0])), [])


def _row(names: list[str], fields: list[str], place: str) -> dict[str, Any]:
    if len(fields) != len(names):
        raise InvalidOptionError(
            f"{place} has {len(fields)} columns and the header has {len(names)}; "
            "put a text that holds the separator in quotes"
        )
    return dict(zip(names, fields, strict=True))


def _references(
    rows: Iterator[tuple[int, dict[str, Any]]], name: str, columns: Columns
) -> Iterator[Reference]:
    first = list(islice(rows, FIRST_ROWS))
    if not first:
        return
    there = list(dict.fromkeys(column for _, row in first for column in row))
    path = _column(there, columns.path, PATH_COLUMNS, f"{name} has no column", "path")
    text = _column(there, columns.text, TEXT_COLUMNS, f"{name} has no column", "text")
    language = next((one for one in there if _plain(one) in LANGUAGE_COLUMNS), None)
    for line, row in chain(first, rows):
        values = [_value(row, column, f"{name}, line {line}") for column in (path, text)]
        if not values[0].strip():
            raise InvalidOptionError(f"{name}, line {line}: the column {path!r} is empty")
        spoken = row.get(language) if language else None
        yield Reference(values[0].strip(), values[1], str(spoken) if spoken else None, line)


def _column(
    columns: list[str], wanted: str | None, usual: tuple[str, ...], missing: str, what: str
) -> str:
    """The name of the column that the user named, or that is called as usual.

    Raises:
        InvalidOptionError: there is none.
    """
    there = ", ".join(f"{name!r}" for name in columns)
    if wanted is not None:
        if wanted not in columns:
            raise InvalidOptionError(f"{missing} {wanted!r}; it has {there}")
        return wanted
    known = {_plain(name): name for name in reversed(columns)}
    for name in usual:
        if name in known:
            return known[name]
    raise InvalidOptionError(
        f"{missing} that is called {', '.join(usual[:4])} or the like, but {there}; rename one, "
        f"or name it with `stenopool score --{what}-column`"
    )


def _plain(name: str) -> str:
    """A column's name without case, spaces, hyphens and underscores."""
    return "".join(char for char in name.lower() if char.isalnum())


def _value(row: dict[str, Any], column: str, place: str) -> str:
    """A row's text in a column.

    Raises:
        InvalidOptionError: it has none, or something else.
    """
    value = row.get(column)
    if not isinstance(value, str):
        found = "no value" if value is None else f"no text but {json.dumps(value)[:40]}"
        raise InvalidOptionError(f"{place}: the column {column!r} has {found}")
    return value


def _once(references: list[Reference], name: str) -> list[Reference]:
    """The references without those that say the same again; `./a.wav` is `a.wav`.

    Raises:
        InvalidOptionError: two lines say different things about one recording.
    """
    first: dict[str, Reference] = {}
    for one in references:
        known = first.setdefault(tidy(one.path), one)
        if known.text != one.text:
            raise InvalidOptionError(
                f"{name} has {one.path!r} twice with different texts (lines {known.line} and "
                f"{one.line}); keep one"
            )
    return list(first.values())
