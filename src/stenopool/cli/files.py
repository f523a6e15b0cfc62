"""`stenopool put`, `get`, `ls` and `rm`: the files of stages."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn

from stenopool.cli import console
from stenopool.cli.local_files import find_local, place_inside
from stenopool.cli.options import AsJson, Overwrite, Parallel, Patterns, Recursive, Yes
from stenopool.cli.stages import find_place, require_stage
from stenopool.cli.transfers import tell_account, transfer
from stenopool.errors import (
    AlreadyExistsError,
    InvalidNameError,
    InvalidOptionError,
    NotFoundError,
)
from stenopool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from stenopool.catalog import Source
    from stenopool.cli.local_files import LocalFile
    from stenopool.model import FileRef
    from stenopool.storage import Storage

COMPARED_BYTES = 1 << 20
COUNTED_EVERY = 1000
"""Files between two changes of the count that a person sees."""


def put(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILES", help="Files, folders and globs of this machine."),
    ],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="@STAGE or @STAGE/folder.")],
    recursive: Recursive = False,
    overwrite: Overwrite = False,
    parallel: Parallel = 8,
    as_json: AsJson = False,
) -> None:
    """Put files on a stage, but for those that are there with the same content.

    Without --recursive, a file is put under its own name alone. With it, a file
    of a folder keeps its path below that folder, one of a glob its path below
    the part without wildcards.
    """
    from stenopool.catalog import open_catalog
    from stenopool.storage import open_storage

    with open_catalog(Settings.from_env()) as catalog:
        stage, prefix = find_place(target, catalog)
    found = find_local(files, recursive=recursive)
    act = partial(put_one, open_storage(stage.root), prefix, overwrite=overwrite)
    account = transfer(act, found, workers=parallel, total=len(found))
    where = "/".join(part for part in (str(stage), prefix) if part)
    tell_account(account, f"put on {console.shown(where)}", as_json=as_json)
    raise typer.Exit(account.exit_code)


def put_one(storage: Storage, prefix: str, file: LocalFile, *, overwrite: bool) -> int | None:
    """Put one file; gives its bytes, None where the same content was there."""
    path = f"{prefix}/{file.name}" if prefix else file.name
    from stenopool.storage.translate import translated

    with translated(str(file.path)):
        size_bytes = file.path.stat().st_size
        return size_bytes if storage.put(file.path, path, overwrite=overwrite) else None


def get(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="@STAGE/file, @STAGE/folder, or with wildcards.")
    ],
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder of this machine.")
    ] = Path(),
    pattern: Patterns = None,
    recursive: Recursive = False,
    overwrite: Overwrite = False,
    parallel: Parallel = 8,
    as_json: AsJson = False,
) -> None:
    """Get files from a stage into a folder; their folders below SOURCE are kept."""
    from stenopool.storage import open_storage

    found = resolve(source, pattern)
    if folder.exists() and not folder.is_dir():
        raise InvalidNameError(f"'{folder}' is a file; name a folder")
    act = partial(get_one, open_storage(found.root), found.prefix, folder, overwrite=overwrite)
    account = transfer(act, chosen(found, source, recursive=recursive), workers=parallel)
    tell_account(account, f"copied to {console.shown(str(folder))}", as_json=as_json)
    raise typer.Exit(account.exit_code)


def get_one(
    storage: Storage, prefix: str, folder: Path, file: FileRef, *, overwrite: bool
) -> int | None:
    """Get one file; gives its bytes, None where the same content was there.

    Raises:
        AlreadyExistsError: other content is there, and `overwrite` is not set.
        InvalidNameError: the file's path leads out of the folder.
    """
    from stenopool.storage.translate import translated

    local = place_inside(folder, below(file.path, prefix))
    with translated(str(local)):
        if local.is_dir():
            raise InvalidNameError(f"{str(local)!r} is a folder; {file.path!r} cannot go there")
        if local.exists():
            if local.stat().st_size == file.size_bytes and holds_same(storage, file.path, local):
                return None
            if not overwrite:
                raise AlreadyExistsError(f"{str(local)!r} exists already with other content")
    storage.get(file.path, local)
    return file.size_bytes


def holds_same(storage: Storage, path: str, local: Path) -> bool:
    """Whether a file of a storage and a local one of its size have the same bytes."""
    with local.open("rb") as ours, storage.open(path) as theirs:
        while chunk := ours.read(COMPARED_BYTES):
            if theirs.read(len(chunk)) != chunk:
                return False
    return True


def below(path: str, prefix: str) -> str:
    """A file's path below the folder that was named; its name where the file itself was."""
    if path == prefix:
        return path.rpartition("/")[2]
    return path.removeprefix(f"{prefix}/") if prefix else path


