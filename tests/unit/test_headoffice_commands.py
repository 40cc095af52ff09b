"""Commands at head office: checked before they are signed, said after a hello and by time, one result each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from headoffice.cli.commands import args_of, duration_ms
from headoffice.commands import FIRST_PAUSE_MS, MAX_VALID_MS, SKEW_MS, Wanted, order
from headoffice.errors import UsageError
from headoffice.keys import Keys, make_keys
from headoffice.service import Outgoing, Service
from headoffice.store import commands as store
from headoffice.store import presence, reports
from headoffice.store.database import Database
from sync.commands import CommandClaims, open_command
from sync.envelope import decode_as
from sync.notices import Command, Result, State
from sync.records import format_time
from sync.signing import PinnedKeys
from sync.topics import station_topic
from tests.support import template
from tests.support.headoffice_command import HeadOfficeCommand
from tests.support.headoffice_station import INCARNATION, INSTALL, NOW_MS, STATION, TIME, Stream, event, hello

HOUR_MS = 3_600_000


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make_keys(tmp_path / "keys")


@pytest.fixture
def hq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> HeadOfficeCommand:
    return HeadOfficeCommand(tmp_path, monkeypatch, capsys)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = template.head_office(tmp_path / "hq.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def service(database: Database, keys: Keys) -> Service:
    """Head office that has heard the station once, long ago."""
    made = Service(database, keys, "main")
    greet(made, NOW_MS - HOUR_MS, online=False)
    return made


def greet(service: Service, now_ms: int, *, online: bool = True) -> list[Outgoing]:
    """The station connects: state and hello; returns what is said to it."""
    state = State(online, "connected", INSTALL, INCARNATION, 1, TIME)
    service.take(station_topic(STATION, "up/state"), event(state), now_ms)
    return (
        service.take(station_topic(STATION, "up/hello"), event(hello()), now_ms) if online else heard(service, now_ms)
    )


def heard(service: Service, now_ms: int) -> list[Outgoing]:
    return service.take(station_topic(STATION, "up/hello"), event(hello()), now_ms)


def snapshot(valid_ms: int = HOUR_MS, **more: Any) -> Wanted:
    return Wanted(
        **{"kind": "request_snapshot", "stations": [STATION], "args": {}, "by": "li", "valid_ms": valid_ms, **more}
    )


def ordered(database: Database, keys: Keys, wanted: Wanted, now_ms: int = NOW_MS) -> str:
    (row,) = order(database, keys, wanted, now_ms=now_ms, random=Random(now_ms))
    assert row["status"] == "queued"
    return str(row["cmd_id"])


def said(out: list[Outgoing], keys: Keys) -> list[CommandClaims]:
    """The commands among what is published, opened as their station does."""
    pinned = PinnedKeys.from_jwks(keys.pinned)
    texts = [o.payload for o in out if o.topic == station_topic(STATION, "down/cmd")]
    return [open_command(decode_as(text, Command)[1].jws, pinned) for text in texts]


def answers(service: Service, result: Result, now_ms: int = NOW_MS) -> None:
    assert service.take(station_topic(STATION, "up/result"), event(result), now_ms) == []


def status(database: Database, cmd_id: str) -> tuple[str, str | None, Any]:
    with database.read() as connection:
        row = store.one(connection, cmd_id)
    assert row is not None
    return row["status"], row["reason"], row["result"]


def test_a_command_waits_for_the_hello_of_a_station_that_is_away(
    database: Database, keys: Keys, service: Service
) -> None:
    """[W-45] Nothing is said into the void; after the hello it comes behind the welcome, signed, once for each wish."""
    cmd_id = ordered(database, keys, snapshot())
    assert said(service.tick(NOW_MS), keys) == []
    assert status(database, cmd_id)[0] == "queued"
    out = greet(service, NOW_MS + 60_000)
    assert [o.topic.rpartition("/")[2] for o in out] == ["welcome", "cmd"]
    (claims,) = said(out, keys)
    assert (claims.station, claims.cmd_id, claims.kind, claims.by) == (STATION, cmd_id, "request_snapshot", "li")
    assert (claims.not_before, claims.not_after) == (format_time(NOW_MS - SKEW_MS), format_time(NOW_MS + HOUR_MS))
    assert status(database, cmd_id)[0] == "sent"


def test_it_is_said_again_until_a_result_is_kept_and_the_first_result_stands(
    database: Database, keys: Keys, service: Service
) -> None:
    """[W-45] By time, twice as late each time, and after every hello; a later result changes nothing."""
    greet(service, NOW_MS)
    cmd_id = ordered(database, keys, snapshot())
    times = [t for t in range(NOW_MS, NOW_MS + 300_000, 10_000) if said(service.tick(t), keys)]
    assert [t - NOW_MS for t in times] == [0, FIRST_PAUSE_MS, 3 * FIRST_PAUSE_MS, 7 * FIRST_PAUSE_MS]
    assert len(said(greet(service, NOW_MS + 301_000), keys)) == 1
    answers(service, Result(cmd_id, "done", None, {"x": 1}))
    answers(service, Result(cmd_id, "failed", "crashed", {}))
    assert status(database, cmd_id) == ("done", None, {"x": 1})
    assert said(greet(service, NOW_MS + HOUR_MS), keys) == []
    assert not any(said(service.tick(t), keys) for t in range(NOW_MS + HOUR_MS, NOW_MS + 2 * HOUR_MS, 600_000))


def test_what_was_never_said_expires_here_and_what_was_said_expires_there(
    database: Database, keys: Keys, service: Service
) -> None:
    """[W-45] Only the station knows whether a command that it may have heard was done: it is asked until it answers."""
    unsaid = ordered(database, keys, snapshot(120_000))
    service.tick(NOW_MS + HOUR_MS)
    assert status(database, unsaid)[0] == "expired"
    greet(service, NOW_MS + HOUR_MS)
    heard_of = ordered(database, keys, snapshot(120_000), NOW_MS + HOUR_MS)
    assert len(said(service.tick(NOW_MS + HOUR_MS), keys)) == 1
    service.tick(NOW_MS + 3 * HOUR_MS)
    assert status(database, heard_of)[0] == "sent"
    assert [claims.cmd_id for claims in said(greet(service, NOW_MS + 4 * HOUR_MS), keys)] == [heard_of]
    answers(service, Result(heard_of, "refused", "expired"))
    assert status(database, heard_of)[:2] == ("expired", "expired")


def test_a_station_whose_clock_is_behind_is_asked_again(database: Database, keys: Keys, service: Service) -> None:
    """[W-45] ``not_yet_valid`` is no result: shown, and the command stays open."""
    greet(service, NOW_MS)
    cmd_id = ordered(database, keys, snapshot())
    service.tick(NOW_MS)
    answers(service, Result(cmd_id, "refused", "not_yet_valid"))
    assert status(database, cmd_id) == ("sent", "not_yet_valid", None)
    assert len(said(service.tick(NOW_MS + FIRST_PAUSE_MS), keys)) == 1


def test_a_fence_is_lifted_here_and_there_by_one_word(database: Database, keys: Keys, service: Service) -> None:
    """[W-33] [W-45] The same transaction that signs the command lifts head office's own fence; one that is not there is told."""
    wanted = snapshot(kind="lift_fence", args={"install_id": INSTALL})
    with pytest.raises(UsageError, match="is not fenced"):
        ordered(database, keys, wanted)
    with database.write() as connection:
        presence.put_fence(connection, STATION, INSTALL, NOW_MS)
    ordered(database, keys, wanted)
    with database.read() as connection:
        assert not presence.fenced(connection, STATION, INSTALL)
    assert [claims.kind for claims in said(greet(service, NOW_MS), keys)] == ["lift_fence"]


