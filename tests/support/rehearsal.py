"""Writes cases and scripts as the commands read them, and hands back what was answered, for tests of the rehearsal room."""

from __future__ import annotations

import json
from typing import Any

from agent.rehearsal.documents import TextRefused, read
from agent.rehearsal.play import play
from agent.rehearsal.trying import try_all
from tests.support.loyalty import MEMBER, Groups, Table, document

OTHER = "00000000000000bb"
START = "2026-05-01T09:00:00"
GRADES = {"92": {"product_group": "petrol", "unit_price_milli": 7_850}}
EARN: Table = {"id": "earn", "kind": "EARN", "points": 1, "per_minor": 100}
PAY: Table = {"id": "pay", "kind": "POINTS_AS_MONEY"}
COUPON: Table = {"id": "ten", "kind": "COUPON", "gives": "AMOUNT_OFF", "off_minor": 1_000, "checking": "ONLINE_ONLY"}
SPRING: Table = {"id": "spring", "kind": "AMOUNT_OFF", "off_minor": 700, "budget": {"campaign": "spring"}}
LEND: list[Table] = [
    {"kind": "budget", "campaign": "spring", "amount_minor": 2_000},
    {"kind": "lease", "lease": "L1", "campaign": "spring", "amount_minor": 1_000},
]
POINTS: Table = {"kind": "grant", "key": "welcome", "member": MEMBER, "points": 1_000}
ISSUE: Table = {"kind": "grant", "coupon": "C-1", "offer": "ten"}
VOID_1: Table = {"kind": "void", "sale": "S1"}


def text(value: object) -> Any:
    """A document as the commands get it."""
    return read(json.dumps(value), "test.json")


def tried(
    case: Table, *offers: Table, groups: Groups = (), program: Table | None = None, now: str | None = None
) -> Table:
    """What one case is answered; a moment and grades are there unless given."""
    rules = text(document(*offers, groups=groups, program=program))
    (one,) = try_all(rules, text({"now": START, "grades": GRADES, **case}), now=now, language="en")
    return one.answer


def faults(case: Table, *offers: Table) -> list[str]:
    """Places and problems of a case that cannot be used, without the hints."""
    try:
        try_all(text(document(*offers)), text({"now": START, "grades": GRADES, **case}), now=None, language="en")
    except TextRefused as refused:
        return [f"{fault.key} {fault.problem}" for fault in refused.faults]
    return []


def script_faults(events: object, *offers: Table, **head: object) -> list[str]:
    """Places and problems of a script that cannot be used, without the hints."""
    try:
        script = {"now": START, "grades": GRADES, "event": events, **head}
        play(text(document(*offers)), text(script), language="en")
    except TextRefused as refused:
        return [f"{fault.key} {fault.problem}" for fault in refused.faults]
    return []


def played(events: list[Table], *offers: Table, program: Table | None = None, **head: object) -> list[Table]:
    """The rows of a script; the books agree after every event, or the test fails here."""
    script = {"now": START, "grades": GRADES, "event": events, **head}
    _, done = play(text(document(*offers, program=program)), text(script), language="en")
    for one in done:
        assert one.told["check"] == {"postings_sum": 0, "agrees": True, "problems": []}
    return [one.told for one in done]


def joins(member: str = MEMBER, **facts: object) -> Table:
    """The event in which a member joins."""
    return {"kind": "member", "member": member, **facts}


def sells(event: str, amount_minor: int = 10_000, member: str | None = MEMBER, **more: Any) -> Table:
    """The event of a sale of petrol, which is named after it unless ``sale`` is given."""
    who = {} if member is None else {"member": member}
    return {"kind": "sale", "id": event, "grade": "92", "amount_minor": amount_minor, **who, **more}


def member_of(row: Table, member: str = MEMBER) -> Table:
    """A member in the state of a row."""
    (found,) = [one for one in row["state"]["members"] if one["member"] == member]
    return dict(found)


def lots_of(row: Table, member: str = MEMBER) -> dict[str, int]:
    """What each lot of a member holds."""
    return {lot["lot"]: lot["points"] for lot in member_of(row, member)["lots"]}


def same_books(one: Table, other: Table) -> bool:
    """Whether two rows show the same state, but for the list of sales."""
    return {**one["state"], "sales": []} == {**other["state"], "sales": []}
