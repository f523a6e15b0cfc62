"""A cluster on this machine: work on five nodes, scaling under way, and what a kill leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress

import psutil
import pytest

from distributed.clusters.conftest import SPEC, WAIT_S, finish, wait_for
from distributed.conftest import AUDIO
from stenopool.distributed.clusters import control
from stenopool.distributed.clusters.processes import MARK, is_running, marked
from stenopool.errors import ClusterError

pytestmark = [pytest.mark.integration, pytest.mark.proof, pytest.mark.timeout(300)]


@pytest.fixture
def digits(folder):
    for path in sorted((AUDIO / "digits").glob("*_george_1.wav")):
        shutil.copy(path, folder)
    return folder


def processes_of(records, name, word):
    """The processes of a cluster with a word in their command, by the node's number."""
    found = {}
    for process in marked(records.get(name).marker):
        with suppress(psutil.Error):  # it may end meanwhile
            if any(word in part for part in process.cmdline()[:4]):
                found[int(process.environ()[MARK].partition(".")[2])] = process
    return found


def listening(processes):
    """The addresses on which processes listen for others."""
    return {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }


def test_five_nodes_work_at_the_same_time_with_a_gpu_each(sized, script, tmp_path):
    assert sized(5).alive == 5
    code = """
        import json, os, pathlib, sys, time
        import ray
        ray.init(logging_level="ERROR")

        class Meet:
            def __call__(self, batch):
                place = pathlib.Path(os.environ["MEETING"])
                (place / ray.get_runtime_context().get_node_id()).touch()
                deadline = time.monotonic() + 60
                while len(list(place.iterdir())) < 5 and time.monotonic() < deadline:
                    time.sleep(0.02)
                batch["met"] = [len(list(place.iterdir()))] * len(batch["id"])
                return batch

        ds = ray.data.range(40, override_num_blocks=20)
        ds = ds.map_batches(Meet, batch_size=2, num_gpus=1, concurrency=5)
        print(json.dumps(sorted((row["id"], row["met"]) for row in ds.take_all())))
    """
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    code = code.replace('os.environ["MEETING"]', repr(str(meeting)))
    rows = json.loads(finish(script(code)).splitlines()[-1])
    assert rows == [[number, 5] for number in range(40)]


def test_nodes_go_while_work_goes_on_and_every_result_comes_once(sized, script, five, records):
    sized(5)
    work = script("""
        import json, sys, time
        import ray
        ray.init(logging_level="ERROR")

        class Slow:
            def __call__(self, batch):
                time.sleep(0.2)
                return batch

        ds = ray.data.range(80, override_num_blocks=40)
        ds = ds.map_batches(Slow, batch_size=2, num_gpus=1, concurrency=(1, 5))
        ids = []
        for row in ds.iter_rows():
            ids.append(int(row["id"]))
            if len(ids) == 10:
                print("under way", flush=True)
        print(json.dumps(ids))
    """)
    assert work.stdout.readline() == "under way\n"
    before = processes_of(records, five, "raylet")
    assert sized(2).alive == 2
    after = processes_of(records, five, "raylet")
    assert len(before) == 5
    assert len(after) == 2
    assert 1 in after  # the head
    assert sorted(json.loads(finish(work).splitlines()[-1])) == list(range(80))


def test_nobody_else_can_reach_the_nodes(sized, records):
    sized(2)
    found = listening(marked(records.get("five").marker))
    assert found
    assert found <= {"127.0.0.1", "::ffff:127.0.0.1"}


def test_a_size_that_is_not_reached_in_time_is_taken_back(sized, installation, five, records):
    sized(2)
    asked = control.ask(installation, five, 3, rollback_after_s=0.1)
    with pytest.raises(ClusterError, match=r"came to 2 of 3 nodes; it went back to 2"):
        control.wait_until_settled(installation, asked)
    assert len(control.alive_nodes(records.get(five).address)) == 2
    assert len(processes_of(records, five, "raylet")) <= 2


def test_the_verbs_of_scripts(sized, script, five, records):
    sized(2)
    said = finish(
        script("""
        import json, time
        import ray
        ray.init(address="auto", ignore_reinit_error=True, logging_level="ERROR")
        from snowflake.ml.runtime_cluster import get_nodes, get_ray_dashboard_url, scale_cluster
        from snowflake.ml.runtime_cluster import cluster_manager as manager

        began = time.monotonic()
        answers = [scale_cluster(3, is_async=True), len(get_nodes())]
        answers += [scale_cluster(3, options={"block_until_min_cluster_size": 2})]
        accepted_s = time.monotonic() - began
        answers += [scale_cluster('"BOOK"', 3, notebook_name=None), get_nodes()]
        answers += [manager.get_available_cpu(), manager.get_available_gpu()]
        answers += [manager.get_num_cpus_per_node(), manager.get_cluster_size()]
        answers += [get_ray_dashboard_url()]
        try:
            scale_cluster(6)
        except Exception as error:
            answers.append(str(error))
        print(json.dumps(answers))
    """)
    )
    node = {"name": "127.0.0.1", "cpus": 2, "gpus": 1}
    answers = json.loads(said.splitlines()[-1])
    assert answers[0] is answers[2] is answers[3] is True
    assert answers[1] == 2  # the third was not there yet
    assert answers[4:10] == [[node] * 3, 6.0, 3.0, 2, 3, None]
    assert "at most 5" in answers[10]


