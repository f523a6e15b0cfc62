"""Finds speech with Silero VAD, the ONNX model that faster-whisper ships."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from stenopool.audio.mono import FULL_SCALE
from stenopool.errors import ModelError
from stenopool.model import SAMPLE_RATE, WINDOW_SAMPLES, Span

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

FRAME: Final = 512
"""Samples that the model judges at once (32 ms); its own constant."""

CONTEXT: Final = 64
"""Samples before a frame that the model sees too; its own constant."""

STATE: Final = (1, 1, 128)
"""Shape of the model's two memories."""

SPEECH: Final = 0.35
"""A frame of this probability begins speech.

Silero's usual 0.5 loses more than twice as many words that stand alone between silences; of
noise, clicks, hum and tones of a minute (-20 dB) none reaches more than 0.28.
"""

FAINT_SPEECH: Final = 0.2
"""The same for a recording of one window in which nothing reaches `SPEECH`.

Of 2,000 spoken digits (0.14 to 1.3 s, no silence around them) at most one stays under it.
"""

HYSTERESIS: Final = 0.15
"""Speech goes on until the probability is this far below where it began."""

FLOOR: Final = 0.1
"""Below this, speech never goes on."""

MIN_SILENCE: Final = SAMPLE_RATE // 10
"""A shorter silence (samples) belongs to the speech around it."""

BATCH_FRAMES: Final = 16
"""Frames in one call of the model (0.5 s).

Of silence the model may remember one batch, and no more: left to itself it overlooks three in
five spoken digits after ten seconds of silence, and so only one in fifty.
"""

DEAD: Final = 6 / FULL_SCALE
"""A batch whose samples are all below this (-75 dB) is silence without asking the model."""

NOISE: Final = (
    np.random.default_rng(0)
    .normal(0, 10 / FULL_SCALE, FRAME)
    .astype(np.float32)[np.arange(-CONTEXT, FRAME) % FRAME]
)
"""Faint noise (-70 dB) that the model hears under every frame and what it sees before it.

In silence that is all zeros, as noise gates and codecs leave it, it overlooks 35 of 2,000 spoken
digits with pauses of one to three seconds between them, loud ones too; with this, 8.
"""


