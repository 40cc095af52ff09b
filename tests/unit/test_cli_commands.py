"""The command line as people meet it: exit codes, one or two lines on stderr, options that are refused before anything."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agent import main
from agent.cli import application, show
from agent.control import ControlServer
from agent.inbox import Person, refusal, success

ASKED: list[tuple[str, dict[str, Any]]] = []


def answer(op: str, args: dict[str, Any], _person: Person) -> dict[str, Any]:
    """A daemon that remembers what it was asked beside the digits of its currency."""
    if op == "station":
        return success({"station": "S", "currency": "CNY", "exponent": 2})
    ASKED.append((op, args))
    if op == "sales.show":
        return refusal("there is no sale X", "forecourt sales lists them")
    if op == "sync":
        return refusal("the daemon is ending", "ask again when it runs", 3)
    lists = (
        "pumps",
        "tanks",
        "tanks.deliveries",
        "tanks.gauge-alarms",
        "sales",
        "alerts",
        "members",
        "prices",
        "journal",
    )
    return success([] if op in lists else {"sale": "X"})


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Path]:
    """A control socket with that daemon behind it."""
    ASKED.clear()
    path = tmp_path / "control.sock"
    server = ControlServer(path, frozenset({"root"}), answer)
    server.open()
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            server.serve_once()

    thread = threading.Thread(target=serve)
    thread.start()
    yield path
    stop.set()
    with socket.socket(socket.AF_UNIX) as waker:
        waker.connect(str(path))
    thread.join()
    server.close()


def run(*arguments: str | Path) -> Result:
    """The command in this process, as in a pipe."""
    assert {command.callback for command in application().registered_commands} >= {main.run, main.demo}
    return CliRunner().invoke(application(), [str(argument) for argument in arguments])


def test_a_daemon_that_does_not_run_is_exit_three(tmp_path: Path) -> None:
    """The message names the socket; the hint says where to look; no traceback."""
    result = run("status", "--socket", tmp_path / "nobody.sock")
    assert result.exit_code == 3
    assert result.stdout == ""
    first, second = result.stderr.splitlines()
    assert first == f"forecourt: the daemon does not answer at {tmp_path / 'nobody.sock'}: No such file or directory"
    assert "systemctl status forecourt" in second


def test_a_socket_path_that_is_too_long_is_told_as_that(tmp_path: Path) -> None:
    """Not as a time-out."""
    result = run("status", "--socket", tmp_path / ("x" * 200))
    assert result.exit_code == 3
    assert "too long" in result.stderr


def test_a_stranger_at_the_socket_is_exit_three(tmp_path: Path) -> None:
    """Something else listens there: said in one line."""
    path = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def babble() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1_000)
                connection.sendall(b"220 mail.example.net ESMTP\n")

        thread = threading.Thread(target=babble)
        thread.start()
        result = run("status", "--socket", path)
        thread.join()
    assert result.exit_code == 3
    assert "no forecourt daemon" in result.stderr


def test_a_refusal_of_the_daemon_keeps_its_words_and_its_code(daemon: Path) -> None:
    """1 where the wish was refused, 3 where nobody could answer."""
    refused = run("sales", "show", "X", "--socket", daemon)
    assert (refused.exit_code, refused.stderr) == (1, "forecourt: there is no sale X\n  forecourt sales lists them\n")
    assert run("sync", "--socket", daemon).exit_code == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["sales", "--limit", "0"],
        ["tanks", "--deliveries", "--gauge-alarms"],
        ["sales", "--limit", "many"],
        ["sales", "settle", "X"],
        ["sales", "refund", "X", "--amount", "1.005", "--reason", "r"],
        ["sales", "refund", "X", "--amount", "1e999999", "--reason", "r"],
        ["sales", "refund", "X", "--amount", "-1", "--reason", "r"],
        ["sales", "settle", "X", "--tender", "cash:a lot"],
        ["pumps", "authorise", "1", "--litres", "20.0001"],
        ["prices", "set", "92", "free"],
        ["prices", "set", "92", "7.85", "--at", "tomorrow"],
        ["prices", "set", "92", "7.85", "--at", "2026-11-22T06:00:00"],
        ["verify", "--database", "/nonexistent/station.db"],
        ["run", "--config", "/nonexistent/station.toml"],
        ["check-config", "/nonexistent/station.toml"],
        ["demo", "--speed", "0"],
    ],
    ids=" ".join,
)
def test_bad_usage_is_exit_two_and_asks_nobody(daemon: Path, arguments: list[str]) -> None:
    """Refused here with a sentence; the daemon hears nothing of it, and nobody sees a traceback."""
    os.environ["FORECOURT_SOCKET"] = str(daemon)
    try:
        result = run(*arguments)
    finally:
        del os.environ["FORECOURT_SOCKET"]
    assert result.exit_code == 2
    assert result.stderr
    assert "Traceback" not in result.stderr
    assert ASKED == []


def test_amounts_travel_as_integers(daemon: Path) -> None:
    """Litres, money and prices as the person wrote them become ml, minor units and thousandths, exactly."""
    assert run("pumps", "authorise", "1", "--litres", "20.005", "--socket", daemon).exit_code == 0
    assert (
        run(
            "sales", "settle", "X", "--tender", "card:12.30:A7", "--tender", "cash", "--json", "--socket", daemon
        ).exit_code
        == 0
    )
    assert run("prices", "set", "92", "7.855", "--at", "2026-11-22T06:00:00+08:00", "--socket", daemon).exit_code == 0
    (_, authorise), (_, settle), (_, price) = ASKED
    assert authorise["volume_ml"] == 20_005
    assert settle["tenders"] == [
        {"kind": "card", "amount_minor": 1_230, "ref": "A7"},
        {"kind": "cash", "amount_minor": None, "ref": None},
    ]
    assert (price["unit_price_milli"], price["effective_from_ms"]) == (7_855, 1_795_298_400_000)


@pytest.mark.parametrize(
    "command",
    [
        "pumps",
        "tanks",
        "tanks --deliveries",
        "tanks --gauge-alarms",
        "sales",
        "alerts",
        "members",
        "prices",
        "journal",
    ],
)
def test_every_list_speaks_json_and_plain_text(daemon: Path, command: str) -> None:
    """Empty lists: ``[]`` for programs, a sentence for people."""
    assert json.loads(run(*command.split(), "--json", "--socket", daemon).stdout) == []
    assert run(*command.split(), "--socket", daemon).stdout.endswith(": none\n")


def test_the_socket_may_come_from_the_environment(daemon: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once per shell instead of once per command."""
    monkeypatch.setenv("FORECOURT_SOCKET", str(daemon))
    assert run("pumps").exit_code == 0


