"""Both Whisper engines' own arithmetic over a random checkpoint, with all that a test may vary."""

from __future__ import annotations

import copy
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import torch
from ctranslate2.converters.transformers import WhisperLoader
from faster_whisper import WhisperModel
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import WordLevel

from asr.random_weights.checkpoints import MAX_TOKENS, Checkpoint
from asr.torch_whisper.making import rules_of
from stenopool.asr.ctranslate2_backend import CTranslate2Backend
from stenopool.asr.torch_whisper.backend import ON_CPU, TorchBackend
from stenopool.asr.torch_whisper.tokens import SpecialTokens
from stenopool.asr.torch_whisper.weights import arrange
from stenopool.model import TranscribeOptions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    from stenopool.asr.quality import Attempt
    from stenopool.asr.whisper import Backend

OPTIONS = TranscribeOptions(model="random")

SPACE = "▁"
"""What the tokenizers write for it."""


class CTranslate2Model(WhisperModel):
    """faster-whisper's, in which a text may also be made without timestamps."""

    timestamps = True

    def get_prompt(self, tokenizer, previous_tokens):
        untimed = not self.timestamps
        return super().get_prompt(tokenizer, previous_tokens, without_timestamps=untimed)


def ctranslate2_backend(
    folder: Path,
    *,
    timestamps: bool = True,
    max_tokens: int = MAX_TOKENS,
    precision: str = "float32",
) -> CTranslate2Backend:
    """Load what `to_ctranslate2` wrote, as the engine does."""
    model = CTranslate2Model(str(folder), device="cpu", compute_type=precision, cpu_threads=1)
    model.timestamps = timestamps
    model.max_length = 2 * max_tokens  # prompt included, of which a text has half
    return CTranslate2Backend(model)


def torch_backend(
    point: Checkpoint,
    *,
    timestamps: bool = True,
    max_tokens: int = MAX_TOKENS,
    precision: str = "float32",
) -> TorchBackend:
    """Arrange the weights as the engine does."""
    dtype = getattr(torch, precision)
    state = {name: tensor.to(dtype) for name, tensor in point.reference.state_dict().items()}
    sizes = point.weights.dimensions
    special = point.special if timestamps else _Untimed(**_values(point.special))
    # A text has half of the positions.
    weights = replace(arrange(state, sizes), dimensions=replace(sizes, positions=2 * max_tokens))
    backend = TorchBackend(weights, tokenizer_of(point), special, ((1, 0), (1, 1)), ON_CPU)
    if not timestamps:
        backend._rules = rules_of(special, sizes.vocabulary, timestamps=False)
    return backend


class _Untimed(SpecialTokens):
    def opening(self, language: str, task: str, **_: bool) -> tuple[int, ...]:
        return super().opening(language, task, timestamps=False)


def _values(special: SpecialTokens) -> dict[str, object]:
    return {field.name: getattr(special, field.name) for field in fields(special)}


def to_ctranslate2(point: Checkpoint, folder: Path) -> Path:
    """Write the weights, float32, and a tokenizer into a folder that is there; gives it back."""
    tokenizer = tokenizer_of(point)
    # The converter may write into the tensors that it reads.
    spec = WhisperLoader()(copy.deepcopy(point.reference), tokenizer)
    spec.validate()
    spec.optimize()
    spec.save(str(folder))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def tokenizer_of(point: Checkpoint) -> Tokenizer:
    """One that calls text tokens ` word0`, ` word1` and so on, special ones as Whisper does."""
    special = point.special
    names = {f"{SPACE}word{number}": number for number in range(special.end - 1)}
    # CTranslate2 knows a multilingual model by this one.
    names["" if special.languages else "last"] = special.end - 1
    names |= {
        "<|endoftext|>": special.end,
        "<|startoftranscript|>": special.start,
        "<|startoflm|>": special.language_model,
        "<|startofprev|>": special.previous,
        "<|nospeech|>": special.no_speech,
        "<|notimestamps|>": special.no_timestamps,
    }
    codes = special.languages or {f"language{n}": special.start + 1 + n for n in range(99)}
    names |= {f"<|{name}|>": number for name, number in {**codes, **special.tasks}.items()}
    vocabulary = point.reference.config.vocab_size
    for number in range(special.timestamp_begin, vocabulary):
        names[f"<|{(number - special.timestamp_begin) * 0.02:.2f}|>"] = number
    tokenizer = Tokenizer(WordLevel(names, f"{SPACE}word0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, "never")
    tokenizer.decoder = decoders.Metaspace(SPACE, "never")
    return tokenizer


def attempts(
    backend: Backend,
    windows: Sequence[np.ndarray],
    *,
    languages: Sequence[str] | None = None,
    prompt: str | None = None,
    temperature: float = 0.0,
    together: int | None = None,
) -> list[Attempt]:
    """What the engine decodes, so many windows at a time; English where nothing else is said."""
    options = replace(OPTIONS, prompt=prompt)
    spoken = languages or ["en"] * len(windows)
    step = together or len(windows)
    found: list[Attempt] = []
    for start in range(0, len(windows), step):
        batch = slice(start, start + step)
        encoded = backend.encode([backend.mel(window) for window in windows[batch]])
        found += backend.generate(encoded, spoken[batch], options, temperature)
    return found


def texts(backend: Backend, windows: Sequence[np.ndarray], **how: object) -> list[tuple[int, ...]]:
    """The tokens of `attempts`."""
    return [attempt.tokens for attempt in attempts(backend, windows, **how)]