def test_results_that_belong_to_no_command_are_alerts_of_head_office(
    database: Database, keys: Keys, service: Service
) -> None:
    """[W-45] An id nobody here gave, another station's, or one that means something else there: nothing is changed."""
    cmd_id = ordered(database, keys, snapshot())
    answers(service, Result("01M7YJ2A000000000000000009", "done"))
    answers(service, Result(cmd_id, "refused", "other_content"))
    service.take(station_topic("SH-0001", "up/result"), event(Result(cmd_id, "done"), "SH-0001"), NOW_MS)
    service.take(station_topic(STATION, "up/result"), b"x", NOW_MS)
    service.take(station_topic(STATION, "up/result"), event(Result(cmd_id, "done"), "SH-0001"), NOW_MS)
    assert status(database, cmd_id)[0] == "queued"
    found = {(row["station"], row["alert"]) for row in reports.own_alerts(database, station=None, limit=50)}
    assert found == {
        (STATION, "unknown_command"),
        ("SH-0001", "unknown_command"),
        (STATION, "command_other_content"),
        (STATION, "unreadable_not_json"),
        (STATION, "wrong_source"),
    }


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"kind": "reboot"}, "there is no command 'reboot'"),
        ({"args": {"path": "/"}}, "request_snapshot: 'path' is not known"),
        ({"stations": [STATION, "SH-9999"]}, "no station SH-9999 was ever heard"),
        ({"stations": ["../x"]}, "station id"),
        ({"valid_ms": MAX_VALID_MS + 1}, "a command is good for"),
        ({"by": ""}, "who orders it"),
    ],
)
def test_nothing_is_signed_that_no_station_could_do(
    database: Database, keys: Keys, service: Service, wanted: dict[str, Any], message: str
) -> None:
    """[W-45] Kind, args, station, validity and name are looked at first; of several stations all or none."""
    assert service is not None
    with pytest.raises(UsageError, match=message):
        ordered(database, keys, snapshot(**wanted))
    with database.read() as connection:
        assert store.listed(connection) == []


