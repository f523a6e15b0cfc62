"""An S3 server's unreliable front: it delays, throttles, drops, hangs and lies about lengths."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS = ("delay", "throttle", "error", "drop", "cut", "lie")
DELAY_S = 0.5


class Proxy(ThreadingHTTPServer):
    """Hands requests on to a server, and breaks some of the answers to `GET` of an object.

    Args:
        endpoint: URL of the server.
        seed: decides which requests are broken, and how.
        share: of the requests that are broken.
        faults: those of `FAULTS` that are done.

    Attributes:
        done: how often each fault was done.
        gone: whether every connection is closed without an answer.
        hung: whether every connection stays open without one.
    """

    daemon_threads = True

    def __init__(self, endpoint, seed, share=0.5, faults=FAULTS):
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = urlsplit(endpoint).netloc
        self.share = share
        self.faults = faults
        self.gone = False
        self.hung = False
        self.woken = threading.Event()
        self.done = Counter()
        self._random, self._lock = random.Random(seed), threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fault(self, path):
        """What is to go wrong with this request, if anything is."""
        with self._lock:
            if path.count("/") < 2 or self._random.random() > self.share:
                return None
            kind = self._random.choice(self.faults)
            self.done[kind] += 1
            return kind

    def handle_error(self, *_):
        """A client that was cut off is no surprise here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.hand_on(self.server.fault(self.path.partition("?")[0]))

    def do_HEAD(self):
        self.hand_on(None)

    do_PUT = do_POST = do_DELETE = do_HEAD  # noqa: N815 - http.server's names

    def hand_on(self, fault):
        if self.server.hung:
            self.server.woken.wait()
        if self.server.gone or fault == "drop":
            self.close_connection = True
            return
        if fault == "delay":
            time.sleep(DELAY_S)
        if fault in ("throttle", "error"):
            slow_down = b"<Error><Code>SlowDown</Code></Error>"
            self.answer(503 if fault == "throttle" else 500, [], slow_down)
            return
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length) if length else None
        upstream = HTTPConnection(self.server.upstream, timeout=60)
        upstream.request(self.command, self.path, body, dict(self.headers))
        got = upstream.getresponse()
        content = got.read()
        headers = got.getheaders()
        upstream.close()
        if fault == "cut":
            content = content[: len(content) // 2]  # less than its length says
        elif fault == "lie" and len(content) > 1:
            content = content[:-1]
            headers = [pair for pair in headers if pair[0].lower() != "content-length"]
            headers.append(("Content-Length", str(len(content))))
        self.answer(got.status, headers, content)
        if fault == "cut":
            self.close_connection = True

    def answer(self, status, headers, content):
        self.send_response_only(status)
        known = {name.lower() for name, _ in headers}
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        if "content-length" not in known:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(content if self.command != "HEAD" else b"")


@contextmanager
def proxy(endpoint, seed, share=0.5, faults=FAULTS):
    """A proxy that serves for as long as the block lasts."""
    with Proxy(endpoint, seed, share, faults) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.woken.set()
            server.shutdown()
            thread.join()
