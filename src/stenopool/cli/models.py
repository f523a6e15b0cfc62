"""`stenopool models`: which models there are, fetch one, check one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stenopool.cli import console
from stenopool.cli.options import AsJson
from stenopool.settings import Settings

if TYPE_CHECKING:
    from stenopool.asr import KnownModel

app = typer.Typer(help="List, fetch and check models.")

REVISION_CHARACTERS = 12
FAILED = 3
"""Exit code where a model is not as it should be."""


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the models by name, and which of them are on this machine."""
    from stenopool.asr import known_models

    found = known_models(Settings.from_env())
    if as_json:
        console.print_json(
            [asdict(model) | {"languages": languages(model.name)} for model in found]
        )
        return
    columns = ("model", "here", "size", "languages", "revision")
    console.print_table(columns, [row_of(model) for model in found])


def row_of(model: KnownModel) -> tuple[object, ...]:
    """A model as the list shows it."""
    size = console.size(model.size_bytes)
    return (
        model.name,
        "yes" if model.path else "-",
        size,
        languages(model.name),
        model.revision[:REVISION_CHARACTERS],
    )


def languages(name: str) -> str:
    """What a model is for, as its name tells."""
    if name == "demo":
        return "English, a few words"
    if name.startswith("distil-"):
        return "English, distilled to be fast"
    if name.endswith(".en"):
        return "English"
    return "many, pruned to be fast" if name.endswith("-turbo") else "many"


@app.command("get")
def get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of `stenopool models list`.")],
    as_json: AsJson = False,
) -> None:
    """Fetch a model from the hub, at the pinned revision; one that is here stays as it is."""
    from stenopool.asr import fetch_model, known_models
    from stenopool.asr.models import canonical_name

    settings = Settings.from_env()
    known = {model.name: model for model in known_models(settings)}
    wanted = known.get(canonical_name(name))
    if wanted and not wanted.path:
        size = console.size(wanted.size_bytes)
        console.tell(f"fetching {wanted.name} ({size}) from {wanted.repository}")
    folder = fetch_model(name, settings, progress=console.is_interactive())
    if as_json:
        console.print_json({"name": canonical_name(name), "path": folder})
        return
    already = "already " if wanted and wanted.path else ""
    console.say(f"model {canonical_name(name)} is {already}in {folder}")


@app.command("verify")
def verify(
    model: Annotated[
        str, typer.Argument(metavar="PATH|NAME", help="A folder, or a model that was fetched.")
    ],
    as_json: AsJson = False,
) -> None:
    """Check that a model is whole and loads; exit code 3 where it does not."""
    from stenopool.asr import verify_model

    folder = find_folder(model, Settings.from_env())
    checks = verify_model(folder)
    good = all(check.ok for check in checks)
    if as_json:
        console.print_json({"path": folder, "ok": good, "checks": checks})
    else:
        console.say(f"{console.shown(str(folder))}: {'good' if good else 'not good'}")
        rows = [("ok" if check.ok else "failed", check.name, check.detail) for check in checks]
        console.print_table(("state", "what", "found"), rows)
    raise typer.Exit(0 if good else FAILED)


def find_folder(model: str, settings: Settings) -> Path:
    """The folder of a model, which need not be whole.

    Raises:
        NotFoundError: neither a folder nor the name of a model on this machine.
    """
    from stenopool.asr.models import HUB_MODELS, canonical_name, find_model

    name = canonical_name(model)
    folder = settings.models / name if name in HUB_MODELS else Path(model).expanduser()
    return folder if folder.is_dir() and name != "demo" else find_model(model, settings)
