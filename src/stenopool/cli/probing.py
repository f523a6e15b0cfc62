"""Tries a library in a child process: one that aborts or hangs takes nothing with it.

`probe` runs in the doctor's process, the functions of `PROBES` in the child.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stenopool.cli.checks import Check, State
from stenopool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DECODERS: Final = {
    "FLAC": "flac",
    "MP3": "mp3",
    "AAC": "aac",
    "Opus": "opus",
    "Vorbis": "vorbis",
    "AMR": "amrnb",
    "AMR-WB": "amrwb",
    "WMA": "wmav2",
}
"""FFmpeg's decoders behind the formats that people record in."""

ADVICE: Final = {
    "ctranslate2": "on a GPU: pip install 'stenopool[gpu]'; else reinstall ctranslate2; "
    "`--engine pocketsphinx` works without it",
    "ffmpeg": "reinstall PyAV: pip install --force-reinstall av",
    "vad": "reinstall faster-whisper, which brings it; --no-vad works without it",
    "pocketsphinx": "reinstall pocketsphinx, which brings its model",
    "ray": "no run is possible without Ray; its own words are in /tmp/ray/session_latest/logs",
}


def probe(name: str, deadline_s: float, command: Sequence[str] = ()) -> Check:
    """Try one library in a child process.

    Args:
        name: of `PROBES`.
        deadline_s: seconds after which the child is ended.
        command: another child than the one that runs `PROBES`.
    """
    command = command or (sys.executable, "-P", "-m", "stenopool.cli.probing", name)
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as noise:
        # A group of its own, so that what the child started ends with it; files and no pipes,
        # since a grandchild could hold a pipe open.
        child = subprocess.Popen(  # noqa: S603 - this program itself
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=noise, start_new_session=True
        )
        status = _wait(child, deadline_s)
        said.seek(0)
        noise.seek(0)
        answer = _last_answer(said.read().decode("utf-8", "replace"))
        last = _last_line(noise.read().decode("utf-8", "replace"))
    if status == 0 and "state" in answer:
        return _as_check(name, answer)
    doing = f" while {answer['doing']}" if "doing" in answer else ""
    text = f"{_ending(status, deadline_s)}{doing}{f': {last}' if last else ''}"
    return Check(name=name, state=State.FAILED, text=text, advice=ADVICE.get(name, ""))


def _wait(child: subprocess.Popen[bytes], deadline_s: float) -> int | None:
    """The exit status; None where the time was over."""
    try:
        return child.wait(deadline_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _ending(status: int | None, deadline_s: float) -> str:
    if status is None:
        return f"no answer within {deadline_s:.0f} s"
    if status < 0:
        return f"the process was ended by {signal.Signals(-status).name}"
    return f"the process ended with status {status}"


def _last_answer(said: str) -> dict[str, str]:
    """The last thing that the child said in our own form; libraries print too."""
    lines = [line for line in said.splitlines() if line.startswith('{"probe":')]
    answer: dict[str, str] = json.loads(lines[-1])["probe"] if lines else {}
    return answer


def _last_line(text: str) -> str:
    return ([line.strip() for line in text.splitlines() if line.strip()] or [""])[-1]


def _as_check(name: str, answer: dict[str, str]) -> Check:
    state = State(answer["state"])
    advice = "" if state is State.OK else answer.get("advice") or ADVICE[name]
    return Check(name=name, state=state, text=answer["text"], advice=advice)


def ctranslate2() -> dict[str, str]:
    """Load CTranslate2, ask it for GPUs, and let the demo model listen to silence."""
    _say(doing="loading the library")
    import ctranslate2
    import numpy as np

    from stenopool.asr import load_engine
    from stenopool.model import SAMPLE_RATE, TranscribeOptions

    _say(doing="looking for GPUs")
    devices = ctranslate2.get_cuda_device_count()
    device = "cuda" if devices else "cpu"
    _say(doing=f"running the demo model on device {device}")
    options = TranscribeOptions(model="demo", language="en")
    engine = load_engine(options, Settings.from_env(), device=device)
    engine.transcribe([np.zeros(SAMPLE_RATE, np.float32)], options, ["en"])
    where = f"{devices} CUDA device{'' if devices == 1 else 's'}" if devices else "the CPU"
    text = f"{ctranslate2.__version__}, runs the demo model on {where}"
    if not devices and has_gpu():
        return {"state": State.WARNING, "text": f"{text}, and sees none of this machine's GPUs"}
    return {"text": text}


def has_gpu(driver: Path = Path("/proc/driver/nvidia/gpus")) -> bool:
    """Whether NVIDIA's driver has found a GPU."""
    return driver.is_dir() and any(driver.iterdir())


def ffmpeg() -> dict[str, str]:
    """Load the FFmpeg that comes with PyAV, and look for the decoders."""
    _say(doing="loading the libraries")
    import av

    known = av.codecs_available
    missing = [name for name, decoder in DECODERS.items() if decoder not in known]
    versions = av.library_versions
    text = ", ".join(
        f"{name} {'.'.join(map(str, versions[name]))}" for name in ("libavcodec", "libavformat")
    )
    if missing:
        text = f"{text}; cannot read {', '.join(missing)}"
        return {"text": text, "state": State.WARNING}
    return {"text": f"{text}; reads {', '.join(DECODERS)} and others"}


def vad() -> dict[str, str]:
    """Let Silero VAD listen to a second of silence."""
    _say(doing="loading Silero VAD")
    import numpy as np

    from stenopool.audio import find_speech
    from stenopool.model import SAMPLE_RATE

    find_speech(np.zeros(SAMPLE_RATE, np.float32))
    return {"text": "Silero VAD finds silence silent"}


def pocketsphinx() -> dict[str, str]:
    """Load pocketsphinx with its own English model."""
    _say(doing="loading pocketsphinx")
    from stenopool.asr import load_engine
    from stenopool.model import TranscribeOptions

    options = TranscribeOptions(engine="pocketsphinx", language="en")
    engine = load_engine(options, Settings.from_env(), device="cpu")
    return {"text": f"model {engine.info.name}, revision {engine.info.revision[:12]}"}


def ray() -> dict[str, str]:
    """Start Ray as a run would, or join the cluster, and end it again."""
    from stenopool.distributed.cluster import connected
    from stenopool.distributed.pipeline import cluster_layout
    from stenopool.model import TranscribeOptions

    settings = Settings.from_env()
    _say(doing=f"joining {settings.ray_address}" if settings.ray_address else "starting Ray")
    began = time.monotonic()
    with connected(settings.ray_address):
        layout = cluster_layout(TranscribeOptions(model="demo"), settings)
        took = time.monotonic() - began
    how = f"joined {settings.ray_address}" if settings.ray_address else "started"
    engines = f"{layout.engines} engine{'' if layout.engines == 1 else 's'} on {layout.device}"
    return {"text": f"{how} in {took:.1f} s; a run would use {engines}"}


PROBES: Final[dict[str, Callable[[], dict[str, str]]]] = {
    "ctranslate2": ctranslate2,
    "ffmpeg": ffmpeg,
    "vad": vad,
    "pocketsphinx": pocketsphinx,
    "ray": ray,
}


def main(name: str) -> None:
    """Run one probe in this process, and print its answer."""
    try:
        answer = PROBES[name]()
    except Exception as error:  # noqa: BLE001 - the doctor reports whatever it is
        reason = " ".join(str(error).split()) or type(error).__name__
        answer = {"state": State.FAILED, "text": reason}
    _say(**({"state": State.OK} | answer))


def _say(**fields: str) -> None:
    print(json.dumps({"probe": fields}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
