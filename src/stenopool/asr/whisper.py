"""Windows in, segments out: Whisper's way through a batch, whichever engine does the arithmetic.

::

    windows ─▶ log-mel ─▶ encode ─▶ language ─▶ decode, with fallback ─▶ segments ─▶ words
                  ▲                                                       │
                  └──────── the rest of a window that ended early ◀───────┘
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from stenopool.asr.features import FRAMES, HOP_SAMPLES, context_frames
from stenopool.asr.languages import settled
from stenopool.asr.quality import attempt_warnings, decode_with_fallback, is_silence
from stenopool.asr.segments import in_window, retimed
from stenopool.asr.timestamps import split_at_timestamps
from stenopool.asr.windows import checked, is_silent
from stenopool.model import SAMPLE_RATE, Segment, WindowResult, Word

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from stenopool.asr.quality import Attempt
    from stenopool.asr.timestamps import TimedTokens
    from stenopool.model import TranscribeOptions

FRAME_S: Final = HOP_SAMPLES / SAMPLE_RATE
"""Seconds of one spectrogram frame: 0.01."""


class Backend(Protocol):
    """The arithmetic of one loaded model; lists run parallel, one entry a window.

    What `mel` and `encode` give is passed back as it is, and means nothing to the caller.

    Attributes:
        timestamp_begin: id of the token for 0.00 s.
    """

    timestamp_begin: int

    def mel(self, window: NDArray[np.float32]) -> Any:  # noqa: ANN401 - the backend's own
        """Log-mel spectrogram of a window filled up to 30 s, or what it will be made of."""
        ...

    def rest(self, mel: Any, frames: int) -> Any:  # noqa: ANN401 - the backend's own
        """The same without its first frames, filled up with silence."""
        ...

    def start(self, mel: Any, frames: int) -> Any:  # noqa: ANN401 - the backend's own
        """Its first frames alone, for an encoder that sees no more."""
        ...

    def encode(self, mels: Sequence[Any]) -> list[Any]:
        """Run the encoder."""
        ...

    def detect(self, encoded: Sequence[Any]) -> list[dict[str, float]]:
        """Find the probability of each language that the model knows, by its code."""
        ...

    def generate(
        self,
        encoded: Sequence[Any],
        languages: Sequence[str],
        options: TranscribeOptions,
        temperature: float,
    ) -> list[Attempt]:
        """Decode once, at one temperature."""
        ...

    def text(self, tokens: Sequence[int]) -> str:
        """Turn tokens into text, without timestamps and other special tokens."""
        ...

    def words(
        self,
        encoded: Any,  # noqa: ANN401 - the backend's own
        parts: Sequence[TimedTokens],
        language: str,
        task: str,
        frames: int,
    ) -> list[tuple[Word, ...]]:
        """Find the words of each part, with times from the start of what was encoded.

        A translation is English, in whichever language it was said.
        """
        ...


@dataclass(slots=True)
class _Draft:
    """A window's result while it is being made; `language` is None until it is known."""

    duration_s: float
    language: str | None
    presumed: str | None
    probability: float = 1.0
    segments: list[Segment] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def finish(self) -> WindowResult:
        return WindowResult(
            segments=in_window(self.segments, self.duration_s),
            language=self.language or self.presumed or "en",
            language_probability=self.probability if self.language else 0.0,
            warnings=tuple(dict.fromkeys(self.warnings)),
        )


@dataclass(frozen=True, slots=True)
class _Piece:
    """A window from some frame on; `frames` counts what is sound and not filled up."""

    draft: _Draft
    mel: Any
    start_frame: int
    frames: int


