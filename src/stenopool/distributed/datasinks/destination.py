"""Where rows can go, by the text that names it: the rule behind `write` and `--to`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

import ray.exceptions

from stenopool.errors import InvalidNameError, MissingExtraError, StenopoolError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ray.data import Dataset

    from stenopool.distributed.datasinks.folder import FolderDatasink
    from stenopool.distributed.datasinks.postgres import PostgresDatasink
    from stenopool.distributed.datasinks.snowflake import SnowflakeDatasink
    from stenopool.distributed.datasinks.table import TableDatasink

Kind = Literal["table", "folder", "postgresql", "snowflake"]


def kind_of(to: str) -> Kind:
    """What a text names.

    A URL with the scheme `postgresql` (or `postgresql+psycopg`) or `snowflake` is a table there.
    A text with a `/`, one that ends in `.parquet` or `.jsonl`, and a `file://` URL is a folder.
    Anything else is the name of a table in the catalog.

    Raises:
        InvalidNameError: a URL of another scheme.
    """
    scheme, mark, _ = to.partition("://")
    if not mark:
        return "folder" if "/" in to or to.endswith((".parquet", ".jsonl")) else "table"
    known: dict[str, Kind] = {
        "file": "folder",
        "postgresql": "postgresql",
        "postgresql+psycopg": "postgresql",
        "snowflake": "snowflake",
    }
    if scheme.lower() in known:
        return known[scheme.lower()]
    if scheme.lower() in ("s3", "gs", "gcs", "az", "abfs", "abfss"):
        raise InvalidNameError(
            f"a bucket ({scheme}://…) cannot show many files at once, so a write could be seen by "
            "half; name a table of the catalog and set STENOPOOL_WAREHOUSE to the bucket: its "
            "files are Parquet"
        )
    raise InvalidNameError(
        f"rows cannot be written to {scheme}://…; name a table of the catalog, a folder, "
        "postgresql://host/database/table or snowflake://account/database/schema/table"
    )


def write_dataset(dataset: Dataset, to: str, *, overwrite: bool, create_missing: bool) -> int:
    """Write a dataset to a destination, all of its rows or none; gives how many.

    Raises:
        UsageError: see `open_destination`; or the rows do not fit.
        StorageError: the destination failed.
    """
    sink = open_destination(to, overwrite=overwrite, create_missing=create_missing)
    try:
        dataset.write_datasink(sink)
    except Exception as error:
        if (ours := raised_by_us(error)) is None:
            raise
        raise ours from error
    except BaseException:  # Ctrl-C, of which Ray does not tell the datasink
        sink.on_write_failed(RuntimeError("the write was interrupted"))
        raise
    return sink.rows or 0


def raised_by_us(error: BaseException) -> StenopoolError | None:
    """What one of our tasks raised, out of Ray's wrapping; None for any other error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ray.exceptions.RayTaskError) and cause.cause is not cause:
            cause = cause.cause
        elif isinstance(cause, StenopoolError):
            return type(cause)(*cause.args)
        else:
            cause = cause.__cause__
    return None


def open_destination(
    to: str, *, overwrite: bool = False, create_missing: bool = True
) -> TableDatasink | FolderDatasink | PostgresDatasink | SnowflakeDatasink:
    """The datasink for a destination; see `kind_of` for what `to` may be.

    Args:
        to: names it.
        overwrite: whether the rows replace those that are there; otherwise they are added.
        create_missing: whether a table or folder that is missing is made.

    Raises:
        InvalidNameError: the text names nothing that rows can be written to.
        MissingExtraError: a part that this destination needs is not installed.
    """
    kind = kind_of(to)
    if kind == "folder":
        return open_folder(to, overwrite=overwrite, create_missing=create_missing)
    if kind == "postgresql":
        return open_postgres(to, overwrite=overwrite, create_missing=create_missing)
    if kind == "snowflake":
        return open_snowflake(to, overwrite=overwrite, create_missing=create_missing)
    from stenopool.distributed.datasinks.table import TableDatasink

    return TableDatasink(to, auto_create_table=create_missing, override=overwrite)


def open_folder(
    to: str,
    *,
    overwrite: bool = False,
    create_missing: bool = True,
    name: str | None = None,
    holds: Sequence[str] = (),
) -> FolderDatasink:
    """The datasink of a folder: JSON lines where its name ends in `.jsonl`, else Parquet."""
    from stenopool.distributed.datasinks.folder import FolderDatasink

    return FolderDatasink(
        folder_path(to),
        lines=to.rstrip("/").endswith(".jsonl"),
        overwrite=overwrite,
        create_missing=create_missing,
        name=name,
        holds=holds,
    )


def folder_path(to: str) -> str:
    """The path that a folder's text names.

    Raises:
        InvalidNameError: a `file://` URL of another host.
    """
    if "://" not in to:
        return to
    parts = urlsplit(to)
    if parts.netloc not in ("", "localhost"):
        raise InvalidNameError(f"'{to}' names a folder of another host; mount it, and give a path")
    return unquote(parts.path)


def open_postgres(
    to: str, *, overwrite: bool = False, create_missing: bool = True, key: str | None = None
) -> PostgresDatasink:
    """The datasink of a table of PostgreSQL.

    Raises:
        InvalidNameError: the URL names no table.
        MissingExtraError: PostgreSQL's driver is not installed.
    """
    try:
        from stenopool.distributed.datasinks.postgres import PostgresDatasink, read_url
    except ImportError as error:
        raise MissingExtraError(
            "PostgreSQL needs a part that is not installed; run: pip install 'stenopool[postgres]'"
        ) from error
    return PostgresDatasink(
        read_url(to), overwrite=overwrite, create_missing=create_missing, key=key
    )


def open_snowflake(
    to: str, *, overwrite: bool = False, create_missing: bool = True, key: str | None = None
) -> SnowflakeDatasink:
    """The datasink of a table of a Snowflake account.

    Raises:
        InvalidNameError: the URL names no table.
        MissingExtraError: the vendor's connector is not installed.
    """
    try:
        from stenopool.distributed.datasinks.snowflake import SnowflakeDatasink, read_url
    except ImportError as error:
        raise MissingExtraError(
            "a Snowflake account needs a part that is not installed; run: "
            "pip install 'stenopool[snowflake]'"
        ) from error
    return SnowflakeDatasink(
        read_url(to), overwrite=overwrite, create_missing=create_missing, key=key
    )
