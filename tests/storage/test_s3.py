"""What is special about S3: pages, folder markers, ETags that are no MD5, and its refusals."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from stenopool.errors import AlreadyExistsError, InvalidNameError, NotFoundError, StorageError
from stenopool.storage import open_storage
from stenopool.storage.s3 import S3Storage


@pytest.fixture
def s3(bucket):
    return open_storage(f"s3://{bucket}/top")


@pytest.fixture
def client(s3):
    """Calls of the S3 protocol itself, to make what our own code would not."""
    return s3.files.call_s3


def paths(found):
    return [one.path for one in found]


def test_a_missing_bucket_is_named(s3_endpoint):
    with pytest.raises(NotFoundError, match="no-such-bucket-here"):
        open_storage("s3://no-such-bucket-here/x").list()


def test_the_root_may_be_a_whole_bucket(bucket, new_file):
    whole = open_storage(f"s3://{bucket}")
    whole.put(new_file(b"1"), "a/b.wav")
    assert paths(whole.list()) == paths(whole.list("a")) == ["a/b.wav"]
    whole.clear()
    assert list(whole.list()) == []


def test_folder_markers_are_no_files(s3, client, bucket, new_file):
    s3.put(new_file(b"1"), "a/b.wav")
    for key in ("top/", "top/a/", "top/empty/"):
        client("put_object", Bucket=bucket, Key=key, Body=b"")
    assert paths(s3.list()) == ["a/b.wav"]
    with pytest.raises(NotFoundError):
        s3.open("empty")


def test_a_file_and_a_folder_may_have_one_name(s3, new_file):
    s3.put(new_file(b"file"), "a")
    s3.put(new_file(b"below"), "a/b")
    assert paths(s3.list("a")) == ["a", "a/b"]
    assert paths(s3.list("a/")) == ["a", "a/b"]


class SmallPages(S3Storage):
    """As the real one, with pages that a test can fill."""

    page_keys = 3


def test_a_listing_streams_page_by_page(bucket, client, new_file):
    s3 = SmallPages(f"s3://{bucket}/top")
    for number in range(8):
        s3.put(new_file(b""), f"{number}.wav")
    found = s3.list()
    assert next(found).path == "0.wav"
    client("delete_object", Bucket=bucket, Key="top/6.wav")
    assert paths(found) == [f"{number}.wav" for number in (1, 2, 3, 4, 5, 7)]
    s3.clear()
    assert list(s3.list()) == []


def test_an_etag_that_is_no_md5_is_compared_by_content(s3, client, bucket, new_file):
    content = os.urandom(5 << 20) + b"tail"
    where = {"Bucket": bucket, "Key": "top/parts"}
    upload = client("create_multipart_upload", **where)["UploadId"]
    parts = [
        {
            "PartNumber": number,
            "ETag": client("upload_part", **where, UploadId=upload, PartNumber=number, Body=body)[
                "ETag"
            ],
        }
        for number, body in ((1, content[: 5 << 20]), (2, content[5 << 20 :]))
    ]
    client("complete_multipart_upload", **where, UploadId=upload, MultipartUpload={"Parts": parts})
    assert "-" in s3.stat("parts").etag
    assert s3.put(new_file(content), "parts") is False
    with pytest.raises(AlreadyExistsError):
        s3.put(new_file(content[:-1] + b"x"), "parts")


class Encrypted(S3Storage):
    """As the real one, with the ETag that S3 gives an object under a key of its own (SSE-KMS)."""

    def _head(self, path):
        return super()._head(path) | {"ETag": f'"{"0" * 32}"', "ServerSideEncryption": "aws:kms"}


def test_an_etag_of_an_encrypted_object_is_not_taken_for_an_md5(bucket, new_file):
    s3 = Encrypted(f"s3://{bucket}/top")
    s3.put(new_file(b"content"), "secret")
    assert s3.put(new_file(b"content"), "secret") is False
    with pytest.raises(AlreadyExistsError):
        s3.put(new_file(b"CONTENT"), "secret")


def test_of_writers_of_one_new_file_one_wins(s3, new_file):
    files = [new_file(bytes([number]) * 1000) for number in range(6)]
    start = threading.Barrier(len(files))

    def write(file):
        start.wait()
        try:
            return s3.put(file, "fought-over")
        except AlreadyExistsError:
            return None

    with ThreadPoolExecutor(len(files)) as pool:
        outcomes = list(pool.map(write, files))
    assert outcomes.count(True) == 1
    with s3.open("fought-over") as file:
        assert file.read() == files[outcomes.index(True)].read_bytes()


def test_a_file_that_changes_while_it_is_read_is_an_error(s3, new_file):
    s3.put(new_file(os.urandom(17 << 20)), "changing")
    with s3.open("changing") as file:
        file.read(10)
        s3.put(new_file(os.urandom(17 << 20)), "changing", overwrite=True)
        with pytest.raises(StorageError, match="changing"):
            file.read()


def test_a_file_that_vanishes_while_it_is_read_is_not_found(s3, new_file):
    s3.put(new_file(os.urandom(17 << 20)), "vanishing")
    with s3.open("vanishing") as file:
        file.read(10)
        s3.remove("vanishing")
        with pytest.raises(NotFoundError, match="vanishing"):
            file.read()


def test_a_name_that_s3fs_would_cut_is_refused(s3, new_file):
    with pytest.raises(InvalidNameError, match="versionId"):
        s3.put(new_file(b"x"), "a?versionId=1")


PROGRAM = """
import os, sys
import s3fs
from stenopool.errors import StorageError
from stenopool.storage import open_storage

def say():
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        open_storage("s3://bucket/x").list()
    except StorageError as error:
        print(type(error).__name__, error)

say()
os.environ |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
os.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
say()
"""


@pytest.mark.proof
def test_missing_keys_and_a_server_that_is_away_are_told_apart(s3_endpoint):
    away = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    environ = {name: value for name, value in os.environ.items() if "AWS_" not in name} | away
    environ |= {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_MAX_ATTEMPTS": "1",
    }
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, check=True
    )
    no_keys, no_server = answer.stdout.splitlines()
    assert no_keys.startswith("AccessDeniedError 's3://bucket/x': no credentials")
    assert no_server.startswith("StorageError 's3://bucket/x'")
