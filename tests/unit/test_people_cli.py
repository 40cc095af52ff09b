"""`forecourt staff` and `forecourt shift` as people type them: against a real pipeline behind a real socket."""

from __future__ import annotations

import json
import queue
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agent.cli import application, people, plain, shifts
from agent.control import ControlServer
from agent.inbox import Person, refusal, success
from agent.reports.shifts import questions
from agent.store.queries import NotFound
from agent.store.verify import verify
from tests.support import template
from tests.support.quiet import quiet_log
from tests.support.till import Till

Ask = Callable[..., Result]
ROOMS = {"staff": people.staff, "shift": shifts.shift}
"""The two groups of commands; the whole command line takes a fifth of a second to build."""


def invoked(*words: str, given: str = "") -> Result:
    """The command in this thread, as in a pipe."""
    if words[0] in ROOMS:
        return CliRunner().invoke(ROOMS[words[0]], words[1:], input=given)
    return CliRunner().invoke(application(), words, input=given)


@pytest.fixture
def till() -> Iterator[Till]:
    """A till where everything is settled by tender."""
    folder = template.new_folder()
    template.copy_to(folder)
    with quiet_log():
        made = Till(folder)
        made.rules()
        yield made
    report = verify(made.store.path)
    made.close()
    shutil.rmtree(folder)
    assert report.findings == ()


@pytest.fixture
def forecourt(till: Till, tmp_path: Path) -> Iterator[Ask]:
    """The command in a thread; its questions come over the socket and are answered by the till in this one."""
    asked: queue.Queue[Callable[[], None] | None] = queue.Queue()
    looks = questions(till.settings)

    def answer(op: str, args: dict[str, Any], person: Person) -> dict[str, Any]:
        given: queue.Queue[dict[str, Any]] = queue.Queue()
        asked.put(lambda: given.put(answered(op, args, person)))
        return given.get(timeout=30)

    def answered(op: str, args: dict[str, Any], person: Person) -> dict[str, Any]:
        if op == "station":
            return success({"exponent": 2})
        if op not in looks:
            return till.ask(op, role="supervisor", person=person.name, **args)
        try:
            return success(looks[op](args))
        except NotFound as problem:
            return refusal(str(problem), problem.hint)

    path = tmp_path / "control.sock"
    server, stop = ControlServer(path, frozenset(), answer), threading.Event()
    server.open()

    def serve() -> None:
        while not stop.is_set():
            server.serve_once()

    def run(*words: str, given: str = "") -> Result:
        found: list[Result] = []

        def work() -> None:
            found.append(invoked(*words, "--socket", str(path), given=given))
            asked.put(None)

        worker = threading.Thread(target=work)
        worker.start()
        while (act := asked.get(timeout=60)) is not None:
            act()
        worker.join()
        return found[0]

    serving = threading.Thread(target=serve)
    serving.start()
    yield run
    stop.set()
    with socket.socket(socket.AF_UNIX) as waker:
        waker.connect(str(path))
    serving.join()
    server.close()
    plain._acting.clear()


def told(result: Result) -> Any:
    """The JSON of a command that went well."""
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_shift_from_its_opening_to_its_report(till: Till, forecourt: Ask) -> None:
    """Opened, sold in, tested in, closed with counted cash, listed and shown: for people and for programs."""
    assert told(forecourt("shift", "open", "--json"))["number"] == 1
    till.settle(till.sale(20_000))
    assert forecourt("shift", "test-return", "--nozzle", "1/1", "--litres", "5.5", "--reason", "seal").exit_code == 0
    seen = forecourt("shift", "show")
    assert "14.500" in seen.stdout
    assert "unknown" in seen.stdout, "no meter was read here"
    assert "1 sales, 157.00" in seen.stdout
    closed = forecourt("shift", "close", "--counted", "cash=150.00", "--request", "c-1")
    assert "cash: counted 150.00, expected 157.00, difference -7.00" in closed.stdout
    assert told(forecourt("shift", "close", "--request", "c-1", "--json"))["repeat"] is True
    (listed,) = told(forecourt("shift", "list", "--json"))
    assert (listed["number"], listed["totals"]["test_ml"]) == (1, 5_500)
    assert "157.00" in forecourt("shift", "show", "1").stdout
    assert forecourt("shift", "show", "7").exit_code == 1


