"""Points and budgets that stations borrow from head office: reservations while somebody waits, leases, balances told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.inbox import Asked, Person
from headoffice.cli.app import app as hq
from headoffice.store import exposure, pools, reports
from headoffice.store.verify import verify
from sync.notices import Req
from tests.support.lending_office import EXPIRES, Line, Office, office_member, points_on
from tests.support.till import CASH, MEMBER, asked


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    made.member()
    yield made
    made.close()


def begin(line: Line, op: str, **args: Any) -> Asked:
    """Ask as a person; the answer may come later."""
    question = Asked(op, args, Person("wang", "attendant"))
    line.till.pipeline.handle(question)
    return question


def told(question: Asked) -> dict[str, Any] | None:
    """The answer that was given, None while the person waits."""
    return question.reply.wait(0.0)


def data(question: Asked) -> dict[str, Any]:
    """The data of a good answer."""
    answer = told(question)
    assert answer is not None, "nobody answered"
    assert answer["ok"], answer
    return dict(answer["data"])


def test_points_are_reserved_while_the_customer_waits_and_settled_from_that(office: Office) -> None:
    """[W-50] Online: reserve and confirm; the person is answered when head office has spoken, and the record moves it."""
    line = office.station()
    sale = line.till.fuelled()
    question = begin(line, "sales.settle", sale=sale, tenders=CASH, points=2_000)
    assert told(question) is None
    (req,) = line.open()
    assert (req.kind, req.body["points"], req.body["sale"]) == ("reserve", 2_000, sale)
    line.hear(line.ask(req))
    assert data(question)["points_redeemed"] == 2_000
    assert data(question)["head_office"] == "ok"
    assert office.points() == pools.Figures("points", MEMBER, 5_230, 3_230, 2_000)
    line.drain()
    earned = data(question)["points_earned"]
    assert office.points() == pools.Figures("points", MEMBER, 3_230 + earned, 3_230 + earned, 0)
    (lease,) = line.till.rows("SELECT state, spent, sale FROM lease")
    assert (lease["state"], lease["spent"], lease["sale"]) == ("closed", 2_000, sale)


def test_a_customer_waits_three_seconds_and_then_what_is_here_decides(office: Office) -> None:
    """[W-50] No answer in time: BALANCE_STALE says why; the reservation that comes later goes back in full."""
    line = office.station()
    sale = line.till.fuelled()
    question = begin(line, "sales.quote", sale=sale, points=2_000)
    line.till.wait(2)
    assert told(question) is None
    line.till.wait(1)
    assert asked(data(question)) == [("REJECTED", "BALANCE_STALE", 0)]
    assert data(question)["head_office"] == "no_answer"
    line.till.settle(sale)
    line.ask_all()
    line.drain()
    assert office.points().lent == 0
    assert [row["event"] for row in line.till.records("fc.lease.v1")] == ["received", "closed_out"]


def test_what_is_more_than_head_office_has_is_refused_with_the_figure(office: Office) -> None:
    """[W-50] A reservation is all or nothing; the person hears why, and nothing is lent."""
    first, second = office.station(), office.station("SIM-0002")
    line_sale, other_sale = first.till.fuelled(40_000), second.till.fuelled(40_000)
    begin(first, "sales.quote", sale=line_sale, points=3_000, lock=True)
    assert [res.status for res in first.ask_all()] == ["ok"]
    question = begin(second, "sales.quote", sale=other_sale, points=3_000)
    (res,) = second.ask_all()
    assert (res.status, res.reason, res.body) == ("refused", "too_little", {"free": 2_230})
    assert asked(data(question)) == [("REJECTED", "BALANCE_STALE", 0)]
    assert data(question)["head_office"] == "too_little"


def test_a_price_that_is_let_go_gives_its_reservation_back(office: Office) -> None:
    """[W-50] Unlock closes the reservation out: its record makes the points free again, no clock does."""
    line = office.station()
    sale = line.till.fuelled()
    begin(line, "sales.quote", sale=sale, points=2_000, lock=True)
    line.ask_all()
    assert line.till.ask("sales.unlock", role="attendant", sale=sale)["ok"]
    assert office.points().lent == 2_000
    line.drain()
    assert office.points() == pools.Figures("points", MEMBER, 5_230, 5_230, 0)


def test_a_repeat_gets_the_same_lease_even_when_its_answer_is_forgotten(office: Office) -> None:
    """[W-50] One req_id is one lease for ever, and the text said twice is received once."""
    line = office.station()
    sale = line.till.fuelled()
    begin(line, "sales.quote", sale=sale, points=2_000, lock=True)
    (req,) = line.open()
    first = line.ask(req)
    with office.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM request")
    again = line.ask(req)
    assert again.body["reservation"] == first.body["reservation"]
    line.hear(first)
    line.hear(again)
    assert office.points().lent == 2_000
    assert len(line.till.records("fc.lease.v1")) == 1


def test_an_answer_that_was_lost_with_the_process_comes_again(office: Office) -> None:
    """[W-50] The request survives a restart, so what head office lent meanwhile is received and ends."""
    line = office.station()
    sale = line.till.fuelled()
    begin(line, "sales.settle", sale=sale, tenders=CASH, points=2_000)
    line.ask(line.open()[0])
    line.till.restart()
    line.till.settle(sale)
    assert office.points().lent == 2_000
    line.ask_all()
    line.drain()
    assert office.points().lent == 0


def test_nothing_is_asked_where_the_lease_here_is_enough(office: Office) -> None:
    """Without a link, and where a lease covers it, everything is answered at once as before."""
    line = office.station()
    line.online(False)
    sale = line.till.fuelled()
    assert asked(data(begin(line, "sales.quote", sale=sale, points=2_000))) == [("REJECTED", "BALANCE_STALE", 0)]
    assert line.open() == []


def test_a_void_gives_points_back_to_what_is_free(office: Office) -> None:
    """[W-50] The reservation is over by then: what the refund returns is free at head office."""
    line = office.station()
    sale = line.till.fuelled()
    begin(line, "sales.settle", sale=sale, tenders=CASH, points=2_000)
    line.ask_all()
    assert line.till.ask("sales.void", sale=sale, reason="wrong pump")["ok"]
    line.drain()
    assert office.points() == pools.Figures("points", MEMBER, 5_230, 5_230, 0)


def test_a_balance_names_what_it_includes_of_every_station(office: Office) -> None:
    """[W-44] Two stations post, each is told one balance with its own place in it, and adds only what came later."""
    first, second = office.station(), office.station("SIM-0002")
    first.till.settle(first.till.fuelled())
    second.till.settle(second.till.fuelled(40_000))
    first.drain()
    second.drain()
    first.tell()
    second.tell()
    both = 5_230 + 157 + 314
    assert (points_on(first.till), points_on(second.till), office.points().balance) == (both, both, both)
    first.till.settle(first.till.fuelled())
    assert points_on(first.till) == both + 157
    assert points_on(second.till) == both
    first.drain()
    first.tell()
    second.tell()
    assert (points_on(first.till), points_on(second.till)) == (both + 157, both + 157)


def test_a_reborn_station_counts_nothing_twice(office: Office) -> None:
    """[W-44] Records it sends again stand in a newer place: the balance told then includes them there."""
    line = office.station()
    line.till.settle(line.till.fuelled())
    line.drain()
    line.tell()
    before = points_on(line.till)
    line.till.reborn()
    line.drain()
    line.tell()
    assert (points_on(line.till), office.points().balance) == (before, before)


def test_leases_are_void_after_a_rebirth_until_a_person_writes_them_off(office: Office) -> None:
    """[W-52] The new incarnation spends nothing of them, head office takes nothing back by itself."""
    line = office.station()
    sale = line.till.fuelled()
    begin(line, "sales.quote", sale=sale, points=2_000, lock=True)
    line.ask_all()
    line.till.reborn()
    line.drain()
    assert office.points().lent == 2_000
    with office.database.write() as connection:
        (row,) = pools.listed(connection, limit=9)
        assert row["state"] == "void"
        pools.write_off(connection, row["id"], 0)
    assert office.points() == pools.Figures("points", MEMBER, 5_230, 5_230, 0)


def test_an_old_incarnation_is_lent_nothing(office: Office) -> None:
    """[W-52] A request of the life before is refused: its lease would be nobody's."""
    line = office.station()
    sale = line.till.fuelled()
    begin(line, "sales.quote", sale=sale, points=2_000, lock=True)
    (req,) = line.open()
    line.till.reborn()
    line.drain()
    assert line.ask(req).reason == "incarnation_over"
    assert line.open() == []


