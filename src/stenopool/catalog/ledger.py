"""What a run has done: the run's own branch of its table, and the one commit that publishes it.

A run appends to a branch that starts empty and is named after the run; readers of the table see
none of it. Publishing puts the branch's files on main and drops the branch in one commit, so it
happens once however often it is tried. A live run appends to main itself.

Every commit says on what it builds. Where another process changed the same branch meanwhile, it
is looked at before anything is added, so no row comes twice whoever repeats what.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from stenopool.catalog import tables
from stenopool.catalog.engine import PATIENCE_S, is_busy, patiently
from stenopool.catalog.ids import TranscriptIds
from stenopool.catalog.transcripts import NEEDED, transcript_schema
from stenopool.errors import (
    AlreadyExistsError,
    CatalogError,
    NotFoundError,
    RunFailedError,
)
from stenopool.storage.retrying import is_passing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table, Transaction
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot

    from stenopool.catalog.catalog import Catalog
    from stenopool.catalog.names import ObjectName

RUN_PROPERTY: Final = "stenopool.run-id"
"""The snapshot property that names the run behind a commit."""

COMMIT_PROPERTY: Final = "stenopool.commit-id"
"""The snapshot property that tells whether a commit landed whose answer was lost."""

MAIN: Final = "main"

FILES_AT_ONCE: Final = 32
"""Of which ids are read together: few enough to hold, and enough to wait for a bucket just once."""


def write_files(metadata: TableMetadata, io: FileIO, rows: pa.Table) -> list[DataFile]:
    """Write rows as Parquet files of a table; nobody sees them before a commit names them.

    Runs on any worker: it needs the table's metadata and its storage, not the catalog.
    """
    from pyiceberg.io.pyarrow import _dataframe_to_data_files

    return list(_dataframe_to_data_files(table_metadata=metadata, df=rows, io=io))


@dataclass(kw_only=True)
class Done:
    """What a run has done so far.

    Attributes:
        ids: of its rows.
        transcribed: rows with a text.
        failed: rows with an error, by their class.
        audio_s: seconds of audio in all of them.
    """

    ids: TranscriptIds = field(default_factory=TranscriptIds)
    transcribed: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    audio_s: float = 0.0


class Ledger:
    """One run's branch of its table.

    Args:
        catalog: where the table is.
        target: the table; made when it is missing, with its database and schema.
        run_id: names the branch.
        live: whether rows go to main at once.
        replace: whether rows of main with the same transcript id give way; otherwise the run's
            rows do, since another run has published them meanwhile.
        is_mine: asked when another process has committed to the run's branch: whether the run
            is still this process's to go on with.
        patience_s: how long a commit is tried again (s).
    """

    def __init__(  # noqa: PLR0913 - named ones, each with a meaning of its own
        self,
        catalog: Catalog,
        target: ObjectName,
        run_id: str,
        *,
        live: bool = False,
        replace: bool = False,
        is_mine: Callable[[], bool] = lambda: True,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._catalog = catalog
        self._target = target
        self._table = open_transcripts(catalog, target)
        self._run_id = run_id
        self._branch = MAIN if live else run_id
        self._replace = replace
        self._is_mine = is_mine
        self._patience_s = patience_s
        self._head = self._head_of(self._branch)
        self._on_main: tuple[int | None, TranscriptIds] = (None, TranscriptIds())

    @property
    def table(self) -> Table:
        """The Iceberg table, as it was when last committed to or refreshed."""
        return self._table

    def published_ids(self) -> TranscriptIds:
        """The transcript ids on main."""
        self._refresh()
        self._head = self._head_of(self._branch)
        return self._main_ids()

    def own(self) -> Done:
        """What this run has done, in its branch and published."""
        self._refresh()
        self._head = self._head_of(self._branch)
        done = Done()
        done.ids = TranscriptIds(self._count_into(done))
        return done

    def failures(self, run_id: str, classes: Sequence[str] = ()) -> pa.Table:
        """The recordings on main that a run could not do.

        Args:
            run_id: of the run, this one or another.
            classes: of `error_class`; none takes all.

        Returns:
            Columns `path`, `size_bytes`, `etag` and `transcript_id`.
        """
        import pyarrow.compute as pc
        from pyiceberg.expressions import And, EqualTo, NotNull, Reference
        from pyiceberg.expressions.literals import literal

        self._refresh()
        of_run = EqualTo(term=Reference("run_id"), value=literal(run_id))
        chosen = And(of_run, NotNull(term=Reference("error_class")))
        columns = ("path", "size_bytes", "etag", "transcript_id", "error_class")
        rows = self._table.scan(chosen, selected_fields=columns).to_arrow()
        if classes:
            import pyarrow as pa

            wanted = pa.array(list(classes), rows["error_class"].type)
            rows = rows.filter(pc.is_in(rows["error_class"], value_set=wanted))
        return rows.drop_columns(["error_class"])

    def has_branch(self) -> bool:
        """Whether this run has committed rows that are not published yet."""
        return self._run_id in self._table.refs()

    def commit(
        self,
        rows: pa.Table,
        write: Callable[[TableMetadata, FileIO, pa.Table], Sequence[DataFile]] = write_files,
    ) -> int:
        """Append rows; what this returns from is done for good.

        Args:
            rows: of `transcript_schema`; those that are there already are left out.
            write: makes files of rows; somewhere else, perhaps.

        Returns:
            Bytes that were written.

        Raises:
            RunFailedError: the run has been taken over by another process.
            CatalogError: the catalog was away for too long.
            StorageError: the files could not be written.
        """
        while not self._append_written(files := write(*self._place, rows), rows):
            if self._branch != MAIN and not self._is_mine():
                raise RunFailedError(
                    f"run {self._run_id} was taken over by another process, which goes on with it"
                )
            self._head = self._head_of(self._branch)
            rows = self._unknown(rows)
            if not rows.num_rows:
                return 0
        return sum(file.file_size_in_bytes for file in files)

    def publish(self) -> None:
        """Put the branch on main and drop it, in one commit; does nothing when there is none.

        Raises:
            CatalogError: the catalog was away for too long, or others were faster each time.
        """
        plan = _Publication()
        if self._commit(
            lambda change, properties: self._put_branch(change, properties, plan),
            lambda: self._plan(plan),
        ):
            self._clear(plan.branch, kept=MAIN)

    @property
    def _place(self) -> tuple[TableMetadata, FileIO]:
        return self._table.metadata, self._table.io

    def _append_written(self, files: Sequence[DataFile], rows: pa.Table) -> bool:
        """Append files of these rows; False where the branch is not as it was left."""
        former = self._table.snapshot_by_name(self._branch) if self._branch != MAIN else None

        def put(change: Transaction, properties: dict[str, str]) -> None:
            if self._branch == MAIN and self._replace:
                self._delete(change, properties, rows["transcript_id"].to_pylist())
            tables.append_files(change, files, properties, branch=self._branch)
            if former is not None:
                # The next one shows all that it did; kept, each would make the next commit slower.
                tables.expire(change, [former])

        done = self._commit(put, lambda: self._head_of(self._branch) == self._head)
        if done and former is not None:
            self._clear([former], kept=self._branch)
        return done

    def _unknown(self, rows: pa.Table) -> pa.Table:
        """The rows whose ids the branch does not have."""
        import pyarrow as pa

        if self._branch == MAIN and self._replace:
            return rows
        known = self._main_ids() if self._branch == MAIN else self._branch_ids()
        return rows.filter(pa.array(~known.holds(rows["transcript_id"])))

    def _plan(self, plan: _Publication) -> bool:
        """Make ready what publishing has to do; False where it has happened."""
        if not self.has_branch():
            return False
        at = (self._head_of(MAIN), self._head_of(self._run_id))
        if plan.at != at:
            plan.twice = self._twice()
            plan.files = (
                self._files_without(plan.twice)
                if plan.twice and not self._replace
                else self._branch_files()
            )
            plan.at = at
        return True

    def _put_branch(
        self, change: Transaction, properties: dict[str, str], plan: _Publication
    ) -> None:
        from pyiceberg.table.update.snapshot import ManageSnapshots

        if plan.twice and self._replace:
            self._delete(change, properties, plan.twice)
        tables.append_files(change, plan.files, properties)
        plan.branch = list(self._ancestry(self._run_id))
        ManageSnapshots(change).remove_branch(self._run_id).commit()
        # Without this a table would carry each of the commits of every run for ever.
        tables.expire(change, plan.branch)

    def _clear(self, gone: Sequence[Snapshot], *, kept: str) -> None:
        """Remove what listed snapshots of the branch, newest first, and not those of `kept`."""
        io, head = self._table.io, self._table.snapshot_by_name(kept)
        lists = {snapshot.manifest_list for snapshot in gone}
        # Each snapshot lists the manifests of the one before it too.
        listed = {one.manifest_path for one in gone[0].manifests(io)} if gone else set()
        needed = {one.manifest_path for one in head.manifests(io)} if head else set()
        for path in lists | (listed - needed):
            with suppress(OSError):  # only room is lost
                io.delete(path)

    def _delete(self, change: Transaction, properties: dict[str, str], ids: Iterable[str]) -> None:
        from pyiceberg.expressions import In, Reference
        from pyiceberg.expressions.literals import literal

        same = In(term=Reference("transcript_id"), values={literal(key) for key in ids})
        change.delete(same, properties)

    def _twice(self) -> list[str]:
        """The ids that are on main and in the branch."""
        on_main = self._main_ids()
        found: list[str] = []
        for part in _id_parts(self._table, self._run_id):
            held = on_main.holds(part)
            if held.any():
                found += [key for key, twice in zip(part.to_pylist(), held, strict=True) if twice]
        return found

    def _files_without(self, ids: Sequence[str]) -> list[DataFile]:
        """New files with the branch's rows, less those with one of these ids."""
        import pyarrow as pa
        import pyarrow.compute as pc

        rows = self._table.scan().use_ref(self._run_id).to_arrow()
        known = pc.is_in(rows["transcript_id"], value_set=pa.array(ids, pa.large_string()))
        kept = rows.filter(pc.invert(known))
        return write_files(self._table.metadata, self._table.io, kept) if kept.num_rows else []

    def _branch_files(self) -> list[DataFile]:
        snapshot = self._table.snapshot_by_name(self._run_id)
        if snapshot is None:
            return []
        io = self._table.io
        manifests = snapshot.manifests(io)
        return [e.data_file for m in manifests for e in m.fetch_manifest_entry(io)]

    def _commit(
        self,
        change: Callable[[Transaction, dict[str, str]], None],
        fits: Callable[[], bool],
    ) -> bool:
        """Make one change of the table, once; waits while the catalog is away or busy.

        Args:
            change: makes the change in a transaction, with these snapshot properties.
            fits: asked of the table as it is now, before each try.

        Returns:
            False where the change does not fit; nothing was changed then.
        """
        from pyiceberg.exceptions import CommitFailedException, ValidationException

        properties = {RUN_PROPERTY: self._run_id, COMMIT_PROPERTY: uuid4().hex}
        lost = (CommitFailedException, ValidationException)

        def attempt() -> bool:
            self._refresh()
            if self._landed(properties[COMMIT_PROPERTY]):
                return True
            if not fits():
                return False
            # PyIceberg would try again on top of whatever came between.
            tables.try_once(self._table)
            with (
                tables.committing(self._catalog.iceberg, self._target),
                self._table.transaction() as transaction,
            ):
                change(transaction, properties)
            return True

        def passes(error: BaseException) -> bool:
            return isinstance(error, lost) or is_busy(error) or is_passing(error)

        try:
            done = patiently(attempt, passes=passes, deadline_s=self._patience_s)
        except lost as error:
            raise CatalogError(
                f"table {self._target} was changed by others again and again for "
                f"{self._patience_s:.0f} s; what was committed before is kept: {error}"
            ) from error
        if done:
            self._head = self._head_of(self._branch)
        return done

    def _landed(self, commit_id: str) -> bool:
        return any(
            snapshot.summary is not None
            and snapshot.summary.additional_properties.get(COMMIT_PROPERTY) == commit_id
            for snapshot in self._table.metadata.snapshots
        )

    def _refresh(self) -> None:
        self._table = self._catalog.table(self._target)

    def _head_of(self, branch: str) -> int | None:
        ref = self._table.metadata.refs.get(branch)
        return None if ref is None else ref.snapshot_id

    def _ancestry(self, branch: str) -> Iterator[Snapshot]:
        from pyiceberg.table.snapshots import ancestors_of

        yield from ancestors_of(self._table.snapshot_by_name(branch), self._table.metadata)

    def _main_ids(self) -> TranscriptIds:
        head = self._head_of(MAIN)
        if self._on_main[0] != head or head is None:
            self._on_main = (head, TranscriptIds(_id_parts(self._table, None)))
        return self._on_main[1]

    def _branch_ids(self) -> TranscriptIds:
        return TranscriptIds(_id_parts(self._table, self._run_id) if self.has_branch() else ())

    def _count_into(self, done: Done) -> Iterator[pa.Array]:
        """Count the run's rows; yields their ids as they are read."""
        import pyarrow.compute as pc
        from pyiceberg.expressions import EqualTo, Reference
        from pyiceberg.expressions.literals import literal

        columns = ("transcript_id", "error_class", "duration_s")
        own = EqualTo(term=Reference("run_id"), value=literal(self._run_id))
        scans = [self._table.scan(own, selected_fields=columns)]
        if self.has_branch():
            scans.append(self._table.scan(selected_fields=columns).use_ref(self._run_id))
        for scan in scans:
            for batch in tables.batches(scan, files_at_once=FILES_AT_ONCE):
                classes = batch.column("error_class").drop_null()
                done.failed.update(classes.to_pylist())
                done.transcribed += batch.num_rows - len(classes)
                done.audio_s += pc.sum(batch.column("duration_s")).as_py() or 0.0
                yield batch.column("transcript_id")


