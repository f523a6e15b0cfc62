"""`stenopool.write` finds the destination that a text names, and says what went wrong there."""

from __future__ import annotations

import sys

import pytest

import stenopool
from distributed.datasinks.values import nothing, numbers
from stenopool.errors import InvalidNameError, InvalidOptionError, MissingExtraError, NotFoundError

pytestmark = pytest.mark.integration


@pytest.mark.proof
def test_a_table_of_the_catalog_gets_added_and_replaced_rows(ray_cluster, rows):
    assert stenopool.write(numbers(20), "t") == 20
    assert stenopool.write(numbers(5, first=20), "t", create_missing=False) == 5
    assert rows("SELECT count(*), count(DISTINCT id) FROM t") == [(25, 25)]
    assert stenopool.write(numbers(3), "t", overwrite=True) == 3
    assert stenopool.write(nothing(), "t") == 0
    assert rows("SELECT count(*) FROM t") == [(3,)]


def test_what_a_task_raises_keeps_its_class_and_text(ray_cluster, rows):
    def counts_late(batch):  # the first block is all that the driver sees
        return batch | ({"word": batch["id"]} if min(batch["id"]) > 0 else {})

    def fails(batch):
        raise ValueError("my own")

    stenopool.write(numbers(3), "t")
    with pytest.raises(InvalidOptionError, match=r"column 'WORD' is of type .*string.* int64"):
        stenopool.write(numbers(100).map_batches(counts_late), "t")
    with pytest.raises(NotFoundError, match="NOWHERE"):
        stenopool.write(numbers(3), "nowhere", create_missing=False)
    with pytest.raises(Exception, match="my own") as caught:
        stenopool.write(numbers(3).map_batches(fails), "t")
    assert not isinstance(caught.value, stenopool.StenopoolError)


def test_a_bucket_and_an_unknown_scheme_are_refused(rows):
    with pytest.raises(InvalidNameError, match=r"STENOPOOL_WAREHOUSE"):
        stenopool.write(None, "s3://bucket/calls")
    with pytest.raises(InvalidNameError, match=r"mysql://.*postgresql://host/database/table"):
        stenopool.write(None, "mysql://host/calls")


def test_a_part_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "stenopool.distributed.datasinks.postgres", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'stenopool\[postgres\]'"):
        stenopool.write(None, "postgresql://host/db/t")
