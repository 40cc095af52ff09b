"""Cards laid on readers of a whole station: who fuelled, once, whatever dies; and through a real reader's dialogue."""

from __future__ import annotations

import json
import select
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clock import read
from agent.failpoints import SimulatedCrash, armed
from agent.inbox import FromLine
from drivers.config import LineConfig
from drivers.line import Line
from drivers.readings import CardTap
from drivers.registry import make_line
from drivers.simulator.card import Card, link_message
from drivers.simulator.pn532_chip import Chip as Pn532
from drivers.simulator.wires import PtyWire
from tests.scenario.conftest import MakeStation
from tests.support import template
from tests.support.head_office_says import CARDS, card_entry, member_of, member_with
from tests.support.station import VirtualStation
from tests.support.station_checks import check_invariants
from tests.support.station_plans import by_hand
from tests.support.station_settings import Plan
from tests.support.sun_cards import Chip
from tests.support.till import Till

UID = bytes.fromhex("04782E21801D80")
CHIP = Chip(bytes.fromhex("04A1B2C3D4E580"), bytes(range(50, 66)), CARDS.meta_read)
READER, POINT = "reader-1", 1
MAX_TURNS = 2_000


def lay(station: VirtualStation, tap: CardTap) -> None:
    """A card is laid on a reader."""
    station.handle(FromLine(tap.reader, tap, read(station.clock)))


def outcomes(station: VirtualStation) -> list[str]:
    """What the readers were answered since the start."""
    return [f"{answer['outcome']}{'*' if answer['repeat'] else ''}" for answer in station.live.answers]


def links(station: VirtualStation) -> list[tuple[str, str]]:
    """(member, level) of every link in the journal."""
    found = station.rows("SELECT body FROM journal WHERE type = 'fc.sale.linked.v1' ORDER BY seq")
    data = [json.loads(row["body"])["data"] for row in found]
    return [(one["member"], one["level"]) for one in data]


@pytest.mark.parametrize(
    ("uid", "ndef", "outcome"),
    [(UID, None, "UNKNOWN_CARD"), (UID, b"\xd1\x01\x00U", "MALFORMED"), (None, b"", "UNKNOWN_CARD")],
)
def test_a_card_that_is_not_known_is_refused_aloud_and_leaves_no_trace_of_itself(
    make_station: MakeStation, uid: bytes | None, ndef: bytes | None, outcome: str
) -> None:
    """Whatever it told of itself: one answer at once, one row without its id."""
    station = make_station(5, by_hand())
    station.run_for(1)
    lay(station, CardTap(READER, uid, ndef))
    assert outcomes(station) == [outcome]
    (row,) = station.rows("SELECT * FROM scan_event")
    assert (row["reader"], row["outcome"], row["member_ref"]) == (READER, outcome, None)
    station.run_for(2)
    check_invariants(station)
    held = station.settings.store.path.read_bytes()
    assert UID not in held
    assert UID.hex().encode() not in held.lower()


@pytest.fixture
def station(make_station: MakeStation) -> VirtualStation:
    """A station that knows the chip of member 1."""
    made = make_station(5, by_hand())
    made.run_for(8)
    made.handle(member_with(1, 1, card_entry(CHIP.name, CHIP.key)))
    return made


def test_a_card_before_the_fuelling_links_it_when_it_ends(station: VirtualStation) -> None:
    """Laid down, nozzle lifted, fuelled, hung up: the sale is the member's; the same card links the next one too."""
    for counter in (7, 8):
        lay(station, CHIP.tap(READER, counter))
        station.fuel(POINT, 5_000)
        station.run_for(40)
    assert links(station) == [(member_of(1), "sun")] * 2
    check_invariants(station)


