"""Members at the pump: enrolled with a phone number, found by phone or plate. What is told never holds a number.

A number lives only between what was keyed in and its blind index. A found plate is a hint for people; it links nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.domain import identity, link_merge
from agent.domain import link_records as links
from agent.domain.answers import Tone
from agent.domain.identity import AuthLevel, IndexKind
from agent.failpoints import failpoint
from agent.inbox import Person
from agent.pipeline import correcting, relinking
from agent.pipeline.step import RequestRefused, Step
from agent.store.members import Put
from agent.store.sales import Row

LOOKUPS_A_MINUTE = 5
LOOKUPS_A_SHIFT = 30
"""Of one person: enough for a busy shift, too few to try numbers at the counter."""

MINUTE_MS = 60_000
MAX_PLATE = 16
MEMBER_BITS = 63

INVALID_PHONE = "INVALID_PHONE"
ENROLLED, ALREADY_MEMBER = "ENROLLED", "ALREADY_MEMBER"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What was keyed in for a new member. ``request``: the asker's own name of this wish, said again when in doubt."""

    phone: str
    plate: str | None = None
    sale: str | None = None
    request: str | None = None


def by_phone(step: Step, text: str, person: Person, *, terminal: str, index_key: bytes) -> links.Credential | None:
    """Return who a phone number belongs to, as a credential of level ``phone``; ``None`` where nobody here has it.

    Counted and audited, hit or miss: a caller that refuses afterwards must do so with ``keeps=True``. Raises
    RequestRefused for a text that is no mobile number and once the person has looked up too often.
    """
    phone = _phone(text)
    _refuse_too_many(step, person)
    member = step.tx.members.by_index(identity.blind_index(index_key, IndexKind.PHONE, phone))
    _looked_up(step, person, "phone", terminal, hit=member is not None)
    return None if member is None else _credential(step, member, person, terminal)


def _credential(step: Step, member: Row, person: Person, terminal: str) -> links.Credential:
    return links.Credential(
        step.new_id(),
        terminal,
        person.name,
        member["id"],
        AuthLevel.PHONE,
        clock_suspect=step.stamp.clock in ("floor", "unknown"),
        member_known=bool(member["known"]),
    )


def by_plate(step: Step, text: str, person: Person, *, terminal: str, index_key: bytes) -> str | None:
    """Return the id of the member with a number plate, to sort what is shown to people; a plate never links a sale.

    Counted and audited as ``by_phone``. Raises RequestRefused.
    """
    plate = _plate(text)
    _refuse_too_many(step, person)
    member = step.tx.members.by_index(identity.blind_index(index_key, IndexKind.PLATE, plate))
    _looked_up(step, person, "plate", terminal, hit=member is not None)
    return None if member is None else str(member["id"])


def enrol(step: Step, wanted: Enrolment, person: Person, *, terminal: str, index_key: bytes) -> dict[str, Any]:
    """Make a provisional member of a phone number, or tell the one who has it; returns the answer as it is shown.

    The same request or the same phone again is the same member. With ``sale``, that sale is linked in the same commit;
    where it cannot be, the enrolment stands and ``link`` says why. Raises RequestRefused for what is no mobile number
    or no plate.
    """
    known = None if wanted.request is None else step.tx.enrolments.of_request(wanted.request)
    if known is not None:
        return _answer(step, ENROLLED, str(known["member"]), repeat=True, contact=None)
    phone = _phone(wanted.phone)
    plate = None if wanted.plate is None else _plate(wanted.plate)
    digest = identity.blind_index(index_key, IndexKind.PHONE, phone)
    found = step.tx.members.by_index(digest)
    if found is not None:
        _refuse_too_many(step, person)
        _looked_up(step, person, "enrol", terminal, hit=True)
        answer = _answer(step, ALREADY_MEMBER, str(found["id"]), repeat=False, contact=None)
    else:
        plate_index = None if plate is None else identity.blind_index(index_key, IndexKind.PLATE, plate)
        contact = _sealed(step, phone)
        keyed = _Keyed(identity.mask_phone(phone), digest, plate_index, contact)
        member = _written(step, wanted, person, keyed)
        answer = _answer(step, ENROLLED, member, repeat=False, contact=contact is not None)
    if wanted.sale is not None:
        answer["link"] = _linked(step, wanted.sale, answer["member_id"], person, terminal)
    return answer


def _sealed(step: Step, phone: str) -> str | None:
    """Return the number as only head office can read it, ``None`` where this station has no key of it for that.

    It stands in the record alone: no table here has a copy, and nothing here can open it.
    """
    key = None if step.pinned is None else step.pinned.sealing
    if key is None:
        return None
    from sync.sealing import seal  # loaded by the first enrolment: most starts make none

    return seal(phone, key)


@dataclass(frozen=True, slots=True)
class _Keyed:
    """What is left of a number once it was keyed in."""

    mask: str
    index: bytes
    plate_index: bytes | None
    contact: str | None


