"""Head office warns of the certificates that its own link depends on, in time and once a day."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog

from agent.logs import configure
from headoffice.expiry import DAY_MS, HERE, ExpiryWatch
from headoffice.pki import Authority
from headoffice.store import reports
from headoffice.store.database import Database
from sync.tls import TlsOptions
from tests.support import template
from tests.support.headoffice_command import HeadOfficeCommand
from tests.support.station import EPOCH_MS, VirtualClock

EPOCH = datetime.fromtimestamp(EPOCH_MS // 1000, UTC)
FAR_MS = EPOCH_MS + 900 * DAY_MS


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = template.head_office(tmp_path / "database.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What head office logs."""
    stream = io.StringIO()
    configure(stream=stream, readable=False)
    yield stream
    structlog.reset_defaults()


class Office:
    """Certificates of head office on real files, looked at on a clock that the test moves."""

    def __init__(self, folder: Path, database: Database, days: int) -> None:
        self.pki = Authority(folder / "pki")
        self.pki.make(EPOCH)
        self.pki.issue(HERE, HERE, EPOCH, days=days)
        self.clock = VirtualClock()
        files = TlsOptions(folder / "pki" / "ca.pem", self.pki.certificate(HERE), self.pki.key(HERE))
        self.watch = ExpiryWatch(database, files, self.clock)

    def look(self, *, after_days: float = 0.0, broker_ends_ms: int | None = FAR_MS) -> list[str]:
        self.clock.now_s += after_days * DAY_MS / 1000
        return self.watch.look(broker_ends_ms)


def test_head_office_warns_of_its_certificate_30_14_and_3_days_before_its_end(
    tmp_path: Path,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    log: io.StringIO,
) -> None:
    """[W-61] At the start and once a day, each threshold by its name, until the renewed file lies there; people see it in a list."""
    office = Office(tmp_path, database, days=40)
    assert (office.look(), office.look(after_days=0.9)) == ([], [])
    told = [office.look(after_days=days) for days in (9.2, 0.5, 16, 11, 3)]
    names = ["certificate_ends_30d", "certificate_ends_14d", "certificate_ends_3d", "certificate_ended"]
    assert told == [[names[0]], [], [names[1]], [names[2]], [names[3]]]
    office.pki.renew(HERE, EPOCH + timedelta(days=41))
    command = HeadOfficeCommand(tmp_path, monkeypatch, capsys)
    assert [row["alert"] for row in json.loads(command("alerts", "--own", "--json"))] == [names[3]]
    assert office.look(after_days=1) == []
    assert log.getvalue().count("a certificate of the link to the broker") == 4
    assert json.loads(command("alerts", "--own", "--json")) == []
    rows = json.loads(command("alerts", "--own", "--all", "--json"))
    assert sorted((row["station"], row["alert"], row["subject"]) for row in rows) == sorted(
        (HERE, n, HERE) for n in names
    )
    assert all("good until 2026-02-" in row["detail"] for row in rows)
    assert all(row["ended_ms"] > row["last_ms"] for row in rows)


def test_the_brokers_certificate_is_looked_at_as_soon_as_it_was_seen(tmp_path: Path, database: Database) -> None:
    """[W-61] The first look comes before the first connection; the broker's end is not left until the next day."""
    office = Office(tmp_path, database, days=400)
    soon_ms = EPOCH_MS + 2 * DAY_MS
    assert office.look(broker_ends_ms=None) == []
    assert office.look(broker_ends_ms=soon_ms) == ["certificate_ends_3d"]
    assert office.look(broker_ends_ms=soon_ms) == []
    assert office.look(after_days=1, broker_ends_ms=soon_ms) == ["certificate_ends_3d"]
    (row,) = reports.own_alerts(database, station=None, limit=5)
    assert (row["subject"], row["count"]) == ("broker", 2)


def test_files_that_the_next_handshake_cannot_use_are_told(tmp_path: Path, database: Database) -> None:
    """A certificate that is gone is an alert with its name while the connection still stands; no TLS, no files."""
    office = Office(tmp_path, database, days=400)
    certificate = office.pki.certificate(HERE)
    content = certificate.read_bytes()
    certificate.unlink()
    assert office.look() == ["certificate_files"]
    (row,) = reports.own_alerts(database, station=None, limit=5)
    assert "head-office.pem" in row["detail"]
    certificate.write_bytes(content)
    assert office.look(after_days=1) == []
    assert reports.own_alerts(database, station=None, limit=5) == []
    certificate.unlink()
    assert office.look(after_days=1) == ["certificate_files"]
    (row,) = reports.own_alerts(database, station=None, limit=5)
    assert (row["count"], row["ended_ms"]) == (2, None)
    assert ExpiryWatch(database, None, office.clock).look(EPOCH_MS) == []
