"""Signed member codes at a whole station: who fuelled, how strongly, once, and what is kept of a code."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from agent.crypto import public_ed25519, sign_ed25519
from agent.domain.codes import fm1, token
from agent.failpoints import armed
from tests.scenario.conftest import MakeStation
from tests.support.head_office_says import key_set, member_of
from tests.support.station import VirtualStation
from tests.support.station_checks import check_invariants
from tests.support.station_plans import by_hand

PHONE, CARD = bytes(range(100, 132)), bytes(range(132, 164))
READER, POINT = "reader-1", 1


def code(station: VirtualStation, member: int = 1, cti: int = 1, *, printed: bool = False, life_s: int = 100) -> str:
    """A code that head office signs now."""
    kid, seed = (b"\x02", CARD) if printed else (b"\x01", PHONE)
    exp_s = station.clock.wall_ms() // 1000 + life_s
    claims = token.Claims(token.EDDSA, kid, int(member_of(member), 16), exp_s, cti.to_bytes(4, "big"))
    return fm1.issue(claims, partial(sign_ed25519, seed))


@pytest.fixture
def station(make_station: MakeStation) -> VirtualStation:
    """A station that has the keys of phone codes and printed cards; one reader serves point 1 alone."""
    made = make_station(5, by_hand())
    made.run_for(8)
    made.handle(key_set(1, ("01", public_ed25519(PHONE), "dynamic"), ("02", public_ed25519(CARD), "printed")))
    return made


def outcomes(station: VirtualStation) -> list[str]:
    """What the readers were answered, in order."""
    return [row["outcome"] for row in station.rows("SELECT outcome FROM scan_event ORDER BY at_ms, id")]


def links(station: VirtualStation) -> list[tuple[str, str, str | None]]:
    """(member, level, code) of every link in the journal."""
    found = station.rows("SELECT body FROM journal WHERE type = 'fc.sale.linked.v1' ORDER BY seq")
    data = [json.loads(row["body"])["data"] for row in found]
    return [(one["member"], one["level"], one["code"]) for one in data]


def spent(station: VirtualStation) -> list[tuple[str, str, str]]:
    """The replay table."""
    rows = station.rows("SELECT * FROM spent_code ORDER BY first_seen_ms, cti")
    return [(row["kid"], row["member"], row["cti"]) for row in rows]


def fill(station: VirtualStation, point: int, volume_ml: int = 5_000) -> None:
    """A fuelling from lift to booking."""
    station.fuel(point, volume_ml)
    station.run_for(3)


def test_a_phone_code_names_the_member_and_is_spent(station: VirtualStation) -> None:
    """Scanned before the fuelling: linked with the strong level, spent in the table, named in the record without text."""
    shown = code(station)
    station.scan(READER, shown)
    fill(station, POINT)
    assert links(station) == [(member_of(1), "fm1_dynamic", "01:0000:00000001")]
    assert spent(station) == [("01", member_of(1), "00000001")]
    database = station.settings.store.path.read_bytes()
    assert shown[4:30].encode() not in database
    check_invariants(station)


def test_a_spent_code_is_refused_for_another_sale_also_after_a_restart(station: VirtualStation) -> None:
    """The desk has forgotten it, the table has not."""
    shown = code(station, life_s=170)
    station.scan(READER, shown)
    fill(station, POINT)
    station.crash()
    station.restart(1.0)
    forget_the_desk(station)
    station.run_for(5)
    station.scan(READER, shown)
    assert outcomes(station)[-1] == "REPLAYED"
    assert len(links(station)) == 1


def forget_the_desk(station: VirtualStation) -> None:
    """What linking remembers is gone, as after a day."""
    memory = station.pipeline._memory
    memory.desk = replace(memory.desk, sales={}, pending={}, ended=(), recent={})


def test_a_printed_card_may_be_shown_again(station: VirtualStation) -> None:
    """It is no one-time code: the next fuelling is linked as well, with its weaker level."""
    for _ in range(2):
        station.scan(READER, code(station, printed=True, life_s=10_000_000))
        fill(station, POINT)
        station.run_for(40)
    assert [(member, level) for member, level, _ in links(station)] == [(member_of(1), "fm1_printed")] * 2
    assert spent(station) == []


@pytest.mark.parametrize(
    ("make", "outcome"),
    [
        (lambda station: code(station, life_s=-70), "EXPIRED"),
        (lambda station: code(station, life_s=400), "TTL_TOO_LONG"),
        (lambda station: code(station)[:-3], "MALFORMED"),
        (lambda station: "FM2:MWGSLK", "UNSUPPORTED_VERSION"),
    ],
)
def test_a_refused_code_changes_nothing(
    station: VirtualStation, make: Callable[[VirtualStation], str], outcome: str
) -> None:
    """One answer for the attendant, no link, nothing spent."""
    station.scan(READER, make(station))
    assert outcomes(station) == [outcome]
    fill(station, POINT)
    assert (links(station), spent(station)) == ([], [])


def test_keys_rotate_and_cards_are_withdrawn(station: VirtualStation) -> None:
    """A new set acts at once; an older one, and one that gives a kid another key, are refused and audited."""
    phone, card = ("01", public_ed25519(PHONE), "dynamic"), ("02", public_ed25519(CARD), "printed")
    station.handle(key_set(3, phone, card, revoked=[("02", "00000001")]))
    station.scan(READER, code(station, printed=True))
    assert outcomes(station)[-1] == "REVOKED"
    station.handle(key_set(2, phone, card))
    station.handle(key_set(4, ("01", public_ed25519(CARD), "dynamic"), card))
    station.run_for(4)
    station.scan(READER, code(station, printed=True))
    assert outcomes(station)[-1] == "REVOKED"
    audits = station.rows("SELECT body FROM journal WHERE type = 'fc.audit.v1' ORDER BY seq")
    told = [json.loads(row["body"])["data"]["action"] for row in audits]
    assert [action for action in told if action.startswith("keys_")] == [
        "keys_activated",
        "keys_activated",
        "keys_refused",
        "keys_refused",
    ]
    station.crash()
    station.restart(1.0)
    station.run_for(5)
    station.scan(READER, code(station, printed=True))
    assert outcomes(station)[-1] == "REVOKED"


def test_without_keys_a_code_cannot_be_checked_yet(make_station: MakeStation) -> None:
    """That is no forgery, and it is said so."""
    station = make_station(5, by_hand())
    station.run_for(8)
    station.scan(READER, code(station))
    assert outcomes(station) == ["UNKNOWN_KEY"]


def test_a_clock_that_nobody_set_lets_a_code_earn_only(station: VirtualStation) -> None:
    """The link is made; what it may do is not more than earning."""
    station.clock.word = "rtc"
    station.scan(READER, code(station, life_s=350))
    fill(station, POINT)
    assert [level for _, level, _ in links(station)] == ["fm1_dynamic"]


@pytest.mark.parametrize("step", ["link.before_commit", "sale.before_commit", "sale.after_commit"])
def test_death_between_scan_and_booking_spends_and_links_once(station: VirtualStation, step: str) -> None:
    """Whatever the moment: one link, one spent code, and the same code again makes no second one."""
    shown = code(station, life_s=170)
    station.scan(READER, shown)
    station.lift(POINT)
    station.wait_for_flow(POINT)
    station.flow(POINT, 4_000, seconds=2)
    station.hang_up(POINT)
    with armed(step, 1):
        station.run_surviving(6, down_s=1)
    station.run_for(3)
    station.scan(READER, shown)
    assert len(station.crashes) == 1
    assert (len(links(station)), len(spent(station))) == (1, 1)
    check_invariants(station)
