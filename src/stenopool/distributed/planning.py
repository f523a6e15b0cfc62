"""What a run has to do: the source's recordings, less those that have a transcript already."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from stenopool.catalog.ids import TranscriptIds
from stenopool.model import transcript_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from stenopool.catalog import Source
    from stenopool.model import FileRef, ModelInfo, TranscribeOptions

REFERENCE_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("size_bytes", pa.int64()),
        ("etag", pa.string()),
        ("transcript_id", pa.string()),
        ("units_done", pa.list_(pa.int32())),
    ]
)
"""One row a recording; `units_done` are those that an interrupted run has done, or NULL."""

_UNITS_DONE = pa.schema(REFERENCE_SCHEMA.field(name) for name in ("transcript_id", "units_done"))

BLOCK_FILES = 64
BLOCK_BYTES = 4 << 20
"""One task reads at most so many recordings, or so many bytes of them, one after another."""

LEAST_BLOCK_FILES = 16
LEAST_BLOCK_BYTES = 256 << 10
"""Less than this is not worth a task of its own, even when cores are idle."""

MOST_BLOCKS: Final = 100_000
"""So many even blocks hold any run, and it is cut into less than twice as many or so: each costs
the driver 7 kB and a millisecond before the first recording is read."""

SORTED_AT_ONCE: Final = 1 << 18
"""Rows of a chunk of the sorted plan: an Arrow string column holds 2 GiB in a chunk, and a path may
have 4 KiB."""

LISTED_AT_ONCE: Final = 1000
"""Files that are looked at together; between two calls of `on_listed` there are so many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is to be transcribed, longest first, and what was found beside it.

    Attributes:
        references: of `REFERENCE_SCHEMA`, by falling size, so that no long one is left for the
            end; some 150 bytes of memory each.
        listed: files that match, the skipped ones included.
        skipped: files whose transcript exists.
        resumed: files that an interrupted run of the same request has done.
    """

    references: pa.Table
    listed: int
    skipped: int
    resumed: int

    def __len__(self) -> int:
        return int(self.references.num_rows)

    @property
    def size_bytes(self) -> int:
        """Bytes of all recordings to transcribe."""
        return pc.sum(self.references["size_bytes"]).as_py() or 0


class Listing(Protocol):
    """Recordings that a run is about."""

    def list(self) -> Iterator[FileRef]:
        """Yield them, while the listing is read."""


def make_plan(
    source: Listing,
    key: Callable[[FileRef], str],
    *,
    done: TranscriptIds | None = None,
    own: TranscriptIds | None = None,
    limit: int | None = None,
    on_listed: Callable[[int], None] = lambda _: None,
) -> Plan:
    """List the source and leave out what is done.

    Args:
        source: lists the recordings.
        key: the transcript id of a file.
        done: transcript ids that need no work.
        own: transcript ids that this run has done before it was interrupted.
        limit: at most so many recordings, the first that are listed; None for all.
        on_listed: is told the number of files now and then, since a listing can be long.
    """
    done, own = done or TranscriptIds(), own or TranscriptIds()
    wanted: list[pa.Table] = []
    taken = listed = skipped = resumed = 0
    files = source.list()
    while limit is None or resumed + taken < limit:
        some = [(file, key(file)) for file in islice(files, LISTED_AT_ONCE)]
        if not some:
            break
        keys = [pair[1] for pair in some]
        chosen: list[tuple[FileRef, str]] = []
        for pair, is_own, is_done in zip(some, own.holds(keys), done.holds(keys), strict=True):
            if limit is not None and resumed + taken + len(chosen) >= limit:
                break
            listed += 1
            resumed += int(is_own)
            skipped += int(is_done and not is_own)
            if not is_own and not is_done:
                chosen.append(pair)
        taken += len(chosen)
        if chosen:
            wanted.append(reference_table(chosen))
        if len(some) == LISTED_AT_ONCE:
            on_listed(listed)
    on_listed(listed)
    references = pa.concat_tables(wanted) if wanted else REFERENCE_SCHEMA.empty_table()
    return Plan(
        references=longest_first(references), listed=listed, skipped=skipped, resumed=resumed
    )


def retry_plan(rows: pa.Table, *, own: TranscriptIds) -> Plan:
    """The plan of a run that does failures again.

    Args:
        rows: `path`, `size_bytes`, `etag` and `transcript_id` of the failures.
        own: transcript ids that this run has done before it was interrupted.
    """
    done = own.holds(rows["transcript_id"])
    left = rows.filter(pa.array(~done))
    units = pa.nulls(left.num_rows, REFERENCE_SCHEMA.field("units_done").type)
    references = left.append_column("units_done", units)
    references = references.select(REFERENCE_SCHEMA.names).cast(REFERENCE_SCHEMA)
    return Plan(
        references=longest_first(references),
        listed=rows.num_rows,
        skipped=0,
        resumed=int(done.sum()),
    )


def longest_first(references: pa.Table) -> pa.Table:
    """References by falling size; those of one size by path."""
    keys = [("size_bytes", "descending"), ("path", "ascending")]
    order = pc.sort_indices(references, keys)
    columns = [_in_order(column, order) for column in references.columns]
    return pa.table(columns, schema=references.schema)


def _in_order(column: pa.ChunkedArray, order: pa.Array) -> pa.ChunkedArray:
    """A column's values in an order; its strings may be more than one chunk can hold."""
    kind = column.type
    whole = column.cast(pa.large_string() if kind == pa.string() else kind).combine_chunks()
    starts = range(0, len(order), SORTED_AT_ONCE)
    chunks = [whole.take(order.slice(start, SORTED_AT_ONCE)).cast(kind) for start in starts]
    return pa.chunked_array(chunks, kind)


