"""The words of the glossary as frozen types; nothing here touches a file, a network or an engine.

Times inside audio are counted in samples at 16 kHz and become seconds only where a person or a
table reads them, so that a ten-hour recording does not drift.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from stenopool.errors import InvalidOptionError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

SAMPLE_RATE: Final = 16_000
"""Samples a second of all audio inside Stenopool (Hz); what Whisper and Silero VAD take."""

WINDOW_S: Final = 30
"""The longest window that an encoder sees (s)."""

WINDOW_SAMPLES: Final = WINDOW_S * SAMPLE_RATE

UNSPACED_LANGUAGES: Final = frozenset({"ja", "lo", "my", "th", "yue", "zh"})
"""Languages whose script puts no space between words or sentences."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRef:
    """A file in a stage, folder or bucket, without its bytes.

    Attributes:
        path: where it lies under the listed root, with `/` between folders.
        size_bytes: its length.
        etag: changes when the content does: a bucket's ETag, or a folder's time and size.
        modified_at: when it was last written (UTC), where the storage knows.
    """

    path: str
    size_bytes: int
    etag: str
    modified_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioInfo:
    """What a container declares about its sound, read without decoding it.

    Attributes:
        duration_s: declared length (s); None where the container does not say.
        sample_rate_hz: of the stream, before any resampling.
        channels: of the stream.
        codec: FFmpeg's name of the codec, such as `flac` or `pcm_mulaw`.
        container: FFmpeg's name of the container, such as `wav` or `mov,mp4,m4a,3gp,3g2,mj2`.
    """

    duration_s: float | None
    sample_rate_hz: int
    channels: int
    codec: str
    container: str


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of audio, in samples at 16 kHz: `start` is inside, `end` is not."""

    start: int
    end: int

    @property
    def samples(self) -> int:
        """Its length in samples."""
        return self.end - self.start


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """A stretch of a recording that one engine actor takes at once.

    Attributes:
        index: 0 for the first unit of its recording.
        last: whether the recording ends with it.
        windows: where its windows lie in the recording, ordered, none over 30 s.
        samples: the windows' audio one after another, int16, shape (sum of the windows,), 16 kHz.
        decoded_samples: length of the stretch, silence included.
        speech: where the VAD heard speech in the recording: ordered, disjoint; None without VAD.
        warnings: what the reader of the transcript should know.
    """

    index: int
    last: bool
    windows: tuple[Span, ...]
    samples: NDArray[np.int16]
    decoded_samples: int
    speech: tuple[Span, ...] | None
    warnings: tuple[str, ...] = ()

    @property
    def speech_samples(self) -> int:
        """How much of it the VAD took for speech; `decoded_samples` without VAD."""
        if self.speech is None:
            return self.decoded_samples
        return sum(span.samples for span in self.speech)


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """A word inside a segment; times in seconds from the start of the recording or window."""

    start_s: float
    end_s: float
    text: str
    probability: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """Text with a start and an end.

    Attributes:
        start_s: seconds from the start of the window (in an engine) or recording (in a row).
        end_s: likewise; never before `start_s`.
        text: what was said, without white space around it.
        avg_logprob: mean log-probability of the tokens, at most 0; None where the engine has none.
        no_speech_prob: probability of the no-speech token, 0 to 1; None likewise.
        compression_ratio: length of the text over its zlib length; high for repeated text.
        temperature: the sampling temperature that gave the text; 0 is greedy.
        words: with times and probabilities, where they were asked for.
        language: ISO 639-1 code of its window (in a row); None in an engine, whose windows have it.
    """

    start_s: float
    end_s: float
    text: str
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None
    temperature: float | None = None
    words: tuple[Word, ...] = ()
    language: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowResult:
    """What an engine made of one window: its segments, and the language that it took.

    Attributes:
        segments: ordered by time, times from the start of the window; empty for silence.
        language: ISO 639-1 code, such as `en`.
        language_probability: 0 to 1; 1.0 where the options name the language.
        warnings: such as a text that still repeats after every temperature.
    """

    segments: tuple[Segment, ...]
    language: str
    language_probability: float
    warnings: tuple[str, ...] = ()


class OptionValues(TypedDict, total=False):
    """The fields of `TranscribeOptions` as keyword arguments."""

    model: str
    engine: str
    language: str | None
    task: Literal["transcribe", "translate"]
    word_timestamps: bool
    vad: bool
    prompt: str | None
    languages: Sequence[str]
    hotwords: str | None
    short_clips: Literal["context", "pack"] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TranscribeOptions:
    """Everything that changes what a transcript says.

    Attributes:
        model: a name (`demo`, `small`, `large-v3`, …), or a folder with a converted model.
        engine: `ctranslate2`, `pocketsphinx`, or an installed entry point's name.
        language: ISO 639-1 code; None detects it, see `stenopool.asr.languages`.
        task: `transcribe` keeps the language, `translate` gives English.
        word_timestamps: whether every word gets a start, an end and a probability.
        vad: whether silence is found and left out (Silero VAD); False transcribes all of it.
        prompt: text that the model is made to believe came before each window. Nothing else does:
            windows are transcribed side by side, none in the knowledge of the text before it.
        languages: ISO 639-1 codes among which the language is detected; none allows all. Kept as a
            tuple, sorted, each once.
        hotwords: names and terms that are to become likelier, such as `Stenopool, Iceberg`; they
            stand before each window, in front of the prompt. Both are cut to what leaves half of
            the model's context to the transcript: the first hotwords stay, then the prompt's end.
        short_clips: how clips that are much shorter than 30 s spare work; None fills each up to
            30 s, as the models were trained. `context`: of a clip of up to 4 s the encoder sees
            2 s more and not 30. `pack`: several share a window (`stenopool.asr.packing`); needs
            `language`. Both may change words: compare on recordings of yours
            (`stenopool transcribe --sample`).

    Raises:
        InvalidOptionError: a value is out of its range, or two do not go together.
    """

    model: str = "small"
    engine: str = "ctranslate2"
    language: str | None = None
    task: Literal["transcribe", "translate"] = "transcribe"
    word_timestamps: bool = False
    vad: bool = True
    prompt: str | None = None
    languages: Sequence[str] = ()
    hotwords: str | None = None
    short_clips: Literal["context", "pack"] | None = None

    def __post_init__(self) -> None:
        if self.task not in ("transcribe", "translate"):
            raise InvalidOptionError(f"task '{self.task}' is not one of transcribe, translate")
        if not self.model:
            raise InvalidOptionError(
                "the model's name is empty; `stenopool models list` shows names"
            )
        if self.language is not None and not self.language.strip():
            raise InvalidOptionError("the language is empty; leave it out to have it detected")
        self._check_what_comes_before()
        if self.short_clips not in (None, "context", "pack"):
            raise InvalidOptionError(f"short_clips '{self.short_clips}' is not context or pack")
        if self.short_clips == "pack" and self.language is None:
            raise InvalidOptionError(
                "clips of one language share a window, so packing needs to know it; add "
                "`--language en`, or whichever it is, or take `--short-clips context`"
            )
        self._settle_languages()

    def _check_what_comes_before(self) -> None:
        for what, text in (("hotwords", self.hotwords), ("prompt", self.prompt)):
            if text is not None and not text.strip():
                raise InvalidOptionError(f"the {what} must not be empty; leave it out")
            token = re.search(r"<\|.*?\|>", text or "")
            if token:
                raise InvalidOptionError(
                    f"the {what} must not hold {token[0]!r}, which is a token of Whisper's own"
                )

    def _settle_languages(self) -> None:
        if isinstance(self.languages, str):  # which would be taken for its letters
            raise InvalidOptionError("languages are several codes, such as ('en', 'de')")
        if not all(code.strip() for code in self.languages):
            raise InvalidOptionError("one of the languages is empty; leave it out")
        if self.language is not None and self.languages:
            raise InvalidOptionError(
                "language and languages do not go together: the one names what is spoken, the "
                "others are what detection chooses among; leave one out"
            )
        # JSON gives a list, in any order.
        object.__setattr__(self, "languages", tuple(sorted(set(self.languages))))

    @property
    def named_languages(self) -> tuple[str, ...]:
        """Every language that the options name, in whatever way."""
        return tuple(self.languages) if self.language is None else (self.language,)

    def canonical_json(self) -> str:
        """The options as JSON with sorted keys: equal texts mean equal transcripts."""
        return json.dumps(_counting(self), sort_keys=True, ensure_ascii=False)


_LATER: Final = frozenset({"languages", "hotwords", "short_clips"})
"""Options that came when there were transcripts: those made without them keep their keys."""


def _counting(options: TranscribeOptions) -> dict[str, Any]:
    """The options that make a transcript what it is; one that came later counts where it is set."""
    return {name: value for name, value in asdict(options).items() if value or name not in _LATER}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInfo:
    """A model as a row names it.

    Attributes:
        name: what the user called it, such as `demo` or `large-v3`.
        revision: pins its bytes: a commit on the hub, or a hash of the files of a folder.
    """

    name: str
    revision: str


def transcript_id(uri: str, file: FileRef, model: ModelInfo, options: TranscribeOptions) -> str:
    """The key of a transcript: 32 hexadecimal digits that name its content.

    Made of the recording's identity (where it lies, size, etag), the model's revision and the
    options that change text; what has a row with this key is not transcribed again.

    Args:
        uri: where the recording lies, such as `@DB.SCHEMA.STAGE/a.wav` or `s3://bucket/a.wav`.
        file: its size and etag.
        model: its revision; the name does not matter.
        options: all of them but the model's name.
    """
    identity = json.dumps([uri, file.size_bytes, file.etag], ensure_ascii=False)
    text = f"{identity[:-1]}, {_same_for_all(model.revision, options)}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@lru_cache(maxsize=8)
def _same_for_all(revision: str, options: TranscribeOptions) -> str:
    """The end of the text behind a run's ids: to make it takes three times as long as an id."""
    chosen = {key: value for key, value in _counting(options).items() if key != "model"}
    return json.dumps([revision, chosen], sort_keys=True, ensure_ascii=False)[1:]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """A run as the catalog keeps it.

    Attributes:
        run_id: sortable by time, such as `20261123T172100-3f9a`.
        source: what was transcribed, as the user named it, in full.
        target: the table, `DB.SCHEMA.TABLE`.
        state: `running`, `succeeded`, `failed`, `stopped`.
        options: the `TranscribeOptions` as JSON.
        started_at: UTC.
        ended_at: UTC; None while it runs.
        listed: recordings that the source holds.
        skipped: of these, done by an earlier run.
        done: transcribed by this run.
        failed: rows with an error.
        audio_s: seconds of audio that were transcribed.
        wall_s: seconds from start to end.
        error: why the run failed; None otherwise.
        details: figures for the report, such as the failures by class.
    """

    run_id: str
    source: str
    target: str
    state: Literal["running", "succeeded", "failed", "stopped"]
    options: str
    started_at: datetime
    ended_at: datetime | None = None
    listed: int = 0
    skipped: int = 0
    done: int = 0
    failed: int = 0
    audio_s: float = 0.0
    wall_s: float = 0.0
    error: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def recordings(self) -> int:
        """Recordings that got a row from this run, the failed ones included."""
        return self.done + self.failed

    @property
    def speed(self) -> float:
        """Seconds of audio a second of wall-clock time; 0 for a run that had nothing to do."""
        return self.audio_s / self.wall_s if self.wall_s else 0.0
