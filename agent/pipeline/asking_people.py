"""What people may ask about staff and shifts: signing in, PINs and badges, opening and closing, litres not sold."""

from __future__ import annotations

import re
from typing import Any

from agent.domain import pins
from agent.domain.rules.facts import Purpose
from agent.domain.staff import DESK, StaffRole
from agent.inbox import Asked
from agent.pipeline import people, shifts
from agent.pipeline.arguments import number, sale_meant, text
from agent.pipeline.correcting import By
from agent.pipeline.step import RequestRefused, Step

_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_BADGE = re.compile(r"[0-9]{4,24}")
_IN_FILE = "is in [[staff]] of the configuration"
MOST_KINDS, MOST_MINOR = 20, 10**12


def _add(step: Step, asked: Asked, key: bytes) -> dict[str, Any]:
    staff_id, name = text(asked, "staff"), text(asked, "name")
    role = text(asked, "staff_role", needed=False) or StaffRole.ATTENDANT.value
    if _ID.fullmatch(staff_id) is None:
        raise RequestRefused(f"{staff_id!r} is no id", hint="1 to 32 letters, digits, _ and -", exit_code=2)
    if role not in tuple(StaffRole):
        raise RequestRefused(f"there is no role {role!r}", hint=f"one of {', '.join(StaffRole)}", exit_code=2)
    if people.in_file(step, staff_id):
        raise RequestRefused(f"{staff_id} {_IN_FILE}", hint="take another id, or remove it there")
    if people.staff_of(step, staff_id) is not None:
        raise RequestRefused(f"{staff_id} is taken", hint="forecourt staff lists the ids")
    pin = asked.args.get("pin")
    row = {"id": staff_id, "name": name, "role": role, "active": 1, "added_ms": step.stamp.wall_ms}
    step.tx.people.add({**row, "pin_hash": None if pin is None else _hashed(step, pin), "badge": None})
    _audit(step, asked, "staff_add", staff_id, f"{role}")
    if asked.args.get("badge") is not None:
        _give_badge(step, asked, staff_id, key)
    return {"staff": staff_id, "name": name, "role": role, "active": True}


def _hashed(step: Step, pin: object) -> str:
    problem = pins.pin_problem(pin) if isinstance(pin, str) else "a PIN is text of digits"
    if problem is not None or not isinstance(pin, str):
        raise RequestRefused(str(problem), hint="choose another one", exit_code=2)
    return pins.hash_pin(pin, step.random_bits(8 * pins.SALT_BYTES).to_bytes(pins.SALT_BYTES, "big"))


def _audit(step: Step, asked: Asked, action: str, staff_id: str, reason: str = "") -> None:
    step.audit(asked.person.name, asked.person.role, action, f"staff:{staff_id}", reason=reason)


def _kept_here(step: Step, asked: Asked, instead: str) -> str:
    """Return the id of a person of the database. Raises RequestRefused, with what to do for one of the file."""
    staff_id = text(asked, "staff")
    if people.in_file(step, staff_id):
        raise RequestRefused(f"{staff_id} {_IN_FILE}", hint=instead)
    if people.staff_of(step, staff_id) is None:
        raise RequestRefused(f"there is nobody with the id {staff_id!r}", hint="forecourt staff lists the ids")
    return staff_id


