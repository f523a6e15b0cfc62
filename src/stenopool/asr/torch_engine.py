"""The `torch` engine: Whisper in torch alone, for recent NVIDIA GPUs; on a CPU right, and slow."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import numpy as np

from stenopool.asr.languages import likeliest
from stenopool.asr.models import check_english, check_languages, chosen_device
from stenopool.asr.torch_models import (
    CONFIG,
    ENGLISH_ONLY_VOCABULARY,
    GENERATION,
    TOKENIZER,
    find_torch_model,
    read_json,
    torch_model_info,
)
from stenopool.asr.whisper import transcribe_windows
from stenopool.asr.windows import checked
from stenopool.errors import InvalidOptionError, MissingExtraError, ModelError
from stenopool.model import SAMPLE_RATE, TranscribeOptions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    import torch
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from stenopool.asr.engine import Engine
    from stenopool.asr.torch_whisper.alignment import Heads
    from stenopool.asr.torch_whisper.backend import TorchBackend
    from stenopool.asr.torch_whisper.dimensions import Dimensions
    from stenopool.model import ModelInfo, WindowResult
    from stenopool.settings import Settings

BATCHES_A_CALL: Final = 4
"""Batches that one call takes best: all but the first are encoded while another is decoded."""


def describe(options: TranscribeOptions, settings: Settings) -> ModelInfo:
    """Name the model and check the options against its files; see `describe_model`."""
    if options.short_clips == "context":
        raise InvalidOptionError(
            "engine 'torch' encodes 30 s always; use `--short-clips pack` or `--engine ctranslate2`"
        )
    folder = find_torch_model(options.model)
    if read_json(folder / CONFIG).get("vocab_size") == ENGLISH_ONLY_VOCABULARY:
        check_english(options)
    else:
        check_languages(options, folder)
    return torch_model_info(options.model, settings)


def load(
    options: TranscribeOptions, settings: Settings, device: str = "auto", threads: int = 0
) -> Engine:
    """Load the model that the options name: float16 on a GPU, float32 on a CPU.

    float16 has three more bits than bfloat16 and the same speed; the models were trained in it.

    Args:
        options: `model`, `task` and the languages are read.
        settings: where the model's revision is kept.
        device: `cpu`, `cuda`, or `auto` for a GPU where there is one.
        threads: CPU threads of this process; 0 leaves the choice to torch.

    Raises:
        MissingExtraError: torch is not installed.
        NotFoundError: no such model.
        InvalidOptionError: the model cannot do what the options ask for.
        ModelError: the model's files are missing or damaged.
        EngineError: a GPU was asked for and there is none.
    """
    info = describe(options, settings)
    if find_spec("torch") is None or find_spec("safetensors") is None:
        raise MissingExtraError("engine 'torch' needs torch: pip install 'stenopool[torch]'")
    import torch

    if threads:
        torch.set_num_threads(threads)
    device = chosen_device(
        device,
        there=torch.cuda.is_available(),
        without="torch sees no NVIDIA GPU; `nvidia-smi` says whether the driver does, and "
        "device 'cpu' runs without one",
    )
    place = torch.device(device)
    dtype = torch.float16 if place.type == "cuda" else torch.float32
    return load_folder(find_torch_model(options.model), info, place, dtype)


def load_folder(
    folder: Path, info: ModelInfo, device: torch.device, dtype: torch.dtype
) -> TorchEngine:
    """Load a folder in Transformers' format onto a device, in a precision of choice."""
    from stenopool.asr.torch_whisper.backend import TorchBackend
    from stenopool.asr.torch_whisper.dimensions import Dimensions
    from stenopool.asr.torch_whisper.memory import layout_for
    from stenopool.asr.torch_whisper.tokens import SpecialTokens
    from stenopool.asr.torch_whisper.weights import read_weights

    config = read_json(folder / CONFIG)
    generation = config | read_json(folder / GENERATION)
    dimensions = Dimensions.from_config(config)
    tokenizer = _tokenizer(folder)
    special = SpecialTokens.read(tokenizer, generation, dimensions.vocabulary)
    weights = read_weights(folder, dimensions, device, dtype)
    heads = _alignment_heads(generation, dimensions)
    backend = TorchBackend(weights, tokenizer, special, heads, layout_for(weights))
    engine = TorchEngine(info, backend)
    if device.type == "cuda":
        engine.warm_up()
    return engine


def _tokenizer(folder: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(folder / TOKENIZER))
    # The library raises bare Exception, whatever is wrong.
    except Exception as error:
        raise ModelError(f"tokenizer.json in '{folder}' cannot be read: {error}") from error


def _alignment_heads(generation: dict[str, Any], dimensions: Dimensions) -> Heads:
    """Those that the model names, else all of the upper half of the layers (openai/whisper).

    Distilled models name heads of layers that only their teacher has.
    """
    named = tuple(
        (layer, head)
        for layer, head in generation.get("alignment_heads") or ()
        if layer < dimensions.decoder_layers and head < dimensions.decoder_heads
    )
    if named:
        return named
    layers = range(dimensions.decoder_layers // 2, dimensions.decoder_layers)
    return tuple((layer, head) for layer in layers for head in range(dimensions.decoder_heads))


class TorchEngine:
    """An engine over one loaded model; see `stenopool.asr.Engine`."""

    name: str = "torch"

    def __init__(self, info: ModelInfo, backend: TorchBackend) -> None:
        self.info = info
        self.max_batch = backend.layout.batch * (
            BATCHES_A_CALL if backend.layout.batches > 1 else 1
        )
        self._backend = backend

    def transcribe(
        self,
        windows: Sequence[NDArray[np.float32]],
        options: TranscribeOptions,
        presumed: Sequence[str | None],
    ) -> list[WindowResult]:
        """Transcribe windows in batches, the next encoded meanwhile; see `Engine.transcribe`."""

        def one(batch: slice) -> list[WindowResult]:
            return transcribe_windows(self._backend, windows[batch], options, presumed[batch])

        batches = self._batches(len(windows))
        if len(batches) < 2:
            return one(slice(None))
        with ThreadPoolExecutor(self._backend.layout.batches) as pool:
            return [result for results in pool.map(one, batches) for result in results]

    def detect_languages(
        self, windows: Sequence[NDArray[np.float32]], allowed: Sequence[str] = ()
    ) -> list[tuple[str, float]]:
        """Find the language of each window; see `Engine.detect_languages`."""
        found: list[tuple[str, float]] = []
        for batch in self._batches(len(windows)):
            mels = [self._backend.mel(checked(window)[0]) for window in windows[batch]]
            heard = self._backend.detect(self._backend.encode(mels))
            found += [likeliest(probabilities, allowed) for probabilities in heard]
        return found

    def _batches(self, windows: int) -> list[slice]:
        step = self._backend.layout.batch
        return [slice(start, start + step) for start in range(0, windows, step)]

    def warm_up(self) -> None:
        """Compile kernels and record decoding steps, so that the first batch need not wait."""
        noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE).astype(np.float32)
        options = TranscribeOptions(engine=self.name, model=self.info.name)
        encoded = self._backend.encode([self._backend.mel(noise)])
        for temperature in (0.0, 1.0):
            self._backend.generate(encoded, ["en"], options, temperature)
