"""A database that may not go on gets a new incarnation before anything else happens, without a person (W-31, W-32).

Knows why, what is sent again and what every meter must ask; how the rows move is the store's part. Opens no port.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from agent.domain import point_events as events
from agent.domain.booking import AMOUNT_ESTIMATED, COVERS_SEVERAL, Meter
from agent.domain.point_rebirth import REINCARNATED, reborn
from agent.domain.point_state import durable
from agent.domain.sale import Sale, SaleKind, Totalizer
from agent.domain.units import amount_of
from agent.failpoints import failpoint
from agent.ids import RandomBits
from agent.logs import get_logger
from agent.pipeline import leasing, points
from agent.pipeline.step import Step
from agent.settings import Settings
from agent.store import mark as marks
from agent.store.delivery import AWAIT_ENDS
from agent.store.journal import Stamp
from agent.store.rebirth import Heads, parent_of
from agent.store.sales import sale_of
from agent.store.store import Store, Tx
from agent.store.swap import RESTORED
from sync.messages import DeadLetter, Welcome
from sync.records import hash_0
from sync.recordtypes import INCARNATION_TYPE, TYPES

_log = get_logger("rebirth")

STOPPED = "stopped"
INSTALL = "install_id"
ENDS = "head_office_ends"
TOLD = "head_office_has"
LOST = "records_lost"
"""Facts about the database: why it may not send, the hardware it ran on last, what head office told at the rebirth; how
far it had each stream when sending stopped, and which records nobody has any more."""

HOUR_MS = 3_600_000
MAX_PER_HOUR = 5
"""New incarnations in one hour; past that something is wrong that another one does not mend: sending stays stopped."""

Span = tuple[Totalizer, Totalizer]
"""From one count of a meter to another."""

SENT_AGAIN = ("L", "A")
"""Facts and alerts are never dropped; telemetry is thinned to one record that says how much (W-01)."""


@dataclass(frozen=True, slots=True)
class Begun:
    """``connect_n``: as the high-water file has it. ``stopped``: why nothing may be sent, ``None`` where it may."""

    connect_n: int
    stopped: str | None


def begin(store: Store, settings: Settings, *, install: str, stamp: Stamp, random: RandomBits) -> Begun:
    """Decide whether this database may go on as it is; where it may not, begin a new incarnation in it."""
    mark, is_damaged = None, False
    try:
        mark = marks.read(settings.store.mark)
    except marks.MarkDamaged:
        is_damaged = True
    connect_n = 0 if mark is None else mark.connect_n
    with store.begin(stamp) as tx:
        reason = _why(store, tx, mark, is_damaged=is_damaged, install=install)
        if reason is not None and tx.incarnations.begun_since(stamp.wall_ms - HOUR_MS) >= MAX_PER_HOUR:
            return Begun(connect_n, reason)
        if reason is None:
            tx.memory.set_meta(INSTALL, install)
        else:
            _reincarnate(tx, store, settings, _Rebirth(reason, mark, install, random))
            failpoint("rebirth.before_commit")
    if reason is not None:
        failpoint("rebirth.after_commit")
        store.reincarnated()
        _log.warning("new incarnation", reason=reason, incarnation=store.incarnation)
    return Begun(connect_n, None)


def _why(store: Store, tx: Tx, mark: marks.Mark | None, *, is_damaged: bool, install: str) -> str | None:
    known = tx.incarnations.known()
    is_foreign = mark is not None and mark.incarnation not in known
    if store.heads()["L"][0] == 0:
        return "empty_database" if is_foreign else None
    stopped = tx.memory.meta(STOPPED)
    if stopped is not None:
        return stopped
    if is_damaged:
        return "mark_damaged"
    if mark is None:
        return "mark_missing"
    # the file of an incarnation that ended here is only late: the crash came before the new one was noted in it
    is_current = mark.incarnation == store.incarnation
    if (is_foreign or is_current) and marks.database_is_behind(mark, store.incarnation, store.heads()):
        return "behind_mark"
    if is_current and _went_another_way(tx, mark):
        return "fork"
    last = tx.memory.meta(INSTALL)
    return "install" if last is not None and last != install else None


def _went_another_way(tx: Tx, mark: marks.Mark) -> bool:
    """An old copy that has grown past the file's seq without being noticed: its records there are not those."""
    hashes = {name: (tx.delivery.hash_at(name, seq), digest) for name, (seq, digest) in mark.streams.items()}
    return any(own is not None and own.hex() != told for own, told in hashes.values())