class SpeechFinder:
    """Judges a recording frame by frame as it comes, the same whatever the pieces."""

    def __init__(self) -> None:
        self._session = _session()
        self._memory = {name: np.zeros(STATE, np.float32) for name in "hc"}
        self._silent = False
        self._rest = np.zeros(CONTEXT, np.float32)

    def feed(self, samples: NDArray[np.int16]) -> NDArray[np.float32]:
        """Take more samples; return the probability of speech in the frames that they complete.

        Up to a batch of frames waits for the next call.

        Args:
            samples: int16, shape (n,), mono, 16 kHz.

        Returns:
            float32, shape (frames,), range [0, 1]; frame i of the recording covers the samples
            from `i * FRAME`.
        """
        held = np.concatenate((self._rest, samples.astype(np.float32) / np.float32(FULL_SCALE)))
        frames = (len(held) - CONTEXT) // FRAME
        return self._judge(held, frames - frames % BATCH_FRAMES)

    def finish(self) -> NDArray[np.float32]:
        """Return the probabilities of the last frames, filled up with silence."""
        missing = -(len(self._rest) - CONTEXT) % FRAME
        held = np.concatenate((self._rest, np.zeros(missing, np.float32)))
        return self._judge(held, (len(held) - CONTEXT) // FRAME)

    def _judge(self, held: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        self._rest = held[count * FRAME :].copy()
        if not count:
            return np.zeros(0, np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(held, CONTEXT + FRAME)[::FRAME][:count]
        batches = range(0, count, BATCH_FRAMES)
        return np.concatenate([self._run(frames[at : at + BATCH_FRAMES]) for at in batches])

    def _run(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._silent and np.abs(frames).max() < DEAD:
            return np.zeros(len(frames), np.float32)
        inputs = frames + NOISE
        found, *memory = self._session.run(None, {"input": inputs, **self._memory})
        silent = bool(found.max() < SPEECH - HYSTERESIS)
        if not (silent and self._silent):
            self._memory = dict(zip("hc", memory, strict=True))
        self._silent = silent
        return np.asarray(found, np.float32)


def find_speech(samples: NDArray[np.int16] | NDArray[np.float32]) -> list[Span]:
    """Find where somebody speaks.

    A frame of 32 ms begins speech at a probability of 0.35 and ends it under 0.2; silences under
    0.1 s belong to the speech around them. If nothing in a recording of at most 30 s reaches
    0.35, it is judged again by 0.2 and 0.1, so that a lone short word is not lost.

    Args:
        samples: int16, or float32 in [-1, 1]; shape (n,), mono, 16 kHz.

    Returns:
        Spans in samples, ordered, disjoint, inside the recording; none where nobody speaks.

    Raises:
        ModelError: the VAD's file is not installed.
    """
    finder = SpeechFinder()
    probabilities = np.concatenate((finder.feed(_as_int16(samples)), finder.finish()))
    return speech_spans(probabilities, 0, Span(0, len(samples)), alone=True)


def speech_spans(
    probabilities: NDArray[np.float32], first_frame: int, within: Span, *, alone: bool
) -> list[Span]:
    """Turn frame probabilities into spans of speech.

    Args:
        probabilities: float32, shape (frames,).
        first_frame: which frame of the recording the first of them is of.
        within: the stretch of the recording that is asked about.
        alone: whether this stretch is a whole recording, which is then judged by less
            if it is short and nothing in it is clear.

    Returns:
        Spans in samples of the recording, ordered, disjoint, inside `within`.
    """
    spans = _spans_over(probabilities, SPEECH, first_frame, within)
    if not spans and alone and within.samples <= WINDOW_SAMPLES:
        return _spans_over(probabilities, FAINT_SPEECH, first_frame, within)
    return spans


def _spans_over(
    probabilities: NDArray[np.float32], threshold: float, first_frame: int, within: Span
) -> list[Span]:
    speaking = _with_hysteresis(probabilities, threshold)
    edges = np.flatnonzero(np.diff(speaking, prepend=False, append=False))
    found = [(int(edge) + first_frame) * FRAME for edge in edges]
    spans: list[Span] = []
    for start, end in zip(found[::2], found[1::2], strict=True):
        span = Span(max(start, within.start), min(end, within.end))
        if spans and span.start - spans[-1].end < MIN_SILENCE:
            span = Span(spans.pop().start, span.end)
        spans.append(span)
    return [span for span in spans if span.samples > 0]


def _with_hysteresis(probabilities: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    """Which frames are speech: those between the two thresholds follow the one before them."""
    silence = max(threshold - HYSTERESIS, FLOOR)
    clear = (probabilities >= threshold) | (probabilities < silence)
    last_clear = np.maximum.accumulate(np.where(clear, np.arange(len(clear)), -1))
    return (last_clear >= 0) & (probabilities[last_clear] >= threshold)


def _as_int16(samples: NDArray[np.int16] | NDArray[np.float32]) -> NDArray[np.int16]:
    if samples.dtype == np.int16:
        return samples.astype(np.int16, copy=False)
    scaled = np.rint(samples * FULL_SCALE)
    return np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


@cache
def _session() -> InferenceSession:
    """The model, loaded once a process, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(str(_model_path()), options, providers=providers)


def _model_path() -> Path:
    """Where faster-whisper keeps the model; the package itself, and its engine, stay unloaded."""
    package = find_spec("faster_whisper")
    if package is None or package.origin is None:
        raise ModelError("faster-whisper, which brings the VAD, is not installed")
    path = Path(package.origin).parent / "assets" / "silero_vad_v6.onnx"
    if not path.is_file():
        raise ModelError(f"'{path}' is missing; install faster-whisper 1.2 again")
    return path
