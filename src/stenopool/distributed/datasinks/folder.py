"""Rows into a folder of Parquet files or JSON lines, all at once or not at all."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Self
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from stenopool.distributed.datasinks.columns import fit, grown, table_schema
from stenopool.distributed.datasinks.json_values import json_text, rows_of
from stenopool.distributed.datasinks.parts import Part, PartsDatasink
from stenopool.distributed.datasinks.swapping import alone_in, exchange, is_held, take
from stenopool.errors import (
    ChangedError,
    InvalidNameError,
    InvalidOptionError,
    NotFoundError,
    StorageError,
)
from stenopool.storage.translate import translated

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence


_WRITE_NAME: Final = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6,}")
"""What the sub-folders are called: the time and some digits, as a run's id."""


class FolderDatasink(PartsDatasink):
    """Writes a dataset into a folder; each write is one sub-folder of it, named by its time.

    The tasks write into a hidden folder beside the target (`.stenopool-NAME`, in the same file
    system), and the driver shows what they wrote by one rename: readers of `NAME/**/*.parquet`
    see all rows or none, also where the driver is killed. A write that is added is a sub-folder
    more. A write that replaces swaps the whole folder for a new one (`renameat2`, Linux): nobody
    sees a part of either; on a file system that cannot swap, such as NFS, it is refused before
    it starts. What a dead write left is removed by the next one into the same folder.

    Columns keep their names. In Parquet, types are those of `table_schema`, and rows that are
    added must fit the columns that the folder has. In JSON lines, dates and times are ISO 8601,
    bytes base64, decimals text, NaN and infinities null; rows need not fit older ones.

    DuckDB reads `NAME/**/*.parquet` (with `union_by_name` where columns were added), pyarrow and
    pandas `NAME`, Spark `NAME` with the option `recursiveFileLookup`.

    Args:
        folder: its path; every node must see it.
        lines: JSON lines instead of Parquet.
        overwrite: whether the rows replace those that are there.
        create_missing: whether the folder is made where it is missing.
        expected: names of the writes that the folder is to show until this one is shown; None for
            any. Where it shows others then, nothing is written.
        add_columns: whether rows that are added to Parquet files may have columns, and fields of
            structs, that the older files lack.

    Raises:
        InvalidNameError: the path has no name, as `/`.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        lines: bool = False,
        overwrite: bool = False,
        create_missing: bool = True,
        expected: Collection[str] | None = None,
        add_columns: bool = False,
    ) -> None:
        super().__init__()
        self._folder = Path(os.path.realpath(Path(folder).expanduser()))
        self._hidden = self._folder.parent / f".stenopool-{self._folder.name}"
        self._work = self._hidden / uuid4().hex
        self._suffix = ".jsonl" if lines else ".parquet"
        self._overwrite = overwrite
        self._create_missing = create_missing
        self._name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        self._expected = None if expected is None else set(expected)
        self._add_columns = add_columns
        self._lock: IO[str] | None = None

    def __str__(self) -> str:
        return str(self._folder)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_lock": None}

    def check(self, schema: pa.Schema | None = None) -> None:
        """Check what can be checked before there are rows; changes nothing.

        Raises:
            NotFoundError: the folder does not exist, and `create_missing` is not set.
            InvalidNameError: it is a file, or where a file system begins.
            InvalidOptionError: it holds files of the other form, or `overwrite` would remove
                files that no write of ours has made.
            AccessDeniedError: this user may not write there.
        """
        folder = self._folder
        if folder.exists() and not folder.is_dir():
            raise InvalidNameError(f"'{folder}' is a file; name a folder for the rows' files")
        if not folder.exists() and not self._create_missing:
            raise NotFoundError(f"folder {self} does not exist; make it, or set create_missing")
        if os.path.ismount(folder):
            raise InvalidNameError(
                f"'{folder}' is where a file system begins, which cannot be swapped or written "
                f"beside; name a folder in it, such as '{folder}/rows'"
            )
        self._check_content()
        self._check_access()

    def _check_content(self) -> None:
        other = {".jsonl": ".parquet", ".parquet": ".jsonl"}[self._suffix]
        if self._overwrite:
            foreign = [path for path in _entries(self._folder) if not _is_ours(path)]
            if foreign:
                raise InvalidOptionError(
                    f"folder {self} holds '{foreign[0].name}', which no "
                    "write of ours made and overwriting would remove; move it away, or name another"
                )
        elif any(_files(self._folder, other)):
            raise InvalidOptionError(
                f"folder {self} holds {other} files; name another folder for {self._suffix} files"
            )

    def _check_access(self) -> None:
        there = next(path for path in self._hidden.parents if path.exists())
        with translated(str(self)):
            if not os.access(there, os.W_OK | os.X_OK):
                raise PermissionError(f"'{there}' cannot be written")

    def _begin(self, schema: pa.Schema | None) -> pa.Schema | None:
        self.check()
        with translated(str(self)), alone_in(self._hidden):
            _sweep(self._hidden)
            (self._work / "parts").mkdir(parents=True)
            self._lock = take(self._work / "writing")
            if self._overwrite:
                self._require_exchange()
            there = None if self._overwrite else _columns_of(self._folder)
        columns = None if schema is None else table_schema(schema, str(self))
        if there is not None and columns is not None and schema is not None:
            there = grown(there, columns) if self._add_columns else there
            fit(schema.empty_table(), there, str(self))
        return there or columns

    def _require_exchange(self) -> None:
        try:
            exchange(self._made("one"), self._made("other"))
        except OSError as error:
            raise StorageError(
                f"the file system of folder {self} cannot swap two folders in one step "
                f"({error.strerror}), so overwriting would show neither for a moment; "
                "write into another folder, and remove this one afterwards"
            ) from error

    def _made(self, name: str) -> Path:
        path = self._work / name
        path.mkdir(exist_ok=True)
        return path

    def _write_part(self, name: str, tables: Iterable[pa.Table]) -> int:
        if not (self._work / "writing").exists():
            raise StorageError(
                f"node {socket.gethostname()} does not see folder {self}, or the write has ended; "
                "name a folder that all nodes mount, or a table of the catalog with its files in "
                "a bucket (STENOPOOL_WAREHOUSE=s3://…)"
            )
        tables = iter(tables)
        first = next(tables, None)
        if first is None:
            return 0
        rows = 0
        with translated(str(self)), self._open(self._file(name)) as writer:
            for table in chain([first], tables):
                writer.write_table(table)
                rows += table.num_rows
        return rows

    @contextmanager
    def _open(self, file_name: str) -> Iterator[pq.ParquetWriter | _Lines]:
        with (self._work / "parts" / file_name).open("wb") as file:
            if self._suffix == ".jsonl":
                yield _Lines(file)
            else:
                with pq.ParquetWriter(file, self._columns, compression="zstd") as writer:
                    yield writer
            file.flush()
            os.fsync(file.fileno())

    def _file(self, part: str) -> str:
        return f"part-{part}{self._suffix}"

    def _show(self, parts: Sequence[Part]) -> int:
        with translated(str(self)):
            new = self._gathered(parts)
            with alone_in(self._hidden):
                return self._publish(new, sum(part.rows for part in parts))

    def _gathered(self, parts: Sequence[Part]) -> Path:
        """The new folder as readers will see it, made of the reported parts alone."""
        new = self._made("folder")
        (new / self._name).mkdir()
        for part in parts:
            file = self._file(part.name)
            (self._work / "parts" / file).rename(new / self._name / file)
        _to_disk(new / self._name)
        return new

    def _publish(self, new: Path, rows: int) -> int:
        folder = self._folder
        if self._expected is not None and writes_in(folder) != self._expected:
            raise ChangedError(f"folder {self} was changed by another write; write again")
        if not rows and not self._overwrite:
            return 0
        if not folder.exists():
            new.rename(folder)
        elif self._overwrite:
            self._check_content()
            exchange(new, folder)
        else:
            (new / self._name).rename(folder / self._name)
            _to_disk(folder)
        _to_disk(folder.parent)
        return rows

    def _end(self) -> None:
        if self._lock is None:
            return
        with alone_in(self._hidden):
            shutil.rmtree(self._work, ignore_errors=True)
            self._lock.close()
            self._lock = None


class _Lines:
    """JSON lines as a file takes them; the shape of Arrow's own writers."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def write_table(self, table: pa.Table) -> None:
        for row in rows_of(table):
            self._file.write(f"{json_text(row)}\n".encode())


