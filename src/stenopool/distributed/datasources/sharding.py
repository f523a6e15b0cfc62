"""Packs many small files of a stage into few large ones, which are read many times faster."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import ray

from stenopool.distributed.cluster import connected
from stenopool.distributed.datasources.listing import list_files
from stenopool.distributed.datasources.location import find_folder, find_source
from stenopool.distributed.datasources.reading import opened
from stenopool.distributed.planning import writable
from stenopool.distributed.visibility import Place, require_visible, sampled, this_node
from stenopool.errors import (
    AlreadyExistsError,
    InvalidOptionError,
    NotFoundError,
    StenopoolError,
    StorageError,
)
from stenopool.settings import Settings
from stenopool.storage import open_storage
from stenopool.storage.paths import check_path
from stenopool.storage.retrying import persistently

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stenopool.distributed.datasources.listing import Files
    from stenopool.storage import Storage

SHARD_SCHEMA = pa.schema([("bytes", pa.large_binary())])
SHARD_SCHEMA_WITH_PATH = SHARD_SCHEMA.append(pa.field("path", pa.string()))

BATCH_BYTES: Final = 8 << 20
"""A reader holds a record batch of a shard at a time; a larger file is one alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shards:
    """What `generate_shards` wrote.

    Attributes:
        stage_location: where the shards lie, for `SFStageShardDataSource`.
        paths: of the shards, below the root of that stage, in the order of their files.
        files: how many files are packed in them.
        size_bytes: bytes of those files together.
    """

    stage_location: str
    paths: tuple[str, ...]
    files: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Packing:
    """One shard to be packed; it travels to the node that packs it.

    Attributes:
        source: where the files lie.
        files: what to pack.
        target: where the shard will lie.
        path: of the shard, below the target's root.
        schema: with `path` or without.
    """

    source: Place
    files: Files
    target: Place
    path: str
    schema: pa.Schema


def generate_shards(  # noqa: PLR0913  the signature that scripts call
    src_stage_location: str,
    dest_stage_location: str,
    *,
    file_pattern: str | Sequence[str] | None = None,
    target_shard_size_mb: float = 256,
    include_paths: bool = True,
    force_cleanup: bool = False,
    file_prefix: str = "shard",
    overwrite: bool = True,
    database: str | None = None,
    schema: str | None = None,
) -> Shards:
    """Pack the files of one stage location into shards at another, on Ray, in parallel.

    A shard is a file in Arrow's IPC format with a row a file: `bytes` (large_binary, verbatim)
    and `path` (string, below the root of the source's stage). The files keep the order of their
    listing, in a shard and from one to the next: `shard-000000.arrow`, `shard-000001.arrow`, …
    Shards at the destination that this call replaces are not packed, where they lie in the source.

    Args:
        src_stage_location: what to pack, as in `StageDatasource`.
        dest_stage_location: `@STAGE` or `@STAGE/folder`; the stage exists, the folder need not.
        file_pattern: as in `StageDatasource`.
        target_shard_size_mb: about so many millions of bytes a shard; a file is never divided.
        include_paths: pack the paths too.
        force_cleanup: first remove every shard at the destination, whatever its prefix.
        file_prefix: what the shards' names begin with.
        overwrite: replace the shards of this prefix; those that the new ones do not cover are
            removed afterwards. False refuses to begin where there are any.
        database: of both stages, where their names leave it out.
        schema: likewise.

    Returns:
        What was written; its `stage_location` can be given to `SFStageShardDataSource`.

    Raises:
        NotFoundError: a stage does not exist, or no file matches.
        AlreadyExistsError: shards are there, and `overwrite` is not set.
        InvalidOptionError: the size is not positive, or a database comes without a schema.
        InvalidNameError: a location or `file_prefix` cannot be one.
        StorageError: a file could not be read, or a shard not be written; the shards that this
            call wrote are removed, and with them the earlier ones that they had replaced.
    """
    if target_shard_size_mb <= 0:
        raise InvalidOptionError(f"target_shard_size_mb={target_shard_size_mb} is not positive")
    patterns = (file_pattern,) if isinstance(file_pattern, str) else tuple(file_pattern or ())
    source = find_source(src_stage_location, database=database, schema=schema, patterns=patterns)
    stage, folder = find_folder(dest_stage_location, database=database, schema=schema)
    target = open_storage(stage.root)
    earlier = _earlier(target, folder, None if force_cleanup else file_prefix)
    if earlier and not (overwrite or force_cleanup):
        raise AlreadyExistsError(
            f"{stage}/{earlier[0]} exists already; give overwrite=True or another file_prefix"
        )
    replaced = set(earlier) if source.root == stage.root else set()
    files = list_files(source, lambda file: file.path not in replaced)
    top = check_path(f"{folder}/{file_prefix}".removeprefix("/"))
    with connected(Settings.from_env().ray_address):
        home = this_node().node_id
        samples = sampled(files)
        from_ = Place(name=source.name, root=source.root, home_node=home, samples=samples)
        to = Place(name=str(stage), root=stage.root, home_node=home)
        packings = [
            Packing(
                source=from_,
                files=files.part(start, stop),
                target=to,
                path=f"{top}-{number:06}.arrow",
                schema=SHARD_SCHEMA_WITH_PATH if include_paths else SHARD_SCHEMA,
            )
            for number, (start, stop) in enumerate(_bounds(files, target_shard_size_mb * 1e6))
        ]
        if force_cleanup:
            _remove(target, earlier)
        _pack_all(packings, target)
    paths = tuple(packing.path for packing in packings)
    if not force_cleanup:
        _remove(target, [path for path in earlier if path not in set(paths)])
    return Shards(
        stage_location=f"{stage}/{folder}".rstrip("/"),
        paths=paths,
        files=len(files),
        size_bytes=files.size_bytes,
    )


