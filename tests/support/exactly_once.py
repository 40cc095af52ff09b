"""The one exactly-once checker: what pumps counted and every copy of a station's database against head office's database.

Computes chains, sums and intervals itself from the bytes and believes no column: nothing that it judges helps it.
Knows no process, no broker and no clock; so process tests, simulated days, random walks and a whole fleet all use it.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.support import office_rows
from tests.support.office_rows import Chain, Office, Place

Nozzle = tuple[int, int]
Span = tuple[tuple[int, int], tuple[int, int]]
KNOWN_THERE = "known at head office"
REINCARNATED = "reincarnated"
FIRST = "fc.incarnation.v1"


@dataclass(frozen=True, slots=True)
class Truth:
    """What really happened at one station; ``None``: nobody counted it.

    ``volume_ml``: per nozzle as its meter moved. ``sales``: per nozzle, where every fuelling has to be one sale.
    ``points``: per member over all accounts.
    """

    volume_ml: Mapping[Nozzle, int] | None = None
    sales: Mapping[Nozzle, int] | None = None
    points: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    """A record in a station's journal. ``is_newest``: of the life that runs; ``delivered``: head office has it, it says."""

    place: Place
    id: str
    type: str
    raw: bytes
    is_newest: bool
    delivered: bool


def check_exactly_once(
    location: str | Path,
    copies: Mapping[str, Sequence[Path]],
    truth: Mapping[str, Truth] | None = None,
    *,
    dead: Collection[str] = ("overlap",),
) -> None:
    """Fail with all complaints at once. See ``complaints``."""
    found = complaints(location, copies, truth, dead=dead)
    assert not found, f"{len(found)} complaints:\n" + "\n".join(found[:40])


def complaints(
    location: str | Path,
    copies: Mapping[str, Sequence[Path]],
    truth: Mapping[str, Truth] | None = None,
    *,
    dead: Collection[str] = ("overlap",),
    is_over: bool = True,
) -> list[str]:
    """Return what does not hold, as sentences; nothing where every fact is at head office once.

    ``location``: head office's database, a path or URL. ``copies``: by station its databases, all that sold or sent.
    ``dead``: reasons of dead letters that the story explains. ``is_over``: everything must have arrived; without it
    only what is there must be right, and what a station calls delivered must be there.
    """
    office = office_rows.read(location)
    found = [*_chains(office), *_facts(office), *_points(office), *_put_aside(office, dead), *_intervals(office)]
    found += _earned_twice(office)
    for station, paths in copies.items():
        for path in paths:
            found += _copy(office, station, path, is_over=is_over)
    for station, real in (truth or {}).items():
        found += _truth(office, station, real)
    return found


# --- head office by itself ------------------------------------------------------------------------------------------


def _chains(office: Office) -> Iterator[str]:
    """I5: every place of a chain has its bytes once, they give its hash, and nothing lies outside a chain."""
    for chain, (cum, head_hash) in office.cursors.items():
        value = sha256("\0".join(chain).encode("ascii")).digest()
        for seq in range(1, cum + 1):
            kept = office.kept.get(Place(chain, seq), {})
            if len(set(kept.values())) != 1:
                yield f"chain {_named(chain)}: seq {seq} has {len(kept)} rows with bytes"
                break
            value = _next(value, seq, next(iter(kept.values())))
            stored, kept_as = office.hashes[chain].get(seq, ("nothing", "nowhere"))
            if (stored, kept_as in kept) != (value.hex(), True):
                yield f"chain {_named(chain)}: the bytes of seq {seq} do not have their hash, or are not kept as {kept_as}"
                break
        else:
            if value.hex() != head_hash:
                yield f"chain {_named(chain)}: the cursor's hash at {cum} is not that of the bytes"
    for place in office.kept:
        if place.seq > office.cursors.get(place.chain, (0, ""))[0]:
            yield f"chain {_named(place.chain)}: seq {place.seq} lies behind the cursor"


def _facts(office: Office) -> Iterator[str]:
    """I3: an id, a sale and a settlement are one fact each; the rows drawn from facts say what their bytes say."""
    yield from _once(f"record {f.place.chain.station} {f.id}" for f in office.facts)
    sales = {row["record"]: row for row in office.sales}
    settled = {row["record"]: row for row in office.settlements}
    seen: list[str] = []
    for fact in office.facts:
        record, station = fact.record, fact.place.chain.station
        data = record["data"]
        if (record["id"], record["seq"]) != (fact.id, fact.place.seq):
            yield f"record {fact.id}: its row says another id or seq than its bytes"
        if record["type"] == "fc.sale.v1":
            row = sales.pop(fact.number, None)
            seen.append(f"sale {station} {data['sale']}")
            if row is None or any(row[name] != data[name] for name in ("sale", "volume_ml", "amount_minor")):
                yield f"sale {data['sale']}: its row does not say what its record says"
        elif record["type"] == "fc.sale.settled.v1":
            row = settled.pop(fact.number, None)
            seen.append(f"settlement {station} {data['sale']}")
            if row is None or row["member"] != data["member"]:
                yield f"settlement of {data['sale']}: its row does not say what its record says"
    yield from (f"row of sale {row['sale']} has no record" for row in (*sales.values(), *settled.values()))
    yield from _once(seen)


