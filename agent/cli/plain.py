"""What every command says and asks, without the command-line library: the daemon's answer, tables, JSON, exit codes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from agent.control import ControlError, ask

DEFAULT_CONFIG = Path("/etc/forecourt/station.toml")
DEFAULT_SOCKET = "/run/forecourt/control.sock"


def fail(message: str, hint: str, exit_code: int) -> NoReturn:
    """End with one or two lines on stderr and ``exit_code``; what they repeat of the words typed is masked."""
    from agent.domain.redaction import redact

    print(f"forecourt: {redact(message)}", file=sys.stderr)
    if hint:
        print(f"  {redact(hint)}", file=sys.stderr)
    raise SystemExit(exit_code)


def socket_path(config: Path | None, socket: Path | None) -> Path:
    """Return the control socket: named, or from the configuration, or the installed default."""
    if socket is not None:
        return socket
    file = config if config is not None else DEFAULT_CONFIG
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as failure:
        if config is None:
            return Path(DEFAULT_SOCKET)
        fail(f"{file} cannot be read: {failure.strerror}", "name the station's configuration with --config", 2)
    except UnicodeDecodeError:
        fail(f"{file} is not a text file", "name the station's configuration with --config", 2)
    import tomllib

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as failure:
        fail(f"{file} is not TOML: {failure}", f"forecourt check-config {file}", 2)
    control = document.get("control", {})
    path = control.get("socket", DEFAULT_SOCKET) if isinstance(control, dict) else DEFAULT_SOCKET
    return Path(str(path))


_acting: dict[str, Any] = {}


def act_as(staff: str, pin: str) -> None:
    """Ask everything from here on in the name of a person of the station, who is known by the PIN."""
    _acting["as"] = {"staff": staff, "pin": pin}


def question(config: Path | None, socket: Path | None, op: str, args: dict[str, Any] | None = None, **more: Any) -> Any:
    """Ask the daemon; on any "no" end with its message, hint and exit code."""
    try:
        return ask(socket_path(config, socket), op, {**(args or {}), **more, **_acting})
    except ControlError as failure:
        fail(str(failure), failure.hint, failure.exit_code)


def print_json(value: Any) -> None:
    """Print ``value`` as indented JSON."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def money(amount_minor: int | None, exponent: int) -> str:
    """Return minor units as people read them; unknown is a dash."""
    if amount_minor is None:
        return "-"
    if exponent == 0:
        return str(amount_minor)
    sign = "-" if amount_minor < 0 else ""
    whole, part = divmod(abs(amount_minor), 10**exponent)
    return f"{sign}{whole}.{part:0{exponent}d}"


def litres(volume_ml: int | None, places: int = 2) -> str:
    """Return ml as litres; unknown is a dash."""
    if volume_ml is None:
        return "-"
    unit: int = 10 ** (3 - places)
    rounded = (abs(volume_ml) + unit // 2) // unit
    whole, part = divmod(rounded, 10**places)
    sign = "-" if volume_ml < 0 and rounded else ""
    return f"{sign}{whole}.{part:0{places}d}" if places else f"{sign}{whole}"


def degrees(temperature_mdegc: int) -> str:
    """Return thousandths of a degree Celsius as degrees with one decimal, the rest cut off."""
    sign = "-" if temperature_mdegc <= -100 else ""
    return f"{sign}{abs(temperature_mdegc) // 1000}.{abs(temperature_mdegc) % 1000 // 100}"


def price(unit_price_milli: int | None) -> str:
    """Return a unit price with two decimals, three where the third is needed."""
    if unit_price_milli is None:
        return "-"
    text = f"{unit_price_milli // 1000}.{unit_price_milli % 1000:03d}"
    return text.removesuffix("0")


def clock_time(moment: str | None) -> str:
    """Return the time of day of a UTC moment, in the local zone of the machine."""
    if moment is None:
        return "-"
    from datetime import datetime

    return datetime.fromisoformat(moment).astimezone().strftime("%m-%d %H:%M:%S")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a rich table on a terminal, plain aligned text when piped."""
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        _rich_table(title, columns, cells)
        return
    if not cells:
        print(f"{title}: none")
        return
    widths = [max(len(row[n]) for row in [list(columns), *cells]) for n in range(len(columns))]
    for row in [list(columns), *cells]:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _rich_table(title: str, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column)
    for row in cells:
        table.add_row(*row)
    Console().print(table)
