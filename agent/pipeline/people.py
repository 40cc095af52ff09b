"""Staff in the pipeline: the one list of them, their PINs, who is signed in at which terminal, who served a sale.

A terminal is a reader of the station file, a handheld's device id, or ``cli``. A PIN lives only inside ``check_pin``.
"""

from __future__ import annotations

from typing import Any

from agent.domain import identity
from agent.domain.identity import IndexKind
from agent.domain.pins import is_pin
from agent.domain.staff import Staff, StaffRole, who_served
from agent.inbox import Person
from agent.pipeline import alerting
from agent.pipeline.memory import Memory
from agent.pipeline.step import RequestRefused, Step
from agent.store.store import Tx

__all__ = [
    "Staff",
    "StaffRole",
    "acting",
    "attendant_at",
    "badge_scanned",
    "check_pin",
    "served_by",
    "sign_in",
    "sign_out",
    "staff_of",
]

WRONG_PINS = 5
LOCKED_MS = 900_000
"""So many wrong PINs in a row lock a person out for so long: at most 480 tries a day of at least 9,700 PINs."""

LOCKED_ALERT = "PIN_LOCKED"


def attendant_at(step: Step, terminal: str) -> str | None:
    """Return the id of who is signed in at a terminal, ``None`` where nobody is."""
    found = step.tx.people.signed_in(terminal)
    return None if found is None else str(found["staff"])


def staff_of(step: Step, staff_id: str) -> Staff | None:
    """Return one person of the list, signed in or not, active or not."""
    for person in step.settings.staff:
        if person.id == staff_id:
            return Staff(person.id, person.name, StaffRole(person.role))
    row = step.tx.people.staff(staff_id)
    return None if row is None else Staff(row["id"], row["name"], StaffRole(row["role"]), active=bool(row["active"]))


def in_file(step: Step, staff_id: str) -> bool:
    """Whether this person stands in the configuration, where only its editor changes them."""
    return any(person.id == staff_id for person in step.settings.staff)


