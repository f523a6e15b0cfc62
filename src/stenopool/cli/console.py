"""How the commands speak: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stenopool.errors import InvalidOptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

out = Console(highlight=False, soft_wrap=True, emoji=False)
"""For results; what a script reads."""

err = Console(highlight=False, stderr=True, soft_wrap=True, emoji=False)
"""For progress, hints and errors; what a person reads."""


def say(text: str = "") -> None:
    """Print a line of the result as it is: brackets in names are no markup."""
    out.print(text, markup=False)


def show(text: Text, indent: int = 0) -> None:
    """Print styled text, so far from the left; a terminal folds it between words."""
    if out.is_terminal:
        out.print(Padding(text, (0, 0, 0, indent), expand=False), soft_wrap=False)
    else:
        print(" " * indent + text.plain)


def tell(text: str) -> None:
    """Print a line about what is going on, on standard error."""
    err.print(text, markup=False)


def fail(text: str) -> None:
    """Print an error: one line that names the thing and the next step."""
    err.print(Text.assemble(("error:", "bold red"), f" {text}"))


def print_json(value: Any) -> None:  # noqa: ANN401 - whatever the command's answer is
    """Print an answer for programs: one JSON value, dataclasses as objects, times in ISO 8601."""
    print(json_text(value))


def json_text(value: Any) -> str:  # noqa: ANN401 - likewise
    """A value as JSON on one line; half a character, as odd file names have it, as an escape."""
    text = json.dumps(value, default=_jsonable, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under column names; as tab-separated text where nobody is looking."""
    if not out.is_terminal:
        for row in [columns, *rows]:
            print("\t".join(_cell(value) for value in row))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(columns):
        numbers = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    out.print(table, soft_wrap=False)


def print_fields(fields: Sequence[tuple[str, object]]) -> None:
    """Print names and values, one pair a line; as tab-separated text where nobody is looking."""
    if not out.is_terminal:
        for pair in fields:
            print_row(pair)
        return
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in fields:
        grid.add_row(Text(name), Text(_cell(value)))
    out.print(grid, soft_wrap=False)


def print_row(values: Sequence[object]) -> None:
    """Print one row as tab-separated text, as it comes; for what is too long to be held."""
    print("\t".join(_cell(value) for value in values))


def shown(text: str) -> str:
    """A name as it can be printed on one line: other characters as their escapes."""
    return _cell(text)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is lost, on standard error; exit code 130 where the answer is no.

    Args:
        question: ends with a question mark.
        yes: whether `--yes` has answered already.

    Raises:
        InvalidOptionError: nobody is there to answer.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and is_interactive()):
        raise InvalidOptionError(f"{question} Nobody is here to answer; add --yes")
    if not typer.confirm(question, err=True):
        tell("nothing was done")
        raise typer.Exit(130)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    text = str(value)
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _jsonable(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path | set):
        return str(value) if isinstance(value, Path) else sorted(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def clock(seconds: float) -> str:
    """Seconds as `h:mm:ss`, as a person reads lengths and waits."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def size(size_bytes: int) -> str:
    """Bytes in the largest decimal unit that leaves a whole number."""
    value, unit = float(size_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"


def plural(count: int, word: str) -> str:
    """`1 recording`, `2,000 recordings`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def is_interactive() -> bool:
    """Whether a person watches standard error."""
    return err.file.isatty()


@contextmanager
def libraries_to(log: Path) -> Iterator[None]:
    """Send what libraries write on the terminal to a log file; our own progress still shows.

    Ray's C++ core writes to file descriptor 2 past Python's `sys.stderr`, in the middle of a
    progress bar, and Ray's driver prints what a raylet reports on standard output, where a program
    expects the answer. A command's own answer is printed after the block.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    terminal = os.dup(2)
    with (
        log.open("a") as file,
        os.fdopen(terminal, "w") as stream,
        redirect_stdout(file),
        redirect_stderr(stream),
    ):
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            stream.flush()
            os.dup2(terminal, 2)