def test_what_a_customer_asks_for_travels_as_it_was_given(daemon: Path) -> None:
    """Coupons, points, the lock and the request's own name reach the daemon; nothing asked for is nothing sent."""
    wish = ("--coupon", "a.b.c", "--coupon", "C-1", "--points", "300")
    assert run("sales", "quote", "X", *wish, "--lock", "--json", "--socket", daemon).exit_code == 0
    assert (
        run("sales", "settle", "X", "--tender", "cash", *wish, "--accept", "--json", "--socket", daemon).exit_code == 0
    )
    assert run("sales", "settle", "X", "--tender", "cash", "--json", "--socket", daemon).exit_code == 0
    assert run("sales", "unlock", "X", "--socket", daemon).exit_code == 0
    refund = ("--amount", "20.00", "--reason", "spilled", "--again", "--request", "r-1")
    assert run("sales", "refund", "X", *refund, "--socket", daemon).exit_code == 0
    asked = [(op, {name: args.get(name) for name in ("coupons", "points", "lock", "accept")}) for op, args in ASKED[:3]]
    both = {"coupons": ["a.b.c", "C-1"], "points": 300}
    assert asked == [
        ("sales.quote", {**both, "lock": True, "accept": False}),
        ("sales.settle", {**both, "lock": None, "accept": True}),
        ("sales.settle", {"coupons": [], "points": None, "lock": None, "accept": False}),
    ]
    assert (ASKED[-1][1]["again"], ASKED[-1][1]["request"]) == (True, "r-1")


def test_each_thing_asked_for_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The sums are told as money, and every coupon and the points with verdict, code, value and sentence."""
    told = {"offer": "ten", "code": "OK", "text": "Ten off: 10.00 off."}
    show.priced(
        {
            "sale": "01KE6",
            "amount_minor": 15_700,
            "discount_minor": 4_000,
            "net_minor": 11_700,
            "exponent": 2,
            "points_to_earn": 117,
            "points_redeemed": 0,
            "held_until": None,
            "held_until_ms": None,
            "asked": [
                {"what": "coupon", "coupon": "C-1", "verdict": "APPLIED", "value_minor": 1_000, **told},
                {
                    "what": "points",
                    "points": 3_050,
                    "points_redeemed": 3_000,
                    "verdict": "APPLIED",
                    "value_minor": 3_000,
                    **told,
                },
            ],
        }
    )
    assert capsys.readouterr().out.splitlines() == [
        "sale 01KE6, amount 157.00, discount 40.00, net 117.00, points to earn 117",
        "coupon C-1: APPLIED OK, 10.00 off. Ten off: 10.00 off.",
        "points 3000 of 3050: APPLIED OK, 30.00 off. Ten off: 10.00 off.",
    ]


def test_a_link_is_given_by_card_by_code_or_by_a_code_read_from_input(daemon: Path) -> None:
    """One of them and no two; what is read from input, a PIN too, is no argument that others could see."""
    for words in ([], ["--card", "1", "--code", "2"]):
        assert run("sales", "link", "X", *words, "--socket", daemon).exit_code == 2
    assert ASKED == []
    assert run("sales", "link", "X", "--card", "9156", "--socket", daemon).exit_code == 0
    arguments = ["sales", "link", "X", "--code", "-", "--staff", "s1", "--socket", str(daemon)]
    assert CliRunner().invoke(application(), arguments, input="FC1:TEXT\n482915\n").exit_code == 0
    given = {"sale": "X", "card": None, "code": "FC1:TEXT", "phone": None, "reason": "", "staff": "s1", "pin": "482915"}
    assert ASKED[1] == ("sales.link", given)


def test_claims_and_releases_name_their_terminal(daemon: Path) -> None:
    """The command line is a terminal too, where none is named."""
    run("sales", "claim", "X", "--socket", daemon)
    run("sales", "release", "X", "--terminal", "H07", "--force", "--socket", daemon)
    assert ASKED == [
        ("sales.claim", {"sale": "X", "terminal": "cli"}),
        ("sales.release", {"sale": "X", "terminal": "H07", "force": True}),
    ]
