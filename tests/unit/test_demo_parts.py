"""The demo's parts without a station: people, payments, the comparing of books, the fleet and the proxy."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.clock import ScaledClock
from agent.crypto import Aes, public_ed25519, verify_ed25519
from agent.demo import processes
from agent.demo.attendant import payment
from agent.demo.broker import free_port
from agent.demo.closing import Books, Counted, Settled, compare_head_office, compare_pumps, read_truth
from agent.demo.people import MEMBERS, POINTS, TAP_POINTS, people
from agent.demo.processes import QUICK_DEATHS, Fleet
from agent.demo.proxy import Proxy
from agent.demo.wallets import DemoWallet
from agent.domain.check_digits import luhn_holds
from agent.domain.codes import fm1, issuing, ndef, sun
from agent.domain.codes.card_keys import CardKeys
from agent.domain.codes.issuing import CodeKey
from agent.domain.codes.keyset import KeySet, Purpose
from agent.domain.identity import normalise_phone
from drivers.pn532.codec import LIST_ONE_CARD, RELEASE_ALL, encode, exchange
from drivers.simulator.card import APPLICATION, FILE, Card, link_message
from drivers.simulator.customers import Scan
from drivers.simulator.tapping import PATIENCE_MS, TapPlace

DEADLINE_S = 90.0


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_people_are_well_formed_and_differ_by_seed() -> None:
    """Cards check, phones are mobiles, ids are unique, and another seed gives other people."""
    found = people(1)
    assert len({person.member for person in found}) == len({person.card for person in found}) == MEMBERS
    assert all(len(p.card) == 16 and p.card.startswith("9") and luhn_holds(p.card) for p in found)
    assert all(normalise_phone(person.phone) == person.phone for person in found)
    assert people(1) == found
    assert people(2) != found


def test_members_carry_numbers_phones_and_chips() -> None:
    """Dealt to the points in turn: chips where they can be laid down, and every chip with a key of its own."""
    found = people(1)
    kinds = [(number % POINTS + 1, person.shows.partition(":")[0]) for number, person in enumerate(found)]
    assert {point for point, kind in kinds if kind == "chip"} == set(TAP_POINTS)
    assert {point for point, kind in kinds if kind == "phone"} == set(range(1, POINTS + 1))
    chips = [person for person in found if person.shows.startswith("chip:")]
    assert len({person.shows for person in chips}) == len({person.key for person in chips}) == len(chips) > 5


def test_what_members_show_is_believed_by_a_station(tmp_path: Path) -> None:
    """A phone shows a fresh code each time, a chip a new count each time; by the keys of head office both are good."""
    seed, meta = bytes(range(32)), bytes(range(16))
    clock = ScaledClock(1, 1_800_000_000_000, 0)
    now_s = clock.wall_ms() // 1000
    key = CodeKey(b"\x01", Purpose.DYNAMIC, seed, now_s, now_s + 10_000_000)
    (tmp_path / "codes").mkdir()
    (tmp_path / "codes" / "01.json").write_text(json.dumps(issuing.key_document(key)))
    (tmp_path / "cards.json").write_text(CardKeys(bytes(32), meta).text())
    found = people(1)
    wallet = DemoWallet(found, tmp_path, clock)
    phone = next(person for person in found if person.shows.startswith("phone:"))
    keys = KeySet(1, {b"\x01": key.public(public_ed25519(seed))})
    shown = [wallet.text(phone.shows) for _ in range(2)]
    for text in shown:
        checked = fm1.check(text, keys, fm1.Instant(now_s + 5), verify_ed25519)
        assert (checked.outcome, checked.claims and checked.claims.member_hex) == ("ACCEPTED", phone.member)
    assert shown[0] != shown[1]
    carrier = next(person for person in found if person.shows.startswith("chip:"))
    card = wallet.chip(carrier.shows)
    assert wallet.chip(carrier.shows) is card
    assert card.message_at is not None
    link = ndef.first_uri(card.message_at(7)) or ""
    scheme = sun.Scheme(sun.Profile("e", "c"), meta)
    tap = sun.check(
        link, card.uid, scheme, lambda uid: sun.CardKey(carrier.key) if uid in carrier.shows else None, Aes()
    )
    assert (tap.outcome, tap.counter) == ("ACCEPTED", 7)
    assert wallet.text("9156") == "9156"


def test_a_card_lies_until_it_was_read_or_its_owner_has_had_enough() -> None:
    """One after another: the next lies there when the first was taken; one that nobody reads is taken away untold."""
    read: list[Scan] = []
    place = TapPlace(read.append)
    scans = [Scan(0, "tap-1", name, 1, number, "tap", "after") for number, name in enumerate(("one", "two"))]
    cards = [Card(bytes((4, number)), lambda count: link_message(f"https://m.example.cn/{count}")) for number in (1, 2)]
    for card, scan in zip(cards, scans, strict=True):
        place.lay(card, scan)
    place.receive(bytes(10))
    place.step(0)
    for apdu in (None, APPLICATION, FILE):
        place.receive(encode(LIST_ONE_CARD if apdu is None else exchange(apdu)))
    assert read == []
    assert place.chip.card is cards[0]
    place.receive(encode(RELEASE_ALL))
    assert read == [scans[0]]
    place.step(100)
    assert place.chip.card is cards[1]
    place.receive(encode(RELEASE_ALL))
    place.step(100 + PATIENCE_MS)
    assert read == [scans[0]]
    assert place.chip.asked == []


def sale(number: int = 1, **more: Any) -> Counted:
    values: dict[str, Any] = {
        "id": f"S{number}",
        "point": 1,
        "nozzle": 2,
        "start": number * 10_000,
        "end": (number + 1) * 10_000,
        "volume_ml": 10_000,
        "amount_minor": 7_850,
    }
    return Counted(**{**values, **more})


def books(*sales: Counted, alerts: int = 0, **settled: Settled) -> Books:
    plain = Settled(0, 0, 7_850, None)
    return Books(sales, {one.id: settled.get(one.id, plain) for one in sales}, frozenset(), alerts)


def test_equal_sides_have_no_problems() -> None:
    """The same sales everywhere, whatever their order."""
    one, two = sale(1), sale(2)
    assert compare_pumps([one, two], [two, one]) == []
    assert compare_head_office(books(one, two), books(two, one)) == []


def test_a_lost_a_doubled_and_a_changed_sale_are_named() -> None:
    """Each kind of difference between pumps and station names the sale."""
    one, two = sale(1), sale(2)
    assert "S2" in compare_pumps([one, two], [one])[0]
    assert "S1b" in compare_pumps([one], [one, sale(1, id="S1b")])[0]
    shaved = compare_pumps([sale(1, volume_ml=10_200)], [one])
    assert ["S1" in problem and "10200 ml at the pump" in problem for problem in shaved] == [True]


def test_a_sale_over_a_replaced_meter_is_known_by_its_volume() -> None:
    """It ends at the new meter's total: equal at a nozzle whose meter was replaced, lost and invented elsewhere."""
    over = sale(1, end=700)
    replaced = frozenset({(over.point, over.nozzle)})
    assert compare_pumps([sale(1)], [over], replaced) == []
    assert len(compare_pumps([sale(1)], [over])) == 2
    assert len(compare_pumps([sale(1)], [sale(1, end=700, volume_ml=9_000)], replaced)) == 2