@dataclass(frozen=True, slots=True)
class _Rebirth:
    reason: str
    mark: marks.Mark | None
    install: str
    random: RandomBits


def _reincarnate(tx: Tx, store: Store, settings: Settings, how: _Rebirth) -> None:
    """One transaction: old or new, never half. The old rows stay."""
    now_ms, told = tx.stamp.wall_ms, ""
    if store.heads()["L"][0] == 0:
        assert how.mark is not None, "an empty database is new unless a mark names its parent"
        streams: Heads = how.mark.streams
        tx.incarnations.name_parent(how.mark.incarnation, how.reason, now_ms, streams)
        _first_record(tx, how.reason, how.mark.incarnation, streams)
    else:
        heads = {name: (seq, digest.hex()) for name, (seq, digest) in store.heads().items()}
        acked = _head_office_has(tx)
        incarnation = f"{how.random.getrandbits(128):032x}"
        generation = tx.incarnations.end(incarnation, how.reason, now_ms, how.install)
        tx.journal.generation = generation + 1
        failpoint("rebirth.ended")
        tx.journal.heads = tx.incarnations.restart_chains(store.station, incarnation)
        _first_record(tx, how.reason, store.incarnation, heads)
        told = _send_again(tx, _Ended(store.incarnation, generation, heads, acked))
    _end_leases(tx)
    _doubt_meters(tx, settings, {} if how.mark is None else how.mark.meters)
    tx.memory.forget_meta(STOPPED)
    tx.memory.forget_meta(TOLD)
    tx.memory.forget_meta(ENDS)
    tx.memory.set_meta(AWAIT_ENDS, "1")
    tx.memory.set_meta(INSTALL, how.install)
    _audit(tx, "reincarnated", "database", f"{how.reason}{told}")


def _head_office_has(tx: Tx) -> dict[str, tuple[int, bytes]]:
    """Seq and hash up to where head office has each stream: as acknowledged, or less where it was restored (W-34)."""
    has = tx.incarnations.acked()
    for stream, seq in json.loads(tx.memory.meta(TOLD) or "{}").items():
        digest = tx.delivery.hash_at(stream, seq) if seq else hash_0(*_chain(tx), stream)
        if seq < has[stream][0] and digest is not None:
            has[stream] = (seq, digest)
    return has


def _chain(tx: Tx) -> tuple[str, str]:
    return tx.memory.meta("station") or "", tx.memory.meta("incarnation") or ""


def _first_record(tx: Tx, reason: str, incarnation: str, streams: Heads) -> None:
    data: dict[str, Any] = {"reason": reason, "parent": None}
    if set(streams) >= {"L", "A", "T"}:
        named = {**data, "parent": parent_of(incarnation, streams)}
        # a mark written by other hands may hold anything; a parent that cannot be named is unknown
        data = named if TYPES[INCARNATION_TYPE].data.defect(named) is None else data
    tx.journal.append(INCARNATION_TYPE, data)


@dataclass(frozen=True, slots=True)
class _Ended:
    """The incarnation before: its name and number, where it ended, and up to where head office has it."""

    incarnation: str
    generation: int
    heads: Heads
    has: Mapping[str, tuple[int, bytes]]


def _send_again(tx: Tx, ended: _Ended) -> str:
    """Journal again what head office may lack: same id, time and data, a new seq. Returns what was done, for people."""
    generation, acked = ended.generation, ended.has
    lost = _tell_lost(tx, ended)
    again, damaged = 0, []
    for stream in SENT_AGAIN:
        for old in tx.incarnations.not_acknowledged(generation, stream, acked[stream]):
            if old.type == INCARNATION_TYPE:
                continue
            if not old.intact:
                damaged.append(f"{stream} {old.seq}")
                continue
            repeated = tx.journal.repeat(old.body, old.time_ms)
            tx.sales.place_again(repeated.id, tx.journal.generation, repeated.seq)
            again += 1
    thinned = tx.incarnations.telemetry_left(generation, acked["T"][0])
    if thinned is not None:
        tx.journal.append("fc.telemetry.thinned.v1", {**thinned, "reason": REINCARNATED})
    for place in damaged:
        _audit(tx, "record_damaged", place, "bytes and hash of the ended incarnation disagree; not sent again")
    left = 0 if thinned is None else thinned["count"]
    return f": {again} records sent again, {left} readings thinned, {len(damaged)} damaged{lost}"


