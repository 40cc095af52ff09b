"""Signs of misuse in the pipeline: which rules see a link, a refusal or a reversal, and what that does to points.

Never stops a sale, never answers an attendant. What the rules say is pure (``agent.domain.fraud``); what becomes of it
is in ``suspicion``. In training nothing is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agent.domain import fraud_link, fraud_seen
from agent.domain.answers import Outcome
from agent.domain.fraud import Effect, Finding, Rule, Subject, Unit, attendant, member
from agent.domain.identity import AuthLevel
from agent.domain.link_records import End
from agent.pipeline import suspicion
from agent.pipeline.step import Step
from agent.store.sales import Row

_STAFF_FLAGS = frozenset({"staff", "family"})
_CHIPS = frozenset({AuthLevel.SUN.value, AuthLevel.UID.value})
_CHIP_REFUSALS = frozenset({Outcome.COUNTER_REPLAYED, Outcome.UID_MISMATCH})


@dataclass(frozen=True, slots=True)
class Refusal:
    """A scan that was refused. ``code``: the one-time code it showed, ``member``: whom it would have named."""

    outcome: Outcome
    reader: str
    attendant: str | None = None
    member: str | None = None
    code: str | None = None


def after_link(step: Step, sale: str, *, late: bool = False) -> None:
    """Look at a sale that was just linked: call it once its link stands in the transaction, before it is settled.

    ``late``: by a supervisor after the time for it.
    """
    if not _on(step, *_AT_LINK):
        return
    linked = _linked(step, sale, late=late)
    if linked is None:
        return
    found(step, fraud_link.at_link(linked, step.settings.fraud.limits()))
    _suspected_before(step, sale, linked)


def after_refusal(step: Step, refusal: Refusal) -> None:
    """Look at a scan that was refused: a code shown twice, a counter that fell back, a card of another chip."""
    replayed = refusal.outcome is Outcome.REPLAYED and _on(step, Rule.REPLAY)
    if replayed and refusal.code is not None and refusal.member is not None:
        _replayed(step, refusal.code, refusal.member, refusal.reader)
    elif refusal.outcome in _CHIP_REFUSALS and _on(step, Rule.COUNTER):
        subject = attendant(refusal.attendant or refusal.reader) if refusal.member is None else member(refusal.member)
        seen = _seen(step, Rule.COUNTER, Unit.REFUSALS, subject, _chip_sales(step, refusal.member))
        suspicion.keep(step, fraud_seen.refused(seen, step.settings.fraud.limits()))


def after_counter(step: Step, member_id: str, jump: int) -> None:
    """Look at an accepted counter; ``jump``: how far it is above the last one (1 is the usual)."""
    seen = fraud_seen.Seen(member(member_id), step.stamp.wall_ms, _day(step, step.stamp.wall_ms))
    jumped = fraud_seen.counted(seen, jump, step.settings.fraud.limits())
    if jumped is not None:
        found(step, (jumped,))


def after_reversal(step: Step, sale: str) -> None:
    """Look at a refund or void: call it once it stands in the transaction."""
    if not _on(step, Rule.REVERSALS):
        return
    limits, now_ms = step.settings.fraud.limits(), step.stamp.wall_ms
    longest = max(limits.reversals_of_member_ms, limits.reversals_of_attendant_ms)
    rows = step.tx.fraud.reversals(now_ms - longest)
    known = [fraud_seen.Reversal(row["sale"], row["member"], row["by"], row["at_ms"]) for row in rows]
    last = next((one for one in known if one.sale == sale), None)
    if last is None:
        return
    of_member = [one for one in known if one.member == last.member]
    of_attendant = [one for one in known if one.by == last.by]
    findings = fraud_seen.reversed_money(
        last,
        tuple(one for one in of_member if one.at_ms >= now_ms - limits.reversals_of_member_ms),
        tuple(one for one in of_attendant if one.at_ms >= now_ms - limits.reversals_of_attendant_ms),
        _day(step, now_ms),
        limits,
    )
    found(step, findings)


def found(step: Step, findings: Iterable[Finding]) -> None:
    """Keep what rules have found, here or beside the pipeline: of those that this station does not do without."""
    for finding in findings:
        if _on(step, finding.rule):
            suspicion.keep(step, finding)


def looked(step: Step, findings: Iterable[Finding], facts: Mapping[str, str]) -> None:
    """Keep what the look over a shift or a night has found, and that it was done: both or neither.

    A look goes back over many days: what names no sale that an earlier alert does not name already is not told again.
    """
    found(step, [one for one in findings if suspicion.says_more(step, one)])
    for key, value in facts.items():
        step.tx.memory.set_meta(key, value)


def touched(step: Step, sale: str, member_ref: int | None = None) -> frozenset[str]:
    """Return the rules ("R1") that touched a sale and were not reviewed as harmless.

    ``member_ref``: whose sale it is about to be, ``None``: whose it is. What a rule saw about another member does not
    count: a corrected link leaves it behind.
    """
    return frozenset(rule for rule, _ in _standing(step, sale, member_ref))


def is_held(step: Step, sale: str, member_ref: int | None = None) -> bool:
    """Return whether the points of a sale wait for a review; arguments as ``touched``."""
    return any(effect == Effect.HOLD.value for _, effect in _standing(step, sale, member_ref))


def earns_nothing(step: Step, sale: str, member_ref: int | None = None) -> bool:
    """Return whether a sale gives no points: more fuel on a card of the staff than is allowed; as ``touched``."""
    return any(effect == Effect.NO_POINTS.value for _, effect in _standing(step, sale, member_ref))


def _standing(step: Step, sale: str, member_ref: int | None) -> list[tuple[str, str]]:
    if member_ref is None:
        link = step.tx.sales.active_link(sale)
        member_ref = None if link is None else int(link["member_ref"])
    return step.tx.fraud.touching(sale, member_ref)


# --- the facts of a link ----------------------------------------------------------------------------------------------


_AT_LINK = (Rule.VELOCITY, Rule.VOLUME, Rule.LATE_LINKS, Rule.WEAK_CODES, Rule.STAFF_CARDS, Rule.REPLAY, Rule.COUNTER)


def _on(step: Step, *rules: Rule) -> bool:
    """Return whether one of these rules looks at what happens here."""
    return step.settings.station.mode != "training" and any(rule not in step.settings.fraud.off for rule in rules)


def _day(step: Step, wall_ms: int) -> str:
    return step.local(wall_ms).date().isoformat()


def _linked(step: Step, sale: str, *, late: bool) -> fraud_link.Linked | None:
    """Return the facts of a link, ``None`` where nobody's fuel was sold, or too long ago."""
    link = step.tx.sales.active_link(sale)
    assert link is not None, "a link stands in the transaction"
    known = step.tx.members.by_ref(link["member_ref"])
    assert known is not None, "a link names a member"
    whose, limits = _staff_of(json.loads(known["flags"])), step.settings.fraud.limits()
    ended_ms = link["made_ms"] - 1_000 * (link["delay_s"] + 1)
    back_ms = limits.velocity_ms + (_DAY_MS if whose is None else max(_DAY_MS, limits.staff_ms))
    rows = step.tx.fraud.fuellings(link["member_ref"], ended_ms - back_ms)
    found = {one["sale"]: _fuelling(step, one) for one in rows}
    fuelling = found.pop(sale, None)
    if fuelling is None:
        return None
    return fraud_link.Linked(
        member=link["member"],
        sale=fuelling,
        made_day=_day(step, step.stamp.wall_ms),
        others=tuple(found.values()),
        tank_ml=known["tank_ml"],
        is_staff=whose is not None,
        own=whose is not None and link["by"] in whose,
        late=late,
    )