def check_pin(step: Step, staff_id: str, pin: str) -> Staff:
    """Return who this is. Raises RequestRefused: unknown, disabled, locked out or wrong; wrong PINs count."""
    person = _active(step, staff_id)
    until = step.memory.locked.get(staff_id)
    if until is not None and until > step.now.mono_ms:
        minutes = -(-(until - step.now.mono_ms) // 60_000)
        raise RequestRefused(
            f"{staff_id} is locked out after {WRONG_PINS} wrong PINs",
            hint=f"wait {minutes} minutes, or a supervisor sets a new PIN: forecourt staff set-pin {staff_id}",
        )
    stored = _pin_hash(step, staff_id)
    if stored is None:
        raise RequestRefused(
            f"{staff_id} has no PIN", hint=f"a supervisor sets one: forecourt staff set-pin {staff_id}"
        )
    if not is_pin(pin, stored):
        raise _wrong(step, person)
    if step.tx.people.lock(staff_id) is not None:
        _forget_wrong(step, staff_id)
    return person


def _active(step: Step, staff_id: str) -> Staff:
    person = staff_of(step, staff_id)
    if person is None:
        raise RequestRefused(f"there is nobody with the id {staff_id!r}", hint="forecourt staff lists the ids")
    if not person.active:
        raise RequestRefused(f"{staff_id} is disabled", hint=f"a supervisor may: forecourt staff enable {staff_id}")
    return person


def _pin_hash(step: Step, staff_id: str) -> str | None:
    for person in step.settings.staff:
        if person.id == staff_id:
            return person.pin_hash
    row = step.tx.people.staff(staff_id)
    return None if row is None else row["pin_hash"]


def _wrong(step: Step, person: Staff) -> RequestRefused:
    """Count a wrong PIN and return its refusal, which keeps the count."""
    known = step.tx.people.lock(person.id)
    _count(step, person)
    left = WRONG_PINS - 1 - (0 if known is None else known["failed"])
    if left > 0:
        message, hint = f"this is not the PIN of {person.id}", f"{left} more wrong ones lock it for 15 minutes"
        return RequestRefused(message, hint=hint, keeps=True)
    return RequestRefused(
        f"this is not the PIN of {person.id}: locked out for 15 minutes",
        hint=f"a supervisor may set a new one: forecourt staff set-pin {person.id}",
        keeps=True,
    )


def _count(step: Step, person: Staff) -> None:
    """Count a wrong PIN; lock out at the fifth."""
    known = step.tx.people.lock(person.id)
    failed = 1 + (0 if known is None else known["failed"])
    step.audit(person.id, person.role.value, "pin_wrong", f"staff:{person.id}", result="refused")
    if failed < WRONG_PINS:
        _keep_lock(step, person.id, failed, locked=False)
        return
    _keep_lock(step, person.id, 0, locked=True)
    detail = f"{failed} wrong PINs in a row"
    step.audit("agent", "agent", "pin_locked", f"staff:{person.id}", reason=detail)
    alerting.device(step, f"staff:{person.id}", LOCKED_ALERT, standing=True, detail=detail)


def _keep_lock(step: Step, staff_id: str, failed: int, *, locked: bool) -> None:
    values: dict[str, Any] = {"failed": failed, "boot": None, "until_mono_ms": None, "until_ms": None}
    if locked:
        until = step.now.mono_ms + LOCKED_MS
        step.memory.locked[staff_id] = until
        values |= {"boot": step.stamp.boot, "until_mono_ms": until, "until_ms": step.stamp.wall_ms + LOCKED_MS}
    step.tx.people.keep_lock(staff_id, values)


def _forget_wrong(step: Step, staff_id: str) -> None:
    step.memory.locked.pop(staff_id, None)
    _keep_lock(step, staff_id, 0, locked=False)
    alerting.device(step, f"staff:{staff_id}", LOCKED_ALERT, standing=False)


def at_start(tx: Tx, memory: Memory, mono_ms: int) -> None:
    """Take over who is locked out; of another boot only the wall clock tells, and it adds nothing to the 15 minutes."""
    for staff_id in tx.people.locked():
        row = tx.people.lock(staff_id)
        assert row is not None
        left = min(row["until_ms"] - tx.stamp.wall_ms, LOCKED_MS)
        is_same_boot = row["boot"] == tx.stamp.boot
        memory.locked[staff_id] = row["until_mono_ms"] if is_same_boot else mono_ms + left


def unlock_due(step: Step) -> None:
    """Every second: who has waited long enough may try again."""
    for staff_id, until in list(step.memory.locked.items()):
        if until <= step.now.mono_ms:
            _forget_wrong(step, staff_id)


def changed_pin(step: Step, staff_id: str) -> None:
    """A person has a new PIN: wrong ones before count no more."""
    if step.tx.people.lock(staff_id) is not None:
        _forget_wrong(step, staff_id)


def acting(step: Step, given: object) -> Person:
    """Return in whose name a command acts, of ``{staff, pin}`` given with it. Raises RequestRefused."""
    if not (isinstance(given, dict) and isinstance(given.get("staff"), str) and isinstance(given.get("pin"), str)):
        raise RequestRefused("as names no person with a PIN", hint="give --as ID and key in the PIN", exit_code=2)
    person = check_pin(step, given["staff"], given["pin"])
    is_supervisor = person.role is StaffRole.SUPERVISOR
    return Person(person.id, "supervisor" if is_supervisor else "attendant")


# --- signing in -----------------------------------------------------------------------------------------------------


def sign_in(step: Step, staff_id: str, pin: str, terminal: str) -> Staff:
    """Sign a person in at a terminal, in the place of whoever was there. Raises RequestRefused as ``check_pin``."""
    person = check_pin(step, staff_id, pin)
    _begin(step, person, terminal, "sign_in")
    return person


def badge_scanned(step: Step, reader: str, digits: str, index_key: bytes) -> Staff | None:
    """Sign in who has the badge with this number; ``None``: it is nobody's badge, or badges do not sign in here."""
    if not step.settings.shift.badge_signs_in or not (digits.isascii() and digits.isdigit()):
        return None
    staff_id = badge_owner(step, badge_index(index_key, digits))
    person = None if staff_id is None else staff_of(step, staff_id)
    if person is None or not person.active:
        return None
    _begin(step, person, reader, "badge_sign_in")
    return person


def badge_index(index_key: bytes, digits: str) -> bytes:
    """Return the keyed index of a badge's number, which is all that is ever kept of it."""
    return identity.blind_index(index_key, IndexKind.CARD, digits)


def badge_owner(step: Step, badge: bytes) -> str | None:
    """Return whose badge this is, by its index."""
    named = next((person.id for person in step.settings.staff if person.badge == badge.hex()), None)
    return step.tx.people.by_badge(badge) if named is None else named


def _begin(step: Step, person: Staff, terminal: str, action: str) -> None:
    there = step.tx.people.signed_in(terminal)
    if there is not None and there["staff"] == person.id:
        return
    if there is not None:
        _end(step, there["id"], there["staff"], terminal, "replaced")
    if step.settings.shift.one_terminal:
        sign_out_everywhere(step, person.id, "elsewhere")
    values = {"id": step.new_id(), "staff": person.id, "terminal": terminal, "since_ms": step.stamp.wall_ms}
    step.tx.people.begin(values)
    step.audit(person.id, person.role.value, action, f"terminal:{terminal}")


def sign_out(step: Step, terminal: str) -> str | None:
    """Sign out whoever is at a terminal; returns who that was, ``None`` where nobody was."""
    there = step.tx.people.signed_in(terminal)
    if there is None:
        return None
    _end(step, there["id"], there["staff"], terminal, "signed_out")
    return str(there["staff"])


def sign_out_everywhere(step: Step, staff_id: str | None, why: str) -> list[str]:
    """Sign a person out everywhere, with ``None`` everybody; returns the terminals."""
    ended = [a for a in step.tx.people.open_attendances() if staff_id in (None, a["staff"])]
    for there in ended:
        _end(step, there["id"], there["staff"], there["terminal"], why)
    return [str(there["terminal"]) for there in ended]


def _end(step: Step, attendance: str, staff_id: str, terminal: str, why: str) -> None:
    step.tx.people.end(attendance, step.stamp.wall_ms, why)
    person = staff_of(step, staff_id)
    role = StaffRole.ATTENDANT if person is None else person.role
    step.audit(staff_id, role.value, "sign_out", f"terminal:{terminal}", reason=why)


def served_by(step: Step, point: int, lifted_ms: int | None, *, is_recovered: bool) -> str | None:
    """Return who served a fuelling that is being booked: docs/supervisor.md has the rule. ``None``: nobody can say."""
    if lifted_ms is None and is_recovered:
        return None
    readers = {reader.id: tuple(reader.fuelling_points) for reader in step.settings.reader}
    own = frozenset(name for name, points in readers.items() if points == (point,))
    shared = frozenset(name for name, points in readers.items() if point in points) - own
    instants = (step.stamp.wall_ms,) if lifted_ms is None else (lifted_ms, step.stamp.wall_ms)
    for at_ms in instants:
        here = {row["terminal"]: row["staff"] for row in step.tx.people.signed_in_at(at_ms)}
        everywhere = here.keys() - readers.keys()  # the desk, and handhelds
        if here.keys() & (own | shared | everywhere):
            return who_served(here, (own, shared, everywhere))
    return None
