"""What comes from head office, in the pipeline: acknowledgements, members, documents, heads, troubles of the link."""

from __future__ import annotations

import json
from typing import Any

from agent.logs import get_logger
from agent.pipeline import (
    alerting,
    caching,
    card_keys,
    codes,
    enrolling,
    fencing,
    link_alerts,
    online,
    rebirth,
    resending,
    rulebook,
)
from agent.pipeline.step import Step
from agent.store.members import Put
from sync import ports
from sync.messages import Credit

_log = get_logger("sync")

SYNC = alerting.SYNC_SUBJECT
SENDING_STOPPED = "SENDING_STOPPED"
RECORDS_LOST = "RECORDS_LOST"
INDEX_KEY_OLD = "INDEX_KEY_OLD"


def handle(step: Step, event: ports.LinkEvent) -> None:
    """Carry one event of the station link into the transaction."""
    match event:
        case ports.AckAccepted():
            _acknowledged(step, event)
        case ports.MembersPage(_, ops, versions):
            _index_key(step, versions)
            _members(step, ops)
        case ports.MembersFar():
            caching.far(step)
        case ports.ManifestArrived():
            caching.manifest(step, event)
        case ports.BucketArrived(index_versions=versions):
            _index_key(step, versions)
            caching.bucket(step, event, lambda told: _as_of(told, step.settings.station.id))
        case ports.DocumentArrived(kind, version, digest, body):
            if kind == rulebook.KIND:
                rulebook.arrived(step, version, digest.hex(), body)
                step.memory.look_at_ms = 0
            elif kind == codes.KIND:
                codes.arrived(step, version, digest.hex(), body)
        case ports.HeadSeen(head, refusal, _):
            if refusal is not None:
                step.audit("head-office", "head_office", "head_refused", "head", reason=refusal, result="refused")
                alerting.device(step, SYNC, "HEAD_REFUSED", standing=True, detail=refusal)
            elif head is not None:
                step.tx.memory.set_meta("head_rules_version", str(head.rules.version if head.rules else 0))
        case ports.Answered():
            online.answered(step, event)
        case ports.SyncTrouble(kind, evidence):
            detail = ", ".join(f"{key}={value}" for key, value in evidence.items())
            alerting.device(step, SYNC, kind.upper(), standing=True, detail=detail)
        case ports.Stopped(reason, told):
            rebirth.note_told(step, told)
            stop(step, reason)
        case ports.WelcomeSeen(welcome):
            rebirth.welcomed(step, welcome)
            fencing.welcomed(step, welcome)
            resending.welcomed(step, welcome)
            step.memory.told = {name: at.cum for name, at in welcome.streams.items()}
            _shown(step, event)
        case ports.Connected():
            link_alerts.up(step)
            _shown(step, event)
        case ports.Disconnected(reason, detail):
            link_alerts.down(step, reason, detail)
            _shown(step, event)


def stop(step: Step, reason: str) -> None:
    """Note that this incarnation may not send any more: an alert, ``status`` says so, the next start begins anew."""
    detail = f"{reason}: nothing more is sent to head office until this database gets a new incarnation"
    alerting.device(step, SYNC, SENDING_STOPPED, standing=True, detail=detail)
    step.tx.memory.set_meta(rebirth.STOPPED, reason)
    step.passed.append("stopped")
    step.after.append(lambda: step.live.set_link(stopped=reason, online=False, reason=reason))


def go_on(step: Step) -> None:
    """At the start: where a new incarnation has begun the old stop is over."""
    if step.tx.memory.meta(rebirth.STOPPED) is None:
        alerting.device(step, SYNC, SENDING_STOPPED, standing=False)
    resending.at_start(step)
    lost = rebirth.lost(step)
    if lost:
        alerting.device(step, SYNC, RECORDS_LOST, standing=True, detail=lost)


def _shown(step: Step, event: ports.Connected | ports.Disconnected | ports.WelcomeSeen) -> None:
    live = step.live
    match event:
        case ports.Connected(connect_n, protocol):
            step.after.append(lambda: live.set_link(online=True, connect_n=connect_n, protocol=protocol, reason=""))
        case ports.Disconnected(reason):
            if live.link["online"] or live.link["reason"] != reason:
                step.after.append(lambda: _log.warning("link to head office is down", reason=reason))
            step.after.append(lambda: live.set_link(online=False, reason=reason))
        case ports.WelcomeSeen():
            step.after.append(lambda: _log.info("head office answers"))
            wall_ms = step.stamp.wall_ms
            step.after.append(lambda: live.set_link(welcomed_ms=wall_ms))
            _credit(step, event.welcome.credit)


