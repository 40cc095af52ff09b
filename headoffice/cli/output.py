"""Shows results: JSON for programs, a table by rich on a terminal, tab-separated lines when piped. Knows no command."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

Row = dict[str, Any]


class Progress(Protocol):
    """Told how far a long step is."""

    def __call__(self, done: int) -> None:
        """``done``: things finished so far."""


PROGRESS_EVERY = 1_000


def show_json(value: Any) -> None:
    """Print one JSON value on one line."""
    print(json.dumps(value, ensure_ascii=False, sort_keys=True))


def show_rows(rows: Sequence[Row], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Print rows: all members as a JSON array, or only ``columns`` as a table; ``empty`` says that there is none."""
    if as_json:
        show_json(list(rows))
    elif not rows:
        print(empty)
    elif sys.stdout.isatty():
        _show_table(rows, columns)
    else:
        print("\t".join(columns))
        for row in rows:
            print("\t".join(_cell(row.get(name), name) for name in columns))


def show_fields(row: Row, *, as_json: bool) -> None:
    """Print one object: JSON, or a line per member."""
    if as_json:
        show_json(row)
        return
    for name, value in row.items():
        print(f"{name}\t{_cell(value, name)}")


def _show_table(rows: Sequence[Row], columns: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns)
    for row in rows:
        table.add_row(*(Text(_cell(row.get(name), name)) for name in columns))
    Console().print(table)


def _cell(value: Any, name: str) -> str:
    if value is None:
        return "-"
    if name.endswith("_ms") and type(value) is int:
        return datetime.fromtimestamp(value // 1000, UTC).isoformat().replace("+00:00", "Z")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(sign if sign.isprintable() else " " for sign in text)


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """Show a counter on a terminal while a long step runs; silent when piped."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.console import Console

    with Console(stderr=True).status(what) as status:

        def tell(done: int) -> None:
            if done % PROGRESS_EVERY == 0:
                status.update(f"{what}: {done}")

        yield tell
