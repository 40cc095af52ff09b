"""What people find out about alerts: who may, what it does to held points, what head office and the statistics hear."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.answers import Answers
from agent.cli import application
from agent.control import ControlServer
from agent.domain.fraud_review import Tally
from agent.inbox import Inbox, Item, Person
from agent.pipeline.step import Step
from agent.reports.fraud import Frauds
from tests.support.till import Till
from tests.support.watched import HOUR_S, alerts, held, scan, told, watched_till


@pytest.fixture
def till() -> Iterator[Till]:
    """A watched till at which a code was shown twice: the points of its first sale are held."""
    for till in watched_till():
        first = till.sale()
        scan(till, cti="aa")
        till.settle(first)
        till.clock.now_s += 60
        till.sale()
        scan(till, cti="aa")
        assert held(till) > 0
        yield till


def the_alert(till: Till) -> str:
    """Its id."""
    ((alert,),) = alerts(till, "id")
    return str(alert)


def review(till: Till, verdict: str, person: str = "wang", **more: Any) -> dict[str, Any]:
    """Review the alert; the whole answer."""
    asked = {"alert": the_alert(till), "verdict": verdict, "note": "looked at the camera", **more}
    return till.ask("fraud.review", person=person, **asked)


def usable(till: Till) -> int | None:
    """From when the points of the first sale may be spent."""
    (row, *_) = till.rows("SELECT usable_from_ms FROM lot ORDER BY id")
    value = row["usable_from_ms"]
    return None if value is None else int(value)


def test_a_harmless_alert_lets_the_points_go(till: Till) -> None:
    """Harmless: the points are usable when they would have been; the review is audited and told to head office."""
    answer = review(till, "harmless")
    assert answer["data"]["points_released"] == 157
    (sale,) = till.rows("SELECT ended_ms FROM sale ORDER BY ended_ms LIMIT 1")
    assert (held(till), usable(till)) == (0, sale["ended_ms"] + 24 * HOUR_S * 1_000)
    (audit,) = [one for one in till.records("fc.audit.v1") if one["action"] == "fraud_review"]
    assert (audit["who"], audit["result"], audit["reason"]) == ("wang", "harmless", "looked at the camera")
    assert audit["object"] == f"fraud:{the_alert(till)}"
    assert told(till) == [("R8", "raised"), ("R8", "reviewed")]
    assert till.records("fc.fraud.alert.v1")[-1]["evidence"]["verdict"] == "harmless"


@pytest.mark.parametrize("verdict", ["confirmed", "unclear"])
def test_any_other_verdict_keeps_them(till: Till, verdict: str) -> None:
    """Confirmed and unclear: the points stay held; harmless later lets them go, and confirmed again holds them."""
    assert review(till, verdict)["data"] == {
        "alert": the_alert(till),
        "rule": "R8",
        "verdict": verdict,
        "points_released": 0,
        "points_held": 0,
    }
    assert held(till) == 157
    assert review(till, "harmless")["data"]["points_released"] == 157
    assert review(till, verdict)["data"]["points_held"] == 157
    assert (held(till), usable(till)) == (157, None)
    (shown,) = [Frauds(till.settings).shown({"alert": the_alert(till)})]
    assert [one["verdict"] for one in shown["reviews"]] == [verdict, "harmless", verdict]


def test_nobody_reviews_what_they_linked(till: Till) -> None:
    """Two persons: who linked a sale that the alert names may not review it; who did not, may."""
    refused = review(till, "harmless", "li")
    assert not refused["ok"]
    assert "two persons" in refused["error"]
    assert (held(till), review(till, "harmless", "wang")["ok"]) == (157, True)


def test_nobody_reviews_an_alert_about_themselves(till: Till) -> None:
    """Two persons: a supervisor's own late link is reviewed by somebody else."""
    late = till.sale()
    till.settle(late)
    till.clock.now_s += HOUR_S
    till.link(late, "00000000000000aa")
    (alert,) = [row for row, rule in alerts(till, "id", "rule") if rule == "R4"]
    assert not till.ask("fraud.review", person="li", alert=alert, verdict="harmless", note="mine")["ok"]
    answer = till.ask("fraud.review", person="wang", alert=alert, verdict="harmless", note="not mine")
    assert answer["data"]["points_released"] == 157


def test_attendants_neither_see_nor_review(till: Till) -> None:
    """Alerts may be about them: an attendant is refused, as is a verdict, a note or an alert that is none."""
    assert "may not do this" in till.ask("fraud.review", role="attendant", alert="0", verdict="harmless")["error"]
    inbox: Inbox[Item] = Inbox()
    answers = Answers(
        settings=till.settings,
        live=till.pipeline._live,
        inbox=inbox,
        clock=till.clock,
        version="",
        incarnation="",
    )
    for op in ("fraud", "fraud.show", "fraud.stats"):
        assert "may not see" in answers.answer(op, {}, Person("zhao", "attendant"))["error"]
        assert answers.answer(op, {"alert": the_alert(till)}, Person("wang", "supervisor"))["ok"]
    assert review(till, "nonsense")["exit"] == 2
    assert review(till, "harmless", note=" ")["exit"] == 2
    assert not review(till, "harmless", alert="XX")["ok"]


def test_two_alerts_hold_the_same_points(till: Till) -> None:
    """Points that another alert holds as well wait for both reviews."""
    first, (sale,) = the_alert(till), till.rows("SELECT sale FROM fraud_alert_sale")

    def more(step: Step) -> None:
        row = step.tx.fraud.by_id(first)
        assert row is not None
        for name in ("B1", "B2"):
            step.tx.fraud.add({**row, "id": name, "rule": "R12", "day": name})
            step.tx.fraud.name_sale(name, sale["sale"], "hold")

    till.do(more)
    released = [
        till.ask("fraud.review", alert=alert, verdict="harmless", note="ok")["data"]["points_released"]
        for alert in (first, "B1", "B2")
    ]
    assert released == [0, 0, 157]