def without_units(references: pa.Table, done: Mapping[str, list[int]]) -> pa.Table:
    """References that say which units of a recording are done, by its transcript id."""
    if not done:
        return references
    known = pa.table([list(done), list(done.values())], schema=_UNITS_DONE)
    rows = pc.index_in(references["transcript_id"], value_set=known["transcript_id"])
    column = known["units_done"].take(rows)
    place = REFERENCE_SCHEMA.get_field_index("units_done")
    return references.set_column(place, "units_done", column)


def transcript_key(
    source: Source, model: ModelInfo, options: TranscribeOptions
) -> Callable[[FileRef], str]:
    """The function from a file of the source to its transcript id."""
    return lambda file: transcript_id(source.uri(file.path), file, model, options)


def cut_blocks(sizes: NDArray[np.int64], tasks: int = 1, *, files: int = BLOCK_FILES) -> list[int]:
    """How many recordings, in their order, go into each block of about equal work.

    Args:
        sizes: of the recordings (bytes), shape (n,).
        tasks: so many blocks or more, where there is enough for them.
        files: recordings of a block at most, as long as that makes no more than `MOST_BLOCKS`.
            Ray Data joins what a reading task yields of short ones, so this many are at risk when
            the process that has them dies. A run with few for each task takes `LEAST_BLOCK_FILES`.
    """
    total = int(sizes.sum())
    most = min(BLOCK_BYTES, max(LEAST_BLOCK_BYTES, total // tasks))
    most = max(most, total // MOST_BLOCKS)
    share = len(sizes) // tasks
    most_files = min(files, share) if share > LEAST_BLOCK_FILES else LEAST_BLOCK_FILES
    most_files = max(most_files, len(sizes) // MOST_BLOCKS)
    cuts: list[int] = []
    count = size = 0
    for one in _numbers(sizes):
        if count and (count == most_files or size + one > most):
            cuts.append(count)
            count = size = 0
        count += 1
        size += one
    return [*cuts, count] if count else cuts


def _numbers(sizes: NDArray[np.int64]) -> Iterator[int]:
    """The sizes one by one, without a list of millions."""
    for start in range(0, len(sizes), LISTED_AT_ONCE):
        yield from sizes[start : start + LISTED_AT_ONCE].tolist()


def reference_table(recordings: Iterable[tuple[FileRef, str]]) -> pa.Table:
    """Files and their transcript ids as a table of `REFERENCE_SCHEMA`."""
    pairs = list(recordings)
    columns = [
        [writable(file.path) for file, _ in pairs],
        [file.size_bytes for file, _ in pairs],
        [file.etag for file, _ in pairs],
        [key for _, key in pairs],
        [None] * len(pairs),
    ]
    return pa.table(columns, schema=REFERENCE_SCHEMA)


def writable(path: str) -> str:
    r"""A path as Arrow and Iceberg can hold it: bytes that are not UTF-8 become `\xNN`.

    Such a file is not found under its new name, and so becomes a row that says so.
    """
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
