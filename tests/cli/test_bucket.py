"""The same commands over a stage in a bucket, with keys that no file system would have."""

import pytest

from cli.making import tree

pytestmark = pytest.mark.integration


@pytest.fixture
def put_key(bucket):
    """Put an object under exactly this key."""
    import s3fs

    def put(key, content="x"):
        files = s3fs.S3FileSystem(use_listings_cache=False)
        files.call_s3("put_object", Bucket=bucket, Key=key, Body=content.encode())

    return put


@pytest.fixture(autouse=True)
def stage(steno, bucket):
    made = steno("stage", "create", "calls", "--url", f"s3://{bucket}/audio")
    assert made.code == 0


def test_files_go_there_and_back(steno, files, work):
    files({"rec/a b.wav": "a", "rec/x/🎙[1].wav": "b"})
    assert steno("put", "rec", "@calls/in", "-r", "--json").answer["done"] == 2
    assert steno("put", "rec", "@calls/in", "-r", "--json").answer["same"] == 2
    assert [cells[2] for cells in steno("ls", "@calls").rows] == ["in/a b.wav", "in/x/🎙[1].wav"]
    assert steno("get", "@calls/in", "back", "-r").code == 0
    assert tree(work / "back") == tree(work / "rec")
    assert steno("rm", "@calls/in", "-r", "--yes").out.startswith("2 files removed")
    assert steno("ls", "@calls", "--json").answer == []


def test_keys_that_climb_write_nothing_outside(steno, put_key, work):
    put_key("audio/good.wav")
    put_key("audio/x/../../../evil.wav")
    put_key("audio/x//double.wav")
    told = steno("get", "@calls", "deep/out", "-r")
    assert told.code == 1
    assert told.err.count("error: ") == 2
    assert tree(work) == {"deep/out/good.wav": "x"}


def test_file_with_files_below_its_name_is_removed_alone(steno, put_key):
    put_key("audio/a")
    put_key("audio/a/b.wav")
    assert steno("rm", "@calls/a").code == 0
    assert [one["path"] for one in steno("ls", "@calls", "--json").answer] == ["a/b.wav"]


def test_dropping_the_stage_keeps_the_bucket(steno, put_key, bucket):
    put_key("audio/a.wav")
    assert steno("stage", "drop", "calls").code == 0
    steno("stage", "create", "again", "--url", f"s3://{bucket}/audio")
    assert len(steno("ls", "@again").rows) == 1


def test_missing_bucket_is_one_line(steno, fails):
    steno("stage", "create", "lost", "--url", "s3://no-such-bucket-here/x")
    assert "@lost" in fails(2, "ls", "@lost")
