"""Logging: whatever a careless line carries, no phone, card, member code or key ever comes out at the other end."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from agent.logs import configure, get_logger

PHONE = "13812345678"
SPACED = "138 1234 5678"
CARD = "9156000000000017"
TOKEN = "FM1:GEZDGNBVGY3TQOJQ"
KEY = "0123456789abcdef" * 4
PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----"
CANARIES = [PHONE, SPACED, CARD, "GEZDGNBVGY3TQOJQ", KEY, "MC4CAQAwBQYDK2VwBCIEIA", "correct horse", "京A12345"]


@pytest.fixture(params=[True, False], ids=["readable", "json"])
def out(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """Logging into a string, both ways."""
    stream = io.StringIO()
    configure(level="debug", stream=stream, readable=request.param)
    yield stream
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_no_canary_survives_any_way_of_logging(out: io.StringIO) -> None:
    """In the message, in values, in nested values, in keys, in bound context, in exceptions and their tracebacks."""
    everything = f"call {PHONE} or {SPACED}, card {CARD}, code {TOKEN}"
    log = get_logger("test").bind(caller=PHONE)
    structlog.contextvars.bind_contextvars(request=f"card {CARD}")
    log.info(everything)
    log.warning("scan", detail=everything, text="correct horse", plate="京A12345", phone=int(PHONE), card=int(CARD))
    log.error("nested", value={"deep": [{"deeper": (everything, KEY, {"password": "correct horse"})}], PHONE: 1})
    log.debug("key", digest=KEY, pem=PEM, raw=CARD.encode(), payload={"a": TOKEN})
    try:
        raise ValueError(f"cannot parse {TOKEN} of {PHONE}")
    except ValueError:
        log.exception("failed", card=CARD)
    written = out.getvalue()
    assert written.count("\n") >= 5
    for canary in CANARIES:
        assert canary not in written


def test_what_is_no_secret_stays_readable(out: io.StringIO) -> None:
    """Amounts, volumes, sequence numbers and hashes are what a log is for."""
    get_logger("pipeline").info("sale", volume_ml=20_000, amount_minor=15_700, seq=12, hash=KEY, fuelling_point=3)
    written = out.getvalue()
    for shown in ("sale", "20000", "15700", KEY, "pipeline"):
        assert shown in written


def test_json_lines_carry_time_level_and_component() -> None:
    """One object per line, for journald and for programs."""
    stream = io.StringIO()
    configure(stream=stream)
    get_logger("line").warning("port lost", line="island-1")
    get_logger("line").debug("not shown at level info")
    (line,) = stream.getvalue().splitlines()
    value: dict[str, Any] = json.loads(line)
    assert value | {"timestamp": ""} == {
        "event": "port lost",
        "level": "warning",
        "component": "line",
        "line": "island-1",
        "timestamp": "",
    }
    assert value["timestamp"].endswith("Z")
    structlog.reset_defaults()


def test_a_line_feed_in_a_value_makes_no_second_line() -> None:
    """Nobody forges a log line through a scanned code or a device's words."""
    stream = io.StringIO()
    configure(stream=stream)
    get_logger("test").info("device says", words='ok\n{"event": "forged"}')
    assert len(stream.getvalue().splitlines()) == 1
    structlog.reset_defaults()
