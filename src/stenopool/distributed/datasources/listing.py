"""The files of a stage as two columns: a hundred thousand of them are a few megabytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from stenopool.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from stenopool.catalog import Source
    from stenopool.model import FileRef

_CHUNK_FILES: Final = 8192

FILE_WORK_BYTES: Final = 64 << 10
"""What opening a file costs, in bytes that could be read meanwhile; small files count as work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """Some files of a source, in the order of its listing.

    Attributes:
        paths: below the source's root, in the bytes of the file system (`surrogateescape`).
        sizes: in bytes, int64, shape (files,).
    """

    paths: pa.LargeBinaryArray
    sizes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[tuple[str, int]]:
        for index in range(len(self)):
            yield self[index]

    def __getitem__(self, index: int) -> tuple[str, int]:
        return _text(self.paths[index].as_py()), int(self.sizes[index])

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return int(self.sizes.sum())

    def part(self, start: int, stop: int) -> Files:
        """The files from `start` to before `stop`, in memory of their own."""
        paths = pa.concat_arrays([self.paths.slice(start, stop - start)])
        return Files(paths=paths, sizes=self.sizes[start:stop].copy())

    def picked(self, order: NDArray[np.int64]) -> Files:
        """The files at these places, in this order."""
        return Files(paths=self.paths.take(pa.array(order)), sizes=self.sizes[order])


def list_files(source: Source, wanted: Callable[[FileRef], bool] = lambda _: True) -> Files:
    """List a source; what is held of a file is its path and its size.

    Args:
        source: where the files lie, and which of them.
        wanted: leaves out the files for which it is false.

    Raises:
        NotFoundError: no file is left.
    """
    chosen = _columns(file for file in source.list() if wanted(file))
    if not len(chosen):
        where = f"{source.name}/{source.prefix}".rstrip("/")
        patterns = ", ".join(repr(pattern) for pattern in source.patterns)
        what = f"no file under {where} matches {patterns}" if patterns else f"{where} has no file"
        raise NotFoundError(f"{what}; `stenopool ls` shows what is there")
    return chosen


def cut(files: Files, parts: int) -> list[tuple[int, int]]:
    """Where to cut the files, in their order, into so many parts of about equal work, or fewer.

    Work is bytes, and a little for each file; no part is empty.
    """
    parts = min(parts, len(files))
    ends = np.cumsum(files.sizes + FILE_WORK_BYTES)
    cuts = [0]
    for left in range(parts, 1, -1):
        done = int(ends[cuts[-1] - 1]) if cuts[-1] else 0
        share = done + (int(ends[-1]) - done) / left
        end = int(np.searchsorted(ends, share, side="left"))
        # A file goes to the part that holds more of it; each part has one, and leaves one to each.
        before = int(ends[end - 1]) if end else 0
        end += share - before > int(ends[end]) - share
        cuts.append(min(max(end, cuts[-1] + 1), len(files) - left + 1))
    return list(zip(cuts, [*cuts[1:], len(files)], strict=True))


def _columns(found: Iterable[FileRef]) -> Files:
    chunks: list[pa.LargeBinaryArray] = []
    sizes: list[NDArray[np.int64]] = []
    rows: list[tuple[bytes, int]] = []

    def close() -> None:
        chunks.append(pa.array([path for path, _ in rows], pa.large_binary()))
        sizes.append(np.array([size for _, size in rows], np.int64))
        rows.clear()

    for file in found:
        rows.append((_bytes(file.path), file.size_bytes))
        if len(rows) == _CHUNK_FILES:
            close()
    close()
    return Files(paths=pa.concat_arrays(chunks), sizes=np.concatenate(sizes))


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
