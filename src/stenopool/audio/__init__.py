"""Bytes in, mono sound at 16 kHz and windows of speech out; the only folder that imports PyAV.

`read_units` is the main flow: it opens a recording, decodes it as a stream, finds the speech and
yields units of about ten minutes with their windows. The other functions are its parts.
"""

from stenopool.audio.decode import decode_audio, stream_audio
from stenopool.audio.probe import probe
from stenopool.audio.speech import find_speech
from stenopool.audio.units import read_units
from stenopool.audio.windows import cut_windows

__all__ = ["cut_windows", "decode_audio", "find_speech", "probe", "read_units", "stream_audio"]