def writes_in(folder: str | Path) -> set[str]:
    """The names of the writes that a folder shows; none where it does not exist."""
    return {path.name for path in _entries(Path(folder)) if _is_ours(path)}


def keys_in(folder: str | Path, column: str) -> set[str]:
    """What a column of text holds in the files of a folder; empty without any."""
    place = Path(folder)
    found: set[str] = set()
    for path in _files(place, ".parquet"):
        found.update(pq.read_table(path, columns=[column])[column].to_pylist())
    for path in _files(place, ".jsonl"):
        with path.open("rb") as lines:
            found.update(json.loads(line)[column] for line in lines)
    return found


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _files(folder: Path, suffix: str) -> Iterator[Path]:
    """The files of our writes in a folder, the newest write first."""
    ours = [path for path in reversed(_entries(folder)) if _is_ours(path)]
    return chain.from_iterable(sorted(path.glob(f"*{suffix}")) for path in ours)


def _is_ours(path: Path) -> bool:
    return bool(_WRITE_NAME.fullmatch(path.name)) and path.is_dir()


def _columns_of(folder: Path) -> pa.Schema | None:
    """The columns of the newest Parquet file in a folder of ours; None without one."""
    newest = next(_files(folder, ".parquet"), None)
    return None if newest is None else pq.read_schema(newest).remove_metadata()


def _sweep(hidden: Path) -> None:
    """Remove what writes have left whose driver is gone."""
    for path in hidden.iterdir():
        if path.is_dir() and not is_held(path / "writing"):
            shutil.rmtree(path, ignore_errors=True)


def _to_disk(folder: Path) -> None:
    """Let the names in a folder outlive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
