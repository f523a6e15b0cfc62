"""Log-mel spectrograms of many windows on the device, computed only where there is sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch.nn import functional

from stenopool.asr.features import FFT_SAMPLES, FRAMES, HOP_SAMPLES
from stenopool.model import SAMPLE_RATE, WINDOW_SAMPLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

LEAST_LOG_POWER: Final = -10.0
"""log10 of the smallest power that is told from zero; the value of digital silence."""

_DYNAMIC_RANGE: Final = 8.0
"""What lies further below the loudest bin, in powers of ten, is cut: 80 dB."""


class LogMel:
    """The transform for one number of mel bins on one device."""

    def __init__(self, mels: int, device: torch.device) -> None:
        self._filters = torch.from_numpy(mel_filters(mels)).to(device, torch.float32)
        self._hann = torch.hann_window(FFT_SAMPLES, device=device)
        self._device = device

    def __call__(self, windows: Sequence[NDArray[np.float32]]) -> Tensor:
        """Compute what the windows give when they are filled up to 30 s with digital silence.

        Frames of pure silence are all alike, so the transform runs over the longest window, one
        frame's width of zeros and what fills up the second, and the rest is filled in: exact, not
        an approximation. Whole seconds, because cuFFT keeps a plan for each length that it sees.

        Args:
            windows: float32, shape (n,), range [-1, 1], 16 kHz, n at most 480,000.

        Returns:
            float32, shape (windows, mel bins, 3000), on the device; values in about [-1.5, 1.5].
        """
        samples = self._stacked(windows)
        spectrum = torch.stft(
            samples, FFT_SAMPLES, HOP_SAMPLES, window=self._hann, return_complex=True
        )[..., :-1]
        power = self._filters @ torch.view_as_real(spectrum).square().sum(-1)
        logs = power.clamp(min=10**LEAST_LOG_POWER).log10()
        logs = functional.pad(logs, (0, FRAMES - logs.shape[-1]), value=LEAST_LOG_POWER)
        floor = logs.amax(dim=(1, 2), keepdim=True) - _DYNAMIC_RANGE
        return (logs.maximum(floor) + 4.0) / 4.0

    def _stacked(self, windows: Sequence[NDArray[np.float32]]) -> Tensor:
        longest = max(len(window) for window in windows) + FFT_SAMPLES
        length = min(-(-longest // SAMPLE_RATE) * SAMPLE_RATE, WINDOW_SAMPLES)
        # Pinned memory is copied while the host goes on; torch keeps it until the copy is done.
        on_gpu = self._device.type == "cuda"
        samples = torch.empty((len(windows), length), dtype=torch.float32, pin_memory=on_gpu)
        rows = samples.numpy()
        for row, window in zip(rows, windows, strict=True):
            row[: len(window)] = window
            row[len(window) :] = 0.0
        return samples.to(self._device, non_blocking=True)


def without_start(mel: Tensor, frames: int) -> Tensor:
    """Drop the first frames and fill up with silence, as `stenopool.asr.features` does."""
    silence = (mel.amax() - 2.0).clamp(min=-1.5)
    return torch.cat([mel[:, frames:], silence.expand(mel.shape[0], frames)], dim=1)


def mel_filters(mels: int) -> NDArray[np.float64]:
    """Triangular filters, evenly spaced on Slaney's mel scale, each with an area of one.

    Slaney's Auditory Toolbox (1998): linear up to 1 kHz, where 15 mels are reached, and from there
    on logarithmic with 27 mels for a factor of 6.4.

    Returns:
        float64, shape (mels, 201).
    """
    top_mel = 15.0 + 27.0 * np.log(SAMPLE_RATE / 2 / 1000.0) / np.log(6.4)
    points = np.linspace(0.0, top_mel, mels + 2)
    corners_hz = np.where(
        points < 15.0, points * 1000.0 / 15.0, 1000.0 * 6.4 ** ((points - 15.0) / 27.0)
    )
    bins_hz = np.linspace(0.0, SAMPLE_RATE / 2, FFT_SAMPLES // 2 + 1)
    low, centre, high = corners_hz[:-2, None], corners_hz[1:-1, None], corners_hz[2:, None]
    rising = (bins_hz - low) / (centre - low)
    falling = (high - bins_hz) / (high - centre)
    filters = np.clip(np.minimum(rising, falling), 0.0, None) * 2.0 / (high - low)
    return np.asarray(filters, dtype=np.float64)
