"""The engine protocol, and how an engine is found by its name."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from stenopool.errors import EngineError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from stenopool.model import ModelInfo, TranscribeOptions, WindowResult
    from stenopool.settings import Settings

ENTRY_POINT_GROUP: Final = "stenopool.engines"
"""Each entry names a function `load(options, settings, device, threads)` that returns an engine.

The module of that function also holds `describe(options, settings)`, which returns the
`ModelInfo` that the engine would have, and checks the options, without loading anything.
"""


class Engine(Protocol):
    """What turns windows into text.

    Attributes:
        info: the model's name and pinned revision, as rows name it.
        name: the engine's name, as options name it.
        max_batch: how many windows one call takes best; any number is taken.
    """

    info: ModelInfo
    name: str
    max_batch: int

    def transcribe(
        self,
        windows: Sequence[NDArray[np.float32]],
        options: TranscribeOptions,
        presumed: Sequence[str | None],
    ) -> list[WindowResult]:
        """Transcribe windows of any recordings; no window changes what another one says.

        Save where `ctranslate2` tries one again: what it draws then depends on what it drew before.

        Args:
            windows: float32, shape (n,), range [-1, 1], mono, 16 kHz, at most 30 s each.
            options: what to do; `model` and `engine` were settled when the engine was loaded.
            presumed: languages, one a window, where the options name none: what its recording
                seems to speak, which holds unless the window is clearly in another one (see
                `stenopool.asr.languages`); None where the window is all that is known.

        Returns:
            One result a window, in order; times count from the window's start.

        Raises:
            EngineError: the engine stopped working on these windows.
        """
        ...

    def detect_languages(
        self, windows: Sequence[NDArray[np.float32]], allowed: Sequence[str] = ()
    ) -> list[tuple[str, float]]:
        """Find the language of each window: ISO 639-1 code and probability, 0 to 1.

        Args:
            windows: as in `transcribe`.
            allowed: codes of the languages to choose among; none allows all.

        Raises:
            EngineError: the engine stopped working on these windows.
        """
        ...


def engine_names() -> list[str]:
    """Names of the engines that are installed, sorted."""
    return sorted(entry_points(group=ENTRY_POINT_GROUP).names)


def load_engine(
    options: TranscribeOptions, settings: Settings, *, device: str = "auto", threads: int = 0
) -> Engine:
    """Load the engine that the options name, with its model.

    Args:
        options: `engine`, `model`, `task` and the languages are read here.
        settings: where models lie.
        device: `cpu`, `cuda`, or `auto` for a GPU where there is one.
        threads: CPU threads of one call; 0 leaves the choice to the engine.

    Raises:
        NotFoundError: no such engine, or no such model.
        InvalidOptionError: the engine cannot do what the options ask for.
        ModelError: the model's files are missing or damaged.
        EngineError: the engine could not be loaded.
    """
    entry = _entry_point(options.engine)
    load = cast("Callable[..., Engine]", _attribute(entry, entry.attr))
    return load(options, settings, device, threads)


def describe_model(options: TranscribeOptions, settings: Settings) -> ModelInfo:
    """Name the model that the options lead to, without loading the engine.

    Raises:
        NotFoundError: no such engine, or no such model.
        InvalidOptionError: the engine cannot do what the options ask for.
        NotFoundError: the model is not on this machine.
        ModelError: its files are not whole.
    """
    entry = _entry_point(options.engine)
    describe = cast("Callable[..., ModelInfo]", _attribute(entry, "describe"))
    return describe(options, settings)


def _entry_point(name: str) -> EntryPoint:
    found = entry_points(group=ENTRY_POINT_GROUP, name=name)
    if not found:
        there = ", ".join(engine for engine in engine_names() if engine != "fake")
        raise NotFoundError(f"engine '{name}' is not installed; take one of {there}")
    return next(iter(found))


def _attribute(entry: EntryPoint, name: str) -> Any:  # noqa: ANN401 - the entry's own object
    try:
        return getattr(import_module(entry.module), name)
    except (ImportError, AttributeError) as error:
        raise EngineError(
            f"engine '{entry.name}' cannot be used: {error}; reinstall the package that brings it"
        ) from error
