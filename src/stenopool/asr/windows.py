"""What every engine does with a window first: check it, and hear whether it is silent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from stenopool.model import SAMPLE_RATE, WINDOW_SAMPLES

if TYPE_CHECKING:
    from numpy.typing import NDArray

SILENT_PEAK: Final = 1e-4
"""A window without a sample over this (-80 dBFS) is silent; models invent words for some."""

NOT_NUMBERS: Final = "samples that are no numbers were taken as silence"
"""Warning on a window that held NaN or infinity."""


def is_silent(window: NDArray[np.float32]) -> bool:
    """Whether there is nothing to hear: no samples at all, or none over -80 dBFS."""
    return float(np.abs(window).max(initial=0.0)) <= SILENT_PEAK


def checked(window: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Give the window with finite samples only, and warnings for its result.

    Raises:
        ValueError: the window is longer than 30 s, or not one row of samples.
    """
    if window.ndim != 1 or len(window) > WINDOW_SAMPLES:
        raise ValueError(
            f"a window has shape {window.shape}; it takes one row of at most "
            f"{WINDOW_SAMPLES} samples ({WINDOW_SAMPLES // SAMPLE_RATE} s)"
        )
    if np.isfinite(window).all():
        return window, ()
    return np.nan_to_num(window, nan=0.0, posinf=0.0, neginf=0.0), (NOT_NUMBERS,)
