"""Where rows can go, by the text that names it: the rule behind `write` and `--to`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from stenopool.catalog import parse_name
from stenopool.errors import InvalidNameError

if TYPE_CHECKING:
    from stenopool.catalog import ObjectName
    from stenopool.distributed.delivering import Delivery
    from stenopool.settings import Settings

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


def delivery_to(to: str, settings: Settings, *, overwrite: bool) -> Delivery | None:
    """The delivery of a run to a destination that takes it; None for a table of the catalog.

    Raises:
        UsageError: it names nothing that rows can go to, or is not as it must be.
        StorageError: it cannot be reached.
    """
    if kind_of(to) == "table":
        return None
    # Ray Data takes seconds to import, and a run into a table may need none of it.
    from stenopool.distributed.delivering import Delivery

    delivery = Delivery(to, settings)
    delivery.check(overwrite=overwrite)
    return delivery


def table_of(to: str, delivery: Delivery | None, settings: Settings) -> ObjectName:
    """The table of the catalog that a run into a destination writes."""
    if delivery is not None:
        return delivery.table
    return parse_name(to, database=settings.database, schema=settings.schema)
