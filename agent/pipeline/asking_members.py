"""What people may ask about members at the pump: enrol one, look one up, link a sale to one by phone.

Reads what was asked; ``enrolling`` and ``scanning`` do it. A number is never told back, only its mask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.inbox import Asked
from agent.pipeline import correcting, enrolling, relinking
from agent.pipeline.step import RequestRefused, Step

MAX_NUMBER = 64
"""Longest phone number or plate as it is keyed in, with generous separators."""

TERMINAL = "cli"


def _number(asked: Asked, key: str) -> str | None:
    """Return a phone number or plate as keyed in, ``None`` where it was left out; no answer repeats it."""
    value = asked.args.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > MAX_NUMBER:
        raise RequestRefused(f"{key} is too long", hint="key it in again", exit_code=2)
    return value


def _needed(asked: Asked, key: str) -> str:
    value = _number(asked, key)
    if value is None:
        raise RequestRefused(f"{key} is missing", hint=f"give --{key} -, then key it in", exit_code=2)
    return value


def _word(asked: Asked, key: str) -> str | None:
    value = asked.args.get(key)
    if value in (None, ""):
        return None
    if not isinstance(value, str) or len(value) > MAX_NUMBER or not value.isprintable():
        raise RequestRefused(f"{key} is no short plain text", hint="shorten it", exit_code=2)
    return value.strip()


def sale_named(step: Step, prefix: str) -> str:
    """Return the id of the only sale that begins with ``prefix``. Raises RequestRefused."""
    found = step.tx.sales.ids_like(prefix)
    if len(found) != 1:
        problem = "no sale" if not found else "more than one sale"
        raise RequestRefused(f"{problem} has an id like {prefix!r}", hint="forecourt sales lists the ids")
    return found[0]


def _enrol(step: Step, asked: Asked, key: bytes) -> dict[str, Any]:
    named = _word(asked, "sale")
    wanted = enrolling.Enrolment(
        phone=_needed(asked, "phone"),
        plate=_number(asked, "plate"),
        sale=None if named is None else sale_named(step, named),
        request=_word(asked, "request"),
    )
    return enrolling.enrol(step, wanted, asked.person, terminal=TERMINAL, index_key=key)


def _find(step: Step, asked: Asked, key: bytes) -> dict[str, Any]:
    """Find a member by phone or plate, for a person who looks: counted and audited."""
    phone, plate = _number(asked, "phone"), _number(asked, "plate")
    if (phone is None) == (plate is None):
        raise RequestRefused("name a phone number or a plate", hint="give --phone - or --plate -", exit_code=2)
    if phone is not None:
        who = enrolling.by_phone(step, phone, asked.person, scan_id=step.new_id(), terminal=TERMINAL, index_key=key)
        member = None if who is None else who.member
    else:
        member = enrolling.by_plate(step, plate or "", asked.person, terminal=TERMINAL, index_key=key)
    row = None if member is None else step.tx.members.by_id(member)
    if row is None:
        raise _nobody()
    return {"member": row["id"], "mask": row["mask"], "tier": row["tier"] or None}


def _nobody() -> RequestRefused:
    hint = "check it, or enrol the member: forecourt members enrol --phone -"
    return RequestRefused("no member here has this number", hint=hint, keeps=True)


def link_by_phone(step: Step, asked: Asked, sale: str, reason: str, key: bytes) -> dict[str, Any]:
    """Link a sale to the member whose phone number was keyed in; what it weighs is level ``phone``."""
    who = enrolling.by_phone(
        step, _needed(asked, "phone"), asked.person, scan_id=step.new_id(), terminal=TERMINAL, index_key=key
    )
    if who is None:
        raise _nobody()
    by = correcting.By(asked.person.name, asked.person.role, reason)
    try:
        return relinking.link_to(step, sale, who, by)
    except RequestRefused as refused:
        refused.keeps = True
        raise


OPERATIONS: dict[str, tuple[Callable[[Step, Asked, bytes], dict[str, Any]], str]] = {
    "members.enrol": (_enrol, "attendant"),
    "members.find": (_find, "attendant"),
}
