"""Fetching from a hub: a real HTTP server that speaks the hub's protocol, on this machine."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stenopool.asr import describe_model, fetch_model, known_models
from stenopool.asr.models import HUB_MODELS, RECORD, demo_folder
from stenopool.errors import ModelError, NotFoundError
from stenopool.model import TranscribeOptions

TINY = HUB_MODELS["tiny"]


class Hub(BaseHTTPRequestHandler):
    """Serves `server.files` as the repository of `tiny`; counts what is asked."""

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        self.server.asked.append(self.path)
        path = self.path.partition("?")[0]
        if path.startswith(f"/api/models/{TINY.repository}"):
            return self.send(json.dumps(self.listing(tree="/tree/" in path)).encode(), body=body)
        name = path.rpartition("/")[2]
        if name in self.server.forbidden:
            return self.send(b"", status=403, body=body)
        if name in self.server.files and TINY.revision in path:
            return self.send(self.server.files[name], body=body)
        return self.send(b"", status=404, body=body)

    def listing(self, *, tree):
        files = [
            {"type": "file", "path": n, "rfilename": n, "oid": etag(c), "size": len(c)}
            for n, c in self.server.files.items()
        ]
        return files if tree else {"id": TINY.repository, "sha": TINY.revision, "siblings": files}

    def send(self, content, *, status=200, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", TINY.revision)
        self.send_header("ETag", f'"{etag(content)}"')
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *args):
        pass


def etag(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@pytest.fixture
def hub():
    """A running hub that holds the demo model under the name of `tiny`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked = []
    server.forbidden = set()
    server.files = {path.name: path.read_bytes() for path in demo_folder().iterdir()}
    server.files["README.md"] = b"not wanted"
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_fetched_model_is_whole_pinned_and_usable(hub, settings):
    folder = fetch_model("tiny", settings, endpoint=hub.url)
    assert folder == settings.models / "tiny"
    assert (folder / "model.bin").read_bytes() == hub.files["model.bin"]
    assert sorted(p.name for p in folder.iterdir()) == sorted({*hub.files, RECORD} - {"README.md"})
    info = describe_model(TranscribeOptions(model="tiny"), settings)
    assert (info.name, info.revision) == ("tiny", TINY.revision)
    assert {m.name for m in known_models(settings) if m.path} == {"demo", "tiny"}


def test_model_that_is_here_asks_nothing_of_the_network(hub, settings):
    fetch_model("tiny", settings, endpoint=hub.url)
    hub.asked.clear()
    assert fetch_model("tiny", settings, endpoint=hub.url) == settings.models / "tiny"
    assert fetch_model("demo", settings, endpoint=hub.url) == demo_folder()
    assert hub.asked == []


def test_repository_without_a_needed_file_is_no_model(hub, settings):
    del hub.files["model.bin"]
    with pytest.raises(ModelError, match=r"holds no model\.bin"):
        fetch_model("tiny", settings, endpoint=hub.url)
    assert not (settings.models / "tiny").exists()


def test_half_fetched_folder_does_not_count_and_is_finished_later(hub, settings):
    hub.forbidden = {"model.bin"}
    with pytest.raises(ModelError, match="could not be fetched"):
        fetch_model("tiny", settings, endpoint=hub.url)
    with pytest.raises(NotFoundError, match="stenopool models get tiny"):
        describe_model(TranscribeOptions(model="tiny"), settings)
    hub.forbidden = set()
    hub.asked.clear()
    fetch_model("tiny", settings, endpoint=hub.url)
    assert describe_model(TranscribeOptions(model="tiny"), settings).revision == TINY.revision
    assert not [path for path in hub.asked if path.endswith("vocabulary.json")]


def test_broken_folder_is_replaced(hub, settings):
    folder = settings.models / "tiny"
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(b"half")
    fetch_model("tiny", settings, endpoint=hub.url)
    assert (folder / "model.bin").read_bytes() == hub.files["model.bin"]


def test_refused_network_is_one_line_with_the_next_steps(settings):
    with pytest.raises(ModelError) as caught:
        fetch_model("small", settings, endpoint="http://127.0.0.1:9")
    text = str(caught.value)
    assert "\n" not in text
    for step in ("stenopool models get small", "--model demo", "--engine pocketsphinx"):
        assert step in text
    assert str(settings.models / "small") in text


def test_folder_that_cannot_be_written_is_named(settings):
    settings.home.mkdir()
    settings.models.write_text("a file where the folder should be")
    with pytest.raises(ModelError, match="STENOPOOL_MODELS"):
        fetch_model("tiny", settings, endpoint="http://127.0.0.1:9")


def test_unknown_name_cannot_be_fetched(settings):
    with pytest.raises(NotFoundError, match="these can: tiny"):
        fetch_model("huge", settings)
