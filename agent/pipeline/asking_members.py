"""What people may ask about members at the pump: enrol one, look one up, link a sale to one by phone.

Reads what was asked; ``enrolling`` and ``relinking`` do it. A number is never told back, only its mask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.inbox import Asked
from agent.pipeline import correcting, enrolling, relinking
from agent.pipeline.arguments import sale_meant as _sale
from agent.pipeline.arguments import text as _text
from agent.pipeline.step import RequestRefused, Step

MAX_NUMBER = 64
"""Longest phone number or plate as it is keyed in, with generous separators."""


def _number(asked: Asked, key: str) -> str | None:
    """Return a phone number or plate as keyed in, ``None`` where it was left out; no answer repeats it."""
    value = asked.args.get(key)
    if value in (None, ""):
        return None
    if not isinstance(value, str) or len(value) > MAX_NUMBER:
        raise RequestRefused(f"{key} is too long", hint="key it in again", exit_code=2)
    return value


def _phone(asked: Asked) -> str:
    value = _number(asked, "phone")
    if value is None:
        raise RequestRefused("phone is missing", hint="give --phone -, then key it in", exit_code=2)
    return value


def _enrol(step: Step, asked: Asked, key: bytes) -> dict[str, Any]:
    wanted = enrolling.Enrolment(
        phone=_phone(asked),
        plate=_number(asked, "plate"),
        sale=_sale(step, asked) if asked.args.get("sale") else None,
        request=_text(asked, "request", needed=False) or None,
    )
    return enrolling.enrol(step, wanted, asked.person, terminal=relinking.CLI, index_key=key)


def _find(step: Step, asked: Asked, key: bytes) -> dict[str, Any]:
    """Find a member by phone or plate, for a person who looks."""
    phone, plate = _number(asked, "phone"), _number(asked, "plate")
    if (phone is None) == (plate is None):
        raise RequestRefused("name a phone number or a plate", hint="give --phone - or --plate -", exit_code=2)
    if phone is not None:
        who = enrolling.by_phone(step, phone, asked.person, terminal=relinking.CLI, index_key=key)
        member = None if who is None else who.member
    else:
        member = enrolling.by_plate(step, plate or "", asked.person, terminal=relinking.CLI, index_key=key)
    row = None if member is None else step.tx.members.by_id(member)
    if row is None:
        raise _nobody()
    return {"member": row["id"], "mask": row["mask"], "tier": row["tier"] or None}


def link_by_phone(step: Step, asked: Asked, sale: str, by: correcting.By, key: bytes) -> dict[str, Any]:
    """Link a sale to the member whose phone number was keyed in, as weak as that is; the answer tells the mask."""
    who = enrolling.by_phone(step, _phone(asked), asked.person, terminal=relinking.CLI, index_key=key)
    if who is None:
        raise _nobody()
    try:
        told = relinking.link_to(step, sale, who, by)
    except RequestRefused as refused:
        refused.keeps = True  # the number was looked up all the same
        raise
    return {**told, "member": enrolling.told(step, who.member)}


def _nobody() -> RequestRefused:
    hint = "check it, or enrol the member: forecourt members enrol --phone -"
    return RequestRefused("no member here has this number", hint=hint, keeps=True)


MEMBERS: dict[str, tuple[Callable[[Step, Asked, bytes], dict[str, Any]], str]] = {
    "members.enrol": (_enrol, "attendant"),
    "members.find": (_find, "attendant"),
}
