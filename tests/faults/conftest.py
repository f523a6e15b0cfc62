"""A home, recordings, and the command line as a process of its own that can be broken."""

from __future__ import annotations

import os
import time

import pytest

from commands import commands
from distributed.conftest import folder, rows, run, settings, speech, write_wav
from stenopool.catalog import open_catalog, parse_name
from stenopool.catalog.ledger import Ledger

__all__ = ["folder", "rows", "run", "settings"]

DEADLINE_S = float(os.environ.get("DEADLINE_S", "240"))
SAME = "path, text, duration_s, speech_s, language, to_json(segments) AS segments, error_class"


@pytest.fixture
def command(settings):
    """`command(*words, **variables)`: start `stenopool` with the test's home."""
    with commands(settings.home) as start:
        yield start


def ends(process, code=0):
    """Wait for a command, check its exit code, and give what it printed."""
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == code, f"{process.args}: {process.returncode}\n{out}\n{err}"
    return out + err


def wait_until(ready, what):
    """Wait for a condition; fail where it does not come."""
    deadline = time.monotonic() + DEADLINE_S
    while not ready():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.05)


def clips(place, count, seconds=0.5, **more):
    """So many different recordings; `more` gives further ones by name."""
    for i in range(count):
        write_wav(place / f"{i:03}.wav", speech(seconds, seed=i))
    for name, samples in more.items():
        write_wav(place / f"{name}.wav", samples)
    return place


def loud(seed):
    """A recording that the fake engine's `…-on-loud` behaviours take for their signal."""
    samples = speech(0.5, seed).copy()
    samples[100], samples[200] = 32767, -32768
    return samples


def ledger_of(catalog, settings, run_id, **more):
    """The ledger of a run into table T."""
    target = parse_name("T", database=settings.database, schema=settings.schema)
    return Ledger(catalog, target, run_id, **more)


def committed(settings):
    """The ids that the newest run has committed so far; none before it has a table."""
    with open_catalog(settings) as catalog:
        runs = catalog.runs()
        if not runs or not catalog.table_names():
            return set()
        ledger = ledger_of(catalog, settings, runs[0].run_id)
        if not ledger.has_branch():
            return set()
        scan = ledger.table.scan(selected_fields=("transcript_id",)).use_ref(runs[0].run_id)
        return set(scan.to_arrow()["transcript_id"].to_pylist())