def test_a_budget_is_borrowed_ahead_and_again_when_it_runs_low(office: Office) -> None:
    """[W-52] Campaigns use the same leases: asked for while online, spent offline, the rest of the old one goes back."""
    with office.database.write() as connection:
        pools.set_budget(connection, "autumn", 100_000, 0)
    line = office.station()
    line.till.wait(11)
    (req,) = line.open()
    assert (req.kind, req.body["subject"], req.body["amount"]) == ("lease", "autumn", 20_000)
    line.ask_all()
    assert office.budget() == pools.Figures("budget", "autumn", 100_000, 80_000, 20_000)
    line.online(False)
    for _ in range(31):
        assert line.till.settle(line.till.fuelled())["discount_minor"] == 500
    line.online()
    line.till.wait(11)
    line.ask_all()
    line.drain()
    assert office.budget() == pools.Figures("budget", "autumn", 84_500, 64_500, 20_000)


def test_a_budget_is_never_lent_beyond_what_there_is(office: Office) -> None:
    """[W-52] Two stations, 120.00: the second gets the rest, the third nothing; lowering it below that is refused."""
    with office.database.write() as connection:
        pools.set_budget(connection, "autumn", 30_000, 0)
    lines = [office.station(name) for name in ("SIM-0001", "SIM-0002", "SIM-0003")]
    for line in lines:
        line.till.wait(11)
    answers = [line.ask_all()[0] for line in lines]
    assert [res.body.get("points") for res in answers] == [20_000, 10_000, None]
    assert answers[2].reason == "too_little"
    with pytest.raises(ValueError, match="less than"), office.database.write() as connection:
        pools.set_budget(connection, "autumn", 29_999, 0)


