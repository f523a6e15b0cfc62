"""Make the recordings that ship with Stenopool, and `texts.csv`, which says what they say.

Every word comes from espeak-ng, in voices that the demo model was not trained on; digits, voices
and pauses come from one seed, so that a second run with the same programs writes the same bytes.

    python tools/make_demo_recordings.py --out src/stenopool/data/recordings
"""

import argparse
import csv
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from spoken_words import (
    ACCENTS,
    DEMO_VARIANTS,
    SAMPLE_RATE_HZ,
    Voice,
    fill,
    resample,
    speak,
    words_of,
)

SEED = 20_260_901
SHORTEST_S = 2.2
LONG_RECORDING_S = 180.0

log = logging.getLogger("recordings")


@dataclass(frozen=True)
class Format:
    """How a file is stored: suffix, FFmpeg's encoder, rate in Hz, channels, bits a second."""

    suffix: str
    codec: str
    rate_hz: int
    channels: int = 1
    bit_rate: int | None = None


FLAC = Format("flac", "flac", 16_000)
FLAC_WIDE = Format("flac", "flac", 22_050)
WAV = Format("wav", "pcm_s16le", 16_000)
WAV_WIDE = Format("wav", "pcm_s16le", 22_050)
WAV_PHONE = Format("wav", "pcm_s16le", 8_000)
MULAW_PHONE = Format("wav", "pcm_mulaw", 8_000)
MP3 = Format("mp3", "libmp3lame", 22_050, bit_rate=48_000)
MP3_CD = Format("mp3", "libmp3lame", 44_100, bit_rate=64_000)
OPUS = Format("opus", "libopus", 48_000, bit_rate=24_000)
OGG = Format("ogg", "libopus", 48_000, bit_rate=32_000)
STEREO_FLAC = Format("flac", "flac", 16_000, channels=2)
STEREO_MP3 = Format("mp3", "libmp3lame", 44_100, channels=2, bit_rate=96_000)

# Folder, beginning of the name, what is said ("#" is a digit, "|" a breath), and the
# formats: one recording for each. In a stereo recording the speakers take turns, one on each side.
# The model loses its place in longer strings, so a clip says three to five digits.
SCRIPTS = (
    ("calls/2026-09-14", "phone-number", "# # # | # #",
     (FLAC, WAV, MP3, OPUS, STEREO_FLAC)),
    ("calls/2026-09-14", "order-number", "# # # # #",
     (MP3_CD, OGG, WAV_PHONE, FLAC_WIDE)),
    ("calls/2026-09-14", "room", "# # #",
     (MULAW_PHONE, OPUS, FLAC)),
    ("calls/2026-09-15", "both-sides", "# # # | # #",
     (STEREO_MP3, STEREO_FLAC)),
    ("calls/2026-09-15", "extension", "# # # #",
     (MULAW_PHONE, FLAC, OPUS, MP3)),
    ("calls/2026-09-15", "callback", "# # # #",
     (FLAC_WIDE, MP3, WAV_PHONE)),
    ("notes/invoices", "invoice", "# # #",
     (FLAC, OPUS, MP3_CD, WAV)),
    ("notes/invoices", "account", "# # # #",
     (MP3, WAV_PHONE, OGG)),
    ("notes/meters", "reading", "# # | # # #",
     (OPUS, WAV_WIDE, OGG)),
    ("notes/stock", "count", "# # | #",
     (FLAC, OPUS, MP3, WAV)),
    ("notes/stock", "parcel", "# # # | # #",
     (WAV, FLAC_WIDE, OGG)),
    ("notes/stock", "list", "# # | # #",
     (MP3_CD, FLAC, OPUS)),
    ("notes/today", "code", "# # # #",
     (OGG, MP3, FLAC, WAV)),
    ("notes/today", "date", "# # #",
     (WAV_PHONE, OPUS, FLAC)),
)  # fmt: skip
LONG_SCRIPT = (
    "# # # | # #",
    "# # # #",
    "# # | # #",
    "# # #",
    "# # # #",
)
LONG_FORMAT = OPUS
LONG_PATH = "calls/2026-09-15/night-line-three-minutes.opus"


@dataclass(frozen=True)
class Recording:
    """One recording.

    Attributes:
        path: where it goes, below the folder of recordings.
        format: how it is stored.
        samples: float32, shape (channels, n_samples), range [-1, 1], 16 kHz.
        text: what is said.
    """

    path: str
    format: Format
    samples: NDArray[np.float32]
    text: str

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.samples.shape[1] / SAMPLE_RATE_HZ


def main() -> None:
    """Write the recordings and their texts."""
    parser = argparse.ArgumentParser(description="Make Stenopool's demo recordings.")
    parser.add_argument("--out", type=Path, default=Path("src/stenopool/data/recordings"))
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recordings = list(make(np.random.default_rng(options.seed)))
    if options.out.exists():
        shutil.rmtree(options.out)
    for recording in recordings:
        write(recording, options.out / recording.path)
    write_texts(recordings, options.out / "texts.csv")
    total_s = sum(recording.seconds for recording in recordings)
    log.info("%d recordings, %.0f s, in %s", len(recordings), total_s, options.out)