def ls(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="@STAGE, @STAGE/path, or with wildcards.")
    ],
    pattern: Patterns = None,
    as_json: AsJson = False,
) -> None:
    """List the files of a stage: size in bytes, time (UTC), path."""
    found = counted(resolve(source, pattern).list())
    if as_json:
        print_json_array(found)
        return
    for file in found:
        print_file(file)


def counted(files: Iterable[FileRef]) -> Iterator[FileRef]:
    """The files, and on standard error how many there are and were."""
    count = size_bytes = 0
    with counter() as show:
        for file in files:
            count, size_bytes = count + 1, size_bytes + file.size_bytes
            if count % COUNTED_EVERY == 0:
                show(count)
            yield file
    console.tell(f"{console.plural(count, 'file')}, {console.size(size_bytes)}")


@contextmanager
def counter() -> Iterator[Callable[[int], None]]:
    """Shows a growing count to a person who does not see the listing itself."""
    if console.out.is_terminal or not console.is_interactive():
        yield lambda _: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    # Rich would send what is printed meanwhile to its own console, and so past the pipe.
    with Progress(*columns, console=console.err, transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("listing")
        yield lambda count: bar.update(task, description=f"listing: {count:,} files")


def print_file(file: FileRef) -> None:
    """Print a line for one file, in columns for a person and with tabs for a program."""
    if not console.out.is_terminal:
        console.print_row((file.size_bytes, file.modified_at, file.path))
        return
    time = f"{file.modified_at:%Y-%m-%d %H:%M:%S}" if file.modified_at else ""
    console.say(f"{file.size_bytes:>15,}  {time:19}  {console.shown(file.path)}")


def print_json_array(values: Iterable[object]) -> None:
    """Print a JSON array of any length, one value a line."""
    mark = "["
    for value in values:
        print(f"{mark}\n{console.json_text(value)}", end="")
        mark = ","
    print("[]" if mark == "[" else "\n]")


def rm(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="@STAGE/file, @STAGE/folder, or with wildcards.")
    ],
    pattern: Patterns = None,
    recursive: Recursive = False,
    yes: Yes = False,
    parallel: Parallel = 8,
    as_json: AsJson = False,
) -> None:
    """Remove files from a stage; asks before it removes more than one."""
    from stenopool.storage import open_storage

    found = resolve(source, pattern)
    files = list(chosen(found, source, recursive=recursive))
    size_bytes = sum(file.size_bytes for file in files)
    if len(files) > 1:
        what = f"{len(files):,} files ({console.size(size_bytes)})"
        console.confirm(f"Remove {what} from {source}?", yes=yes)
    act = partial(remove_one, open_storage(found.root))
    account = transfer(act, files, workers=parallel, total=len(files))
    tell_account(account, f"removed from {console.shown(found.name)}", as_json=as_json)
    raise typer.Exit(account.exit_code)


def remove_one(storage: Storage, file: FileRef) -> int:
    """Remove one file; gives its bytes."""
    storage.remove(file.path)
    return file.size_bytes


def resolve(source: str, patterns: Sequence[str] | None) -> Source:
    """What a place on a stage names.

    Raises:
        InvalidNameError: it is no place on a stage.
        NotFoundError: nothing lies there.
    """
    from stenopool.catalog import open_catalog, resolve_source

    require_stage(source)
    settings = Settings.from_env()
    with open_catalog(settings) as catalog:
        return resolve_source(source, tuple(patterns or ()), catalog, settings)


def chosen(found: Source, typed: str, *, recursive: bool) -> Iterator[FileRef]:
    """The files to act on, as they are listed.

    Raises:
        InvalidOptionError: the source is a folder, and nothing says that all of it is meant.
        NotFoundError: no file matches the patterns.
    """
    files = found.list()
    first = next(files, None)
    if first is None:
        if found.patterns:
            raise NotFoundError(f"no file in {typed!r} matches {' or '.join(found.patterns)}")
        return iter(())
    if recursive or found.patterns or found.glob:
        return chain([first], files)
    if first.path != found.prefix:
        raise InvalidOptionError(
            f"{typed!r} is a folder; add --recursive to take all that is in it, "
            "or choose with --pattern"
        )
    return iter([first])  # a bucket may hold files below one of the same name
