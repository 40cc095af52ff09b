"""The commands that change something: each asks the daemon, which knows who asks and decides whether they may."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli import show
from agent.cli.app import alerts, prices, pumps, sales, tanks
from agent.cli.talk import ConfigOption, JsonOption, SocketOption, fail, print_json, question

MOST_MONEY_DECIMALS = 3
"""Of the currencies of ISO 4217 in use; how many this station has, the daemon tells."""

Reason = Annotated[str, typer.Option("--reason", help="Why; kept with your name.")]
TenderOption = Annotated[
    list[str],
    typer.Option("--tender", help="KIND or KIND:AMOUNT or KIND:AMOUNT:REF; may be given several times."),
]

CouponOption = Annotated[
    list[str] | None,
    typer.Option("--coupon", help="A signed coupon, or a code known here; may be given several times."),
]
PointsOption = Annotated[int | None, typer.Option("--points", min=1, help="How many points the member wants to spend.")]
AcceptOption = Annotated[
    bool, typer.Option("--accept", help="Go on without what is refused; the customer knows the price.")
]
RequestOption = Annotated[
    str, typer.Option("--request", help="Your own name of this wish: said again it gets the first answer.")
]

_DECIMAL = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,9}))?")


def _done(value: Any, as_json: bool) -> None:
    if as_json:
        print_json(value)
    else:
        show.done(value)


def _priced(value: Any, as_json: bool) -> None:
    if as_json:
        print_json(value)
    else:
        show.priced(value)


def decimal_of(text: str, places: int, what: str) -> int:
    """Return a decimal as an integer of ``10**-places`` units; anything else ends the command with 2."""
    example = f"write it like 100.{'0' * places}"
    match = _DECIMAL.fullmatch(text)
    if match is None:
        fail(f"{text!r} is no {what}", example, 2)
    whole, part = match.groups("")
    if len(part.rstrip("0")) > places:
        fail(f"{text!r} has more than {places} decimals", example, 2)
    return int(whole + part[:places].ljust(places, "0"))


def amount_of(text: str, config: Path | None, socket: Path | None) -> int:
    """Return an amount of money in the minor units of the station's currency, which the daemon tells."""
    decimal_of(text, MOST_MONEY_DECIMALS, "amount")
    return decimal_of(text, int(question(config, socket, "station")["exponent"]), "amount")


def _tender(text: str, config: Path | None, socket: Path | None) -> dict[str, Any]:
    kind, _, rest = text.partition(":")
    amount, _, ref = rest.partition(":")
    minor = amount_of(amount, config, socket) if amount else None
    return {"kind": kind, "amount_minor": minor, "ref": ref or None}


