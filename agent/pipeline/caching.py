"""The member cache as a whole: filled by buckets where it is far behind, compared with head office's manifest at night.

Deltas go on meanwhile: a bucket that is missing only notes how new it must be when it comes. Each bucket is stored in a
transaction of its own, so that a fill goes on where it was cut. What one change says stands in ``downlink``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from agent.failpoints import failpoint
from agent.inbox import AuditDue, MembersCompared
from agent.logs import get_logger
from agent.pipeline import alerting, card_keys, enrolling
from agent.pipeline.step import Step
from agent.store.buckets import State
from agent.store.delivery import MANIFEST_WANTED
from agent.store.members import Put
from agent.store.waiting import SLICES
from sync import ports
from sync.buckets import BucketError, Content, Manifest, Row, bucket_of, read

_log = get_logger("members")

MEMBER_OP = "member_op"
TO_COMPARE = "members_to_compare"
"""Fact about a database: the manifest that its cache is to be compared with, and why."""

FILL = "members_fill"
"""Fact about a database: how far the fill under way is."""

AUDITED_MS = "members_audited_ms"
AUDIT_NIGHT = "members_audit_night"
GROUP = "members_group"

FAR, AUDIT = "far", "audit"
ML_PER_L = 1_000
SHOWN = 5
SUBJECT = "members"
DIFFER, REFUSED = "MEMBERS_DIFFER", "BUCKET_REFUSED"

Op = Mapping[str, Any]


def go_on(step: Step) -> None:
    """At the start: a station belongs to exactly one group, and another group's members are not its own."""
    group = step.settings.station.group
    known = step.tx.memory.meta(GROUP)
    if known == group:
        return
    step.tx.memory.set_meta(GROUP, group)
    if known is None:
        return
    step.tx.buckets.forget_all()
    ask_for_all(step)
    step.memory.scrub = True
    step.audit("agent", "agent", "members_forgotten", "members", reason=f"the station left group {known} for {group}")


def ask_for_all(step: Step) -> None:
    """Take in every member again, from the first on."""
    step.tx.buckets.forget_states()
    step.tx.memory.set_meta(MEMBER_OP, "0")
    for fact in (MANIFEST_WANTED, TO_COMPARE, FILL):
        step.tx.memory.forget_meta(fact)


def applicable(step: Step, ops: Sequence[Op]) -> list[Op]:
    """Return the changes that are to be stored now, in their order; what a bucket holds already is not among them.

    A change in a bucket that is missing is not stored: the bucket will hold it.
    """
    places = [bucket_of(op["member"]) for op in ops]
    states = step.tx.buckets.states(places)
    stored: dict[int, int] = {}
    later: dict[int, tuple[int, bytes | None]] = {}
    found = []
    for op, place in zip(ops, places, strict=True):
        state = states[place]
        if state.need is not None:
            if op["op"] > max(state.op, state.need, later.get(place, (0, None))[0]):
                later[place] = (op["op"], None)
        elif op["op"] > state.op:
            found.append(op)
            stored[place] = op["op"]
    step.tx.buckets.reached(stored)
    step.tx.buckets.need(later)
    return found


def far(step: Step) -> None:
    """Head office says that buckets weigh less than the changes that are missing: wait for a manifest."""
    if step.tx.memory.meta(FILL) is None:
        step.tx.memory.set_meta(MANIFEST_WANTED, FAR)


def audited(step: Step, item: AuditDue | MembersCompared) -> None:
    """The census wants to compare, or has."""
    match item:
        case AuditDue(night):
            _audit_due(step, night)
        case MembersCompared():
            _compared(step, item)


def _audit_due(step: Step, night: str) -> None:
    """Ask for a manifest to compare with, once a night; not while the cache is being filled anyway."""
    step.tx.memory.set_meta(AUDIT_NIGHT, night)
    if step.tx.memory.meta(FILL) is None and step.tx.memory.meta(MANIFEST_WANTED) is None and _have_op(step) > 0:
        step.tx.memory.set_meta(MANIFEST_WANTED, AUDIT)


def manifest(step: Step, event: ports.ManifestArrived) -> None:
    """Go by a manifest: at once where nothing is stored, else after the cache was summed up beside the pipeline."""
    wanted = step.tx.memory.meta(MANIFEST_WANTED)
    if wanted is None:
        return
    step.tx.memory.forget_meta(MANIFEST_WANTED)
    try:
        told = Manifest.from_bytes(event.body)
    except BucketError as error:
        _refused(step, "manifest", str(error))
        return
    if wanted == FAR and _have_op(step) == 0:
        whole = {number: (op, digest) for number, (op, digest) in enumerate(told.buckets) if op > 0}
        _fetch(step, told, whole, jump=True)
        return
    note = {"why": wanted, "hash": event.hash.hex(), "manifest": event.body.decode()}
    step.tx.memory.set_meta(TO_COMPARE, json.dumps(note))


def _compared(step: Step, result: MembersCompared) -> None:
    """The cache was compared: fetch what differs."""
    note = json.loads(step.tx.memory.meta(TO_COMPARE) or "{}")
    if note.get("hash") != result.hash:
        return
    step.tx.memory.forget_meta(TO_COMPARE)
    told = Manifest.from_bytes(note["manifest"].encode())
    if note["why"] == AUDIT:
        _audited(step, result)
    _fetch(step, told, result.differing, jump=note["why"] == FAR)


