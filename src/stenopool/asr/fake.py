"""The `fake` engine: texts made from the samples alone, for tests and for trying out pipelines.

The model's name sets how it behaves, as `fake` or `fake:BEHAVIOUR[,BEHAVIOUR…]`:

============== ==================================================================
`empty`        no window holds speech
`slow=S`       every window takes S seconds
`raise`        every call fails with `EngineError`
`raise-on-loud`  a call fails when one of its windows peaks at 0.99 or more
`exit-on-loud`   then the whole process ends, as when a GPU takes it down
`hang-on-loud`   then the call comes to no end
============== ==================================================================
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from stenopool.asr.windows import checked, is_silent
from stenopool.errors import EngineError, InvalidOptionError
from stenopool.model import SAMPLE_RATE, ModelInfo, Segment, WindowResult, Word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stenopool.asr.engine import Engine
    from stenopool.model import TranscribeOptions
    from stenopool.settings import Settings

LOUD: Final = 0.99
"""Peak, of at most 1, from which a window counts as loud."""

EXIT_CODE: Final = 70
"""Of a process that `exit-on-loud` ended."""

_WORD_S: Final = 0.5
_LANGUAGES: Final = ("en", "de", "fr", "es")
_WORDS: Final = (
    "amber", "basil", "cedar", "delta", "ember", "fable", "grove", "haven",
    "inlet", "jolly", "kayak", "lemon", "maple", "noble", "olive", "pearl",
)  # fmt: skip
_BEHAVIOURS: Final = ("empty", "slow", "raise", "raise-on-loud", "exit-on-loud", "hang-on-loud")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the model's name asks for; `flags` are those without a number."""

    flags: frozenset[str]
    slow_s: float = 0.0


def describe(options: TranscribeOptions, settings: Settings) -> ModelInfo:  # noqa: ARG001
    """Name the model; the name's behaviours are checked."""
    _behaviour(options.model)
    return ModelInfo(name=options.model, revision=f"fake-1:{options.model}")


def load(
    options: TranscribeOptions,
    settings: Settings,
    device: str = "auto",  # noqa: ARG001
    threads: int = 0,  # noqa: ARG001
) -> Engine:
    """Make the engine; device and threads mean nothing to it."""
    return FakeEngine(describe(options, settings))


class FakeEngine:
    """An engine with no model; see `stenopool.asr.Engine`.

    A window's text has a word for every half second, chosen by a hash of its samples; a silent
    window has none. Equal windows give equal texts in every process.
    """

    name: str = "fake"

    def __init__(self, info: ModelInfo) -> None:
        self.info = info
        self.max_batch = 4
        self._behaviour = _behaviour(info.name)

    def transcribe(
        self,
        windows: Sequence[NDArray[np.float32]],
        options: TranscribeOptions,
        presumed: Sequence[str | None],  # noqa: ARG002 - a window's own is always clear
    ) -> list[WindowResult]:
        """Make up one text a window; see `Engine.transcribe`."""
        self._misbehave(windows)
        results = []
        for window in windows:
            samples, warnings = checked(window)
            language, probability = (
                (options.language, 1.0)
                if options.language
                else _language(samples, options.languages)
            )
            segments = self._segments(samples, words=options.word_timestamps)
            result = WindowResult(
                segments=segments,
                language=language,
                language_probability=probability,
                warnings=warnings,
            )
            results.append(result)
        return results

    def detect_languages(
        self, windows: Sequence[NDArray[np.float32]], allowed: Sequence[str] = ()
    ) -> list[tuple[str, float]]:
        """Make up a language for each window; see `Engine.detect_languages`."""
        self._misbehave(windows)
        return [_language(window, allowed) for window in windows]

    def _misbehave(self, windows: Sequence[NDArray[np.float32]]) -> None:
        time.sleep(self._behaviour.slow_s * len(windows))
        flags = self._behaviour.flags
        loud = any(len(window) and np.abs(window).max() >= LOUD for window in windows)
        if "exit-on-loud" in flags and loud:
            os._exit(EXIT_CODE)
        while "hang-on-loud" in flags and loud:
            time.sleep(1)
        if "raise" in flags or ("raise-on-loud" in flags and loud):
            raise EngineError("the fake engine failed, as its model's name asks for")

    def _segments(self, window: NDArray[np.float32], *, words: bool) -> tuple[Segment, ...]:
        if is_silent(window) or "empty" in self._behaviour.flags:
            return ()
        duration_s = len(window) / SAMPLE_RATE
        spoken = _words(window, duration_s)
        text = " ".join(word.text for word in spoken)
        segment = Segment(
            start_s=0.0,
            end_s=duration_s,
            text=text,
            avg_logprob=-0.1,
            no_speech_prob=0.0,
            compression_ratio=1.0,
            temperature=0.0,
            words=spoken if words else (),
        )
        return (segment,)


def _words(window: NDArray[np.float32], duration_s: float) -> tuple[Word, ...]:
    digest = _digest(window)
    count = max(1, int(duration_s / _WORD_S))
    step_s = duration_s / count
    return tuple(
        Word(
            start_s=i * step_s,
            end_s=min((i + 1) * step_s, duration_s),
            text=_WORDS[digest[i % len(digest)] % len(_WORDS)],
            probability=0.9,
        )
        for i in range(count)
    )


def _language(window: NDArray[np.float32], allowed: Sequence[str]) -> tuple[str, float]:
    choice = allowed or _LANGUAGES
    return choice[_digest(window)[0] % len(choice)], 0.9


def _digest(window: NDArray[np.float32]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(window).tobytes()).digest()


def _behaviour(model: str) -> Behaviour:
    flags = set()
    slow_s = 0.0
    for item in filter(None, model.partition(":")[2].split(",")):
        name, _, value = item.partition("=")
        if name not in _BEHAVIOURS:
            known = ", ".join(_BEHAVIOURS)
            raise InvalidOptionError(f"the fake engine cannot '{name}'; it can: {known}")
        if name == "slow":
            slow_s = _seconds(item, value)
        flags.add(name)
    return Behaviour(frozenset(flags), slow_s)


def _seconds(item: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise InvalidOptionError(f"'{item}' needs a number of seconds: slow=0.1") from error
