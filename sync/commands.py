"""Commands of head office to one station: the signed claims, the closed list of kinds, what each answers (W-45).

Pure. Knows shapes and validity times; does not know what a command does at a station, topics or a database.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from sync.messages import checked
from sync.records import is_time, parse_time
from sync.shapes import (
    COUNT,
    HASH_HEX,
    INCARNATION,
    INSTALL_ID,
    NAME,
    SHORT,
    STATION,
    STREAM,
    TIME,
    TOTALIZER,
    ULID,
    Anything,
    Exactly,
    Int,
    Items,
    MapOf,
    Members,
    OrNull,
    Shape,
    Text,
    Truth,
    Word,
)
from sync.signing import PinnedKeys, open_signed

MAX_RESULT_BYTES = 32_768
"""What a result's data may weigh as JSON; what would be more is left out and counted."""

MAX_LISTED = 50
"""Entries of one list in a result; ``more`` tells how many were left out."""

ALL, ONE, OF_MEMBER, OF_CAMPAIGN = "all", "lease", "member", "campaign"
"""Which leases ``close_out_leases`` means."""

SURROGATE = Text(16, 16, "[0-9a-f]{16}")
"""A member's id as head office made it."""

KINDS: Mapping[str, Shape] = {
    "reload_rules": Exactly(),
    "request_snapshot": Exactly(),
    "collect_diagnostics": Exactly(),
    "acknowledge_alert": Exactly({"subject": NAME, "alert": NAME}),
    "clear_dead_letters": Exactly({"stream": STREAM, "seqs": Items(Int(1), MAX_LISTED)}),
    "set_price": Exactly({"grade": Text(1, 32), "unit_price_milli": Int(1, 999_999), "effective_at": TIME}),
    "close_out_leases": Exactly({"which": Word((ALL, ONE, OF_MEMBER, OF_CAMPAIGN)), "name": OrNull(NAME)}),
    "lift_fence": Exactly({"install_id": INSTALL_ID}),
    "correct_link": Exactly({"sale": ULID, "member": OrNull(SURROGATE), "reason": Text(1, 200)}),
}
"""Every command there is, and its args: no shell line, no path, no expression. ``member`` null: the sale has none.

A price is ordered for an instant, which may be past when it arrives: what was ordered for later stands.
"""

_ALERT = Members({"subject": NAME, "alert": NAME, "state": NAME, "severity": NAME, "raised_at": TIME})
_LEASES = Items(NAME, MAX_LISTED)
_SNAPSHOT: Mapping[str, Shape] = {
    "software": SHORT,
    "incarnation": INCARNATION,
    "time": TIME,
    "clock": NAME,
    "running_s": COUNT,
    "configuration": OrNull(NAME),
    "rules": Members({"version": COUNT, "hash": HASH_HEX}),
    "keys_version": COUNT,
    "member_op": COUNT,
    "streams": MapOf(Members({"last_seq": COUNT, "acked": COUNT})),
    "meters": Items(
        Members({"fuelling_point": Int(1), "nozzle": Int(1), "grade": OrNull(NAME), "totalizer": TOTALIZER}), 1_024
    ),
    "prices": MapOf(Int(1)),
    "unsettled_sales": COUNT,
    "devices": COUNT,
    "devices_online": COUNT,
    "alerts": Items(_ALERT, MAX_LISTED),
    "alerts_more": COUNT,
    "disk_free_bytes": OrNull(COUNT),
}
ANSWERS: Mapping[str, Shape] = {
    "reload_rules": Members({"version": COUNT, "hash": HASH_HEX, "waiting": Items(COUNT, MAX_LISTED)}),
    "request_snapshot": Members(_SNAPSHOT),
    "collect_diagnostics": Members(
        {
            **_SNAPSHOT,
            "python": SHORT,
            "system": SHORT,
            "database_bytes": OrNull(COUNT),
            "gone": Items(Members({"device": NAME, "reason": SHORT}), MAX_LISTED),
            "points": Items(Members({"fuelling_point": Int(1), "state": NAME, "alerts": Items(NAME)}), 1_024),
            "dead_letters": Items(Members({"stream": STREAM, "seq": Int(1), "reason": NAME}), MAX_LISTED),
            "dead_letters_more": COUNT,
            "incarnations": Items(Members({"incarnation": INCARNATION, "reason": SHORT}), MAX_LISTED),
            "verify_findings": OrNull(COUNT),
        }
    ),
    "acknowledge_alert": Members({"subject": NAME, "alert": NAME, "changed": Truth()}),
    "clear_dead_letters": Members({"cleared": COUNT}),
    "set_price": Members(
        {"grade": NAME, "unit_price_milli": Int(1), "effective_at": TIME, "in_force_milli": OrNull(Int(1))}
    ),
    "close_out_leases": Members({"closed": _LEASES, "waiting": _LEASES, "closed_more": COUNT, "waiting_more": COUNT}),
    "lift_fence": Members({"install_id": INSTALL_ID, "changed": Truth()}),
    "correct_link": Members({"sale": ULID, "outcome": NAME}),
}
"""What a result's data holds where the status is ``done``."""


