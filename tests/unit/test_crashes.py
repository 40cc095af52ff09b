"""What a crash says past the log: a traceback with its place, and nothing of a member in it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from agent.store.journal import Stamp
from agent.store.store import Store
from agent.store.tables import META
from tests.support import template
from tests.support.station_settings import STATION

TOKEN = "FM1:MWGSLK/-4 987CKFRKR49*Z2C"
PHONE = "13812345678"
CRASHES = {
    "main": "raise ValueError(CARD)",
    "thread": "import threading; t = threading.Thread(target=lambda: int(CARD)); t.start(); t.join()",
    "finaliser": "class Late:\n    def __del__(self): raise ValueError(CARD)\nlate = Late(); del late",
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new database."""
    template.copy_to(tmp_path)
    opened = Store(tmp_path / "station.db", station=STATION, random=Random(1))
    yield opened
    opened.close()


@pytest.mark.parametrize("where", CRASHES)
@pytest.mark.parametrize("said", [f"cannot use {TOKEN}", f"no member has {PHONE}"])
def test_a_crash_tells_where_and_not_whose(where: str, said: str) -> None:
    """In the main thread, in another and in a finaliser: the type and the line stay, the member's text does not."""
    program = f"import os\nfrom agent import crashes\ncrashes.install()\nCARD = os.environ['CARD']\n{CRASHES[where]}\n"
    environment = {**os.environ, "CARD": said}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert "ValueError" in run.stderr
    assert TOKEN[4:10] not in run.stderr
    assert PHONE[:8] not in run.stderr


def test_a_statement_that_fails_tells_no_values(store: Store) -> None:
    """A row that the database refuses is named by its statement; what stood in it may be a person's."""
    with store.begin(Stamp(1, 1, "b", "ntp")) as tx:
        tx.memory.set_meta("twice", PHONE)
        with pytest.raises(IntegrityError) as refused:
            tx.connection.execute(insert(META), {"key": "twice", "value": PHONE})
    with store.begin(Stamp(1, 1, "b", "ntp")) as tx, pytest.raises(IntegrityError) as hot:
        tx.memory.set_meta(PHONE, None)  # type: ignore[arg-type]
    for failure, statement in ((refused.value, "INSERT INTO meta"), (hot.value, "INSERT INTO meta")):
        assert statement in str(failure)
        assert PHONE not in str(failure)
        assert isinstance(failure.orig, sqlite3.IntegrityError)