def test_a_run_on_the_cluster_gives_the_rows_of_one_machine(
    sized, environment, digits, run, rows, installation
):
    run(digits, "ALONE")
    sized(3)
    command = [sys.executable, "-m", "stenopool", "transcribe", digits, "--to", "MANY"]
    command += ["--engine", "fake", "--model", "fake", "--cluster", "five"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    from stenopool.catalog import open_catalog
    from stenopool.warehouse import query

    columns = "SELECT path, text, duration_s, transcript_id FROM"
    with open_catalog(installation) as catalog:
        many = query(f"{columns} many ORDER BY path", catalog, installation).fetchall()
    assert many == rows(f"{columns} alone ORDER BY path")
    assert len(many) == 10


def test_killed_nodes_are_replaced_and_leave_nothing(sized, records, five):
    sized(3)
    before = {number: process.pid for number, process in nodes_now(records, five).items()}
    killed = [number for number in before if number != 1]
    nodes_now(records, five)[killed[0]].kill()
    processes_of(records, five, "raylet")[killed[1]].kill()
    cluster = records.get(five)

    def replaced():
        numbers = set(nodes_now(records, five))
        names = {node.name for node in control.alive_nodes(cluster.address)}
        renewed = len(numbers) == 3 and not set(killed) & numbers
        return renewed and names == {cluster.node_name(number) for number in numbers}

    wait_for(replaced, "two new nodes")
    marker = cluster.marker
    assert not [process for number in killed for process in marked(marker, number)]


def nodes_now(records, name):
    return processes_of(records, name, "stenopool.distributed.clusters.node")


def test_nodes_end_when_their_keeper_is_killed(installation, records):
    control.start(installation, control.new_cluster("doomed", SPEC))
    doomed = records.get("doomed")
    os.kill(doomed.keeper[0], signal.SIGKILL)
    wait_for(lambda: not marked(doomed.marker), "the end of all processes")
    assert control.records_of(installation).find("doomed") is None


def test_what_a_killed_keeper_and_killed_runners_left_is_swept_up(installation, records):
    control.start(installation, control.new_cluster("doomed", SPEC))
    doomed = records.get("doomed")
    runners = list(nodes_now(records, "doomed").values())
    os.kill(doomed.keeper[0], signal.SIGKILL)
    for process in runners:
        process.kill()
    wait_for(lambda: not is_running(doomed.keeper), "the end of the keeper")
    control.records_of(installation)
    assert not marked(doomed.marker)
    assert records.find("doomed") is None


def test_a_cluster_that_does_not_come_up_leaves_nothing(installation, records):
    made = control.new_cluster("doomed", SPEC, nodes=3)
    with pytest.raises(ClusterError, match=r"'doomed' came to \d of 3 nodes.*it was ended"):
        control.start(installation, made, give_up_after_s=0.1)
    assert records.find("doomed") is None
    assert not marked(made.marker)


@pytest.mark.parametrize(
    "end",
    [signal.SIGKILL, None],
    ids=["killed", "done"],
)
def test_the_nodes_of_a_script_end_with_it(script, records, end):
    work = script(
        """
        import sys
        import ray
        ray.init(address="local", num_cpus=1, object_store_memory=10**8, include_dashboard=False,
                 logging_level="ERROR")
        from snowflake.ml.runtime_cluster import get_nodes, scale_cluster
        scale_cluster(3)
        print([(node["cpus"], node["gpus"]) for node in get_nodes()], flush=True)
        sys.stdin.readline()
    """,
        joined=False,
        STENOPOOL_NODE_CPUS="2",
        STENOPOOL_NODE_GPUS="1",
        STENOPOOL_NODE_MEMORY="500000000",
    )
    assert work.stdout.readline() == "[(1, 0), (2, 1), (2, 1)]\n"
    own = next(one for one in records.all() if one.parent and one.parent[0] == work.pid)
    assert len(nodes_now(records, own.name)) == 2
    if end:
        work.send_signal(end)
    else:
        finish(work)
    wait_for(lambda: not is_running(own.keeper), "the keeper's end")
    assert not marked(own.marker)
    assert records.find(own.name) is None
