"""A DuckDB that can reach what it is given and nothing else."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from stenopool.errors import SqlError, StorageError
from stenopool.warehouse.scan import ParquetFiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from duckdb import DuckDBPyConnection, DuckDBPyRelation, Expression
    from duckdb.sqltypes import DuckDBPyType

_FUNCTIONS: Final = frozenset({"generate_series", "range", "unnest"})
"""The table functions that make rows of their arguments alone."""

_READ_AHEAD_BYTES: Final = 4 << 20

_UNKNOWN_COLUMN: Final = re.compile(
    r'Referenced column "(?P<plain>.+?)" not found'
    r'|does not have a column named "(?P<of>.+?)"'
    r'|Column "(?P<alias>.+?)" referenced that exists in the SELECT clause'
)


def locked_connection(sources: Mapping[str, Any], spill: Path) -> DuckDBPyConnection:
    """Connect to an empty database in memory that reads these sources and nothing else.

    Args:
        sources: `ParquetFiles` and Arrow tables, by the name that queries use.
        spill: the folder where a query that outgrows the memory may put its own pages.

    Raises:
        StorageError: a source's files cannot be read.
    """
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"},
    )
    files = [
        path for one in sources.values() if isinstance(one, ParquetFiles) for path in one.paths
    ]
    with _translated([]):
        for scheme in {path.partition("://")[0] for path in files if "://" in path}:
            connection.register_filesystem(_bucket_files(scheme))
        for name, source in sources.items():
            _offer(connection, name, source)
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET python_enable_replacements = false")
        connection.execute("SET temp_directory = ?", [str(spill)])
        connection.execute("SET allowed_paths = ?", [files])
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
    return connection


def _bucket_files(scheme: str) -> Any:  # noqa: ANN401  fsspec is untyped
    """The file system of a bucket; DuckDB asks for ranges, so that little is read ahead."""
    import fsspec

    options = {"default_block_size": _READ_AHEAD_BYTES} if scheme == "s3" else {}
    return fsspec.filesystem(scheme, use_listings_cache=False, **options)


def _offer(connection: DuckDBPyConnection, name: str, source: Any) -> None:  # noqa: ANN401
    from duckdb import ColumnExpression

    if not isinstance(source, ParquetFiles):
        connection.register(name, source)
        return
    files = connection.read_parquet(source.paths, union_by_name=source.grown)
    if source.grown:
        kinds = connection.from_arrow(source.schema.empty_table()).types
        files = files.select(*_as_wide(source.schema.names, kinds, files.columns))
    columns = [ColumnExpression(column) for column in source.schema.names]
    files.select(*columns).create_view(name)


def _as_wide(names: list[str], kinds: list[DuckDBPyType], there: list[str]) -> Iterator[Expression]:
    """Each column in its type, which may be wider than in any file; NULL where none has it."""
    from duckdb import ColumnExpression, ConstantExpression

    for name, kind in zip(names, kinds, strict=True):
        value = ColumnExpression(name) if name in there else ConstantExpression(None)
        yield value.cast(kind).alias(name)


def run(connection: DuckDBPyConnection, statement: str, columns: list[str]) -> DuckDBPyRelation:
    """Run a query and hold its rows.

    Args:
        connection: as `locked_connection` made it.
        statement: in DuckDB's dialect.
        columns: of all tables that it reads, for the hint after a wrong one.

    Raises:
        SqlError: it names what is not there, reads what it may not, or fails on a value.
        StorageError: a table's files cannot be read.
    """
    with _translated(columns):
        _check(connection, statement)
        return connection.sql(statement).materialize()


def _check(connection: DuckDBPyConnection, statement: str) -> None:
    """Check what DuckDB itself understands: one query, over registered names, no other source."""
    (text,) = connection.execute("SELECT json_serialize_sql(?)", [statement]).fetchall()[0]
    parsed = json.loads(text)
    if parsed["error"]:
        raise SqlError(f"the query cannot be run: {parsed['error_message']}")
    if len(parsed["statements"]) != 1:
        raise SqlError("there are several statements; run them one by one")
    for node in _nodes(parsed["statements"]):
        kind = node.get("type")
        if kind == "TABLE_FUNCTION" and node["function"]["function_name"] not in _FUNCTIONS:
            name = node["function"]["function_name"]
            raise SqlError(f"the function {name!r} is not allowed; a query reads tables only")
        if kind == "BASE_TABLE" and (node["schema_name"] or node["catalog_name"]):
            raise SqlError(f"{node['schema_name']}.{node['table_name']} is no table of the catalog")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401  JSON
    """Yield every object in a JSON document."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
        waiting.extend(node.values() if isinstance(node, dict) else node)
        waiting = [one for one in waiting if isinstance(one, dict | list)]


@contextmanager
def _translated(columns: list[str]) -> Iterator[None]:
    import duckdb

    try:
        yield
    except duckdb.OperationalError as error:
        raise StorageError(f"the query's data could not be read: {_first_words(error)}") from error
    except duckdb.Error as error:
        raise SqlError(_unknown_column(str(error), columns) or _first_words(error)) from error


def _unknown_column(text: str, columns: list[str]) -> str | None:
    """What to say of a column that does not exist, with the nearest that do."""
    match = _UNKNOWN_COLUMN.search(text)
    if match is None:
        return None
    name = next(filter(None, match.groups()))
    known = {column.lower(): column for column in columns}
    close = [known[key] for key in get_close_matches(name.lower(), known, n=3)]
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(columns)}"
    return f"column {name!r} does not exist; {hint}"


def _first_words(error: Exception) -> str:
    """DuckDB's message without the quotation of the query, on one line."""
    return " ".join(str(error).partition("\n\nLINE ")[0].split())
