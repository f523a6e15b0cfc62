"""Parts of long recordings that a run has done, kept until their recording is a row.

A row is in the ledger; a part is none yet, so it lies beside the table, in a folder of its run.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from stenopool.catalog.places import place_of
from stenopool.catalog.transcripts import part_schema
from stenopool.errors import NotFoundError
from stenopool.storage import open_storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from stenopool.catalog.names import ObjectName


class PartStore:
    """The parts of one run.

    Args:
        warehouse: folder or URL of the tables' data.
        target: the run's table.
        run_id: names the run.
    """

    def __init__(self, warehouse: str, target: ObjectName, run_id: str) -> None:
        self._storage = open_storage(f"{place_of(warehouse, target)}-runs/{run_id}")

    def keep(self, parts: pa.Table) -> None:
        """Keep parts; they are there when this returns.

        Args:
            parts: of `part_schema`.

        Raises:
            StorageError: they could not be written.
        """
        from pyarrow import parquet

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "parts.parquet")
            parquet.write_table(parts, file)
            self._storage.put(file, f"{uuid4().hex}.parquet")

    def kept(self) -> Iterator[dict[str, Any]]:
        """The parts that were kept, in any order; one may come twice.

        What a version with other columns kept is left out: those units are done again.
        """
        import pyarrow as pa
        from pyarrow import parquet

        try:
            paths = [file.path for file in self._storage.list()]
        except NotFoundError:
            return
        for path in paths:
            with self._storage.open(path) as file:
                parts = parquet.read_table(pa.PythonFile(file))
            if parts.schema.equals(part_schema()):
                yield from parts.to_pylist()

    def clear(self) -> None:
        """Forget them."""
        self._storage.clear()
