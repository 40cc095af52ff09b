"""HTTP/1.1 of one connection: bytes in, requests out, answers to bytes. The only file that imports h11.

Knows no socket, no clock and no path of ours. Whatever a client sends ends in a request or in ``Malformed``.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

import h11

MAX_HEAD_BYTES = 8_192
MAX_BODY_BYTES = 2_048


class Malformed(Exception):
    """What the client sent is no request that is taken here. ``status``: what it is told before the connection ends."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One request. ``target`` as it was sent; ``headers`` with lower-case names."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """Return the value of a header, ``None`` where it is missing. Raises Malformed where it is there twice."""
        found = [value for known, value in self.headers if known == name]
        if len(found) > 1:
            raise Malformed(400, f"more than one header {name}")
        return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Response:
    """One answer; its length is put before it when it is sent."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Conversation:
    """One connection. Feed it what arrives, ask it for a request, answer that, and so on until ``is_over``."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._head: h11.Request | None = None
        self._body = b""

    @property
    def has_begun(self) -> bool:
        """Whether a request has begun to arrive."""
        return self._head is not None or bool(self._http.trailing_data[0])

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be said on this connection."""
        return self._http.our_state is not h11.IDLE

    def feed(self, data: bytes) -> None:
        """Take what arrived; nothing means that the client sends no more. Raises Malformed."""
        try:
            self._http.receive_data(data)
        except h11.RemoteProtocolError as failure:
            raise Malformed(400, str(failure)) from failure

    def request(self) -> Request | None:
        """Return the next request once it is complete. Raises Malformed, also where the client left in the middle."""
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as failure:
                raise Malformed(failure.error_status_hint, str(failure)) from failure
            if isinstance(event, h11.Request):
                self._begin(event)
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > MAX_BODY_BYTES:
                    raise Malformed(413, f"a body has at most {MAX_BODY_BYTES} bytes")
            elif isinstance(event, h11.EndOfMessage):
                return self._complete()
            elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                raise Malformed(400, "the client has gone")
            else:
                return None

    def answer(self, response: Response, *, is_last: bool = False) -> bytes:
        """Return the bytes of an answer, and go on to the next request where the client may send one.

        ``is_last``: it may not. Nor may one whose request was refused before its end: the rest is never read.
        """
        headers = [*response.headers, ("content-length", str(len(response.body)))]
        if is_last or self._http.their_state is not h11.DONE:
            headers.append(("connection", "close"))
        reason = HTTPStatus(response.status).phrase
        sent = self._send(h11.Response(status_code=response.status, headers=headers, reason=reason.encode()))
        if self._head is None or self._head.method != b"HEAD":
            sent += self._send(h11.Data(data=response.body))
        sent += self._send(h11.EndOfMessage())
        self._head, self._body = None, b""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        return sent

    @property
    def may_answer(self) -> bool:
        """Whether an answer can still be said, after something malformed too."""
        return self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}

    def _begin(self, head: h11.Request) -> None:
        self._head = head
        for name, value in head.headers:
            if name == b"content-length" and int(value) > MAX_BODY_BYTES:
                raise Malformed(413, f"a body has at most {MAX_BODY_BYTES} bytes")

    def _complete(self) -> Request:
        assert self._head is not None
        headers = tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in self._head.headers)
        return Request(
            self._head.method.decode("ascii"), self._head.target.decode("ascii", "replace"), headers, self._body
        )

    def _send(self, event: h11.Response | h11.Data | h11.EndOfMessage) -> bytes:
        return self._http.send(event) or b""
