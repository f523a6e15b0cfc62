"""Stenopool turns any number of recordings into a table of transcripts.

The names below are the whole public surface; everything else may change between versions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stenopool.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    CatalogError,
    EngineError,
    InvalidNameError,
    InvalidOptionError,
    MissingExtraError,
    ModelError,
    NotFoundError,
    RecordingError,
    RunFailedError,
    SqlError,
    StenopoolError,
    StorageError,
    UsageError,
)
from stenopool.model import RunRecord, TranscribeOptions
from stenopool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    import duckdb
    from ray.data import Dataset

    from stenopool.model import OptionValues

__all__ = [
    "AccessDeniedError",
    "AlreadyExistsError",
    "CatalogError",
    "EngineError",
    "InvalidNameError",
    "InvalidOptionError",
    "MissingExtraError",
    "ModelError",
    "NotFoundError",
    "RecordingError",
    "RunFailedError",
    "RunRecord",
    "Settings",
    "SqlError",
    "StenopoolError",
    "StorageError",
    "TranscribeOptions",
    "UsageError",
    "__version__",
    "sql",
    "transcribe",
    "write",
]

__version__ = "0.1.0"


def transcribe(
    source: str,
    to: str,
    *,
    patterns: Sequence[str] = (),
    overwrite: bool = False,
    limit: int | None = None,
    live: bool = False,
    **options: Unpack[OptionValues],
) -> RunRecord:
    """Transcribe the recordings of a source into a table, one row a recording.

    What has a row already (same recording, model and options) is not done again, so a call that
    was interrupted is finished by making it again.

    Args:
        source: `@STAGE/path`, a folder, a glob, one file, or a URL (`s3://bucket/prefix`).
        to: the table, as `TABLE`, `SCHEMA.TABLE` or `DATABASE.SCHEMA.TABLE`; made when missing.
        patterns: shell wildcards; a file that matches one of them is taken; none takes all.
        overwrite: transcribe again what has a row, and replace the row.
        limit: at most so many recordings; None for all.
        live: show rows to the table's readers as they come, and not all at once at the end.
        **options: the fields of `TranscribeOptions`, such as `model="demo"`, `language="en"`,
            `languages=("en", "de")`, `hotwords="Stenopool, Iceberg"`.

    Returns:
        What the run did: `recordings` and `failed` (rows), `audio_s` (s), `wall_s` (s), `speed`
        (seconds of audio a second).

    Raises:
        UsageError: source, table, model or option is wrong; nothing was started.
        RunFailedError: the run could not be finished; the same call goes on from there.
    """
    from stenopool.distributed.requesting import Request
    from stenopool.distributed.run import transcribe as run

    request = Request(
        source=source,
        target=to,
        options=TranscribeOptions(**options),
        patterns=tuple(patterns),
        overwrite=overwrite,
        limit=limit,
        live=live,
    )
    return run(request, Settings.from_env())


def sql(statement: str) -> duckdb.DuckDBPyRelation:
    """Run a query over the tables.

    Args:
        statement: a `SELECT`, `SHOW TABLES` or `DESCRIBE TABLE`; names have one to three parts.

    Returns:
        DuckDB's relation: `.df()` for pandas, `.arrow()`, `.fetchall()`, `.columns`.

    Raises:
        SqlError: it is no query, or names a table or column that does not exist.
    """
    from stenopool.catalog import open_catalog
    from stenopool.warehouse import query

    settings = Settings.from_env()
    with open_catalog(settings) as catalog:
        return query(statement, catalog, settings)


def write(
    dataset: Dataset, to: str, *, overwrite: bool = False, create_missing: bool = True
) -> int:
    """Write the rows of a Ray dataset to where people read them: all of them, or none.

    Args:
        dataset: of any source; its tasks write in parallel.
        to: a table of the catalog (`TABLE`, `SCHEMA.TABLE`, `DATABASE.SCHEMA.TABLE`), a folder of
            Parquet files (a text with a `/`), or of JSON lines (one that ends in `.jsonl`),
            `postgresql://host/database/table`, or `snowflake://account/database/schema/table`.
        overwrite: replace the rows that are there; otherwise these are added to them.
        create_missing: make a table or folder that is not there.

    Returns:
        How many rows were written.

    Raises:
        UsageError: the destination is none, is missing, or the rows do not fit its columns.
        StorageError: it cannot be reached or written.
        CatalogError: likewise for a table of the catalog.
    """
    from stenopool.distributed.datasinks.destination import write_dataset

    return write_dataset(dataset, to, overwrite=overwrite, create_missing=create_missing)
