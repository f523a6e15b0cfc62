"""The `stenopool` command: its groups, its exit codes, and errors as one clear line."""

from __future__ import annotations

import os
import traceback
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Annotated

import typer
from typer.exceptions import TyperException

from stenopool import __version__
from stenopool.cli import (
    cluster,
    compare,
    console,
    demo,
    doctor,
    export,
    files,
    models,
    runs,
    score,
    stages,
    tables,
    transcribe,
)
from stenopool.errors import StenopoolError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typer.core import TyperGroup

ORDER = (
    "transcribe",
    "resume",
    "retry",
    "demo",
    "stage",
    "put",
    "get",
    "ls",
    "rm",
    "tables",
    "sql",
    "export",
    "score",
    "compare",
    "runs",
    "show",
    "models",
    "cluster",
    "doctor",
)
"""How the help lists the commands; Typer would put groups behind all others."""


class ExitCode(IntEnum):
    """What a script can rely on."""

    GOOD = 0
    SOME_FAILED = 1
    WRONG_USE = 2
    RUN_FAILED = 3
    INTERRUPTED = 130


app = typer.Typer(
    help="Turn any number of recordings into a table of transcripts.",
    epilog="Exit codes: 0 all good, 1 some recordings failed, 2 wrong use, 3 the run itself "
    "failed, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

WORK, FILES, RESULTS, MACHINE = "Transcribe", "Recordings", "Transcripts", "This machine"
app.command("transcribe", rich_help_panel=WORK)(transcribe.transcribe)
app.command("resume", rich_help_panel=WORK)(runs.resume)
app.command("retry", rich_help_panel=WORK)(runs.retry)
app.command("demo", rich_help_panel=WORK)(demo.demo)
app.add_typer(stages.app, name="stage", rich_help_panel=FILES, no_args_is_help=True)
app.command("put", rich_help_panel=FILES)(files.put)
app.command("get", rich_help_panel=FILES)(files.get)
app.command("ls", rich_help_panel=FILES)(files.ls)
app.command("rm", rich_help_panel=FILES)(files.rm)
app.command("tables", rich_help_panel=RESULTS)(tables.tables)
app.command("sql", rich_help_panel=RESULTS)(tables.sql)
app.command("export", rich_help_panel=RESULTS)(export.export)
app.command("score", rich_help_panel=RESULTS)(score.score)
app.command("compare", rich_help_panel=RESULTS)(compare.compare)
app.command("runs", rich_help_panel=RESULTS)(runs.runs)
app.command("show", rich_help_panel=RESULTS)(runs.show)
app.add_typer(models.app, name="models", rich_help_panel=MACHINE, no_args_is_help=True)
app.add_typer(cluster.app, name="cluster", rich_help_panel=MACHINE, no_args_is_help=True)
app.command("doctor", rich_help_panel=MACHINE)(doctor.doctor)


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        console.say(f"stenopool {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and leave.", is_eager=True, callback=show_version
        ),
    ] = False,
) -> None:
    """Turn any number of recordings into a table of transcripts."""


@cache
def commands() -> TyperGroup:
    """All commands, in their order."""
    group = typer.main.get_group(app)
    last = len(ORDER)
    names = sorted(group.commands, key=lambda name: ORDER.index(name) if name in ORDER else last)
    group.commands = {name: group.commands[name] for name in names}
    return group


def run(arguments: Sequence[str]) -> int:
    """Run one command line; gives its exit code.

    Errors that were foreseen are one line; any other is a defect of ours and shows its traceback.
    """
    try:
        code = commands().main(list(arguments), prog_name="stenopool", standalone_mode=False)
    except typer.Exit as end:
        return end.exit_code
    except typer.Abort:
        console.fail("interrupted")
        return ExitCode.INTERRUPTED
    except TyperException as error:
        return wrong_use(error)
    except (UsageError, StenopoolError) as error:
        console.fail(str(error))
        return ExitCode.WRONG_USE if isinstance(error, UsageError) else ExitCode.RUN_FAILED
    except Exception as error:  # noqa: BLE001 - Python leaves with 1, which means failed recordings
        if (trouble := disk_trouble(error)) is not None:
            console.fail(trouble)
        else:
            traceback.print_exc()
        return ExitCode.RUN_FAILED
    return code if isinstance(code, int) else ExitCode.GOOD


def disk_trouble(error: Exception) -> str | None:
    """What to say where a disk is full or may not be written to; None for any other error."""
    from stenopool.storage.translate import AFTER_DISK_ERROR, DISK_ERRORS

    if not isinstance(error, OSError):
        return None
    # pyarrow and Ray give the number in the text alone.
    found = [os.strerror(number) for number in DISK_ERRORS if os.strerror(number) in str(error)]
    if error.errno not in DISK_ERRORS and not found:
        return None
    reason = found[0] if found else error.strerror
    place = f"'{error.filename}'" if error.filename else "a file of the home or the warehouse"
    return f"{place} could not be written: {reason}; {AFTER_DISK_ERROR}"


def wrong_use(error: TyperException) -> int:
    """Say what is wrong with the command line itself, and where its help is."""
    message = " ".join(error.format_message().split()).rstrip(".")
    if message:  # it is empty where the help was shown instead
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "stenopool"
        mark = "" if message.endswith("?") else ";"
        console.fail(f"{message.replace('Value error, ', '')}{mark} see `{command} --help`")
    return ExitCode.WRONG_USE
