"""What is typed behind ``forecourt device``, checked: numbers, durations, files, options. Wrong ones end it with 2.

Loads the drivers only where an option belongs to one.
"""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path
from threading import Event as Flag
from threading import Timer
from typing import TYPE_CHECKING

from agent.cli.talk import DEFAULT_CONFIG, fail

if TYPE_CHECKING:
    from drivers.config import SerialSettings
    from drivers.dissection import Direction
    from drivers.registry import DriverSpec

MOST_INPUT_BYTES = 64 << 20  # a day of a busy line; more is another file
READER_TRACE_S = 3600.0
"""The longest recording of a reader of member codes."""

PARITIES = ("none", "even", "odd")

_DURATION = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)\s*(ms|s|min|h)")
_FACTORS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}


def serial(baudrate: int | None, parity: str | None, data_bits: int | None, stop_bits: int | None) -> SerialSettings:
    """Line settings, ``None`` where not given."""
    from drivers.config import SerialSettings

    if parity is not None and parity not in PARITIES:
        fail(f"--parity {parity!r} is not known", f"write one of {', '.join(PARITIES)}", 2)
    return SerialSettings(baudrate, data_bits, parity, stop_bits)


def seconds(text: str) -> float:
    """A duration with its unit, in seconds."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or not 0 < float(match[1]) * _FACTORS[match[2]] <= 7 * 86400:
        fail(f"{text!r} is no duration", 'write it like "500ms", "10s" or "10min"', 2)
    return float(match[1]) * _FACTORS[match[2]]


def address(text: str | None) -> int | None:
    """An address, decimal or with 0x."""
    if text is None:
        return None
    try:
        value = int(text, 0)
    except ValueError:
        fail(f"--address {text!r} is no number", "write it like 0x50", 2)
    return value


def numbers(text: str, example: str) -> tuple[int, ...]:
    """Numbers with commas between."""
    if not re.fullmatch(r"[0-9]{1,2}(?:,[0-9]{1,2})*", text):
        fail(f"{text!r} is no list of numbers", f"write it like {example}", 2)
    return tuple(int(part) for part in text.split(","))


def decimals(text: str) -> tuple[int, int, int]:
    """Decimals of volume, amount and price."""
    places = numbers(text, "--decimals 2,2,3")
    if len(places) != 3 or max(places) > 3:
        fail(f"--decimals {text} are not three numbers from 0 to 3", "write volume, amount, price: --decimals 2,2,3", 2)
    return places[0], places[1], places[2]


def options(driver: DriverSpec, given: list[str]) -> dict[str, object]:
    """KEY=VALUE with the type that the driver takes: a code of six digits stays a text."""
    import json

    found: dict[str, object] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            fail(f"--option {text!r} has no value", "write --option KEY=VALUE", 2)
        try:
            typed: object = json.loads(value)
        except ValueError:
            typed = value
        found[key] = value if driver.check_options({key: typed}) and not driver.check_options({key: value}) else typed
    return found


def direction(text: str | None) -> Direction:
    """Who sent the bytes."""
    if text not in (None, "master", "device"):
        fail(f"--direction {text!r} is not known", "write master or device: who sent the bytes", 2)
    return None if text is None else "to_device" if text == "master" else "from_device"


def text(file: Path) -> str:
    """The text of a file, or of the standard input for ``-``."""
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(MOST_INPUT_BYTES + 1)
        else:
            with file.open("rb") as stream:
                data = stream.read(MOST_INPUT_BYTES + 1)
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}", "name a hex dump or a recording", 2)
    if len(data) > MOST_INPUT_BYTES:
        fail(f"{file} is larger than {MOST_INPUT_BYTES >> 20} MB", "cut it into parts", 2)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        fail(f"{file} is not text", f"make a dump of it first: xxd {file}", 2)


def until(duration: str | None, *, at_most_s: float | None = None) -> Flag:
    """A flag that Ctrl-C, SIGTERM or the end of ``duration`` sets, or that of ``at_most_s`` where it comes sooner."""
    stop = Flag()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    ends = [end for end in (None if duration is None else seconds(duration), at_most_s) if end is not None]
    if ends:
        timer = Timer(min(ends), stop.set)
        timer.daemon = True
        timer.start()
    return stop


def driver(protocol: str) -> DriverSpec:
    """The driver of a protocol; raises ``WiringError``."""
    from drivers import registry

    return registry.spec(protocol)


def refuse_member_codes(named: DriverSpec | None, ports: list[str], *, allowed: bool) -> bool:
    """Return whether a recording would hold codes of members, ending the command where nobody said that it may.

    A reader is known by its protocol, or by its port in the station file, where that can be read.
    """
    is_reader = (named is not None and named.kind == "code-reader") or not _reader_ports().isdisjoint(map(_real, ports))
    if is_reader and not allowed:
        fail(
            "this is a reader of member codes: a recording would hold what customers show",
            "with their consent, or on test cards: --with-member-codes; delete the file afterwards",
            2,
        )
    return is_reader


def _reader_ports() -> set[str]:
    import os
    import tomllib

    try:
        document = tomllib.loads(Path(os.environ.get("FORECOURT_CONFIG") or DEFAULT_CONFIG).read_text(encoding="utf-8"))
        return {_real(str(reader["port"])) for reader in document.get("reader", ())}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return set()  # no station file, or one that check-config complains about: the protocol alone tells


def _real(port: str) -> str:
    return str(Path(port).resolve()) if port.startswith("/") else port
