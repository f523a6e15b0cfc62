"""The Ray that a run uses: the one that is there, or one of this machine's own."""

from __future__ import annotations

import logging
import os
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
import ray

from stenopool.distributed.clusters.environment import RAY_ENVIRONMENT
from stenopool.distributed.clusters.gcs import Head, dialled
from stenopool.errors import RunFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator

OBJECT_STORE_SHARE = 0.2
"""Of this machine's memory for Ray's object store: a few blocks of audio for each core."""

ENGINE_MEMORY_SHARE = 0.5
"""Of a machine's memory that models may fill together."""

READER_BYTES = 300_000_000
"""Memory that a reading task declares: its libraries, the VAD's model and about a unit of audio."""

SPARE_BYTES = 2 << 30
"""An engine may take twice its model's memory and so much more: stacks and arenas count too."""

ENGINE_CPU_SHARE = 0.75
"""Of each core that an engine on a CPU declares; the rest lets reading tasks run beside it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How many engines run, and what each of them and each reading task declares to Ray.

    Attributes:
        engines: actors in the pool.
        engine_cpus: cores that one declares.
        engine_gpus: GPUs that one declares.
        engine_threads: CPU threads that one uses.
        reader_cpus: cores that one reading task declares.
        engine_bytes: memory that one engine declares.
        block_windows: windows that an engine takes in one call, and a dead one takes with it.
        device: `cuda` or `cpu`.
        grows: whether nodes may come while the run goes on, and get engines too.
    """

    engines: int
    engine_cpus: float
    engine_gpus: float
    engine_threads: int
    reader_cpus: float
    engine_bytes: int
    block_windows: int
    device: str
    grows: bool = False

    @property
    def engine_limit_bytes(self) -> int:
        """Memory that one engine on a CPU may take before it is refused more."""
        return 2 * self.engine_bytes + SPARE_BYTES


def plan_layout(*, cpus: int, gpus: int, memory_bytes: int, model_bytes: int) -> Layout:
    """One engine a GPU; without GPUs one a core, as long as their models fit the memory.

    Args:
        cpus: cores of the cluster.
        gpus: GPUs of the cluster that the engine can use.
        memory_bytes: memory of the cluster.
        model_bytes: memory that one engine takes.
    """
    if gpus:
        return Layout(
            engines=gpus,
            engine_cpus=1.0 if cpus > gpus else 0.0,
            engine_gpus=1.0,
            engine_threads=max(1, cpus // gpus // 2),
            reader_cpus=1.0,
            engine_bytes=model_bytes,
            block_windows=128,
            device="cuda",
        )
    fit = int(memory_bytes * ENGINE_MEMORY_SHARE / max(1, model_bytes))
    engines = max(1, min(cpus, fit))
    threads = max(1, cpus // engines)
    return Layout(
        engines=engines,
        engine_cpus=threads * ENGINE_CPU_SHARE,
        engine_gpus=0.0,
        engine_threads=threads,
        reader_cpus=1 - ENGINE_CPU_SHARE,
        engine_bytes=model_bytes,
        block_windows=8,
        device="cpu",
    )


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Ray for as long as the block lasts; a Ray that was started here ends here.

    Args:
        address: of a cluster to join; None uses the Ray of this process, or starts one here.

    Raises:
        RunFailedError: Ray does not start, or does not answer.
    """
    if ray.is_initialized():
        yield
        return
    start_ray(address)
    try:
        yield
    finally:
        ray.shutdown()


def start_ray(address: str | None) -> None:
    """Join the cluster at `address`, or start Ray on this machine; its logs stay in its files.

    Raises:
        ClusterError: nobody answers at the address, or the cluster runs other versions.
        InvalidOptionError: it is no address.
        RunFailedError: Ray does not start.
    """
    os.environ.update(RAY_ENVIRONMENT | os.environ)
    own: dict[str, Any] = {"address": address}
    if address is None:
        memory = psutil.virtual_memory().total * OBJECT_STORE_SHARE
        own = {"address": "local", "include_dashboard": False, "object_store_memory": int(memory)}
    elif address != "auto":
        Head(address).check_versions()
        own = {"address": dialled(address)}
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **own)
    except Exception as error:  # bare ones too, such as that of a node that does not come up
        why = str(error).rstrip(".")
        raise RunFailedError(f"Ray did not start: {why}; `stenopool doctor` says more") from error


def quiet_ray_data() -> None:
    """Keep Ray Data's progress bars and log lines off the terminal; its log files keep them."""
    from ray.data import DataContext

    # The number of blocks is known only when the recordings are decoded; one too many is harmless.
    warnings.filterwarnings("ignore", "The minimum number of concurrent actors", UserWarning)
    # There is no other way yet to say how often a reading task is tried.
    warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for handler in logging.getLogger("ray.data").handlers:
        if type(handler).__name__ == "PlainRayHandler":  # Ray's own for the terminal
            handler.setLevel(logging.CRITICAL)
