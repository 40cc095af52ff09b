"""Paired handhelds in the pipeline: opening a pairing, pairing, ending it; which devices there are.

Knows no key: what a device proves itself with is made and checked by whoever listens.
"""

from __future__ import annotations

from typing import Any

from agent.domain import handheld
from agent.inbox import Asked, Posted
from agent.live import Handheld
from agent.pipeline import people
from agent.pipeline.step import RequestRefused, Step
from agent.store.queries import utc


class CallRefused(RequestRefused):
    """A handheld's wish cannot be followed. ``status``: as HTTP tells it, ``word``: what programs look at."""

    def __init__(self, status: int, word: str, message: str, *, hint: str, keeps: bool = False) -> None:
        super().__init__(message, hint=hint, keeps=keeps)
        self.status = status
        self.word = word


def at_start(step: Step) -> None:
    """Tell whoever listens which devices there are."""
    _tell(step)


def open_pairing(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    """``device pair``: a supervisor opens a code for one handheld of the station file; the last one opened counts."""
    known = [reader.id for reader in step.settings.handhelds]
    if not known:
        raise RequestRefused(
            "no handheld is configured", hint='add a [[reader]] of kind = "handheld" and [board]', exit_code=2
        )
    name = asked.args.get("name") or _only_new(step, known)
    if name not in known:
        hint = f"the handhelds of the station file are {', '.join(known)}"
        raise RequestRefused(f"there is no handheld {name!r}", hint=hint, exit_code=2)
    pairing = handheld.open_pairing(name, asked.person.name, step.now, step.random_bits)
    step.memory.pairing = pairing
    step.audit(asked.person.name, asked.person.role, "open_pairing", f"handheld:{name}")
    return {
        "handheld": name,
        "code": pairing.code,
        "until": utc(step.now.wall_ms + handheld.PAIRING_MS),
        "listen": None if step.settings.board is None else step.settings.board.listen,
    }


def _only_new(step: Step, known: list[str]) -> str:
    paired = {row["id"] for row in step.tx.handhelds.all()}
    new = [name for name in known if name not in paired]
    if len(new) != 1:
        problem = "every handheld is paired" if not new else "more than one handheld is not paired"
        raise RequestRefused(problem, hint=f"name the one that is meant: --name {known[0]}", exit_code=2)
    return new[0]


def unpair(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    """``device unpair``: what is paired under this name may not ask any more."""
    name = asked.args.get("name")
    if not isinstance(name, str) or not step.tx.handhelds.unpair(name):
        raise RequestRefused(f"{name!r} is not paired", hint="forecourt device paired lists them")
    people.sign_out(step, name)
    step.audit(asked.person.name, asked.person.role, "unpair", f"handheld:{name}")
    _tell(step)
    return {"handheld": name}


def pair(step: Step, posted: Posted) -> dict[str, Any]:
    """A device shows the code; returns under which name it is paired. A wrong one is counted, so it is no refusal."""
    waiting = step.memory.pairing
    step.memory.pairing, opened = handheld.tried(waiting, posted.args["code"], step.now)
    if opened is None:
        if waiting is not None and step.memory.pairing is None:
            step.audit("unknown", "device", "pair", f"handheld:{waiting.handheld}", result="refused")
        return {"handheld": None}
    step.tx.handhelds.pair(
        {
            "id": opened.handheld,
            "kind": posted.args["kind"],
            "proof": posted.proof,
            "paired_ms": step.stamp.wall_ms,
            "paired_by": opened.person,
        }
    )
    people.sign_out(step, opened.handheld)  # whoever was at the device before is not at this one
    step.audit(opened.person, "supervisor", "pair", f"handheld:{opened.handheld}")
    _tell(step)
    return {"handheld": opened.handheld}


def recognise(step: Step, posted: Posted) -> str:
    """Return which device asks, its request noted. Raises CallRefused where it was unpaired or its count is not new."""
    row = None if posted.device is None else step.tx.handhelds.one(posted.device)
    if row is None or row["proof"] != posted.proof or row["id"] not in {r.id for r in step.settings.handhelds}:
        raise CallRefused(401, "UNPAIRED", "this device is not paired", hint="pair it: forecourt device pair")
    if posted.count is not None and posted.count <= row["count"]:
        hint = "count every request, and sign it again"
        raise CallRefused(401, "COUNT_NOT_NEW", f"the count must be above {row['count']}", hint=hint)
    note(step, posted)
    return str(row["id"])


def note(step: Step, posted: Posted) -> None:
    """Note that a device has asked, so that a signed request counts once."""
    row = None if posted.device is None else step.tx.handhelds.one(posted.device)
    if row is None or row["proof"] != posted.proof:
        return
    count = max(row["count"], posted.count or 0)
    step.tx.handhelds.saw(row["id"], count=count, at_ms=step.stamp.wall_ms)


def _tell(step: Step) -> None:
    known = {reader.id for reader in step.settings.handhelds}
    found = {
        row["id"]: Handheld(row["id"], row["kind"], row["proof"])
        for row in step.tx.handhelds.all()
        if row["id"] in known
    }
    step.after.append(lambda: step.live.set_handhelds(found))
