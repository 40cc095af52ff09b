"""What a handheld may ask the pipeline to do: scans, tiles, claims, enrolments, sessions; answered after the commit.

Knows no HTTP but its status numbers. A scan said again gets its first answer; its text is kept as a keyed digest only.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from typing import Any

from agent.domain.answers import Tone
from agent.domain.handheld import text_digest
from agent.inbox import Person, Posted
from agent.pipeline import enrolling, handhelds, people, scanning
from agent.pipeline.handhelds import CallRefused
from agent.pipeline.step import RequestRefused, Step

Answer = dict[str, Any]
"""{status, body}: what the device is told, as HTTP says it."""

SHOWN = ("outcome", "tone", "repeat", "message", "fuelling_point", "sale", "member", "choices")
"""What of an answer a handheld is told: of a member mask and tier only."""


def act(step: Step, posted: Posted, index_key: bytes) -> Answer:
    """Do what a device asks inside the step. Raises RequestRefused."""
    if posted.op == "pair":
        return {"status": 200, "body": handhelds.pair(step, posted)}
    device = handhelds.recognise(step, posted)
    return {"status": 200, "body": OPERATIONS[posted.op](step, device, posted.args, index_key)}


def refused(step: Step, posted: Posted, failure: RequestRefused) -> Answer:
    """Return what a device is told that may not; its count is noted."""
    if isinstance(failure, CallRefused):
        status, word = failure.status, failure.word
    else:
        status, word = 409, "REFUSED"
    if status != 401:
        handhelds.note(step, posted)
    return {"status": status, "body": {"error": word, "message": str(failure), "hint": failure.hint}}


def _scan(step: Step, device: str, args: dict[str, Any], index_key: bytes) -> dict[str, Any]:
    """A scan goes to linking."""

    def act(scan: scanning.TerminalScan) -> dict[str, Any]:
        return scanning.from_terminal(step, scan, index_key)

    return _once(step, device, args, index_key, act)


def _change(step: Step, device: str, args: dict[str, Any], index_key: bytes) -> dict[str, Any]:
    """A wrong link is changed to the member whose code is scanned now, or removed."""

    def act(scan: scanning.TerminalScan) -> dict[str, Any]:
        return scanning.changed(step, scan, args["reason"], index_key, remove=args["text"] is None)

    return _once(step, device, {"fuelling_point": None, **args}, index_key, act)


def _once(
    step: Step,
    device: str,
    args: dict[str, Any],
    index_key: bytes,
    act: Callable[[scanning.TerminalScan], dict[str, Any]],
) -> dict[str, Any]:
    """Return the answer of a scan: the first time it is acted on, said again it gets the first answer."""
    text = args["text"] or ""
    digest = text_digest(index_key, device, args["scan_id"], text)
    known = step.tx.handhelds.answer(device, args["scan_id"])
    if known is not None:
        if not hmac.compare_digest(known["digest"], digest):
            hint = "make a new scan_id for every scan"
            raise CallRefused(409, "SCAN_ID_USED", "this scan_id was used for another text", hint=hint)
        first: dict[str, Any] = json.loads(known["answer"])
        return first
    _check_served(step, device, args["sale"])
    attendant = _attendant(step, device)
    told = act(scanning.TerminalScan(step.new_id(), device, attendant, text, args["fuelling_point"], args["sale"]))
    answer = _shown(told)
    step.tx.handhelds.keep(
        {
            "handheld": device,
            "scan_id": args["scan_id"],
            "digest": digest,
            "answer": json.dumps(answer, ensure_ascii=False, separators=(",", ":")),
            "at_ms": step.stamp.wall_ms,
        }
    )
    return answer


def _enrol(step: Step, device: str, args: dict[str, Any], index_key: bytes) -> dict[str, Any]:
    """A phone number keyed in: a new member, or one who is found by it; the sale is linked to them."""
    sale = args["sale"]
    _check_served(step, device, sale)
    person = Person(_attendant(step, device) or device, "attendant")
    wanted = enrolling.Enrolment(args["phone"], args["plate"], sale, args["request"])
    told = enrolling.enrol(step, wanted, person, terminal=device, index_key=index_key)
    link, member = told["link"], told["member"]
    linked = link is not None and link["outcome"] is not None
    return {
        "outcome": told["outcome"],
        "tone": (Tone.GOOD if link is None or linked else Tone.ASK).value,
        "repeat": told["repeat"],
        "message": told["message"] if link is None else f"{told['message']}; {link['message']}",
        "fuelling_point": None,
        "sale": sale if linked else None,
        "member": {"mask": member["mask"], "tier": member["tier"] or ""},
        "choices": [],
    }


def _choose(step: Step, device: str, args: dict[str, Any], _key: bytes) -> dict[str, Any]:
    _check_served(step, device, args["sale"])
    return _shown(
        scanning.chosen(
            step,
            device,
            _attendant(step, device),
            point=args["fuelling_point"],
            sale=args["sale"],
            live=args["live"],
            pending=args["pending"],
        )
    )


def _cancel(step: Step, device: str, _args: dict[str, Any], _key: bytes) -> dict[str, Any]:
    return _shown(scanning.cancelled(step, device))


def _claim(step: Step, device: str, args: dict[str, Any], _key: bytes) -> dict[str, Any]:
    _check_served(step, device, args["sale"])
    return _shown(scanning.claim(step, args["sale"], device, _attendant(step, device)))


def _release(step: Step, device: str, args: dict[str, Any], _key: bytes) -> dict[str, Any]:
    _check_served(step, device, args["sale"])
    return _shown(scanning.release(step, args["sale"], device, _attendant(step, device)))


def _check_served(step: Step, device: str, sale: str | None) -> None:
    """Raise CallRefused for a sale of a point that is not the device's."""
    row = None if sale is None else step.tx.sales.row(sale)
    served = next(reader.fuelling_points for reader in step.settings.handhelds if reader.id == device)
    if row is not None and row["fuelling_point"] not in served:
        hint = f"{device} serves {', '.join(map(str, served))}: use a device of that point"
        raise CallRefused(409, "POINT_NOT_SERVED", f"the sale is of point {row['fuelling_point']}", hint=hint)


