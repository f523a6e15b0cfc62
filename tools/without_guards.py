"""Takes out each guard against loss, or each of an engine's rules, and sees that its test fails.

    make guards
    make rules
    .venv/bin/python tools/without_guards.py > benchmarks/results/guards-DATE.jsonl

A test that passes without the code that it is about proves nothing. Each guard or rule
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
RECORDINGS = ROOT.parent / "shared"
DEADLINE_S = 60
"""How long a test waits for something that does not come once its guard is out."""

TIMEOUT_S = 150


@dataclass(frozen=True)
class Guard:
    """One guard.

    Attributes:
        guarantee: its number in the design's list of nine; for an engine's rule, what it is about.
        file: under `src/stenopool`.
        code: the guard; stands in the file once.
        without: what stands there when it is out.
        test: under `tests/faults` (or `tests`, where it names a folder), with its name.
    """

    guarantee: int | str
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
    Guard(9, "storage/translate.py", "if error.errno in DISK_ERRORS:", "if False:",
          "test_places.py::test_a_disk_that_is_full_is_one_clear_line"),
)  # fmt: skip


TOKENS = "asr/random_weights/test_tokens_equal_transformers.py::test_tokens_are_those_of"
TOKENS_CT2 = f"{TOKENS}_transformers and ctranslate2"
TOKENS_TORCH = f"{TOKENS}_transformers and torch"
CT2, TORCH_RULES = "asr/ctranslate2_backend.py", "asr/torch_whisper/rules.py"
QUALITY, SPLIT = "asr/quality.py", "asr/timestamps.py"

RULES = (
    Guard("blank", CT2, "suppress_blank=True", "suppress_blank=False", TOKENS_CT2),
    Guard("blank", TORCH_RULES, "self.suppressed | (first & self.suppressed_first)",
          "self.suppressed", TOKENS_TORCH),
    Guard("symbols", CT2, "suppress_tokens=self._suppressed", "suppress_tokens=[]", TOKENS_CT2),
    Guard("symbols", TORCH_RULES, "self.suppressed | (first & self.suppressed_first)",
          "first & self.suppressed_first", TOKENS_TORCH),
    Guard("timestamps come in pairs", TORCH_RULES, "| (closed & is_time)", "", TOKENS_TORCH),
    Guard("timestamps come in pairs", TORCH_RULES, "| (opens & is_text)", "", TOKENS_TORCH),
    Guard("timestamps never go back", TORCH_RULES, "(is_time & (ids < earliest))",
          "(is_time & (ids < 0))", TOKENS_TORCH),
    Guard("a text starts early", CT2, "max_initial_timestamp_index=LATEST_START",
          "max_initial_timestamp_index=1500", TOKENS_CT2),
    Guard("a text starts early", TORCH_RULES, "(ids > self.timestamp_begin + self.latest_start)",
          "(ids < 0)", TOKENS_TORCH),
    Guard("timestamps where they are likelier", TORCH_RULES,
          "return self._timestamp_where_likelier(scores) if self.timestamps else scores",
          "return scores", TOKENS_TORCH),
    Guard("fallback: repeats", QUALITY, "(repeats(attempt) or is_guess(attempt))",
          "is_guess(attempt)", "asr/test_rules_in_engines.py::test_window_that_repeats"),
    Guard("fallback: guesses", QUALITY, "(repeats(attempt) or is_guess(attempt))",
          "repeats(attempt)", "asr/test_rules_in_engines.py::test_window_that_was_guessed"),
    Guard("fallback: a window alone", QUALITY, "if needs_retry(tried[number][-1])", "",
          "asr/test_rules_in_engines.py::test_window_that_was_guessed"),
    Guard("fallback: the best of failures", QUALITY, "max(usable or attempts", "max(attempts",
          "asr/test_quality.py::test_best_of_failures"),
    Guard("no speech", "asr/whisper.py", "    if is_silence(attempt):\n        return None\n", "",
          "asr/test_rules_in_engines.py::test_window_without_speech"),
    Guard("prompt", CT2, "before = tokens_before(options, tokenizer.encode, "
          "self._model.max_length // 2 - 1)", "before = []",
          "asr/random_weights/test_tokens_equal_transformers.py::test_prompt_is_read"),
    Guard("hotwords", "asr/prompt.py", "before = hotwords[:room]", "before = []",
          "asr/test_engine_contract.py::test_prompt_and_hotwords"),
    Guard("a window that ends early goes on", SPLIT,
          "if rest_s is not None and MIN_PROGRESS_S <= rest_s <= duration_s - MIN_REST_S:",
          "if False:", "asr/test_timestamps.py"),
    Guard("times lie inside and in order", "asr/segments.py",
          "start_s = _clamp(segment.start_s, earliest_s, duration_s)", "start_s = segment.start_s",
          "asr/test_segments.py"),
    Guard("words lie inside and in order", "asr/segments.py",
          "_in_order(_trimmed(segment.words, start_s, end_s), earliest_s, duration_s)",
          "tuple(segment.words)", "asr/random_weights/test_times.py::test_words_are_in_order"),
    Guard("allowed languages", "asr/languages.py", "max(allowed or probabilities, key",
          "max(probabilities, key", "asr/test_languages.py"),
    Guard("the recording's language", "asr/languages.py",
          "if presumed is None or probability >= CLEARLY:", "if True:", "asr/test_languages.py"),
    Guard("a segment's language", "distributed/transcribing.py",
          "replace(shifted(segment, span), language=result.language)", "shifted(segment, span)",
          "distributed/test_run.py::test_each_segment_says"),
    Guard("times from the recording's start", "distributed/transcribing.py",
          "replace(shifted(segment, span), language=result.language)",
          "replace(segment, language=result.language)",
          "distributed/test_long.py::test_a_segment_an_hour_deep"),
    Guard("cuts in silence", "audio/windows.py", "+ _cut_cost(pieces, after)", "",
          "audio/test_windows.py"),
    Guard("windows of no more than 30 s", "audio/windows.py",
          "for piece in _cut_long(samples, span, SPEECH_SAMPLES)]", "for piece in [span]]",
          "audio/test_windows.py"),
    Guard("words behind a silence", "audio/windows.py",
          "if span.start - before.end > LONGEST_SILENCE:", "if False:",
          "distributed/test_long.py::test_words_far_apart"),
    Guard("clips begin with a word", "audio/windows.py",
          "start - PAD_BEFORE if start > LATEST_WORD else 0", "0", "audio/test_windows.py"),
    Guard("a rest begins at the last end", SPLIT,
          "(tokens[pairs[-1] - 1] - timestamp_begin) * STEP_S", "timed[-1].start_s",
          "asr/test_timestamps.py"),
    Guard("words stay in their segment", "asr/words.py", "[drafts], in_parts,",
          "[drafts], tokenizer,", "asr/test_words.py::test_a_segment_that_begins"),
    Guard("speech without text is told", "asr/flags.py", "missing.max() >= LONGEST_MISSING_S",
          "False", "asr/test_flags.py"),
    Guard("silence is heard first", "asr/whisper.py", "if not is_silent(samples):", "if True:",
          "asr/test_engine_contract.py::silen"),
    Guard("coverage", "distributed/transcribing.py",
          'with_flags(made, made["speech"]) if is_recording else made', "made",
          "distributed/test_nothing_is_invented.py::test_without_vad"),
    Guard("clips that share a window: doubt", "asr/packing.py",
          "if texts[number] and number not in doubtful", "if True", "asr/test_packing.py"),
    Guard("short contexts have a margin", "asr/features.py", "(frames + CONTEXT_MARGIN)", "frames",
          "asr/test_short_context.py"),
)  # fmt: skip
"""What an engine owes to Whisper's rules, and to the words at seams."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="guards whose test or code has this in it")
    parser.add_argument("--rules", action="store_true", help="an engine's rules, and no guards")
    arguments = parser.parse_args()
    known = RULES if arguments.rules else GUARDS
    chosen = [g for g in known if arguments.only in g.test + g.code]
    useless = 0
    for guard in chosen:
        with tempfile.TemporaryDirectory(prefix="guards") as folder:
            if RECORDINGS.exists():  # tests read them beside the project
                (Path(folder) / RECORDINGS.name).symlink_to(RECORDINGS)
            line = without(guard, Path(folder) / "copy")
        useless += not line["fails"]
        print(json.dumps(line), flush=True)
    print(f"{len(chosen)} guards, {useless} that no test misses", file=sys.stderr)
    sys.exit(bool(useless))


def without(guard: Guard, folder: Path) -> dict[str, object]:
    """Run a guard's test on a copy of the source where it is out; gives what came of it."""
    folder.mkdir()
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
    path = f"tests/{file}" if "/" in file else f"tests/faults/{file}"
    node = [f"{path}::{name}"] if "[" in name else [path, "-k", name]
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
