"""A way to end a Ray Data iteration from outside; Ray has none of its own.

Closing the iterator does not help: it waits in another thread for the next block, and if Ray is
shut down meanwhile, Ray Data's thread starts a new one. So a callback keeps the executor at hand.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ray.data._internal.execution.execution_callback import ExecutionCallback

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ray.data import Dataset
    from ray.data._internal.execution.streaming_executor import StreamingExecutor


class Stop:
    """Ends the execution of one dataset, before it starts or while it runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executor: StreamingExecutor | None = None
        self._stopped = False

    def watch(self, executor: StreamingExecutor) -> None:
        """Remember what to end; an execution that starts too late is refused."""
        with self._lock:
            if self._stopped:
                raise RuntimeError("the run was stopped before its execution started")
            self._executor = executor

    def __call__(self) -> None:
        """End it: tasks are cancelled, actors released, the iterator stops."""
        with self._lock:
            self._stopped = True
        if self._executor is not None:
            self._executor.shutdown(force=False)

    def forget(self) -> None:
        """Let go of an execution that has ended: it holds its actors, and they their cores."""
        with self._lock:
            self._executor = None


_WATCHING: Final[dict[int, Stop]] = {}
"""The stop of each thread that iterates; Ray Data calls back in that thread."""


class _Watch(ExecutionCallback):
    def before_execution_starts(self, executor: StreamingExecutor) -> None:
        if stop := _WATCHING.get(threading.get_ident()):
            stop.watch(executor)


@contextmanager
def stoppable(dataset: Dataset, stop: Stop) -> Iterator[None]:
    """Make `stop` end this dataset while the block iterates over it, in one thread."""
    callbacks = dataset.context.custom_execution_callback_classes
    callbacks.append(_Watch)
    _WATCHING[threading.get_ident()] = stop
    try:
        yield
    finally:
        del _WATCHING[threading.get_ident()]
        callbacks.remove(_Watch)
        stop.forget()