@dataclass
class _Publication:
    """What a publication has to do, and of which heads of main and branch that was found."""

    at: tuple[int | None, int | None] | None = None
    twice: list[str] = field(default_factory=list)
    files: list[DataFile] = field(default_factory=list)
    branch: list[Snapshot] = field(default_factory=list)


def open_transcripts(catalog: Catalog, target: ObjectName) -> Table:
    """The table of transcripts of that name, made when it is missing.

    One that an older version made gets the columns that it lacks.

    Raises:
        AlreadyExistsError: a table of that name exists and holds something else.
    """
    table = catalog.create_table(
        target, transcript_schema(), if_not_exists=True, create_missing=True
    )
    missing = NEEDED - set(table.schema().column_names)
    if missing:
        raise AlreadyExistsError(
            f"table {target} is not a table of transcripts: it has no column "
            f"{', '.join(sorted(missing))}; give --to another name"
        )
    table = tables.add_columns(catalog.iceberg, target, transcript_schema())
    if table.current_snapshot() is None:
        # A table without a snapshot cannot have a branch.
        table.append(transcript_schema().empty_table())
    return table


def published_ids(catalog: Catalog, target: ObjectName) -> TranscriptIds:
    """The transcript ids of a table, without making it; none if it does not exist."""
    try:
        table = catalog.table(target)
    except NotFoundError:
        return TranscriptIds()
    return TranscriptIds(_id_parts(table, None))


def _id_parts(table: Table, branch: str | None) -> Iterator[pa.Array]:
    """The column of ids, a part at a time."""
    scan = table.scan(selected_fields=("transcript_id",))
    scan = scan if branch is None else scan.use_ref(branch)
    for batch in tables.batches(scan, files_at_once=FILES_AT_ONCE):
        yield batch.column(0)
