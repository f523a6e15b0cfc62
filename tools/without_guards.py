"""Takes out each guard against loss and doubling, and sees that its test fails.

    make guards
    .venv/bin/python tools/without_guards.py > benchmarks/results/guards-DATE.jsonl

A test of `tests/faults` that passes without the code that it is about proves nothing. Each guard
here is one change of a copy of the source; with it the named test must fail, and without it pass.
One JSON line a guard.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEADLINE_S = 60
"""How long a test waits for something that does not come once its guard is out."""

TIMEOUT_S = 150


@dataclass(frozen=True)
class Guard:
    """One guard.

    Attributes:
        guarantee: its number in the design's list of nine.
        file: under `src/stenopool`.
        code: the guard; stands in the file once.
        without: what stands there when it is out.
        test: under `tests/faults`, with its name.
    """

    guarantee: int
    file: str
    code: str
    without: str
    test: str


LEDGER, RUN, PIPELINE = "catalog/ledger.py", "distributed/run.py", "distributed/pipeline.py"
CONFINING, APP = "distributed/confining.py", "cli/app.py"
KILLERS = "test_killers.py::test_recordings_that_crash_hang_or_eat_the_reader_are_rows"
ENGINES = "test_killers.py::test_a_recording_that_ends_the_engine_is_a_row"

GUARDS = (
    Guard(1, RUN, "held = self.ledger.own().ids.holds(ids)", "return references.slice(0, 0)",
          "test_driver.py::test_a_row_that_is_lost_on_the_way"),
    Guard(2, RUN, "own = self.ledger.own()\n", "own = Done()\n",
          "test_driver.py::test_a_killed_run_goes_on"),
    Guard(2, "distributed/collecting.py", "self._store.keep(", "len(",
          "test_driver.py::test_parts_of_a_long"),
    Guard(3, LEDGER, "lambda: self._head_of(self._branch) == self._head", "lambda: True",
          "test_ledger.py::test_the_owner_leaves_out"),
    Guard(3, LEDGER, "lambda: self._head_of(self._branch) == self._head", "lambda: True",
          "test_ledger.py::test_live_rows_that_another_run"),
    Guard(3, LEDGER, "if self._branch != MAIN and not self._is_mine():", "if False:",
          "test_ledger.py::test_a_process_that_lost_its_run"),
    Guard(3, LEDGER, "tables.try_once(self._table)", "pass",
          "test_ledger.py::test_two_publications"),
    Guard(3, LEDGER, "if self._landed(properties[COMMIT_PROPERTY]):", "if False:",
          "test_ledger.py::test_a_commit_whose_answer_was_lost"),
    Guard(3, LEDGER, "        if not self.has_branch():\n            return False\n", "",
          "test_ledger.py::test_a_publication_that_is_repeated"),
    Guard(3, "catalog/leases.py", "if held is not None and _is_alive(", "if False and _is_alive(",
          "test_leases.py::test_a_lease_that_is_held"),
    Guard(3, "catalog/leases.py", "return held.process.is_alive()", "return True",
          "test_leases.py::test_the_lease_of_a_process_that_is_gone"),
    Guard(4, LEDGER, "self._branch = MAIN if live else run_id", "self._branch = MAIN",
          "test_driver.py::test_a_killed_run_goes_on"),
    Guard(5, PIPELINE, 'once = {"max_retries": 0, ', "once = {", KILLERS),
    Guard(5, PIPELINE, "max_errored_blocks = -1", "max_errored_blocks = 0", KILLERS),
    Guard(5, CONFINING, "        self._tell(seconds)\n        try:", "        try:", KILLERS),
    Guard(5, CONFINING, "        self._tell(seconds)\n        try:", "        try:",
          f"{ENGINES}_and_the_others_are_done[hang-on-loud-timed_out]"),
    Guard(5, PIPELINE, "max_task_retries=0", "max_task_retries=-1",
          f"{ENGINES}_and_the_others_are_done[exit-on-loud-crashed]"),
    Guard(5, "distributed/clusters/environment.py", '"RAY_prestart_worker_first_driver": "0"',
          '"RAY_prestart_worker_first_driver": "1"',
          "test_killers.py::test_a_run_whose_first_workers_die"),
    Guard(5, RUN, "passes.require_one(left)", "pass",
          "test_killers.py::test_an_engine_that_dies_of_every_recording"),
    Guard(6, LEDGER, "if classes:\n", "if False:\n",
          "test_killers.py::test_failures_are_done_again_by_class"),
    Guard(7, "storage/retrying.py", "return attempts(call)", "return call()",
          "test_storage.py::test_a_bucket_that_delays"),
    Guard(7, "distributed/reading.py", "require_there(self._storage, error)", "pass",
          "test_storage.py::test_a_bucket_that_is_gone_ends_the_run_in_under_two_minutes_and_keeps"
          "_what_is_done[gone]"),
    Guard(8, PIPELINE, "    require_memory(layout, options)\n", "",
          "test_places.py::test_a_model_that_fits_on_no_node"),
    Guard(8, CONFINING, "resource.setrlimit(resource.RLIMIT_DATA, (most, hard))", "pass",
          "test_places.py::test_a_task_leaves_its_process"),
    Guard(8, CONFINING, "resource.setrlimit(resource.RLIMIT_DATA, former)", "pass",
          "test_places.py::test_a_task_leaves_its_process"),
    Guard(9, "catalog/engine.py", "stop=tenacity.stop_after_delay(deadline_s)",
          "stop=tenacity.stop_after_attempt(1)", "test_places.py::test_a_catalog_that_is_locked"),
    Guard(9, LEDGER, "patiently(attempt, passes=passes, deadline_s=self._patience_s)", "attempt()",
          "test_ledger.py::test_a_catalog_that_is_away_for_a_while"),
    Guard(9, APP, "if (trouble := disk_trouble(error)) is not None", "if (trouble := None)",
          "test_places.py::test_a_home_that_is_read_only"),
    Guard(9, APP, "if (trouble := disk_trouble(error)) is not None", "if (trouble := None)",
          "test_places.py::test_a_disk_that_is_full_is_one_clear_line"),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="guards whose test or code has this in it")
    chosen = [g for g in GUARDS if parser.parse_args().only in g.test + g.code]
    useless = 0
    for guard in chosen:
        with tempfile.TemporaryDirectory(prefix="guards") as folder:
            line = without(guard, Path(folder))
        useless += not line["fails"]
        print(json.dumps(line), flush=True)
    print(f"{len(chosen)} guards, {useless} that no test misses", file=sys.stderr)
    sys.exit(bool(useless))


def without(guard: Guard, folder: Path) -> dict[str, object]:
    """Run a guard's test on a copy of the source where it is out; gives what came of it."""
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "pyproject.toml", folder)
    file = folder / "src" / "stenopool" / guard.file
    text = file.read_text()
    assert text.count(guard.code) == 1, f"{guard.file} has {text.count(guard.code)} × {guard.code}"
    file.write_text(text.replace(guard.code, guard.without))
    started = time.monotonic()
    failed, words = fails(guard.test, folder)
    return {
        "guarantee": guard.guarantee,
        "file": guard.file,
        "guard": guard.code.strip(),
        "test": guard.test,
        "fails": failed,
        "because": words,
        "wall_s": round(time.monotonic() - started, 1),
    }


def fails(test: str, folder: Path) -> tuple[bool, str]:
    """Whether a test fails on a copy of the source, and its last word on that."""
    file, _, name = test.partition("::")
    node = [f"tests/faults/{test}"] if "[" in name else [f"tests/faults/{file}", "-k", name]
    command = [sys.executable, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider", "-x"]
    done = subprocess.run(
        [*command, f"--timeout={TIMEOUT_S}", "--timeout-method=signal", *node],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder / "src"), "DEADLINE_S": str(DEADLINE_S)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return done.returncode == 1, lines[0][:300] if lines else done.stdout.splitlines()[-1]


if __name__ == "__main__":
    main()