def _tell_lost(tx: Tx, ended: _Ended) -> str:
    """Name the records that head office lacks and that are not kept here any more: a gap nobody can fill (W-34)."""
    told = []
    for stream, (has, _) in ended.has.items():
        kept = tx.incarnations.first_kept(ended.generation, stream, has)
        last = ended.heads[stream][0] if kept is None else kept - 1
        if last > has:
            gap = {"incarnation": ended.incarnation, "stream": stream, "from": has + 1, "to": last, "reason": "pruned"}
            tx.journal.append("fc.gap.v1", gap)
            told.append(f"stream {stream} from {has + 1} to {last}")
    if not told:
        return ""
    text = f"{', '.join(told)} of {ended.incarnation}: head office has them no more, and they are kept here no more"
    tx.memory.set_meta(LOST, text)
    return f"; lost: {text}"


def _end_leases(tx: Tx) -> None:
    """What was lent to the earlier incarnation is spent no more (W-52), and no quote may rest on it."""
    ended = leasing.void_all(tx, tx.memory.meta("incarnation") or "")
    tx.quotes.end_all(tx.stamp.wall_ms)
    tx.requests.end_all()
    if ended:
        _audit(tx, "leases_void", "leases", f"{ended} leases were lent to the incarnation before")


def _doubt_meters(tx: Tx, settings: Settings, told: Mapping[str, marks.Count]) -> None:
    """Every stored total may be an old one: each nozzle asks head office before what moved since is booked."""
    prices = dict.fromkeys(settings.grade, 0)
    for number, point in points.build(settings, tx.memory.points(), prices, REINCARNATED, {}).items():
        doubted = replace(point, durable=reborn(point.durable, point.config.numbers, _counted(number, told)))
        tx.memory.save_point(number, durable(doubted))


def _counted(number: int, told: Mapping[str, marks.Count]) -> tuple[Meter, ...]:
    """Where the meters of a fuelling point stood, as the high-water file has it."""
    found = []
    for name, (total, unit_ml, modulus) in sorted(told.items()):
        point, _, nozzle = name.partition(":")
        if (point, nozzle.isdecimal()) == (str(number), True):
            found.append(Meter(nozzle=int(nozzle), total=Totalizer.parse(total), unit_ml=unit_ml, modulus=modulus))
    return tuple(found)


def _audit(tx: Tx, action: str, subject: str, reason: str) -> None:
    who = {"who": "agent", "role": "agent", "action": action, "object": subject, "reason": reason, "result": "done"}
    tx.journal.append("fc.audit.v1", who)


def note_told(step: Step, told: Mapping[str, int]) -> None:
    """Sending stops: keep how far head office has each stream, so that the next incarnation sends what it lacks."""
    if told:
        step.tx.memory.set_meta(TOLD, json.dumps(dict(told), sort_keys=True))


def lost(step: Step) -> str:
    """Return once what the last rebirth found lost, for an alert; empty where nothing was."""
    text = step.tx.memory.meta(LOST)
    if text is not None:
        step.tx.memory.forget_meta(LOST)
    return text or ""


def tell_restored(step: Step) -> None:
    """Journal once who put this database in the place of another, and why."""
    note = step.tx.memory.meta(RESTORED)
    if note:
        told = json.loads(note)
        step.audit(told["person"], "supervisor", "restored", told["source"], reason=told["reason"])
        step.tx.memory.set_meta(RESTORED, "")


# --- what head office says ------------------------------------------------------------------------------------------