def _once(names: Iterator[str] | list[str]) -> Iterator[str]:
    return (f"{name} counts {times} times" for name, times in Counter(names).items() if times > 1)


def _points(office: Office) -> Iterator[str]:
    """I2: the postings are exactly those of the facts, each to its member, and each record's sum is 0."""
    rows: dict[int, list[tuple[int, str | None, str, int]]] = defaultdict(list)
    for row in office.postings:
        rows[row["record"]].append((row["place"], row["member"], row["account"], row["points"]))
    members = {(row["station"], row["sale"]): (row["record"], row["member"]) for row in office.settlements}
    for fact in office.facts:
        data = fact.record["data"]
        told = data.get("postings", ())
        known = members.get((fact.place.chain.station, str(data.get("sale"))), (fact.number + 1, None))
        whose = data["member"] if "member" in data else known[1] if known[0] < fact.number else None
        wanted = [(n, p.get("member", whose), p["account"], p["points"]) for n, p in enumerate(told)]
        if sorted(rows.pop(fact.number, [])) != wanted:
            yield f"points of record {fact.id}: the postings are not those of its bytes"
        if sum(p["points"] for p in told):
            yield f"points of record {fact.id}: its postings do not sum to 0"
    yield from (f"postings of record number {number}, which is no fact" for number in rows)


def _put_aside(office: Office, dead: Collection[str]) -> Iterator[str]:
    """What is no fact is explained: a second arrival says of what, a fork is known here in another life."""
    facts = {(fact.place.chain.station, fact.id) for fact in office.facts}
    numbers = {fact.number: fact for fact in office.facts}
    alerts = set(office.alerts)
    aside = {(place.chain.station, _id(raw)) for place, _, raw, _ in office.dead}
    aside |= {(place.chain.station, _id(raw)) for place, _, _, raw in office.duplicates}
    for place, of, same, raw in office.duplicates:
        record, first = json.loads(raw), numbers.get(of)
        if first is None or (same and not _same(raw, first.raw)):
            yield f"second arrival {record['id']}: it is not one of record number {of}"
        elif not same and not any(alert[:2] == (place.chain.station, "other_content") for alert in alerts):
            yield f"second arrival {record['id']}: other content than the first one, and nobody was told"
    for place, reason, raw, replayed in office.dead:
        if reason not in dead and not replayed:
            yield f"dead letter {_named(place.chain)} {place.seq}: {reason}, {raw[:200]!r}"
    for place, raw in office.quarantine:
        name = f"{place.chain.incarnation} {place.chain.stream}"
        if (place.chain.station, "fork", name) not in alerts:
            yield f"fork of {_named(place.chain)}: nobody was told"
        mine = (place.chain.station, _id(raw))
        if place.chain.stream != "T" and FIRST.encode() not in raw and mine not in facts | aside:
            yield f"fork of {_named(place.chain)}: record {mine[1]} is in no other life"


def _intervals(office: Office) -> Iterator[str]:
    """W-24: no millilitre of a meter is in two sales."""
    last: tuple[tuple[str, Nozzle], Span] | None = None
    for owner, spans in sorted(_spans(office).items()):
        for span in spans:
            if last is not None and last[0] == owner and span[0] < last[1][1]:
                yield f"nozzle {owner}: sales {last[1]} and {span} overlap"
            last = (owner, span)