@pytest.mark.parametrize(
    ("kind", "given", "args"),
    [
        ("set_price", {"grade": "92", "price": "7.9"}, ("92", 7_900, format_time(NOW_MS))),
        (
            "set_price",
            {"grade": "92", "price": "8", "at": "2026-11-23T06:00:00+08:00"},
            ("92", 8_000, "2026-11-22T22:00:00.000Z"),
        ),
        ("close_out_leases", {"all": True}, ("all", None)),
        ("close_out_leases", {"member": "00000000000000aa"}, ("member", "00000000000000aa")),
        ("correct_link", {"sale": "S", "nobody": True, "reason": "r"}, ("S", None, "r")),
        ("clear_dead_letters", {"stream": "L", "seq": [5]}, ("L", [5])),
        ("acknowledge_alert", {"subject": "tank:1", "alert": "low_product"}, ("tank:1", "low_product")),
        ("lift_fence", {"install": "a1b2"}, ("a1b2",)),
        ("collect_diagnostics", {}, ()),
    ],
)
def test_options_become_the_args_of_their_kind(kind: str, given: dict[str, Any], args: tuple[Any, ...]) -> None:
    """Words that people type become exactly what is signed."""
    assert tuple(args_of(kind, given, NOW_MS).values()) == args


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("reboot", {}),
        ("set_price", {"grade": "92"}),
        ("set_price", {"grade": "92", "price": "7,95"}),
        ("set_price", {"grade": "92", "price": "7.95", "at": "2026-11-23T06:00:00"}),
        ("set_price", {"grade": "92", "price": "7.95", "at": "soon"}),
        ("set_price", {"grade": "92", "price": "7.95", "sale": "x"}),
        ("close_out_leases", {}),
        ("close_out_leases", {"all": True, "lease": "L1"}),
        ("correct_link", {"sale": "S", "reason": "r"}),
        ("correct_link", {"sale": "S", "reason": "r", "nobody": True, "member": "00000000000000aa"}),
    ],
)
def test_missing_idle_and_unreadable_options_are_told(kind: str, given: dict[str, Any]) -> None:
    """Nothing is guessed: a price needs its instant's zone, leases are named, an option of another kind is a mistake."""
    with pytest.raises(UsageError):
        args_of(kind, given, NOW_MS)
    with pytest.raises(UsageError):
        duration_ms("1y")


def test_a_worker_that_comes_late_undoes_no_result(headoffice_location: str, keys: Keys) -> None:
    """[W-27] [W-45] On both databases: what another worker has taken meanwhile is not said again, the first result stands."""
    with closing(Database(headoffice_location)) as database:
        service = Service(database, keys, "main")
        greet(service, NOW_MS)
        cmd_id = ordered(database, keys, snapshot())
        assert len(said(service.tick(NOW_MS), keys)) == 1
        answers(service, Result(cmd_id, "done", None, {"x": 1}))
        with database.write() as connection:
            assert store.said(connection, cmd_id, NOW_MS, pause_ms=1, most_ms=2) is None
            store.answer(connection, cmd_id, status="failed", reason="crashed", data={}, now_ms=NOW_MS)
        assert status(database, cmd_id) == ("done", None, {"x": 1})
        expired = ordered(database, keys, snapshot(60_000), NOW_MS + 1)
        greet(service, NOW_MS + HOUR_MS, online=False)
        assert status(database, expired)[0] == "expired"
        (row,) = reports.stations(database)
        assert row["open_commands"] == 0