def pack(packing: Packing) -> int:
    """Write one shard; runs on any node.

    Returns:
        The shard's size in bytes.

    Raises:
        StorageError: this node does not see a stage, or the storage failed.
    """
    require_visible(packing.source)
    require_visible(packing.target)
    with tempfile.TemporaryDirectory(prefix="stenopool-shard-") as folder:
        local = Path(folder, "shard.arrow")
        with (
            pa.OSFile(str(local), "wb") as sink,
            pa.ipc.new_file(sink, packing.schema) as writer,
        ):
            for batch in _batches(packing):
                writer.write_batch(batch)
        storage = open_storage(packing.target.root)
        persistently(lambda: storage.put(local, packing.path, overwrite=True))
        return local.stat().st_size


def _pack_all(packings: list[Packing], target: Storage) -> None:
    """Pack on the cluster; whatever this wrote is removed where one of them fails."""
    remote = ray.remote(num_cpus=1)(pack)
    waiting = [remote.remote(packing) for packing in packings]
    try:
        for packing, size_bytes in zip(packings, ray.get(waiting), strict=True):
            _require_written(target, packing, size_bytes)
    except BaseException as error:
        for task in waiting:
            ray.cancel(task)
        ray.wait(waiting, num_returns=len(waiting))
        tasks = zip(packings, waiting, strict=True)
        _remove(target, [packing.path for packing, task in tasks if _is_done(task)])
        cause = getattr(error, "cause", None)
        if isinstance(cause, StenopoolError):  # its text without the traceback that Ray wraps it in
            raise cause from error
        raise


def _is_done(task: ray.ObjectRef[int]) -> bool:
    try:
        ray.get(task)
    except ray.exceptions.RayError:
        return False
    return True


def _require_written(target: Storage, packing: Packing, size_bytes: int) -> None:
    """Check that this node sees the shard that another one wrote."""
    if target.stat(packing.path).size_bytes != size_bytes:
        raise StorageError(
            f"{packing.target.name}/{packing.path} is not as it was written; "
            "does every node see the same folder?"
        )


def _batches(packing: Packing) -> Iterator[pa.RecordBatch]:
    contents: list[bytes] = []
    paths: list[str] = []

    def batch() -> pa.RecordBatch:
        columns = [pa.array(contents, pa.large_binary()), pa.array(paths, pa.string())]
        return pa.RecordBatch.from_arrays(columns[: len(packing.schema)], schema=packing.schema)

    held = 0
    for file in opened(packing.source, packing.files):
        with file.stream:
            contents.append(file.stream.read())
        paths.append(writable(file.path))
        held += len(contents[-1])
        if held >= BATCH_BYTES:
            yield batch()
            contents, paths, held = [], [], 0
    if contents:
        yield batch()


def _bounds(files: Files, target_bytes: float) -> list[tuple[int, int]]:
    """Where to cut the files, in their order, into shards of about so many bytes."""
    number = np.floor(np.maximum(np.cumsum(files.sizes) - 1, 0) / target_bytes)
    starts = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist()]
    return list(zip(starts, [*starts[1:], len(files)], strict=True))


def _earlier(target: Storage, folder: str, file_prefix: str | None) -> list[str]:
    """The shards of a prefix, or of any, that lie in a folder; not those in folders below it."""
    name = re.compile(
        f"{'.*' if file_prefix is None else re.escape(file_prefix)}-\\d{{6,}}\\.arrow"
    )
    try:
        found = [file.path for file in target.list(folder)]
    except NotFoundError:
        return []
    top = f"{folder}/" if folder else ""
    return [
        path
        for path in found
        if name.fullmatch(path.removeprefix(top)) and "/" not in path.removeprefix(top)
    ]


def _remove(target: Storage, paths: Sequence[str]) -> None:
    for path in paths:
        try:
            target.remove(path)
        except NotFoundError:
            continue  # gone already is what was wanted