def _earned_twice(office: Office) -> Iterator[str]:
    """A sale that is put aside for its litres may not earn where the sale that has them earns as well, and only there."""
    settled = [fact for fact in office.facts if fact.record["type"] == "fc.sale.settled.v1"]
    earned = {
        (fact.place.chain.station, fact.record["data"]["sale"]): fact.record["data"]["points_earned"]
        for fact in settled
    }
    annulled = {
        (fact.place.chain.station, fact.record["data"]["sale"]) for fact in settled if fact.number in office.annulled
    }
    justly: set[tuple[str, str]] = set()
    accepted = {
        (fact.place.chain.station, fact.record["data"]["sale"]): fact.record["data"]
        for fact in office.facts
        if fact.record["type"] == "fc.sale.v1"
    }
    for place, reason, raw, _ in office.dead:
        data = json.loads(raw)["data"] if reason == "overlap" else {}
        name = (place.chain.station, str(data.get("sale")))
        if not earned.get(name):
            continue
        for other, theirs in accepted.items():
            if other[0] == name[0] and earned.get(other) and _nozzle(theirs) == _nozzle(data) and _meet(theirs, data):
                justly.add(name)
                if name not in annulled:
                    yield f"points for {name[1]} and for {other[1]}, which have the same litres"
    yield from (
        f"points for {sale} are annulled, and no other sale earned for its litres" for _, sale in annulled - justly
    )


# --- stations -------------------------------------------------------------------------------------------------------


def _copy(office: Office, station: str, path: Path, *, is_over: bool) -> Iterator[str]:
    """I3, I5: what this database has written is at head office at its place, or on its way."""
    facts = {fact.id: fact.raw for fact in office.facts if fact.place.chain.station == station}
    aside = {_id(raw) for place, _, raw, _ in office.dead if place.chain.station == station}
    aside |= {_id(raw) for place, _, _, raw in office.duplicates if place.chain.station == station}
    forked = set(office.quarantine)
    lost = _lost_ranges(office)
    lacked = _lacked(path)
    for row in _journal(station, path):
        here = f"{path.name} {_named(row.place.chain)} {row.place.seq} {row.type}"
        kept = office.kept.get(row.place)
        is_there = kept is not None and row.raw in kept.values()
        # an old copy went another way than head office knows: what it had not sent when it ended arrives in its next life
        went_on = row.delivered or (kept is not None and is_over and row.is_newest)
        # head office was restored, and this life had ended: what it had of it comes again in the next life's chain
        moved_on = not row.is_newest and (row.id in facts or row.id in aside or _is_of_a_lost_life(row, lacked))
        if not is_there and went_on and not moved_on and (row.place, row.raw) not in forked:
            yield f"{here}: head office has {'other bytes' if kept else 'nothing'} there"
        if row.id in facts and row.raw != facts[row.id] and not _same(row.raw, facts[row.id]):
            yield f"{here}: record {row.id} says something else at head office"
        if not is_over or is_there or any(row.place.seq in span for span in lost.get(row.place.chain, ())):
            continue
        if row.place.chain.stream == "T" or row.type == FIRST:
            if row.is_newest:
                yield f"{here}: it has not arrived"
        elif row.id not in facts and row.id not in aside:
            yield f"{here}: record {row.id} is lost"
    yield from _unbroken(station, path)
    yield from _told(office, path)


def _unbroken(station: str, path: Path) -> Iterator[str]:
    heads: dict[Chain, tuple[int, bytes]] = {}
    rows = _sql(path, f"SELECT incarnation, stream, seq, body, hash {_JOURNAL} ORDER BY generation, stream, seq")
    for incarnation, stream, seq, body, digest in rows:
        chain = Chain(station, incarnation, stream)
        before = heads.get(chain)
        if before is None:
            # the oldest rows may be deleted: what follows hangs on the first hash that is left
            value = _next(sha256("\0".join(chain).encode("ascii")).digest(), seq, body) if seq == 1 else bytes(digest)
        else:
            value = _next(before[1], seq, body)
        if value != bytes(digest) or (before is not None and seq != before[0] + 1):
            yield f"{path.name} chain {_named(chain)}: broken at seq {seq}"
            return
        heads[chain] = (seq, value)


def _told(office: Office, path: Path) -> Iterator[str]:
    """W-21: a station that calls a dead letter's place delivered keeps why it was put aside."""
    told = set(_sql(path, f"SELECT incarnation, stream, seq FROM rejected JOIN incarnation ON {_RUNNING}"))
    told |= set(_sql(path, "SELECT incarnation, stream, seq FROM rejected_archive JOIN incarnation USING (generation)"))
    for incarnation, stream, acked in _sql(
        path, f"SELECT incarnation, stream, acked FROM stream_head JOIN incarnation ON {_RUNNING}"
    ):
        for place, reason, _, _ in office.dead:
            mine = place.chain[1:] == (incarnation, stream) and place.seq <= acked
            if mine and (incarnation, stream, place.seq) not in told:
                yield f"{path.name} {_named(place.chain)} {place.seq}: nobody here was told of the dead letter {reason}"


_RUNNING = "generation = (SELECT max(generation) FROM incarnation)"
_JOURNAL = "FROM journal JOIN incarnation USING (generation)"


