"""A head office restored from an old backup lacks records of earlier incarnations: they are journalled again (W-34).

The running incarnation goes back by its own cursor (``sync.delivery``); a chain that has ended is not sent any more, so
its records become new ones with the same id, as at a rebirth. In slices: a month of them must not hold up a sale.
"""

from __future__ import annotations

import json
from typing import Any

from agent.pipeline.step import Step
from agent.store.rebirth import EarlierRecord
from sync.messages import Welcome
from sync.recordtypes import INCARNATION_TYPE

LEFT, DONE = "resend_left", "resend_done"
"""Facts about a database: ranges still to be sent again; from where each ended chain was sent again."""

SLICE = 100
"""Records journalled again within one step, each a few tenths of a millisecond."""

REASON = "head office was restored"


def welcomed(step: Step, welcome: Welcome) -> None:
    """Note what head office once acknowledged of ended chains and does not have any more."""
    if welcome.earlier is None:
        return
    done: dict[str, int] = json.loads(step.tx.memory.meta(DONE) or "{}")
    left: list[list[Any]] = json.loads(step.tx.memory.meta(LEFT) or "[]")
    found = len(left)
    for ended in step.tx.incarnations.ended():
        told = welcome.earlier.get(ended.incarnation, {})
        for stream, delivered in ended.delivered.items():
            key = f"{ended.generation}:{stream}"
            last = min(delivered, done.get(key, delivered))
            if told.get(stream, 0) < last:
                left.append([ended.generation, stream, told.get(stream, 0), last])
                done[key] = told.get(stream, 0)
    if len(left) > found:
        step.tx.memory.set_meta(DONE, json.dumps(done, sort_keys=True))
        _keep(step, left)
        told_text = ", ".join(f"{g} {stream} {after + 1} to {last}" for g, stream, after, last in left[found:])
        step.audit("agent", "agent", "sent_again", "journal", reason=f"{REASON}: {told_text}")


def at_start(step: Step) -> None:
    """Go on where the agent ended."""
    step.memory.resends = step.tx.memory.meta(LEFT) is not None


def slice_due(step: Step) -> None:
    """Journal the next records again, where there are any (called once a second)."""
    if not step.memory.resends:
        return
    left: list[list[Any]] = json.loads(step.tx.memory.meta(LEFT) or "[]")
    room = SLICE
    while left and room > 0:
        generation, stream, after, last = left[0]
        rows = step.tx.incarnations.between(generation, stream, after, last, room)
        if stream == "T":
            _thin(step, generation, after, last)
            left.pop(0)
            continue
        after = _again(step, generation, after, rows)
        room -= len(rows)
        if not rows or after >= last:
            _name_lost(step, generation, stream, after, last)
            left.pop(0)
        else:
            left[0][2] = after
    _keep(step, left)


def _again(step: Step, generation: int, after: int, rows: list[EarlierRecord]) -> int:
    for old in rows:
        _name_lost(step, generation, old.stream, after, old.seq - 1)
        after = old.seq
        if old.type == INCARNATION_TYPE or step.tx.incarnations.is_in_running(old.id):
            continue
        repeated = step.tx.journal.repeat(old.body, old.time_ms)
        step.tx.sales.place_again(repeated.id, step.tx.journal.generation, repeated.seq)
    return after


def _name_lost(step: Step, generation: int, stream: str, after: int, last: int) -> None:
    """Records that are kept nowhere any more are named, not passed over."""
    if last > after:
        incarnation = step.tx.incarnations.name_of(generation)
        gap = {"incarnation": incarnation, "stream": stream, "from": after + 1, "to": last, "reason": "pruned"}
        step.journal("fc.gap.v1", gap)


def _thin(step: Step, generation: int, after: int, last: int) -> None:
    """Readings of an ended chain are not told again, only how many there were (W-01)."""
    thinned = step.tx.incarnations.telemetry_left(generation, after, last)
    if thinned is not None:
        step.journal("fc.telemetry.thinned.v1", {**thinned, "reason": REASON})


def _keep(step: Step, left: list[list[Any]]) -> None:
    step.memory.resends = bool(left)
    if left:
        step.tx.memory.set_meta(LEFT, json.dumps(left))
    else:
        step.tx.memory.forget_meta(LEFT)
