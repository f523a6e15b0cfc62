"""The `pocketsphinx` engine: the package's own English model, with no download and no network."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from stenopool.asr.segments import in_window
from stenopool.asr.windows import checked, is_silent
from stenopool.errors import EngineError, InvalidOptionError
from stenopool.model import SAMPLE_RATE, ModelInfo, Segment, WindowResult, Word

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from stenopool.asr.engine import Engine
    from stenopool.model import TranscribeOptions
    from stenopool.settings import Settings

SILENCE_S: Final = 0.5
"""A pause of at least this length between two words ends a segment."""

PADDING_S: Final = 0.2
"""Digital silence on both sides of a window; words at its edges are lost without it."""

_FRAMES_PER_S: Final = 100
_FILLER: Final = re.compile(r"^(<.*>|\[.*\]|\+\+.*\+\+)$")
_VARIANT: Final = re.compile(r"\(\d+\)$")


def describe(options: TranscribeOptions, settings: Settings) -> ModelInfo:  # noqa: ARG001
    """Name the model; there is one, so `options.model` is not read.

    Raises:
        InvalidOptionError: another language than English, a translation, a prompt or hotwords were
            asked for.
    """
    if others := sorted(set(options.named_languages) - {"en"}):
        raise InvalidOptionError(
            f"engine 'pocketsphinx' knows English only, not '{others[0]}'; "
            "use `--engine ctranslate2` with a multilingual model"
        )
    if options.task != "transcribe":
        raise InvalidOptionError(
            "engine 'pocketsphinx' cannot translate; use `--engine ctranslate2`"
        )
    if options.prompt or options.hotwords:
        raise InvalidOptionError(
            "engine 'pocketsphinx' takes no prompt and no hotwords; use `--engine ctranslate2`"
        )
    if options.short_clips:
        raise InvalidOptionError(
            "engine 'pocketsphinx' fills nothing up, so short clips spare no work; leave "
            "`--short-clips` out"
        )
    return ModelInfo(name="pocketsphinx-en-us", revision=version("pocketsphinx"))


def load(
    options: TranscribeOptions,
    settings: Settings,
    device: str = "auto",  # noqa: ARG001
    threads: int = 0,  # noqa: ARG001
) -> Engine:
    """Load the decoder; it runs in one thread, on the CPU.

    Raises:
        InvalidOptionError: another language than English, a translation, a prompt or hotwords were
            asked for.
        EngineError: the package's model could not be loaded.
    """
    from pocketsphinx import Decoder

    info = describe(options, settings)
    try:
        decoder = Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")
    except (RuntimeError, ValueError) as error:
        raise EngineError(f"pocketsphinx could not load its model: {error}") from error
    return PocketsphinxEngine(info, decoder)


class PocketsphinxEngine:
    """An engine over one decoder; see `stenopool.asr.Engine`."""

    name: str = "pocketsphinx"

    def __init__(self, info: ModelInfo, decoder: Any) -> None:  # noqa: ANN401 - no stubs
        self.info = info
        self.max_batch = 1
        self._decoder = decoder

    def transcribe(
        self,
        windows: Sequence[NDArray[np.float32]],
        options: TranscribeOptions,
        presumed: Sequence[str | None],  # noqa: ARG002
    ) -> list[WindowResult]:
        """Decode windows one by one, as English; see `Engine.transcribe`."""
        results = []
        for window in windows:
            samples, warnings = checked(window)
            result = WindowResult(
                segments=self._segments(samples, words=options.word_timestamps),
                language="en",
                language_probability=1.0,
                warnings=warnings,
            )
            results.append(result)
        return results

    def detect_languages(
        self,
        windows: Sequence[NDArray[np.float32]],
        allowed: Sequence[str] = (),  # noqa: ARG002
    ) -> list[tuple[str, float]]:
        """English, always."""
        return [("en", 1.0)] * len(windows)

    def _segments(self, window: NDArray[np.float32], *, words: bool) -> tuple[Segment, ...]:
        if is_silent(window):
            return ()
        segments = [
            Segment(
                start_s=spoken[0].start_s,
                end_s=spoken[-1].end_s,
                text=" ".join(word.text for word in spoken),
                words=tuple(spoken) if words else (),
            )
            for spoken in _by_pauses(self._words(window))
        ]
        return in_window(segments, len(window) / SAMPLE_RATE)

    def _words(self, window: NDArray[np.float32]) -> list[Word]:
        decoder = self._decoder
        try:
            # The means of the window before would colour this one.
            decoder.reinit_feat()
            decoder.start_utt()
            decoder.process_raw(_pcm(window), full_utt=True)
            decoder.end_utt()
            found = decoder.seg() if decoder.hyp() is not None else None
        except RuntimeError as error:
            raise EngineError(f"pocketsphinx failed on a window: {error}") from error
        return [_word(part) for part in found or () if not _FILLER.match(part.word)]


def _pcm(window: NDArray[np.float32]) -> bytes:
    padding = np.zeros(int(PADDING_S * SAMPLE_RATE), dtype=np.int16)
    samples = (window.clip(-1.0, 1.0) * np.iinfo(np.int16).max).astype(np.int16)
    return np.concatenate([padding, samples, padding]).tobytes()


def _word(part: Any) -> Word:  # noqa: ANN401 - no stubs
    return Word(
        start_s=part.start_frame / _FRAMES_PER_S - PADDING_S,
        # The end frame is the word's last, not the first behind it.
        end_s=(part.end_frame + 1) / _FRAMES_PER_S - PADDING_S,
        text=_VARIANT.sub("", part.word),
        probability=min(float(part.prob), 1.0),
    )


def _by_pauses(words: Iterable[Word]) -> list[list[Word]]:
    groups: list[list[Word]] = []
    for word in words:
        if groups and word.start_s - groups[-1][-1].end_s < SILENCE_S:
            groups[-1].append(word)
        else:
            groups.append([word])
    return groups
