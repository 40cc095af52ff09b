"""Commands of head office at a station: signed, for it, in time, known, done once, and the first result for every repeat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from agent.cli import show
from agent.inbox import AlertFound
from agent.pipeline import fencing, rebirth
from agent.pipeline.ordered import EFFECTS
from agent.pipeline.step import Step
from agent.store.link_queries import commands
from sync.commands import ANSWERS, KINDS, args_defect
from sync.messages import STREAMS, StreamWelcome, Welcome
from sync.notices import Result
from sync.records import format_time
from sync.signing import new_key, sign
from tests.support.head_office_orders import DAY_MS, claims, cmd_id, deliver, order
from tests.support.till import MEMBER, OTHER, SOME_KEY, Till, lend, loyal_till


@pytest.fixture
def till() -> Iterator[Till]:
    """A till with members and rules; everything adds up afterwards."""
    yield from loyal_till()


def price(till: Till, number: int, milli: int, *, in_ms: int = 0, **more: Any) -> Any:
    args = {"grade": "92", "unit_price_milli": milli, "effective_at": format_time(till.clock.wall_ms() + in_ms)}
    return claims(till, "set_price", number, args=args, **more)


def commands_on_record(till: Till) -> list[tuple[str, str, str | None]]:
    told = [data for data in till.records("fc.audit.v1") if data["role"] == "head_office"]
    return [(d["action"], d["result"], d["reason"]) for d in told if d["object"].startswith("command")]


def test_every_kind_has_an_effect_and_an_answer() -> None:
    """[W-45] The closed list is one list: what may be signed, what is done and what is answered."""
    assert set(KINDS) == set(EFFECTS) == set(ANSWERS)


def test_a_command_is_done_once_and_a_repeat_gets_the_first_result(till: Till) -> None:
    """[W-45] The same cmd_id again, signed again or over a restart: no second effect, the same words, no second audit."""
    said = price(till, 1, 8_111)
    first = order(till, said)
    assert first == Result(cmd_id(1), "done", None, {**said.args, "in_force_milli": 8_111})
    till.wait(60)
    assert order(till, said) == first
    till.restart()
    assert order(till, said) == first
    assert till.one("SELECT count(*) FROM price WHERE source = 'head-office'") == 1
    assert commands_on_record(till) == [("set_price", "done", None)]
    (row,) = till.rows("SELECT * FROM command")
    assert (row["tries"], row["by"], json.loads(row["args"])) == (1, "li", said.args)


def test_other_content_under_the_same_id_is_refused_and_audited(till: Till) -> None:
    """[W-45] A cmd_id stands for one order: another one under it changes nothing, and the first result stands."""
    said = price(till, 1, 8_111)
    first = order(till, said)
    other = order(till, replace(said, args={**said.args, "unit_price_milli": 1}))
    assert other == Result(cmd_id(1), "refused", "other_content")
    assert order(till, said) == first
    assert ("command_refused", "refused", "other_content") in commands_on_record(till)
    assert till.rows("SELECT unit_price_milli FROM price WHERE source = 'head-office'") == [{"unit_price_milli": 8_111}]


@pytest.mark.parametrize("attack", ["stranger", "torn", "not_a_jws", "other_station", "no_claims"])
def test_what_head_office_has_not_signed_for_this_station_is_audited_and_not_answered(till: Till, attack: str) -> None:
    """[W-42] A key that is not pinned, a changed text, another station: nothing happens, on record once an hour, an alert."""
    said = price(till, 1, 1_000)
    good = sign(said.to_claims(), SOME_KEY)
    strange = sign({"not_before": said.not_before, "not_after": said.not_after}, SOME_KEY)
    texts = {
        "stranger": (sign(said.to_claims(), new_key("evil")), "unknown_key"),
        "torn": (good[:-8] + ("A" * 8 if good[-8:] != "A" * 8 else "B" * 8), "bad_signature"),
        "not_a_jws": ("x", "malformed"),
        "other_station": (sign(replace(said, station="SH-0001").to_claims(), SOME_KEY), "wrong_station"),
        "no_claims": (strange, "malformed"),
    }
    text, reason = texts[attack]
    for _ in range(5):
        assert deliver(till, text) is None
        till.wait(60)
    assert commands_on_record(till) == [("command_refused", "refused", reason)]
    till.wait(3_600)
    assert deliver(till, text) is None
    assert len(commands_on_record(till)) == 2
    assert till.rows("SELECT * FROM command") == []
    assert till.one("SELECT count(*) FROM alert WHERE name = 'COMMAND_REFUSED' AND state = 'ACTIVE'") == 1
    assert order(till, price(till, 2, 8_111)) is not None
    assert till.one("SELECT count(*) FROM alert WHERE name = 'COMMAND_REFUSED' AND state = 'ACTIVE'") == 0


def test_an_expired_command_is_not_done_and_stays_refused(till: Till) -> None:
    """[W-42] [W-45] After not_after it is answered ``expired``, also when the clock is set back later."""
    said = price(till, 1, 1_000)
    till.wait(DAY_MS // 1000)
    assert order(till, said) == Result(cmd_id(1), "refused", "expired")
    till.clock.offset_ms = -DAY_MS
    assert order(till, said) == Result(cmd_id(1), "refused", "expired")
    assert till.rows("SELECT * FROM price WHERE source = 'head-office'") == []


def test_a_command_that_comes_too_early_is_done_when_its_time_has_come(till: Till) -> None:
    """[W-42] Before not_before nothing is kept, so head office may say it again; an unknown clock asks no time."""
    later = format_time(till.clock.wall_ms() + 60_000)
    said = price(till, 1, 8_111, not_before=later)
    assert order(till, said) == Result(cmd_id(1), "refused", "not_yet_valid")
    till.wait(61)
    done = order(till, said)
    assert done is not None
    assert done.status == "done"
    till.clock.word = "unknown"
    unsure = order(till, price(till, 2, 8_222, not_before=format_time(till.clock.wall_ms() + DAY_MS)))
    assert unsure is not None
    assert unsure.status == "done"


@pytest.mark.parametrize(
    ("kind", "args", "reason"),
    [
        ("run_shell", {"line": "reboot"}, "unknown_kind"),
        ("set_price", {"grade": "92", "unit_price_milli": 0, "effective_at": "2026-01-05T06:00:00.000Z"}, "bad_args"),
        (
            "set_price",
            {"grade": "92", "unit_price_milli": 7_000, "effective_at": "2026-13-05T06:00:00.000Z"},
            "bad_args",
        ),
        ("reload_rules", {"path": "/etc/passwd"}, "bad_args"),
        ("close_out_leases", {"which": "all", "name": "x"}, "bad_args"),
        ("close_out_leases", {"which": "lease", "name": None}, "bad_args"),
        ("correct_link", {"sale": "x", "member": None, "reason": "r"}, "bad_args"),
    ],
)
def test_a_kind_or_args_outside_the_list_are_refused_by_name(
    till: Till, kind: str, args: dict[str, Any], reason: str
) -> None:
    """[W-45] A closed list: a signed wish that is not in it is answered, kept and not done."""
    told = order(till, claims(till, kind, args=args))
    assert told is not None
    assert (told.status, told.reason) == ("refused", reason)
    assert commands_on_record(till) == [(kind, "refused", reason)]


def test_a_wish_that_cannot_be_followed_leaves_no_trace_but_its_result(till: Till) -> None:
    """[W-45] What a person would be refused is refused here too, in the same words, once and for all."""
    said = claims(till, "set_price", args={**price(till, 1, 7_000).args, "grade": "98"})
    told = order(till, said)
    assert told is not None
    assert (told.status, told.reason) == ("refused", "there is no grade '98'")
    assert order(till, said) == told
    assert till.rows("SELECT * FROM price WHERE source = 'head-office'") == []


def test_prices_end_the_same_in_whatever_order_they_come(till: Till) -> None:
    """[W-45] Late ones do not undo newer ones: of all orders the one of the latest instant stands, then the newest id."""
    till.wait(7_200)
    late = price(till, 1, 8_100, in_ms=-3_600_000)
    newer = price(till, 2, 8_200, in_ms=-60_000)
    at_the_same = replace(newer, cmd_id=cmd_id(3), args={**newer.args, "unit_price_milli": 8_300})
    assert [told.status for told in (order(till, at_the_same), order(till, late)) if told] == ["done", "done"]
    refused = order(till, newer)
    assert refused is not None
    assert (refused.status, (refused.reason or "").split(":")[0]) == ("refused", "superseded")
    assert till.pipeline._memory.prices["92"] == 8_300
    planned = order(till, price(till, 4, 8_400, in_ms=600_000))
    assert planned is not None
    assert planned.data["in_force_milli"] == 8_300
    till.wait(599)
    assert till.pipeline._memory.prices["92"] == 8_300
    till.wait(2)
    assert till.pipeline._memory.prices["92"] == 8_400


def test_a_person_who_changed_the_price_since_is_not_overruled_by_a_late_order(till: Till) -> None:
    """[W-45] A command for an instant before the person's: done, and told which price is in force."""
    said = price(till, 1, 8_100)
    till.wait(60)
    assert till.ask("prices.set", grade="92", unit_price_milli=7_900)["ok"]
    told = order(till, said)
    assert told is not None
    assert (told.status, told.data["in_force_milli"]) == ("done", 7_900)


