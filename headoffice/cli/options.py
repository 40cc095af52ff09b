"""The options all commands share: where the database and the keys are (command line, environment, --state).

Knows names and precedence; opens nothing at import.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headoffice.errors import UsageError

if TYPE_CHECKING:
    from headoffice.store.database import Database

StateOption = Annotated[
    Path | None,
    typer.Option("--state", envvar="FORECOURT_HQ_STATE", help="Folder with database.sqlite and keys/."),
]
DatabaseOption = Annotated[
    str | None,
    typer.Option("--database", envvar="FORECOURT_HQ_DATABASE", help="SQLite file or database URL."),
]
KeysOption = Annotated[Path | None, typer.Option("--keys", envvar="FORECOURT_HQ_KEYS", help="Folder with the keys.")]
GroupOption = Annotated[str, typer.Option("--group", envvar="FORECOURT_HQ_GROUP", help="The station group served.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
StationOption = Annotated[str | None, typer.Option("--station", help="Only this station.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many, newest first.")]

DATABASE_NAME = "database.sqlite"
KEYS_NAME = "keys"
DEFAULT_GROUP = "main"


def database_location(database: str | None, state: Path | None) -> str:
    """The database to use; ``--database`` wins over ``--state``. Raises UsageError where neither is given."""
    if database is not None:
        return database
    if state is not None:
        return str(state / DATABASE_NAME)
    raise UsageError("no database is named", hint="give --database FILE or --state DIR, or set FORECOURT_HQ_STATE")


def keys_folder(keys: Path | None, state: Path | None) -> Path:
    """The folder with the keys; ``--keys`` wins over ``--state``. Raises UsageError where neither is given."""
    if keys is not None:
        return keys
    if state is not None:
        return state / KEYS_NAME
    raise UsageError("no key folder is named", hint="give --keys DIR or --state DIR, or set FORECOURT_HQ_STATE")


def open_database(database: str | None, state: Path | None, *, migrate: bool = False, create: bool = True) -> Database:
    """Open the database; ``migrate`` makes its folder and tables, or only upgrades them where ``create`` is False."""
    from headoffice.store.database import Database

    location = database_location(database, state)
    if migrate and create and "://" not in location:
        try:
            Path(location).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"cannot make the folder of {location}: {error.strerror}", hint="choose another"
            ) from error
    return Database(location, migrate=migrate, create=create)