def welcomed(step: Step, welcome: Welcome) -> None:
    """The first welcome of a new incarnation tells where head office's sales end: every gap can be closed.

    Only after this commit are records of L shown to the link (``store.delivery``): until then no sale of this
    incarnation is at head office, so the ends it tells are those of the others.
    """
    if step.tx.memory.meta(AWAIT_ENDS) is None:
        return
    told: dict[int, list[tuple[int, Totalizer]]] = {}
    for end in welcome.nozzles:
        if end.totalizer_end is not None:
            told.setdefault(end.fuelling_point, []).append((end.nozzle, Totalizer.parse(end.totalizer_end)))
    for number in list(step.memory.points):
        points.handle(step, number, events.EndsKnown(tuple(told.get(number, ()))))
    kept = {f"{point}:{nozzle}": str(end) for point, ends in told.items() for nozzle, end in ends}
    step.tx.memory.set_meta(ENDS, json.dumps(kept, sort_keys=True))
    step.tx.memory.forget_meta(AWAIT_ENDS)
    step.audit("agent", "agent", "ends_known", "meters", reason=f"head office told the ends of {len(kept)} nozzles")
    failpoint("rebirth.ends_noted")


def overlapped(step: Step, letter: DeadLetter) -> str:
    """Head office put a sale aside because it has litres of it under other sales: book what it does not have.

    This happens to sales that a copy of the database booked before anybody could tell it that it was one.
    Returns what was done for the alert, empty where the overlap has another cause.
    """
    sale = _sale_at(step, letter.seq)
    if sale is None or step.tx.sales.is_superseded(sale.id):
        return ""
    known = tuple((Totalizer.parse(start), Totalizer.parse(end)) for start, end in letter.known) or _told_end(
        step, sale
    )
    meter = step.memory.points[sale.fuelling_point].durable.meter(sale.nozzle)
    if meter is None or not known or sale.totalizer_start is None or sale.totalizer_end is None:
        return ""
    rests = [_rest(step, sale, meter, piece) for piece in _not_known(sale.totalizer_start, sale.totalizer_end, known)]
    if any(not 0 < rest.volume_ml <= sale.volume_ml for rest in rests):
        return ""
    for at in (*(rest.totalizer_start for rest in rests), sale.totalizer_end):
        assert at is not None
        points.write_baseline(step, sale.fuelling_point, events.Baseline(sale.nozzle, at, meter.unit_ml, REINCARNATED))
    for rest in rests:
        points.write_sale(step, rest, len(rests))
    step.tx.sales.supersede(sale.id, rests[-1].id if rests else None, step.stamp.wall_ms)
    told = "known at head office" + ("" if not rests else f", the rest is sale {', '.join(rest.id for rest in rests)}")
    step.audit("agent", "agent", "sale_superseded", sale.id, reason=told)
    return told


def _told_end(step: Step, sale: Sale) -> tuple[Span, ...]:
    """What the first welcome of this incarnation said, where an ack does not say which litres are known."""
    ends: dict[str, str] = json.loads(step.tx.memory.meta(ENDS) or "{}")
    text = ends.get(f"{sale.fuelling_point}:{sale.nozzle}")
    if text is None or sale.totalizer_start is None or Totalizer.parse(text) <= sale.totalizer_start:
        return ()
    return ((sale.totalizer_start, Totalizer.parse(text)),)


def _not_known(start: Totalizer, end: Totalizer, known: tuple[Span, ...]) -> list[Span]:
    """Return the pieces of ``start`` to ``end`` that lie outside what is known, in order of the meter."""
    pieces = []
    for first, last in sorted(known):
        if first > start:
            pieces.append((start, min(first, end)))
        start = max(start, last)
    return [*pieces, (start, end)] if start < end else pieces


def _sale_at(step: Step, seq: int) -> Sale | None:
    body = step.tx.delivery.body("L", seq)
    record = {} if body is None else json.loads(body)
    if record.get("type") != "fc.sale.v1" or record["data"]["fuelling_point"] not in step.memory.points:
        return None
    row = step.tx.sales.row(record["data"]["sale"])
    return None if row is None else sale_of(row)


def _rest(step: Step, sale: Sale, meter: Meter, piece: Span) -> Sale:
    """A piece of a sale that head office does not have, as a recovered sale of its own."""
    start, end = piece
    volume_ml = (end.raw - start.raw) % meter.modulus * meter.unit_ml
    return replace(
        sale,
        id=step.new_id(),
        kind=SaleKind.RECOVERED,
        volume_ml=volume_ml,
        amount_minor=amount_of(volume_ml, sale.unit_price_milli, sale.exponent),
        totalizer_start=start,
        totalizer_end=end,
        lifted_ms=None,
        attendant=None,
        flags=tuple(sorted({AMOUNT_ESTIMATED, COVERS_SEVERAL, REINCARNATED})),
    )
