"""Which file each recording of a table is exported to, for any number of recordings.

What is known of the recordings lies in a temporary SQLite database, in memory while it is small
and in a file that vanishes where it grows: a table may hold more paths than memory does.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TABLES: Final = """
PRAGMA journal_mode = OFF;
CREATE TABLE recordings (
    source TEXT, path TEXT, best TEXT, rows INTEGER, done INTEGER DEFAULT 0,
    PRIMARY KEY (source, path)
) WITHOUT ROWID;
CREATE TABLE names (
    name TEXT, level INTEGER, uses INTEGER, PRIMARY KEY (name, level)
) WITHOUT ROWID;
"""

_ADD_RECORDING: Final = """
INSERT INTO recordings (source, path, best, rows) VALUES (?, ?, ?, 1)
ON CONFLICT DO UPDATE SET best = max(best, excluded.best), rows = rows + 1
"""

_ADD_NAME: Final = """
INSERT INTO names VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET uses = uses + 1
"""

_TAKE: Final = """
UPDATE recordings SET done = 1 WHERE source = ? AND path = ? AND best = ? AND done = 0
"""

_USES: Final = "SELECT sum(uses) FROM names WHERE name = ? AND level >= ?"
_RECORDINGS: Final = "SELECT count(*) FROM recordings"
_REPEATED: Final = "SELECT count(*) FROM recordings WHERE rows > 1"
_FAILED: Final = "SELECT count(*) FROM recordings WHERE best < '1'"


class ExportNames:
    """Chooses one row for each recording, and a file name that no other recording has.

    Args:
        ending: of all files, such as `.srt`.
    """

    def __init__(self, ending: str) -> None:
        self._ending = ending
        self._database = sqlite3.connect("")
        self._database.executescript(_TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add(self, row: Mapping[str, Any]) -> None:
        """Take note of a row; all are added before the first is asked about."""
        key = (row["source"] or "", row["path"])
        self._database.execute(_ADD_RECORDING, (*key, rank(row)))

    def close_list(self) -> None:
        """Count the names that the recordings could have."""
        found = self._database.execute("SELECT source, path FROM recordings")
        names = (one for source, path in found for one in self._candidates(source, path))
        self._database.executemany(_ADD_NAME, names)

    @property
    def recordings(self) -> int:
        """All of them."""
        return int(self._database.execute(_RECORDINGS).fetchone()[0])

    @property
    def repeated(self) -> int:
        """Recordings with more than one row."""
        return int(self._database.execute(_REPEATED).fetchone()[0])

    @property
    def failed(self) -> int:
        """Recordings of which every row is a failure."""
        return int(self._database.execute(_FAILED).fetchone()[0])

    def take(self, row: Mapping[str, Any]) -> bool:
        """Whether this is the row of its recording; says so once for each recording."""
        key = (row["source"] or "", row["path"])
        return self._database.execute(_TAKE, (*key, rank(row))).rowcount > 0

    def name(self, row: Mapping[str, Any]) -> str:
        """The file name of a row, relative, with `/` between folders.

        The recording's name with its ending replaced; with its own ending kept where another
        recording has that name; in a folder for its source where one has that too.
        """
        source, path = row["source"] or "", row["path"]
        for name, level in self._candidates(source, path):
            # A short name gives way to the same name that is another one's longer one.
            if self._database.execute(_USES, (name, level)).fetchone()[0] == 1:
                return name
        # Different names can become one when odd parts are replaced; these never do.
        digest = hashlib.blake2b(f"{source}\0{path}".encode(), digest_size=8).hexdigest()
        return f"{safe(path)}.{digest}{self._ending}"

    def _candidates(self, source: str, path: str) -> Iterator[tuple[str, int]]:
        """Names from the shortest to the longest, with their levels."""
        whole = safe(path)
        folder, slash, name = whole.rpartition("/")
        stem = os.path.splitext(name)[0]  # noqa: PTH122 - a text, and no path of this machine
        if name != stem:
            yield f"{folder}{slash}{stem}{self._ending}", 1
        yield f"{whole}{self._ending}", 2
        yield f"{safe(source.removeprefix('@'))}/{whole}{self._ending}", 3


def rank(row: Mapping[str, Any]) -> str:
    """A text that is greater for the better row: a transcript before a failure, then the newer."""
    good = "0" if is_failure(row) else "1"
    at = row["transcribed_at"]
    moment = at.isoformat(timespec="microseconds") if at else ""
    return f"{good} {moment} {row['transcript_id']}"


def is_failure(row: Mapping[str, Any]) -> bool:
    """Whether the recording could not be transcribed."""
    return row["error_class"] is not None or row["error"] is not None


def safe(path: str) -> str:
    """A recording's path, or a source's name, as a relative path that stays where it is put."""
    parts = [part for part in path.replace("\0", "_").replace("://", "/").split("/") if part]
    kept = ["_" * len(part) if part in (".", "..") else part for part in parts]
    return "/".join(kept) or "_"
