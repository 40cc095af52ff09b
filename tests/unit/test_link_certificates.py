"""What a station says of its link's certificates: refused by name, ending in so many days, files that cannot be used."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.inbox import AlertFound, FromHeadOffice, Inbox, Item
from agent.settings.model import HeadOfficeSettings
from agent.store.delivery import JournalOutbox
from agent.uplink import (
    CERTIFICATE_ENDS,
    CERTIFICATE_FILES,
    LOOK_EVERY_MS,
    CertificateWatch,
    StationVitals,
    client_options,
    ending,
)
from headoffice.pki import Authority
from sync import ports
from sync.tls import TlsOptions
from tests.support.station import EPOCH_MS, VirtualClock
from tests.support.till import Till

DAY_S = 86_400
EPOCH = datetime.fromtimestamp(EPOCH_MS // 1000, UTC)


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    """A real pipeline on a real database."""
    opened = Till(tmp_path)
    yield opened
    opened.close()


def _alerts(till: Till) -> list[tuple[str, str]]:
    rows = till.rows("SELECT name, state FROM alert WHERE subject = 'sync' ORDER BY id")
    return [(row["name"], row["state"]) for row in rows]


def _down(till: Till, reason: str, detail: str = "") -> None:
    till.pipeline.handle(FromHeadOffice(ports.Disconnected(reason, detail)))


def test_a_refused_link_is_an_alert_that_says_which(till: Till) -> None:
    """One alert at a time, told once however often it is tried, over as soon as the link stands [W-61]."""
    _down(till, "tls_expired", "certificate has expired")
    for _ in range(3):
        _down(till, "tls_expired", "certificate has expired")
    _down(till, "network")
    assert _alerts(till) == [("LINK_TLS_EXPIRED", "ACTIVE")]
    _down(till, "tls_own_revoked")
    assert _alerts(till) == [("LINK_TLS_EXPIRED", "CLEARED"), ("LINK_TLS_OWN_REVOKED", "ACTIVE")]
    till.pipeline.handle(FromHeadOffice(ports.Connected(2, "MQTT 5")))
    assert {state for _, state in _alerts(till)} == {"CLEARED"}
    told = till.records("fc.sync.alert.v1")
    assert [(one["alert"], one["state"]) for one in told] == [
        ("LINK_TLS_EXPIRED", "raised"),
        ("LINK_TLS_EXPIRED", "cleared"),
        ("LINK_TLS_OWN_REVOKED", "raised"),
        ("LINK_TLS_OWN_REVOKED", "cleared"),
    ]
    assert told[0]["evidence"] == "certificate has expired"


def test_a_network_that_is_away_is_no_alert(till: Till) -> None:
    """What mends itself is shown by `status` and asks nobody to do anything."""
    for reason in ("network", "refused", "timeout", "closed", "host_unknown", "session_taken_over"):
        _down(till, reason)
    assert _alerts(till) == []


@pytest.mark.parametrize(
    ("left_days", "alert"),
    [
        (30.01, None),
        (30, "CERTIFICATE_ENDS_30D"),
        (14.01, "CERTIFICATE_ENDS_30D"),
        (14, "CERTIFICATE_ENDS_14D"),
        (3, "CERTIFICATE_ENDS_3D"),
        (0.01, "CERTIFICATE_ENDS_3D"),
        (0, "CERTIFICATE_ENDED"),
        (-5, "CERTIFICATE_ENDED"),
    ],
)
def test_the_warning_follows_the_days_that_are_left(left_days: float, alert: str | None) -> None:
    """30, 14 and 3 days before the end, and when it is over [W-61]."""
    assert ending(round(left_days * 86_400_000)) == alert


class Watched:
    """A watch over real files on a virtual clock; what it tells, as the alerts that stand."""

    def __init__(self, folder: Path) -> None:
        self.pki = Authority(folder / "pki")
        self.pki.make(EPOCH)
        self.pki.issue("SH-0001", "station", EPOCH, days=40)
        self.clock = VirtualClock()
        self.inbox: Inbox[Item] = Inbox()
        files = TlsOptions(folder / "pki" / "ca.pem", self.pki.certificate("SH-0001"), self.pki.key("SH-0001"))
        self.watch = CertificateWatch(files, self.clock, self.clock.wall_ms, self.inbox)
        self.standing: dict[str, str] = {}

    def look(self, *, after_days: float = 0.0, broker_ends_ms: int | None = None) -> dict[str, str]:
        self.clock.now_s += after_days * DAY_S
        self.watch.look(broker_ends_ms)
        while (item := self.inbox.get(0)) is not None:
            assert isinstance(item, AlertFound)
            self.standing.pop(item.alert, None)
            if item.standing:
                self.standing[item.alert] = item.detail
        return self.standing


def test_each_threshold_asks_to_be_seen_anew_and_a_renewed_file_ends_them(tmp_path: Path) -> None:
    """As the days pass one alert follows the other; the renewed certificate is seen without a restart [W-61]."""
    watched = Watched(tmp_path)
    assert watched.look() == {}
    told = [list(watched.look(after_days=days)) for days in (11, 15, 11.5, 3)]
    assert told == [[CERTIFICATE_ENDS[days]] for days in (30, 14, 3, 0)]
    assert watched.standing["CERTIFICATE_ENDED"].startswith("station: good until 2026-02-14")
    watched.pki.renew("SH-0001", EPOCH + timedelta(days=41))
    assert watched.look(after_days=1) == {}


def test_the_certificate_of_the_broker_is_watched_as_it_was_last_seen(tmp_path: Path) -> None:
    """Every station warns of the one certificate that would silence them all [W-61]."""
    watched = Watched(tmp_path)
    soon = EPOCH_MS + 2 * DAY_S * 1000
    assert watched.look(broker_ends_ms=soon) == {"CERTIFICATE_ENDS_3D": "broker: good until 2026-01-07 06:00 UTC"}


def test_files_that_the_next_handshake_cannot_use_are_told_while_the_link_stands(tmp_path: Path) -> None:
    """A certificate whose key is another's is found within the hour, not at the next cut of the line [W-61]."""
    watched = Watched(tmp_path)
    assert watched.look() == {}
    watched.pki.issue("SH-0002", "station", EPOCH)
    shutil.copy(watched.pki.certificate("SH-0002"), watched.pki.certificate("SH-0001"))
    assert watched.look(after_days=(LOOK_EVERY_MS - 1) / 86_400_000) == {}
    told = watched.look(after_days=1 / 86_400_000)
    assert list(told) == [CERTIFICATE_FILES]
    assert "SH-0001.key" in told[CERTIFICATE_FILES]
    watched.pki.certificate("SH-0001").unlink()
    assert list(watched.look(after_days=1)) == [CERTIFICATE_FILES]


def test_the_newest_record_is_the_floor_of_a_dead_clock(till: Till) -> None:
    """Where the clock is behind the journal its newest record judges certificates, else the clock does [W-61]."""
    till.sale()
    newest_ms = till.store.newest_ms
    outbox = JournalOutbox(till.settings.store.path, till.settings.station.id, till.store.incarnation)
    vitals = StationVitals(till.clock, outbox, 1, lambda: till.store.newest_ms)
    assert (vitals.floor_ms(), vitals.now_ms()) == (None, till.clock.wall_ms())
    till.clock.offset_ms = -EPOCH_MS
    assert till.clock.wall_ms() < DAY_S * 1000
    assert (vitals.floor_ms(), vitals.now_ms()) == (newest_ms, newest_ms)
    told = client_options(HeadOfficeSettings(broker="mqtts://b:1", ca_file=till.directory), "S", vitals.floor_ms).tls
    assert told is not None
    assert told.floor_ms() == newest_ms
    outbox.close()
