"""The simulated scheduler: nothing lost, nothing twice, no faster than its nodes, as planned."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stenopool.distributed.reading import is_full

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import simulate

MODEL = simulate.Model(gpus=20, cores=4, waiting_calls=10)
RECORDINGS = simulate.Recordings.drawn(10_000, seed=1)
AS_IT_IS = simulate.Case(name="as it is")
HARD = simulate.Case(name="hard", nodes_lost=9, drivers_lost=2)


def found(case, model=MODEL, recordings=RECORDINGS, seed=2):
    return simulate.simulate(recordings, model, case, seed)


@pytest.mark.parametrize("case", [*simulate.cases(200), HARD], ids=str)
def test_every_unit_is_heard_once_and_no_faster_than_the_work_takes(case):
    # That each is heard once is checked by `simulate` itself, which raises where it is not.
    answer = found(case)
    assert answer["wall_s"] >= answer["bound_s"]
    assert 0 < answer["busy_share"] <= 1
    assert 0 <= answer["tail_s"] <= answer["wall_s"]
    assert answer["nodes_lost"] == case.nodes_lost
    assert answer["gpu_hours"] * 3600 <= MODEL.gpus * answer["wall_s"] * (1 + 1e-9)
    assert answer["gpu_hours"] * 3600 * answer["busy_share"] >= answer["bound_s"] * MODEL.gpus


def test_what_a_lost_node_had_is_tried_again_and_nothing_else():
    calm, hard = found(AS_IT_IS), found(replace(AS_IT_IS, nodes_lost=9))
    assert [one["recordings"] for one in calm["passes"]] == [10_000]
    assert calm["twice_share"] == 0
    again = hard["passes"][1]["recordings"]
    assert 0 < again < 0.05 * 10_000
    assert hard["passes"][1]["tasks"] == again
    assert 0 < hard["twice_share"] < 0.05


def test_what_waits_on_a_node_is_lost_with_it():
    lost = replace(AS_IT_IS, nodes_lost=9)
    few = found(lost, replace(MODEL, waiting_calls=1))["passes"][1]["recordings"]
    many = found(lost, replace(MODEL, waiting_calls=100))["passes"][1]["recordings"]
    assert many > 3 * few


def ten_calls():
    """One reading task with ten calls of a second each."""
    return simulate.Tasks([0, 10], np.arange(10), np.arange(11), [0.0] * 10, [1.0] * 10, 10)


def test_a_node_starts_and_then_hears_one_call_after_another():
    cluster = simulate.Cluster(replace(MODEL, gpus=1, start_s=60.0), [], [], seed=0)
    assert cluster.work(ten_calls()).tolist() == [1] * 10
    assert (cluster.now, cluster.busy_s, cluster.paid_s()) == (70.0, 10.0, 70.0)


def test_a_lost_driver_costs_what_was_under_way_and_not_committed():
    # The first call is committed at once, since none was for so long; the next would be at 66 s.
    model = replace(MODEL, gpus=1, start_s=60.0, restart_s=30.0)
    cluster = simulate.Cluster(model, [], [63.5], seed=0)
    assert cluster.work(ten_calls()).tolist() == [1] + [0] * 9
    assert (cluster.lost_s, cluster.now) == (2.5, 93.5)


def test_a_lost_node_is_paid_until_it_goes_and_its_successor_from_then_on():
    model = replace(MODEL, gpus=1, start_s=60.0, replace_s=100.0)
    cluster = simulate.Cluster(model, [62.5], [], seed=0)
    assert cluster.work(ten_calls()).tolist() == [1, 1] + [0] * 8
    assert cluster.lost_s == 0.5
    cluster.work(ten_calls())
    assert cluster.now == 62.5 + 100 + 60 + 10
    assert cluster.paid_s() == 62.5 + 70


def test_longest_first_in_units_has_the_shortest_tail():
    def tail_s(**way):
        model, recordings = replace(MODEL, gpus=100), simulate.Recordings.drawn(20_000, seed=2)
        return found(replace(AS_IT_IS, **way), model, recordings)["tail_s"]

    listed, whole = tail_s(sorted_=False), tail_s(in_units=False)
    assert tail_s() < min(listed, whole) / 3
    assert max(listed, whole) < tail_s(sorted_=False, in_units=False) / 2


def test_the_same_seed_gives_the_same_figures():
    assert found(HARD) == found(HARD)
    assert found(HARD) != found(HARD, seed=3)


def test_calls_end_where_a_reading_task_ends_them():
    random = np.random.default_rng(4)
    windows = random.integers(0, 60, 500)
    sample_bytes = random.integers(0, 20 << 20, 500)
    ends = np.append(np.sort(random.choice(np.arange(1, 500), 40, replace=False)), 500)
    expected, rows = [], []
    for i in range(500):
        rows.append({"windows": range(windows[i]), "samples": range(sample_bytes[i])})
        if is_full(rows, 128) or i + 1 in ends:
            expected.append(i + 1)
            rows = []
    assert simulate.call_ends(windows, sample_bytes, ends).tolist() == expected


def test_units_are_as_long_as_their_recordings():
    units = simulate.Units.cut(np.array([5.0, 600.0, 601.0, 36_000.0]), MODEL, in_units=True)
    lengths = np.add.reduceat(units.lengths_s, units.first[:-1])
    assert lengths.tolist() == [5.0, 600.0, 601.0, 36_000.0]
    assert units.first[:4].tolist() == [0, 1, 2, 4]
    assert units.lengths_s.max() <= simulate.UNIT_S


def test_a_line_of_json_names_what_it_was_made_with(monkeypatch, capsys):
    words = ["simulate.py", "--recordings", "2000", "--gpus", "10", "--price", "2", "--json"]
    monkeypatch.setattr(sys, "argv", words)
    simulate.main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["scheduled"]["name"] for line in lines][:2] == ["as it is", "listing order"]
    for line in lines:
        assert line["command"] == (
            "tools/simulate.py --recordings 2000 --gpus 10 --price 2 --seed 0 --json"
        )
        assert line["cost"] == pytest.approx(2 * line["gpu_hours"])
        assert line["model"]["gpus"] == 10
