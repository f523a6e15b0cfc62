"""SHOW and DESCRIBE: what the catalog holds, as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlglot import exp

from stenopool.errors import SqlError
from stenopool.warehouse.statement import folded

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from stenopool.catalog import Catalog, ObjectName

SHOWN: Final = "shown"
"""The name under which the rows are registered."""

_REFUSED: Final = ("from_", "from", "history", "privileges", "starts_with", "limit")


def show(statement: exp.Show, catalog: Catalog) -> tuple[pa.Table, str]:
    """The rows that a SHOW lists, and the query that chooses among them by its LIKE.

    Raises:
        SqlError: it lists something else, or has a clause that is not supported.
    """
    what = str(statement.this).upper()
    if what not in _ROWS:
        raise SqlError(f"SHOW {what} is not supported; there are {', '.join(sorted(_ROWS))}")
    if any(statement.args.get(clause) for clause in _REFUSED):
        raise SqlError("SHOW takes only LIKE '…' and IN DATABASE … or IN SCHEMA … here")
    rows = _in_scope(_ROWS[what](catalog), statement, catalog)
    chosen = exp.select("*").from_(SHOWN)
    if (pattern := statement.args.get("like")) is not None:
        chosen = chosen.where(exp.ILike(this=exp.column("name"), expression=pattern))
    return rows, chosen.sql("duckdb")


def _tables(catalog: Catalog) -> pa.Table:
    import pyarrow as pa

    found = catalog.tables()
    return pa.table(
        _names([one.name for one in found])
        | {
            "rows": pa.array([one.rows for one in found], pa.int64()),
            "bytes": pa.array([one.size_bytes for one in found], pa.int64()),
            "modified_at": _times([one.modified_at for one in found]),
        }
    )


def _stages(catalog: Catalog) -> pa.Table:
    import pyarrow as pa

    found = catalog.stages()
    return pa.table(
        _names([one.name for one in found])
        | {
            "url": pa.array([one.url for one in found], pa.string()),
            "comment": pa.array([one.comment for one in found], pa.string()),
            "created_at": _times([one.created_at for one in found]),
        }
    )


def _schemas(catalog: Catalog) -> pa.Table:
    import pyarrow as pa

    found = [(schema, name) for name in catalog.databases() for schema in catalog.schemas(name)]
    return pa.table(
        {
            "name": pa.array([schema for schema, _ in found], pa.string()),
            "database_name": pa.array([database for _, database in found], pa.string()),
        }
    )


def _databases(catalog: Catalog) -> pa.Table:
    import pyarrow as pa

    return pa.table({"name": pa.array(catalog.databases(), pa.string())})


_ROWS: Final[dict[str, Callable[[Catalog], pa.Table]]] = {
    "DATABASES": _databases,
    "SCHEMAS": _schemas,
    "STAGES": _stages,
    "TABLES": _tables,
}


def _names(names: list[ObjectName]) -> dict[str, Any]:
    import pyarrow as pa

    return {
        "name": pa.array([name.name for name in names], pa.string()),
        "database_name": pa.array([name.database for name in names], pa.string()),
        "schema_name": pa.array([name.schema for name in names], pa.string()),
    }


def _times(times: list[Any]) -> pa.Array:
    import pyarrow as pa

    return pa.array(times, pa.timestamp("us", "UTC"))


def _in_scope(rows: pa.Table, statement: exp.Show, catalog: Catalog) -> pa.Table:
    """The rows in the database or schema that the statement names."""
    import pyarrow.compute as pc

    scope = statement.args.get("scope")
    if not isinstance(scope, exp.Table):
        return rows
    parts = [part for part in map(folded, (scope.args.get("db"), scope.this)) if part]
    if statement.args.get("scope_kind") == "SCHEMA" and len(parts) == 1:
        parts = [catalog.settings.database, *parts]
    for column, part in zip(("database_name", "schema_name"), parts, strict=False):
        if column not in rows.column_names:
            raise SqlError(f"SHOW {statement.this} takes no such IN")
        rows = rows.filter(pc.equal(rows[column], part))
    return rows