def make(rng: np.random.Generator) -> Iterator[Recording]:
    """Yield the short recordings, no two of which say the same, then the long one."""
    said: set[str] = set()
    for folder, name, script, formats in SCRIPTS:
        for number, form in enumerate(formats, start=1):
            samples, text = perform(script, form.channels, rng)
            while text in said:
                samples, text = perform(script, form.channels, rng)
            said.add(text)
            yield Recording(f"{folder}/{name}-{number:02}.{form.suffix}", form, samples, text)
    samples, text = perform_long(rng)
    yield Recording(LONG_PATH, LONG_FORMAT, samples, text)


def perform(
    script: str, channels: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], str]:
    """Speak a script: phrases with pauses, one voice, or in stereo one voice on each side.

    Returns:
        float32, shape (channels, n_samples), range [-1, 1], 16 kHz, and the words that are said.
    """
    voices = [_voice(rng) for _ in range(channels)]
    turns, words = [_pause(channels, rng.uniform(0.2, 0.35))], []
    for turn, template in enumerate(script.split(" | ")):
        phrase = fill(template, rng)
        words.append(words_of(phrase))
        spoken = np.zeros((channels, len(sound := speak(phrase, voices[turn % channels]))), "f4")
        spoken[turn % channels] = sound
        turns += [spoken, _pause(channels, rng.uniform(0.6, 0.8))]
    sound = np.concatenate(turns, axis=1)
    missing = max(0, round(SHORTEST_S * SAMPLE_RATE_HZ) - sound.shape[1])
    return _finish(np.pad(sound, ((0, 0), (0, missing))), rng), " ".join(words)


def perform_long(rng: np.random.Generator) -> tuple[NDArray[np.float32], str]:
    """Speak the long script: stretches of speech with 20 s and more of near silence between."""
    stretches = [perform(script, 1, rng) for script in LONG_SCRIPT]
    spoken = sum(samples.shape[1] for samples, _ in stretches)
    total = round(LONG_RECORDING_S * SAMPLE_RATE_HZ)
    pauses = rng.uniform(0.85, 1.15, len(stretches) - 1)
    pauses *= (total - spoken) / pauses.sum()
    parts = [stretches[0][0]]
    for (samples, _), pause in zip(stretches[1:], pauses, strict=True):
        parts += [_pause(1, pause / SAMPLE_RATE_HZ), samples]
    return _finish(np.concatenate(parts, axis=1), rng), " ".join(text for _, text in stretches)


def write(recording: Recording, path: Path) -> None:
    """Encode a recording; the same samples give the same bytes."""
    import av

    form = recording.format
    sound = np.stack([resample(side, form.rate_hz / SAMPLE_RATE_HZ) for side in recording.samples])
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        layout = "stereo" if form.channels == 2 else "mono"
        stream = container.add_stream(form.codec, rate=form.rate_hz, layout=layout)
        stream.codec_context.options = {"flags": "+bitexact"}
        if form.bit_rate is not None:
            stream.bit_rate = form.bit_rate
        pcm = np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm), "s16p", layout)
        frame.sample_rate = form.rate_hz
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_texts(recordings: list[Recording], path: Path) -> None:
    """Write `texts.csv`: path, text, seconds, codec, channels, sample_rate_hz."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["path", "text", "seconds", "codec", "channels", "sample_rate_hz"])
        for recording in sorted(recordings, key=lambda r: r.path):
            form = recording.format
            codec = {"libmp3lame": "mp3", "libopus": "opus"}.get(form.codec, form.codec)
            seconds = f"{recording.seconds:.3f}"
            rows.writerow(
                [recording.path, recording.text, seconds, codec, form.channels, form.rate_hz]
            )


def _voice(rng: np.random.Generator) -> Voice:
    return Voice(
        name=f"{rng.choice(ACCENTS)}+{rng.choice(DEMO_VARIANTS)}",
        words_per_minute=int(rng.integers(115, 140)),
        pitch=int(rng.integers(44, 56)),
        word_gap_ms=10 * int(rng.integers(3, 8)),
    )


def _pause(channels: int, length_s: float) -> NDArray[np.float32]:
    return np.zeros((channels, round(length_s * SAMPLE_RATE_HZ)), dtype=np.float32)


def _finish(samples: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Set the level to a peak of 0.7 and add the faint hiss of a room."""
    hiss = rng.standard_normal(samples.shape, dtype=np.float32)
    level = np.float32(10 ** rng.uniform(-3.8, -3.1))
    return samples * np.float32(0.7 / np.abs(samples).max()) + level * hiss


if __name__ == "__main__":
    main()
