"""What `import stenopool` gives, costs and promises."""

import pickle
import subprocess
import sys
import time

import pytest

import stenopool
from stenopool import errors

HEAVY = ["ray", "torch", "duckdb", "pyarrow", "ctranslate2", "faster_whisper", "pandas", "av"]


def subclasses(root):
    return [root, *(found for child in root.__subclasses__() for found in subclasses(child))]


def test_public_names_are_listed_sorted_and_nothing_else_shows():
    assert stenopool.__all__ == sorted(stenopool.__all__)
    modules = {"errors", "model", "processes", "settings"}
    shown = {name for name in vars(stenopool) if not name.startswith("_")}
    layers = {"asr", "audio", "catalog", "cli", "distributed", "storage", "warehouse"}
    assert shown - modules - layers - {"TYPE_CHECKING", "annotations"} == (
        set(stenopool.__all__) - {"__version__"}
    )


def test_import_loads_no_engine():
    code = f"import sys, stenopool; print([m for m in {HEAVY!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert found.stdout.strip() == "[]"


def test_import_takes_under_a_third_of_a_second():
    def seconds():
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import stenopool"], check=True)
        return time.perf_counter() - started

    bare = min(_seconds_of("pass") for _ in range(3))
    assert min(seconds() for _ in range(3)) - bare < 0.3


def _seconds_of(code):
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - started


@pytest.mark.parametrize("error", subclasses(errors.StenopoolError))
def test_every_error_survives_the_way_to_another_process(error):
    copy = pickle.loads(pickle.dumps(error("stage '@X' does not exist")))
    assert type(copy) is error
    assert str(copy) == "stage '@X' does not exist"


@pytest.mark.parametrize("error", subclasses(errors.StenopoolError))
def test_every_error_is_drawn_in_the_tree(error):
    assert f"── {error.__name__} " in errors.__doc__ or error is errors.StenopoolError


def test_every_recording_error_has_a_class_of_its_own():
    classes = [error.error_class for error in subclasses(errors.RecordingError)[1:]]
    assert len(set(classes)) == len(classes)