def test_an_alert_is_acknowledged_in_head_offices_name(till: Till) -> None:
    """[W-45] By subject and name as its records say; once is enough; one that does not stand is refused."""
    till.pipeline.handle(AlertFound("backup", "BACKUP_OLD", True, "two days"))
    args = {"subject": "backup", "alert": "BACKUP_OLD"}
    told = [order(till, claims(till, "acknowledge_alert", number, args=args)) for number in (1, 2)]
    assert [one.data["changed"] for one in told if one] == [True, False]
    (row,) = till.rows("SELECT state, acked_by FROM alert WHERE name = 'BACKUP_OLD'")
    assert (row["state"], row["acked_by"]) == ("ACTIVE_ACKED", "head-office:li")
    nothing = order(till, claims(till, "acknowledge_alert", 3, args={**args, "subject": "pump-9"}))
    assert nothing is not None
    assert nothing.status == "refused"


def test_leases_are_closed_out_all_of_a_member_or_one(till: Till) -> None:
    """[W-45] [W-50] Each with its closed_out record in the transaction of the result; one that is held only waits."""
    lend(till, "L1", "points", 3_000)
    lend(till, "B1", "budget", 700)
    lend(till, "B2", "budget", 900, subject="spring")
    lend(till, "L2", "points", 100, subject=OTHER)
    sale = till.fuelled()
    assert till.quote(sale, lock=True, points=2_000)
    close = "close_out_leases"
    one = order(till, claims(till, close, 1, args={"which": "lease", "name": "L2"}))
    of_member = order(till, claims(till, close, 2, args={"which": "member", "name": MEMBER}))
    everything = order(till, claims(till, close, 3, args={"which": "all", "name": None}))
    told = [(r.data["closed"], r.data["waiting"]) for r in (one, of_member, everything) if r]
    assert told == [(["L2"], []), ([], ["L1"]), (["B2"], ["L1", "B1"])]
    assert [r["lease"] for r in till.records("fc.lease.v1") if r["event"] == "closed_out"] == ["L2", "B2"]
    unknown = order(till, claims(till, close, 4, args={"which": "lease", "name": "L9"}))
    assert unknown is not None
    assert unknown.status == "refused"


