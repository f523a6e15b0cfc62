"""A decoding step as one CUDA graph: hundreds of kernels started by one call from the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable


def captured(work: Callable[[], None]) -> Callable[[], None]:
    """Record what the work starts on the GPU, and give a call that starts it all again.

    The work must touch the same memory each time and never wait for the GPU. It is run twice
    before it is recorded, since kernels are compiled and libraries take memory when first used.
    """
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(2):
            work()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    # Other threads may take memory meanwhile.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        work()
    return graph.replay
