"""The station's end of the link to head office: what ``sync`` asks of us, and the thread around its ``StationLink``.

Knows the journal's read side and the inbox. Decides nothing about cursors: that is ``sync.delivery``.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

from agent.clock import Clock
from agent.failpoints import failpoint
from agent.inbox import AlertFound, FromHeadOffice, Inbox, Item
from agent.settings import HeadOfficeSettings, Settings
from agent.store.delivery import JournalOutbox
from agent.supervisor import Heart
from sync.client import ClientOptions
from sync.messages import Message, RulesRef
from sync.ports import HelloFacts, LinkEvent, Stopped
from sync.publisher import LinkIdentity, StationLink
from sync.records import format_time
from sync.signing import PinnedKeys
from sync.subscriber import GroupFeed
from sync.tls import Ends, FilesUnusable, TlsOptions, ends, no_floor

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}
WAIT_S = 0.5
SYNC = "sync"
LOOK_EVERY_MS = 3_600_000
DAY_MS = 86_400_000
CERTIFICATE_FILES = "CERTIFICATE_FILES"
CERTIFICATE_ENDS = {
    0: "CERTIFICATE_ENDED",
    3: "CERTIFICATE_ENDS_3D",
    14: "CERTIFICATE_ENDS_14D",
    30: "CERTIFICATE_ENDS_30D",
}
"""Days before the end, and the alert that stands from then on: each one asks to be seen anew."""

PERMANENT_ADDRESS = "0"
"""The kernel's NET_ADDR_PERM: neither random nor set by somebody."""


def install_id(system: Path = Path("/sys")) -> str:
    """Return 32 hex digits that name this hardware: permanent MAC addresses and the DMI product UUID (W-30).

    Virtual interfaces and addresses made up at boot do not count: they would name another hardware at each start.
    Only root may read the UUID below ``system``; the unit hands it over as the credential ``product-uuid``.
    """
    handed_over = os.environ.get("CREDENTIALS_DIRECTORY", "")
    product = _text(Path(handed_over) / "product-uuid") if handed_over else ""
    interfaces = [interface for interface in (system / "class/net").glob("*") if _is_built_in(interface)]
    addresses = sorted(_text(interface / "address") for interface in interfaces)
    parts = [*addresses, product or _text(system / "class/dmi/id/product_uuid")]
    return hashlib.sha256("\n".join(parts).encode("ascii", "replace")).hexdigest()[:32]