@dataclass(frozen=True, slots=True)
class CommandClaims:
    """What head office signs. ``by``: who there wants it; ``digest``: tells other content under the same ``cmd_id``.

    A kind or args that this software does not know are read all the same: refused by name, not left unanswered.
    """

    station: str
    cmd_id: str
    kind: str
    args: Mapping[str, Any]
    by: str
    not_before: str
    not_after: str

    SHAPE: ClassVar[Shape] = Members(
        {
            "station": STATION,
            "cmd_id": ULID,
            "kind": NAME,
            "args": MapOf(Anything(), 64),
            "by": Text(1, 64),
            "not_before": TIME,
            "not_after": TIME,
        }
    )

    def to_claims(self) -> dict[str, Any]:
        """The object that is signed."""
        return {
            "station": self.station,
            "cmd_id": self.cmd_id,
            "kind": self.kind,
            "args": dict(self.args),
            "by": self.by,
            "not_before": self.not_before,
            "not_after": self.not_after,
        }

    @classmethod
    def from_claims(cls, claims: object) -> Self:
        """Read claims whose signature is good. Raises MessageError."""
        body = checked(cls.SHAPE, claims, "the claims of a command")
        return cls(**{name: body[name] for name in cls.SHAPE.required})  # type: ignore[attr-defined]

    @property
    def digest(self) -> str:
        """SHA-256 of what is ordered, 64 hex digits; the same for the same claims signed again."""
        text = json.dumps(self.to_claims(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def untimely(self, now_ms: int | None, *, is_floor: bool = False) -> str | None:
        """``expired`` or ``not_yet_valid`` at ``now_ms``; None where the time is right or is not known (None).

        ``is_floor``: it is at least so late, perhaps later.
        """
        if now_ms is None:
            return None
        if now_ms >= parse_time(self.not_after):
            return "expired"
        return "not_yet_valid" if not is_floor and now_ms < parse_time(self.not_before) else None


def open_command(jws: str, pinned: PinnedKeys) -> CommandClaims:
    """The claims of a command that a pinned key has signed, at any time. Raises SignatureRefused, MessageError."""
    return CommandClaims.from_claims(open_signed(jws, pinned, None))


def args_defect(kind: str, args: object) -> str | None:
    """What is wrong with the args of a command of a known kind, or None."""
    wrong = KINDS[kind].defect(args)
    if wrong is not None or not isinstance(args, dict):
        return wrong
    if kind == "set_price" and not is_time(args["effective_at"]):
        return "effective_at is not a date of the calendar"
    if kind == "close_out_leases" and (args["which"] == ALL) != (args["name"] is None):
        return "name is null where which is all, and only there"
    return None
