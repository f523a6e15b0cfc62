"""What the nodes of one cluster have in common: versions, and the variables that Ray reads.

``python -m stenopool.distributed.clusters.environment`` prints the versions, for the other end of
an SSH connection to compare with its own.
"""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from typing import Final

RAY_ENVIRONMENT: Final = {
    # Nothing is sent anywhere.
    "RAY_USAGE_STATS_ENABLED": "0",
    # What the node's memory ran out under is tried again by the run, not for ever by Ray.
    "RAY_task_oom_retries": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Ray's own is a second, after which a reading task of a few clips would wait for a new
    # process, which takes longer to start than the task takes.
    "RAY_idle_worker_killing_time_threshold_ms": "30000",
    # Otherwise the first driver waits for the node's first workers, and for ever where one of them
    # dies or is slow (ray-project/ray#40131); so it goes on, and Ray starts others after a minute.
    "RAY_prestart_worker_first_driver": "0",
    # A thread's own heap is of 64 MB at most, which CTranslate2's larger blocks outgrow; in the one
    # heap of all threads they find the memory of those before. See `asr.ctranslate2`.
    "MALLOC_ARENA_MAX": "1",
}
"""Read by Ray when it starts, here and on the nodes, and by the processes that it starts."""


def versions() -> dict[str, str]:
    """Of Python and of the packages that talk to each other."""
    packages = {name: version(name) for name in ("ray", "stenopool")}
    return {"python": platform.python_version(), **packages}


if __name__ == "__main__":
    print(json.dumps(versions()))  # noqa: T201 - it is read by a program
