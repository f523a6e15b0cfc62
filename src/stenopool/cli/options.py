"""Options that several commands share, so that they read and work alike."""

from __future__ import annotations

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Take a folder with all that is in it.")
]

Patterns = Annotated[
    list[str] | None,
    typer.Option("--pattern", help="Take only files like '*.flac' or '2024/**'; repeatable."),
]

Parallel = Annotated[int, typer.Option(min=1, max=256, help="Files at the same time.")]

Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace files that have other content.")
]

Where = Annotated[
    str | None,
    typer.Option(metavar="CONDITION", help="Take only these rows, as in \"model = 'small'\"."),
]

Language = Annotated[
    str | None,
    typer.Option(
        metavar="CODE",
        help="Compare all texts as of this language; by default as of each recording's own.",
    ),
]