@sales.command("settle")
def sales_settle(
    sale: str,
    tender: TenderOption,
    coupon: CouponOption = None,
    points: PointsOption = None,
    accept: AcceptOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Settle a sale by one or several tenders, or book it to drive-off, meter-test or own-use."""
    tenders = [_tender(text, config, socket) for text in tender]
    wish = {"coupons": coupon or [], "points": points, "accept": accept}
    _priced(question(config, socket, "sales.settle", {"sale": sale, "tenders": tenders, **wish}), as_json)


@sales.command("quote")
def sales_quote(
    sale: str,
    coupon: CouponOption = None,
    points: PointsOption = None,
    lock: Annotated[
        bool, typer.Option("--lock", help="Hold the price until the sale is settled or time is up.")
    ] = False,
    accept: AcceptOption = False,
    terminal: Annotated[
        str | None, typer.Option("--terminal", help="With --lock: where it is paid; others are kept off.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Tell what a sale costs now: discount, net and points; nothing is written unless the price is held."""
    wish = {"coupons": coupon or [], "points": points, "accept": accept}
    values = {"sale": sale, "lock": lock, "terminal": terminal, **wish}
    _priced(question(config, socket, "sales.quote", values), as_json)


@sales.command("unlock")
def sales_unlock(
    sale: str, as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None
) -> None:
    """Let a held price go: the sale is payable at what it costs then."""
    _done(question(config, socket, "sales.unlock", sale=sale), as_json)


@sales.command("void")
def sales_void(
    sale: str,
    reason: Reason,
    request: RequestOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Give the whole net of a settled sale back."""
    _done(question(config, socket, "sales.void", sale=sale, reason=reason, request=request), as_json)


@sales.command("refund")
def sales_refund(
    sale: str,
    amount: Annotated[str, typer.Option("--amount", help="How much of the net, such as 20.00.")],
    reason: Reason,
    again: Annotated[bool, typer.Option("--again", help="The same amount a second time is meant.")] = False,
    request: RequestOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Give a part of the net of a settled sale back."""
    values = {"sale": sale, "amount_minor": amount_of(amount, config, socket), "reason": reason}
    _done(question(config, socket, "sales.refund", {**values, "again": again, "request": request}), as_json)


@sales.command("correct")
def sales_correct(
    sale: str,
    tender: TenderOption,
    reason: Reason,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Book the payment of a settled sale to other tenders of the same sum."""
    tenders = [_tender(text, config, socket) for text in tender]
    _done(question(config, socket, "sales.correct", sale=sale, tenders=tenders, reason=reason), as_json)


@sales.command("accept-pending")
def sales_accept_pending(
    point: Annotated[int, typer.Argument(help="The fuelling point whose totals stay unreadable.")],
    nozzle: Annotated[int | None, typer.Option("--nozzle", help="Where the device does not tell it.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Accept the held values of a pending sale by hand; audited and flagged."""
    _done(question(config, socket, "sales.accept-pending", fuelling_point=point, nozzle=nozzle), as_json)


@pumps.command("confirm-meter")
def pumps_confirm_meter(
    point: int,
    nozzle: int,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Confirm that the total a nozzle shows now is its new base (after a meter was replaced)."""
    _done(question(config, socket, "pumps.confirm-meter", fuelling_point=point, nozzle=nozzle), as_json)


@pumps.command("authorise")
def pumps_authorise(
    point: int,
    nozzle: Annotated[int | None, typer.Option("--nozzle")] = None,
    litres: Annotated[str | None, typer.Option("--litres", help="Preset volume, such as 20.00.")] = None,
    amount: Annotated[str | None, typer.Option("--amount", help="Preset amount, such as 100.00.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Release one fuelling of a point in control mode released or preset."""
    volume_ml = None if litres is None else decimal_of(litres, 3, "volume")
    amount_minor = None if amount is None else amount_of(amount, config, socket)
    values = {"fuelling_point": point, "nozzle": nozzle, "volume_ml": volume_ml, "amount_minor": amount_minor}
    _done(question(config, socket, "pumps.authorise", values), as_json)


@pumps.command("stop")
def pumps_stop(
    point: int, as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None
) -> None:
    """End delivery at a point now."""
    _done(question(config, socket, "pumps.stop", fuelling_point=point), as_json)


@pumps.command("suspend")
def pumps_suspend(
    point: int, as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None
) -> None:
    """Halt delivery at a point for a while."""
    _done(question(config, socket, "pumps.suspend", fuelling_point=point), as_json)


@pumps.command("resume")
def pumps_resume(
    point: int, as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None
) -> None:
    """Let a halted delivery go on."""
    _done(question(config, socket, "pumps.resume", fuelling_point=point), as_json)


@alerts.command("ack")
def alerts_ack(
    alert: int, as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None
) -> None:
    """Acknowledge an alert in your name."""
    _done(question(config, socket, "alerts.ack", alert=alert), as_json)


@prices.command("set")
def prices_set(
    grade: str,
    price: Annotated[str, typer.Argument(help="Unit price per litre, such as 7.85.")],
    at: Annotated[
        str | None, typer.Option("--at", help="When, such as 2026-11-22T06:00:00+08:00; default now.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Set the unit price of a grade from an instant on."""
    effective = None
    if at is not None:
        try:
            moment = datetime.fromisoformat(at)
        except ValueError:
            fail(f"{at!r} is no time", "write it like 2026-11-22T06:00:00+08:00", 2)
        if moment.tzinfo is None:
            fail(f"{at!r} has no time zone", "end it with an offset, such as +08:00, or Z", 2)
        effective = int(moment.timestamp() * 1000)
    milli = decimal_of(price, 3, "price")
    values = {"grade": grade, "unit_price_milli": milli, "effective_from_ms": effective}
    _done(question(config, socket, "prices.set", values), as_json)


@tanks.command("confirm-units")
def tanks_confirm_units(
    line: Annotated[str, typer.Argument(help="The line of the gauge.")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Confirm that a gauge's changed units are meant: its readings count again."""
    _done(question(config, socket, "tanks.confirm-units", line=line), as_json)
