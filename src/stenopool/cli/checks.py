"""What the doctor looks at in its own process: the machine, the home, the catalog, the storage."""

from __future__ import annotations

import csv
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import uuid
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from stenopool import __version__
from stenopool.cli import console
from stenopool.errors import StenopoolError

if TYPE_CHECKING:
    from stenopool.settings import Settings

SCARCE_MEMORY_BYTES: Final = 2_000_000_000
SCARCE_DISK_BYTES: Final = 5_000_000_000
SCARCE_SHARED_BYTES: Final = 1_000_000_000
"""Below these a run of any size is in trouble."""

GPU_QUERY_S: Final = 20
"""Seconds that a driver may take to answer; the first question after a start wakes it up."""

SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - Ray's own choice; nothing is written there


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that the doctor looked at.

    Attributes:
        name: what it was.
        state: whether it works; a warning means slower or less, not broken.
        text: what was found.
        advice: what to do; empty where there is nothing to do.
    """

    name: str
    state: State
    text: str
    advice: str = ""


def python() -> Check:
    """The interpreter and the package."""
    version = f"Python {platform.python_version()}, stenopool {__version__}, in {sys.prefix}"
    return Check(name="python", state=State.OK, text=version)


def cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> Check:
    """Which vector instructions CTranslate2 can use."""
    flags = cpu_flags(cpuinfo)
    names = {
        "AVX2": {"avx2"},
        "AVX-512": {"avx512f"},
        "VNNI": {"avx512_vnni", "avx_vnni"},
        "NEON": {"asimd"},
    }
    found = [name for name, any_of in names.items() if flags & any_of]
    text = f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores"
    if not flags:
        return Check(name="cpu", state=State.OK, text=f"{text}, its features cannot be read")
    if not found:
        advice = "a machine from 2013 or later is several times as fast"
        return Check(name="cpu", state=State.WARNING, text=f"{text}, no AVX2", advice=advice)
    return Check(name="cpu", state=State.OK, text=f"{text}, {', '.join(found)}")


def cpu_flags(cpuinfo: Path) -> set[str]:
    """The features of the first core, as Linux spells them; empty where it does not say."""
    if not cpuinfo.is_file():
        return set()
    lines = cpuinfo.read_text("utf-8", "replace").splitlines()
    values = [line.partition(":")[2] for line in lines if line.startswith(("flags", "Features"))]
    return set(values[0].split()) if values else set()


def memory() -> Check:
    """The machine's memory, and the part of it that Ray's processes share."""
    import psutil

    found = psutil.virtual_memory()
    text = f"{console.size(found.available)} of {console.size(found.total)} free"
    if found.available < SCARCE_MEMORY_BYTES:
        advice = "end other programs, or use a small model and --limit"
        return Check(name="memory", state=State.WARNING, text=text, advice=advice)
    if SHARED_MEMORY.is_dir():
        shared = shutil.disk_usage(SHARED_MEMORY).free
        text = f"{text}, {console.size(shared)} shared memory"
        if shared < SCARCE_SHARED_BYTES:
            advice = "Ray becomes slow: start the container with --shm-size=2g or more"
            return Check(name="memory", state=State.WARNING, text=text, advice=advice)
    return Check(name="memory", state=State.OK, text=text)


def gpu(program: str = "nvidia-smi") -> Check:
    """NVIDIA's GPUs and their driver; a machine without is fine."""
    found = shutil.which(program)
    if found is None:
        return Check(name="gpu", state=State.OK, text="none found; models run on the CPU")
    query = [found, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        child = subprocess.run(  # noqa: S603 - the driver's own program
            query, capture_output=True, text=True, timeout=GPU_QUERY_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return _gpu_trouble(f"{program} does not answer: {error}")
    if child.returncode:
        return _gpu_trouble(" ".join((child.stdout + child.stderr).split()))
    rows = [row for row in csv.reader(child.stdout.splitlines(), skipinitialspace=True) if row]
    if not rows:
        return _gpu_trouble("the driver finds no GPU")
    text = "; ".join(f"{row[0]} with {row[1]}" for row in rows)
    return Check(name="gpu", state=State.OK, text=f"{text}; driver {rows[0][2]}")


def _gpu_trouble(text: str) -> Check:
    advice = "the driver is installed but does not work; until it does, models run on the CPU"
    return Check(name="gpu", state=State.WARNING, text=text, advice=advice)


def models(settings: Settings) -> Check:
    """Which models are on this machine."""
    from stenopool.asr import known_models

    try:
        here = [model for model in known_models(settings) if model.path]
    except (StenopoolError, OSError) as error:
        return Check(name="models", state=State.FAILED, text=str(error))
    found = ", ".join(f"{model.name} ({console.size(model.size_bytes)})" for model in here)
    text = f"{found}; others go to {settings.models}"
    advice = "`stenopool models get small` fetches one for real recordings"
    return Check(name="models", state=State.OK, text=text, advice="" if len(here) > 1 else advice)


def home(settings: Settings) -> Check:
    """Whether the home can be written, and how much room there is."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.home):
            free = shutil.disk_usage(settings.home).free
    except OSError as error:
        text = f"{settings.home} cannot be written: {error.strerror}"
        advice = "set STENOPOOL_HOME to a folder that you can write"
        return Check(name="home", state=State.FAILED, text=text, advice=advice)
    text = f"{settings.home}, {console.size(free)} free"
    if free < SCARCE_DISK_BYTES:
        advice = "make room, or set STENOPOOL_HOME to a folder on a larger disk"
        return Check(name="home", state=State.WARNING, text=text, advice=advice)
    return Check(name="home", state=State.OK, text=text)


def catalog(settings: Settings) -> Check:
    """Whether the catalog answers, and of which kind it is."""
    from stenopool.catalog import open_catalog

    url = urlsplit(settings.catalog_url)
    kind = (
        f"PostgreSQL at {url.hostname or 'this machine'}" if "postgres" in url.scheme else "SQLite"
    )
    try:
        with open_catalog(settings) as opened:
            stages, tables = len(opened.stages()), len(opened.table_names())
    except StenopoolError as error:
        advice = "check STENOPOOL_CATALOG, and that the database runs"
        return Check(name="catalog", state=State.FAILED, text=str(error), advice=advice)
    text = f"{kind}, {console.plural(stages, 'stage')}, {console.plural(tables, 'table')}"
    return Check(name="catalog", state=State.OK, text=text)


def place(name: str, root: str) -> Check:
    """Whether a folder or bucket can be written, read and removed from; leaves nothing there."""
    from stenopool.storage import open_storage

    probe_name = f"doctor-{uuid.uuid4().hex}"
    try:
        storage = open_storage(root)
        with tempfile.NamedTemporaryFile() as file:
            storage.put(Path(file.name), probe_name)
        storage.remove(probe_name)
    except (StenopoolError, OSError) as error:
        advice = f"check STENOPOOL_{'WAREHOUSE' if name == 'tables' else 'STAGES'} and its login"
        return Check(name=name, state=State.FAILED, text=str(error), advice=advice)
    return Check(name=name, state=State.OK, text=f"{root} can be written")
