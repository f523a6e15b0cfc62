"""What the demo recordings say and who says it: phrases, espeak-ng voices, rendering.

Both the script that makes the demo recordings and the one that trains the demo model read this
file, so that the two agree on the words and never share a voice.
"""

import io
import shutil
import subprocess
import wave
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# "#" stands for one digit, "+" for three to seven, "," for a short pause inside the phrase.
TEMPLATES = (
    "hello",
    "good morning",
    "good evening",
    "hello this is room # # #",
    "this is extension # # #",
    "order number +",
    "order number +, thank you",
    "invoice number +",
    "account number +",
    "my number is +",
    "my order number is +",
    "your number is +",
    "please call back",
    "please call back today",
    "call back tomorrow",
    "please call extension # # #",
    "please call room # # #, thank you",
    "thank you",
    "thank you, goodbye",
    "goodbye",
    "yes",
    "no",
    "yes please",
    "no thank you",
    "# point #",
    "# point # #",
    "# hundred and #",
    "# thousand # hundred",
    "your order is ready",
    "order number + is ready",
    "please cancel order number +",
    "cancel my order",
    "today",
    "tomorrow morning",
    "room number # #",
)
_MARKS = str.maketrans("", "", "#+,")
VOCABULARY = tuple(sorted({w for t in TEMPLATES for w in t.translate(_MARKS).split()} | {*DIGITS}))

ACCENTS = (
    "en-us",
    "en-gb",
    "en-gb-scotland",
    "en-gb-x-rp",
    "en-us-nyc",
    "en-029",
    "en-gb-x-gbclan",
)
# Heard in the demo recordings only. Training leaves them out in every accent.
DEMO_VARIANTS = ("Andy", "Annie", "Benjamin", "David", "Linda", "Michael", "female3", "male4")
TRAINING_VARIANTS = (
    "Adam", "Alex", "Alicia", "Andrea", "Antonio", "Auntie", "Belinda", "Boris", "Caleb", "Denis",
    "Diogo", "Ed", "Edward", "Gene", "Gustave", "Henrique", "Hugo", "Iven", "Jacky", "John", "Lee",
    "Marcelo", "Marco", "Mario", "Max", "Michel", "Miguel", "Mike", "Mr_Serious", "Nguyen", "Pablo",
    "Paul", "Pedro", "Quincy", "Rob", "Robert", "Steph", "Tweaky", "Zac", "anika",
    "female1", "female2", "female4", "female5", "klatt", "klatt2", "klatt4", "male1", "male2",
    "male3", "male5", "male6", "male7", "male8", "norbert", "sandro", "shelby", "travis", "victor",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Voice:
    """How espeak-ng is to speak.

    Attributes:
        name: accent and variant, such as ``en-us+Linda``.
        words_per_minute: speed, 80 to 450.
        pitch: 0 to 99, 50 is the variant's own.
        word_gap_ms: extra pause between words, a multiple of 10.
    """

    name: str
    words_per_minute: int = 160
    pitch: int = 50
    word_gap_ms: int = 0


def random_voice(variants: tuple[str, ...], rng: np.random.Generator) -> Voice:
    """Pick an accent, a variant out of `variants`, a speed, a pitch and a word gap."""
    return Voice(
        name=f"{rng.choice(ACCENTS)}+{rng.choice(variants)}",
        words_per_minute=int(rng.integers(115, 205)),
        pitch=int(rng.integers(30, 70)),
        word_gap_ms=10 * int(rng.integers(0, 5)),
    )


def random_digits(count: int, rng: np.random.Generator) -> str:
    """Return `count` digit words, with a comma after each third or fourth in longer strings."""
    words = [str(rng.choice(DIGITS)) for _ in range(count)]
    group = int(rng.integers(3, 5))
    for last in range(group - 1, count - 2, group):
        words[last] += ","
    return " ".join(words)


def fill(template: str, rng: np.random.Generator) -> str:
    """Replace the marks of a template by random digit words."""
    filled = template.replace("+", random_digits(int(rng.integers(3, 8)), rng))
    while "#" in filled:
        filled = filled.replace("#", str(rng.choice(DIGITS)), 1)
    return filled


def words_of(phrase: str) -> str:
    """Return the phrase as a transcript has it: lower-case words and single spaces."""
    return " ".join(phrase.replace(",", " ").split())


def resample(samples: NDArray[np.float32], ratio: float) -> NDArray[np.float32]:
    """Return `samples` with `ratio` times as many samples, band-limited by a Fourier transform."""
    length = max(2, round(len(samples) * ratio))
    spectrum = np.fft.rfft(samples)
    kept = np.zeros(length // 2 + 1, dtype=spectrum.dtype)
    bins = min(len(kept), len(spectrum))
    kept[:bins] = spectrum[:bins]
    return (np.fft.irfft(kept, length) * (length / len(samples))).astype(np.float32)


def trim(samples: NDArray[np.float32], *, floor: float = 0.01) -> NDArray[np.float32]:
    """Cut what lies below `floor` of the peak off both ends."""
    loud = np.flatnonzero(np.abs(samples) > floor * np.max(np.abs(samples), initial=1e-9))
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]


def read_wav(data: bytes) -> tuple[NDArray[np.float32], int]:
    """Read a 16-bit mono WAV.

    Returns:
        float32, shape (n_samples,), range [-1, 1], and the rate in Hz.
    """
    with wave.open(io.BytesIO(data)) as file:
        # espeak-ng writes to a pipe, so its header overstates the length: read what is there.
        frames = file.readframes(len(data) // 2)
        rate_hz = file.getframerate()
    return np.frombuffer(frames, "<i2").astype(np.float32) / 32768, rate_hz


def speak(phrase: str, voice: Voice) -> NDArray[np.float32]:
    """Render one phrase with espeak-ng.

    Args:
        phrase: words and commas.
        voice: who says it.

    Returns:
        float32, shape (n_samples,), range [-1, 1], mono, 16 kHz, with no silence around.

    Raises:
        SystemExit: espeak-ng is not on the path.
    """
    program = shutil.which("espeak-ng")
    if program is None:
        raise SystemExit("espeak-ng is not installed; on Debian: apt-get install espeak-ng")
    command = [
        program, "--stdout", "-v", voice.name, "-s", str(voice.words_per_minute),
        "-p", str(voice.pitch), "-g", str(voice.word_gap_ms // 10), f"{phrase}.",
    ]  # fmt: skip
    wav = subprocess.run(command, check=True, capture_output=True).stdout  # noqa: S603 - our own words
    samples, rate_hz = read_wav(wav)
    return trim(resample(samples, SAMPLE_RATE_HZ / rate_hz))
