"""Lanes of the GPU: one thread at a time works in each, and the lanes go side by side."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from threading import Lock
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


class Lane:
    """A lock, and on a GPU a stream of its own."""

    def __init__(self, device: torch.device, *, first: bool = False) -> None:
        """Make the lane.

        Args:
            device: where its work is done.
            first: whether its kernels go before those of other lanes where both wait.
        """
        self._lock = Lock()
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device, priority=-1 if first else 0)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have the lane to oneself; what is started on the GPU is started in it."""
        with self._lock, torch.cuda.stream(self._stream) if self._stream else nullcontext():
            yield


class Handed:
    """A tensor that one lane makes and another one reads, without the host waiting for it."""

    def __init__(self, tensor: Tensor) -> None:
        """Hand over what the current lane has started to make."""
        self._tensor = tensor
        self._made: torch.cuda.Event | None = None
        if tensor.is_cuda:
            self._made = torch.cuda.Event()
            self._made.record()

    def here(self) -> Tensor:
        """The tensor, for the lane that this is called in."""
        if self._made is not None:
            here = torch.cuda.current_stream()
            here.wait_event(self._made)
            # Else its memory could be taken again before this lane has read it.
            self._tensor.record_stream(here)
        return self._tensor

    def wait(self) -> None:
        """Wait until it is made."""
        if self._made is not None:
            self._made.synchronize()
