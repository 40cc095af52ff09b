"""How members look to people: by mask and tier, never by a number. Knows the documented JSON alone."""

from __future__ import annotations

from typing import Any

from agent.cli.plain import clock_time, litres, print_table


def members(value: list[dict[str, Any]]) -> None:
    """Print members by mask."""
    rows = [[m["member"], m["mask"], m["tier"], m["points_available"], m["points_pending"], m["visits"]] for m in value]
    print_table("Members", ["member", "mask", "tier", "points", "pending", "visits"], rows)


def member(value: dict[str, Any]) -> None:
    """Print one member with everything they fuelled here."""
    members([value])
    made = value["enrolled"]
    if made is not None:
        print(f"enrolled here {clock_time(made['at'])} by {made['by']}")
    if value["merged"]:
        print(f"was also {', '.join(value['merged'])}")
    fuellings = [
        [
            clock_time(one["ended_at"]),
            one["sale"],
            one["fuelling_point"],
            one["grade"],
            litres(one["volume_ml"]),
            one["level"],
            one["by"],
            _how(one),
            one["points_earned"],
        ]
        for one in value["fuellings"]
    ]
    columns = ["ended", "sale", "point", "grade", "litres", "recognised by", "linked by", "how", "points"]
    print_table("Fuellings", columns, fuellings)
    lots = [[lot["lot"], lot["points"], lot["usable_from"], lot["expires_on"] or "never"] for lot in value["lots"]]
    print_table("Lots", ["lot", "points", "usable from", "expires on"], lots)
    moves = [[clock_time(m["at"]), m["account"], m["points"], m["sale"] or ""] for m in value["movements"]]
    print_table("Movements", ["when", "account", "points", "sale"], moves)


def _how(one: dict[str, Any]) -> str:
    """Return what was not plain about a link."""
    words = [f"{one['delay_s']} s after" if one["delay_s"] else "at once"]
    words += [word for word in ("late", "given_back") if one[word]]
    if one["corrects"]:
        words.append("corrected")
    if not one["active"]:
        words.append("taken away")
    return ", ".join(words).replace("_", " ")


def found(value: dict[str, Any]) -> None:
    """Print whom a number belongs to."""
    print(f"{value['member']} {value['mask']} {value['tier'] or ''}".rstrip())


def enrolled(value: dict[str, Any]) -> None:
    """Print what an enrolment came to."""
    print(f"{value['message']} ({value['member_id']})")
    if value["contact"] is False:
        print("head office does not get the number: this station has no key to seal it with")
    if value["link"] is not None:
        print(value["link"]["message"])
