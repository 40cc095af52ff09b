"""``forecourt run`` from its words to the daemon, without the command-line library: it would stay in memory for months.

Knows how a start may fail and with which exit code; what runs then is ``agent.daemon``'s.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent.cli import show
from agent.cli.plain import DEFAULT_CONFIG, fail
from agent.cli.quick import options

NAMED = {"--config": "FORECOURT_CONFIG"}
INTERRUPTED = 130
"""The exit code of what Ctrl-C ended before the daemon listened for it."""


def started(words: Sequence[str]) -> bool:
    """Run the daemon if ``words`` are the plain form of ``run``; returns whether. Ends the process with its code."""
    if not words or words[0] != "run":
        return False
    given = options(words[1:], NAMED)
    if given is None:
        return False
    config = given.get("--config") or os.environ.get(NAMED["--config"])
    try:
        code = run(Path(config) if config else DEFAULT_CONFIG)
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


def run(config: Path) -> int:
    """Run the daemon until it is asked to end; returns the exit code."""
    with _what_stays():
        from agent.settings import SettingsError, load
        from agent.store.lock import InstanceLock, StoreError
        from drivers.errors import WiringError

        try:
            settings = load(config)
        except SettingsError as failure:
            show.faults(failure.faults)
            return 2
        lock = InstanceLock(settings.store.path)
        try:
            lock.take()
        except StoreError as failure:
            fail(str(failure), failure.hint, 2)
        from agent import daemon
        from agent.keyring import SecretMissing
    try:
        begins_anew = daemon.run(settings, lock)
    except (StoreError, SecretMissing, daemon.StationRefused, WiringError) as failure:
        fail(str(failure), failure.hint, 2)
    return int(begins_anew)  # an end that whoever watches this process must not take for a wish to stay down


@contextmanager
def _what_stays() -> Iterator[None]:
    """What is loaded here stays: to look through it for garbage, now or ever after, is a tenth of a start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
