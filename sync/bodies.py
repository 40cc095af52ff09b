"""The bodies of ``up/req`` and ``down/res``, kind by kind: what a station may ask, what head office says (W-40, W-50).

Pure shapes for both ends and for the published contract. Knows who may ask what; knows no answer to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sync.group import MAX_DOCUMENT_BYTES, BucketPart, ManifestTold, MembersAnswer
from sync.leasing import BUDGET, POINTS
from sync.shapes import (
    COUNT,
    HASH_HEX,
    INCARNATION,
    INSTALL_ID,
    MEMBER_ID,
    NAME,
    POSITIVE,
    ULID,
    Members,
    OrNull,
    Shape,
    Text,
    Truth,
    Word,
)

_WHO: Mapping[str, Shape] = {"incarnation": INCARNATION, "install_id": INSTALL_ID}
MAX_JWS_CHARS = 8_192

RESERVE = Members({**_WHO, "member": MEMBER_ID, "points": POSITIVE, "sale": ULID})
LEASE = Members({**_WHO, "kind": Word((POINTS, BUDGET)), "subject": NAME, "amount": POSITIVE})
COUPON = Members({**_WHO, "code": NAME, "sale": ULID})
CONFIRM = Members({"reservation": NAME})
RELEASE = Members({"reservation": OrNull(NAME)}, {"coupon": NAME, "sale": ULID})
"""Where ``reservation`` is null, a coupon is released: ``coupon`` and ``sale`` are there then."""

LENT = Members({"reservation": NAME, "points": POSITIVE, "lease": Text(1, MAX_JWS_CHARS)})
"""``points``: what was lent, of a budget in minor units; ``lease``: a JWS over claims.lease."""

SAID = Members({"reservation": NAME, "amount": POSITIVE, "spent": COUNT, "state": NAME})

_REQUESTS: Mapping[str, Shape] = {
    "members": Members({"have_op": COUNT}),
    "members.manifest": Members({"have_op": COUNT, "manifest": Truth()}),
    "members.bucket": Members({"bucket": COUNT}, {"part": COUNT}),
    "document": Members({"hash": HASH_HEX}, {"kind": Text(1, 128)}),
    "reserve": RESERVE,
    "confirm": CONFIRM,
    "release": RELEASE,
    "lease": LEASE,
    "coupon": COUPON,
}
_ANSWERS: Mapping[str, Shape] = {
    "members": MembersAnswer.SHAPE,
    "members.manifest": ManifestTold.SHAPE,
    "members.bucket": BucketPart.SHAPE,
    "document": Members({"hash": HASH_HEX, "body_base64": Text(0, 2 * MAX_DOCUMENT_BYTES)}),
    "reserve": LENT,
    "confirm": SAID,
    "release": Members({}, {"coupon": NAME, **SAID.required}),
    "lease": LENT,
    "coupon": Members({"code": NAME}),
}
KINDS = tuple(dict.fromkeys(name.partition(".")[0] for name in _REQUESTS))
"""Every kind there is, as ``Req.kind`` has it."""


def schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the JSON Schema of each body by its name in the contract; answers are those of status ok."""
    for name, request in _REQUESTS.items():
        yield f"body.{name}.request", request.schema()
        yield f"body.{name}.answer", _ANSWERS[name].schema()
