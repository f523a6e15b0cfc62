"""The records of clusters: what is kept, and what cannot be."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from stenopool.distributed.clusters import control
from stenopool.distributed.clusters.hosts import read_hosts
from stenopool.distributed.clusters.node import device_share
from stenopool.distributed.clusters.records import ClusterRecords, NodeSpec
from stenopool.errors import (
    AlreadyExistsError,
    ClusterError,
    InvalidNameError,
    InvalidOptionError,
    NotFoundError,
)
from stenopool.settings import Settings, ssh_address

SPEC = NodeSpec(cpus=2, gpus=1, memory_bytes=10**9, object_store_bytes=10**8)


@pytest.fixture
def records(settings):
    return ClusterRecords(settings.clusters)


@pytest.fixture
def calls(records):
    """A record of a cluster that was never started."""
    made = replace(
        control.new_cluster("calls", SPEC, provider="ssh", hosts=("a", "b")), keeper=(1, 2.5)
    )
    records.add(made)
    return made


def test_a_record_is_read_as_it_was_written(records, calls):
    assert records.get("calls") == calls
    assert records.all() == [calls]


def test_a_name_is_given_once(records, calls):
    with pytest.raises(AlreadyExistsError, match="cluster down calls"):
        records.add(calls)


@pytest.mark.parametrize("name", ["", "../calls", "a b", "-x", "x" * 41, "a.b"])
def test_a_name_that_cannot_be_a_file_is_refused(records, calls, name):
    with pytest.raises(InvalidNameError, match="cannot name a cluster"):
        records.add(replace(calls, name=name))
    assert records.find(name) is None


def test_a_missing_cluster_is_named_with_those_that_there_are(records, calls):
    with pytest.raises(NotFoundError, match="no cluster 'other'; there are: calls"):
        records.get("other")


def test_a_request_keeps_the_size_to_go_back_to(records, calls):
    asked = records.ask("calls", 2, deadline=5.0)
    assert (asked.wanted, asked.before, asked.request, asked.deadline) == (2, 1, 2, 5.0)
    again = records.ask("calls", 4, deadline=9.0)
    assert (again.wanted, again.before) == (4, 1)


def test_a_request_that_was_overtaken_is_neither_closed_nor_given_up(records, calls):
    asked = records.ask("calls", 2, deadline=5.0)
    later = records.ask("calls", 3, deadline=5.0)
    records.give_up("calls", asked.request, "too late")
    records.settle("calls", asked.request, 2)
    now = records.get("calls")
    assert (now.wanted, now.problem, now.settled, now.alive) == (3, None, later.settled, 2)


def change_often(folder, field):
    records = ClusterRecords(folder)
    for count in range(1, 101):
        records.change("calls", **{field: count})


def test_two_writers_lose_nothing_of_each_other(records, calls):
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda field: change_often(records.folder, field), ("alive", "max_nodes")))
    now = records.get("calls")
    assert (now.alive, now.max_nodes) == (100, 100)


@pytest.mark.parametrize("size", [0, -1, 6, True, 2.0, "3", None])
def test_a_size_that_cannot_be_is_refused(size):
    with pytest.raises(InvalidOptionError):
        control.check_size(size, 5)


def test_a_node_takes_from_the_settings_what_nobody_says():
    settings = Settings.from_env(
        {"STENOPOOL_NODE_CPUS": "3", "STENOPOOL_NODE_MEMORY": "4000000000"}
    )
    spec = control.node_spec(settings, gpus=2)
    assert (spec.cpus, spec.gpus, spec.memory_bytes) == (3, 2, 4 * 10**9)
    assert spec.object_store_bytes == 10**9


@pytest.mark.parametrize("more", [{"cpus": 0, "gpus": 0}, {"cpus": -1}, {"memory_bytes": -5}])
def test_a_node_that_can_do_nothing_is_refused(settings, more):
    with pytest.raises(InvalidOptionError, match="needs a core or a GPU"):
        control.node_spec(settings, **more)


def test_a_setting_that_is_no_number_is_named():
    with pytest.raises(InvalidOptionError, match="STENOPOOL_NODE_GPUS is 'many'"):
        Settings.from_env({"STENOPOOL_NODE_GPUS": "many"})


def test_hosts_come_from_a_list_or_a_file(tmp_path):
    file = tmp_path / "hosts"
    file.write_text("one\n# spare\n\nme@two  # new\n")
    assert read_hosts(str(file)) == ("one", "me@two")
    assert read_hosts("one, me@two") == ("one", "me@two")
    with pytest.raises(InvalidOptionError, match="names no host"):
        read_hosts(" , ")


def test_a_host_knows_the_address_that_it_was_reached_by():
    assert ssh_address({"SSH_CONNECTION": "10.0.0.9 5001 10.0.0.2 22"}) == "10.0.0.2"
    assert ssh_address({}) is None


def test_the_only_cluster_needs_no_name(records, calls):
    assert control.only_cluster(records, None) == calls
    records.add(replace(calls, name="more"))
    with pytest.raises(InvalidOptionError, match="name one of calls, more"):
        control.only_cluster(records, None)


def test_what_a_dead_keeper_left_is_forgotten(settings, records, calls):
    assert control.records_of(settings).all() == []


def test_a_cluster_that_is_starting_has_no_address_yet(settings, records, calls):
    records.change("calls", keeper=None)
    with pytest.raises(ClusterError, match="'calls' is still starting"):
        control.address_of(settings, "calls")


@pytest.mark.parametrize(
    ("slot", "gpus", "real", "gives"),
    [
        (0, 1, ["0", "1"], {"CUDA_VISIBLE_DEVICES": "0"}),
        (1, 1, ["0", "1"], {"CUDA_VISIBLE_DEVICES": "1"}),
        (2, 1, ["0", "1"], {"CUDA_VISIBLE_DEVICES": "0"}),
        (1, 2, ["4", "5", "6", "7"], {"CUDA_VISIBLE_DEVICES": "6,7"}),
        (0, 1, [], {}),
        (0, 0, ["0"], {}),
        (0, 2, ["0"], {}),
    ],
)
def test_nodes_on_one_machine_take_different_gpus_as_far_as_there_are(slot, gpus, real, gives):
    assert device_share(slot, gpus, real) == gives
