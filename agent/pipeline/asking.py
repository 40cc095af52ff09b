"""What people may ask the pipeline to do, one function per operation; who may do it is decided here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agent.domain import identity
from agent.domain import point_events as events
from agent.domain.redaction import redact
from agent.domain.settlement import Tender
from agent.inbox import Asked
from agent.pipeline import alerting, correcting, handhelds, online, people, points, pricing, quoting, settling
from agent.pipeline.arguments import by as _by
from agent.pipeline.arguments import number, optional_number, sale_meant, terminal, text
from agent.pipeline.asking_fraud import FRAUD
from agent.pipeline.asking_links import LINKS
from agent.pipeline.asking_members import MEMBERS
from agent.pipeline.asking_people import PEOPLE
from agent.pipeline.asking_privacy import PRIVACY
from agent.pipeline.step import RequestRefused, Step
from agent.pipeline.wishes import MAX_COUPONS, Wish
from drivers.commands import ConfirmUnits

SUPERVISOR = "supervisor"
MAX_COUPON_TEXT = 1_024
"""Longest text of a signed coupon."""

Operation = Callable[[Step, Asked, bytes], dict[str, Any]]


def act(step: Step, asked: Asked, index_key: bytes) -> dict[str, Any]:
    """Do what was asked inside the step. Raises RequestRefused with what to do instead."""
    entry = OPERATIONS.get(asked.op)
    if entry is None:
        raise RequestRefused(f"unknown operation {asked.op!r}", hint="see forecourt --help", exit_code=2)
    operation, role = entry
    if asked.args.get("as") is not None:
        asked = replace(asked, person=people.acting(step, asked.args["as"]))
    if role == SUPERVISOR and asked.person.role != SUPERVISOR:
        raise RequestRefused(
            f"{asked.person.name} may not do this",
            hint="ask a supervisor: the users named in [control] supervisors of the configuration",
        )
    return operation(step, _masked(asked), index_key)


def _masked(asked: Asked) -> Asked:
    """People write numbers into reasons and notes; what is kept for good has them masked."""
    told = {key: redact(asked.args[key]) for key in ("reason", "note") if isinstance(asked.args.get(key), str)}
    return replace(asked, args={**asked.args, **told}) if told else asked


def _reference(given: Any) -> str | None:
    """Return the reference of a tender; live money and bank cards are refused, never kept. Raises RequestRefused."""
    if isinstance(given, str) and identity.classify(given).kind in (
        identity.Kind.PAYMENT_CODE,
        identity.Kind.BANK_CARD,
    ):
        raise RequestRefused(
            "a reference must not be a payment code or the number of a bank card",
            hint="give the number that the slip or the terminal shows for this payment",
            exit_code=2,
        )
    return None if given is None else str(given)


def _tenders(asked: Asked, net_minor: int) -> list[Tender]:
    """Read [{kind, amount_minor or null, ref}]; one tender without an amount takes what is left of the net."""
    given = asked.args.get("tenders")
    if not isinstance(given, list) or not given:
        raise RequestRefused("no tender given", hint="give --tender cash, or --tender card:100.00", exit_code=2)
    open_ones = [item for item in given if item.get("amount_minor") is None]
    if len(open_ones) > 1:
        raise RequestRefused("two tenders without an amount", hint="give every tender but one its amount", exit_code=2)
    named = sum(item["amount_minor"] for item in given if item.get("amount_minor") is not None)
    return [
        Tender(
            str(item["kind"]),
            net_minor - named if item.get("amount_minor") is None else int(item["amount_minor"]),
            _reference(item.get("ref")),
        )
        for item in given
    ]


def _settle(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    sale, wish = sale_meant(step, asked), _wish(asked)
    online.ask_first(step, asked, sale, wish)
    return _told_by(
        asked,
        lambda: settling.settle(step, sale, lambda net_minor: _tenders(asked, net_minor), asked.person.name, wish),
    )


def _told_by(asked: Asked, answer: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return an answer with what head office said before it; a refusal says it, too. Raises RequestRefused."""
    if asked.said is None:
        return answer()
    try:
        return {**answer(), "head_office": asked.said or online.OK}
    except RequestRefused as refused:
        if not asked.said:
            raise
        raise RequestRefused(
            f"{refused} (head office: {asked.said})",
            hint=refused.hint,
            exit_code=refused.exit_code,
            keeps=refused.keeps,
        ) from refused


def _wish(asked: Asked) -> Wish:
    """Read what the customer asks for: {coupons: [token or code], points, accept}."""
    given = asked.args.get("coupons") or []
    if not isinstance(given, list) or len(given) > MAX_COUPONS:
        raise RequestRefused("coupons is no list of codes", hint=f"give up to {MAX_COUPONS} --coupon", exit_code=2)
    for coupon in given:
        if not isinstance(coupon, str) or not (0 < len(coupon) <= MAX_COUPON_TEXT and coupon.isascii()):
            raise RequestRefused(
                "a coupon is a code or a signed text of letters, digits, dots and dashes",
                hint="scan it again, or type it as it is printed",
                exit_code=2,
            )
    points = optional_number(asked, "points")
    if points is not None and points < 1:
        raise RequestRefused(
            f"{points} points cannot be spent", hint="leave --points out, or give 1 or more", exit_code=2
        )
    return Wish(tuple(coupon.strip() for coupon in given), points, accept=asked.args.get("accept") is True)


