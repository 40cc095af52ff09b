"""A PIN for a command: asked for without echo, read from a file or from input; never an argument, never printed."""

from __future__ import annotations

import sys
from pathlib import Path

from agent.cli.plain import fail

FROM_INPUT = "-"
MOST_PIN_BYTES = 64


def read_pin(file: str | None, prompt: str = "PIN", *, twice: bool = False) -> str:
    """Return a PIN from a file, from input, or asked for without echo. Ends the command with 2 where there is none."""
    if file is None and not sys.stdin.isatty():
        fail("there is no terminal to ask for the PIN", "give --pin-file FILE, or --pin-file - and the PIN as input", 2)
    if file is None:
        from getpass import getpass

        pin = getpass(f"{prompt}: ")
        if twice and getpass(f"{prompt} again: ") != pin:
            fail("the two are not the same", "key it in again", 2)
        return pin
    if file == FROM_INPUT:
        return sys.stdin.readline(MOST_PIN_BYTES).strip()
    try:
        with Path(file).open(encoding="ascii") as stream:
            return stream.read(MOST_PIN_BYTES).strip()
    except (OSError, UnicodeDecodeError) as failure:
        fail(f"{file} cannot be read: {failure}", "name a file that holds the PIN and nothing else", 2)