_DAY_MS = 86_400_000


def _staff_of(flags: list[str]) -> frozenset[str] | None:
    """Return which staff a card belongs to, by its flags ``staff``, ``family`` or, naming whose, ``staff:S07``.

    Empty where the flags do not say whose, ``None`` for a customer's card.
    """
    told = [flag.partition(":") for flag in flags]
    staff = [whose for kind, _, whose in told if kind in _STAFF_FLAGS]
    return frozenset(filter(None, staff)) if staff else None


def _fuelling(step: Step, row: Row) -> fraud_link.Fuelling:
    grade = step.settings.grade.get(row["grade"])
    return fraud_link.Fuelling(
        sale=row["sale"],
        day=_day(step, row["ended_ms"]),
        ended_ms=row["ended_ms"],
        product=None if grade is None else grade.product,
        volume_ml=row["volume_ml"],
        level=AuthLevel(row["level"]),
        by=row["by"],
        delay_s=row["delay_s"],
    )


def _suspected_before(step: Step, sale: str, linked: fraud_link.Linked) -> None:
    """A sale of a code that was shown twice while it waited, or of a chip that may be a copy, belongs to that alert."""
    known = step.memory.desk.sales.get(sale)
    codes = () if known is None or known.link is None else known.link.codes
    waiting = {alert for code in codes for alert in step.tx.fraud.awaiting(code)}
    if linked.sale.level.value in _CHIPS:
        waiting |= set(step.tx.fraud.standing(step.tx.members.ensure(linked.member), Rule.COUNTER.value))
    for alert in sorted(waiting):
        suspicion.name_sale(step, alert, sale, Effect.HOLD)


# --- the facts of a refusal -------------------------------------------------------------------------------------------


def _replayed(step: Step, code: str, member_id: str, reader: str) -> None:
    """R8: the code was used for a sale or waits at a point; or, expired unused, it is shown at another reader."""
    desk = step.memory.desk
    used = [one.id for one in desk.sales.values() if one.link is not None and code in one.link.codes]
    waits = any(code in one.codes for one in desk.pending.values())
    ended = [one.how for one in desk.ended if code in one.codes]
    moved = End.LINKED in ended or End.MOVED in ended
    if not (used or waits or moved) and step.tx.codes.reader_of(code.split(":")[:3]) in (None, reader):
        return
    seen = _seen(step, Rule.REPLAY, Unit.REPLAYS, member(member_id), tuple(used))
    alert = suspicion.keep(step, fraud_seen.replayed(seen, step.settings.fraud.limits()))
    if not used:
        step.tx.fraud.await_code(alert, code)


def _seen(step: Step, rule: Rule, unit: Unit, subject: Subject, sales: tuple[str, ...]) -> fraud_seen.Seen:
    """Return what happened now, with how often the alert of today says it did before."""
    day = _day(step, step.stamp.wall_ms)
    before = suspicion.today(step, rule, subject, day)
    count = before["observed"] if before is not None and before["unit"] == unit.value else 0
    return fraud_seen.Seen(subject, step.stamp.wall_ms, day, count, sales)


def _chip_sales(step: Step, member_id: str | None) -> tuple[str, ...]:
    """Return the sales of today that were linked by a member's chip."""
    if member_id is None:
        return ()
    now_ms = step.stamp.wall_ms
    rows = step.tx.fraud.fuellings(step.tx.members.ensure(member_id), now_ms - 2 * _DAY_MS)
    today = _day(step, now_ms)
    return tuple(r["sale"] for r in rows if r["level"] in _CHIPS and _day(step, r["ended_ms"]) == today)