def transcribe_windows(
    backend: Backend,
    windows: Sequence[NDArray[np.float32]],
    options: TranscribeOptions,
    presumed: Sequence[str | None],
) -> list[WindowResult]:
    """Transcribe one batch; see `Engine.transcribe`."""
    drafts: list[_Draft] = []
    pieces: list[_Piece] = []
    for window, language in zip(windows, presumed, strict=True):
        samples, warnings = checked(window)
        duration_s = len(samples) / SAMPLE_RATE
        drafts.append(_Draft(duration_s, options.language, language, warnings=list(warnings)))
        if not is_silent(samples):
            pieces.append(_whole(backend, drafts[-1], samples))
    while pieces:
        encoded = backend.encode([_seen(backend, piece, options) for piece in pieces])
        _detect(backend, pieces, encoded, options.languages)
        attempts = _decode(backend, pieces, encoded, options)
        rests = [
            _read(backend, piece, enc, attempt, options)
            for piece, enc, attempt in zip(pieces, encoded, attempts, strict=True)
        ]
        pieces = [rest for rest in rests if rest is not None]
    return [draft.finish() for draft in drafts]


def _whole(backend: Backend, draft: _Draft, window: NDArray[np.float32]) -> _Piece:
    frames = min(-(-len(window) // HOP_SAMPLES), FRAMES)
    return _Piece(draft=draft, mel=backend.mel(window), start_frame=0, frames=frames)


def _seen(backend: Backend, piece: _Piece, options: TranscribeOptions) -> Any:  # noqa: ANN401
    """What the encoder sees of a piece: all 30 s, or not much more than the sound."""
    if options.short_clips != "context":
        return piece.mel
    return backend.start(piece.mel, context_frames(piece.frames))


def _detect(
    backend: Backend, pieces: Sequence[_Piece], encoded: Sequence[Any], allowed: Sequence[str]
) -> None:
    unknown = [i for i, piece in enumerate(pieces) if piece.draft.language is None]
    if unknown:
        found = backend.detect([encoded[i] for i in unknown])
        for i, probabilities in zip(unknown, found, strict=True):
            draft = pieces[i].draft
            draft.language, draft.probability = settled(probabilities, allowed, draft.presumed)


def _decode(
    backend: Backend,
    pieces: Sequence[_Piece],
    encoded: Sequence[Any],
    options: TranscribeOptions,
) -> list[Attempt]:
    languages = [piece.draft.language or "en" for piece in pieces]

    def decode(numbers: Sequence[int], temperature: float) -> list[Attempt]:
        chosen = [encoded[n] for n in numbers]
        return backend.generate(chosen, [languages[n] for n in numbers], options, temperature)

    return decode_with_fallback(len(pieces), decode)


def _read(
    backend: Backend,
    piece: _Piece,
    encoded: Any,  # noqa: ANN401 - the backend's own
    attempt: Attempt,
    options: TranscribeOptions,
) -> _Piece | None:
    """Add the segments of an attempt to its draft; give the rest that is still to be decoded."""
    draft = piece.draft
    if is_silence(attempt):
        return None
    draft.warnings.extend(attempt_warnings(attempt))
    split = split_at_timestamps(attempt.tokens, backend.timestamp_begin, piece.frames * FRAME_S)
    words: list[tuple[Word, ...]] = [()] * len(split.segments)
    if options.word_timestamps and split.segments:
        spoken = draft.language or "en"
        words = backend.words(encoded, split.segments, spoken, options.task, piece.frames)
    offset_s = piece.start_frame * FRAME_S
    for part, part_words in zip(split.segments, words, strict=True):
        text = backend.text(part.tokens).strip()
        if text and part.start_s < part.end_s:
            draft.segments.append(_segment(part, text, attempt, part_words, offset_s))
    return None if split.rest_s is None else _rest(backend, piece, split.rest_s)


def _segment(
    part: TimedTokens, text: str, attempt: Attempt, words: tuple[Word, ...], offset_s: float
) -> Segment:
    segment = Segment(
        start_s=part.start_s,
        end_s=part.end_s,
        text=text,
        avg_logprob=attempt.avg_logprob,
        no_speech_prob=attempt.no_speech_prob,
        compression_ratio=attempt.compression_ratio,
        temperature=attempt.temperature,
        words=words,
    )
    return retimed(segment, lambda seconds: seconds + offset_s)


def _rest(backend: Backend, piece: _Piece, rest_s: float) -> _Piece:
    frames = round(rest_s / FRAME_S)
    return _Piece(
        draft=piece.draft,
        mel=backend.rest(piece.mel, frames),
        start_frame=piece.start_frame + frames,
        frames=piece.frames - frames,
    )