def test_head_office_corrects_a_link(till: Till) -> None:
    """[W-45] A sale is given to another member and taken from all; the record says who; a repeat moves nothing twice."""
    till.member(OTHER, op=2)
    sale = till.fuelled()
    till.settle(sale)
    given = claims(till, "correct_link", 1, args={"sale": sale, "member": OTHER, "reason": "complaint 7"})
    told = order(till, given)
    assert told is not None
    assert (told.status, told.data["outcome"]) == ("done", "CORRECTED")
    assert order(till, given) == told
    taken = order(till, claims(till, "correct_link", 2, args={"sale": sale, "member": None, "reason": "no card"}))
    assert taken is not None
    assert taken.data["outcome"] == "REMOVED"
    by = [(r["by"], r["role"], r["reason"]) for r in till.records("fc.sale.corrected.v1") if r["what"] == "link"]
    assert by == [("head-office", "head_office", "complaint 7"), ("head-office", "head_office", "no card")]
    assert "member" not in json.loads(till.rows("SELECT args FROM command")[0]["args"])
    unknown = order(till, claims(till, "correct_link", 3, args={"sale": cmd_id(9), "member": None, "reason": "x"}))
    assert unknown is not None
    assert unknown.status == "refused"


def test_what_the_station_tells_of_itself_has_its_shape_and_nothing_secret(till: Till) -> None:
    """[W-45] Snapshot and diagnostics: bounded, shaped as published, without paths and without what recognises people."""
    till.fuelled()
    for number, kind in enumerate(("request_snapshot", "collect_diagnostics"), 1):
        told = order(till, claims(till, kind, number))
        assert told is not None
        assert (told.status, ANSWERS[kind].defect(told.data)) == ("done", None)
        text = json.dumps(told.to_data())
        assert str(till.directory) not in text
        assert MEMBER not in text
    assert told is not None
    assert (told.data["streams"]["L"]["acked"], told.data["rules"]["version"], told.data["unsettled_sales"]) == (
        0,
        1,
        1,
    )


