"""The `ctranslate2` engine: Whisper by CTranslate2, through faster-whisper's parts."""

from __future__ import annotations

import ctypes
import gc
import os
from typing import TYPE_CHECKING, Final

from stenopool.asr.ctranslate2_backend import GPU_BATCH, CTranslate2Backend
from stenopool.asr.hub import quiet_hub
from stenopool.asr.languages import likeliest
from stenopool.asr.models import (
    check_english,
    check_languages,
    check_vocabulary,
    chosen_device,
    find_model,
    is_english_only,
    model_info,
)
from stenopool.asr.whisper import transcribe_windows
from stenopool.asr.windows import checked
from stenopool.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from faster_whisper import WhisperModel
    from numpy.typing import NDArray

    from stenopool.asr.engine import Engine
    from stenopool.model import ModelInfo, TranscribeOptions, WindowResult
    from stenopool.settings import Settings

CPU_BATCH: Final = 8
"""Windows that one thread decodes together; more gained nothing, and encoding goes one by one."""


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""glibc's limits, by number: bytes that may lie free in a heap; blocks that lie in none."""


def describe(options: TranscribeOptions, settings: Settings) -> ModelInfo:
    """Name the model and check the options against its files; see `describe_model`."""
    folder = find_model(options.model, settings)
    if is_english_only(options.model):
        check_english(options)
    else:
        check_languages(options, folder)
    return model_info(options.model, settings)


def load(
    options: TranscribeOptions, settings: Settings, device: str = "auto", threads: int = 0
) -> Engine:
    """Load the model that the options name: int8 on a CPU, float16 on a GPU.

    Args:
        options: `model`, `task` and the languages are read.
        settings: where models lie.
        device: `cpu`, `cuda`, or `auto` for a GPU where there is one.
        threads: CPU threads of one call; 0 takes as many as there are cores.

    Raises:
        NotFoundError: no such model.
        InvalidOptionError: the model cannot do what the options ask for.
        ModelError: the model's files are missing or damaged.
        EngineError: a GPU was asked for and there is none.
    """
    info = describe(options, settings)
    folder = find_model(options.model, settings)
    quiet_hub()
    import ctranslate2
    from faster_whisper import WhisperModel

    _pass_over_imports()
    device = chosen_device(
        device,
        there=ctranslate2.get_cuda_device_count() > 0,
        without="CTranslate2 sees no NVIDIA GPU; `stenopool doctor` says what it found, "
        "and device 'cpu' runs without one",
    )
    workers = 1 if device == "cuda" else threads or os.cpu_count() or 1
    if device == "cpu":
        keep_freed_memory()
    try:
        model = WhisperModel(
            str(folder),
            device=device,
            compute_type="float16" if device == "cuda" else "int8",
            # A window a thread: two threads on one window wait for each other most of the time.
            cpu_threads=1,
            num_workers=workers,
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError(
            f"model '{options.model}' in '{folder}' cannot be loaded: {error}; "
            f"`stenopool models verify {folder}` says what is wrong with it"
        ) from error
    check_vocabulary(folder, model.hf_tokenizer.get_vocab_size())
    if not model.model.is_multilingual:
        check_english(options)
    # Sampling is the only random part: the same calls from the start give the same texts.
    ctranslate2.set_random_seed(0)
    return CTranslate2Engine(info, model, workers)


def _pass_over_imports() -> None:
    """Spare collections what the imports left behind, which lives as long as the process.

    Once: later it would be an engine that is to go that they never look at again.
    """
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()


def keep_freed_memory() -> None:
    """Let this process keep what it frees for its next use, where its C library is glibc.

    CTranslate2 takes and frees its blocks anew in every layer: 54 MB for the attention of tiny's
    six heads over 30 s. glibc gives blocks of such a size back to the kernel each time, which
    clears page by page what it hands out again: a third of the encoder's time, and more.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


class CTranslate2Engine:
    """An engine over one loaded model; see `stenopool.asr.Engine`.

    Args:
        info: names the model.
        model: one copy of the weights, with as many workers.
        workers: windows that are worked on at the same time; 1 on a GPU.
    """

    name: str = "ctranslate2"

    def __init__(self, info: ModelInfo, model: WhisperModel, workers: int = 1) -> None:
        self.info = info
        self.max_batch = GPU_BATCH if model.model.device == "cuda" else CPU_BATCH * workers
        self._backend = CTranslate2Backend(model, workers)

    def transcribe(
        self,
        windows: Sequence[NDArray[np.float32]],
        options: TranscribeOptions,
        presumed: Sequence[str | None],
    ) -> list[WindowResult]:
        """Transcribe windows in batches of `max_batch`; see `Engine.transcribe`."""
        results: list[WindowResult] = []
        for start in range(0, len(windows), self.max_batch):
            batch = slice(start, start + self.max_batch)
            results += transcribe_windows(self._backend, windows[batch], options, presumed[batch])
        return results

    def detect_languages(
        self, windows: Sequence[NDArray[np.float32]], allowed: Sequence[str] = ()
    ) -> list[tuple[str, float]]:
        """Find the language of each window; see `Engine.detect_languages`."""
        found: list[tuple[str, float]] = []
        for start in range(0, len(windows), self.max_batch):
            batch = windows[start : start + self.max_batch]
            mels = [self._backend.mel(checked(window)[0]) for window in batch]
            heard = self._backend.detect(self._backend.encode(mels))
            found += [likeliest(probabilities, allowed) for probabilities in heard]
        return found
