"""Who asks, and from where: Host and Origin exactly, the cookie of a paired page, the signature of an application.

Knows no operation. Every comparison of a secret takes the same time whatever it is compared with.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie

from agent.board.wire import Request
from agent.domain.handheld import SIGNED_WITHIN_S, Signed, call_mac, device_key, scan_mac
from agent.live import Handheld

SCANS = "/v1/scans"
"""Signed as the sheet for scanners has it; every other request is signed with its method and target."""

MAX_TIME_DIGITS = 12
MAX_COUNT_DIGITS = 15


class NotAllowed(Exception):
    """Whoever asks may not. ``status`` and ``word`` as they are told, ``hint``: what to do."""

    def __init__(self, status: int, word: str, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.status = status
        self.word = word
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Place:
    """Where the station is reached: names with ports as browsers write them. ``is_secure``: with TLS."""

    hosts: frozenset[str]
    is_secure: bool

    @property
    def cookie(self) -> str:
        """The name of the cookie; the prefix makes browsers hold it to this host, and to TLS."""
        return "__Host-forecourt" if self.is_secure else "forecourt"

    def origin(self, host: str) -> str:
        """Return what a page of ours names as its origin."""
        return f"{'https' if self.is_secure else 'http'}://{host}"

    def set_cookie(self, token: str) -> str:
        """Return the header that gives a page its cookie for a year."""
        secure = "; Secure" if self.is_secure else ""
        return f"{self.cookie}={token}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Strict{secure}"


@dataclass(frozen=True, slots=True)
class Caller:
    """A recognised device. ``count``: of a signed request."""

    device: Handheld
    count: int | None


def check_host(place: Place, request: Request) -> str:
    """Return the Host that was asked. Raises NotAllowed where it is not this station's."""
    host = (request.header("host") or "").lower()
    if host not in place.hosts:
        hint = f"this station is {', '.join(sorted(place.hosts))}"
        raise NotAllowed(421, "WRONG_HOST", "this is not the station that was meant", hint=hint)
    return host


def check_origin(place: Place, request: Request, host: str, *, needed: bool) -> None:
    """Raise NotAllowed where another page has sent the request. ``needed``: a browser always says whose it is."""
    origin = request.header("origin")
    if origin is None and not needed:
        return
    if origin != place.origin(host):
        raise NotAllowed(403, "WRONG_ORIGIN", "another page has sent this", hint="use the station's own page")


def caller(
    place: Place, request: Request, devices: Mapping[str, Handheld], secret: bytes, wall_ms: int
) -> Caller | None:
    """Return who asks, ``None`` where a device is not paired. Raises NotAllowed for a bad signature or time."""
    if any(name.startswith("forecourt-") for name, _ in request.headers):
        return _signed(request, devices, secret, wall_ms)
    token = _cookie(request, place.cookie)
    if token is None:
        return None
    proof = sha256(token.encode("utf-8", "replace")).digest()
    found = [d for d in devices.values() if d.kind == "page" and hmac.compare_digest(d.proof, proof)]
    return Caller(found[0], None) if found else None


def _cookie(request: Request, name: str) -> str | None:
    text = "; ".join(value for known, value in request.headers if known == "cookie")
    try:
        morsel = SimpleCookie(text).get(name)
    except CookieError:
        return None
    return None if morsel is None else morsel.value


def _signed(request: Request, devices: Mapping[str, Handheld], secret: bytes, wall_ms: int) -> Caller:
    name = request.header("forecourt-device") or ""
    time_s = _number(request.header("forecourt-time"), MAX_TIME_DIGITS)
    count = _number(request.header("forecourt-count"), MAX_COUNT_DIGITS)
    given = request.header("forecourt-mac") or ""
    device = devices.get(name)
    if device is None or device.kind != "native" or time_s is None or count is None:
        raise _bad_signature()
    key = device_key(secret, device.id, device.proof)
    signed = Signed(name, time_s, count, request.body)
    if (request.method, request.target) == ("POST", SCANS):
        wanted = scan_mac(key, signed)
    else:
        wanted = call_mac(key, request.method, request.target, signed)
    if not hmac.compare_digest(wanted.hex(), given.lower() if given.isascii() else ""):
        raise _bad_signature()
    now_s = wall_ms // 1000
    if abs(now_s - time_s) > SIGNED_WITHIN_S:
        hint = f"the station's clock says {now_s}: sign with its time"
        raise NotAllowed(401, "TIME_TOO_FAR", f"the time is more than {SIGNED_WITHIN_S} s away", hint=hint)
    return Caller(device, count)


def _bad_signature() -> NotAllowed:
    hint = "sign with the key of the last pairing, or pair again: forecourt device pair"
    return NotAllowed(401, "BAD_SIGNATURE", "the signature does not hold", hint=hint)


def _number(text: str | None, digits: int) -> int | None:
    """Return a whole number in its one form; the MAC is made of exactly these characters."""
    if text is None or re.fullmatch(rf"0|[1-9][0-9]{{0,{digits - 1}}}", text) is None:
        return None
    return int(text)
