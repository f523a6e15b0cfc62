"""`stenopool doctor`: what works on this machine, what does not, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from stenopool.cli import checks, console
from stenopool.cli.checks import Check, State
from stenopool.cli.options import AsJson
from stenopool.cli.probing import probe
from stenopool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FAILED = 3
"""Exit code where a check failed; warnings do not count."""

PROBE_S = 60.0
"""Seconds that a library has to load and answer, from a slow disk."""

STYLES = {State.OK: "green", State.WARNING: "yellow", State.FAILED: "bold red"}

WIDEST_STATE, WIDEST_NAME = len("warning"), len("pocketsphinx")


def doctor(
    fast: Annotated[bool, typer.Option("--fast", help="Leave out starting Ray.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check what works on this machine, and say what to do about the rest.

    Exit code 3 where a check failed; warnings do not count.
    """
    settings = Settings.from_env()
    done = []
    for check in run_checks(settings, fast=fast):
        done.append(check)
        if not as_json:
            tell_check(check)
    failed = sum(check.state is State.FAILED for check in done)
    warnings = sum(check.state is State.WARNING for check in done)
    if as_json:
        console.print_json({"ok": not failed, "checks": done})
    else:
        console.tell(summary(failed, warnings))
    raise typer.Exit(FAILED if failed else 0)


def run_checks(settings: Settings, *, fast: bool) -> Iterator[Check]:
    """Make every check, one after another, each as it is asked for."""
    for name, look in all_checks(settings, fast=fast):
        with console.err.status(f"checking {name}"):
            check = look()
        yield check


def all_checks(settings: Settings, *, fast: bool) -> list[tuple[str, Callable[[], Check]]]:
    """The checks by name, from the ground up."""
    found: list[tuple[str, Callable[[], Check]]] = [
        ("python", checks.python),
        ("cpu", checks.cpu),
        ("memory", checks.memory),
        ("gpu", checks.gpu),
        ("ctranslate2", lambda: probe("ctranslate2", PROBE_S)),
        ("ffmpeg", lambda: probe("ffmpeg", PROBE_S)),
        ("vad", lambda: probe("vad", PROBE_S)),
        ("pocketsphinx", lambda: probe("pocketsphinx", PROBE_S)),
        ("models", lambda: checks.models(settings)),
        ("home", lambda: checks.home(settings)),
        ("catalog", lambda: checks.catalog(settings)),
        ("tables", lambda: checks.place("tables", settings.warehouse)),
        ("stages", lambda: checks.place("stages", settings.stages)),
        ("ray", lambda: probe("ray", PROBE_S)),
    ]
    return found[:-1] if fast else found


def tell_check(check: Check) -> None:
    """Print one check: in colour for a person, with tabs for a program."""
    if not console.out.is_terminal:
        console.print_row((check.state, check.name, check.text, check.advice))
        return
    grid = Table.grid(padding=(0, 2))
    for width in (WIDEST_STATE, WIDEST_NAME, None):
        grid.add_column(width=width)
    state, name = Text(check.state, STYLES[check.state]), Text(check.name, "bold")
    grid.add_row(state, name, Text(console.shown(check.text)))
    if check.advice:
        grid.add_row("", "", Text(f"→ {console.shown(check.advice)}", "italic"))
    console.out.print(grid, soft_wrap=False)


def summary(failed: int, warnings: int) -> str:
    """What all checks come to."""
    if failed:
        return f"{console.plural(failed, 'check')} failed"
    if warnings:
        return f"all that is needed works, with {console.plural(warnings, 'warning')}"
    return "everything works"
