"""Shows results: JSON for programs, a table by rich on a terminal, tab-separated lines when piped. Knows no command."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

Row = dict[str, Any]


class Progress(Protocol):
    """Told how far a long step is."""

    def __call__(self, what: str, done: int, of: int, /) -> None:
        """``what`` is being done, and ``done`` of ``of`` is finished."""


SHOWN_AFTER_S = 2.0
"""What is over by then needs no bar."""

SHOWN_EVERY_S = 0.1


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
def progress() -> Iterator[Progress]:
    """Show a bar on a terminal while a long step runs, after two seconds of it; silent when piped."""
    if not sys.stderr.isatty():
        yield lambda _what, _done, _of: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    begun = time.monotonic()
    shown = 0.0
    with ExitStack() as stack:
        bar = Bar(console=Console(stderr=True), transient=True, auto_refresh=False)
        task = bar.add_task("")

        def tell(what: str, done: int, of: int) -> None:
            nonlocal shown
            now = time.monotonic()
            if now - begun < SHOWN_AFTER_S or now - shown < SHOWN_EVERY_S:
                return
            if not shown:
                stack.enter_context(bar)
            shown = now
            bar.update(task, description=what, completed=done, total=max(1, of), refresh=True)

        yield tell