def _disable(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    staff_id = _kept_here(step, asked, "remove it there; what they did stays")
    step.tx.people.change(staff_id, {"active": 0})
    terminals = people.sign_out_everywhere(step, staff_id, "disabled")
    _audit(step, asked, "staff_disable", staff_id)
    return {"staff": staff_id, "active": False, "signed_out": terminals}


def _enable(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    staff_id = _kept_here(step, asked, "everybody in it may sign in")
    step.tx.people.change(staff_id, {"active": 1})
    _audit(step, asked, "staff_enable", staff_id)
    return {"staff": staff_id, "active": True}


def _set_pin(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    """A supervisor sets any PIN; others theirs, with the present one."""
    staff_id = _kept_here(step, asked, "forecourt staff hash-pin prints what to put there")
    if asked.person.role != "supervisor":
        people.check_pin(step, staff_id, _pin(asked, "current"))
    step.tx.people.change(staff_id, {"pin_hash": _hashed(step, asked.args.get("pin"))})
    people.changed_pin(step, staff_id)
    _audit(step, asked, "staff_set_pin", staff_id)
    return {"staff": staff_id, "pin": "set"}


def _pin(asked: Asked, key: str = "pin") -> str:
    pin = asked.args.get(key)
    if not isinstance(pin, str) or not 0 < len(pin) <= pins.MAX_DIGITS:
        raise RequestRefused(f"no {'PIN' if key == 'pin' else 'present PIN'} was given", hint="key it in", exit_code=2)
    return pin


def _set_badge(step: Step, asked: Asked, key: bytes) -> dict[str, Any]:
    staff_id = text(asked, "staff")
    if people.in_file(step, staff_id):
        index = people.badge_index(key, _digits(asked)).hex()
        return {"staff": staff_id, "badge": index, "write_to": "badge of this person's [[staff]] in the configuration"}
    staff_id = _kept_here(step, asked, "")
    _give_badge(step, asked, staff_id, key)
    return {"staff": staff_id, "badge": "set"}


def _digits(asked: Asked) -> str:
    digits = asked.args.get("badge")
    if not isinstance(digits, str) or _BADGE.fullmatch(digits) is None:
        raise RequestRefused("a badge has 4 to 24 digits", hint="scan it again", exit_code=2)
    return digits


def _give_badge(step: Step, asked: Asked, staff_id: str, key: bytes) -> None:
    badge = people.badge_index(key, _digits(asked))
    owner = people.badge_owner(step, badge)
    if owner not in (None, staff_id):
        raise RequestRefused(f"this badge is {owner}'s", hint="one badge, one person")
    if step.tx.members.by_index(badge) is not None:
        raise RequestRefused("this is a member's card", hint="take a card that no customer has")
    step.tx.people.change(staff_id, {"badge": badge})
    _audit(step, asked, "staff_set_badge", staff_id)


def _sign_in(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    terminal = _terminal(step, asked)
    person = people.sign_in(step, text(asked, "staff"), _pin(asked), terminal)
    return {"staff": person.id, "name": person.name, "role": person.role.value, "terminal": terminal}


def _terminal(step: Step, asked: Asked) -> str:
    terminal = text(asked, "terminal", needed=False) or DESK
    if terminal not in (DESK, *(reader.id for reader in step.settings.reader)):
        raise RequestRefused(
            f"there is no reader {terminal!r}",
            hint="name a [[reader]] of the configuration, or leave it out",
            exit_code=2,
        )
    return terminal


def _sign_out(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    """Sign out a person everywhere, or whoever is at a terminal."""
    staff_id = text(asked, "staff", needed=False)
    if staff_id:
        terminals = people.sign_out_everywhere(step, staff_id, "signed_out")
        if not terminals:
            raise RequestRefused(f"{staff_id} is not signed in", hint="forecourt staff shows who is")
        return {"staff": staff_id, "terminals": terminals}
    terminal = _terminal(step, asked)
    gone = people.sign_out(step, terminal)
    if gone is None:
        raise RequestRefused(f"nobody is signed in at {terminal}", hint="forecourt staff shows who is")
    return {"staff": gone, "terminals": [terminal]}


def _request(asked: Asked) -> str | None:
    return text(asked, "request", needed=False) or None


def _open(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    return shifts.open_shift(step, asked.person, _request(asked))


def _close(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    shift = text(asked, "shift", needed=False) or None
    return shifts.close_shift(step, asked.person, _request(asked), counted=_counted(asked), shift=shift)


def _counted(asked: Asked) -> dict[str, int]:
    """Read {kind: amount in minor units}."""
    given = asked.args.get("counted") or {}
    if not isinstance(given, dict) or len(given) > MOST_KINDS:
        raise RequestRefused(
            "counted is no list of kinds with amounts", hint="give --counted cash=1234.50", exit_code=2
        )
    for kind, amount in given.items():
        if not _ID.fullmatch(kind) or type(amount) is not int or not 0 <= amount < MOST_MINOR:
            raise RequestRefused(f"{kind!r} has no amount of money", hint="give --counted cash=1234.50", exit_code=2)
    return dict(given)


def _not_sold(step: Step, asked: Asked, purpose: Purpose) -> dict[str, Any]:
    by = By(asked.person.name, asked.person.role, text(asked, "reason"), _request(asked))
    if asked.args.get("sale"):
        return shifts.not_sold_of_sale(step, sale_meant(step, asked), purpose, by)
    nozzle, volume_ml = (number(asked, "fuelling_point"), number(asked, "nozzle")), number(asked, "volume_ml")
    if volume_ml <= 0:
        raise RequestRefused("no litres were given", hint="give --litres 20.00", exit_code=2)
    return shifts.not_sold_of_nozzle(step, nozzle, purpose, volume_ml, by)


def _test_return(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    return _not_sold(step, asked, Purpose.METER_TEST)


def _own_use(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    return _not_sold(step, asked, Purpose.OWN_USE)


PEOPLE = {
    "staff.add": (_add, "supervisor"),
    "staff.disable": (_disable, "supervisor"),
    "staff.enable": (_enable, "supervisor"),
    "staff.set-pin": (_set_pin, "attendant"),
    "staff.set-badge": (_set_badge, "supervisor"),
    "staff.sign-in": (_sign_in, "attendant"),
    "staff.sign-out": (_sign_out, "attendant"),
    "shift.open": (_open, "attendant"),
    "shift.close": (_close, "attendant"),
    "shift.test-return": (_test_return, "supervisor"),
    "shift.own-use": (_own_use, "supervisor"),
}
"""Rows of ``asking.OPERATIONS``."""
