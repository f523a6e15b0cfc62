"""A set of transcript ids that ten million of them fit into."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

ID_BYTES = 16
"""A transcript id is so many bytes, written as twice as many hexadecimal digits."""

_DIGITS = np.full(256, 255, np.uint8)
_DIGITS[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)


class TranscriptIds:
    """A set of transcript ids; 16 bytes each, 160 MB for ten million.

    Args:
        parts: columns of ids as text, as the table has them; an id may come more than once.
    """

    def __init__(self, parts: Iterable[pa.Array] = ()) -> None:
        firsts: list[NDArray[np.uint64]] = []
        seconds: list[NDArray[np.uint64]] = []
        for part in parts:
            packed = pack(part)
            firsts.append(packed[:, 0].copy())
            seconds.append(packed[:, 1].copy())
        # One half after the other, so that at no time more than two sets' worth is held.
        first, second = _joined(firsts), _joined(seconds)
        # The second halves are in order only where the first ones are equal: next to never.
        order = np.argsort(first, kind="stable")
        first = first[order]
        second = second[order]
        self._first, self._second = first, second
        self._drop_repeated()

    def __len__(self) -> int:
        return len(self._first)

    def __contains__(self, transcript_id: object) -> bool:
        return isinstance(transcript_id, str) and bool(self.holds([transcript_id])[0])

    def holds(self, ids: pa.Array | Sequence[str]) -> NDArray[np.bool_]:
        """Which of these ids are in the set; shape (n,), in their order."""
        asked = pack(ids)
        found = np.zeros(len(asked), np.bool_)
        if not len(self):
            return found
        place = np.searchsorted(self._first, asked[:, 0])
        open_ = np.arange(len(asked))
        while len(open_):  # once, but for ids that share their first half
            inside = place[open_] < len(self)
            open_ = open_[inside]
            open_ = open_[self._first[place[open_]] == asked[open_, 0]]
            same = self._second[place[open_]] == asked[open_, 1]
            found[open_[same]] = True
            open_ = open_[~same]
            place[open_] += 1
        return found

    def _drop_repeated(self) -> None:
        first, second = self._first, self._second
        if len(first) < 2:
            return
        tied = np.flatnonzero(first[1:] == first[:-1])
        if not len(tied):
            return
        kept = np.ones(len(first), np.bool_)
        for place in tied:
            start = np.searchsorted(first, first[place])
            kept[place + 1] = second[place + 1] not in second[start : place + 1]
        self._first, self._second = first[kept], second[kept]


def _joined(parts: list[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """The parts as one array; they are given up, so that their memory is free."""
    joined = np.concatenate(parts) if parts else np.empty(0, np.uint64)
    parts.clear()
    return joined


def pack(ids: pa.Array | Sequence[str]) -> NDArray[np.uint64]:
    """Ids as two numbers each; shape (n, 2).

    Raises:
        ValueError: one is no transcript id.
    """
    import pyarrow as pa

    column = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else pa.array(ids)
    if column.null_count:
        raise ValueError("a transcript id is missing")
    column = column.cast(pa.binary(2 * ID_BYTES))  # fails where one has another length
    text = np.frombuffer(column.buffers()[1], np.uint8)
    text = text[column.offset * 2 * ID_BYTES :][: len(column) * 2 * ID_BYTES]
    digits = _DIGITS[text].reshape(-1, 2)
    if len(digits) and digits.max() > 15:
        raise ValueError("a transcript id has digits that are not hexadecimal")
    packed: NDArray[np.uint64] = (digits[:, 0] << 4 | digits[:, 1]).view(np.uint64).reshape(-1, 2)
    return packed
