"""Folders in Transformers' format, as the hub has them: what the `torch` engine loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stenopool.asr.models import HUB_MODELS, canonical_name, folder_revision, read_record
from stenopool.errors import ModelError, NotFoundError
from stenopool.model import ModelInfo

if TYPE_CHECKING:
    from stenopool.settings import Settings

CONFIG: Final = "config.json"
GENERATION: Final = "generation_config.json"
TOKENIZER: Final = "tokenizer.json"
ENGLISH_ONLY_VOCABULARY: Final = 51_864
"""Tokens of the models that know English alone; all others have more."""

_WEIGHTS: Final = "model*.safetensors*"
"""One file, or an index and several."""


def find_torch_model(model: str) -> Path:
    """Find a model's folder, and check that all of it is there.

    Raises:
        NotFoundError: there is no such folder.
        ModelError: it is not whole, or in another format.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        raise NotFoundError(
            f"model '{model}' is not a folder; the torch engine takes one in Transformers' "
            f"format, such as `hf download {_repository(model)} --local-dir FOLDER` fetches"
        )
    weights = list(folder.glob(_WEIGHTS))
    if not weights and (folder / "model.bin").is_file():
        raise ModelError(
            f"model '{model}' is in CTranslate2's format; use --engine ctranslate2, or give the "
            "folder of the same model in Transformers' format"
        )
    if not weights and (folder / "pytorch_model.bin").is_file():
        raise ModelError(
            f"model '{model}' has pytorch_model.bin alone, and the torch engine reads safetensors; "
            "fetch a newer revision, or write it so: WhisperForConditionalGeneration."
            f"from_pretrained('{model}').save_pretrained(NEW_FOLDER), and copy tokenizer.json"
        )
    missing = [name for name in (CONFIG, TOKENIZER) if not (folder / name).is_file()]
    missing += [] if weights else ["model.safetensors"]
    if missing:
        raise ModelError(
            f"model '{model}' is not whole, it lacks {', '.join(missing)}; fetch it again"
        )
    return folder


def torch_model_info(model: str, settings: Settings) -> ModelInfo:
    """Name the model and pin its bytes: the recorded commit, or a hash of its files.

    Raises:
        NotFoundError: there is no such folder.
        ModelError: it is not whole, or in another format.
    """
    folder = find_torch_model(model)
    names = [CONFIG, GENERATION, TOKENIZER, *(path.name for path in folder.glob(_WEIGHTS))]
    recorded = read_record(folder).get("revision")
    return ModelInfo(name=model, revision=recorded or folder_revision(folder, settings, names))


def read_json(path: Path) -> dict[str, Any]:
    """Read one of a model's files; empty where it is not there.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelError(f"'{path}' cannot be read: {error}; fetch the model again") from error
    return content if isinstance(content, dict) else {}


def _repository(model: str) -> str:
    name = canonical_name(model)
    return f"openai/whisper-{name if name in HUB_MODELS else 'small'}"
