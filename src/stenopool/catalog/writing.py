"""One write into a table: files of its own, one commit, and nothing left when it fails.

A write's files lie in a folder of their own. What the commit does not name is removed: files of
tasks that ran twice after a success, all of them after a failure. A process that is killed cannot
do that, so each write leaves a note, and the next write into the table clears up after the dead.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import psutil

from stenopool.catalog import tables
from stenopool.catalog.places import place_of
from stenopool.errors import AlreadyExistsError, CatalogError, NotFoundError, StenopoolError
from stenopool.storage import open_storage

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table, Transaction
    from pyiceberg.table.metadata import TableMetadata

    from stenopool.catalog.catalog import Catalog
    from stenopool.catalog.names import ObjectName
    from stenopool.storage import Storage

WRITE_PROPERTY: Final = "stenopool.write-id"
"""The snapshot property that names the write behind a commit."""

COMMIT_TRIES: Final = 5
"""A commit that meets another one is made anew so often."""

FORGOTTEN_AFTER: Final = timedelta(days=1)
"""A write of another machine, whose processes cannot be seen from here, is dead by then."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """What a write leaves for others while it goes on.

    Attributes:
        write_id: names the write.
        data: the folder of its files.
        host: where its driver runs.
        pid: of the driver.
        process_started: when that process began (seconds since 1970).
        started_at: when the write began, ISO 8601.
    """

    write_id: str
    data: str
    host: str
    pid: int
    process_started: float
    started_at: str

    def is_alive(self) -> bool:
        """Whether its driver may still be at work."""
        if self.host != socket.gethostname():
            return datetime.now(UTC) - datetime.fromisoformat(self.started_at) < FORGOTTEN_AFTER
        try:
            return psutil.Process(self.pid).create_time() == self.process_started
        except psutil.NoSuchProcess:
            return False


class TableWrite:
    """A write that has begun; end it with `commit` or `abandon`.

    Args:
        catalog: where the table is, or will be.
        name: the table.
        schema: of a table that is made with the commit; None for one that exists.

    Raises:
        NotFoundError: the table does not exist, and no schema is given.
    """

    def __init__(self, catalog: Catalog, name: ObjectName, schema: pa.Schema | None) -> None:
        self._catalog = catalog
        self._name = name
        self._create: Transaction | None = None
        self.write_id = uuid4().hex
        try:
            self._table: Table = catalog.table(name)
        except NotFoundError:
            if schema is None:
                raise
            self._table, self._create = catalog.begin_table(name, schema)
        self._data = f"{self._table.location()}/data/write-{self.write_id}"
        self._notes = open_storage(f"{place_of(catalog.settings.warehouse, name)}-writes")
        self._sweep()
        self._leave_note()

    @property
    def metadata(self) -> TableMetadata:
        """What a worker needs to write files: the table's metadata, with this write's folder."""
        metadata = self._create.table_metadata if self._create else self._table.metadata
        properties = {**metadata.properties, "write.data.path": self._data}
        return metadata.model_copy(update={"properties": properties})

    @property
    def io(self) -> FileIO:
        """The table's storage."""
        return self._table.io

    @property
    def schema(self) -> pa.Schema:
        """The table's columns as Arrow, without field numbers."""
        return tables.arrow_schema(self.metadata)

    def commit(self, files: Sequence[DataFile], *, override: bool) -> int | None:
        """Show the rows of these files to the table's readers, in one commit.

        Args:
            files: what workers wrote for this write.
            override: whether the rows that were there give way.

        Returns:
            The number of the table's snapshot; None where nothing changed.

        Raises:
            CatalogError: another write came between, again and again.
            AlreadyExistsError: another write made the table meanwhile.
        """
        snapshot_id = (
            self._commit_new(files) if self._create else self._commit(files, override=override)
        )
        self._clear({file.file_path for file in files})
        return snapshot_id

    def abandon(self) -> None:
        """Remove what was written; the table stays as it was."""
        self._clear(set())

    def _commit_new(self, files: Sequence[DataFile]) -> int | None:
        from pyiceberg.exceptions import CommitFailedException, TableAlreadyExistsError

        change = self._create
        assert change is not None  # noqa: S101 - the caller asked
        self._append(change, files)
        try:
            with tables.committing(self._catalog.iceberg, self._name):
                change.commit_transaction()
        except (CommitFailedException, TableAlreadyExistsError, StenopoolError) as error:
            if not self._is_committed():
                raise AlreadyExistsError(
                    f"table {self._name} could not be made: another write made it meanwhile, or "
                    f"the catalog failed ({error}); nothing was written, write again"
                ) from error
        return self._newest()

    def _commit(self, files: Sequence[DataFile], *, override: bool) -> int | None:
        from pyiceberg.exceptions import CommitFailedException, ValidationException

        if not files and not override:
            return self._newest()
        for _ in range(COMMIT_TRIES):
            try:
                with tables.committing(self._catalog.iceberg, self._name):
                    self._try(files, override=override)
                return self._newest()
            except (CommitFailedException, ValidationException, StenopoolError) as error:
                # The catalog may have taken it before the connection broke.
                if self._is_committed():
                    return self._newest()
                if isinstance(error, StenopoolError):
                    raise
        raise CatalogError(
            f"table {self._name} was changed by others {COMMIT_TRIES} times while this write "
            "tried to commit; nothing was written, write again"
        )

    def _try(self, files: Sequence[DataFile], *, override: bool) -> None:
        from pyiceberg.expressions import AlwaysTrue

        self._table = self._catalog.table(self._name)
        with self._table.transaction() as change:
            if override and self._table.current_snapshot() is not None:
                change.delete(AlwaysTrue(), {WRITE_PROPERTY: self.write_id})
            self._append(change, files)

    def _append(self, change: Transaction, files: Sequence[DataFile]) -> None:
        properties = {WRITE_PROPERTY: self.write_id}
        update = change.update_snapshot(snapshot_properties=properties)
        with update.fast_append() as append:
            for file in files:
                append.append_data_file(file)

    def _newest(self) -> int | None:
        snapshot = self._catalog.table(self._name).current_snapshot()
        return None if snapshot is None else snapshot.snapshot_id

    def _is_committed(self) -> bool:
        """Whether the catalog took the commit, even if its answer was lost."""
        return self.write_id in self._committed_writes()

    def _clear(self, kept: set[str]) -> None:
        """Remove this write's files but for these, and its note."""
        _remove_files(self._data, kept)
        with suppress(NotFoundError):
            self._notes.remove(f"{self.write_id}.json")

    def _leave_note(self) -> None:
        process = psutil.Process()
        note = Note(
            write_id=self.write_id,
            data=self._data,
            host=socket.gethostname(),
            pid=os.getpid(),
            process_started=process.create_time(),
            started_at=datetime.now(UTC).isoformat(),
        )
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "note.json")
            file.write_text(json.dumps(asdict(note)))
            self._notes.put(file, f"{self.write_id}.json")

    def _sweep(self) -> None:
        """Clear up after writes whose process is gone."""
        dead = [note for note in _read_notes(self._notes) if not note.is_alive()]
        # The table is read after the look at their processes: none of them can commit any more.
        committed = self._committed_writes() if dead else set()
        for note in dead:
            if note.write_id not in committed:
                _remove_files(note.data, set())
            with suppress(NotFoundError):
                self._notes.remove(f"{note.write_id}.json")

    def _committed_writes(self) -> set[str]:
        """The writes behind the snapshots that the table still knows; none without a table."""
        try:
            table = self._catalog.table(self._name)
        except NotFoundError:
            return set()
        summaries = [snapshot.summary for snapshot in table.metadata.snapshots]
        return {
            summary.additional_properties[WRITE_PROPERTY]
            for summary in summaries
            if summary is not None and WRITE_PROPERTY in summary.additional_properties
        }


def _read_notes(notes: Storage) -> list[Note]:
    found = []
    try:
        paths = [file.path for file in notes.list()]
    except NotFoundError:
        return []
    for path in paths:
        # Another write may have cleared it up by now.
        with suppress(NotFoundError, ValueError, TypeError), notes.open(path) as file:
            found.append(Note(**json.load(file)))
    return found


def _remove_files(folder: str, kept: set[str]) -> None:
    """Remove the files of a folder but for these; one that is not there has none."""
    storage = open_storage(folder)
    if not kept:
        storage.clear()
        return
    for file in storage.list():
        if storage.uri(file.path) not in kept:
            storage.remove(file.path)
