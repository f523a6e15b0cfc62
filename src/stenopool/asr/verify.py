"""Checks a model's folder from its files to its first answer, and says what is wrong."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stenopool.asr.models import MODEL_FILES, check_vocabulary, missing_files, read_record
from stenopool.errors import ModelError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOAD_TIMEOUT_S: Final = 300
"""Seconds for the largest model from a slow disk."""

_PROBE: Final = """
import sys
import numpy
from ctranslate2 import StorageView
from ctranslate2.models import Whisper
model = Whisper(sys.argv[1], device="cpu", compute_type="int8")
silence = numpy.full((1, model.n_mels, 3000), -1.5, dtype=numpy.float32)
print(model.encode(StorageView.from_array(silence)).shape)
"""
"""Run in a child process, because a missing library or a bad file may abort the process."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what was looked at.
        ok: whether it is as it should be.
        detail: what was found.
    """

    name: str
    ok: bool
    detail: str


def verify_model(path: Path) -> tuple[Check, ...]:
    """Check a model's folder; the first check that fails is the last one made.

    Raises:
        NotFoundError: there is no such folder.
    """
    if not path.is_dir():
        raise NotFoundError(f"'{path}' is not a folder; give the folder that holds model.bin")
    checks: list[Check] = []
    for name, look in _CHECKS.items():
        try:
            checks.append(Check(name, ok=True, detail=look(path)))
        except (ModelError, OSError, ValueError) as error:
            checks.append(Check(name, ok=False, detail=str(error)))
            break
    return tuple(checks)


def _files(path: Path) -> str:
    missing = missing_files(path)
    if missing:
        raise ModelError(f"{', '.join(missing)} is missing")
    return ", ".join(name for name in MODEL_FILES if (path / name).is_file())


def _sizes(path: Path) -> str:
    expected: dict[str, int] = read_record(path).get("files", {})
    for name in MODEL_FILES:
        file = path / name
        if file.is_file() and file.stat().st_size == 0:
            raise ModelError(f"{name} is empty")
        if name in expected and (not file.is_file() or file.stat().st_size != expected[name]):
            raise ModelError(f"{name} does not have the {expected[name]} bytes that were fetched")
    return "as fetched" if expected else "none empty; the folder has no record of its fetch"


def _config(path: Path) -> str:
    config = json.loads((path / "config.json").read_bytes())
    if not isinstance(config, dict) or "suppress_ids" not in config:
        raise ModelError("config.json is not that of a Whisper model in CTranslate2's format")
    return f"{len(config.get('lang_ids', []))} languages"


def _tokenizer(path: Path) -> str:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    # The library raises bare Exception, whatever is wrong.
    except Exception as error:
        raise ModelError(f"tokenizer.json cannot be read: {error}") from error
    if tokenizer.token_to_id("<|startoftranscript|>") is None:
        raise ModelError("tokenizer.json is not that of a Whisper model")
    check_vocabulary(path, tokenizer.get_vocab_size())
    return f"{tokenizer.get_vocab_size()} tokens"


def _load(path: Path) -> str:
    command = [sys.executable, "-c", _PROBE, str(path)]
    try:
        child = subprocess.run(  # noqa: S603 - this Python, a fixed program, a path as argument
            command, capture_output=True, text=True, timeout=LOAD_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"the model did not load within {LOAD_TIMEOUT_S} s") from error
    said = (child.stderr.strip().splitlines() or [""])[-1]
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        raise ModelError(f"loading ended the process with {name}: {said}")
    if child.returncode > 0:
        raise ModelError(f"the model does not load: {said}")
    return f"loads on the CPU; encoder output {child.stdout.strip()}"


_CHECKS: Final[dict[str, Callable[[Path], str]]] = {
    "files": _files,
    "sizes": _sizes,
    "config": _config,
    "tokenizer": _tokenizer,
    "load": _load,
}
