"""Which models there are, where they lie on this machine, and what pins their bytes.

A model is a folder in CTranslate2's format. It is named in one of three ways: `demo` (inside the
package), a name of the table below (fetched into `Settings.models`), or the path of a folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stenopool.errors import EngineError, InvalidOptionError, ModelError, NotFoundError
from stenopool.model import ModelInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stenopool.model import TranscribeOptions
    from stenopool.settings import Settings

DEMO: Final = "demo"

RECORD: Final = "stenopool.json"
"""File in a fetched model's folder: repository, revision, and the files' sizes."""

NEEDED_FILES: Final = ("config.json", "model.bin", "tokenizer.json")
MODEL_FILES: Final = (
    *NEEDED_FILES,
    "preprocessor_config.json",
    "vocabulary.json",
    "vocabulary.txt",
)
"""All that an engine reads, and so all that a revision covers."""


@dataclass(frozen=True, slots=True)
class HubModel:
    """A converted model on the Hugging Face hub, pinned to a commit.

    Attributes:
        repository: on the hub, `owner/name`.
        revision: the commit.
        size_bytes: of the download, about.
    """

    repository: str
    revision: str
    size_bytes: int


def _systran(name: str, revision: str, size_mb: int) -> HubModel:
    return HubModel(f"Systran/faster-{name}", revision, size_mb * 1_000_000)


HUB_MODELS: Final = {
    "tiny": _systran("whisper-tiny", "d90ca5fe260221311c53c58e660288d3deb8d356", 78),
    "tiny.en": _systran("whisper-tiny.en", "0d3d19a32d3338f10357c0889762bd8d64bbdeba", 78),
    "base": _systran("whisper-base", "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66", 148),
    "base.en": _systran("whisper-base.en", "3d3d5dee26484f91867d81cb899cfcf72b96be6c", 148),
    "small": _systran("whisper-small", "536b0662742c02347bc0e980a01041f333bce120", 486),
    "small.en": _systran("whisper-small.en", "d1d751a5f8271d482d14ca55d9e2deeebbae577f", 486),
    "medium": _systran("whisper-medium", "08e178d48790749d25932bbc082711ddcfdfbc4f", 1531),
    "medium.en": _systran("whisper-medium.en", "a29b04bd15381511a9af671baec01072039215e3", 1530),
    "large-v1": _systran("whisper-large-v1", "b07c8d4be0be90092aa01a29c975077acb8d15c9", 3090),
    "large-v2": _systran("whisper-large-v2", "f0fe81560cb8b68660e564f55dd99207059c092e", 3090),
    "large-v3": _systran("whisper-large-v3", "edaa852ec7e145841d8ffdb056a99866b5f0a478", 3091),
    "large-v3-turbo": HubModel(
        "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
        "0a363e9161cbc7ed1431c9597a8ceaf0c4f78fcf",
        1_622_000_000,
    ),
    "distil-small.en": _systran(
        "distil-whisper-small.en", "ef77d90526ccd62cde3808ee70626a01e5cf83e4", 336
    ),
    "distil-medium.en": _systran(
        "distil-whisper-medium.en", "80ddfce281f77766d8943d63109199fc8145dfa5", 793
    ),
    "distil-large-v2": _systran(
        "distil-whisper-large-v2", "fe9b404fc56de3f7c38606ef9ba6fd83526d05e4", 1516
    ),
    "distil-large-v3": _systran(
        "distil-whisper-large-v3", "c3058b475261292e64a0412df1d2681c06260fab", 1516
    ),
    "distil-large-v3.5": HubModel(
        "distil-whisper/distil-large-v3.5-ct2",
        "9793ccc07920e0f830e1dba0343efcdf0ef8c903",
        1_516_000_000,
    ),
}
"""The names of faster-whisper's table, each at one commit, so that a name means the same bytes."""

_ALIASES: Final = {"large": "large-v3", "turbo": "large-v3-turbo"}


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownModel:
    """A model as `stenopool models list` shows it.

    Attributes:
        name: what `--model` takes.
        repository: where it comes from; None for the demo model.
        revision: pinned commit, or hash of the files.
        size_bytes: on disk or, where it is not here, of the download (about).
        path: where it lies on this machine; None where it does not.
    """

    name: str
    repository: str | None
    revision: str
    size_bytes: int
    path: Path | None


