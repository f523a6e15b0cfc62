"""Runs a query of the dialect over the catalog's tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

from stenopool.catalog import ObjectName
from stenopool.errors import InvalidNameError, NotFoundError, SqlError
from stenopool.warehouse import duck
from stenopool.warehouse.nested import colon_to_field, flatten_to_unnest
from stenopool.warehouse.scan import readable
from stenopool.warehouse.show import SHOWN, show
from stenopool.warehouse.statement import (
    folded,
    keep_typed_names,
    read_statement,
    tables_of,
    to_duckdb,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

    from stenopool.catalog import Catalog
    from stenopool.settings import Settings


def query(statement: str, catalog: Catalog, settings: Settings) -> DuckDBPyRelation:
    """Run one SELECT, SHOW or DESCRIBE and hold its rows.

    Tables are named with one, two or three parts; a part without quotes folds to upper case.
    Each table is read as it is when the query starts. Column names match in any case.

    Args:
        statement: in the dialect; one, with or without a semicolon.
        catalog: whose tables it sees.
        settings: what a table's short name belongs to.

    Returns:
        DuckDB's relation over the rows, for `.fetchall()`, `.df()`, `.arrow()`, `.columns`; times
        with a zone are in UTC.

    Raises:
        SqlError: it cannot be read, is no query, or names a table or column that is not there.
        StorageError: a table's files cannot be read.
    """
    try:
        return _answer(statement, catalog, settings)
    except RecursionError as error:
        # The parser goes a few dozen calls deeper for every parenthesis.
        raise SqlError(
            "the query is nested too deeply to be read; take out parentheses, "
            "or name its inner parts with WITH"
        ) from error


def _answer(statement: str, catalog: Catalog, settings: Settings) -> DuckDBPyRelation:
    parsed = read_statement(statement)
    if isinstance(parsed, exp.Show):
        rows, text = show(parsed, catalog)
        return _run({SHOWN: rows}, text, settings)
    if isinstance(parsed, exp.Describe):
        return _describe(parsed, catalog, settings)
    keep_typed_names(parsed)
    flatten_to_unnest(parsed)
    sources = _take_tables(parsed, catalog, settings)
    colon_to_field(parsed, _text_columns(sources))
    return _run(sources, to_duckdb(parsed), settings)


def _run(sources: dict[str, Any], text: str, settings: Settings) -> DuckDBPyRelation:
    connection = duck.locked_connection(sources, settings.home / "tmp")
    columns = list(dict.fromkeys(name for one in sources.values() for name in one.schema.names))
    return duck.run(connection, text, columns)


def _text_columns(sources: dict[str, Any]) -> set[str]:
    import pyarrow.types as kinds

    return {
        field.name.lower()
        for source in sources.values()
        for field in source.schema
        if kinds.is_string(field.type) or kinds.is_large_string(field.type)
    }


def _take_tables(parsed: exp.Query, catalog: Catalog, settings: Settings) -> dict[str, Any]:
    """Read the tables that a query names, and let it name what was read.

    Returns:
        the tables' rows by the names that now stand in the query.
    """
    places = list(tables_of(parsed))
    names = {id(place): _name(place, settings) for place in places}
    ours = {name: f"stenopool_{index}" for index, name in enumerate(dict.fromkeys(names.values()))}
    sources = {ours[name]: _rows(name, catalog) for name in ours}
    _shorten_columns(parsed, places)
    for place in places:
        _rename(place, ours[names[id(place)]])
    return sources


def _name(table: exp.Table, settings: Settings) -> ObjectName:
    parts = [table.args.get("catalog"), table.args.get("db"), table.this]
    database, schema, name = map(folded, parts)
    try:
        return ObjectName(database or settings.database, schema or settings.schema, name)
    except InvalidNameError as error:
        raise SqlError(f"no table can be called that: {error}") from error


def _rows(name: ObjectName, catalog: Catalog) -> Any:  # noqa: ANN401  of Arrow, untyped
    try:
        return readable(catalog.table(name))
    except NotFoundError as error:
        raise SqlError(str(error)) from error


def _shorten_columns(parsed: exp.Query, places: list[exp.Table]) -> None:
    """`DB.SCHEMA.T.column` becomes `T.column`; a field of a struct keeps its parts."""
    known = {
        tuple(folded(place.args.get(part)) for part in ("catalog", "db", "this"))
        for place in places
        if place.args.get("db")
    }
    for column in parsed.find_all(exp.Column):
        if tuple(folded(column.args.get(part)) for part in ("catalog", "db", "table")) in known:
            column.set("catalog", None)
            column.set("db", None)


def _rename(table: exp.Table, name: str) -> None:
    """Read from `name`, and keep being called by the alias or by the name that was typed."""
    if table.args.get("alias") is None:
        table.set("alias", exp.TableAlias(this=table.this.copy()))
    table.set("this", exp.to_identifier(name))
    table.set("db", None)
    table.set("catalog", None)


def _describe(parsed: exp.Describe, catalog: Catalog, settings: Settings) -> DuckDBPyRelation:
    """The columns of a table, with the types that queries see."""
    import pyarrow as pa

    if not isinstance(parsed.this, exp.Table):
        raise SqlError("DESCRIBE takes a table here: DESCRIBE TABLE DB.SCHEMA.T")
    (table,) = tables_of(exp.select("*").from_(parsed.this.copy()))
    columns = _rows(_name(table, settings), catalog).schema
    empty = {SHOWN: columns.empty_table()}
    typed = _run(empty, f"SELECT * FROM {SHOWN}", settings)  # noqa: S608  a constant
    rows = pa.table(
        {
            "name": pa.array(columns.names, pa.string()),
            "type": pa.array([str(kind) for kind in typed.types], pa.string()),
            "nullable": pa.array([columns.field(name).nullable for name in columns.names]),
        }
    )
    return _run({SHOWN: rows}, f"SELECT * FROM {SHOWN}", settings)  # noqa: S608  a constant
