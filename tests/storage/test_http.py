"""Single files from a real web server, with and without ranges."""

from __future__ import annotations

import http.server
import re
import threading

import pytest

from stenopool.errors import AccessDeniedError, InvalidNameError, NotFoundError, StorageError
from stenopool.storage import open_storage

CONTENT = bytes(range(256)) * 40


class Site(http.server.BaseHTTPRequestHandler):
    """`/ranges/` serves parts of a file, `/whole/` only all of it, `/closed/` refuses."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(send=False)

    def do_GET(self):
        self.answer(send=True)

    def answer(self, *, send):
        folder, _, name = self.path.strip("/").partition("/")
        if folder == "closed":
            self.reply(403, b"", {}, send=send)
        elif name != "a%20b.wav?key=1":
            self.reply(404, b"", {}, send=send)
        elif folder == "ranges" and (asked := self.headers.get("Range")):
            first, last = re.fullmatch(r"bytes=(\d+)-(\d*)", asked).groups()
            part = CONTENT[int(first) : int(last) + 1 if last else None]
            span = f"bytes {first}-{int(first) + len(part) - 1}/{len(CONTENT)}"
            self.reply(206, part, {"Content-Range": span, "Accept-Ranges": "bytes"}, send=send)
        else:
            ranges = {"Accept-Ranges": "bytes"} if folder == "ranges" else {}
            self.reply(200, CONTENT, ranges | {"ETag": '"v1"'}, send=send)

    def reply(self, status, body, headers, *, send):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if send:
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("folder", ["ranges", "whole"])
def test_a_file_is_read_and_can_seek(site, folder, tmp_path):
    storage = open_storage(f"{site}/{folder}")
    (found,) = storage.list("a%20b.wav?key=1")
    assert (found.path, found.size_bytes) == ("a%20b.wav?key=1", len(CONTENT))
    with storage.open(found.path) as file:
        assert file.read(10) == CONTENT[:10]
        file.seek(-100, 2)
        assert file.read() == CONTENT[-100:]
        file.seek(0)
        assert file.read() == CONTENT
    storage.get(found.path, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == CONTENT


def test_a_pattern_may_leave_the_file_out(site):
    assert list(open_storage(f"{site}/whole").list("a%20b.wav?key=1", ["*.flac"])) == []


def test_an_etag_is_the_servers(site):
    assert open_storage(f"{site}/whole").stat("a%20b.wav?key=1").etag == "v1"


def test_a_missing_file_and_a_closed_one_are_told_apart(site, tmp_path):
    for act in ("open", "stat", "list", "get"):
        arguments = [tmp_path / "copy"] if act == "get" else []
        with pytest.raises(NotFoundError, match="nope"):
            getattr(open_storage(f"{site}/whole"), act)("nope", *arguments)
        with pytest.raises(AccessDeniedError, match="closed/nope"):
            getattr(open_storage(f"{site}/closed"), act)("nope", *arguments)


def test_a_server_that_is_away_is_a_storage_error():
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:9"):
        open_storage("http://127.0.0.1:9/x").stat("a.wav")


def test_a_web_server_is_neither_listed_nor_written(site, new_file):
    storage = open_storage(f"{site}/whole")
    with pytest.raises(InvalidNameError, match="one file"):
        storage.list()
    for act in (
        lambda: storage.put(new_file(b"x"), "new"),
        lambda: storage.remove("a"),
        storage.clear,
    ):
        with pytest.raises(StorageError, match="only be read"):
            act()