def test_two_stations_offline_cannot_spend_what_one_member_has_once(office: Office) -> None:
    """[W-50] 100 points lent to one; the other, offline, takes none of the 80 it wants, and online only what is free."""
    with office.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM member_place")
        connection.exec_driver_sql("DELETE FROM member")
    office_member(office.database, 10_000, expires_on=EXPIRES)
    first, second = office.station(), office.station("SIM-0002")
    sales = [line.till.fuelled(150_000) for line in (first, second)]
    for line, sale in zip((first, second), sales, strict=True):
        begin(line, "sales.quote", sale=sale, points=8_000, lock=True)
    first.ask_all()
    second.online(False)
    second.till.wait(3)
    assert first.till.settle(sales[0])["points_redeemed"] == 8_000
    assert second.till.settle(sales[1], points=8_000)["ok"] is False
    second.online()
    question = begin(second, "sales.settle", sale=sales[1], tenders=CASH, points=8_000)
    second.ask_all()
    assert told(question) is not None
    first.drain()
    second.drain()
    now = office.points()
    assert (now.free + now.lent, now.short, now.overrun) == (now.balance, 0, 0)
    with office.database.read() as connection:
        redeemed = connection.exec_driver_sql("SELECT sum(points_redeemed) FROM settlement").scalar()
    assert redeemed == 8_000


def test_a_coupon_is_kept_for_the_first_that_asks(office: Office) -> None:
    """A coupon that head office checks is one station's until its sale is over, and used by the record."""
    from headoffice.store import coupon_marks

    first, second = office.station(), office.station("SIM-0002")
    sale = first.till.fuelled()
    body = {"incarnation": first.till.store.incarnation, "install_id": "x", "code": "C-1", "sale": sale}
    assert first.ask(Req("q1", "coupon", body)).status == "ok"
    other = {**body, "incarnation": second.till.store.incarnation}
    assert second.ask(Req("q1", "coupon", other)).reason == "coupon_held"
    first.ask(Req("q2", "release", {"reservation": None, "coupon": "C-1", "sale": sale}))
    assert second.ask(Req("q2", "coupon", other)).status == "ok"
    with office.database.write() as connection:
        used = {"code": "C-1", "used": True}
        assert coupon_marks.used(connection, "SIM-0002", sale, used) == []
        assert coupon_marks.used(connection, "SIM-0001", "S", used) != []


def test_without_keys_nothing_is_lent(office: Office) -> None:
    """A lease is signed or it is none; a body that is none is said so."""
    line = office.station()
    body = {
        "incarnation": line.till.store.incarnation,
        "install_id": "x",
        "kind": "budget",
        "subject": "a",
        "amount": 1,
    }
    from headoffice.requests import answer_request
    from tests.support.headoffice_station import event, up_topic

    payload = event(Req("q1", "lease", body), line.station)
    res = answer_request(office.database, up_topic("up/req", line.station), payload, 0)
    assert res is not None
    assert res.reason == "not_offered"
    assert line.ask(Req("q2", "lease", {**body, "amount": 0})).reason == "bad_body"


