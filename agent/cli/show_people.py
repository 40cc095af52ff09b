"""How staff and shifts look to people: tables and short lines. Knows the documented JSON, nothing of the daemon."""

from __future__ import annotations

from typing import Any

from agent.cli.plain import clock_time, litres, money, print_table

NOBODY = "(nobody)"


def staff(value: list[dict[str, Any]]) -> None:
    """Print everybody."""
    rows = [
        [
            person["staff"],
            person["name"],
            person["role"],
            "yes" if person["active"] else "disabled",
            "yes" if person["pin"] else "no",
            "yes" if person["badge"] else "no",
            " ".join(person["terminals"]),
            person["source"],
        ]
        for person in value
    ]
    print_table("staff", ("id", "name", "role", "active", "pin", "badge", "signed in at", "from"), rows)


def person(value: dict[str, Any]) -> None:
    """Print one person."""
    staff([value])
    rows = [
        [a["terminal"], clock_time(a["since"]), clock_time(a["until"]), a["ended"] or ""] for a in value["attendances"]
    ]
    print_table("signed in", ("at", "from", "until", "ended"), rows)


def shifts(value: list[dict[str, Any]]) -> None:
    """Print shifts."""
    rows = []
    for row in value:
        totals = row["totals"] or {}
        rows.append(
            [
                row["number"],
                row["state"],
                clock_time(row["opened_at"]),
                row["opened_by"],
                clock_time(row["closed_at"]),
                row["closed_by"],
                totals.get("sales"),
                litres(totals.get("sold_ml")),
                litres(totals.get("unexplained_ml"), 3),
            ]
        )
    columns = ("shift", "state", "opened", "by", "closed", "by", "sales", "litres", "unexplained")
    print_table("shifts", columns, rows)


def shift(value: dict[str, Any]) -> None:
    """Print one shift: every number of the equation, then money and points, then each attendant."""
    print(f"shift {value['number']} {value['state']}  from {clock_time(value['from'])}  opened by {value['opened_by']}")
    if value["closed_at"] is not None:
        print(f"closed {clock_time(value['closed_at'])} by {value['closed_by']}")
    _nozzles(value)
    _money(value)
    _attendants(value)
    exponent = value["exponent"]
    for row in value["count"]:
        counted, expected, variance = (
            money(row[name], exponent) for name in ("counted_minor", "expected_minor", "variance_minor")
        )
        print(f"{row['kind']}: counted {counted}, expected {expected}, difference {variance}")


def _nozzles(value: dict[str, Any]) -> None:
    names = ("moved_ml", "sold_ml", "test_ml", "own_use_ml", "unexplained_ml")
    rows = [
        [f"{n['fuelling_point']}/{n['nozzle']}", n["grade"], n["totalizer_open"] or "?", n["totalizer_close"] or "?"]
        + ["unknown" if n[name] is None else litres(n[name], 3) for name in names]
        for n in value["nozzles"]
    ]
    totals = value["totals"]
    rows.append(["all", "", "", ""] + ["unknown" if totals[n] is None else litres(totals[n], 3) for n in names])
    columns = ("nozzle", "grade", "at opening", "at close", "moved", "sold", "test", "own use", "unexplained")
    print_table("litres", columns, rows)
    for name, what in (("earlier_test_ml", "meter test"), ("earlier_own_use_ml", "own use")):
        if totals[name]:
            print(f"{litres(totals[name], 3)} l of earlier shifts were booked to {what} in this one")


def _money(value: dict[str, Any]) -> None:
    totals, exponent = value["totals"], value["exponent"]
    names = ("gross_minor", "discount_minor", "net_minor", "unsettled_minor")
    gross, discount, net, unsettled = (money(totals[name], exponent) for name in names)
    print(f"{totals['sales']} sales, {gross}; settled {totals['settled']}: discount {discount}, net {net}")
    print(f"not settled yet: {totals['unsettled']} sales, {unsettled}")
    for name, what in (("tenders", "paid"), ("refunded", "given back")):
        for row in totals[name]:
            print(f"  {what} {row['kind']}: {money(row['amount_minor'], exponent)}")
    print(f"points given {totals['points_given']}, taken {totals['points_taken']}")


def _attendants(value: dict[str, Any]) -> None:
    exponent = value["exponent"]
    rows = [
        [
            a["attendant"] or NOBODY,
            a["sales"],
            litres(a["volume_ml"]),
            money(a["gross_minor"], exponent),
            money(a["discount_minor"], exponent),
            a["points_given"],
            a["points_taken"],
            f"{a['captured']}/{a['opportunities']}",
            a["late_links"],
            a["voids"],
            a["refunds"],
        ]
        for a in value["attendants"]
    ]
    columns = (
        "attendant",
        "sales",
        "litres",
        "gross",
        "discount",
        "points +",
        "points -",
        "members",
        "late",
        "voids",
        "refunds",
    )
    print_table("attendants", columns, rows)