def test_a_sale_over_a_gap_stands_for_the_fuellings_it_covers() -> None:
    """Fuellings that were merged while nobody listened are covered if their millilitres add up."""
    merged = sale(1, end=30_000, volume_ml=20_000, covers_several=True)
    assert compare_pumps([sale(1), sale(2)], [merged]) == []
    assert compare_pumps([sale(1), sale(2)], [sale(1, end=30_000, volume_ml=19_000, covers_several=True)]) != []


def test_head_office_differences_are_named() -> None:
    """Missing, doubled, settled otherwise, alerts lost."""
    one, two = sale(1), sale(2)
    assert "missing at head office" in compare_head_office(books(one, two), books(one))[0]
    assert "it repeats sale S1" in compare_head_office(books(one), books(one, sale(1, id="S9")))[0]
    assert "S1" in compare_head_office(books(one), books(one, S1=Settled(5, 0, 7_845, None)))[0]
    assert compare_head_office(books(alerts=2), books(alerts=1)) == ["2 tank alerts raised, 1 at head office"]


def test_a_truth_cut_short_ends_before_the_cut(tmp_path: Path) -> None:
    """The simulator may be writing its next line while it is read."""
    fact = {"kind": "sale", "n": 1, "point": 1, "nozzle": 1, "volume_ml": 5_000, "amount_minor": 39, "totalizer_end": 7}
    (tmp_path / "truth.jsonl").write_text(json.dumps({"kind": "tanks"}) + "\n" + json.dumps(fact) + '\n{"kind": "sa')
    assert [found.end for found in read_truth(tmp_path / "truth.jsonl")] == [70]


