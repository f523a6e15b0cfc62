"""The hosts of an SSH cluster, as a user lists them."""

from __future__ import annotations

from pathlib import Path

from stenopool.errors import InvalidOptionError


def read_hosts(text: str) -> tuple[str, ...]:
    """The hosts of `a,b,c`, or of a file with one a line; empty lines and `#` are left out.

    Raises:
        InvalidOptionError: there is none.
    """
    path = Path(text)
    if "," not in text and path.is_file():
        lines = [line.partition("#")[0].strip() for line in path.read_text().splitlines()]
    else:
        lines = [part.strip() for part in text.split(",")]
    if found := tuple(line for line in lines if line):
        return found
    raise InvalidOptionError(f"--hosts {text!r} names no host")
