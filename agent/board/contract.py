"""What may be asked and what is answered, as closed models: they read requests, the OpenAPI document is made of them.

Integers with units in the key names. Of a member a mask and a tier, never more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ULID = r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$"
Ulid = Annotated[str, Field(pattern=ULID)]
PointNumber = Annotated[int, Field(ge=1, le=99)]


class Body(BaseModel):
    """Base of every body: unknown fields are refused, nothing is converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ScanRequest(Body):
    """A scanned text. ``scan_id``: made by the device for each scan; asked again with it, it gets the first answer."""

    scan_id: Ulid
    text: Annotated[str, Field(min_length=1, max_length=512)]
    fuelling_point: PointNumber | None = None
    sale: Ulid | None = None


class ChoiceRequest(Body):
    """A tapped tile: a point, a sale, the fuelling running at the point (``live``), or a new point for ``pending``."""

    fuelling_point: PointNumber | None = None
    sale: Ulid | None = None
    live: bool = False
    pending: Ulid | None = None


class ClaimRequest(Body):
    """A payable sale that this device takes to work on."""

    sale: Ulid


class ChangeRequest(Body):
    """A wrong link, by whoever made it: to the member whose code is scanned now, or to nobody (no ``text``)."""

    scan_id: Ulid
    sale: Ulid
    reason: Literal["wrong_member", "wrong_sale", "customer_request", "scanned_by_mistake"]
    text: Annotated[str, Field(min_length=1, max_length=512)] | None = None


class EnrolmentRequest(Body):
    """A phone number as the customer says it, and a plate: a member from now on, or found as one; ``sale`` is theirs.

    ``request``: made by the device for each wish; asked again with it, it is the same member.
    """

    request: Ulid
    phone: Annotated[str, Field(min_length=1, max_length=64)]
    plate: Annotated[str, Field(min_length=1, max_length=16)] | None = None
    sale: Ulid | None = None


class PairingRequest(Body):
    """The code that ``forecourt device pair`` shows. A page gets a cookie, a native application a key to sign with."""

    code: Annotated[str, Field(pattern=r"^[0-9]{6}$")]
    kind: Literal["page", "native"]


class SessionRequest(Body):
    """Who works with this device from now on: an id with its PIN, or the number of a badge where badges sign in."""

    staff: Annotated[str, Field(min_length=1, max_length=32)] | None = None
    pin: Annotated[str, Field(min_length=1, max_length=32)] | None = None
    badge: Annotated[str, Field(pattern=r"^[0-9]{4,24}$")] | None = None


class Member(Body):
    """What is read aloud to confirm."""

    mask: str
    tier: str


class Choice(Body):
    """One tile that may be meant: a running fuelling, a sale (``age_s`` since it ended) or a free point."""

    kind: Literal["live", "sale", "point"]
    fuelling_point: int
    sale: str | None
    age_s: int | None
    grade: str | None
    volume_ml: int | None
    amount_minor: int | None
    claimed_by: str | None


class Answer(Body):
    """What a scan or a tapped tile came to; docs/attendant.md has the outcomes. ``repeat``: it was answered before."""

    outcome: str
    tone: Literal["good", "ask", "bad"]
    repeat: bool
    message: str
    fuelling_point: int | None
    sale: str | None
    member: Member | None
    choices: list[Choice]


class SaleTile(Body):
    """A sale that is not paid yet. ``linked``: it has a member; whose is not told. ``claimed_by``: who works on it."""

    sale: str
    nozzle: int
    grade: str
    volume_ml: int
    amount_minor: int
    since_hang_up_s: int
    linked: bool
    claimed_by: str | None


class PointTile(Body):
    """A fuelling point now. ``volume_ml`` and ``amount_minor``: of the fuelling that runs, else null."""

    fuelling_point: int
    state: str
    grade: str | None
    volume_ml: int | None
    amount_minor: int | None
    sales: list[SaleTile]


class Attendant(Body):
    """Who is signed in at a device."""

    id: str
    name: str


class Points(Body):
    """What the page shows. ``exponent``: digits of the currency's minor unit."""

    device: str
    language: str
    currency: str
    exponent: int
    attendant: Attendant | None
    needs_sign_in: bool
    points: list[PointTile]


class Paired(Body):
    """``key``: of a native application, 32 bytes in hexadecimal, told once; a page has got a cookie instead."""

    device: str
    key: str | None


class Session(Body):
    """Who is signed in now."""

    device: str
    attendant: Attendant | None


class Problem(Body):
    """Why not. ``error``: one word for programs; ``message`` and ``hint``: what happened and what to do."""

    error: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Route:
    """One thing that may be asked. ``path``: a name in braces stands for a ULID. ``problems``: statuses that are no."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    op: str
    summary: str
    answer: type[Body]
    request: type[Body] | None = None
    is_open: bool = False
    problems: tuple[int, ...] = ()

    def match(self, path: str) -> dict[str, Any] | None:
        """Return what the names of the path stand for, ``None`` where ``path`` is another one."""
        if path == self.path:
            return {} if "{" not in self.path else None
        head, brace, name = self.path.partition("{")
        if not brace or not path.startswith(head) or re.fullmatch(ULID[1:-1], path[len(head) :]) is None:
            return None
        return {name.rstrip("}"): path[len(head) :]}


ALWAYS = (400, 401, 403, 413, 429, 503)
"""What any request may be told beside its answer. A body where none is taken is 400 too."""

BODY = (*ALWAYS, 415)
CONFLICT = (*BODY, 409)
STRANGER = (400, 403, 413, 415, 429, 503)
ROUTES = (
    Route("POST", "/v1/scans", "scan", "Scan a member code", Answer, ScanRequest, problems=CONFLICT),
    Route("POST", "/v1/choices", "choose", "Tap a tile", Answer, ChoiceRequest, problems=CONFLICT),
    Route("DELETE", "/v1/choices", "cancel", "Forget the code that waits, or undo", Answer, problems=ALWAYS),
    Route("POST", "/v1/changes", "change", "Correct a link", Answer, ChangeRequest, problems=CONFLICT),
    Route("POST", "/v1/enrolments", "enrol", "Enrol by phone", Answer, EnrolmentRequest, problems=CONFLICT),
    Route("POST", "/v1/claims", "claim", "Take a payable sale", Answer, ClaimRequest, problems=CONFLICT),
    Route("DELETE", "/v1/claims/{sale}", "release", "Let a sale go", Answer, problems=(*ALWAYS, 409)),
    Route("GET", "/v1/points", "points", "Fuelling points and unpaid sales", Points, problems=ALWAYS),
    Route("POST", "/v1/session", "sign_in", "Sign in", Session, SessionRequest, problems=BODY),
    Route("DELETE", "/v1/session", "sign_out", "Sign out", Session, problems=ALWAYS),
    Route("POST", "/v1/pairing", "pair", "Pair this device", Paired, PairingRequest, is_open=True, problems=STRANGER),
)
