"""Passing trouble of a real server is outlasted; a missing file is not asked for again."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stenopool.errors import AccessDeniedError, NotFoundError, StorageError
from stenopool.storage import open_storage
from stenopool.storage.retrying import (
    PersistentReader,
    is_passing,
    persistently,
    read_persistently,
)

pytestmark = pytest.mark.integration

CONTENT = bytes(range(256)) * 8


class Troubled(BaseHTTPRequestHandler):
    """Serves CONTENT, after the troubles of its server's list: a status, or `cut`."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(200, b"", len(CONTENT))

    def do_GET(self):
        self.server.asked += 1
        trouble = self.server.troubles.pop(0) if self.server.troubles else None
        if trouble == "cut":
            self.answer(200, CONTENT[:100], len(CONTENT))
            self.close_connection = True
        elif trouble is not None:
            self.answer(trouble, b"", 0)
        else:
            self.answer(200, CONTENT, len(CONTENT))

    def answer(self, status, body, length):
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def serving(*troubles):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Troubled)
    server.troubles, server.asked, server.daemon_threads = list(troubles), 0, True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server, open_storage(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("troubles", [[503], [429, 500], ["cut", 503]])
def test_a_read_outlasts_throttling_server_errors_and_cut_connections(troubles):
    with serving(*troubles) as (server, storage):
        assert read_persistently(storage, "a.bin") == CONTENT
        assert server.asked == len(troubles) + 1


@pytest.mark.parametrize(("status", "error"), [(404, NotFoundError), (403, AccessDeniedError)])
def test_what_will_not_pass_is_said_at_once(status, error):
    with serving(*[status] * 5) as (server, storage):
        with pytest.raises(error):
            read_persistently(storage, "a.bin")
        assert server.asked == 1


def test_trouble_that_stays_ends_at_the_deadline_and_says_how_long():
    said = pytest.raises(StorageError, match=r"503.*\(tried \d+ times in 1 s\)")
    with serving(*[503] * 1000) as (_, storage), said:
        read_persistently(storage, "a.bin", deadline_s=1)


def test_an_open_file_goes_on_where_it_was(tmp_path):
    (tmp_path / "a").write_bytes(CONTENT)

    class Stumbling:
        """A folder whose every third read is cut."""

        reads = 0

        def open(self, path):
            return StumblingFile(open_storage(str(tmp_path)).open(path), self)

    class StumblingFile:
        def __init__(self, inner, storage):
            self.seek, self.close, self._inner, self._storage = (
                inner.seek,
                inner.close,
                inner,
                storage,
            )

        def read(self, size):
            self._storage.reads += 1
            if self._storage.reads % 3 == 0:
                self._inner.read(size // 2)
                raise ConnectionResetError("cut")
            return self._inner.read(size)

    with PersistentReader(Stumbling(), "a") as reader:
        found = b"".join(iter(lambda: reader.read(100), b""))
        assert found == CONTENT
        assert reader.tell() == len(CONTENT)
        assert reader.seek(-10, 2) == len(CONTENT) - 10
        assert reader.seek(4, 1) == len(CONTENT) - 6
        assert reader.read() == CONTENT[-6:]


def test_errors_of_botocore_are_known_by_code_and_status():
    from botocore.exceptions import ClientError, EndpointConnectionError

    def caused(cause):
        error = StorageError("translated")
        error.__cause__ = OSError("s3fs")
        error.__cause__.__cause__ = cause
        return error

    def answer(code, status):
        response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
        return ClientError(response, "GetObject")

    assert is_passing(caused(answer("SlowDown", 503)))
    assert is_passing(caused(answer("RequestTimeout", 400)))
    assert is_passing(caused(answer("Odd", 502)))
    assert is_passing(caused(EndpointConnectionError(endpoint_url="http://x")))
    assert not is_passing(caused(answer("NoSuchBucket", 404)))
    assert not is_passing(caused(answer("NotImplemented", 501)))
    assert not is_passing(ValueError("a fault of the program"))


def test_a_fault_of_the_program_is_not_tried_again():
    calls = []

    def wrong():
        calls.append(1)
        raise KeyError("x")

    with pytest.raises(KeyError):
        persistently(wrong)
    assert len(calls) == 1
