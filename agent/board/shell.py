"""The web server as a thread of the daemon: opened, tried again when it cannot be, told as an alert, closed.

Knows files and settings; what is asked is the front's business. Its trouble is never a pump's.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from agent.board import certificate as certificates
from agent.board.certificate import Certificate, CertificateRefused
from agent.board.front import Front, Station
from agent.board.gate import Place
from agent.board.server import Patience, Server
from agent.clock import Clock
from agent.inbox import AlertFound, Inbox, Item
from agent.live import LiveBoard
from agent.logs import get_logger
from agent.settings import Settings
from agent.settings.model import BoardSettings
from agent.store import durable
from agent.supervisor import Heart

_log = get_logger("board")

AGAIN_S = 30.0
"""How long to wait before it is opened again: a certificate was renewed, an address came back."""

SUBJECT = "board"
DOWN, ENDS = "BOARD_DOWN", "BOARD_CERTIFICATE_ENDS"
WARN_DAYS = 14
LOOK_EVERY_MS = 3_600_000
SECRET_BYTES = 32
HTTP_PORT, HTTPS_PORT = 80, 443


class SecretUnusable(Exception):
    """The file that device keys are made of is there and is not what we wrote. ``hint``: what to do."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Board:
    """``shell`` runs it. ``port``: where it listens, once it does."""

    def __init__(
        self,
        *,
        settings: Settings,
        wanted: BoardSettings,
        live: LiveBoard,
        inbox: Inbox[Item],
        clock: Clock,
        patience: Patience | None = None,
        again_s: float = AGAIN_S,
    ) -> None:
        self._settings = settings
        self._wanted = wanted
        self._live = live
        self._inbox = inbox
        self._clock = clock
        self._patience = patience or Patience()
        self._again_s = again_s
        self._look_at_ms = 0
        self.port: int | None = None

    def shell(self, heart: Heart) -> None:
        """Serve until the end is asked for."""
        while heart.beat():
            try:
                server, front, certificate = self._opened()
            except (OSError, CertificateRefused, SecretUnusable) as failure:
                _log.error("handhelds cannot be served", failure=str(failure), hint=getattr(failure, "hint", None))
                self._alert(DOWN, standing=True, detail=str(failure))
                heart.rest(self._again_s)
                continue
            self._alert(DOWN, standing=False, detail="")
            try:
                while heart.beat():
                    self._look_at(certificate)
                    server.serve_once(front)
            finally:
                self.port = None
                server.close()

    def _opened(self) -> tuple[Server, Front, Certificate | None]:
        """Listen. Raises OSError, CertificateRefused, SecretUnusable."""
        wanted = self._wanted
        certificate = None
        if wanted.certificate_file is not None and wanted.key_file is not None:
            certificate = certificates.load(wanted.certificate_file, wanted.key_file)
        secret = device_secret(self._settings.store.path)
        station = Station(self._settings, self._live, self._inbox, self._clock, secret)
        server = Server(
            wanted.address, None if certificate is None else certificate.tls, wanted.networks, self._patience
        )
        port = server.open()
        self.port = port
        self._look_at_ms = 0
        _log.info("handhelds are served", host=wanted.address[0], port=port, tls=certificate is not None)
        return server, Front(station, place(certificate, port), self._patience.answer_s), certificate

    def _look_at(self, certificate: Certificate | None) -> None:
        """Warn before the certificate ends; looked at once an hour."""
        now_ms = self._clock.mono_ms()
        if certificate is None or now_ms < self._look_at_ms:
            return
        self._look_at_ms = now_ms + LOOK_EVERY_MS
        left = certificates.days_left(certificate, self._clock.wall_ms())
        detail = "has ended" if left < 0 else f"ends in {left} days"
        self._alert(ENDS, standing=left < WARN_DAYS, detail=f"the certificate of [board] {detail}")

    def _alert(self, alert: str, *, standing: bool, detail: str) -> None:
        self._inbox.put(AlertFound(SUBJECT, alert, standing, detail[:300]))


def place(certificate: Certificate | None, port: int) -> Place:
    """Return as what a station is reached at ``port``: by the names of its certificate, or as this machine."""
    if certificate is None:
        names, usual = frozenset({"127.0.0.1", "localhost", "[::1]"}), HTTP_PORT
    else:
        names, usual = certificate.names, HTTPS_PORT
    hosts = {f"{name}:{port}" for name in names} | (set(names) if port == usual else set())
    return Place(frozenset(hosts), certificate is not None)


def device_secret(database: Path) -> bytes:
    """Return what the keys of native applications are made of: a file beside the database, written once.

    It is in no backup: on another machine those applications pair again. Raises OSError, SecretUnusable.
    """
    path = database.with_name("handhelds.key")
    if not path.exists():
        durable.put(path, secrets.token_hex(SECRET_BYTES).encode("ascii"), like=database)
    try:
        secret = bytes.fromhex(path.read_text(encoding="ascii"))
    except ValueError:  # includes the error of decoding
        secret = b""
    if len(secret) != SECRET_BYTES:
        hint = "remove it, and pair the native applications again"
        raise SecretUnusable(f"{path} is not what the agent wrote", hint=hint)
    return secret