def _attendant(step: Step, device: str) -> str | None:
    """Return who is signed in; where the station has a list of its people, somebody must be."""
    staff_id = people.attendant_at(step, device)
    if staff_id is None and (step.settings.staff or step.tx.people.ids()):
        raise CallRefused(403, "NOT_SIGNED_IN", "nobody is signed in at this device", hint="sign in first")
    return staff_id


def _sign_in(step: Step, device: str, args: dict[str, Any], index_key: bytes) -> dict[str, Any]:
    staff_id, pin, badge = args["staff"], args["pin"], args["badge"]
    if badge is not None:
        person = people.badge_scanned(step, device, badge, index_key)
    elif staff_id is not None and pin is not None:
        person = _by_pin(step, device, staff_id, pin)
    else:
        person = None
    if person is None:
        hint = "send staff with pin, or the number of a badge where [shift] badge_signs_in is on"
        raise CallRefused(403, "NOT_SIGNED_IN", "this signs nobody in", hint=hint)
    return {"device": device, "attendant": {"id": person.id, "name": person.name}}


def _by_pin(step: Step, device: str, staff_id: str, pin: str) -> people.Staff:
    try:
        return people.sign_in(step, staff_id, pin, device)
    except RequestRefused as no:
        raise CallRefused(403, "NOT_SIGNED_IN", str(no), hint=no.hint, keeps=no.keeps) from no


def _sign_out(step: Step, device: str, _args: dict[str, Any], _key: bytes) -> dict[str, Any]:
    people.sign_out(step, device)
    return {"device": device, "attendant": None}


def _shown(told: dict[str, Any]) -> dict[str, Any]:
    return {key: told[key] for key in SHOWN}


OPERATIONS: dict[str, Callable[[Step, str, dict[str, Any], bytes], dict[str, Any]]] = {
    "scan": _scan,
    "change": _change,
    "choose": _choose,
    "cancel": _cancel,
    "claim": _claim,
    "enrol": _enrol,
    "release": _release,
    "sign_in": _sign_in,
    "sign_out": _sign_out,
}
