"""How many texts fit beside the weights, and how much is done at once."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Final

import torch

from stenopool.asr.torch_whisper.backend import ON_CPU, Layout
from stenopool.errors import EngineError

if TYPE_CHECKING:
    from stenopool.asr.torch_whisper.weights import Weights

MOST_SLOTS: Final = 256
"""More read the weights no less often to speak of: a step is bound by the caches by then."""

ENCODE_TOGETHER: Final = 32
"""Windows in one pass of the encoder: 48,000 rows fill a GPU."""

FILL_TOGETHER: Final = 64
"""Texts that are begun in one pass: its small products cost the same for many as for few."""

_KEPT_FREE: Final = 0.1
"""Share of the memory for graphs, libraries and what does not fit neatly."""

_WORK_BYTES: Final = 3 << 30
"""One pass of the largest encoder, and one reading of prompts, over as many windows."""

_BATCH_SLOTS: Final = 2
"""Windows of a batch for each slot: at its end slots run empty, which is paid once in so many."""


def layout_for(weights: Weights) -> Layout:
    """Choose by what is free on the device.

    Raises:
        EngineError: not even one text fits.
    """
    if weights.device.type != "cuda":
        return ON_CPU
    # What an engine that is gone held is torch's still, and would count as taken.
    gc.collect()
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info(weights.device)
    work = min(_WORK_BYTES, free // 3)
    slots = int(free - work - _KEPT_FREE * total) // _bytes_of_slot(weights)
    if slots < 1:
        raise EngineError(
            f"the GPU has {free / 1e9:.1f} GB free beside the model, too little for one text; end "
            "what else runs on it, or take a smaller model"
        )
    slots = min(slots, MOST_SLOTS)
    return Layout(
        encode_together=min(ENCODE_TOGETHER, slots),
        fill_together=min(FILL_TOGETHER, slots),
        slots=slots,
        batch=_BATCH_SLOTS * slots,
        batches=2,
        graphs=True,
    )


def _bytes_of_slot(weights: Weights) -> int:
    """Keys and values of a text, and encoded windows of two batches: 335 MB in large-v3."""
    sizes = weights.dimensions
    rows = 2 * sizes.decoder_layers * (sizes.frames + sizes.positions)
    rows += 2 * _BATCH_SLOTS * sizes.frames
    return rows * sizes.width * weights.dtype.itemsize
