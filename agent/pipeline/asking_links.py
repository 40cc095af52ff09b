"""What people may ask about links and claims by name of the sale: rows of ``asking.OPERATIONS``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agent.domain.pins import MAX_DIGITS
from agent.domain.staff import StaffRole
from agent.inbox import Asked
from agent.pipeline import asking_members, people, relinking, scanning
from agent.pipeline.arguments import by, sale_meant, terminal, text
from agent.pipeline.correcting import By
from agent.pipeline.step import RequestRefused, Step

MAX_CODE = 1_024
"""Longest text of a member's code."""

_GOOD = "good"


def _link(step: Step, asked: Asked, key: bytes) -> dict[str, Any]:
    if asked.args.get("phone"):
        return asking_members.link_by_phone(
            step, asked, sale_meant(step, asked), _who(step, asked, by(asked, needed=False)), key
        )
    code = asked.args.get("code")
    given = text(asked, "card") if code is None else code
    if not isinstance(given, str) or not 0 < len(given) <= MAX_CODE:
        raise RequestRefused("code is no text of a member's code", hint="scan it again", exit_code=2)
    return relinking.link(step, sale_meant(step, asked), given, _who(step, asked, by(asked, needed=False)), key)


def _unlink(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    return relinking.unlink(step, sale_meant(step, asked), _who(step, asked, by(asked)))


def _who(step: Step, asked: Asked, given: By) -> By:
    """Return who corrects: of the station's list by their own PIN where one is named, else who asks at the computer.

    Raises RequestRefused as ``people.check_pin``.
    """
    staff_id = text(asked, "staff", needed=False)
    if not staff_id:
        return given
    pin = asked.args.get("pin")
    if not isinstance(pin, str) or not 0 < len(pin) <= MAX_DIGITS:
        raise RequestRefused("no PIN was given", hint="key it in", exit_code=2)
    person = people.check_pin(step, staff_id, pin)
    role = "supervisor" if person.role is StaffRole.SUPERVISOR else "attendant"
    return replace(given, name=person.id, role=role)


def _claim(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    where = terminal(asked) or relinking.CLI
    return _told(scanning.claim(step, sale_meant(step, asked), where, asked.person.name))


def _release(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    force = asked.args.get("force") is True
    person = _who(step, asked, by(asked, needed=False))
    if force and person.role != "supervisor":
        raise RequestRefused(f"{person.name} may not take a sale from a terminal", hint="ask a supervisor")
    where = terminal(asked) or relinking.CLI
    return _told(scanning.release(step, sale_meant(step, asked), where, person.name, force=force))


def _told(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer as the command line tells it. Raises RequestRefused where it is no."""
    if answer["tone"] != _GOOD:
        hint = "forecourt sales release SALE --terminal NAME where it is yours; a supervisor: --force"
        raise RequestRefused(f"{answer['outcome']}: {answer['message']}", hint=hint)
    return {key: answer[key] for key in ("outcome", "message", "sale")} | {"terminal": answer["to"]}


LINKS = {
    "sales.link": (_link, "attendant"),
    "sales.unlink": (_unlink, "attendant"),
    "sales.claim": (_claim, "attendant"),
    "sales.release": (_release, "attendant"),
}
