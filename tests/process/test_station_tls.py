"""A station whose certificate has ended: pipeline, journal and link of the agent against the broker as it is shipped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from agent.clock import SystemClock
from agent.inbox import Inbox, Item
from agent.settings.model import HeadOfficeSettings
from agent.supervisor import Heart
from agent.uplink import Uplink
from headoffice.keys import make_keys
from headoffice.pki import acl
from headoffice.service import Service
from headoffice.shards import shards_of
from headoffice.store import reports
from headoffice.store.database import Database
from headoffice.workers import Worker
from sync.client import ClientOptions
from tests.support import template
from tests.support.processes import eventually
from tests.support.station_settings import STATION
from tests.support.till import Till
from tests.support.tls_broker import HERE, ShippedBroker, authority

WITHIN_S = 60.0
REFUSED = {"LINK_TLS_OWN_EXPIRED", "LINK_TLS_OWN_REFUSED"}


class Linked:
    """A till with the agent's own uplink in a thread, and head office with its certificate, over one broker."""

    def __init__(self, folder: Path, broker: ShippedBroker) -> None:
        self.pki = broker.pki
        self.till = Till(folder)
        files = broker.files(STATION)
        told = HeadOfficeSettings.model_validate(
            {
                "broker": f"mqtts://{HERE}:{broker.port}",
                "ca_file": files.ca,
                "certificate_file": files.cert,
                "key_file": files.key,
                "reconnect_max": "1s",
            }
        )
        self.inbox: Inbox[Item] = Inbox()
        self.uplink = Uplink(
            settings=self.till.settings.model_copy(update={"head_office": told}),
            database=self.till.settings.store.path,
            incarnation=self.till.store.incarnation,
            install="a" * 32,
            boot="boot-1",
            software="test",
            clock=SystemClock(),
            inbox=self.inbox,
            first_connect_n=1,
            newest_ms=lambda: self.till.store.newest_ms,
            pinned=None,
            profile=lambda: None,
            rng=Random(1),
        )
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.uplink.shell, args=(Heart(self.stop),))
        template.head_office(folder / "hq.sqlite").close()
        self.head_office = Database(folder / "hq.sqlite")
        service = Service(self.head_office, make_keys(folder / "keys"), "main")
        options = ClientOptions("head-office", HERE, broker.office_port, tls=broker.files("head-office"))
        self.worker = Worker(service, options, SystemClock(), shards_of(self.head_office))
        self.thread.start()

    def turn(self) -> None:
        """Let the pipeline and head office work off what came."""
        while (item := self.inbox.get(0)) is not None:
            self.till.pipeline.handle(item)
        self.worker.step(0.0)

    def alerts(self) -> set[str]:
        """The names of the alerts of the link that stand."""
        self.turn()
        rows = self.till.rows("SELECT name FROM alert WHERE subject = 'sync' AND state = 'ACTIVE'")
        return {row["name"] for row in rows}

    def waiting(self) -> int:
        """Records that are not acknowledged."""
        self.turn()
        return int(self.till.one("SELECT sum(seq - acked) FROM stream_head"))

    def close(self) -> None:
        """End all of it."""
        self.stop.set()
        self.thread.join(WITHIN_S)
        self.worker.run(self.stop)
        self.head_office.close()
        self.till.close()


@pytest.fixture
def linked(tmp_path: Path) -> Iterator[Linked]:
    """A station whose certificate ended yesterday."""
    pki = authority(tmp_path / "pki", ago_days=30)
    now = datetime.now(UTC)
    pki.issue(STATION, "station", now - timedelta(days=20), group="main", days=19)
    with ShippedBroker(tmp_path / "broker", pki, acl(pki.issued(), now - timedelta(days=5))) as broker:
        opened = Linked(tmp_path, broker)
        with closing(opened):
            yield opened


def test_the_journal_grows_behind_an_ended_certificate_and_a_renewed_one_delivers_it(linked: Linked) -> None:
    """An alert says what is wrong, sales go on; the renewed file is taken up by the running station, and head office has
    every sale once [W-60] [W-61].
    """
    eventually(lambda: "LINK_TLS_OWN_EXPIRED" in linked.alerts(), WITHIN_S, "the refusal is an alert")
    assert "CERTIFICATE_ENDED" in linked.alerts()
    before = linked.waiting()
    for _ in range(3):
        linked.till.sale()
    assert linked.waiting() > before
    with linked.head_office.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM sale").scalar() == 0
    linked.pki.renew(STATION, datetime.now(UTC))
    eventually(lambda: linked.waiting() == 0, WITHIN_S, "everything is delivered")
    eventually(lambda: linked.alerts().isdisjoint(REFUSED), WITHIN_S, "the alert is over")
    totals = reports.totals(linked.head_office)
    assert (totals["sales"], totals["duplicates"], totals["dead_letters"]) == (3, 0, 0)
    assert totals["alerts"] >= 1
