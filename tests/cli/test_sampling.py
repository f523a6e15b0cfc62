"""What `transcribe --sample` refuses and says; the run itself is in tests/distributed."""

import pytest

from cli.making import failure, row
from stenopool.cli.sampling import quality_lines, rest_lines, scored
from stenopool.distributed.estimating import Estimate
from stenopool.distributed.sampling import Forecast
from stenopool.model import RunRecord
from stenopool.settings import Settings

LINE = ("transcribe", ".", "--to", "T", "--engine", "fake", "--model", "fake")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--reference", "m.csv"), "--reference goes with --sample N"),
        (("--reference", "m.csv"), "stenopool score TABLE --reference m.csv"),
        (("--sample", "3", "--limit", "2"), "--sample and --limit do not go together"),
        (("--sample", "3", "--dry-run"), "--sample and --dry-run do not go together"),
        (("--sample", "0"), "--sample"),
        (("--sample", "3", "--reference", "nope.csv"), "'nope.csv' does not exist"),
        (("--sample", "3", "--reference", "empty.csv"), "'empty.csv' is empty"),
        (("--sample", "3", "--reference", "m.csv"), "no recording of the source is in manifest"),
    ],
)
def test_wrong_use_is_one_line_before_anything_starts(fails, files, options, said):
    files({"m.csv": "path,text\na.wav,so\n", "empty.csv": "", "b.wav": "x"})
    assert said in fails(2, *LINE, *options)


@pytest.fixture
def run(transcripts):
    """A run over a sample of three recordings, with a fourth beside them in its table."""
    from datetime import UTC, datetime

    transcripts(
        row("a.wav", "so it was", transcript_id="1"),
        row("b.wav", "and it was", transcript_id="2"),
        failure("c.wav", transcript_id="3"),
        row("other.wav", "wrong", transcript_id="4"),
    )
    return RunRecord(
        run_id="r",
        source="/calls",
        target="STENOPOOL.PUBLIC.T",
        state="succeeded",
        options="{}",
        started_at=datetime.now(UTC),
        details={"sample": ["1", "2", "3"]},
    )


def test_rows_of_the_sample_alone_are_scored(run, files, work):
    files({"m.csv": "path,text\na.wav,so it is\nb.wav,and it was\nc.wav,so\nother.wav,right\n"})
    found = scored(str(work / "m.csv"), run, Settings.from_env())
    assert list(quality_lines(found)) == [
        "  WER    16.7% (95% interval 0.0% to 33.3%: bootstrap over 2 recordings)",
        "  CER    11.1%",
        "  words  6 in the references: 1 substituted",
        "  failed 1 recording; WER 28.6% with all of their words as deleted",
    ]


def test_sample_without_a_reference_says_how_to_get_its_error_rate():
    assert list(quality_lines(None)) == [
        "  WER    unknown; --reference FILE names a manifest of what was said"
    ]


def rest(listed=100, skipped=5, speed=25.0, wall_s=3700.0, **changes):
    estimate = Estimate(
        source="/calls",
        target="T",
        destination=None,
        listed=listed,
        skipped=skipped,
        size_bytes=2_000_000,
        audio_s=90_000.0,
        longest_s=9.0,
        where="here",
        wall_s=None,
        judged_by="no earlier run with this model",
        **{"sampled": False} | changes,
    )
    return Forecast(estimate=estimate, start_s=100.0, wall_s=wall_s, speed=speed, judged_by="run r")


def test_rest_is_said_with_its_time_and_what_that_rests_on():
    assert list(rest_lines(rest())) == [
        "  rest   95 recordings, 25:00:00 of audio in 2.0 MB",
        "  time   about 1:01:40: 0:01:40 to start, then 25.0 × real time, judged by run r",
        "  the same command without --sample does the rest; what the sample did is kept",
    ]


def test_rest_of_which_only_a_part_was_probed_is_about():
    assert "about 25:00:00 of audio" in next(rest_lines(rest(sampled=True)))


def test_unknown_time_is_said_to_be_unknown():
    assert "  time   unknown, judged by run r" in (list(rest_lines(rest(speed=None, wall_s=None))))


def test_nothing_left_is_said():
    assert list(rest_lines(rest(skipped=100))) == ["  rest   none: all 100 recordings have a row"]
