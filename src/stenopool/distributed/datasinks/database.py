"""What PostgreSQL and Snowflake share: a table that is found first, and rows known by a key."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from stenopool.distributed.datasinks.columns import table_schema
from stenopool.distributed.datasinks.parts import PartsDatasink

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    import pyarrow as pa


class DatabaseDatasink(PartsDatasink):
    """A table of a database that commits all rows of a write in one transaction.

    Args:
        overwrite: whether the rows replace those that are there.
        create_missing: whether the table is made where it is missing; its schema must exist.
        key: a column, as the database keeps it, that says which rows are the same. Then rows that
            are there already stay and are not doubled, or, with `overwrite`, those alone are
            replaced.
        add_columns: whether a table that is there is given the columns of the dataset that it
            lacks; rows that are there have NULL in them.
    """

    def __init__(
        self, *, overwrite: bool, create_missing: bool, key: str | None, add_columns: bool
    ) -> None:
        super().__init__()
        self._overwrite = overwrite
        self._create_missing = create_missing
        self._key = key
        self._add_columns = add_columns
        self._connection: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_connection": None}

    def check(self, schema: pa.Schema | None = None) -> None:
        """Check that the table is there or can be made, and takes such rows; changes nothing."""
        with self._connected() as connection:
            columns = self._find(connection)
        if columns is not None and (plain := self._plain(schema)) is not None:
            self._accepted(plain, table_schema(plain, str(self)), columns)

    def keys(self) -> set[str]:
        """What the key's column holds now; empty without a table."""
        with self._connected() as connection:
            if self._find(connection) is None or self._key is None:
                return set()
            return {key for (key,) in self._all_keys(connection, self._key)}

    @abstractmethod
    def _connected(self) -> AbstractContextManager[Any]:
        """A connection for as long as a block lasts; the driver's errors become ours."""

    @abstractmethod
    def _find(self, connection: Any) -> Any:  # noqa: ANN401 - each driver's own
        """The table's columns, None without a table.

        Raises:
            NotFoundError: its schema is missing, or it is, and is not to be made.
        """

    @abstractmethod
    def _accepted(self, schema: pa.Schema, made: pa.Schema, columns: Any) -> pa.Schema:  # noqa: ANN401
        """The columns that rows must fit for a table that is there.

        Args:
            schema: the dataset's columns.
            made: the columns that a table made for them would have.
            columns: what `_find` gave.

        Raises:
            InvalidOptionError: a column is missing or one too many, or does not fit its type.
            AccessDeniedError: columns are to be added, and this user may not.
        """

    @abstractmethod
    def _all_keys(self, connection: Any, key: str) -> Iterable[tuple[str]]:  # noqa: ANN401
        """Each row's value of a column."""