def test_commands_are_listed_newest_first_and_shown_whole(database: Database, keys: Keys, service: Service) -> None:
    """What people see: args and result as objects, nothing of the signature."""
    first = ordered(database, keys, snapshot())
    second = ordered(database, keys, snapshot(), NOW_MS + 1)
    greet(service, NOW_MS + 1)
    answers(service, Result(first, "done", None, {"a": 1}))
    with database.read() as connection:
        rows = store.listed(connection, station=STATION)
        (done,) = store.listed(connection, status="done")
    assert [row["cmd_id"] for row in rows] == [second, first]
    assert (done["args"], done["result"], done["sends"]) == ({}, {"a": 1}, 1)
    assert "jws" not in json.dumps(rows)


def test_a_whole_group_is_ordered_by_one_word_and_who_has_not_answered_is_seen(
    database: Database, keys: Keys, service: Service, tmp_path: Path, hq: HeadOfficeCommand
) -> None:
    """[W-45] A command of its own for every station that was ever heard, signed for it; results by station, and the silent ones."""
    names = [STATION, "SH-0500", "SH-0600"]
    for name in names[1:]:
        service.take(station_topic(name, "up/hello"), event(hello(Stream(station=name)), name), NOW_MS)
    at = ("--database", str(tmp_path / "hq.sqlite"))
    words = ("command", "send", "request-snapshot", "--every-station", "--keys", str(tmp_path / "keys"))
    rows = json.loads(hq(*words, *at, "--json"))
    assert [row["station"] for row in rows] == names
    assert len({row["cmd_id"] for row in rows}) == 3
    of_another_word = ordered(database, keys, snapshot(), rows[0]["made_ms"])
    for row in rows[:2]:
        greeted = service.take(
            station_topic(row["station"], "up/hello"),
            event(hello(Stream(station=row["station"])), row["station"]),
            rows[0]["made_ms"],
        )
        here = station_topic(row["station"], "down/cmd")
        texts = [decode_as(out.payload, Command)[1].jws for out in greeted if out.topic == here]
        opened = [open_command(text, PinnedKeys.from_jwks(keys.pinned)) for text in texts]
        assert {claims.station for claims in opened} == {row["station"]}
        assert row["cmd_id"] in {claims.cmd_id for claims in opened}
    for row, answer in zip(rows, ("done", "refused"), strict=False):
        told = event(Result(row["cmd_id"], answer, None, {}), row["station"])
        service.take(station_topic(row["station"], "up/result"), told, rows[0]["made_ms"])
    seen = json.loads(hq("command", "results", rows[1]["cmd_id"], *at, "--json", code=3))
    assert (seen["done"], seen["refused"], seen["queued"], seen["not_answered"]) == (1, 1, 1, ["SH-0600"])
    assert of_another_word not in [row["cmd_id"] for row in seen["commands"]]
    assert "2 of 3 answered; not yet: SH-0600" in hq("command", "results", rows[0]["cmd_id"], *at, code=3)
    late = event(Result(rows[2]["cmd_id"], "done"), "SH-0600")
    service.take(station_topic("SH-0600", "up/result"), late, NOW_MS)
    assert "3 of 3 answered" in hq("command", "results", rows[0]["cmd_id"], *at, code=1)


def test_it_is_said_for_whom_a_command_is(hq: HeadOfficeCommand, tmp_path: Path, keys: Keys) -> None:
    """Neither some nor all, or both, is no order; nor is one to a group in which nobody was ever heard."""
    assert keys.kid
    template.head_office(tmp_path / "hq.sqlite").close()
    at = ("--database", str(tmp_path / "hq.sqlite"), "--keys", str(tmp_path / "keys"))
    for which in ((), ("--every-station", "--station", STATION), ("--every-station",)):
        hq("command", "send", "request-snapshot", *which, *at, code=2)
    hq("command", "results", "01M7YJ2A000000000000000009", *at[:2], code=2)
