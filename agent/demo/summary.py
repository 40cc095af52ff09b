"""The last words of the demo for people: the three sides of the count beneath each other."""

from __future__ import annotations

from agent.cli.talk import litres, money
from agent.demo.closing import Count
from agent.demo.places import Places

EXPONENT = 2
"""The demo's station counts in yuan."""


def summary(counted: Count, places: Places) -> str:
    """Return the closing count as a few lines of text."""
    figures = counted.figures
    verdict = "verified: nothing was lost, nothing was doubled" if not counted.problems else "NOT VERIFIED"
    if not figures:
        return f"{verdict}\neverything is in {places.root}"
    rows = [
        ("", "sales", "litres"),
        ("pumps", str(figures["sales_at_pumps"]), litres(figures["volume_at_pumps_ml"])),
        ("station", str(figures["sales_recorded"]), litres(figures["volume_recorded_ml"])),
        ("head office", str(figures["sales_at_head_office"]), litres(figures["volume_at_head_office_ml"])),
    ]
    lines = [f"{where:<12}{sales:>8}{volume:>12}" for where, sales, volume in rows]
    lines.append(
        f"{figures['sales_linked_to_members']} sales linked to members, {figures['points_issued']} points,"
        f" discounts of {money(figures['discount_minor'], EXPONENT)};"
        f" {figures['tank_alerts_raised']} tank alerts, {figures['tank_alerts_at_head_office']} of them at head office"
    )
    return "\n".join([*lines, verdict, f"everything is in {places.root}"])
