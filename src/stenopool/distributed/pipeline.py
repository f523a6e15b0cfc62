"""The streaming dataset of a run: references in, transcripts' parts out, on Ray Data."""

from __future__ import annotations

import queue
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psutil
import pyarrow.compute as pc
import ray
import ray.data

from stenopool.asr.models import find_model
from stenopool.asr.torch_models import find_torch_model
from stenopool.distributed.cluster import READER_BYTES, Layout, plan_layout, quiet_ray_data
from stenopool.distributed.planning import BLOCK_BYTES
from stenopool.distributed.reading import UnitReader
from stenopool.distributed.references import RecordingReferences
from stenopool.distributed.stopping import Stop, stoppable
from stenopool.distributed.transcribing import Transcriber, Work
from stenopool.distributed.visibility import Place, sampled, this_node
from stenopool.errors import RunFailedError
from stenopool.model import WINDOW_SAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    import pyarrow as pa

    from stenopool.catalog import Source
    from stenopool.model import TranscribeOptions
    from stenopool.settings import Settings

ENGINE_BYTES = 500_000_000
"""Memory of an engine process beside its weights; measured with the demo model."""

IN_FLIGHT = 2
"""Blocks that an engine works on or has at hand; more of them would wait here while others idle."""

WINDOW_BYTES = 2 * WINDOW_SAMPLES
"""Of a full window in a block: int16."""

STOP_S = 10.0
"""How long the driver waits for a stopped iteration to end (s)."""

POLL_S = 0.5
"""The driver looks up at least this often, for commits that are due and for Ctrl-C (s)."""


def cluster_layout(options: TranscribeOptions, settings: Settings) -> Layout:
    """The layout for the Ray that is connected."""
    resources = ray.cluster_resources()
    on_gpu = options.engine != "pocketsphinx"
    gpus = int(resources.get("GPU", 0)) if on_gpu else 0
    model_bytes = engine_bytes(options, settings)
    memory = int(resources.get("memory", psutil.virtual_memory().total))
    layout = plan_layout(
        cpus=int(resources.get("CPU", 1)), gpus=gpus, memory_bytes=memory, model_bytes=model_bytes
    )
    require_memory(layout, options)
    return replace(layout, grows=settings.ray_address is not None)


