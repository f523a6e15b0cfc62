"""Addresses of heads: who answers there, and how they are written."""

from __future__ import annotations

import http.server
import threading

import pytest

import servers
from stenopool.distributed.cluster import start_ray
from stenopool.distributed.clusters.gcs import (
    check_answers,
    compare_versions,
    dialled,
    same_head,
)
from stenopool.errors import ClusterError, InvalidOptionError


@pytest.fixture
def web_server():
    """The port of an HTTP server, which is no Ray."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        server.RequestHandlerClass.log_message = lambda *_: None
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_head_on_this_machine_is_written_so_that_ray_finds_it():
    assert dialled("127.0.0.1:6379") == dialled("localhost:6379") == "LOCALHOST:6379"
    assert dialled("10.0.0.1:6379") == "10.0.0.1:6379"
    assert same_head("127.0.0.1:6379", "LOCALHOST:6379")
    assert not same_head("127.0.0.1:6379", "127.0.0.1:6380")


def test_a_dead_address_is_one_clear_error_within_seconds():
    address = f"127.0.0.1:{servers.free_port()}"
    with pytest.raises(ClusterError, match=f"no Ray cluster answers at {address}"):
        check_answers(address)
    with pytest.raises(ClusterError, match="no Ray cluster answers"):
        start_ray(address)


def test_something_else_that_answers_is_no_cluster(web_server):
    with pytest.raises(ClusterError, match="is no Ray cluster"):
        check_answers(f"127.0.0.1:{web_server}")


@pytest.mark.parametrize("text", ["calls", "host:", ":1", "host:99999", "ray://host:x"])
def test_what_is_no_address_is_said_so(text):
    with pytest.raises(InvalidOptionError, match="neither a cluster's name nor HOST:PORT"):
        check_answers(text)


def test_other_versions_are_named():
    here = {"ray": "2.60.0", "python": "3.11.7", "stenopool": "0.1.0"}
    compare_versions("h:1", {"ray": "2.60.0", "python": "3.11.7"}, here)
    with pytest.raises(ClusterError, match=r"h:1 runs ray 2.9.0 \(here 2.60.0\); both sides"):
        compare_versions("h:1", {"ray": "2.9.0", "python": "3.11.7"}, here)
