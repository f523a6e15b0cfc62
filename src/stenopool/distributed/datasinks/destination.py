"""The datasink for each destination, and a whole write into one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ray.exceptions

from stenopool.distributed.addressing import folder_path, kind_of
from stenopool.errors import MissingExtraError, StenopoolError

if TYPE_CHECKING:
    from collections.abc import Collection

    from ray.data import Dataset

    from stenopool.distributed.datasinks.folder import FolderDatasink
    from stenopool.distributed.datasinks.postgres import PostgresDatasink
    from stenopool.distributed.datasinks.snowflake import SnowflakeDatasink
    from stenopool.distributed.datasinks.table import TableDatasink


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
    expected: Collection[str] | None = None,
    add_columns: bool = False,
) -> FolderDatasink:
    """The datasink of a folder: JSON lines where its name ends in `.jsonl`, else Parquet."""
    from stenopool.distributed.datasinks.folder import FolderDatasink

    return FolderDatasink(
        folder_path(to),
        lines=to.rstrip("/").endswith(".jsonl"),
        overwrite=overwrite,
        create_missing=create_missing,
        expected=expected,
        add_columns=add_columns,
    )


def open_postgres(
    to: str,
    *,
    overwrite: bool = False,
    create_missing: bool = True,
    key: str | None = None,
    add_columns: bool = False,
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
        read_url(to),
        overwrite=overwrite,
        create_missing=create_missing,
        key=key,
        add_columns=add_columns,
    )


def open_snowflake(
    to: str,
    *,
    overwrite: bool = False,
    create_missing: bool = True,
    key: str | None = None,
    add_columns: bool = False,
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
        read_url(to),
        overwrite=overwrite,
        create_missing=create_missing,
        key=key,
        add_columns=add_columns,
    )