def _is_built_in(interface: Path) -> bool:
    """Whether a network interface is wired hardware whose address is its own: bridges and radios change theirs."""
    return (
        (interface / "device").exists()
        and not (interface / "wireless").exists()
        and _text(interface / "addr_assign_type") == PERMANENT_ADDRESS
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


class InboxAdapter:
    """Hands the link's events to the pipeline."""

    def __init__(self, inbox: Inbox[Item]) -> None:
        self._inbox = inbox
        self.stopped = False

    def deliver(self, event: LinkEvent) -> None:
        """Take one event; blocks while the inbox is full, so the link waits rather than loses."""
        if isinstance(event, Stopped):
            self.stopped = True
        self._inbox.put(FromHeadOffice(event))


class StationVitals:
    """Clock and counters of the running station (``sync.ports.Vitals``)."""

    def __init__(self, clock: Clock, outbox: JournalOutbox, first_connect_n: int, newest_ms: Callable[[], int]) -> None:
        self._clock = clock
        self._outbox = outbox
        self._connect_n = first_connect_n
        self._newest_ms = newest_ms

    @property
    def connect_n(self) -> int:
        """The number of the newest attempt to connect."""
        return self._connect_n

    def hello_facts(self) -> HelloFacts:
        """Return the facts as they are now; the time never falls behind the newest record."""
        wall_ms, newest_ms = self._clock.wall_ms(), self._newest_ms()
        rules = self._outbox.active_rules()
        return HelloFacts(
            time=format_time(max(wall_ms, newest_ms)),
            mono_ms=self._clock.mono_ms(),
            clock="floor" if wall_ms < newest_ms else self._clock.quality(),
            now_ms=max(wall_ms, newest_ms),
            rules=None if rules is None else RulesRef(rules[0], bytes.fromhex(rules[1])),
            member_op=self._outbox.member_op(),
        )

    def now_ms(self) -> int:
        """Return the wall time, never behind the newest record."""
        return max(self._clock.wall_ms(), self._newest_ms())

    def floor_ms(self) -> int | None:
        """Return the newest record's time where the clock is behind it (a dead battery), else None."""
        newest_ms = self._newest_ms()
        return newest_ms if self._clock.wall_ms() < newest_ms else None

    def next_connect_n(self) -> int:
        """Return one more than ever before."""
        self._connect_n += 1
        return self._connect_n

    def has_document(self, kind: str, hash: bytes) -> bool:  # noqa: A002 - the name is the protocol's
        """Return whether a document is stored."""
        return self._outbox.has_document(kind, hash.hex())


class CertificateWatch:
    """Warns before a certificate of the link ends, and of files that the next handshake could not use (W-61)."""

    def __init__(self, options: TlsOptions, clock: Clock, now_ms: Callable[[], int], inbox: Inbox[Item]) -> None:
        """``now_ms``: the wall time that certificates are judged by."""
        self._options = options
        self._clock = clock
        self._now_ms = now_ms
        self._inbox = inbox
        self._look_at_ms: int | None = None

    def look(self, broker_ends_ms: int | None) -> None:
        """Look once an hour. ``broker_ends_ms``: when the broker's certificate ends, as far as it was seen."""
        mono_ms = self._clock.mono_ms()
        if self._look_at_ms is not None and mono_ms < self._look_at_ms:
            return
        self._look_at_ms = mono_ms + LOOK_EVERY_MS
        try:
            found = list(ends(self._options))
        except FilesUnusable as failure:
            self._tell(CERTIFICATE_FILES, str(failure))
            return
        self._tell(CERTIFICATE_FILES, "")
        if broker_ends_ms is not None:
            found.append(Ends("broker", broker_ends_ms))
        soonest = min(found, key=lambda one: one.ends_ms)
        standing = ending(soonest.ends_ms - self._now_ms())
        for name in CERTIFICATE_ENDS.values():
            until = format_time(soonest.ends_ms)[:16].replace("T", " ")
            self._tell(name, f"{soonest.what}: good until {until} UTC" if name == standing else "")

    def _tell(self, alert: str, detail: str) -> None:
        self._inbox.put(AlertFound(SYNC, alert, bool(detail), detail[:300]))


def ending(left_ms: int) -> str | None:
    """Return the alert for a certificate that is good for ``left_ms`` more."""
    return next((name for days, name in CERTIFICATE_ENDS.items() if left_ms <= days * DAY_MS), None)


def client_options(
    head_office: HeadOfficeSettings, station: str, floor_ms: Callable[[], int | None] = no_floor
) -> ClientOptions:
    """Return address, credentials and TLS files of the broker. ``floor_ms``: as ``TlsOptions`` has it."""
    url = urlsplit(head_office.broker)
    assert url.hostname is not None, "the configuration was checked"
    tls = None
    if url.scheme == "mqtts":
        assert head_office.ca_file is not None, "the configuration was checked"
        tls = TlsOptions(head_office.ca_file, head_office.certificate_file, head_office.key_file, floor_ms)
    return ClientOptions(
        client_id=station,
        host=url.hostname,
        port=url.port or DEFAULT_PORTS[url.scheme],
        username=station if head_office.password_file is not None else None,
        password_file=head_office.password_file,
        tls=tls,
        backoff_cap_s=head_office.reconnect_max / 1000,
        backoff_low_s=min(1.0, head_office.reconnect_max / 1000),
    )


class Uplink:
    """One link for one incarnation; ``shell`` is its thread."""

    def __init__(
        self,
        *,
        settings: Settings,
        database: Path,
        incarnation: str,
        install: str,
        boot: str,
        software: str,
        clock: Clock,
        inbox: Inbox[Item],
        first_connect_n: int,
        newest_ms: Callable[[], int],
        pinned: PinnedKeys | None,
        rng: Random,
        profile: Callable[[], Mapping[str, Any] | None] = lambda: None,
    ) -> None:
        """``profile``: what the public may know of the station now."""
        station = settings.station
        self._outbox = JournalOutbox(database, station.id, incarnation)
        self._inbox = InboxAdapter(inbox)
        self.vitals = StationVitals(clock, self._outbox, first_connect_n, newest_ms)
        feed = None
        if pinned is not None:
            feed = GroupFeed(
                group=station.group,
                pinned=pinned,
                have_op=self._outbox.member_op(),
                has_document=self.vitals.has_document,
                new_id=lambda: f"{rng.getrandbits(128):032x}",
                rng=rng,
                cache=self._outbox,
            )
        options = client_options(settings.head_office, station.id, self.vitals.floor_ms)
        self._watch = None
        if options.tls is not None:
            self._watch = CertificateWatch(options.tls, clock, self.vitals.now_ms, inbox)
        self._link = StationLink(
            LinkIdentity(station.id, install, incarnation, software, boot),
            options,
            self._outbox,
            self._inbox,
            self.vitals,
            clock=time.monotonic,
            rng=rng,
            feed=feed,
            group=None if feed is None else station.group,
            requests=self._outbox.requests,
            profile=profile,
            failpoint=failpoint,
        )

    def wake(self) -> None:
        """The journal grew: look again."""
        self._link.wake()

    def tell(self, name: str, message: Message) -> None:
        """Publish a message of the pipeline when there is a connection."""
        self._link.tell(name, message)

    def shell(self, heart: Heart) -> None:
        """Run the link until the end is asked for or this incarnation may not send any more."""
        while heart.beat() and not self._inbox.stopped:
            self._link.run_once(WAIT_S)
            if self._watch is not None:
                self._watch.look(self._link.broker_ends_ms)
        self._link.close()
        while heart.rest(WAIT_S):
            pass
        # the last connection to close merges the log into the database, which a reader cannot
        self._outbox.close()
