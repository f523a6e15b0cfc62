"""The verbs of scripts: what they refuse, before anything is started."""

from __future__ import annotations

import importlib
import pickle

import pytest

from stenopool.distributed.clusters.runtime import scale_cluster
from stenopool.errors import ClusterError, InvalidOptionError, NotFoundError


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch, tmp_path):
    """A home without clusters, and no Ray."""
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setenv("STENOPOOL_HOME", str(tmp_path))
    for name in ("RAY_ADDRESS", "OBJECT_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("size", [0, -3, True, 2.5, None])
def test_a_size_that_no_cluster_can_have_is_refused(size):
    with pytest.raises(InvalidOptionError, match=r"size|at least 1"):
        scale_cluster(size)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"rollback": 3}, "unknown option 'rollback'; there are: rollback_after_seconds"),
        ({"rollback_after_seconds": 0}, "more than 0 seconds"),
        ({"rollback_after_seconds": "720"}, "more than 0 seconds"),
        ({"block_until_min_cluster_size": 6}, "between 1 and 5"),
        ({"block_until_min_cluster_size": True}, "between 1 and 5"),
    ],
)
def test_an_option_that_cannot_be_is_named(options, says):
    with pytest.raises(InvalidOptionError, match=says):
        scale_cluster(5, options=options)


@pytest.mark.parametrize("call", [("OTHER", 5), (5,)], ids=["older form", "by name"])
def test_a_wrong_notebook_is_refused(monkeypatch, call):
    monkeypatch.setenv("OBJECT_NAME", "BOOK")
    with pytest.raises(InvalidOptionError, match="this session is notebook 'BOOK'"):
        scale_cluster(*call, **({} if len(call) == 2 else {"notebook_name": "OTHER"}))


def test_the_right_notebook_gets_as_far_as_the_cluster(monkeypatch):
    monkeypatch.setenv("OBJECT_NAME", "BOOK")
    for call in (
        lambda: scale_cluster('"BOOK"', 5),
        lambda: scale_cluster(5, notebook_name="BOOK"),
    ):
        with pytest.raises(NotFoundError, match=r"ray.init\(\) first"):
            call()


def test_a_name_without_a_size_and_two_sizes_are_refused():
    with pytest.raises(InvalidOptionError, match="needs a size"):
        scale_cluster("BOOK")
    with pytest.raises(InvalidOptionError, match="takes one size"):
        scale_cluster(3, 4)


def test_an_address_where_nobody_answers_is_one_error(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ClusterError, match=r"no Ray cluster answers at 127.0.0.1:1"):
        scale_cluster(2)


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("", "scale_cluster get_nodes get_ray_dashboard_url get_cluster_size"),
        (".cluster_manager", "get_available_cpu get_available_gpu get_num_cpus_per_node"),
        (".cluster_manager", "scale_cluster get_nodes get_ray_dashboard_url get_cluster_size"),
    ],
)
def test_scripts_find_the_verbs_where_they_import_them_from(module, names):
    found = importlib.import_module(f"snowflake.ml.runtime_cluster{module}")
    assert set(names.split()) <= set(found.__all__)
    assert all(callable(getattr(found, name)) for name in found.__all__)


def test_the_vendor_s_own_packages_stay_importable_beside_ours():
    import snowflake.connector

    import snowflake.ml.runtime_cluster

    assert snowflake.connector.__file__ != snowflake.ml.runtime_cluster.__file__


def test_the_error_survives_pickling():
    error = pickle.loads(pickle.dumps(ClusterError("text")))
    assert (type(error), str(error)) == (ClusterError, "text")
