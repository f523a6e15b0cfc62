"""The arithmetic of the `ctranslate2` engine: encode, decode and align with CTranslate2."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from stenopool.asr.features import log_mel, without_start
from stenopool.asr.prompt import tokens_before
from stenopool.asr.quality import SAMPLES_PER_RETRY, Attempt
from stenopool.asr.timestamps import LATEST_START
from stenopool.asr.words import timed_words
from stenopool.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ctranslate2 import StorageView
    from faster_whisper import WhisperModel
    from faster_whisper.tokenizer import Tokenizer
    from numpy.typing import NDArray

    from stenopool.asr.timestamps import TimedTokens
    from stenopool.model import TranscribeOptions, Word

_Result = TypeVar("_Result")

GPU_BATCH: Final = 32
"""Windows encoded and decoded together on a GPU."""


class CTranslate2Backend:
    """The model's arithmetic; see `stenopool.asr.whisper.Backend`.

    Args:
        model: with at least `workers` workers of its own.
        workers: calls that go into it at the same time, each on one CPU thread.
    """

    def __init__(self, model: WhisperModel, workers: int = 1) -> None:
        from faster_whisper.feature_extractor import FeatureExtractor

        self._model = model
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="ctranslate2")
        self._on_gpu = model.model.device == "cuda"
        # Older folders have no preprocessor_config.json; the weights know their mel bins.
        self._extractor = FeatureExtractor(feature_size=model.model.n_mels)
        self._tokenizers: dict[tuple[str, str], Tokenizer] = {}
        self._plain = self._tokenizer("en", "transcribe")
        self._suppressed = [
            -1,  # what the model's own configuration names
            self._plain.sot,
            self._plain.sot_prev,
            self._plain.sot_lm,
            self._plain.no_speech,
            self._plain.transcribe,
            self._plain.translate,
        ]
        self.timestamp_begin: int = self._plain.timestamp_begin

    def mel(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-mel spectrogram, float32, shape (mel bins, 3000)."""
        return log_mel(window, self._extractor)

    def rest(self, mel: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
        """What is left of a spectrogram behind its first frames."""
        return without_start(mel, frames)

    def start(self, mel: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
        """The first frames of a spectrogram."""
        return mel[:, :frames]

    def encode(self, mels: Sequence[NDArray[np.float32]]) -> list[NDArray[np.floating[Any]]]:
        """Run the encoder; one array of shape (frames / 2, width) a window, in main memory.

        A CPU encodes one by one, because a batch of spectrograms falls out of its cache.
        """

        def encoded(batch: Sequence[int]) -> NDArray[np.floating[Any]]:
            storage = _storage([mels[i] for i in batch])
            return np.array(self._model.model.encode(storage, to_cpu=self._on_gpu))

        batches = _of_one_shape(mels, GPU_BATCH if self._on_gpu else 1)
        with _translated("encode", len(mels)):
            return _in_order(batches, self._pool.map(encoded, batches))

    def detect(self, encoded: Sequence[NDArray[np.floating[Any]]]) -> list[dict[str, float]]:
        """Find each language's probability; an English-only model knows."""
        if not self._model.model.is_multilingual:
            return [{"en": 1.0}] * len(encoded)

        def ranked(part: Sequence[int]) -> list[list[tuple[str, float]]]:
            found: list[list[tuple[str, float]]]
            found = self._model.model.detect_language(_storage([encoded[i] for i in part]))
            return found

        parts = self._shares(encoded)
        with _translated("detect the language of", len(encoded)):
            rankings = _in_order(parts, self._pool.map(ranked, parts))
        return [{token[2:-2]: float(share) for token, share in ranking} for ranking in rankings]

    def generate(
        self,
        encoded: Sequence[NDArray[np.floating[Any]]],
        languages: Sequence[str],
        options: TranscribeOptions,
        temperature: float,
    ) -> list[Attempt]:
        """Decode once; greedy at temperature 0, else the likeliest of a few samples."""
        prompts = [self._prompt(language, options) for language in languages]
        sampling = {"sampling_topk": 0, "sampling_temperature": temperature}

        def generated(part: Sequence[int]) -> list[Any]:
            found: list[Any] = self._model.model.generate(
                _storage([encoded[i] for i in part]),
                [prompts[i] for i in part],
                beam_size=1,
                num_hypotheses=SAMPLES_PER_RETRY if temperature else 1,
                max_length=self._model.max_length,
                max_initial_timestamp_index=LATEST_START,
                return_scores=True,
                return_no_speech_prob=True,
                suppress_blank=True,
                suppress_tokens=self._suppressed,
                **(sampling if temperature else {}),
            )
            return found

        parts = self._shares(encoded)
        with _translated("decode", len(encoded)):
            results = _in_order(parts, self._pool.map(generated, parts))
        limit = min(self._model.max_length // 2, self._model.max_length - len(prompts[0]))
        return [self._attempt(result, temperature, limit) for result in results]

    def text(self, tokens: Sequence[int]) -> str:
        """Turn tokens into text, without timestamps and other special tokens."""
        return str(self._plain.decode(list(tokens)))

    def words(
        self,
        encoded: NDArray[np.floating[Any]],
        parts: Sequence[TimedTokens],
        language: str,
        task: str,
        frames: int,
    ) -> list[tuple[Word, ...]]:
        """Align the parts' tokens with the audio by the decoder's cross-attention."""
        with _translated("align", 1):
            return timed_words(
                self._model,
                self._tokenizer(language, task),
                _storage([encoded]),
                parts,
                frames,
            )

    def _shares(self, encoded: Sequence[NDArray[np.floating[Any]]]) -> list[list[int]]:
        """Numbers of windows of one shape, the same work for each worker."""
        return _of_one_shape(encoded, -(-len(encoded) // self._workers))

    def _prompt(self, language: str, options: TranscribeOptions) -> list[int]:
        tokenizer = self._tokenizer(language, options.task)
        before = tokens_before(options, tokenizer.encode, self._model.max_length // 2 - 1)
        return list(self._model.get_prompt(tokenizer, before))

    def _tokenizer(self, language: str, task: str) -> Tokenizer:
        from faster_whisper.tokenizer import Tokenizer

        key = (language, task)
        if key not in self._tokenizers:
            self._tokenizers[key] = Tokenizer(
                self._model.hf_tokenizer,
                self._model.model.is_multilingual,
                task=task,
                language=language,
            )
            if task == "translate":
                # The opening names what was said; the words are to be cut as those of English.
                self._tokenizers[key].language_code = "en"
        return self._tokenizers[key]

    def _attempt(self, result: Any, temperature: float, limit: int) -> Attempt:  # noqa: ANN401
        tokens = tuple(result.sequences_ids[0])
        return Attempt(
            tokens=tokens,
            text=self.text(tokens).strip(),
            # The score is the mean without the end token, which counts as well.
            avg_logprob=float(result.scores[0]) * len(tokens) / (len(tokens) + 1),
            no_speech_prob=float(result.no_speech_prob),
            temperature=temperature,
            hit_limit=len(tokens) >= limit,
        )


def _of_one_shape(arrays: Sequence[NDArray[Any]], most: int) -> list[list[int]]:
    """Numbers of arrays in lots of one shape, each of so many at most and about as long."""
    alike: dict[tuple[int, ...], list[int]] = {}
    for number, array in enumerate(arrays):
        alike.setdefault(array.shape, []).append(number)
    lots = []
    for numbers in alike.values():
        parts = -(-len(numbers) // most)
        bounds = [len(numbers) * part // parts for part in range(parts + 1)]
        lots += [numbers[start:end] for start, end in pairwise(bounds)]
    return lots


def _in_order(lots: Sequence[Sequence[int]], results: Iterable[Iterable[_Result]]) -> list[_Result]:
    """The results of all lots, by the numbers in them."""
    found = {n: one for lot, some in zip(lots, results, strict=True)
             for n, one in zip(lot, some, strict=True)}  # fmt: skip
    return [found[number] for number in range(len(found))]


def _storage(arrays: Sequence[NDArray[np.floating[Any]]]) -> StorageView:
    from ctranslate2 import StorageView

    return StorageView.from_array(np.ascontiguousarray(np.stack(arrays)))


@contextmanager
def _translated(work: str, windows: int) -> Iterator[None]:
    """Turn what CTranslate2 raises into an `EngineError`."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise EngineError(f"ctranslate2 could not {work} {windows} windows: {error}") from error