def bucket(step: Step, event: ports.BucketArrived, as_of: Callable[[Any], str | None]) -> None:
    """Store one bucket: its members as they are told, the others of it are gone. ``as_of``: how that place is kept."""
    state = step.tx.buckets.states([event.bucket])[event.bucket]
    if state.need is None or event.op < state.need:
        return
    try:
        content = read(event.data)
        _check(content, event, state)
    except BucketError as error:
        _refused(step, f"bucket {event.bucket}", str(error))
        return
    step.tx.buckets.make_room()
    _forget_others(step, event.bucket, content)
    there = step.tx.members.in_bucket(event.bucket)
    puts = [_put(row, event.bucket, event.op, there, as_of) for row in content.rows]
    left = step.tx.buckets.missing()
    step.tx.members.put_all(puts, there, aside=event.bucket if left > SLICES else None)
    if not step.tx.cards.is_empty() or any(row.card_key for row in content.rows):
        card_keys.told(step, [{"member": row.member, "card_key": row.card_key} for row in content.rows])
    for member, to in sorted(content.merged.items()):
        enrolling.merged(step, member, to, event.op)
    step.tx.members.waiting.settle_next(left)  # the last buckets let none wait: after them nothing does
    step.tx.buckets.filled(event.bucket, event.op)
    alerting.device(step, SUBJECT, REFUSED, standing=False)
    _went_on(step, len(content.rows))
    failpoint("members.before_commit")
    step.passed.append("members")


def _check(content: Content, event: ports.BucketArrived, state: State) -> None:
    """Raise BucketError where it is another bucket, or not what the signed manifest says of it."""
    if state.sum is not None and event.changed == state.need:
        if content.sum != state.sum:
            raise BucketError("it does not come to the sum of the signed manifest")
    elif any(bucket_of(row.member) != event.bucket for row in content.rows):
        raise BucketError("members of another bucket are in it")


def _put(row: Row, number: int, op: int, there: Collection[str], as_of: Callable[[Any], str | None]) -> Put:
    """Say what the cache keeps of a row; by position, because there are a million of them."""
    lots = row.lots
    # a balance that includes stations says nothing new of growth: what was counted here since the import stands
    stands = row.as_of is not None and row.member in there
    return Put(
        row.member,
        row.tier,
        None if stands else row.growth,
        row.tags,
        row.mask,
        row.birthday_md,
        row.flags,
        lots[0][0] if len(lots) == 1 else sum([lot[0] for lot in lots]),
        row.digests,
        op,
        f"[{','.join([_lot(*lot) for lot in lots])}]",
        None if row.as_of is None else as_of(row.as_of),
        None if row.tank_l is None else ML_PER_L * row.tank_l,
        number,
    )


def _lot(points: int, usable_from: str | None, expires_on: str | None, lot: str | None) -> str:
    return f"[{points},{_terms(usable_from, expires_on, lot)}]"


@lru_cache(maxsize=1_024)  # points differ, days are a few
def _terms(usable_from: str | None, expires_on: str | None, lot: str | None) -> str:
    return _compact([usable_from, expires_on, lot] if lot else [usable_from, expires_on])[1:-1]


def _forget_others(step: Step, number: int, content: Content) -> None:
    told = {row.member for row in content.rows}
    for member in step.tx.buckets.told_members(number):
        if member not in told:
            step.tx.members.forget(member)
            step.memory.scrub = True


def _fetch(step: Step, told: Manifest, wanted: Mapping[int, tuple[int, bytes]], *, jump: bool) -> None:
    """Note the buckets to be fetched; with ``jump`` changes up to the manifest need not come one by one any more."""
    states = step.tx.buckets.states(wanted)
    missing: dict[int, tuple[int, bytes | None]] = {}
    for number, (op, digest) in wanted.items():
        here = max(states[number].op, states[number].need or 0)
        missing[number] = (op, digest) if here <= op else (here, None)
    step.tx.buckets.need(missing)
    if jump:
        step.tx.memory.set_meta(MEMBER_OP, str(max(told.op, _have_op(step))))
    if missing:
        fill = {"buckets": len(missing), "members": told.members, "stored": 0, "since_ms": step.stamp.wall_ms}
        step.tx.memory.set_meta(FILL, json.dumps(fill))
        step.after.append(lambda: _log.info("members are fetched in buckets", buckets=len(missing), of=told.members))


def _went_on(step: Step, members: int) -> None:
    fill = json.loads(step.tx.memory.meta(FILL) or "{}")
    if step.tx.buckets.missing():
        fill["stored"] = fill.get("stored", 0) + members
        step.tx.memory.set_meta(FILL, json.dumps(fill))
        return
    step.tx.memory.forget_meta(FILL)
    step.tx.buckets.give_room_back()
    alerting.device(step, SUBJECT, DIFFER, standing=False)
    step.after.append(lambda: _log.info("every bucket of members is there"))


def _audited(step: Step, result: MembersCompared) -> None:
    step.tx.memory.set_meta(AUDITED_MS, str(step.stamp.wall_ms))
    count = len(result.differing)
    said = f"{result.compared} buckets compared with the manifest, {count} differ"
    step.audit("agent", "agent", "members_audited", "members", reason=said, result="failed" if count else "done")
    if count:
        shown = ", ".join(map(str, sorted(result.differing)[:SHOWN]))
        detail = f"{said} (bucket {shown}): they are fetched again"
        alerting.device(step, SUBJECT, DIFFER, standing=True, detail=detail)


def _refused(step: Step, what: str, why: str) -> None:
    """Tell that head office's words cannot be taken; they are asked for again."""
    alerting.device(step, SUBJECT, REFUSED, standing=True, detail=f"{what}: {why}")
    step.after.append(lambda: _log.warning("what head office told of members is refused", what=what, why=why))


def _have_op(step: Step) -> int:
    return int(step.tx.memory.meta(MEMBER_OP) or "0")


_compact = json.JSONEncoder(separators=(",", ":")).encode
