"""The command line: one module a group of commands, all over the public functions below it."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run `stenopool`; exit codes as `app.ExitCode` lists them."""
    from stenopool.cli.app import run

    sys.exit(run(sys.argv[1:]))