def _quote(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    hold_by = None
    if asked.args.get("lock") is True:
        hold_by = quoting.Holder(asked.person.name, terminal(asked))
    sale, wish = sale_meant(step, asked), _wish(asked)
    online.ask_first(step, asked, sale, wish)
    return _told_by(asked, lambda: quoting.quote(step, sale, wish, hold_by=hold_by))


def _unlock(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    return quoting.unlock(step, sale_meant(step, asked), asked.person.name)


def _void(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    return correcting.void(step, sale_meant(step, asked), _by(asked))


def _refund(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    again = asked.args.get("again") is True
    return correcting.refund(step, sale_meant(step, asked), number(asked, "amount_minor"), _by(asked), again=again)


def _correct(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    sale = sale_meant(step, asked)
    settled = step.tx.sales.settlement(sale)
    tenders = _tenders(asked, 0 if settled is None else settled["net_minor"])
    return correcting.correct_tender(step, sale, tenders, _by(asked))


def _point_event(step: Step, asked: Asked, make: Callable[[int], events.Event]) -> dict[str, Any]:
    point = number(asked, "fuelling_point")
    if point not in step.memory.points:
        raise RequestRefused(f"there is no fuelling point {point}", hint="forecourt pumps lists them", exit_code=2)
    before = len(step.tx.journal.written)
    points.handle(step, point, make(point))
    refused = [entry for entry in step.notes if entry[0].endswith("_refused")]
    if refused:
        raise RequestRefused(refused[0][1] or refused[0][0], hint="forecourt pumps shows the state of the point")
    step.audit(asked.person.name, asked.person.role, asked.op, f"point:{point}")
    return {"fuelling_point": point, "records": len(step.tx.journal.written) - before}


def _confirm_meter(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    nozzle, person = number(asked, "nozzle"), asked.person.name
    return _point_event(step, asked, lambda _: events.ConfirmMeter(nozzle, person))


def _accept_pending(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    nozzle, person = optional_number(asked, "nozzle"), asked.person.name
    return _point_event(step, asked, lambda _: events.AcceptPending(person, nozzle))


def _authorise(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    event = events.AuthoriseByPerson(
        asked.person.name,
        optional_number(asked, "nozzle"),
        optional_number(asked, "volume_ml"),
        optional_number(asked, "amount_minor"),
    )
    return _point_event(step, asked, lambda _: event)


def _stop(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    return _point_event(step, asked, lambda _: events.StopByPerson(asked.person.name))


def _suspend(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    return _point_event(step, asked, lambda _: events.SuspendByPerson(asked.person.name))


def _resume(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    return _point_event(step, asked, lambda _: events.ResumeByPerson(asked.person.name))


def _acknowledge(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    return alerting.acknowledge(step, number(asked, "alert"), asked.person.name)


def _price(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    at = optional_number(asked, "effective_from_ms")
    effective = step.now.wall_ms if at is None else at
    return pricing.set_price(
        step, text(asked, "grade"), number(asked, "unit_price_milli"), effective, asked.person.name
    )


def _confirm_units(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    line = text(asked, "line")
    if not any(tank.line == line for tank in step.settings.tank):
        raise RequestRefused(f"no tank gauge is on line {line!r}", hint="name the gauge's line", exit_code=2)
    step.send(ConfirmUnits(f"{step.stamp.boot}:units:{step.now.mono_ms}", f"gauge:{line}"))
    step.audit(asked.person.name, asked.person.role, "confirm_units", f"gauge:{line}")
    return {"gauge": f"gauge:{line}"}


OPERATIONS: dict[str, tuple[Operation, str]] = {
    "sales.settle": (_settle, "attendant"),
    "sales.quote": (_quote, "attendant"),
    "sales.unlock": (_unlock, "attendant"),
    **LINKS,
    "sales.void": (_void, SUPERVISOR),
    "sales.refund": (_refund, SUPERVISOR),
    "sales.correct": (_correct, SUPERVISOR),
    "sales.accept-pending": (_accept_pending, SUPERVISOR),
    "pumps.confirm-meter": (_confirm_meter, SUPERVISOR),
    "pumps.authorise": (_authorise, "attendant"),
    "pumps.stop": (_stop, "attendant"),
    "pumps.suspend": (_suspend, "attendant"),
    "pumps.resume": (_resume, "attendant"),
    "alerts.ack": (_acknowledge, "attendant"),
    "prices.set": (_price, SUPERVISOR),
    "tanks.confirm-units": (_confirm_units, SUPERVISOR),
    "device.pair": (handhelds.open_pairing, SUPERVISOR),
    "device.unpair": (handhelds.unpair, SUPERVISOR),
    **PRIVACY,
    **FRAUD,
    **MEMBERS,
    **PEOPLE,
}
