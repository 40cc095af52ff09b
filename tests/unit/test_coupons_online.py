"""Coupons that a station asks head office for while the customer waits: kept for one sale, refused to others, let go again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.inbox import Asked, Person
from headoffice.store.points_schema import coupon_mark
from sync.notices import Res
from tests.support.lending_office import Line, Office
from tests.support.till import CASH, EARN, TEN, asked

RISKY = {**TEN, "trimmed": "SPEND"}
ASK_FIRST = {name: value for name, value in RISKY.items() if name != "risk_up_to_minor"} | {"checking": "ONLINE_ONLY"}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Head office with a member; everything adds up afterwards, at every end."""
    made = Office(tmp_path)
    made.member()
    yield made
    made.close()


def station(office: Office, name: str = "SIM-0001", offer: Any = ASK_FIRST) -> Line:
    """A station whose rules have one coupon."""
    return office.station(name, [EARN, offer])


def signed(office: Office, code: str = "C-1") -> str:
    """A coupon as this head office signs it."""
    empty = {"member": None, "station": None, "expires_on": None, "balance_minor": None}
    window = {"not_before": "2020-01-01T00:00:00.000Z", "not_after": "2099-01-01T00:00:00.000Z"}
    return office.keys.sign({"code": code, "offer": "ten", **empty, **window})


def ask(line: Line, op: str, sale: str, **args: Any) -> Asked:
    """Ask as an attendant; the answer may come later."""
    paid = {"tenders": CASH} if op == "sales.settle" else {}
    question = Asked(op, {"sale": sale, **paid, **args}, Person("wang", "attendant"))
    line.till.pipeline.handle(question)
    return question


def answer(question: Asked) -> dict[str, Any]:
    """What the person is told by now."""
    told = question.reply.wait(0.0)
    assert told is not None, "nobody answered"
    return told


def let_go(line: Line) -> list[Res]:
    """What the station asks after a sale is brought to head office."""
    return [res for res in line.ask_all() if res.status == "ok"]


def marks(office: Office) -> list[tuple[str, str, str]]:
    """Code, station and state of every coupon that head office keeps."""
    with office.database.read() as connection:
        rows = connection.execute(coupon_mark.select())
        return [(row.code, row.station, row.state) for row in rows]


def test_a_coupon_that_wants_to_be_asked_for_is_taken_once_head_office_kept_it(office: Office) -> None:
    """[W-50] The customer waits for the answer; the sale takes the coupon, and no other station gets it afterwards."""
    line, other = station(office), station(office, "SIM-0002")
    question = ask(line, "sales.settle", line.till.fuelled(), coupons=[signed(office)])
    assert question.reply.wait(0.0) is None
    assert [(req.kind, req.body["code"]) for req in line.open()] == [("coupon", "C-1")]
    line.ask_all()
    assert asked(answer(question)["data"]) == [("APPLIED", "OK", 1_000)]
    assert marks(office) == [("C-1", "SIM-0001", "held")]
    line.drain()
    assert (marks(office), line.open()) == ([("C-1", "SIM-0001", "used")], [])
    late = ask(other, "sales.settle", other.till.fuelled(), coupons=[signed(office)])
    other.ask_all()
    assert "head office says it was used" in answer(late)["error"]
    assert answer(late)["hint"]


@pytest.mark.parametrize("offer", [ASK_FIRST, RISKY])
def test_a_coupon_that_another_sale_holds_is_refused_while_the_link_stands(office: Office, offer: Any) -> None:
    """Also one that could be taken offline: where head office can be asked its word counts, and the next sale may ask again."""
    first, second = station(office, offer=offer), station(office, "SIM-0002", offer)
    held = first.till.fuelled()
    ask(first, "sales.quote", held, coupons=[signed(office)], lock=True)
    first.ask_all()
    sale = second.till.fuelled()
    refused = ask(second, "sales.settle", sale, coupons=[signed(office)])
    second.ask_all()
    assert "is kept for another sale" in answer(refused)["error"]
    assert first.till.ask("sales.unlock", role="attendant", sale=held)["ok"]
    assert len(let_go(first)) == 1
    again = ask(second, "sales.settle", sale, coupons=[signed(office)])
    second.ask_all()
    assert asked(answer(again)["data"]) == [("APPLIED", "OK", 1_000)]


def test_offline_the_rules_decide_what_a_signature_is_worth(office: Office) -> None:
    """Without a link nobody is asked: an ONLINE_ONLY coupon is rejected with its reason, one with a risk is taken up to it."""
    strict, risky = station(office), station(office, "SIM-0002", RISKY)
    for line in (strict, risky):
        line.online(False)
    refused = answer(ask(strict, "sales.quote", strict.till.fuelled(), coupons=[signed(office)]))
    assert asked(refused["data"]) == [("REJECTED", "OFFLINE_NOT_ALLOWED", 0)]
    taken = answer(ask(risky, "sales.settle", risky.till.fuelled(), coupons=[signed(office)]))
    assert asked(taken["data"]) == [("APPLIED", "OK", 1_000)]
    assert (strict.open(), risky.open()) == ([], [])
    risky.drain()
    assert marks(office) == [("C-1", "SIM-0002", "used")]


def test_an_answer_that_comes_too_late_keeps_no_coupon_from_the_customer(office: Office) -> None:
    """After three seconds the signature alone decides; what head office kept for the sale meanwhile is let go again."""
    line = station(office)
    sale = line.till.fuelled()
    question = ask(line, "sales.quote", sale, coupons=[signed(office)])
    line.till.wait(3)
    assert answer(question)["data"]["head_office"] == "no_answer"
    assert asked(answer(question)["data"]) == [("REJECTED", "OFFLINE_NOT_ALLOWED", 0)]
    assert answer(ask(line, "sales.settle", sale))["ok"]
    line.ask_all()
    assert marks(office) == [("C-1", "SIM-0001", "held")]
    assert len(let_go(line)) == 1
    assert marks(office) == []


def test_a_sale_that_goes_on_without_its_coupon_after_a_crash_lets_it_go(office: Office) -> None:
    """The process ends between the answer and the payment: what was kept for the sale is known afterwards, too."""
    line = station(office)
    sale = line.till.fuelled()
    ask(line, "sales.quote", sale, coupons=[signed(office)])
    line.ask_all()
    line.till.restart()
    line.online()
    assert answer(ask(line, "sales.settle", sale))["ok"]
    assert len(let_go(line)) == 1
    assert marks(office) == []
    line.till.restart()
    assert line.till.rows("SELECT value FROM meta WHERE key = 'coupons_kept'") == []


def test_a_station_that_is_born_again_asks_for_a_kept_coupon_anew(office: Office) -> None:
    """[W-52] Its database may be older than what became of the coupon: yesterday's answer is no answer; unused it is let go."""
    line = station(office)
    first, second = line.till.fuelled(), line.till.fuelled()
    for sale, code in ((first, "C-1"), (second, "C-2")):
        ask(line, "sales.quote", sale, coupons=[signed(office, code)])
        line.ask_all()
    line.till.reborn()
    line.drain()
    line.online()
    question = ask(line, "sales.settle", first, coupons=[signed(office)])
    assert [(req.kind, req.body["code"]) for req in line.open()] == [("coupon", "C-1")]
    line.ask_all()
    assert asked(answer(question)["data"]) == [("APPLIED", "OK", 1_000)]
    assert answer(ask(line, "sales.settle", second))["ok"]
    assert len(let_go(line)) == 1
    line.drain()
    assert marks(office) == [("C-1", "SIM-0001", "used")]
