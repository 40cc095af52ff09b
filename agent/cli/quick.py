"""The looks at the station that people and scripts repeat, without loading the command-line library.

Answers exactly what the full command line would; whatever is not the plain form of a look is left to it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any

from agent.cli import show
from agent.cli.plain import print_json, question

LOOKS: dict[str, Callable[[Any], None]] = {
    "status": show.status,
    "pumps": show.pumps,
    "tanks": show.tanks,
    "sync": show.sync,
}
NAMED = {"--config": "FORECOURT_CONFIG", "--socket": "FORECOURT_SOCKET"}
"""Options with a value, and the environment variable that stands for each."""


def answered(words: Sequence[str]) -> bool:
    """Answer ``words`` if they are a plain look; returns whether. Ends the process where every command would."""
    if not words or words[0] not in LOOKS:
        return False
    given = options(words[1:], NAMED, flags=("--json",))
    if given is None:
        return False
    places = {name: given.get(name) or os.environ.get(variable) for name, variable in NAMED.items()}
    config, socket = (Path(place) if place else None for place in places.values())
    value = question(config, socket, words[0])
    if "--json" in given:
        print_json(value)
    else:
        LOOKS[words[0]](value)
    return True


def options(words: Sequence[str], named: Container[str], *, flags: Sequence[str] = ()) -> dict[str, str] | None:
    """Return the options by name, those without a value as "", ``None`` where there is anything else.

    ``named``: those with a value; ``flags``: those without.
    """
    given: dict[str, str] = {}
    waiting = list(words)
    while waiting:
        name, equals, value = waiting.pop(0).partition("=")
        if name in flags and not equals:
            given[name] = ""
        elif name in named and (equals or waiting):
            given[name] = value if equals else waiting.pop(0)
        else:
            return None
    return given