def _journal(station: str, path: Path) -> Iterator[_Row]:
    columns = f"incarnation, stream, seq, id, type, body, {_RUNNING}, delivered"
    for incarnation, stream, seq, record_id, kind, body, newest, delivered in _sql(
        path, f"SELECT {columns} {_JOURNAL}"
    ):
        place = Place(Chain(station, incarnation, stream), seq)
        yield _Row(place, record_id, kind, bytes(body), bool(newest), bool(delivered))


def _lacked(path: Path) -> dict[tuple[str, str], int]:
    """Up to which seq a restored head office said to have the chains of ended lives, where that was less than before."""
    names = {
        str(generation): name for generation, name in _sql(path, "SELECT generation, incarnation FROM incarnation")
    }
    told = [json.loads(value) for (value,) in _sql(path, "SELECT value FROM meta WHERE key = 'resend_done'")]
    keys = {key: seq for one in told for key, seq in one.items()}
    return {(names[key.partition(":")[0]], key.partition(":")[2]): seq for key, seq in keys.items()}


def _is_of_a_lost_life(row: _Row, lacked: Mapping[tuple[str, str], int]) -> bool:
    """The first record of an ended life says only that a chain begins: nobody begins it again."""
    chain = row.place.chain
    return row.type == FIRST and row.place.seq > lacked.get((chain.incarnation, chain.stream), row.place.seq)


def _sql(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as connection:
        return connection.execute(statement).fetchall()


def _lost_ranges(office: Office) -> dict[Chain, list[range]]:
    """Records that a station says it can no longer send (W-34), by the chain they stood in."""
    found: dict[Chain, list[range]] = defaultdict(list)
    for fact in office.facts:
        match fact.record:
            case {
                "type": "fc.gap.v1",
                "data": {"incarnation": str(life), "stream": str(stream), "from": int(first), "to": int(last)},
            }:
                found[Chain(fact.place.chain.station, life, stream)].append(range(first, last + 1))
    return found


# --- the truth ------------------------------------------------------------------------------------------------------


def _truth(office: Office, station: str, real: Truth) -> Iterator[str]:
    sold = [f.record["data"] for f in office.facts if f.place.chain.station == station and b'"fc.sale.v1"' in f.raw]
    booked: Counter[Nozzle] = Counter()
    for data in sold:
        booked[_nozzle(data)] += data["volume_ml"]
    if real.volume_ml is not None:
        yield from _litres(booked, real.volume_ml, _named_losses(office, station))
    if real.sales is not None:
        count = Counter(_nozzle(data) for data in sold)
        if count != Counter({nozzle: number for nozzle, number in real.sales.items() if number}):
            yield f"{station}: {dict(real.sales)} fuellings, {dict(count)} sales at head office"
    if real.points is not None:
        held: Counter[str] = Counter()
        mine = {fact.number for fact in office.facts if fact.place.chain.station == station}
        for row in office.postings:
            if row["record"] in mine and row["account"].startswith("member:"):
                held[row["member"]] += row["points"]
        for member in sorted({*held, *real.points}):
            if held[member] != real.points.get(member, 0):
                yield f"points of {member}: {real.points.get(member, 0)} given, {held[member]} at head office"


def _litres(booked: Counter[Nozzle], real: Mapping[Nozzle, int], named: Mapping[Nozzle, int | None]) -> Iterator[str]:
    """I1, I4: what a meter counted is sold, or a gap record says between which counts it is not."""
    for nozzle in sorted({*booked, *real}):
        missing = real.get(nozzle, 0) - booked[nozzle]
        if missing == named.get(nozzle, 0) or (missing > 0 and nozzle in named and named[nozzle] is None):
            continue
        yield f"nozzle {nozzle}: pumped {real.get(nozzle, 0)} ml, sold {booked[nozzle]} ml, gaps name {named.get(nozzle, 0)} ml"


def _named_losses(office: Office, station: str) -> dict[Nozzle, int | None]:
    """Per nozzle the ml that a record or an alert names and no sale has; ``None`` where one does not know from where."""
    sold = _spans(office)
    gaps: dict[Nozzle, list[tuple[str | None, str, int]]] = defaultdict(list)
    stood: dict[Nozzle, str] = {}
    counts: dict[Nozzle, list[str]] = defaultdict(list)
    for fact in office.facts:
        kind, data = fact.record["type"], fact.record["data"]
        if fact.place.chain.station != station:
            continue
        if kind == "fc.gap.v1" and "nozzle" in data and _is_missing(office, station, data):
            gaps[_nozzle(data)].append((_begin(data, counts[_nozzle(data)]), data["to"], data["totalizer_unit_ml"]))
        elif kind == "fc.meter.baseline.v1" and data["reason"] != REINCARNATED:
            nozzle, now = _nozzle(data), data["totalizer"]
            subject = f"fuelling point {nozzle[0]} nozzle {nozzle[1]}"
            if _total(stood.get(nozzle, now)) < _total(now) and (station, "baseline_differs", subject) in office.alerts:
                gaps[nozzle].append((stood[nozzle], now, data["totalizer_unit_ml"]))
            stood[nozzle] = max(stood.get(nozzle, now), now, key=_total)
            counts[nozzle].append(now)
        elif kind == "fc.sale.v1" and data["totalizer_end"] is not None:
            nozzle = _nozzle(data)
            stood[nozzle] = max(stood.get(nozzle, "0:0"), data["totalizer_end"], key=_total)
            counts[nozzle].append(data["totalizer_end"])
    return {nozzle: _uncovered(told, sold.get((station, nozzle), [])) for nozzle, told in gaps.items()}


def _begin(data: Mapping[str, Any], counts: list[str]) -> str | None:
    """Where a gap begins; one of an empty database that head office knew begins where it knows the meter to have stood."""
    start: str | None = data["from"]
    if start is not None or data["reason"] != KNOWN_THERE:
        return start
    return max((count for count in counts if _total(count) <= _total(data["to"])), key=_total, default=None)


def _is_missing(office: Office, station: str, data: Mapping[str, Any]) -> bool:
    """Head office had the litres, unless it was restored and says that it has them no more."""
    subject = f"fuelling point {data['fuelling_point']} nozzle {data['nozzle']}"
    return data["reason"] != KNOWN_THERE or (station, "litres_unknown", subject) in office.alerts


def _uncovered(gaps: list[tuple[str | None, str, int]], sold: list[Span]) -> int | None:
    """The ml of all gaps together, each count once, that no sale has."""
    missing_ml, done = 0, list(sold)
    for start, end, unit_ml in gaps:
        if start is None or _total(start)[0] != _total(end)[0]:
            return None
        gap = (_total(start), _total(end))
        missing_ml += (gap[1][1] - gap[0][1] - sum(_shared(gap, span) for span in _merged(done))) * unit_ml
        done.append(gap)
    return missing_ml


def _merged(spans: list[Span]) -> list[Span]:
    found: list[Span] = []
    for span in sorted(spans):
        if found and span[0] <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], span[1]))
        else:
            found.append(span)
    return found