def test_a_head_office_that_was_restored_takes_leases_over(office: Office) -> None:
    """[W-50] Its backup knows no lease: the station's records say of what it is, and it is lent to nobody else."""
    line = office.station()
    sale = line.till.fuelled()
    begin(line, "sales.quote", sale=sale, points=2_000, lock=True)
    line.ask_all()
    with office.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM lease")
    line.drain()
    assert office.points() == pools.Figures("points", MEMBER, 5_230, 3_230, 2_000)
    assert [row["alert"] for row in reports.own_alerts(office.database, station=line.station, limit=9)] == [
        "lease_doubtful"
    ]
    line.till.settle(sale)
    line.drain()
    assert office.points().lent == 0


def test_a_floor_amount_is_spent_without_a_lease_only_where_it_is_allowed(office: Office) -> None:
    """[W-51] Off by default; where it is on, so much a day and member, and head office tells what that may cost."""
    line = office.station()
    line.online(False)
    sale = line.till.fuelled(40_000)
    assert asked(data(begin(line, "sales.quote", sale=sale, points=500))) == [("REJECTED", "BALANCE_STALE", 0)]
    loyalty = line.till.settings.loyalty.model_copy(update={"floor_points": 300})
    line.till.settings = line.till.settings.model_copy(update={"loyalty": loyalty})
    line.till.restart()
    assert line.till.settle(sale, points=500, accept=True)["points_redeemed"] == 300
    assert line.till.settle(line.till.fuelled(40_000), points=500)["ok"] is False
    line.drain()
    earned = line.till.one("SELECT points_earned FROM settlement")
    assert office.points().balance == 5_230 - 300 + earned
    office.station("SIM-0002")
    line.tell()
    with office.database.read() as connection:
        found = exposure.worst_case(connection, 5_000)
    assert (found.stations, found.members, found.unleased) == (2, 1, 300)
    assert found.points == 10_000 - (5_230 - 300 + earned)


def run_hq(office: Office, *words: str) -> Any:
    """What `forecourt-hq ... --json` prints; the refusal where it ends with another code."""
    ran = CliRunner().invoke(hq, [*words, "--database", str(office.path), "--json"])
    if ran.exit_code:
        return ran.exception
    return json.loads(ran.stdout)


def test_head_office_lists_shows_and_writes_off_what_is_lent(office: Office) -> None:
    """`leases` and `budgets` tell what is lent, of what, and what is free; only a void lease is written off."""
    line = office.station()
    sale = line.till.fuelled()
    begin(line, "sales.quote", sale=sale, points=2_000, lock=True)
    line.ask_all()
    (row,) = run_hq(office, "leases", "list")
    assert (row["station"], row["amount"], row["outstanding"], row["sale"]) == ("SIM-0001", 2_000, 2_000, sale)
    shown = run_hq(office, "leases", "show", row["lease"])
    assert shown["pool"] == {"balance": 5_230, "free": 3_230, "lent": 2_000, "short": 0, "overrun": 0}
    assert "have its station close it out" in str(run_hq(office, "leases", "write-off", row["lease"]))
    line.till.reborn()
    line.drain()
    assert run_hq(office, "leases", "write-off", row["lease"])["state"] == "closed"
    assert run_hq(office, "leases", "list") == []
    set_to = run_hq(office, "budgets", "set", "autumn", "50000")
    assert [set_to] == run_hq(office, "budgets", "list")
    assert (set_to["amount_minor"], set_to["free_minor"], set_to["spent_minor"]) == (50_000, 50_000, 0)
    assert run_hq(office, "leases", "worst-case", "--floor", "100")["worst_case_points_a_day"] == 0


def test_verify_finds_pools_that_do_not_follow_from_their_records(tmp_path: Path) -> None:
    """Every lease and every told balance is recomputed from the records."""
    office = Office(tmp_path)
    office.member()
    line = office.station()
    begin(line, "sales.settle", sale=line.till.fuelled(), tenders=CASH, points=2_000)
    line.ask_all()
    line.drain()
    line.tell()
    assert verify(office.database).findings == ()
    for damage, finding in (
        ("UPDATE lease SET spent = spent - 1", "2000 were taken, it says 1999"),
        ("DELETE FROM lease_move", "its records took 2000, 0 are noted"),
        ("UPDATE member SET body = replace(body, '\"points\":', '\"points\":1')", "points are told"),
    ):
        with office.database.write() as connection:
            connection.exec_driver_sql(damage)
        assert any(finding in said for said in verify(office.database).findings)
    with pytest.raises(AssertionError):
        office.close()