def _written(step: Step, wanted: Enrolment, person: Person, keyed: _Keyed) -> str:
    """Write a new member: the row and its indexes, the record and the enrolment; returns the provisional id."""
    member, plate = _new_member(step), keyed.plate_index
    # a plate that is another member's stays theirs: a family has one car and several phones
    is_free = plate is not None and step.tx.members.by_index(plate) is None
    indexes = (keyed.index, plate) if plate is not None and is_free else (keyed.index,)
    step.tx.members.put(Put(member, "", 0, (), keyed.mask, None, (), 0, indexes, 0))
    record = {
        "member": member,
        "indexes": [keyed.index.hex()],
        "mask": keyed.mask,
        "plate_index": None if plate is None else plate.hex(),
        "contact": keyed.contact,
        "by": person.name,
        "welcome": True,
    }
    written = step.journal("fc.member.enrolled.v1", record)
    step.tx.enrolments.add(
        {
            "member": member,
            "request": wanted.request,
            "by": person.name,
            "mask": keyed.mask,
            "at_ms": step.stamp.wall_ms,
            "sale": wanted.sale,
            "source": written.id,
        }
    )
    failpoint("enrol.before_commit")
    step.passed.append("enrol")
    return member


def _linked(step: Step, sale: str, member: str, person: Person, terminal: str) -> dict[str, Any]:
    row = step.tx.members.by_id(member)
    assert row is not None, "an enrolled member is in the cache"
    by = correcting.By(person.name, person.role, "enrolled at the pump")
    try:
        who = _credential(step, row, person, terminal)
        return relinking.link_to(step, sale, who, by, may_change=False, terminal=terminal)
    except RequestRefused as refused:
        return {"outcome": None, "message": str(refused), "hint": refused.hint, "sale": sale, "repeat": False}


def told(step: Step, member: str) -> dict[str, Any]:
    """Return what an attendant reads aloud of a member: mask and tier."""
    row = step.tx.members.by_id(member)
    assert row is not None, "an enrolled member is in the cache"
    return {"mask": row["mask"], "tier": row["tier"] or None}


def _answer(step: Step, outcome: str, member: str, *, repeat: bool, contact: bool | None) -> dict[str, Any]:
    """``contact``: whether head office gets the number to write to, ``None`` where nothing was sent now."""
    row = step.tx.members.by_id(member)
    assert row is not None, "an enrolled member is in the cache"
    zh, en = _SAID[outcome]
    words = zh if step.settings.station.language.startswith("zh") else en
    return {
        "outcome": outcome,
        "tone": Tone.GOOD.value,
        "message": words.format(mask=row["mask"]),
        "repeat": repeat,
        "member": told(step, member),
        "member_id": row["id"],
        "contact": contact,
        "link": None,
    }


_SAID = {
    ENROLLED: ("注册成功 {mask},本次即可积分", "Enrolled {mask}: points from this fill on"),
    ALREADY_MEMBER: ("已是会员 {mask}", "Already a member: {mask}"),
}


def _new_member(step: Step) -> str:
    """Return a provisional id that no member here has, or had."""
    while True:
        member = f"{step.random_bits(MEMBER_BITS):016x}"
        if step.tx.members.by_id(member) is None:
            return member


def _phone(text: str) -> str:
    phone = identity.normalise_phone(text)
    if phone is None:
        raise RequestRefused(f"{INVALID_PHONE}: this is no mobile number", hint="key it in again", exit_code=2)
    return phone


def _plate(text: str) -> str:
    plate = identity.normalise_plate(text)
    if not 4 < len(plate) <= MAX_PLATE or not plate.isalnum():
        raise RequestRefused("this is no number plate", hint="key it in again, or leave it out", exit_code=2)
    return plate


def _refuse_too_many(step: Step, person: Person) -> None:
    table, now_ms = step.tx.enrolments, step.stamp.wall_ms
    if table.count_lookups(person.name, since_ms=now_ms - MINUTE_MS) >= LOOKUPS_A_MINUTE:
        raise RequestRefused(
            f"{LOOKUPS_A_MINUTE} members were looked up within a minute",
            hint="wait a minute, or scan the member's code",
        )
    if table.count_in_period(person.name, _period(step)) >= LOOKUPS_A_SHIFT:
        raise RequestRefused(
            f"{LOOKUPS_A_SHIFT} members were looked up in this shift",
            hint="scan the member's code, or ask a supervisor",
        )


def _looked_up(step: Step, person: Person, kind: str, terminal: str, *, hit: bool) -> None:
    step.tx.enrolments.looked_up(
        {
            "id": step.new_id(),
            "person": person.name,
            "period": _period(step),
            "at_ms": step.stamp.wall_ms,
            "kind": kind,
            "hit": int(hit),
            "terminal": terminal,
        }
    )
    step.audit(person.name, person.role, "looked_up", kind, result="hit" if hit else "miss")


def _period(step: Step) -> str:
    """Return what look-ups are counted for: the open shift, and the business day where there is none."""
    return step.tx.enrolments.open_shift() or step.business_day(step.stamp.wall_ms)


def merged(step: Step, member: str, to: str, op: int) -> None:
    """Head office says that a member is another one: whatever is open here goes on as the other's.

    A member that was never seen here is nobody's business; said again it changes nothing.
    """
    now = step.tx.members.merge(member, to, op=op, at_ms=step.stamp.wall_ms)
    if now is None:
        return
    desk = link_merge.renamed(step.memory.desk, member, now)
    if desk is not step.memory.desk:
        step.memory.desk = desk
        step.tx.memory.save_desk(step.memory.desk_text.of(desk))
    step.memory.offered.clear()  # a lower price may have been told for the old id: it is looked up again
    step.audit("head-office", "head_office", "member_merged", identity.mask_member(member), reason=f"change {op}")
