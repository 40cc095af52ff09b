"""Simulated days log nothing: their event log says more, and only where a day failed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from tests.simulation.days import quiet


@pytest.fixture(autouse=True, scope="session")
def _quiet_log() -> Iterator[None]:
    before = structlog.get_config()
    quiet()
    yield
    structlog.configure(**before)
