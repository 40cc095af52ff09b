"""Shifts of the station: opened, closed in one commit while pumps keep selling, and litres that were not sold.

A shift is what was written between two instants that nothing else shares, so every sale is in exactly one of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agent.domain.rules.facts import Purpose
from agent.domain.sale import SaleState
from agent.domain.settlement import Tender
from agent.failpoints import failpoint
from agent.inbox import Person
from agent.pipeline import alerting, people, settling
from agent.pipeline.correcting import By
from agent.pipeline.memory import Memory
from agent.pipeline.step import RequestRefused, Step
from agent.settings import Settings
from agent.store.prepared import Found
from agent.store.shifts import counted_of, grades_of, mark_rows, marks_now, marks_of
from agent.store.store import Tx
from sync.records import format_time

SUBJECT, OPEN_LONG = "shift", "SHIFT_OPEN_LONG"
ROWS_PER_RECORD = 12
"""A record holds at most 16 KiB: a large station's nozzles and attendants travel in several."""


def at_start(tx: Tx, memory: Memory) -> None:
    """Take over since when a shift is open."""
    row = tx.shifts.current()
    memory.shift_since_ms = None if row is None else row["opened_ms"]


def watch(step: Step) -> None:
    """Every second: a shift that nobody closes is told."""
    since, longest = step.memory.shift_since_ms, step.settings.shift.open_max
    is_long = since is not None and step.stamp.wall_ms - since > longest
    detail = f"open for more than {longest // 3_600_000} hours"
    alerting.device(step, SUBJECT, OPEN_LONG, standing=is_long, detail=detail)


def _marks(step: Step) -> str:
    return mark_rows(marks_now(grades_of(step.settings), step.tx.memory.points()))


def open_shift(step: Step, by: Person, request: str | None = None) -> dict[str, Any]:
    """Open a shift that begins where the one before was closed; the first one begins now. Raises RequestRefused."""
    known = None if request is None else step.tx.shifts.of_request("open_request", request)
    if known is not None:
        return {**header(known), "repeat": True}
    current = step.tx.shifts.current()
    if current is not None:
        raise RequestRefused(
            f"shift {current['number']} is open since {step.local(current['opened_ms']):%Y-%m-%d %H:%M} "
            f"({current['opened_by']})",
            hint="forecourt shift close ends it",
        )
    now_ms, last = step.begin_after_everything(), step.tx.shifts.last()
    row: Found = {
        "id": step.new_id(),
        "number": 1 if last is None else last["number"] + 1,
        "from_ms": now_ms if last is None else last["closed_ms"],
        "opened_ms": now_ms,
        "opened_by": by.name,
        "open_request": request,
        "open_marks": _marks(step) if last is None else last["close_marks"],
        "closed_ms": None,
        "closed_by": None,
    }
    step.tx.shifts.open({name: value for name, value in row.items() if value is not None})
    step.memory.shift_since_ms = now_ms
    _record(step, row, "opened", by, {})
    _done(step)
    return {**header(row), "repeat": False}


def close_shift(
    step: Step,
    by: Person,
    request: str | None = None,
    *,
    counted: Mapping[str, int] | None = None,
    shift: str | None = None,
) -> dict[str, Any]:
    """Close the open shift: sums, marks and everybody's sign-out in one commit. Raises RequestRefused.

    ``counted``: money by kind of payment, minor units. ``shift``: the one that is meant, where given.
    """
    known = None if request is None else step.tx.shifts.of_request("close_request", request)
    if known is not None:
        return {**header(known), **json.loads(known["report"]), **_money(step.settings), "repeat": True}
    row = _current(step, shift)
    closed_ms = step.begin_after_everything()
    closing = _marks(step)
    counted_text = json.dumps(dict(counted or {}), sort_keys=True)
    account = step.tx.shifts.account(row["from_ms"], closed_ms)
    report = account.shown(marks_of(row["open_marks"]), marks_of(closing), counted_of(counted_text))
    end = {"closed_ms": closed_ms, "closed_by": by.name}
    step.tx.shifts.close(
        row["id"],
        {
            **end,
            "close_request": request,
            "close_marks": closing,
            "counted": counted_text,
            "report": json.dumps(report),
        },
    )
    step.memory.shift_since_ms = None
    people.sign_out_everywhere(step, None, "shift_closed")
    row = {**row, **end}
    _record(step, row, "closed", by, {"totals": report["totals"], "count": report["count"]})
    for event in ("nozzles", "attendants"):
        _rows(step, row, event, by, report[event])
    _done(step)
    return {**header(row), **report, **_money(step.settings), "repeat": False}


def _current(step: Step, shift: str | None) -> Found:
    row = step.tx.shifts.current()
    if row is None:
        last = step.tx.shifts.last()
        told = "" if last is None else f"; the last one was closed at {step.local(last['closed_ms']):%Y-%m-%d %H:%M:%S}"
        raise RequestRefused(f"no shift is open{told}", hint="forecourt shift open begins one")
    if shift is not None and shift not in (row["id"], str(row["number"])):
        raise RequestRefused(f"shift {row['number']} is open, not {shift}", hint="forecourt shift list")
    return row


def header(row: Found) -> dict[str, Any]:
    """Return what a shift is called and between which times it lies, as it is shown."""
    closed = row["closed_ms"]
    return {
        "shift": row["id"],
        "number": row["number"],
        "state": "open" if closed is None else "closed",
        "from": format_time(row["from_ms"]),
        "opened_at": format_time(row["opened_ms"]),
        "opened_by": row["opened_by"],
        "closed_at": None if closed is None else format_time(closed),
        "closed_by": row["closed_by"],
    }


