"""Where this installation keeps its things and how it behaves: the only reader of `os.environ`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stenopool.errors import InvalidOptionError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One installation's places and defaults.

    Attributes:
        home: folder of the catalog, stages, tables and logs (`STENOPOOL_HOME`, `~/.stenopool`).
        catalog_url: SQLAlchemy URL of the catalog (`STENOPOOL_CATALOG`); SQLite under the home
            by default, `postgresql+psycopg://…` for a team.
        warehouse: folder or bucket URL of the tables' data (`STENOPOOL_WAREHOUSE`).
        stages: folder or bucket URL of the stages that name no place (`STENOPOOL_STAGES`).
        database: what an unqualified name belongs to (`STENOPOOL_DATABASE`, `STENOPOOL`).
        schema: likewise (`STENOPOOL_SCHEMA`, `PUBLIC`).
        models: folder of converted models that were fetched (`STENOPOOL_MODELS`).
        ray_address: the Ray cluster to join (`RAY_ADDRESS`); None starts one on this machine.
        node_cpus: cores that a further node on this machine declares (`STENOPOOL_NODE_CPUS`, 2:
            an actor that has the GPU takes one, and with no other nothing could be read).
        node_gpus: GPUs, likewise (`STENOPOOL_NODE_GPUS`, 0); they need not be there.
        node_memory_bytes: memory that its tasks may declare (`STENOPOOL_NODE_MEMORY`); None for
            a tenth of this machine's.
        stall_s: seconds after which work on a recording counts as hanging where nothing moved
            (`STENOPOOL_STALL_S`, 180): while it is read, and for each window in an engine.
        recording_bytes: memory that one recording may take while it is read
            (`STENOPOOL_RECORDING_MEMORY`, 1 GiB).
        notebook: what this session is called (`OBJECT_NAME`), where a script names one.
    """

    home: Path
    catalog_url: str
    warehouse: str
    stages: str
    database: str
    schema: str
    models: Path
    ray_address: str | None = None
    node_cpus: int = 2
    node_gpus: int = 0
    node_memory_bytes: int | None = None
    stall_s: int = 180
    recording_bytes: int = 1 << 30
    notebook: str | None = None

    @property
    def clusters(self) -> Path:
        """Folder of the records of clusters that were started here."""
        return self.home / "clusters"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from environment variables; an empty one counts as absent.

        Args:
            environ: the variables; `os.environ` when left out.

        Raises:
            InvalidOptionError: `STENOPOOL_HOME` is a file.
        """
        variables = os.environ if environ is None else environ
        home = Path(variables.get("STENOPOOL_HOME") or Path.home() / ".stenopool")
        home = home.expanduser().absolute()
        if home.exists() and not home.is_dir():
            raise InvalidOptionError(f"STENOPOOL_HOME is '{home}', which is not a folder")
        return cls(
            home=home,
            catalog_url=variables.get("STENOPOOL_CATALOG") or f"sqlite:///{home}/catalog.db",
            warehouse=variables.get("STENOPOOL_WAREHOUSE") or str(home / "tables"),
            stages=variables.get("STENOPOOL_STAGES") or str(home / "stages"),
            database=_folded(variables.get("STENOPOOL_DATABASE") or "STENOPOOL"),
            schema=_folded(variables.get("STENOPOOL_SCHEMA") or "PUBLIC"),
            models=Path(variables.get("STENOPOOL_MODELS") or home / "models"),
            ray_address=variables.get("RAY_ADDRESS") or None,
            node_cpus=_count(variables, "STENOPOOL_NODE_CPUS", 2),
            node_gpus=_count(variables, "STENOPOOL_NODE_GPUS", 0),
            node_memory_bytes=_count(variables, "STENOPOOL_NODE_MEMORY", 0) or None,
            stall_s=_count(variables, "STENOPOOL_STALL_S", 180) or 180,
            recording_bytes=_count(variables, "STENOPOOL_RECORDING_MEMORY", 1 << 30) or 1 << 30,
            notebook=variables.get("OBJECT_NAME") or None,
        )


def ssh_address(environ: Mapping[str, str] | None = None) -> str | None:
    """The address by which SSH reached this machine; None in a process that SSH did not start.

    Args:
        environ: the variables; `os.environ` when left out.
    """
    variables = os.environ if environ is None else environ
    parts = variables.get("SSH_CONNECTION", "").split()  # client, its port, server, its port
    return parts[2] if len(parts) == 4 else None


def snowflake_login(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Who logs in to a Snowflake account: the connector's parameters, from `SNOWFLAKE_…`.

    Args:
        environ: the variables; `os.environ` when left out.
    """
    variables = os.environ if environ is None else environ
    found = {name: variables.get(f"SNOWFLAKE_{name.upper()}") for name in _SNOWFLAKE_LOGIN}
    return {name: value for name, value in found.items() if value}


_SNOWFLAKE_LOGIN = (
    "user", "password", "authenticator", "token", "private_key_file", "private_key_file_pwd",
    "role", "warehouse", "host", "port", "protocol",
)  # fmt: skip


def _count(variables: Mapping[str, str], name: str, default: int) -> int:
    text = variables.get(name) or str(default)
    if not text.isdecimal():
        raise InvalidOptionError(f"{name} is '{text}', which is not a whole number")
    return int(text)


def _folded(name: str) -> str:
    """A name as the catalog keeps it: upper case, unless it stands in double quotes."""
    return name[1:-1] if name[:1] == name[-1:] == '"' and len(name) > 2 else name.upper()
