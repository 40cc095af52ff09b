"""Staff in the pipeline: the one list of them, their PINs, who is signed in at which terminal.

A terminal is a reader of the station file, a handheld's device id, or ``cli``. A PIN lives only inside ``check_pin``.
"""

from __future__ import annotations

from agent.domain.pins import is_pin
from agent.domain.staff import Staff, StaffRole
from agent.pipeline.step import RequestRefused, Step

__all__ = ["Staff", "StaffRole", "attendant_at", "check_pin", "sign_in", "sign_out", "staff_of"]


def attendant_at(step: Step, terminal: str) -> str | None:  # noqa: ARG001 - nobody can sign in yet
    """Return the id of who is signed in at a terminal, ``None`` where nobody is."""
    return None


def staff_of(step: Step, staff_id: str) -> Staff | None:
    """Return one person of the list, signed in or not, active or not."""
    found = next((person for person in step.settings.staff if person.id == staff_id), None)
    return None if found is None else Staff(found.id, found.name, StaffRole(found.role))


def check_pin(step: Step, staff_id: str, pin: str) -> Staff:
    """Return who this is. Raises RequestRefused: unknown, disabled, locked out or wrong; wrong PINs count."""
    person = staff_of(step, staff_id)
    stored = next((found.pin_hash for found in step.settings.staff if found.id == staff_id), None)
    if person is None or stored is None or not is_pin(pin, stored):
        raise RequestRefused(f"{staff_id!r} and this PIN do not fit", hint="forecourt staff list shows the ids")
    return person


def sign_in(step: Step, staff_id: str, pin: str, terminal: str) -> Staff:
    """Sign a person in at a terminal, in the place of whoever was there. Raises RequestRefused as ``check_pin``."""
    person = check_pin(step, staff_id, pin)
    step.audit(person.id, person.role.value, "sign_in", terminal)
    return person


def sign_out(step: Step, terminal: str) -> str | None:
    """Sign out whoever is at a terminal; returns who that was, ``None`` where nobody was."""
    staff_id = attendant_at(step, terminal)
    if staff_id is not None:
        step.audit(staff_id, StaffRole.ATTENDANT.value, "sign_out", terminal)
    return staff_id
