"""What `stage_location`, `database` and `schema` of a datasource name together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stenopool.catalog import open_catalog, resolve_source
from stenopool.catalog.names import qualify, read_parts
from stenopool.errors import InvalidNameError, InvalidOptionError
from stenopool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stenopool.catalog import Source, Stage

_SOURCE_STARTS = ("/", "./", "../", "~")


def find_source(
    location: str,
    *,
    database: str | None = None,
    schema: str | None = None,
    patterns: Sequence[str] = (),
) -> Source:
    """Find what a datasource reads, in the catalog of this process's environment.

    Args:
        location: `@STAGE`, `@STAGE/folder/`, `@SCHEMA.STAGE`, `@DB.SCHEMA."Stage"/file`, each with
            or without `@` and the slash at its end; or a source that is no stage: an absolute or
            `./` folder, or a URL such as `s3://bucket/prefix`.
        database: what a name without a database belongs to; None is the settings' own.
        schema: likewise.
        patterns: shell wildcards as in `storage.matches`.

    Raises:
        NotFoundError: the stage does not exist, or nothing lies at the location.
        InvalidNameError: the location or a name cannot be one.
        InvalidOptionError: a database is given, and neither argument nor location has a schema.
    """
    settings = Settings.from_env()
    text = location.strip()
    if not _is_source(text):
        text = "@" + text.removeprefix("@")
        settings = _placed(settings, read_parts(text[1:])[0], database, schema)
    with open_catalog(settings) as catalog:
        return resolve_source(text, patterns, catalog, settings)


def find_folder(
    location: str, *, database: str | None = None, schema: str | None = None
) -> tuple[Stage, str]:
    """The stage of a location, and the folder in it, which need not exist; "" is the stage itself.

    Raises:
        NotFoundError: the stage does not exist.
        InvalidNameError: the location or a name cannot be one.
        InvalidOptionError: as in `find_source`.
    """
    parts, rest = read_parts(location.strip().removeprefix("@"))
    if rest and not rest.startswith("/"):
        raise InvalidNameError(f"{location!r}: a stage's name is followed by '/' and a path")
    settings = _placed(Settings.from_env(), parts, database, schema)
    name = qualify(parts, location, database=settings.database, schema=settings.schema)
    with open_catalog(settings) as catalog:
        return catalog.stage(name), rest.strip("/")


def _is_source(text: str) -> bool:
    """Whether a location is a folder or URL; a name of a stage is never taken for one."""
    return text.startswith(_SOURCE_STARTS) or ("://" in text and text[:1] not in ("@", '"'))


def _placed(
    settings: Settings, parts: list[str], database: str | None, schema: str | None
) -> Settings:
    """The settings with another database and schema for names that leave them out."""
    if database is not None and schema is None and len(parts) == 1:
        raise InvalidOptionError(
            f"a database ({database!r}) without a schema: give `schema` as well, or neither"
        )
    return replace(
        settings,
        database=settings.database if database is None else _part(database, "database"),
        schema=settings.schema if schema is None else _part(schema, "schema"),
    )


def _part(text: str, what: str) -> str:
    """A name of one part as it is kept: folded, unless it stands in double quotes."""
    parts, rest = read_parts(text.strip())
    if rest or len(parts) != 1:
        raise InvalidNameError(f"{what} {text!r} is no single name; quote it with double quotes")
    return parts[0]
