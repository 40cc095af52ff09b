"""A real mosquitto on the configuration that is shipped, with an authority of its own; and clients that try to get in.

Of the shipped file only folders and the port are exchanged. More listeners show certificates that are wrong in one way each.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from headoffice.pki import CA_FILE, CRL_FILE, ISSUED, Authority
from sync.client import Arrived, ClientEvent, ClientOptions, LinkChange, LinkDown, LinkUp, MqttClient, PublishSettled
from sync.tls import TlsOptions
from tests.support.broker import Mosquitto

CONFIG = Path(__file__).parents[2] / "config"
HERE = "127.0.0.1"
DEADLINE_S = 30.0
OTHERS = """
listener {port} 127.0.0.1
cafile {folder}/ca.pem
certfile {certificate}
keyfile {key}
require_certificate true
use_identity_as_username true
"""


def authority(folder: Path, *, stations: Sequence[str] = (), ago_days: int = 0) -> Authority:
    """An authority with a broker at 127.0.0.1, head office and ``stations`` of the group main."""
    now = datetime.now(UTC) - timedelta(days=ago_days)
    made = Authority(folder)
    made.make(now)
    made.issue("broker", "broker", now, hosts=[HERE])
    made.issue("head-office", "head-office", now)
    for name in stations:
        made.issue(name, "station", now, group="main")
    return made


class ShippedBroker(Mosquitto):
    """``config/mosquitto.example.conf`` and the access list that ``pki acl`` writes, on loopback.

    ``others``: name of a certificate of the authority, or a (certificate, key), shown at one more port each; ``plain``:
    one more port without TLS. Their ports are in ``ports``.
    """

    def __init__(
        self,
        folder: Path,
        pki: Authority,
        acl: str,
        *,
        others: dict[str, tuple[Path, Path]] | None = None,
        plain: bool = False,
    ) -> None:
        super().__init__(folder, protocol="5")
        self.folder = folder
        self.pki = pki
        self.ports: dict[str, int] = {}
        for name in ("broker.pem", "broker.key"):
            shutil.copy(pki.folder / ISSUED / name, folder / name)
        shutil.copy(pki.folder / CA_FILE, folder / CA_FILE)
        self.take_crl()
        (folder / "acl").write_text(acl, encoding="utf-8")
        shipped = (CONFIG / "mosquitto.example.conf").read_text(encoding="utf-8")
        self.office_port = self.keep_port()
        text = shipped.replace("listener 8883\n", f"listener {self.port} {HERE}\n")
        text = text.replace("listener 8884 ", f"listener {self.office_port} ")
        for place in ("/etc/mosquitto/forecourt", "/var/lib/mosquitto", "/var/log/mosquitto"):
            text = text.replace(place, str(folder))
        for name, (certificate, key) in (others or {}).items():
            self.ports[name] = self.keep_port()
            text += OTHERS.format(port=self.ports[name], folder=folder, certificate=certificate, key=key)
        if plain:
            self.ports["plain"] = self.keep_port()
            text += f"\nlistener {self.ports['plain']} {HERE}\n"
        (folder / "mosquitto.conf").write_text(f"{text}\nuser {'root' if os.getuid() == 0 else 'nobody'}\n")

    def take_crl(self) -> None:
        """Take over the authority's list of revoked certificates."""
        shutil.copy(self.pki.folder / CRL_FILE, self.folder / CRL_FILE)

    def reload(self) -> None:
        """What ``systemctl reload mosquitto`` does."""
        before = self.log.count("Reloading config")
        assert self._process is not None, "not running"
        self._process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + DEADLINE_S
        while self.log.count("Reloading config") == before:
            assert time.monotonic() < deadline, self.log
            self._accepts()

    def files(self, name: str, **more: Callable[[], int | None]) -> TlsOptions:
        """The files of one of the authority's certificates."""
        return TlsOptions(self.pki.folder / CA_FILE, self.pki.certificate(name), self.pki.key(name), **more)


class Caller:
    """One client with everything that happened to it."""

    def __init__(
        self,
        port: int,
        files: TlsOptions | None,
        *,
        client_id: str = "anybody",
        topics: Sequence[str] = (),
        host: str = HERE,
        keepalive_s: int = 30,
    ) -> None:
        self.events: queue.Queue[ClientEvent] = queue.Queue(200)
        self.changes: list[LinkChange] = []
        self.arrived: list[tuple[str, bytes]] = []
        self.settled: dict[int, str | None] = {}
        options = ClientOptions(
            client_id,
            host,
            port,
            tuple(topics),
            tls=files,
            keepalive_s=keepalive_s,
            backoff_low_s=0.05,
            backoff_cap_s=0.1,
        )
        self.client = MqttClient(options, self.events, Random(1))

    def turn(self) -> None:
        """Take what came within a moment."""
        self.changes += self.client.poll(time.monotonic())
        with contextlib.suppress(queue.Empty):
            event = self.events.get(timeout=0.02)
            if isinstance(event, Arrived):
                self.arrived.append((event.topic, event.payload))
            elif isinstance(event, PublishSettled):
                self.settled[event.mid] = event.refused

    def until(self, found: Callable[[], bool], *others: Caller) -> None:
        """Go on until ``found``, with ``others`` beside."""
        deadline = time.monotonic() + DEADLINE_S
        while not found():
            assert time.monotonic() < deadline, (self.changes[-5:], self.arrived[-5:])
            for one in (self, *others):
                one.turn()

    def up(self) -> Caller:
        """Wait until the link stands."""
        self.until(lambda: self.client.connected)
        return self

    @property
    def reasons(self) -> list[str]:
        """The words of every end so far."""
        return [change.reason for change in self.changes if isinstance(change, LinkDown)]

    def answer(self, topic: str, payload: bytes = b"{}") -> str | None:
        """Publish and return why the broker refused it, None where it did not."""
        mid = self.client.publish(topic, payload)
        assert mid is not None, "no link"
        self.until(lambda: mid in self.settled)
        return self.settled[mid]


@contextlib.contextmanager
def calling(port: int, files: TlsOptions | None, **more: object) -> Iterator[Caller]:
    """A client that leaves at the end."""
    one = Caller(port, files, **more)  # type: ignore[arg-type]
    try:
        yield one
    finally:
        one.client.close()


def first_word(port: int, files: TlsOptions | None, *, host: str = HERE) -> str:
    """What a client hears first: ``up``, or the word of why not."""
    with calling(port, files, host=host) as one:
        one.until(lambda: bool(one.changes))
        change = one.changes[0]
        return "up" if isinstance(change, LinkUp) else change.reason