@pytest.mark.parametrize(
    "words",
    [
        ("shift", "test-return", "--reason", "x"),
        ("shift", "own-use", "--reason", "x", "--nozzle", "1-1", "--litres", "5"),
        ("shift", "own-use", "--reason", "x", "--nozzle", "1/1", "--litres", "5.1234"),
        ("shift", "test-return", "--reason", "x", "--sale", "01M7", "--litres", "5"),
        ("shift", "close", "--counted", "cash"),
        ("staff", "sign-in", "li"),
        ("staff", "add", "li", "--name", "Li", "--pin-file", "/nowhere/pin"),
        ("staff", "sign-out", "li", "--terminal", "cli"),
    ],
)
def test_bad_usage_is_exit_two_with_what_to_do(words: tuple[str, ...]) -> None:
    """What cannot be meant is refused before anybody is asked, in two lines."""
    result = invoked(*words, "--socket", "/nowhere/control.sock")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 2


def test_staff_from_adding_to_signing_out(forecourt: Ask, tmp_path: Path) -> None:
    """A PIN comes from a file or from input; the list shows who is where; a wrong PIN is exit 1."""
    pin = tmp_path / "pin"
    pin.write_text("4711\n", encoding="ascii")
    assert forecourt("staff", "add", "li", "--name", "Li", "--pin-file", str(pin)).exit_code == 0
    added = forecourt(
        "staff", "add", "zhao", "--name", "Zhao", "--role", "supervisor", "--pin-file", "-", given="5093\n"
    )
    assert added.exit_code == 0
    assert forecourt("staff", "set-badge", "li", given="700011\n").exit_code == 0
    wrong = forecourt("staff", "sign-in", "li", "--pin-file", "-", given="5093\n")
    assert wrong.exit_code == 1
    assert "4 more" in wrong.stderr
    assert forecourt("staff", "sign-in", "li", "--pin-file", str(pin)).exit_code == 0
    assert "cli" in forecourt("staff").stdout
    listed = told(forecourt("staff", "list", "--json"))
    assert [(p["staff"], p["terminals"], p["badge"]) for p in listed] == [("li", ["cli"], True), ("zhao", [], False)]
    assert forecourt("staff", "sign-out").exit_code == 0
    assert told(forecourt("staff", "show", "li", "--json"))["attendances"][0]["ended"] == "signed_out"
    assert "signed_out" in forecourt("staff", "show", "li").stdout
    pin.write_text("8264", encoding="ascii")
    assert forecourt("staff", "set-pin", "li", "--pin-file", str(pin)).exit_code == 0
    for command in ("disable", "enable"):
        assert forecourt("staff", command, "li").exit_code == 0


def test_as_acts_in_the_name_of_who_knows_the_pin(till: Till, forecourt: Ask, tmp_path: Path) -> None:
    """With --as before the command the record names the person, not the account."""
    pin = tmp_path / "pin"
    pin.write_text("4711", encoding="ascii")
    forecourt("staff", "add", "zhao", "--name", "Zhao", "--role", "supervisor", "--pin-file", str(pin))
    named = forecourt("--as", "zhao", "--pin-file", str(pin), "shift", "open", "--json")
    assert told(named)["opened_by"] == "zhao"
    assert till.records("fc.shift.v1")[0]["by"] == "zhao"


def test_a_hash_for_the_configuration_is_printed_without_a_daemon() -> None:
    """The printed text is what [[staff]] pin_hash wants; a simple PIN is refused."""
    from agent.domain.pins import is_pin

    good = invoked("staff", "hash-pin", "--pin-file", "-", "--json", given="4711\n")
    assert is_pin("4711", told(good)["pin_hash"])
    assert invoked("staff", "hash-pin", "--pin-file", "-", given="1234\n").exit_code == 2


def test_litres_below_zero_keep_their_sign() -> None:
    """Unexplained litres may be negative, and are shown as they are."""
    assert [plain.litres(ml, 3) for ml in (-440, -1_440, 440)] == ["-0.440", "-1.440", "0.440"]
    assert [plain.litres(ml) for ml in (-4, -440)] == ["0.00", "-0.44"]