def _credit(step: Step, credit: Credit | None) -> None:
    """Show how fast this station may send."""
    told = None if credit is None else credit.to_data()
    if told is not None and step.live.link.get("credit") != told:
        step.after.append(lambda: step.live.set_link(credit=told))


def _acknowledged(step: Step, ack: ports.AckAccepted) -> None:
    step.tx.delivery.acknowledge(ack.stream, ack.cum, ack.head_hash)
    step.memory.told[ack.stream] = max(ack.cum, step.memory.told.get(ack.stream, 0))
    for letter in ack.rejected:
        if step.tx.delivery.reject(ack.stream, letter.seq, letter.reason, step.stamp.wall_ms):
            told = rebirth.overlapped(step, letter) if (ack.stream, letter.reason) == ("L", "overlap") else ""
            detail = f"stream {ack.stream} seq {letter.seq}: {letter.reason}" + (f"; {told}" if told else "")
            alerting.device(step, SYNC, f"DEAD_LETTER_{ack.stream}_{letter.seq}", standing=True, detail=detail)
    step.passed.append("ack")
    _credit(step, ack.credit)


def _index_key(step: Step, versions: tuple[str, ...]) -> None:
    """Say aloud that this station recognises nobody: its index key is none of those that members come with."""
    if versions:
        detail = f"members come for index key {' or '.join(versions)}, this station has {step.memory.index_version}"
        strange = step.memory.index_version not in versions
        alerting.device(step, SYNC, INDEX_KEY_OLD, standing=strange, detail=detail if strange else "")


def _members(step: Step, ops: tuple[Any, ...]) -> None:
    have = int(step.tx.memory.meta(caching.MEMBER_OP) or "0")
    told: list[Any] = []
    fresh = [op for op in ops if op["op"] > have]
    for op in caching.applicable(step, fresh):
        if op["kind"] == "PUT":
            told.append(op)
            continue
        _put(step, told)
        told.clear()
        if op["kind"] == "DEL":
            step.tx.members.forget(op["member"])
            step.memory.scrub = True
        elif op["kind"] == "ALIAS":
            enrolling.merged(step, op["member"], op["to"], op["op"])
            step.memory.scrub = True
    _put(step, told)
    step.tx.memory.set_meta(caching.MEMBER_OP, str(fresh[-1]["op"] if fresh else have))


def _put(step: Step, ops: list[Any]) -> None:
    puts = [entry(op, step.settings.station.id) for op in ops]
    counted = {op["member"] for op in ops if op.get("growth_stands") and step.tx.members.by_id(op["member"])}
    step.tx.members.put_all([put._replace(growth=None) if put.id in counted else put for put in puts])
    card_keys.told(step, ops)


def entry(op: Any, station: str = "") -> Put:
    """Return a member as the cache of a station takes it from a PUT of the wire."""
    indexes = []
    for digest in (*(op.get("indexes") or ()), *(op.get("indexes_next") or ())):
        try:
            indexes.append(bytes.fromhex(digest))
        except ValueError:
            _log.warning("member index is not hexadecimal", op=op["op"])
    return Put(
        id=op["member"],
        tier=op.get("tier") or "",
        growth=op.get("growth"),
        tags=tuple(op.get("tags") or ()),
        mask=op.get("mask") or "****",
        birthday_md=op.get("birthday_md"),
        flags=tuple(op.get("flags") or ()),
        base_points=sum(lot["points"] for lot in op.get("lots") or ()),
        indexes=tuple(indexes),
        op=op["op"],
        base_lots=_lots(op.get("lots")),
        as_of=_as_of(op.get("as_of"), station),
        tank_ml=1_000 * op["tank_l"] if (op.get("tank_l") or 0) > 0 else None,
    )


def _lots(told: Any) -> str:
    """Return head office's lots as the cache keeps them: [points, usable_from, expires_on, lot where it has one]."""
    if not told:
        return "[]"
    return _compact([_lot(lot) for lot in told])


def _lot(told: Any) -> list[Any]:
    terms = [told["points"], told.get("usable_from"), told.get("expires_on")]
    return [*terms, told["lot"]] if told.get("lot") else terms


def _as_of(told: Any, station: str) -> str | None:
    """Return the place in our journal that a balance includes, of those of all stations; none: it includes nothing."""
    match told.get(station) if isinstance(told, dict) else None:
        case {"incarnation": str(incarnation), "seq": int(seq)}:
            return _compact({"incarnation": incarnation, "seq": seq})
    return None


_compact = json.JSONEncoder(separators=(",", ":")).encode
