"""Once: however often, by whomever and at whatever moment a commit or a publication is repeated."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from faults.conftest import ledger_of
from stenopool.catalog import open_catalog
from stenopool.catalog.ledger import Ledger
from stenopool.catalog.transcripts import transcript_schema
from stenopool.errors import CatalogBusyError, RunFailedError


@pytest.fixture
def catalog(settings):
    with open_catalog(settings) as catalog:
        yield catalog


def made(run_id, *numbers, text="said"):
    """Rows of a run with these numbers for ids."""
    found = [
        {
            "transcript_id": str(number).rjust(32, "0"),
            "path": f"{number}.wav",
            "text": text,
            "duration_s": 1.0,
            "run_id": run_id,
            "transcribed_at": datetime.now(UTC),
        }
        for number in numbers
    ]
    return pa.Table.from_pylist(found, transcript_schema())


def numbers(rows):
    return [int(key) for (key,) in rows("SELECT transcript_id FROM t ORDER BY transcript_id")]


def test_the_owner_leaves_out_what_its_former_self_committed_after_all(settings, catalog, rows):
    # Guard: the head of the branch that a commit builds on (`Ledger._append_written`).
    stopped = ledger_of(catalog, settings, "r")
    stopped.commit(made("r", 1))
    owner = ledger_of(catalog, settings, "r")
    owner.own()
    stopped.commit(made("r", 2, text="too late"))
    owner.commit(made("r", 2, 3))
    owner.publish()
    assert numbers(rows) == [1, 2, 3]


def test_a_process_that_lost_its_run_cannot_commit_to_it(settings, catalog, rows):
    # Guard: `is_mine`, asked where the branch has moved.
    stopped = ledger_of(catalog, settings, "r", is_mine=lambda: False)
    stopped.commit(made("r", 1))
    owner = ledger_of(catalog, settings, "r")
    owner.commit(made("r", 2))
    with pytest.raises(RunFailedError, match="taken over"):
        stopped.commit(made("r", 3))
    owner.publish()
    assert numbers(rows) == [1, 2]


def test_two_publications_at_the_same_instant_show_each_row_once(
    settings, catalog, rows, monkeypatch
):
    # Guard: no blind retry; the other's rows are looked for again (`Ledger._commit`).
    both = threading.Barrier(2, timeout=60)
    plan, met = Ledger._plan, threading.local()

    def at_once(self, publication):
        found = plan(self, publication)
        if not getattr(met, "done", False):
            met.done = True
            both.wait()  # each has seen that the other has published nothing
        return found

    monkeypatch.setattr(Ledger, "_plan", at_once)
    ledgers = [ledger_of(catalog, settings, name) for name in ("a", "b")]
    ledgers[0].commit(made("a", 1, 2))
    ledgers[1].commit(made("b", 2, 3))
    threads = [threading.Thread(target=ledger.publish) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers(rows) == [1, 2, 3]


def test_a_publication_that_is_repeated_changes_nothing(settings, catalog, rows):
    ledger = ledger_of(catalog, settings, "a")
    ledger.commit(made("a", 1))
    ledger.publish()
    ledger.publish()
    ledger_of(catalog, settings, "a").publish()
    assert numbers(rows) == [1]


def test_a_commit_whose_answer_was_lost_is_not_made_again(settings, catalog, rows, monkeypatch):
    # Guard: the commit's id in its snapshot (`Ledger._landed`).
    ledger = ledger_of(catalog, settings, "a")
    commit, lost = type(catalog.iceberg).commit_table, []

    def losing(self, *arguments):
        answer = commit(self, *arguments)
        if not lost:
            lost.append(answer)
            raise CatalogBusyError("the answer was lost")
        return answer

    monkeypatch.setattr(type(catalog.iceberg), "commit_table", losing)
    assert ledger.commit(made("a", 1)) > 0  # bytes: it is known to have been made
    ledger.publish()
    assert lost
    assert numbers(rows) == [1]


def test_live_rows_that_another_run_has_shown_meanwhile_are_left_out(settings, catalog, rows):
    # Guard: the head of main, for a run that appends to it.
    first = ledger_of(catalog, settings, "a", live=True)
    second = ledger_of(catalog, settings, "b", live=True)
    first.commit(made("a", 1, 2))
    second.commit(made("b", 2, 3))
    first.commit(made("a", 3, 4))
    assert numbers(rows) == [1, 2, 3, 4]


def test_a_catalog_that_is_away_for_a_while_is_waited_for(settings, catalog, rows, monkeypatch):
    # Guard: the patience of `Ledger._commit`.
    ledger = ledger_of(catalog, settings, "a")
    commit, refused = type(catalog.iceberg).commit_table, []

    def away(self, *arguments):
        if len(refused) < 3:
            refused.append(1)
            raise CatalogBusyError("database is locked")
        return commit(self, *arguments)

    monkeypatch.setattr(type(catalog.iceberg), "commit_table", away)
    ledger.commit(made("a", 1))
    ledger.publish()
    assert numbers(rows) == [1]


def test_a_catalog_that_stays_away_ends_the_wait_with_its_words(settings, catalog, monkeypatch):
    ledger = ledger_of(catalog, settings, "a", patience_s=0.5)

    def away(self, *_):
        raise CatalogBusyError("the catalog is away")

    monkeypatch.setattr(type(catalog.iceberg), "commit_table", away)
    with pytest.raises(CatalogBusyError, match="the catalog is away"):
        ledger.commit(made("a", 1))


def test_a_published_run_leaves_no_trace_of_its_commits_in_the_table(settings, catalog):
    ledger = ledger_of(catalog, settings, "a")
    for number in range(5):
        ledger.commit(made("a", number))
    ledger.publish()
    table = ledger.table.refresh()
    assert "a" not in table.refs()
    assert len(table.metadata.snapshots) == 2  # the empty table, and the publication


def test_a_run_of_many_commits_carries_only_its_last_snapshot(settings, catalog, rows):
    # Guard: `tables.expire` in each commit; the thousandth took as long as forty first ones.
    ledger = ledger_of(catalog, settings, "a")
    for number in range(4):
        ledger.commit(made("a", number))
    assert len(ledger.table.metadata.snapshots) == 2  # the empty table, and all four
    assert len(list((settings.home / "tables").rglob("snap-*.avro"))) == 2
    assert len(ledger.own().ids) == 4
    ledger.publish()
    assert numbers(rows) == [0, 1, 2, 3]


def test_a_published_run_leaves_no_file_that_listed_its_branch(settings, catalog, rows):
    ledger = ledger_of(catalog, settings, "a")
    for number in range(3):
        ledger.commit(made("a", number))
    ledger.publish()
    table = ledger.table.refresh()
    named = {one.manifest_list for one in table.metadata.snapshots}
    named |= {m.manifest_path for one in table.metadata.snapshots for m in one.manifests(table.io)}
    there = (settings.home / "tables").rglob("*.avro")
    assert {path.name for path in there} == {name.rpartition("/")[2] for name in named}
    assert numbers(rows) == [0, 1, 2]
