"""What a crash says: every traceback that would reach stderr past the log goes through the redaction first.

Knows the interpreter's three hooks. Loads nothing until something crashes: a look at the station stays quick.
"""

from __future__ import annotations

import sys
import threading
from types import TracebackType


def install() -> None:
    """Take over the hooks for exceptions that nobody caught, of the main thread, of others and of finalisers."""
    sys.excepthook = _main
    threading.excepthook = _thread
    sys.unraisablehook = _unraisable


def told(kind: type[BaseException], failure: BaseException | None, trace: TracebackType | None) -> str:
    """Return the traceback as a person may see it; what a message carries of a member is masked."""
    import traceback

    from agent.domain.redaction import redact

    return "".join(redact(line) for line in traceback.format_exception(kind, failure, trace))


def _main(kind: type[BaseException], failure: BaseException, trace: TracebackType | None) -> None:
    _say(told(kind, failure, trace))


def _thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is SystemExit:
        return
    name = "a thread" if args.thread is None else args.thread.name
    _say(f"Exception in thread {name}:\n{told(args.exc_type, args.exc_value, args.exc_traceback)}")


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    _say(f"Exception ignored in:\n{told(args.exc_type, args.exc_value, args.exc_traceback)}")


def _say(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(text)
        sys.stderr.flush()
