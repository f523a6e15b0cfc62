"""Text files of a stage, one row a line."""

from __future__ import annotations

import functools
import io
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Final, cast

import pyarrow as pa

from stenopool.distributed.datasources.base import StageDatasource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stenopool.distributed.datasources.reading import OpenedFile

TEXT_SCHEMA = pa.schema([("text", pa.string())])

_PACKINGS: Final = {
    ".br": "brotli",
    ".bz2": "bz2",
    ".gz": "gzip",
    ".lz4": "lz4",
    ".zst": "zstd",
}

TABLE_CHARACTERS: Final = 4 << 20
"""A table goes on when it holds so many characters; Ray Data joins tables to blocks."""


class SFStageTextDataSource(StageDatasource):
    r"""Text files of a stage: one row a line.

    Columns: `text` (string, without the line's end), and `path` with `include_paths=True`. A line
    ends with `\n`, `\r\n` or `\r`. An empty line is a row with `""`, unless `drop_empty_lines`;
    behind a file's last line end there is no further line. Files whose name ends with `.gz`,
    `.bz2`, `.zst`, `.lz4` or `.br` are unpacked.

    Args:
        *arguments: those of `StageDatasource`.
        encoding: of the files.
        drop_empty_lines: leave out lines of nothing but white space. Ray's `read_text` does so by
            default, its datasource, which scripts know under this name, does not.
        **options: those of `StageDatasource`.
    """

    block_schema: ClassVar[pa.Schema | None] = TEXT_SCHEMA

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401  those of the base class
        encoding: str = "utf-8",
        drop_empty_lines: bool = False,
        **options: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*arguments, **options)
        self._read = functools.partial(
            text_tables, encoding=encoding, drop_empty_lines=drop_empty_lines
        )

    def _tables(self, block_bytes: int) -> Callable[[OpenedFile], Iterator[pa.Table]]:
        return self._read


def text_tables(file: OpenedFile, *, encoding: str, drop_empty_lines: bool) -> Iterator[pa.Table]:
    """The lines of a file, a few megabytes a table.

    Raises:
        StorageError: the file is not in this encoding.
    """
    rows: list[str] = []
    held = 0
    try:
        for line in io.TextIOWrapper(unpacked(file), encoding=encoding):
            text = line.removesuffix("\n")
            if drop_empty_lines and not text.strip():
                continue
            rows.append(text)
            held += len(text) + 1
            if held >= TABLE_CHARACTERS:
                yield pa.table([rows], schema=TEXT_SCHEMA)
                rows, held = [], 0
    except (UnicodeDecodeError, EOFError, pa.ArrowInvalid) as error:
        raise file.unreadable(f"text in {encoding}", error) from error
    if rows:
        yield pa.table([rows], schema=TEXT_SCHEMA)


def unpacked(file: OpenedFile) -> BinaryIO:
    """The file's bytes; unpacked where its name says that it is packed."""
    packing = _PACKINGS.get(PurePosixPath(file.path).suffix.lower())
    if packing is None:
        return file.stream
    return cast("BinaryIO", pa.CompressedInputStream(file.stream, packing))