@pytest.mark.parametrize(
    ("place", "again"), [("card.counted", "LINKED"), ("link.before_commit", "LINKED"), ("card.after_commit", "REPEAT*")]
)
def test_death_at_a_tap_costs_nothing_and_links_once(station: VirtualStation, place: str, again: str) -> None:
    """Before the commit nothing has happened and the tap works again; after it the same tap gets the first answer."""
    station.fuel(POINT, 5_000)
    tap = CHIP.tap(READER, 7)
    with armed(place, 1), pytest.raises(SimulatedCrash):
        lay(station, tap)
    station.crash(place)
    station.restart(2.0)
    lay(station, tap)
    assert outcomes(station) == [again]
    station.run_for(5)
    lay(station, tap)
    lay(station, CHIP.tap("reader-2", 7))
    assert outcomes(station)[1:] == [
        "REPEAT*" if place == "card.after_commit" else "COUNTER_REPLAYED",
        "COUNTER_REPLAYED",
    ]
    assert links(station) == [(member_of(1), "sun")]
    assert station.rows("SELECT counter FROM card") == [{"counter": 7}]
    station.run_for(40)
    check_invariants(station)


# --- a real dialogue --------------------------------------------------------------------------------------------------


@pytest.fixture
def till() -> Iterator[Till]:
    """A till that knows the chip of member 1."""
    folder = template.new_folder()
    template.copy_to(folder)
    made = Till(folder, plan=Plan(settle="tender", uid_cards=True))
    made.pipeline.handle(member_with(1, 1, card_entry(CHIP.name, CHIP.key)))
    made.pipeline.handle(member_with(2, 2, uids=[UID.hex().upper()]))
    yield made
    made.close()
    shutil.rmtree(folder)


@pytest.fixture
def pn532(tmp_path: Path) -> Iterator[tuple[Pn532, Line]]:
    """A chip that answers on a pseudo-terminal, and the line that opens it."""
    wire, chip, over = PtyWire(tmp_path / "tap"), Pn532(), threading.Event()
    wire.plug()

    def serve() -> None:
        while not over.is_set():
            if select.select([wire.fileno()], [], [], 0.05)[0]:
                wire.write(chip.receive(wire.read()))

    thread = threading.Thread(target=serve)
    thread.start()
    options = {"poll_interval": "50ms", "ack": "2s", "answer": "5s"}
    line = make_line(LineConfig("reader-tap", str(wire.link), "pn532", reader=READER, options=options))
    yield chip, line
    line.close()
    over.set()
    thread.join()
    wire.unplug()


def until_answered(till: Till, line: Line, count: int) -> str:
    """Turn the reader's line until the till has given so many answers; the last outcome."""
    for _ in range(MAX_TURNS):
        if len(till.pipeline._live.answers) >= count:
            break
        for reading in line.turn():
            till.pipeline.handle(FromLine("reader-tap", reading, read(till.clock)))
    assert len(till.pipeline._live.answers) == count
    return str(till.pipeline._live.answers[-1]["outcome"])


def test_cards_on_a_pn532_link_sales_and_a_clone_does_not(till: Till, pn532: tuple[Pn532, Line]) -> None:
    """The chip on a serial line is woken, reads a member's card, another by its id, and a clone that plays an old message."""
    chip, line = pn532
    true, old = CHIP.card(counter=20), CHIP.link(21)
    cards = (true, Card(UID), Card(CHIP.uid, lambda _count: link_message(old)), true)
    expected = ("LINKED", "LINKED_EARN_ONLY", "COUNTER_REPLAYED", "LINKED_EARN_ONLY")
    for number, (card, outcome) in enumerate(zip(cards, expected, strict=True), 1):
        if outcome != "LINKED_EARN_ONLY" or number == 2:
            till.sale()
        chip.card = card
        assert until_answered(till, line, number) == outcome, number
        chip.card = None
        for _ in range(4):
            line.turn()
        till.wait(700 if number < 3 else 5)
    linked = [(record["member"], record["level"]) for record in till.records("fc.sale.linked.v1")]
    assert linked == [(member_of(1), "sun"), (member_of(2), "uid"), (member_of(1), "sun")]
    assert till.rows("SELECT counter, held FROM card") == [{"counter": 22, "held": 1}]