def canonical_name(name: str) -> str:
    """The table's name for an alias such as `turbo`; any other name as it is."""
    return _ALIASES.get(name, name)


def is_english_only(name: str) -> bool:
    """Whether the name says so: `small.en`."""
    return name.endswith(".en")


def known_models(settings: Settings) -> list[KnownModel]:
    """The demo model and those of the table, with what is on this machine."""
    demo = demo_folder()
    found = [
        KnownModel(
            name=DEMO,
            repository=None,
            revision=folder_revision(demo, settings),
            size_bytes=_size(demo),
            path=demo,
        )
    ]
    for name, hub in HUB_MODELS.items():
        folder = settings.models / name
        here = not missing_files(folder)
        found.append(
            KnownModel(
                name=name,
                repository=hub.repository,
                revision=hub.revision,
                size_bytes=_size(folder) if here else hub.size_bytes,
                path=folder if here else None,
            )
        )
    return found


def demo_folder() -> Path:
    """Where the package keeps its demo model."""
    return Path(str(files("stenopool") / "data" / "demo_model"))


def find_model(model: str, settings: Settings) -> Path:
    """Find the folder of a model on this machine, without touching the network.

    Raises:
        NotFoundError: neither a known name nor a folder, or not fetched to this machine yet.
        ModelError: its folder is not whole.
    """
    name = canonical_name(model)
    if name == DEMO:
        folder = demo_folder()
    elif name in HUB_MODELS:
        folder = settings.models / name
        if not folder.is_dir():
            raise NotFoundError(
                f"model '{model}' is not on this machine; fetch it with "
                f"`stenopool models get {name}`, or use --engine pocketsphinx, which needs none"
            )
    else:
        folder = Path(model).expanduser()
        if not folder.is_dir():
            names = ", ".join([DEMO, *HUB_MODELS])
            raise NotFoundError(
                f"model '{model}' is neither a folder nor one of these names: {names}"
            )
    _check_whole(folder, model)
    return folder


def model_info(model: str, settings: Settings) -> ModelInfo:
    """Name the model and pin its bytes: the recorded commit, or a hash of its files.

    Raises:
        NotFoundError: neither a known name nor a folder, or not fetched to this machine yet.
        ModelError: its folder is not whole.
    """
    folder = find_model(model, settings)
    recorded = read_record(folder).get("revision")
    return ModelInfo(name=model, revision=recorded or folder_revision(folder, settings))


def missing_files(folder: Path) -> list[str]:
    """Names of the files without which the folder is no model."""
    return [name for name in NEEDED_FILES if not (folder / name).is_file()]


def check_vocabulary(folder: Path, tokenizer_size: int) -> None:
    """Refuse a tokenizer that has more tokens than the model: CTranslate2 would crash on them.

    Raises:
        ModelError: the folder's tokenizer.json belongs to another model.
    """
    size = _vocabulary_size(folder)
    if size is not None and tokenizer_size > size:
        raise ModelError(
            f"tokenizer.json in '{folder}' has {tokenizer_size} tokens and the model {size}; "
            "they do not belong together: convert or fetch the model again"
        )


def check_languages(options: TranscribeOptions, folder: Path) -> None:
    """Refuse languages that the folder's tokenizer has no token for.

    Raises:
        InvalidOptionError: it has none for one that the options name.
    """
    # The tokenizer holds one token a language, whichever set of languages the model has.
    tokens = (folder / "tokenizer.json").read_bytes() if options.named_languages else b""
    for language in options.named_languages:
        is_code = re.fullmatch("[a-z]{2,3}", language)  # such as `haw`; `translate` is a token too
        if not is_code or f'"<|{language}|>"'.encode() not in tokens:
            raise InvalidOptionError(
                f"language '{language}' is not one that the model knows; "
                "give an ISO 639-1 code such as en, de or zh, or leave it out to have it detected"
            )


