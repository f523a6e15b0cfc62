"""What a run has done: the run's own branch of its table, and the one commit that publishes it.

A run appends to a branch that starts empty and is named after the run; readers of the table see
none of it. Publishing puts the branch's files on main and drops the branch in one commit, so it
happens once however often it is tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stenopool.catalog.transcripts import transcript_schema
from stenopool.errors import AlreadyExistsError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table, Transaction
    from pyiceberg.table.metadata import TableMetadata

    from stenopool.catalog.catalog import Catalog
    from stenopool.catalog.names import ObjectName

RUN_PROPERTY = "stenopool.run-id"
"""The snapshot property that names the run behind a commit."""


def write_files(metadata: TableMetadata, io: FileIO, rows: pa.Table) -> list[DataFile]:
    """Write rows as Parquet files of a table; nobody sees them before a commit names them.

    Runs on any worker: it needs the table's metadata and its storage, not the catalog.
    """
    from pyiceberg.io.pyarrow import _dataframe_to_data_files

    return list(_dataframe_to_data_files(table_metadata=metadata, df=rows, io=io))


class Ledger:
    """One run's branch of its table.

    Args:
        catalog: where the table is.
        target: the table; made when it is missing, with its database and schema.
        run_id: names the branch.
    """

    def __init__(self, catalog: Catalog, target: ObjectName, run_id: str) -> None:
        self._table = open_transcripts(catalog, target)
        self._run_id = run_id

    @property
    def table(self) -> Table:
        """The Iceberg table, as it was when last committed to or refreshed."""
        return self._table

    def published_ids(self) -> set[str]:
        """The transcript ids on main."""
        self._table.refresh()
        return _ids(self._table, None)

    def own_rows(self) -> pa.Table:
        """This run's rows, in its branch and published ones.

        Columns `transcript_id`, `error_class` and `duration_s`.
        """
        import pyarrow as pa
        from pyiceberg.expressions import EqualTo, Reference
        from pyiceberg.expressions.literals import literal

        self._table.refresh()
        columns = ("transcript_id", "error_class", "duration_s")
        own = EqualTo(term=Reference("run_id"), value=literal(self._run_id))
        rows = [self._table.scan(own, selected_fields=columns).to_arrow()]
        if self.has_branch():
            rows.append(self._table.scan(selected_fields=columns).use_ref(self._run_id).to_arrow())
        return pa.concat_tables(rows, promote_options="permissive")  # string and large_string

    def has_branch(self) -> bool:
        """Whether this run has committed rows that are not published yet."""
        return self._run_id in self._table.refs()

    def commit(self, files: Sequence[DataFile]) -> None:
        """Append written files to the run's branch; what this returns from is done for good."""
        with self._table.transaction() as change:
            self._append(change, files, self._run_id)

    def publish(self, *, replace: bool) -> None:
        """Put the branch on main and drop it, in one commit; does nothing when there is none.

        Args:
            replace: whether rows of main with the same transcript id give way; otherwise the
                branch's rows do, since another run has published them meanwhile.
        """
        from pyiceberg.expressions import In, Reference
        from pyiceberg.expressions.literals import literal
        from pyiceberg.table.update.snapshot import ManageSnapshots

        self._table.refresh()
        if not self.has_branch():
            return
        twice = _ids(self._table, None) & _ids(self._table, self._run_id)
        files = self._files_without(twice) if twice and not replace else self._branch_files()
        with self._table.transaction() as change:
            if twice and replace:
                same = In(term=Reference("transcript_id"), values={literal(key) for key in twice})
                change.delete(same, {RUN_PROPERTY: self._run_id})
            self._append(change, files, "main")
            ManageSnapshots(change).remove_branch(self._run_id).commit()

    def _files_without(self, ids: set[str]) -> list[DataFile]:
        """New files with the branch's rows, less those with one of these ids."""
        import pyarrow as pa
        import pyarrow.compute as pc

        rows = self._table.scan().use_ref(self._run_id).to_arrow()
        known = pc.is_in(rows["transcript_id"], value_set=pa.array(sorted(ids)))
        kept = rows.filter(pc.invert(known))
        return write_files(self._table.metadata, self._table.io, kept) if kept.num_rows else []

    def _append(self, change: Transaction, files: Sequence[DataFile], branch: str) -> None:
        properties = {RUN_PROPERTY: self._run_id}
        update = change.update_snapshot(snapshot_properties=properties, branch=branch)
        with update.fast_append() as append:
            for file in files:
                append.append_data_file(file)

    def _branch_files(self) -> list[DataFile]:
        snapshot = self._table.snapshot_by_name(self._run_id)
        if snapshot is None:
            return []
        io = self._table.io
        manifests = snapshot.manifests(io)
        return [e.data_file for m in manifests for e in m.fetch_manifest_entry(io)]


def open_transcripts(catalog: Catalog, target: ObjectName) -> Table:
    """The table of transcripts of that name, made when it is missing.

    Raises:
        AlreadyExistsError: a table of that name exists and holds something else.
    """
    table = catalog.create_table(
        target, transcript_schema(), if_not_exists=True, create_missing=True
    )
    missing = set(transcript_schema().names) - set(table.schema().column_names)
    if missing:
        raise AlreadyExistsError(
            f"table {target} is not a table of transcripts: it has no column "
            f"{', '.join(sorted(missing))}; give --to another name"
        )
    if table.current_snapshot() is None:
        # A table without a snapshot cannot have a branch.
        table.append(transcript_schema().empty_table())
    return table


def published_ids(catalog: Catalog, target: ObjectName) -> set[str]:
    """The transcript ids of a table, without making it; none if it does not exist."""
    try:
        table = catalog.table(target)
    except NotFoundError:
        return set()
    return _ids(table, None)


def _ids(table: Table, branch: str | None) -> set[str]:
    scan = table.scan(selected_fields=("transcript_id",))
    scan = scan if branch is None else scan.use_ref(branch)
    with scan.to_arrow_batch_reader() as batches:
        return {value for batch in batches for value in batch.column(0).to_pylist()}
