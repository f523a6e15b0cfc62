"""What the datasources of a stage share: they list on the driver, once, and read by bytes."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import ray
from ray.data import DataContext, Datasource
from ray.data.block import BlockMetadata
from ray.data.datasource import FileShuffleConfig, ReadTask

from stenopool.distributed.datasources.listing import Files, cut, list_files
from stenopool.distributed.datasources.location import find_source
from stenopool.distributed.datasources.reading import OpenedFile, ReadJob, read_tables
from stenopool.distributed.visibility import Place, sampled, this_node
from stenopool.errors import InvalidOptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from stenopool.model import FileRef

BLOCK_BYTES: Final = 128 << 20
"""How large a block may grow where Ray Data sets no limit."""

_REFUSED: Final = {
    "filesystem": "the stage knows where its files lie",
    "meta_provider": "the listing of the stage has all sizes",
    "open_stream_args": "the stage opens its own files",
    "partitioning": "include_paths=True gives the path, from which columns can be made",
    "schema": "columns and types are those of the files",
}


class StageDatasource(Datasource):
    r"""Files of a stage as a Ray Data datasource; the subclasses say what a file becomes.

    The stage is looked up and listed here, on the driver, once; what comes later is not read.
    A stage in a bucket is read on any node. One in a folder is read on the nodes that see that
    folder; another node fails the whole dataset at once, with a line that names it.

    A location is a folder or a file: `@S/2024` does not name `@S/2024-01/a`, as it would for
    `LIST`. Files are read in the order of their names within each folder; Ray Data keeps it where
    `DataContext.get_current().execution_options.preserve_order` is set.

    Args:
        stage_location: `@STAGE`, `@STAGE/folder/`, `@DB.SCHEMA."Stage"/file`; `@` and the slash
            at the end may be left out. A name that is qualified itself keeps its own database
            and schema. A folder (`/data`, `./data`) or URL (`s3://bucket/prefix`) is taken too.
        database: what a name without one belongs to; as SQL reads it, so `"My Db"` needs its
            double quotes. By default that of the settings (`STENOPOOL_DATABASE`).
        schema: likewise (`STENOPOOL_SCHEMA`).
        file_pattern: one shell wildcard or several, of which a file must match one. Without `/`
            it is matched on the file's name in any folder; with `/` on the path below the
            location, where `*` stays inside a folder and `**` does not. Case counts. None is all.
        local_path: a folder; each file is saved below it too, under its path, on the node that
            reads it. On several nodes each has its share.
        include_paths: add a column `path` (string): the path below the stage's root, the text
            that a transcript has in `path`, so that `@STAGE/` and it name the file again. Bytes
            of it that are not UTF-8 stand as `\xNN`.
        **file_based_datasource_kwargs: of Ray's file-based datasources `file_extensions` (a list,
            without dots), `partition_filter` (chooses among paths), `shuffle` (`"files"` or a
            `FileShuffleConfig`), and `ignore_missing_paths=False`. Others are refused by name.

    Raises:
        NotFoundError: the stage does not exist, or no file matches.
        InvalidNameError: the location or a name cannot be one.
        InvalidOptionError: a database without a schema, or an argument that is not known.
        AccessDeniedError: this user may not list the stage.
    """

    row_a_file: ClassVar[bool] = False
    """Whether each file is one row, so that rows are counted without reading."""

    block_schema: ClassVar[pa.Schema | None] = None
    """The columns, where they are the same for all files, less `path`."""

    def __init__(
        self,
        stage_location: str,
        database: str | None = None,
        schema: str | None = None,
        file_pattern: str | Sequence[str] | None = None,
        local_path: str | None = None,
        *,
        include_paths: bool = False,
        **file_based_datasource_kwargs: Any,  # noqa: ANN401  those of Ray's own datasources
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        wanted, self._shuffle = _choices(dict(file_based_datasource_kwargs))
        patterns = (file_pattern,) if isinstance(file_pattern, str) else tuple(file_pattern or ())
        self._source = find_source(
            stage_location, database=database, schema=schema, patterns=patterns
        )
        self._files = list_files(self._source, wanted)
        self._include_paths = include_paths
        self._local_path = None if local_path is None else str(local_path)
        self._home_node = _node_here()

    @abstractmethod
    def _tables(self, block_bytes: int) -> Callable[[OpenedFile], Iterator[pa.Table]]:
        """The function that makes tables of a file; it travels, so it must not hold `self`."""

    def _growth(self) -> float:
        """Bytes of a block for each byte of a file, or the best guess at it."""
        return 1.0

    def get_name(self) -> str:
        """The name that Ray Data shows."""
        return type(self).__name__.removesuffix("DataSource")

    def estimate_inmemory_data_size(self) -> int:
        """Bytes that all blocks take in memory together, as far as the listing can tell."""
        return self._memory(self._files)

    def get_read_tasks(
        self,
        parallelism: int,
        per_task_row_limit: int | None = None,
        data_context: DataContext | None = None,
    ) -> list[ReadTask]:
        """So many tasks of about equal bytes, or one a file where there are fewer files."""
        context = data_context or DataContext.get_current()
        files = self._shuffled(getattr(context, "_execution_idx", 0))
        place = self._place()
        tables = self._tables(context.target_max_block_size or BLOCK_BYTES)
        return [
            self._task(place, files.part(start, stop), tables, per_task_row_limit)
            for start, stop in cut(files, max(1, parallelism))
        ]

    def _task(
        self,
        place: Place,
        files: Files,
        tables: Callable[[OpenedFile], Iterator[pa.Table]],
        row_limit: int | None,
    ) -> ReadTask:
        if self.row_a_file and row_limit is not None:
            files = files.part(0, min(row_limit, len(files)))
        job = ReadJob(
            place=place,
            files=files,
            tables=tables,
            include_paths=self._include_paths,
            local_path=self._local_path,
        )

        def read() -> Iterator[pa.Table]:
            return read_tables(job)

        metadata = BlockMetadata(
            num_rows=len(files) if self.row_a_file else None,
            size_bytes=self._memory(files),
            input_files=None,
            exec_stats=None,
        )
        return ReadTask(read, metadata, schema=self._schema(), per_task_row_limit=row_limit)

    def _schema(self) -> pa.Schema | None:
        import pyarrow as pa

        if self.block_schema is None or not self._include_paths:
            return self.block_schema
        return self.block_schema.append(pa.field("path", pa.string()))

    def _memory(self, files: Files) -> int:
        paths = int(files.paths.nbytes) if self._include_paths else 0
        return int(files.size_bytes * self._growth()) + paths

    def _place(self) -> Place:
        self._home_node = self._home_node or _node_here()
        source = self._source
        samples = sampled(self._files)
        return Place(name=source.name, root=source.root, home_node=self._home_node, samples=samples)

    def _shuffled(self, execution: int) -> Files:
        if self._shuffle is None:
            return self._files
        order = np.random.default_rng(self._shuffle.get_seed(execution)).permutation
        return self._files.picked(order(len(self._files)))


def _node_here() -> str:
    """This node's id; empty, which is no node's, before Ray is there: asking would start it."""
    return this_node().node_id if ray.is_initialized() else ""


def _choices(
    given: dict[str, Any],
) -> tuple[Callable[[FileRef], bool], FileShuffleConfig | None]:
    """Which files are wanted, and how they are shuffled, from Ray's own arguments."""
    extensions = given.pop("file_extensions", None)
    chooser = given.pop("partition_filter", None)
    shuffle = given.pop("shuffle", None)
    if given.pop("ignore_missing_paths", False):
        raise InvalidOptionError("ignore_missing_paths: a stage is listed, so no path is missing")
    for name, reason in _REFUSED.items():
        if given.pop(name, None) is not None:
            raise InvalidOptionError(f"{name} does not apply to a stage: {reason}")
    if given:
        raise InvalidOptionError(f"unknown argument: {', '.join(sorted(given))}")
    endings = tuple(f".{name.lower().removeprefix('.')}" for name in extensions or ())

    def wanted(file: FileRef) -> bool:
        if endings and not file.path.lower().endswith(endings):
            return False
        return chooser is None or bool(chooser([file.path]))

    return wanted, _shuffle(shuffle)


def _shuffle(given: object) -> FileShuffleConfig | None:
    if given is None or isinstance(given, FileShuffleConfig):
        return given
    if given == "files":
        return FileShuffleConfig()
    raise InvalidOptionError(f"shuffle={given!r} is neither 'files' nor a FileShuffleConfig")