def check_english(options: TranscribeOptions) -> None:
    """Refuse what a model for English alone cannot do.

    Raises:
        InvalidOptionError: another language or a translation is asked for.
    """
    if set(options.named_languages) - {"en"} or options.task != "transcribe":
        name = options.model.removesuffix(".en")
        raise InvalidOptionError(
            f"model '{options.model}' transcribes English and nothing else; "
            f"use a multilingual one, such as '{name if name != options.model else 'small'}'"
        )


def _vocabulary_size(folder: Path) -> int | None:
    with contextlib.suppress(FileNotFoundError):
        return len(json.loads((folder / "vocabulary.json").read_bytes()))
    with contextlib.suppress(FileNotFoundError):
        return len((folder / "vocabulary.txt").read_bytes().splitlines())
    return None


def read_record(folder: Path) -> dict[str, Any]:
    """What `fetch_model` wrote beside the model; empty where somebody else brought it.

    Raises:
        ModelError: the record is there but cannot be read.
    """
    path = folder / RECORD
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelError(
            f"'{path}' cannot be read: {error}; delete the folder and fetch again"
        ) from error
    return record if isinstance(record, dict) else {}


def chosen_device(asked: str, *, there: bool, without: str) -> str:
    """`cuda` or `cpu`, for an engine that was asked for one of them or for `auto`.

    Args:
        asked: what the caller wants.
        there: whether the engine's library sees a GPU.
        without: what to say where it does not and one was asked for.

    Raises:
        InvalidOptionError: there is no such device.
        EngineError: a GPU was asked for and there is none.
    """
    if asked not in ("auto", "cpu", "cuda"):
        raise InvalidOptionError(f"device '{asked}' is not one of auto, cpu, cuda")
    if asked == "cuda" and not there:
        raise EngineError(without)
    return "cuda" if there and asked != "cpu" else "cpu"


def folder_revision(folder: Path, settings: Settings, names: Sequence[str] = MODEL_FILES) -> str:
    """Hash the files of a model: 32 hexadecimal digits that change with any byte of them.

    Hashing gigabytes takes seconds, so the answer is kept in `Settings.models` under the files'
    sizes and times of change.
    """
    stamps = [
        (name, (folder / name).stat().st_size, (folder / name).stat().st_mtime_ns)
        for name in names
        if (folder / name).is_file()
    ]
    key = hashlib.blake2b(
        json.dumps([str(folder.resolve()), stamps]).encode(), digest_size=16
    ).hexdigest()
    note = settings.models / ".revisions" / key
    if note.is_file():
        return note.read_text("ascii")
    revision = _hash_files(folder, [name for name, _, _ in stamps])
    _keep(note, revision)
    return revision


def _hash_files(folder: Path, names: list[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(names):
        with (folder / name).open("rb") as file:
            content = hashlib.file_digest(file, "blake2b").digest()
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()


def _keep(note: Path, revision: str) -> None:
    # Only time is lost where the note cannot be written, as in a read-only home.
    with contextlib.suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        draft = note.with_name(f"{note.name}.{os.getpid()}")
        draft.write_text(revision, "ascii")
        draft.replace(note)


def _size(folder: Path) -> int:
    return sum((folder / n).stat().st_size for n in MODEL_FILES if (folder / n).is_file())


def _check_whole(folder: Path, model: str) -> None:
    missing = missing_files(folder)
    if not missing:
        return
    if (folder / "model.safetensors").is_file() or (folder / "pytorch_model.bin").is_file():
        raise ModelError(
            f"model '{model}' is in Transformers' format; use --engine torch, or convert it with "
            f"`ct2-transformers-converter --model {folder} --output_dir NEW_FOLDER "
            "--quantization int8 --copy_files tokenizer.json preprocessor_config.json`"
        )
    if len(missing) == len(NEEDED_FILES):
        raise NotFoundError(
            f"folder '{folder}' is no model; it has no {missing[0]} or other file of one; "
            "`stenopool models list` shows names"
        )
    raise ModelError(
        f"model '{model}' is not whole, it lacks {', '.join(missing)}; fetch or convert it again "
        "into a new folder"
    )
