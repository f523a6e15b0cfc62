"""Storage that stutters does not matter; storage that is gone ends the run, and keeps its work."""

from __future__ import annotations

import time

import pytest
import s3fs

from faults.conftest import SAME, clips, committed, ends, wait_until
from faults.proxy import proxy
from stenopool.catalog import open_catalog

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.proof]

SEED = 20261125


@pytest.fixture
def recordings(folder, bucket):
    """The URL of a bucket with eighty recordings, and a folder with the same."""
    clips(folder, 80)
    files = s3fs.S3FileSystem()
    for path in folder.iterdir():
        files.put_file(str(path), f"{bucket}/{path.name}")
    return f"s3://{bucket}"


def test_a_bucket_that_delays_throttles_drops_and_lies_gives_the_rows_of_a_good_one(
    command, rows, run, recordings, s3_endpoint, settings
):
    # Guard: `persistently` in `opened`, and its look at the length.
    with proxy(s3_endpoint, SEED) as front:
        ends(command(
            "transcribe", recordings, "--to", "T", "--engine", "fake", "--model", "fake",
            AWS_ENDPOINT_URL=front.url,
        ))  # fmt: skip
        assert len(front.done) >= 5, f"seed {SEED} did too little: {front.done}"
    with open_catalog(settings) as catalog:
        assert catalog.runs()[0].details["report"]["storage_retries"] > 0
    run(recordings, "GOOD")
    query = f"SELECT {SAME} FROM {{}} ORDER BY path"
    assert rows(query.format("t")) == rows(query.format("good"))


@pytest.mark.parametrize("end", ["gone", "hung"])
def test_a_bucket_that_is_gone_ends_the_run_in_under_two_minutes_and_keeps_what_is_done(
    command, rows, recordings, s3_endpoint, settings, end
):
    # Guard: `require_there`; without it every recording that is left becomes a row of its own.
    words = (
        "transcribe", recordings, "--to", "T", "--engine", "fake", "--model", "fake",
    )  # fmt: skip
    with proxy(s3_endpoint, SEED, share=1.0, faults=("delay",)) as front:
        run = command(*words, "--no-vad", AWS_ENDPOINT_URL=front.url)
        wait_until(lambda: committed(settings), "the first commit")
        setattr(front, end, True)
        gone_at = time.monotonic()
        said = ends(run, 3)
        assert time.monotonic() - gone_at < 120
        assert "the storage of the recordings is gone" in said
        kept = committed(settings)
        setattr(front, end, False)
        front.woken.set()
        ends(command(*words, "--no-vad", AWS_ENDPOINT_URL=front.url))
    assert kept
    assert rows("SELECT count(*), count(DISTINCT transcript_id), count(error) FROM t") == [
        (80, 80, 0)
    ]