def test_more_of_the_same_is_to_be_reviewed_again(till: Till) -> None:
    """A third showing of a code after the review: the alert is open again, told as updated."""
    review(till, "harmless")
    assert alerts(till, "verdict") == [("harmless",)]
    till.clock.now_s += 60
    till.sale()
    assert scan(till, cti="aa") == "REPLAYED"
    assert alerts(till, "verdict", "observed") == [(None, 2)]
    assert told(till)[-1] == ("R8", "updated")


@pytest.mark.parametrize(
    ("confirmed", "reviewed", "noisy"), [(4, 100, True), (5, 100, False), (4, 99, False), (0, 200, True)]
)
def test_a_rule_that_is_nearly_always_wrong_is_noisy(confirmed: int, reviewed: int, noisy: bool) -> None:
    """Under 5 % precision, once 100 alerts were reviewed."""
    tally = Tally(500, confirmed, reviewed - confirmed - 1, 1)
    assert tally.is_noisy(100, 5) is noisy
    assert tally.precision_bp == 10_000 * confirmed // reviewed


def test_statistics(till: Till) -> None:
    """Per rule: fired, reviewed, precision; and a standing alert of the station for a rule that is too noisy."""
    fraud = till.settings.fraud.model_copy(update={"noisy_reviews": 1, "noisy_pct": 50})
    till.settings = till.settings.model_copy(update={"fraud": fraud})
    till.restart()
    review(till, "unclear")
    stats = {row["rule"]: row for row in Frauds(till.settings).stats({})}
    assert list(stats) == [f"R{number}" for number in range(1, 13)]
    assert {name: stats["R8"][name] for name in ("fired", "reviewed", "unclear", "precision_bp", "too_noisy")} == {
        "fired": 1,
        "reviewed": 1,
        "unclear": 1,
        "precision_bp": 0,
        "too_noisy": True,
    }
    assert stats["R1"]["precision_bp"] is None
    standing = "SELECT count(*) FROM alert WHERE name = 'FRAUD_RULE_NOISY' AND state = 'ACTIVE'"
    assert till.one(standing) == 1
    review(till, "confirmed")
    assert till.one(standing) == 0


def test_changed_thresholds_are_audited(till: Till) -> None:
    """A start with other thresholds says which, from what to what; a start with the same ones says nothing."""

    def audited() -> list[tuple[str, str]]:
        records = [one for one in till.records("fc.audit.v1") if one["action"] == "fraud_threshold"]
        return [(one["object"], one["reason"].partition(",")[0]) for one in records]

    till.restart()
    assert audited() == []
    fraud = till.settings.fraud.model_copy(update={"velocity_alert": 4, "off": ("R6",)})
    till.settings = till.settings.model_copy(update={"fraud": fraud})
    for _ in range(2):
        till.restart()
    assert audited() == [("off", "[] -> ['R6']"), ("velocity_alert", "3 -> 4")]


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def station(till: Till, tmp_path: Path) -> Iterator[tuple[Till, Path]]:
    """The till behind a control socket."""
    frauds = Frauds(till.settings)
    reading = {"fraud": frauds.listed, "fraud.show": frauds.shown, "fraud.stats": frauds.stats}
    path = tmp_path / "control.sock"

    def answer(op: str, args: dict[str, Any], person: Person) -> dict[str, Any]:
        if op in reading:
            return {"ok": True, "data": reading[op](args)}
        return till.ask(op, person=person.name, **args)

    server = ControlServer(path, frozenset({"root"}), answer)
    server.open()
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            server.serve_once()

    thread = threading.Thread(target=serve)
    thread.start()
    yield till, path
    stop.set()
    with socket.socket(socket.AF_UNIX) as waker:
        waker.connect(str(path))
    thread.join()
    server.close()


def run(path: Path, *arguments: str) -> Any:
    """``forecourt fraud`` with these arguments."""
    return CliRunner().invoke(application(), ["fraud", *arguments, "--socket", str(path)])


def test_the_command_line(station: tuple[Till, Path]) -> None:
    """List, show, review and stats, for people and as JSON; a review that is refused is exit 1 with a hint."""
    till, path = station
    alert = the_alert(till)
    assert "a code shown again" in run(path, "list").stdout
    (row,) = json.loads(run(path, "list", "--json").stdout)
    assert (row["alert"], row["rule"], row["subject"], row["verdict"]) == (
        alert,
        "R8",
        "member:567014f1b3c2a9de",
        None,
    )
    assert "held" in run(path, "show", alert[:20]).stdout
    shown = json.loads(run(path, "show", alert, "--json").stdout)
    assert [sale["held"] for sale in shown["named_sales"]] == [True]
    done = run(path, "review", alert, "--as", "harmless", "--note", "a second car")
    assert (done.exit_code, "157 points let go" in done.stdout) == (0, True)
    assert run(path, "list").stdout.count(alert) == 0
    assert run(path, "list", "--all").stdout.count(alert) == 1
    (counted,) = [row for row in json.loads(run(path, "stats", "--json").stdout) if row["rule"] == "R8"]
    assert (counted["harmless"], counted["precision_bp"]) == (1, 0)
    assert "a code shown again" in run(path, "stats").stdout
    refused = run(path, "review", "XX", "--as", "harmless", "--note", "x")
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (1, 2)