def test_payments_follow_the_seed_and_the_last_tender_takes_the_rest() -> None:
    """A second try pays the same way; a linked sale is never booked to a purpose."""
    row = {"fuelling_point": 1, "nozzle": 1, "totalizer_end": "0:1", "volume_ml": 5_000, "member": "ab"}
    rows = [{**row, "totalizer_end": f"0:{number}"} for number in range(300)]
    paid = [payment(1, one) for one in rows]
    assert paid == [payment(1, one) for one in rows]
    assert any(how.purpose for how in paid)
    for how in paid:
        tenders = how.tenders(row, 4_000)
        assert tenders[-1]["amount_minor"] is None
        assert {tender["kind"] for tender in tenders} <= {"cash", "card", "wechat", "alipay", "unionpay"}
        assert sum(tender["amount_minor"] or 0 for tender in tenders) < 4_000


def sleeper() -> list[str]:
    return [sys.executable, "-c", "import time; time.sleep(600)"]


def test_the_fleet_starts_again_what_was_killed_and_says_so(tmp_path: Path) -> None:
    """pids.json follows every start; a held role stays down until it is released."""
    fleet = Fleet(tmp_path, tmp_path, tmp_path / "pids.json")
    fleet.start("agent", sleeper())
    first = fleet.pid("agent")
    fleet.strike("agent", signal.SIGKILL)
    wait_for(lambda: fleet.pid("agent") is None)
    fleet.watch_once()
    second = fleet.pid("agent")
    assert second not in (None, first)
    assert json.loads((tmp_path / "pids.json").read_text()) == {"agent": second}
    fleet.hold("agent")
    fleet.watch_once()
    assert fleet.pid("agent") is None
    fleet.release("agent")
    assert fleet.pid("agent") is not None
    fleet.stop_all(["agent"])
    assert json.loads((tmp_path / "pids.json").read_text()) == {}
    assert fleet.given_up is None


def test_a_role_that_never_runs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ending by itself again and again is no fault to survive: the log's name is told."""
    monkeypatch.setattr(processes, "QUICK_S", DEADLINE_S)  # on a busy machine Python's own start may take seconds
    fleet = Fleet(tmp_path, tmp_path, tmp_path / "pids.json")
    fleet.start("agent", [sys.executable, "-c", "raise SystemExit(2)"])
    deadline = time.monotonic() + DEADLINE_S
    while fleet.given_up is None:
        assert time.monotonic() < deadline
        fleet.watch_once()
        threading.Event().wait(0.01)
    assert "code 2" in fleet.given_up
    assert "agent.log" in fleet.given_up
    assert fleet.starts("agent") == QUICK_DEATHS


def test_the_proxy_forwards_goes_deaf_and_cuts() -> None:
    """Bytes arrive, wait while it is deaf, and the connection dies when it is cut."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy = Proxy(server.getsockname()[1])
        proxy.start()
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S) as near:
            far, _ = server.accept()
            with far:
                far.settimeout(DEADLINE_S)
                near.sendall(b"one")
                assert far.recv(10) == b"one"
                proxy.weather.deaf = True
                near.sendall(b"two")
                arrived = threading.Event()

                def read() -> None:
                    if far.recv(10) == b"two":
                        arrived.set()

                reader = threading.Thread(target=read)
                reader.start()
                assert not arrived.wait(0.2)
                proxy.weather.deaf = False
                assert arrived.wait(DEADLINE_S)
                reader.join()
                proxy.cut()
                assert ended(near)
        proxy.stop()


def test_the_proxy_cuts_a_connection_that_is_still_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The near side was taken, the way on is not there yet: the cut ends it all the same, and nothing goes on."""
    connect, taken, go_on = asyncio.open_connection, threading.Event(), threading.Event()

    async def slowly(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        taken.set()
        await asyncio.to_thread(go_on.wait, DEADLINE_S)
        return await connect(host, port)

    monkeypatch.setattr(asyncio, "open_connection", slowly)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE_S)
        proxy = Proxy(server.getsockname()[1])
        proxy.start()
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S) as near:
            assert taken.wait(DEADLINE_S)
            proxy.cut()
            assert ended(near)
            go_on.set()
            far, _ = server.accept()
            with far:
                far.settimeout(DEADLINE_S)
                assert ended(far)
        proxy.stop()


def ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(10) == b""
    except ConnectionResetError:
        return True


def test_a_free_port_is_free() -> None:
    """The port can be taken at once."""
    with socket.create_server(("127.0.0.1", free_port())) as server:
        assert server.getsockname()[1] > 0