def require_memory(layout: Layout, options: TranscribeOptions) -> None:
    """Check that some node can hold an engine and a reading task: else a run would only wait.

    Raises:
        RunFailedError: none can.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    largest = max((node["Resources"].get("memory", 0.0) for node in nodes), default=0.0)
    needed = layout.engine_bytes + READER_BYTES
    if largest < needed:
        raise RunFailedError(
            f"model '{options.model}' needs {needed / 1e9:.1f} GB of memory on one node, and no "
            f"node has more than {largest / 1e9:.1f} GB for tasks; take a smaller model or larger "
            "nodes"
        )


def engine_pool(engines: int, layout: Layout) -> ray.data.ActorPoolStrategy:
    """The pool of engines; on a cluster that was joined it follows the nodes that come and go."""
    size: dict[str, Any] = (
        {"min_size": 1, "initial_size": engines} if layout.grows else {"size": engines}
    )
    return ray.data.ActorPoolStrategy(**size, max_tasks_in_flight_per_actor=IN_FLIGHT)


def engine_bytes(options: TranscribeOptions, settings: Settings) -> int:
    """Memory that one engine takes on a CPU: its libraries, its weights and its work (bytes)."""
    if options.engine == "ctranslate2":
        folder, copies = find_model(options.model, settings), 2
    elif options.engine == "torch":
        # 16 bits become 32, and while weights are put in order most are there twice.
        folder, copies = find_torch_model(options.model), 4
    else:
        return ENGINE_BYTES
    return ENGINE_BYTES + copies * sum(file.stat().st_size for file in folder.iterdir())


def transcribed_parts(
    references: pa.Table,
    source: Source,
    work: Work,
    layout: Layout,
    *,
    one_by_one: bool = False,
) -> Generator[pa.Table | None]:
    """Run the dataset; yields tables of `part_schema` as they come, None when none came lately.

    A recording that ends the process that works on it has no part in the end, and neither have
    those that were in that process with it.

    Args:
        references: the recordings, of `REFERENCE_SCHEMA`.
        source: where they lie.
        work: for the engines.
        layout: how many engines, and what each task declares.
        one_by_one: whether each recording is a block of its own.
    """
    quiet_ray_data()
    blocks = RecordingReferences(
        references, tasks=8 * layout.engines, files=layout.block_windows, alone=one_by_one
    )
    size_bytes = pc.sum(references["size_bytes"]).as_py() or 0
    engines = min(layout.engines, max(blocks.blocks, size_bytes // BLOCK_BYTES))
    reader = unit_reader(source, work, layout, place=_place(references, source))
    # Not what Ray would do, which is to try again for ever what ends its process.
    once = {"max_retries": 0, "memory": READER_BYTES}
    dataset = (
        ray.data.read_datasource(
            # The number is given so that Ray does not split the blocks further.
            blocks,
            num_cpus=layout.reader_cpus,
            override_num_blocks=blocks.blocks,
            ray_remote_args=once,
        )
        .map_batches(
            reader.__call__,
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=layout.reader_cpus,
            **once,
        )
        # `map_batches` wants a number of rows for GPUs; a block is a batch, by its windows.
        .map_batches_internal(
            Transcriber,
            fn_constructor_args=(work,),
            batch_size=None,
            batch_format="pyarrow",
            compute=engine_pool(engines, layout),
            num_cpus=layout.engine_cpus,
            num_gpus=layout.engine_gpus,
            memory=layout.engine_bytes,
            max_task_retries=0,
        )
    )
    dataset.context.max_errored_blocks = -1  # the driver sees what has no part
    # Else Ray joins the reader's blocks: an hour of one recording would be one call of an engine.
    dataset.context.target_max_block_size = layout.block_windows * WINDOW_BYTES
    stop = Stop()

    def tables() -> Iterator[pa.Table]:
        with stoppable(dataset, stop):
            yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow")

    yield from polled(tables(), stop)


def _place(references: pa.Table, source: Source) -> Place:
    """Where the recordings lie, so that a node that does not see their folder says so at once."""
    return Place(
        name=source.name,
        root=source.root,
        home_node=this_node().node_id,
        samples=sampled(_Files(references)),
    )


def unit_reader(
    source: Source, work: Work, layout: Layout, *, place: Place | None = None
) -> UnitReader:
    """What reads the recordings of a run; without a place also where Ray is not."""
    return UnitReader(
        source.root,
        vad=work.options.vad,
        block_windows=layout.block_windows,
        settings=work.settings,
        place=place,
    )


class _Files:
    """Path and size of each of the references, without a list of them all."""

    def __init__(self, references: pa.Table) -> None:
        self._columns = references["path"], references["size_bytes"]

    def __len__(self) -> int:
        return len(self._columns[0])

    def __getitem__(self, index: int, /) -> tuple[str, int]:
        path, size_bytes = self._columns
        return path[index].as_py(), size_bytes[index].as_py()


def polled(tables: Iterable[pa.Table], stop: Callable[[], None]) -> Generator[pa.Table | None]:
    """The tables of a blocking iterator, and None whenever `POLL_S` goes by without one.

    Args:
        tables: iterated in a thread of its own; its error is raised here, after its last table.
        stop: ends the iterator from outside; called when this generator is closed early.
    """
    arrived: queue.Queue[pa.Table] = queue.Queue()
    errors: list[BaseException] = []

    def pump() -> None:
        try:
            for table in tables:
                arrived.put(table)
        except BaseException as error:  # noqa: BLE001 - raised again in the driver's thread
            errors.append(error)

    # A daemon, because Ctrl-C must not wait for the block that Ray is working on.
    thread = threading.Thread(target=pump, name="stenopool-parts", daemon=True)
    thread.start()
    try:
        while thread.is_alive() or not arrived.empty():
            try:
                yield arrived.get(timeout=POLL_S)
            except queue.Empty:
                yield None
    finally:
        if thread.is_alive():
            stop()
            thread.join(STOP_S)
    if errors:
        raise translated(errors[0])


def translated(error: BaseException) -> BaseException:
    """An error of the dataset as one of ours: what a worker raised, or that Ray itself failed."""
    if not isinstance(error, ray.exceptions.RayError):
        return error
    # A worker's error crosses as text: its traceback, where one line has our class and text.
    # Ray Data adds lines of advice behind it.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    own = [line for line in lines if line.startswith("stenopool.errors.")]
    last = [*lines, *own][-1]
    _, ours, text = last.partition("stenopool.errors.")
    failure = RunFailedError(text.partition(": ")[2] if ours else f"Ray failed: {last}")
    failure.__cause__ = error
    return failure
