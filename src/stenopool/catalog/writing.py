"""One write into a table: files of its own, one commit, and nothing left when it fails.

A write's files lie in a folder of their own. What the commit does not name is removed: files of
tasks that ran twice after a success, all of them after a failure. A process that is killed cannot
do that, so each write leaves a note, and the next write into the table clears up after the dead.
"""

from __future__ import annotations

import json
import logging
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from stenopool.catalog import tables
from stenopool.catalog.places import place_of
from stenopool.errors import AlreadyExistsError, CatalogError, NotFoundError, StenopoolError
from stenopool.processes import ProcessId
from stenopool.storage import open_storage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table, Transaction
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot

    from stenopool.catalog.catalog import Catalog
    from stenopool.catalog.names import ObjectName
    from stenopool.storage import Storage

logger = logging.getLogger(__name__)

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
        process = ProcessId(host=self.host, pid=self.pid, started=self.process_started)
        if process.is_here:
            return process.is_alive()
        return datetime.now(UTC) - datetime.fromisoformat(self.started_at) < FORGOTTEN_AFTER


class TableWrite:
    """A write that has begun; end it with `commit` or `abandon`.

    Args:
        catalog: where the table is, or will be.
        name: the table.
        creates: whether a table that is missing comes to be with the commit, after `make`.

    Attributes:
        write_id: names the write.
        exists: whether the table was there when the write began.
        data: the folder for its files.
        io: the table's storage.

    Raises:
        NotFoundError: the table does not exist, and is not to be made.
    """

    def __init__(self, catalog: Catalog, name: ObjectName, *, creates: bool) -> None:
        self._catalog = catalog
        self._name = name
        self._table: Table | None = None
        self._change: Transaction | None = None
        self._may_be_committed = False
        self.write_id = uuid4().hex
        try:
            self._table = catalog.table(name)
        except NotFoundError:
            if not creates:
                raise
        self.exists = self._table is not None
        location = catalog.new_location(name) if self._table is None else self._table.location()
        self._location = location
        self.data = f"{location}/data/write-{self.write_id}"
        self.io: FileIO = tables.storage_of(catalog.iceberg, location)
        self._notes = open_storage(f"{place_of(catalog.settings.warehouse, name)}-writes")
        self._sweep()
        self._leave_note()

    def make(self, schema: pa.Schema) -> None:
        """Give the columns of the table that comes to be with the commit."""
        self._table, self._change = self._catalog.begin_table(self._name, schema, self._location)

    @property
    def metadata(self) -> TableMetadata:
        """What a worker needs to write files: the table's metadata, with this write's folder."""
        properties = {**self._known.metadata.properties, "write.data.path": self.data}
        return self._known.metadata.model_copy(update={"properties": properties})

    @property
    def schema(self) -> pa.Schema:
        """The table's columns as Arrow, without field numbers."""
        return tables.arrow_schema(self._known.metadata)

    def commit(self, files: Sequence[DataFile], *, override: bool) -> int | None:
        """Show the rows of these files to the table's readers, in one commit.

        Args:
            files: what workers wrote for this write.
            override: whether the rows that were there give way.

        Returns:
            The number of the table's snapshot; None for a table that has none.

        Raises:
            CatalogError: another write came between, again and again.
            AlreadyExistsError: another write made the table meanwhile.
        """
        if files or override or self._change is not None:
            self._may_be_committed = True
            self._commit_new(files) if self._change else self._commit(files, override=override)
        try:
            self._clear({file.file_path for file in files})
        except StenopoolError as error:
            # The rows are there; the next write clears up.
            logger.warning("files of a write into table %s were left: %s", self._name, error)
        snapshot = self._known.current_snapshot()
        return None if snapshot is None else snapshot.snapshot_id

    def abandon(self) -> None:
        """Remove what was written; the table stays as it was.

        Nothing is removed where the catalog may have taken the commit and cannot be asked: the
        next write clears up.
        """
        if self._may_be_committed:
            try:
                if self._is_committed():
                    return
            except StenopoolError as error:
                logger.warning("files of a write into table %s were left: %s", self._name, error)
                return
        self._clear(set())

    @property
    def _known(self) -> Table:
        if self._table is None:
            raise CatalogError(f"table {self._name} is not there yet: its columns are not known")
        return self._table

    def _commit_new(self, files: Sequence[DataFile]) -> None:
        from pyiceberg.exceptions import CommitFailedException, TableAlreadyExistsError

        change = self._change
        assert change is not None  # noqa: S101 - the caller asked
        self._append(change, files)
        try:
            with tables.committing(self._catalog.iceberg, self._name):
                self._table = change.commit_transaction()
        except (CommitFailedException, TableAlreadyExistsError, StenopoolError) as error:
            if not self._is_committed():
                raise AlreadyExistsError(
                    f"table {self._name} could not be made: another write made it meanwhile, or "
                    f"the catalog failed ({error}); nothing was written, write again"
                ) from error

    def _commit(self, files: Sequence[DataFile], *, override: bool) -> None:
        from pyiceberg.exceptions import CommitFailedException, ValidationException

        for _ in range(COMMIT_TRIES):
            try:
                with tables.committing(self._catalog.iceberg, self._name):
                    return self._try(files, override=override)
            except (CommitFailedException, ValidationException, StenopoolError) as error:
                # The catalog may have taken it before the connection broke.
                if self._is_committed():
                    return None
                if isinstance(error, StenopoolError):
                    raise
        raise CatalogError(
            f"table {self._name} was changed by others {COMMIT_TRIES} times while this write "
            "tried to commit; nothing was written, write again"
        )

    def _try(self, files: Sequence[DataFile], *, override: bool) -> None:
        from pyiceberg.expressions import AlwaysTrue

        self._table = table = self._catalog.table(self._name)
        if override:
            # PyIceberg would try again with the old plan, which does not delete what came between.
            tables.try_once(table)
        with table.transaction() as change:
            if override and table.current_snapshot() is not None:
                change.delete(AlwaysTrue(), {WRITE_PROPERTY: self.write_id})
            self._append(change, files)

    def _append(self, change: Transaction, files: Sequence[DataFile]) -> None:
        tables.append_files(change, files, {WRITE_PROPERTY: self.write_id})

    def _is_committed(self) -> bool:
        """Whether the catalog took the commit, even if its answer was lost."""
        return self.write_id in self._committed_writes()

    def _clear(self, kept: set[str]) -> None:
        """Remove this write's files but for these, and its note."""
        _remove_files(self.data, kept)
        with suppress(NotFoundError):
            self._notes.remove(f"{self.write_id}.json")

    def _leave_note(self) -> None:
        process = ProcessId.current()
        note = Note(
            write_id=self.write_id,
            data=self.data,
            host=process.host,
            pid=process.pid,
            process_started=process.started,
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
        committed = self._committed_writes() if dead else {}
        for note in dead:
            kept = (path for one in committed.get(note.write_id, ()) for path in self._added(one))
            _remove_files(note.data, set(kept))
            with suppress(NotFoundError):
                self._notes.remove(f"{note.write_id}.json")

    def _committed_writes(self) -> dict[str, list[Snapshot]]:
        """The writes behind the snapshots that the table knows.

        Nothing here expires snapshots; whoever does must keep those of writes with a note.
        """
        try:
            table = self._catalog.table(self._name)
        except NotFoundError:
            return {}
        found: dict[str, list[Snapshot]] = {}
        for snapshot in table.metadata.snapshots:
            figures = snapshot.summary.additional_properties if snapshot.summary else {}
            if write_id := figures.get(WRITE_PROPERTY):
                found.setdefault(write_id, []).append(snapshot)
        return found

    def _added(self, snapshot: Snapshot) -> Iterator[str]:
        """The files that a snapshot brought."""
        for manifest in snapshot.manifests(self.io):
            if manifest.added_snapshot_id == snapshot.snapshot_id:
                for entry in manifest.fetch_manifest_entry(self.io):
                    yield entry.data_file.file_path


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
