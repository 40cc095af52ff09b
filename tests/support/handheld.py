"""A handheld for tests: a page with its cookie or an application that signs, over real TLS, asking again as they do.

Writes its signatures a second time, from the sheet; of the agent it imports nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Self

TRIES = 40
TIMEOUT_S = 90.0
"""Longer than a station of the tests takes to answer."""
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SCANS = count(1)


def scan_id() -> str:
    """A new scan id; every one of this process differs."""
    value, text = next(_SCANS), ""
    for _ in range(16):
        value, digit = divmod(value, 32)
        text = _ALPHABET[digit] + text
    return "01JD8ZK3Q4" + text


@dataclass(frozen=True)
class Told:
    """An answer as it came."""

    status: int
    value: Any
    headers: http.client.HTTPMessage
    body: bytes


class Handheld:
    """``now_s``: the clock it signs with. ``key`` None: a page."""

    def __init__(
        self, port: int, ca: Path | None, *, now_s: Callable[[], int], before: Callable[[], None] = lambda: None
    ) -> None:
        """``ca`` None: plain HTTP. ``before``: called before each try, as time passes between two requests."""
        self.port = port
        self.host = f"127.0.0.1:{port}"
        self._tls = None if ca is None else ssl.create_default_context(cafile=str(ca))
        self._now_s = now_s
        self._before = before
        self.name = ""
        self.key: bytes | None = None
        self.cookie = ""
        self.count = 0
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        """Forget the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def move_to(self, port: int | None) -> None:
        """The station listens elsewhere now."""
        assert port is not None
        self.hang_up()
        self.port, self.host = port, f"127.0.0.1:{port}"

    @property
    def origin(self) -> str:
        """What a browser names as the page's origin."""
        return f"{'http' if self._tls is None else 'https'}://{self.host}"

    def pair(self, code: str, kind: str = "page") -> Told:
        """Show a pairing code, and keep what the station gives for it."""
        told = self.insist("POST", "/v1/pairing", {"code": code, "kind": kind})
        if told.status == 200:
            self.name = told.value["device"]
            self.key = None if told.value["key"] is None else bytes.fromhex(told.value["key"])
            self.cookie = (told.headers["set-cookie"] or "").partition(";")[0]
        return told

    def scan(self, text: str, *, named: str | None = None, **more: Any) -> Told:
        """Scan a text, asking until it is answered. ``named``: the scan id."""
        return self.insist("POST", "/v1/scans", {"scan_id": named or scan_id(), "text": text, **more})

    def insist(self, method: str, path: str, value: Any = None) -> Told:
        """Ask, and ask again as long as the station has no time or nobody is reached."""
        for _ in range(TRIES):
            try:
                told = self.ask(method, path, value)
            except (OSError, http.client.HTTPException):
                self.hang_up()
                continue
            if told.status not in {429, 503}:
                return told
        raise AssertionError(f"no answer to {method} {path} in {TRIES} tries")

    def ask(self, method: str, path: str, value: Any = None, **headers: str) -> Told:
        """Ask once. ``headers``: in the place of what would be sent, with _ for -; empty ones are not sent."""
        body = b"" if value is None else value if isinstance(value, bytes) else json.dumps(value).encode()
        sent = self._headers(method, path, body) | {name.replace("_", "-"): text for name, text in headers.items()}
        self._before()
        connection = self._open()
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, text in sent.items():
            if text:
                connection.putheader(name, text)
        connection.endheaders(body)
        response = connection.getresponse()
        got = response.read()
        if response.will_close:
            self.hang_up()
        is_json = (response.headers["content-type"] or "") == "application/json"
        return Told(response.status, json.loads(got) if is_json else None, response.headers, got)

    def _open(self) -> http.client.HTTPConnection:
        if self._connection is None:
            if self._tls is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
            else:
                self._connection = http.client.HTTPSConnection(
                    "127.0.0.1", self.port, timeout=TIMEOUT_S, context=self._tls
                )
        return self._connection

    def _headers(self, method: str, path: str, body: bytes) -> dict[str, str]:
        headers = {"host": self.host, "content-length": str(len(body)) if body or method == "POST" else ""}
        if body:
            headers["content-type"] = "application/json"
        if self.key is not None:
            return headers | self.signature(method, path, body)
        return headers | {"origin": self.origin if method != "GET" else "", "cookie": self.cookie}

    def signature(self, method: str, path: str, body: bytes) -> dict[str, str]:
        """The four headers of an application."""
        assert self.key is not None
        self.count += 1
        time_s = str(self._now_s())
        first = ["fc-scan-v1"] if (method, path) == ("POST", "/v1/scans") else ["fc-call-v1", method, path]
        lines = [*first, self.name, time_s, str(self.count), hashlib.sha256(body).hexdigest()]
        mac = hmac.new(self.key, "\n".join(lines).encode(), hashlib.sha256).hexdigest()
        return {
            "forecourt-device": self.name,
            "forecourt-time": time_s,
            "forecourt-count": str(self.count),
            "forecourt-mac": mac,
        }
