"""Log-mel spectrograms as Whisper's encoder takes them, computed only where there is sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from stenopool.model import WINDOW_SAMPLES

if TYPE_CHECKING:
    from faster_whisper.feature_extractor import FeatureExtractor
    from numpy.typing import NDArray

HOP_SAMPLES: Final = 160
"""Samples between two frames: 10 ms at 16 kHz."""

FRAMES: Final = WINDOW_SAMPLES // HOP_SAMPLES
"""Frames of a full window: 3,000."""

FFT_SAMPLES: Final = 400
"""Samples under one frame: 25 ms."""


CONTEXT_STEP: Final = 200
"""Contexts of an encoder are multiples of so many frames (2 s): windows of one share a batch."""

CONTEXT_MARGIN: Final = 200
"""Frames of silence that a context has behind the sound at least: 2 s."""

CONTEXT_LONGEST: Final = 400
"""Frames of sound (4 s) beyond which the words suffer, so that the context is all of 30 s.

See docs/decisions/2026-11-26-short-clips.md for both.
"""


def context_frames(frames: int) -> int:
    """The frames that an encoder sees of a window with so many frames of sound."""
    if frames > CONTEXT_LONGEST:
        return FRAMES
    return -(-(frames + CONTEXT_MARGIN) // CONTEXT_STEP) * CONTEXT_STEP


def log_mel(window: NDArray[np.float32], extractor: FeatureExtractor) -> NDArray[np.float32]:
    """Compute what the window gives when it is filled up to 30 s with digital silence.

    Frames of pure silence are all alike, so the transform runs over the window and one frame's
    width of zeros, and the last frame stands for the rest: on a clip of half a second that
    leaves out 98 % of the work and changes no bit of the spectrogram.

    Args:
        window: float32, shape (n,), range [-1, 1], 16 kHz, n at most 480,000.
        extractor: faster-whisper's, with the model's number of mel bins.

    Returns:
        float32, shape (mel bins, 3000), C-contiguous; values in about [-1.5, 1.5].
    """
    padded_samples = -(-(len(window) + FFT_SAMPLES) // HOP_SAMPLES) * HOP_SAMPLES
    padded = np.zeros(min(padded_samples, WINDOW_SAMPLES), dtype=np.float32)
    padded[: len(window)] = window
    spectrogram = extractor(padded, padding=0)
    full = np.empty((spectrogram.shape[0], FRAMES), dtype=np.float32)
    full[:, : spectrogram.shape[1]] = spectrogram
    full[:, spectrogram.shape[1] :] = spectrogram[:, -1:]
    return full


def without_start(mel: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """Drop the first frames and fill up with silence at the end; same shape as before."""
    # The normalisation maps the loudest value m to m and cuts what lies 2 below it (80 dB);
    # -1.5 is the smallest power that is told from zero.
    silence = max(float(mel.max()) - 2.0, -1.5)
    rest = np.full_like(mel, silence)
    rest[:, : mel.shape[1] - frames] = mel[:, frames:]
    return rest
