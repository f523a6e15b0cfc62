"""Fetching pinned models from the Hugging Face hub, whole or not at all."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stenopool.asr.models import (
    DEMO,
    HUB_MODELS,
    MODEL_FILES,
    RECORD,
    HubModel,
    canonical_name,
    demo_folder,
    missing_files,
)
from stenopool.errors import ModelError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stenopool.settings import Settings


def quiet_hub() -> None:
    """Turn the hub's telemetry off; must run before anything imports `huggingface_hub`."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


def fetch_model(
    name: str, settings: Settings, *, progress: bool = False, endpoint: str | None = None
) -> Path:
    """Bring a model of the table to this machine; nothing is asked of the network if it is here.

    A fetch that was cut short goes on where it stopped, and its folder counts only when all of it
    is there. Two processes that fetch the same model fetch it once.

    Args:
        name: of the table, or an alias; `demo` is always here.
        settings: `models` is where the folder goes.
        progress: whether the hub's own progress bars are shown.
        endpoint: another server than the public hub.

    Raises:
        NotFoundError: no such name.
        ModelError: the hub could not be reached, or the files could not be written.
    """
    name = canonical_name(name)
    if name == DEMO:
        return demo_folder()
    if name not in HUB_MODELS:
        names = ", ".join(HUB_MODELS)
        raise NotFoundError(f"model '{name}' cannot be fetched; these can: {names}")
    folder = settings.models / name
    try:
        with _alone(folder):
            if missing_files(folder):
                _fetch(HUB_MODELS[name], name, folder, progress=progress, endpoint=endpoint)
    except OSError as error:
        raise ModelError(
            f"model '{name}' could not be written to '{folder}': {error}; make room, or set "
            "STENOPOOL_MODELS to another folder"
        ) from error
    return folder


def _fetch(hub: HubModel, name: str, folder: Path, *, progress: bool, endpoint: str | None) -> None:
    draft = folder.with_name(f".{name}.part")
    _download(hub, name, draft, progress=progress, endpoint=endpoint)
    missing = missing_files(draft)
    if missing:
        shutil.rmtree(draft)
        raise ModelError(
            f"{hub.repository} at {hub.revision} holds no {', '.join(missing)}; "
            "it is no CTranslate2 model"
        )
    shutil.rmtree(draft / ".cache", ignore_errors=True)
    sizes = {path.name: path.stat().st_size for path in sorted(draft.iterdir())}
    record = {"repository": hub.repository, "revision": hub.revision, "files": sizes}
    (draft / RECORD).write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    if folder.exists():
        shutil.rmtree(folder)
    draft.rename(folder)


def _download(
    hub: HubModel, name: str, draft: Path, *, progress: bool, endpoint: str | None
) -> None:
    quiet_hub()
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not progress:
        disable_progress_bars()
    try:
        # A machine without network hears so at once; the download itself tries for half a minute.
        HfApi(endpoint=endpoint).model_info(hub.repository, revision=hub.revision, timeout=10)
        snapshot_download(
            hub.repository,
            revision=hub.revision,
            local_dir=draft,
            allow_patterns=list(MODEL_FILES),
            endpoint=endpoint,
        )
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(
            f"model '{name}' could not be fetched from the hub: {reason}; on a machine with "
            f"network run `stenopool models get {name}` and copy the folder to "
            f"'{draft.with_name(name)}', or use `--model {DEMO}` or `--engine pocketsphinx`"
        ) from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from fetching the same model meanwhile."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
