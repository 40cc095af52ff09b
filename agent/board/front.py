"""What each request of a handheld comes to: who asks, how often, what; then the pipeline, or a look at the tiles.

Knows HTTP by its nouns only. A text, a PIN, a key and a cookie pass through here and stay nowhere.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Any

from pydantic import ValidationError

from agent import __version__
from agent.board import contract, gate, openapi
from agent.board.gate import Caller, NotAllowed, Place
from agent.board.limits import Buckets, Rate
from agent.board.tiles import Tiles
from agent.board.wire import Request, Response
from agent.clock import Clock
from agent.domain.handheld import device_key
from agent.inbox import Inbox, Item, Posted
from agent.live import LiveBoard
from agent.settings import Settings

PER_DEVICE = Rate(5, 5)
PER_ADDRESS = Rate(40, 80)
"""Bounds what strangers cost; a handheld that may ask has its own limit."""

PAIRINGS = Rate(1, 10)
"""For all strangers together: a code has five tries anyway, this keeps the pipeline out of a flood."""

STATIC = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load: its own files, nothing else."""

SECURITY = (
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
    ("cache-control", "no-store"),
)
_WORDS = {400: "MALFORMED", 413: "TOO_LARGE", 431: "TOO_LARGE"}


@dataclass(frozen=True, slots=True)
class Station:
    """What the front needs of the station."""

    settings: Settings
    live: LiveBoard
    inbox: Inbox[Item]
    clock: Clock
    secret: bytes


class Front:
    """Answers every request within ``answer_s``; ``place``: as what the station is reached. Any thread may ask."""

    def __init__(self, station: Station, place: Place, answer_s: float) -> None:
        self._station = station
        self._answer_s = answer_s
        self._place = place
        self._tiles = Tiles(station.settings, station.live, station.clock)
        self._devices = Buckets(PER_DEVICE)
        self._addresses = Buckets(PER_ADDRESS)
        self._pairings = Buckets(PAIRINGS)
        language = station.settings.station.language
        self._static = {path: (_read(name, language), kind) for path, (name, kind) in STATIC.items()}
        self._own: dict[str, Callable[[Caller], Response]] = {"points": self._points}

    def answer(self, request: Request, address: str) -> Response:
        """Return the answer to one request. Raises Malformed for what no client of ours sends."""
        try:
            return self._answer(request, address)
        except NotAllowed as no:
            return problem(no.status, no.word, str(no), no.hint)

    @staticmethod
    def refusal(status: int, message: str) -> Response:
        """Return the answer to what is no request."""
        return problem(status, _WORDS.get(status, "MALFORMED"), message, "send what /openapi.json says")

    def _answer(self, request: Request, address: str) -> Response:
        if not self._addresses.take(address, self._station.clock.mono_ms()):
            raise _too_many()
        host = gate.check_host(self._place, request)
        fixed = self._fixed(request.target)
        if fixed is not None:
            if request.method != "GET":
                raise NotAllowed(405, "WRONG_METHOD", f"{request.target} is only to be read", hint="use GET")
            return fixed
        route, named = _route(request)
        if route.is_open:
            return self._pair(request, host)
        who = self._recognised(request, host)
        if not self._devices.take(who.device.id, self._station.clock.mono_ms()):
            raise _too_many()
        args = {**named, **_body(request, route.request)}
        own = self._own.get(route.op)
        if own is not None:
            return own(who)
        posted = Posted(route.op, args, who.device.id, who.device.proof, who.count)
        status, body = self._asked(posted)
        return _json(status, body)

    def _fixed(self, target: str) -> Response | None:
        if target == "/openapi.json":
            return respond(200, openapi.document(__version__), "application/json")
        found = self._static.get(target)
        return None if found is None else respond(200, found[0], found[1])

    def _recognised(self, request: Request, host: str) -> Caller:
        station = self._station
        who = gate.caller(self._place, request, station.live.handhelds, station.secret, station.clock.wall_ms())
        if who is None:
            hint = "a supervisor opens a code with: forecourt device pair"
            raise NotAllowed(401, "UNPAIRED", "this device is not paired", hint=hint)
        by_page = who.count is None
        gate.check_origin(self._place, request, host, needed=by_page and request.method != "GET")
        return who

    def _points(self, who: Caller) -> Response:
        station = self._station.settings.station
        try:
            points, session = self._tiles.shown(who.device.id), self._tiles.session(who.device.id)
        except sqlite3.Error as failure:
            hint = "ask again; forecourt verify if it stays so"
            raise NotAllowed(503, "TRY_AGAIN", f"the database cannot be read: {failure}", hint=hint) from failure
        return _json(
            200,
            {
                "device": who.device.id,
                "language": station.language,
                "currency": station.currency,
                "exponent": station.exponent,
                **session,
                "points": points,
            },
        )

    def _pair(self, request: Request, host: str) -> Response:
        """A stranger shows a code; what it proves itself with from then on is made here and told once."""
        given = _body(request, contract.PairingRequest)
        by_page = given["kind"] == "page"
        gate.check_origin(self._place, request, host, needed=by_page)
        if not self._pairings.take("", self._station.clock.mono_ms()):
            raise _too_many()
        token = secrets.token_urlsafe(32)
        proof = sha256(token.encode("ascii")).digest()
        status, body = self._asked(Posted("pair", given, proof=proof))
        if status != 200:
            return _json(status, body)
        device = body["handheld"]
        if device is None:
            hint = "look at the code again; a supervisor opens a new one with: forecourt device pair"
            raise NotAllowed(403, "WRONG_CODE", "this code pairs nothing", hint=hint)
        key = None if by_page else device_key(self._station.secret, device, proof).hex()
        response = _json(200, {"device": device, "key": key})
        if not by_page:
            return response
        cookie = ("set-cookie", self._place.set_cookie(token))
        return Response(response.status, (*response.headers, cookie), response.body)

    def _asked(self, posted: Posted) -> tuple[int, dict[str, Any]]:
        """Let the pipeline do it; returns status and body. Raises NotAllowed where it has no time."""
        clock = self._station.clock
        begun_ms = clock.mono_ms()
        taken = self._station.inbox.put(posted, timeout_s=self._answer_s)
        left_s = self._answer_s - (clock.mono_ms() - begun_ms) / 1000
        told = posted.reply.wait(max(0.0, left_s)) if taken else None
        if told is None:
            hint = "ask again with the same scan_id" if posted.op == "scan" else "ask again"
            raise NotAllowed(503, "TRY_AGAIN", "the station had no time to answer", hint=hint)
        return told["status"], told["body"]


