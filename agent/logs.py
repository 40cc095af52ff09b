"""Logging for both ends: JSON lines for journald, readable on a terminal, personal data redacted last.

Knows structlog. The redaction itself is pure and lives in ``agent.domain.redaction``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

from agent.domain.redaction import redact_mapping

# Where it finds rich, structlog loads it for coloured tracebacks: 3 MB of a daemon that writes JSON lines.
_rich = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402

if _rich is None:
    del sys.modules["rich"]
else:
    sys.modules["rich"] = _rich


def _redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return redact_mapping(event)


def configure(*, level: str = "info", stream: TextIO | None = None, readable: bool | None = None) -> None:
    """Set up logging once per process. ``readable`` None = readable on a terminal, JSON lines otherwise."""
    out = stream if stream is not None else sys.stderr
    pretty = out.isatty() if readable is None else readable
    renderer: Any = structlog.dev.ConsoleRenderer(colors=pretty) if pretty else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Redacted()], level=logging.WARNING, force=True)


class _Redacted(logging.Handler):
    """Sends what libraries log through the same chain, so that nothing reaches the stream unredacted."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record of the standard library's logging."""
        log = get_logger(record.name)
        log.log(record.levelno, record.getMessage(), exc_info=record.exc_info or None)


def get_logger(name: str) -> Any:
    """Return a structured logger whose lines carry ``component=name``."""
    return structlog.get_logger(component=name)