# --- small change ---------------------------------------------------------------------------------------------------


def _spans(office: Office) -> dict[tuple[str, Nozzle], list[Span]]:
    """By station and nozzle the intervals of accepted sales, in the order of the meter; empty ones left out."""
    found: dict[tuple[str, Nozzle], list[Span]] = defaultdict(list)
    for fact in office.facts:
        record = fact.record
        if record["type"] == "fc.sale.v1" and record["data"]["totalizer_start"] != record["data"]["totalizer_end"]:
            data = record["data"]
            if data["totalizer_start"] is not None and data["totalizer_end"] is not None:
                found[fact.place.chain.station, _nozzle(data)].append(_span(data))
    return {owner: sorted(spans) for owner, spans in found.items()}


def _shared(one: Span, other: Span) -> int:
    if one[0][0] != other[0][0] or other[0][0] != other[1][0]:
        return 0
    return max(0, min(one[1][1], other[1][1]) - max(one[0][1], other[0][1]))


def _meet(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if any(data[name] is None for data in (one, other) for name in ("totalizer_start", "totalizer_end")):
        return False
    left, right = _span(one), _span(other)
    return left[0] < right[1] and right[0] < left[1]


def _span(data: Mapping[str, Any]) -> Span:
    return (_total(data["totalizer_start"]), _total(data["totalizer_end"]))


def _total(text: str) -> tuple[int, int]:
    epoch, raw = text.split(":")
    return (int(epoch), int(raw))


def _nozzle(data: Mapping[str, Any]) -> Nozzle:
    return (data["fuelling_point"], data["nozzle"])


def _same(one: bytes, other: bytes) -> bool:
    left, right = json.loads(one), json.loads(other)
    return all(left.get(name) == right.get(name) for name in ("type", "time", "data"))


def _id(raw: bytes) -> str:
    try:
        return str(json.loads(raw)["id"])
    except (ValueError, TypeError, KeyError):
        return ""


def _next(value: bytes, seq: int, raw: bytes) -> bytes:
    return sha256(value + seq.to_bytes(8, "big") + raw).digest()


def _named(chain: Chain) -> str:
    return f"{chain.station} {chain.incarnation[:8]} {chain.stream}"
