"""``forecourt fraud``: signs of misuse, for supervisors. The daemon decides who may; nothing here names a customer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from agent.cli.app import app
from agent.cli.talk import (
    ConfigOption,
    JsonOption,
    LimitOption,
    SocketOption,
    clock_time,
    litres,
    print_json,
    print_table,
    question,
)

fraud = typer.Typer(help="Signs of misuse: list, show, review, stats. For supervisors.", no_args_is_help=True)
app.add_typer(fraud, name="fraud")

Alert = Annotated[str, typer.Argument(help="The alert's id, or its beginning.")]

_SEES = {
    "R1": "one member fuels often",
    "R2": "more litres than a tank takes",
    "R3": "one attendant, one member",
    "R4": "late links",
    "R5": "a card that only earns, or is spent with one attendant",
    "R6": "weak codes",
    "R7": "corrected links",
    "R8": "a code shown again",
    "R9": "days that multiply points",
    "R10": "cards of the staff",
    "R11": "money given back",
    "R12": "a chip that may be a copy",
}
_PER_CENT = 100


@fraud.command("list")
def fraud_list(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Reviewed ones and notes too.")] = False,
    rule: Annotated[str | None, typer.Option("--rule", help="One rule, such as R3.")] = None,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """List the alerts nobody has reviewed, newest first."""
    found: list[dict[str, Any]] = question(config, socket, "fraud", all=everything, rule=rule, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [
        [
            row["alert"],
            row["rule"],
            _SEES[row["rule"]],
            row["subject"],
            row["day"],
            compared(row),
            row["sales"],
            row["verdict"] or ("note" if row["severity"] == "info" else "open"),
        ]
        for row in found
    ]
    print_table("Signs of misuse", ["alert", "rule", "sees", "subject", "day", "observed", "sales", "review"], rows)


def compared(alert: dict[str, Any]) -> str:
    """Return observed, threshold and median in words: shares as per cent, volumes as litres."""
    unit = alert["unit"]

    def said(value: int) -> str:
        if unit == "share_bp":
            return f"{value // _PER_CENT}.{value % _PER_CENT:02d} %"
        return litres(value) if unit == "volume_ml" else str(value)

    usual = "" if alert["median"] is None else f", median {said(alert['median'])}"
    return f"{said(alert['observed'])} of {said(alert['threshold'])} {unit}{usual}"


@fraud.command("show")
def fraud_show(
    alert: Alert, as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None
) -> None:
    """Show one alert: what was compared, the sales it names, what people found out."""
    value = question(config, socket, "fraud.show", alert=alert)
    if as_json:
        print_json(value)
        return
    print(f"{value['alert']}  {value['rule']}: {_SEES[value['rule']]}  ({value['severity']})")
    mask = f" {value['mask']}" if value["mask"] else ""
    other = f" with {value['other']}" if value["other"] else ""
    print(f"about {value['subject']}{mask}{other}, {value['day']}: {compared(value)}")
    print(f"from {clock_time(value['from'])} to {clock_time(value['to'])}, seen {value['updates'] + 1} times")
    rows = [
        [
            sale["sale"],
            clock_time(sale["ended_at"]),
            sale["fuelling_point"],
            litres(sale["volume_ml"]),
            sale["by"] or "",
            sale["level"] or "",
            sale["points_earned"],
            "held" if sale["held"] else sale["effect"].replace("none", ""),
        ]
        for sale in value["named_sales"]
    ]
    print_table("Sales", ["sale", "ended", "point", "litres", "linked by", "level", "points", ""], rows)
    for review in value["reviews"]:
        print(f"{clock_time(review['at'])} {review['by']}: {review['verdict']}. {review['note']}")


@fraud.command("review")
def fraud_review(
    alert: Alert,
    *,
    verdict: Annotated[Literal["confirmed", "harmless", "unclear"], typer.Option("--as", help="What it was.")],
    note: Annotated[str, typer.Option("--note", help="What you found out; kept with your name.")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Say what an alert was: harmless lets held points go, confirmed and unclear keep them held."""
    value = question(config, socket, "fraud.review", alert=alert, verdict=verdict, note=note)
    if as_json:
        print_json(value)
        return
    print(f"{value['alert']} {value['rule']} is {value['verdict']}")
    for key, word in (("points_released", "let go"), ("points_held", "held")):
        if value[key]:
            print(f"{value[key]} points {word}")


@fraud.command("stats")
def fraud_stats(as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None) -> None:
    """Show how often each rule fired and how often it was right; one that is nearly always wrong is too noisy."""
    found: list[dict[str, Any]] = question(config, socket, "fraud.stats")
    if as_json:
        print_json(found)
        return
    rows = [
        [
            row["rule"],
            _SEES[row["rule"]],
            row["fired"],
            row["reviewed"],
            row["confirmed"],
            "" if row["precision_bp"] is None else f"{row['precision_bp'] // _PER_CENT} %",
            "off" if row["off"] else "too noisy" if row["too_noisy"] else "",
        ]
        for row in found
    ]
    print_table("Rules", ["rule", "sees", "fired", "reviewed", "confirmed", "precision", ""], rows)
