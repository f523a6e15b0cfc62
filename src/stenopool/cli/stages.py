"""`stenopool stage`: create, list and drop the named places of files."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stenopool.cli import console
from stenopool.cli.options import AsJson, Yes
from stenopool.errors import InvalidNameError, NotFoundError
from stenopool.settings import Settings

if TYPE_CHECKING:
    from stenopool.catalog import Catalog, ObjectName, Stage

app = typer.Typer(help="Create, list and drop stages, the named places of files.")

StageName = Annotated[
    str, typer.Argument(metavar="NAME", help="STAGE, SCHEMA.STAGE or DATABASE.SCHEMA.STAGE.")
]


@app.command("create")
def create(
    name: StageName,
    url: Annotated[
        str | None,
        typer.Option(help="The folder or bucket (s3://…) that holds the files; else one is made."),
    ] = None,
    if_not_exists: Annotated[
        bool, typer.Option("--if-not-exists", help="Keep the stage that is there.")
    ] = False,
    or_replace: Annotated[
        bool, typer.Option("--or-replace", help="Drop the stage that is there, and its own files.")
    ] = False,
    comment: Annotated[str | None, typer.Option(help="A note that the list shows.")] = None,
    yes: Yes = False,
) -> None:
    """Create a stage; its schema and database are made where they are missing."""
    from stenopool.catalog import open_catalog

    with open_catalog(Settings.from_env()) as catalog:
        full = read_name(name, catalog)
        if or_replace and not if_not_exists:
            confirm_drop(find_stage(full, catalog), yes=yes)
        made = catalog.create_stage(
            full,
            url=url,
            if_not_exists=if_not_exists,
            or_replace=or_replace,
            comment=comment,
            create_missing=True,
        )
    console.say(f"stage {made}: files are in {console.shown(made.root)}")
    if "://" not in made.root and not Path(made.root).exists():
        console.tell("that folder does not exist yet; `stenopool put` makes it")


@app.command("list")
def list_stages(as_json: AsJson = False) -> None:
    """List all stages, and where their files are."""
    from stenopool.catalog import open_catalog

    with open_catalog(Settings.from_env()) as catalog:
        found = catalog.stages()
    if as_json:
        console.print_json([as_answer(stage) for stage in found])
    elif found:
        columns = ("stage", "files are in", "created", "comment")
        rows = [(stage, stage.root, stage.created_at, stage.comment) for stage in found]
        console.print_table(columns, rows)
    else:
        console.tell("no stage yet; create one with `stenopool stage create NAME`")


@app.command("drop")
def drop(
    name: StageName,
    if_exists: Annotated[
        bool, typer.Option("--if-exists", help="Do nothing where there is no such stage.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Drop a stage. Files in a folder or bucket given with --url stay; its own files go."""
    from stenopool.catalog import open_catalog

    with open_catalog(Settings.from_env()) as catalog:
        full = read_name(name, catalog)
        found = find_stage(full, catalog)
        if found is None and if_exists:
            console.say(f"there is no stage @{full}; nothing was done")
            return
        confirm_drop(found, yes=yes)
        catalog.drop_stage(full, if_exists=if_exists)
    console.say(f"stage @{full} is dropped")


def read_name(text: str, catalog: Catalog) -> ObjectName:
    """A stage's name as typed, with or without `@`.

    Raises:
        InvalidNameError: it is none.
    """
    return catalog.name(text.removeprefix("@"))


def find_stage(name: ObjectName, catalog: Catalog) -> Stage | None:
    """The stage, or None where there is none."""
    try:
        return catalog.stage(name)
    except NotFoundError:
        return None


def confirm_drop(stage: Stage | None, *, yes: bool) -> None:
    """Ask before files are lost: those of a stage that keeps them itself."""
    if yes or stage is None or stage.url is not None:
        return
    from stenopool.storage import open_storage

    with suppress(NotFoundError):  # its folder was removed by hand
        sizes = [file.size_bytes for file in open_storage(stage.root).list()]
        if sizes:
            what = f"{console.plural(len(sizes), 'file')} ({console.size(sum(sizes))})"
            console.confirm(f"Remove stage {stage} with its {what}?", yes=yes)


def as_answer(stage: Stage) -> dict[str, object]:
    """A stage as JSON shows it."""
    return {
        "name": str(stage),
        "url": stage.url,
        "root": stage.root,
        "comment": stage.comment,
        "created_at": stage.created_at,
    }


def find_place(text: str, catalog: Catalog) -> tuple[Stage, str]:
    """The stage of `@STAGE/path`, and the path, which need not exist.

    Raises:
        InvalidNameError: the text is no place on a stage.
        NotFoundError: the stage does not exist.
    """
    from stenopool.catalog.names import qualify, read_parts

    require_stage(text)
    parts, rest = read_parts(text[1:])
    if rest and not rest.startswith("/"):
        raise InvalidNameError(
            f"{text!r}: a stage's name is followed by '/' and a path, or nothing"
        )
    settings = catalog.settings
    name = qualify(parts, text, database=settings.database, schema=settings.schema)
    return catalog.stage(name), rest.strip("/")


def require_stage(text: str) -> None:
    """Check that a place is on a stage.

    Raises:
        InvalidNameError: it does not begin with `@`.
    """
    if not text.startswith("@"):
        raise InvalidNameError(f"{text!r} is no place on a stage; write @STAGE or @STAGE/path")
