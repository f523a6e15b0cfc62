"""`stenopool sql` and `stenopool tables`: what the tables say, and which there are."""

from __future__ import annotations

import csv
import sys
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stenopool.cli import console
from stenopool.cli.options import AsJson
from stenopool.cli.values import cell, csv_cell, plain
from stenopool.errors import InvalidOptionError
from stenopool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from duckdb import DuckDBPyRelation

SHOWN_ROWS = 1000
"""Rows that a terminal shows."""

SHOWN_RECORDS = 50
"""Rows that it shows one under another, where their columns do not fit side by side."""

COLUMN_CHARACTERS = 8
"""A table is too wide where each column has less room than this."""


class Form(StrEnum):
    """How rows are printed or written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def sql(
    statement: Annotated[
        str,
        typer.Argument(
            metavar="QUERY", help="A SELECT, SHOW or DESCRIBE; - reads it from standard input."
        ),
    ],
    form: Annotated[
        Form | None,
        typer.Option("--format", help="By default what FILE's ending says, else a table."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the rows there.")
    ] = None,
) -> None:
    """Query the tables with SQL.

    Names have one to three parts: TABLE, SCHEMA.TABLE, DATABASE.SCHEMA.TABLE.
    A terminal shows the first rows. A pipe gets all of them, as tab-separated
    text unless --format says otherwise.
    """
    from stenopool.catalog import open_catalog
    from stenopool.warehouse import query

    chosen = choose_form(form, output)
    settings = Settings.from_env()
    text = sys.stdin.read() if statement == "-" else statement
    with open_catalog(settings) as catalog:
        rows = query(text, catalog, settings)
        if output is None:
            print_rows(rows, chosen)
        else:
            write_rows(rows, chosen, output)


def choose_form(form: Form | None, output: Path | None) -> Form:
    """The form that was asked for, or that the file's ending says.

    Raises:
        InvalidOptionError: the two do not go together, neither says anything, or the file is a
            folder.
    """
    if output is None:
        if form is Form.PARQUET:
            raise InvalidOptionError("Parquet is written to a file; add -o FILE")
        return form or Form.TABLE
    if output.is_dir():
        raise InvalidOptionError(f"{str(output)!r} is a folder; name a file in it")
    ending = output.suffix.lower().removeprefix(".")
    if form is None and ending in (Form.CSV, Form.JSON, Form.PARQUET):
        return Form(ending)
    if form is None or form is Form.TABLE:
        raise InvalidOptionError(
            f"{str(output)!r}: say in which form, with --format csv, json or parquet"
        )
    return form


def print_rows(rows: DuckDBPyRelation, form: Form) -> None:
    """Print rows on standard output."""
    if form is not Form.TABLE:
        write_text(rows, form, sys.stdout)
    elif console.out.is_terminal:
        print_for_person(rows)
    else:
        console.print_row(rows.columns)
        for row in rows.iter_rows():
            console.print_row([csv_cell(value) for value in row])


def print_for_person(rows: DuckDBPyRelation) -> None:
    """Print the first rows: as a table, or one under another where they are too wide for that."""
    wide = len(rows.columns) * COLUMN_CHARACTERS > console.out.width
    limit = SHOWN_RECORDS if wide else SHOWN_ROWS
    found = [[cell(value) for value in row] for row in rows.limit(limit + 1).fetchall()]
    if wide:
        for number, row in enumerate(found[:limit], start=1):
            console.say(f"── row {number:,}")
            console.print_fields(list(zip(rows.columns, row, strict=True)))
    else:
        console.print_table(rows.columns, found[:limit])
    if len(found) > limit:
        console.tell(f"the first {limit:,} rows; for all: -o FILE.csv, .json or .parquet")
    else:
        console.tell(console.plural(len(found), "row"))


def write_text(rows: DuckDBPyRelation, form: Form, stream: TextIO) -> int:
    """Write rows as CSV or JSON, as they come; gives their number."""
    if form is Form.CSV:
        return write_csv(rows, stream)
    return write_json(rows, stream)


def write_csv(rows: DuckDBPyRelation, stream: TextIO) -> int:
    """Write rows as CSV with a header; nested values are JSON, NULL is empty."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(rows.columns)
    count = 0
    for count, row in enumerate(rows.iter_rows(), start=1):  # noqa: B007 - the last is wanted
        writer.writerow([csv_cell(value) for value in row])
    return count


def write_json(rows: DuckDBPyRelation, stream: TextIO) -> int:
    """Write rows as one JSON array of objects, a row a line."""
    columns, count = rows.columns, 0
    for count, row in enumerate(rows.iter_rows(), start=1):
        values = {name: plain(value) for name, value in zip(columns, row, strict=True)}
        stream.write(f"{'[' if count == 1 else ','}\n{console.json_text(values)}")
    stream.write("\n]\n" if count else "[]\n")
    return count


def write_parquet(rows: DuckDBPyRelation, file: Path) -> int:
    """Write rows as Parquet, batch by batch."""
    import pyarrow.parquet

    count = 0
    with (
        rows.to_arrow_reader() as reader,
        pyarrow.parquet.ParquetWriter(file, reader.schema, compression="zstd") as writer,
    ):
        for batch in reader:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def write_rows(rows: DuckDBPyRelation, form: Form, output: Path) -> None:
    """Write rows to a file, which is there whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    from stenopool.storage.translate import translated

    with translated(str(output)), place_of(output) as part:
        if form is Form.PARQUET:
            count = write_parquet(rows, part)
        else:
            with part.open("w", encoding="utf-8", newline="") as stream:
                count = write_text(rows, form, stream)
    console.say(f"{console.plural(count, 'row')} in {console.shown(str(output))}")


@contextmanager
def place_of(output: Path) -> Iterator[Path]:
    """Where to write: a draft beside a file, or a device or pipe itself."""
    from stenopool.storage.base import placing

    if output.exists() and not output.is_file():
        yield output
        return
    with placing(output.resolve(), overwrite=True) as part:
        yield part


def tables(as_json: AsJson = False) -> None:
    """List all tables, with their rows and size."""
    from stenopool.catalog import open_catalog

    with open_catalog(Settings.from_env()) as catalog:
        found = catalog.tables()
    if as_json:
        console.print_json(
            [
                {"name": str(one.name), "rows": one.rows, "size_bytes": one.size_bytes}
                | {"modified_at": one.modified_at}
                for one in found
            ]
        )
    elif found:
        columns = ("table", "rows", "size", "modified (UTC)")
        console.print_table(
            columns,
            [(one.name, one.rows, console.size(one.size_bytes), one.modified_at) for one in found],
        )
    else:
        console.tell("no table yet; `stenopool transcribe SOURCE --to TABLE` makes one")