def test_rules_are_looked_at_again_and_dead_letters_leave_the_screen(till: Till) -> None:
    """[W-45] reload_rules tells what is in force; clear_dead_letters ends the alerts of what was replayed, once."""
    rules = order(till, claims(till, "reload_rules", 1))
    assert rules is not None
    assert (rules.status, rules.data["version"], rules.data["waiting"]) == ("done", 1, [])
    till.pipeline.handle(AlertFound("sync", "DEAD_LETTER_L_5", True, "unknown_type"))
    args = {"stream": "L", "seqs": [5, 6]}
    told = [order(till, claims(till, "clear_dead_letters", number, args=args)) for number in (2, 3)]
    assert [one.data["cleared"] for one in told if one] == [1, 0]


def test_a_fence_is_lifted_on_the_pc_that_is_meant(till: Till) -> None:
    """[W-33] [W-45] By the name of the installation: another PC refuses, the fenced one redeems again, once."""
    install = "a" * 32

    nothing = {name: StreamWelcome(0, bytes(32), False) for name in STREAMS}
    welcome = Welcome(install, 1, till.store.incarnation, "2026-11-21T08:00:00.000Z", nothing, fenced=True)

    def fence(step: Step) -> None:
        step.tx.memory.set_meta(rebirth.INSTALL, install)
        fencing.welcomed(step, welcome)

    till.do(fence)
    other = order(till, claims(till, "lift_fence", 1, args={"install_id": "b" * 32}))
    assert other is not None
    assert (other.status, till.pipeline._memory.fenced_ms is None) == ("refused", False)
    told = [order(till, claims(till, "lift_fence", number, args={"install_id": install})) for number in (2, 3)]
    assert [one.data["changed"] for one in told if one] == [True, False]
    assert till.pipeline._memory.fenced_ms is None


def test_people_see_what_head_office_ordered(till: Till, capsys: pytest.CaptureFixture[str]) -> None:
    """``sync --commands``: newest first, with who ordered it and what came of it."""
    order(till, price(till, 1, 8_111))
    till.wait(1)
    order(till, claims(till, "set_price", 2, args={**price(till, 2, 7_000).args, "grade": "98"}))
    told = commands(till.store.path)
    assert [(one["cmd_id"], one["status"], one["by"]) for one in told] == [
        (cmd_id(2), "refused", "li"),
        (cmd_id(1), "done", "li"),
    ]
    show.commands(told)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "unit_price_milli=8111" in lines[2]


def test_a_command_that_ends_the_process_each_time_is_given_up(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """[W-45] Three beginnings without a result: it is told as failed and never begun again, so the station stays up."""
    said = claims(till, "reload_rules")
    begun = 0

    def breaks(*_: Any) -> dict[str, Any]:
        nonlocal begun
        begun += 1
        raise ZeroDivisionError

    monkeypatch.setitem(EFFECTS, "reload_rules", breaks)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            order(till, said)
        till.restart()
    assert order(till, said) == Result(cmd_id(1), "failed", "crashed", {"tries": 3})
    assert begun == 3


def test_args_are_exactly_those_of_the_kind() -> None:
    """[W-45] Nothing missing, nothing more."""
    good = {"subject": "tank:1", "alert": "low_product"}
    assert args_defect("acknowledge_alert", good) is None
    assert args_defect("acknowledge_alert", {"subject": "tank:1"}) == "alert is missing"
    assert args_defect("acknowledge_alert", {**good, "shell": "ls"}) == "'shell' is not known"
    assert args_defect("reload_rules", []) == "is not an object"
