"""A connection to the PC/SC service as the port of a line: it is there or lost, and never opened again by itself.

Knows which return codes mean the service and which the card. Knows no loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from drivers.card import CardError
from drivers.errors import PortLost
from drivers.pcsc import winscard
from drivers.pcsc.loop import PLUGGED, STATE_UNKNOWN, Exchange
from drivers.pcsc.winscard import WinscardError

T = TypeVar("T")

SERVICE_CODES = {winscard.F_COMM_ERROR, winscard.E_NO_SERVICE, winscard.E_SERVICE_STOPPED}
"""pcsc-lite gives the first of these to whoever was talking when the service died, the others to whoever asks then."""

READER_CODES = {winscard.E_UNKNOWN_READER, winscard.E_READER_UNAVAILABLE}

REASONS: Mapping[int, str] = {
    winscard.E_SHARING_VIOLATION: "in_use",
    winscard.E_NO_SMARTCARD: "card_gone",
    winscard.W_REMOVED_CARD: "card_gone",
    winscard.W_RESET_CARD: "card_reset",
    winscard.W_UNPOWERED_CARD: "card_mute",
    winscard.W_UNRESPONSIVE_CARD: "card_mute",
}
"""Why a tap failed, for counters; every other code is ``reader``."""

WORDS: Mapping[int, tuple[str, str]] = {
    winscard.W_SECURITY_VIOLATION: (
        "does not let this user in",
        "the polkit rule 70-forecourt-pcsc.rules is missing: run install.sh again",
    ),
}
NO_BYTES = "reader kind pcsc is for ports that begin with pcsc:, every other kind is for other ports"


class PcscPort:
    """A context of the service. As a ``Port`` it carries no bytes: what it can do is ``drivers.pcsc.loop.Cards``.

    Raises ``PortLost`` where the service does not run, ``WiringError`` where its library is not installed.
    """

    monotonic = staticmethod(time.monotonic)

    def __init__(self, name: str) -> None:
        self._name = name
        self._cancelled = False
        self._context: int | None = None
        try:
            self._context = winscard.establish()
        except WinscardError as error:
            raise self._lost(error) from error

    def readers(self) -> Sequence[str]:
        """As ``Cards.readers``."""
        try:
            return winscard.readers(self._open())
        except WinscardError as error:
            raise self._lost(error) from error

    def changes(self, known: Mapping[str, int], wait_s: float) -> Mapping[str, int]:
        """As ``Cards.changes``."""
        try:
            return winscard.changes(self._open(), known, max(0, int(1000 * wait_s)))
        except WinscardError as error:
            if error.code in READER_CODES:
                return {name: STATE_UNKNOWN for name in known if name != PLUGGED}
            raise self._lost(error) from error

    @contextmanager
    def card(self, reader: str) -> Iterator[Exchange]:
        """As ``Cards.card``."""
        handle, protocol = self._carded(lambda: winscard.connect(self._open(), reader))
        try:
            yield lambda apdu: self._carded(lambda: winscard.transmit(handle, protocol, apdu))
        finally:
            try:
                winscard.disconnect(handle)
            except WinscardError:
                pass  # a card that was taken away is disconnected already, and the next wait finds a lost service

    def cancel(self) -> None:
        """As ``Cancellable.cancel``."""
        self._cancelled = True

    def pause(self, seconds: float) -> None:
        """As ``Port.pause``."""
        time.sleep(max(0.0, seconds))

    def close(self) -> None:
        """As ``Port.close``; may be repeated."""
        context, self._context = self._context, None
        if context is not None:
            try:
                winscard.release(context)
            except WinscardError:
                pass  # the service has gone before us and has forgotten the context with everything else

    def write(self, data: bytes) -> None:
        """Raise ``PortLost``: no bytes go over this port."""
        del data
        raise self._no_bytes()

    def read(self, size: int, timeout_s: float) -> bytes:
        """Raise ``PortLost``: no bytes come over this port."""
        del size, timeout_s
        raise self._no_bytes()

    def discard(self) -> int:
        """Raise ``PortLost``: no bytes come over this port."""
        raise self._no_bytes()

    def _open(self) -> int:
        if self._cancelled or self._context is None:
            raise PortLost(f"{self._name}: the line is being ended", hint="")
        return self._context

    def _carded(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except WinscardError as error:
            if error.code in SERVICE_CODES:
                raise self._lost(error) from error
            raise CardError(REASONS.get(error.code, "reader")) from error

    def _lost(self, error: WinscardError) -> PortLost:
        if error.code in SERVICE_CODES:
            hint = "install pcscd, then: systemctl start pcscd.socket; journalctl -u pcscd tells why it ended"
            return PortLost(f"{self._name}: the PC/SC service pcscd does not run", hint=hint)
        what, hint = WORDS.get(error.code, (f"fails with {error}", "systemctl restart pcscd; journalctl -u pcscd"))
        return PortLost(f"{self._name}: the PC/SC service {what}", hint=hint)

    def _no_bytes(self) -> PortLost:
        return PortLost(f"{self._name}: a PC/SC reader is no serial line", hint=NO_BYTES)
