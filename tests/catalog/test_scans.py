"""A table is read a few files at a time, however many it has."""

from __future__ import annotations

import pyarrow as pa

from stenopool.catalog import tables


class Counted:
    """A table's storage that counts the data files that are opened."""

    def __init__(self, io):
        self._io = io
        self.opened = set()

    def new_input(self, location):
        if location.endswith(".parquet"):
            self.opened.add(location)
        return self._io.new_input(location)

    def __getattr__(self, name):
        return getattr(self._io, name)


def test_no_more_files_are_begun_than_are_asked_for_at_once(local_catalog):
    # Guard: `tables.batches`; PyIceberg's own reader begins with all of them.
    schema = pa.schema([("number", pa.int64())])
    table = local_catalog.create_table(local_catalog.name("T"), schema, create_missing=True)
    for number in range(6):
        table.append(pa.table([[number]], schema=schema))
    scan = table.scan()
    scan.io = Counted(scan.io)
    batches = tables.batches(scan, files_at_once=2)
    first = next(batches)
    assert len(scan.io.opened) == 2
    read = pa.Table.from_batches([first, *batches])
    assert sorted(read["number"].to_pylist()) == list(range(6))
    assert first.schema == schema