def problem(status: int, word: str, message: str, hint: str) -> Response:
    """Return a no as JSON."""
    return _json(status, {"error": word, "message": message, "hint": hint})


def respond(status: int, body: bytes, kind: str) -> Response:
    """Return an answer with the headers that every answer has."""
    return Response(status, (("content-type", kind), *SECURITY), body)


def _json(status: int, value: Mapping[str, Any]) -> Response:
    return respond(status, json.dumps(value, ensure_ascii=False).encode("utf-8"), "application/json")


def _route(request: Request) -> tuple[contract.Route, dict[str, Any]]:
    found = [(route, named) for route in contract.ROUTES if (named := route.match(request.target)) is not None]
    if not found:
        raise NotAllowed(404, "NOT_FOUND", "there is nothing here", hint="/openapi.json says what there is")
    for route, named in found:
        if route.method == request.method:
            return route, named
    methods = " or ".join(route.method for route, _ in found)
    raise NotAllowed(405, "WRONG_METHOD", f"{request.target} does not take this method", hint=f"use {methods}")


def _body(request: Request, model: type[contract.Body] | None) -> dict[str, Any]:
    """Return the fields of a body; ``model`` None: there is none. Raises NotAllowed; what was sent is not repeated."""
    if model is None:
        if request.body:
            raise NotAllowed(400, "BAD_BODY", "nothing is taken here", hint="send this without a body")
        return {}
    kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise NotAllowed(415, "NOT_JSON", "a body is application/json", hint="set the header content-type")
    try:
        return model.model_validate_json(request.body).model_dump()
    except ValidationError as failure:
        wrong = sorted(
            {".".join(map(str, error["loc"])) or "the whole" for error in failure.errors(include_input=False)}
        )
        message = f"not as it should be: {', '.join(name[:40] for name in wrong[:5])}"
        hint = f"send what /openapi.json says of {model.__name__}"
        raise NotAllowed(400, "BAD_BODY", message, hint=hint) from None


def _too_many() -> NotAllowed:
    return NotAllowed(429, "TOO_MANY", "too many requests", hint="at most 5 a second; wait a moment")


def _read(name: str, language: str) -> bytes:
    """Return a file of the page, told which language the station speaks."""
    found = files("agent.board").joinpath("page", name).read_bytes()
    return found.replace(b'<html lang="zh-CN">', f'<html lang="{language}">'.encode("ascii"))
