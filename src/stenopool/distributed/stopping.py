"""A way to end a Ray Data iteration from outside; Ray has none of its own.

Closing the iterator does not help: it waits in another thread for the next block, and if Ray is
shut down meanwhile, Ray Data's thread starts a new one. So a callback keeps the executor at hand.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from ray.data._internal.execution.execution_callback import ExecutionCallback

if TYPE_CHECKING:
    from collections.abc import Callable

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


_WATCHING: Final[dict[int, Stop]] = {}
"""The stop of each thread that iterates; Ray Data calls back in that thread."""


class _Watch(ExecutionCallback):
    def before_execution_starts(self, executor: StreamingExecutor) -> None:
        if stop := _WATCHING.get(threading.get_ident()):
            stop.watch(executor)


def stoppable(dataset: Dataset, stop: Stop) -> Callable[[], None]:
    """Make `stop` end this dataset; call what this returns in the thread that iterates."""
    dataset.context.custom_execution_callback_classes.append(_Watch)

    def here() -> None:
        _WATCHING[threading.get_ident()] = stop

    return here