def _money(settings: Settings) -> dict[str, Any]:
    return {"currency": settings.station.currency, "exponent": settings.station.exponent}


def _record(step: Step, row: Found, event: str, by: Person, more: Mapping[str, Any]) -> None:
    """Journal one event of a shift (``fc.shift.v1``)."""
    told = header(row)
    data = {name: told[name] for name in ("shift", "number", "from", "opened_at", "closed_at")}
    step.journal("fc.shift.v1", {**data, "event": event, "by": by.name, "role": by.role, **more})


def _rows(step: Step, row: Found, event: str, by: Person, rows: Sequence[Mapping[str, Any]]) -> None:
    parts = [rows[at : at + ROWS_PER_RECORD] for at in range(0, len(rows), ROWS_PER_RECORD)]
    for part, found in enumerate(parts, 1):
        _record(step, row, event, by, {"part": part, "parts": len(parts), "rows": list(found)})


def _done(step: Step) -> None:
    failpoint("shift.before_commit")
    step.passed.append("shift")


# --- litres that were not sold --------------------------------------------------------------------------------------


def not_sold_of_nozzle(step: Step, nozzle: tuple[int, int], purpose: Purpose, volume_ml: int, by: By) -> dict[str, Any]:
    """Say that litres of a nozzle, of no sale in particular, were returned or used. Raises RequestRefused.

    Every litre a meter counts is booked as a sale, so no more can be taken out than this shift has booked there.
    """
    known = None if by.request is None else step.tx.shifts.use_of(request=by.request)
    if known is not None:
        return _told(known, repeat=True)
    row, name = _current(step, None), f"{nozzle[0]}/{nozzle[1]}"
    if nozzle not in grades_of(step.settings):
        raise RequestRefused(f"there is no nozzle {name}", hint="forecourt pumps lists them", exit_code=2)
    left = step.tx.shifts.account(row["from_ms"], step.stamp.wall_ms + 1).sold_ml(nozzle)
    if volume_ml > left:
        raise RequestRefused(
            f"{volume_ml} ml, but only {left} ml of nozzle {name} were sold in this shift",
            hint="wait until the fuelling is booked; one of an earlier shift is named by its sale",
        )
    return _keep(step, nozzle, purpose, volume_ml, by)


def not_sold_of_sale(step: Step, sale: str, purpose: Purpose, by: By) -> dict[str, Any]:
    """Say that a whole sale was returned or used: one not paid is booked so, of a paid one the litres are noted.

    Raises RequestRefused.
    """
    row = step.tx.sales.row(sale)
    assert row is not None, "the sale was found by its id"
    if row["state"] != SaleState.CLEARED.value:
        settled = settling.settle(step, sale, lambda net_minor: [Tender(purpose.value, net_minor)], by.name)
        step.audit(by.name, by.role, "not_sold", f"sale:{sale}", reason=f"{purpose.value}: {by.reason}")
        return {"sale": sale, "what": purpose.value, "volume_ml": row["volume_ml"], "state": settled["state"]}
    known, settled_as = step.tx.shifts.use_of(sale=sale), step.tx.sales.settlement(sale)
    if known is not None and by.request is not None and known["request"] == by.request:
        return _told(known, repeat=True)
    already = str(settled_as["purpose"]) if known is None and settled_as is not None else None
    already = str(known["what"]) if known is not None else already
    if already:
        raise RequestRefused(f"sale {sale} is booked to {already}", hint="forecourt sales show SALE tells by whom")
    nozzle, volume_ml = (int(row["fuelling_point"]), int(row["nozzle"])), int(row["volume_ml"])
    _refuse_noted_by_litres(step, sale, nozzle, volume_ml)
    return _keep(step, nozzle, purpose, volume_ml, by, sale=sale)


def _refuse_noted_by_litres(step: Step, sale: str, nozzle: tuple[int, int], volume_ml: int) -> None:
    """Raise RequestRefused where litres of this nozzle were noted already, so that those of the sale are not left."""
    row = step.tx.shifts.current()
    if row is None:
        return
    account = step.tx.shifts.account(row["from_ms"], step.stamp.wall_ms + 1)
    left = account.sold_ml(nozzle)
    if account.has(sale) and volume_ml > left:
        raise RequestRefused(
            f"{volume_ml} ml, but only {left} ml of nozzle {nozzle[0]}/{nozzle[1]} were sold in this shift",
            hint="were these litres noted without their sale? forecourt shift show tells",
        )


def _keep(
    step: Step, nozzle: tuple[int, int], purpose: Purpose, volume_ml: int, by: By, *, sale: str | None = None
) -> dict[str, Any]:
    use: dict[str, Any] = {
        "id": step.new_id(),
        "what": purpose.value,
        "fuelling_point": nozzle[0],
        "nozzle": nozzle[1],
        "volume_ml": volume_ml,
        "sale": sale,
        "by": by.name,
        "reason": by.reason,
        "at_ms": step.stamp.wall_ms,
        "request": by.request,
    }
    step.tx.shifts.add_use(use)
    named = {name: use[name] for name in ("what", "fuelling_point", "nozzle", "volume_ml", "sale")}
    who = {"who": by.name, "role": by.role, "reason": by.reason}
    step.journal("fc.audit.v1", {**who, "action": "not_sold", "object": named, "result": "done"}, record_id=use["id"])
    return _told(use, repeat=False)


def _told(use: Mapping[str, Any], *, repeat: bool) -> dict[str, Any]:
    names = ("what", "fuelling_point", "nozzle", "volume_ml", "sale")
    return {**{name: use[name] for name in names}, "repeat": repeat}
