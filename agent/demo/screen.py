"""What a person sees while the demo runs: live tables on a terminal, else a plain line per new sale; JSON: nothing.

Asks the control socket like any other screen. An agent that is away is shown as away.
"""

from __future__ import annotations

import sys
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agent.cli.talk import clock_time, litres, money
from agent.control import ControlError, ask
from agent.demo.options import DemoOptions
from agent.demo.places import Places

ANSWER_S = 1.0
SHOWN_SALES = 10
SHOWN_ALERTS = 5
MAX_NEW = 100
"""Sales asked for at once for plain lines: far more than come between two looks."""
BAR_WIDTH = 30
EXPONENT = 2
REFRESHES_PER_S = 4


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Screen(Protocol):
    """``show`` looks again, ``say`` tells a sentence, ``close`` gives the terminal back."""

    def show(self) -> None:
        """Look again and show what there is."""
        ...

    def say(self, sentence: str) -> None:
        """Tell one sentence."""
        ...

    def close(self) -> None:
        """Give the terminal back."""
        ...


def screen_for(options: DemoOptions, places: Places) -> Screen:
    """Return the screen that fits: silent for JSON, live on a terminal, lines elsewhere."""
    if options.as_json:
        return Silent()
    console = Console()
    return (
        LiveScreen(options, places, console) if console.is_terminal and not console.is_dumb_terminal else Lines(places)
    )


class Silent:
    """Standard output belongs to the JSON object."""

    def show(self) -> None:
        """Show nothing."""

    def say(self, sentence: str) -> None:
        """Say it where it disturbs no reader."""
        sys.stderr.write(f"forecourt demo: {sentence}\n")

    def close(self) -> None:
        """Nothing to give back."""


class Lines:
    """One line per new sale and per new settlement state."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._told: dict[str, str] = {}

    def show(self) -> None:
        """Print sales that are new or have been settled since the last look."""
        sales = _asked(self._places, "sales", limit=MAX_NEW)
        for sale in reversed(sales or []):
            if self._told.get(sale["sale"]) != sale["state"]:
                self._told[sale["sale"]] = sale["state"]
                _line(sale_line(sale))

    def say(self, sentence: str) -> None:
        """Print the sentence."""
        _line(sentence)

    def close(self) -> None:
        """Nothing to give back."""


class LiveScreen:
    """The whole station at a glance, redrawn in place."""

    def __init__(self, options: DemoOptions, places: Places, console: Console) -> None:
        self._places = places
        self._title = f"forecourt demo  speed {options.speed}  seed {options.seed}"
        self._faults = ", ".join(options.faults)
        self._note = "starting"
        self._status: dict[str, Any] | None = None
        self._sales: list[dict[str, Any]] = []
        self._live = Live(Text(self._title), console=console, auto_refresh=False)
        self._live.start()

    def show(self) -> None:
        """Ask again and redraw."""
        status = _asked(self._places, "status")
        sales = _asked(self._places, "sales", limit=SHOWN_SALES)
        self._sales = sales if sales is not None else self._sales
        self._status = status or self._status
        self._live.update(self._picture(away=status is None), refresh=True)

    def say(self, sentence: str) -> None:
        """Show the sentence in the head line."""
        self._note = sentence
        self._live.update(self._picture(away=False), refresh=True)

    def close(self) -> None:
        """Leave the last picture and give the terminal back."""
        self._live.stop()

    def _picture(self, *, away: bool) -> RenderableType:
        head = Text(f"{self._title}  {self._note}", style="bold")
        if self._faults:
            head.append(f"  faults: {self._faults}", style="yellow")
        if self._status is None:
            return Group(head, Text("the agent is starting"))
        parts: list[RenderableType] = [head]
        if away:
            parts.append(Text("the agent is away; its pumps keep what they counted", style="bold red"))
        parts += [
            sync_line(self._status),
            pumps_table(self._status),
            tanks_table(self._status),
            sales_table(self._sales),
        ]
        alerts = self._status["alerts"][:SHOWN_ALERTS]
        parts += [Text(f"alert {a['subject']} {a['name']} {a['state']} {a['detail']}", style="red") for a in alerts]
        return Group(*parts)


def _asked(places: Places, op: str, **args: Any) -> Any:
    """Return the answer, ``None`` while the agent is away."""
    try:
        return ask(places.socket, op, args, timeout_s=ANSWER_S)
    except (ControlError, ValueError):
        return None


def sync_line(status: dict[str, Any]) -> Text:
    """Return how far head office has what was written."""
    sync = status["sync"]
    waiting = sum(stream["waiting"] for stream in sync["streams"].values())
    link = "online" if sync["online"] else f"offline ({sync['reason'] or 'not connected'})"
    text = f"head office {link}, {waiting} records waiting; {status['unsettled_sales']} sales unsettled"
    return Text(text, style="green" if sync["online"] and not waiting else "yellow")


def pumps_table(status: dict[str, Any]) -> Table:
    """Return the fuelling points: state, grade, litres, amount."""
    table = Table(title="Pumps", title_justify="left")
    for column in ("point", "state", "grade", "litres", "amount"):
        table.add_column(column, justify="right" if column in ("litres", "amount") else "left", min_width=8)
    for point in status["fuelling_points"]:
        busy = point["state"] not in ("Idle", "Inoperative", "Closed")
        table.add_row(
            str(point["fuelling_point"]),
            point["state"],
            point["grade"] or "",
            litres(point["volume_ml"]),
            money(point["amount_minor"], EXPONENT),
            style="bold green" if busy else "",
        )
    return table


def tanks_table(status: dict[str, Any]) -> Table:
    """Return the tanks as bars."""
    table = Table(title="Tanks", title_justify="left")
    for column in ("tank", "grade", "", "litres"):
        table.add_column(column)
    for tank in status["tanks"]:
        level = tank["volume_ml"] or 0
        bar = ProgressBar(total=tank["capacity_ml"], completed=level, width=BAR_WIDTH)
        more = "  delivery" if tank.get("delivery_in_progress") else ""
        table.add_row(str(tank["tank"]), tank["grade"], bar, f"{litres(tank['volume_ml'], 0)}{more}")
    return table


def sales_table(sales: list[dict[str, Any]]) -> Table:
    """Return the last sales with member, discount and points."""
    table = Table(title="Last sales", title_justify="left")
    for column in ("ended", "point", "grade", "litres", "amount", "member", "off", "net", "points", "state"):
        table.add_column(column)
    for sale in sales:
        exponent = sale["exponent"]
        table.add_row(
            clock_time(sale["ended_at"]),
            f"{sale['fuelling_point']}/{sale['nozzle']}",
            sale["grade"],
            litres(sale["volume_ml"]),
            money(sale["amount_minor"], exponent),
            sale["mask"] or "",
            money(sale["discount_minor"], exponent),
            money(sale["net_minor"], exponent),
            "-" if sale["points_earned"] is None else str(sale["points_earned"]),
            sale["state"],
        )
    return table


def sale_line(sale: dict[str, Any]) -> str:
    """Return one sale as a line."""
    exponent = sale["exponent"]
    text = (
        f"{sale['sale']}  point {sale['fuelling_point']}/{sale['nozzle']}  {sale['grade']:>2}"
        f"  {litres(sale['volume_ml']):>6} L  {money(sale['amount_minor'], exponent):>7}  {sale['state']}"
    )
    if sale["state"] == "Cleared":
        paid = f"net {money(sale['net_minor'], exponent)}, off {money(sale['discount_minor'], exponent)}"
        text += f"  {paid}, {sale['points_earned'] or 0} points"
    return f"{text}  {sale['mask']}" if sale["mask"] else text
