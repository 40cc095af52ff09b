"""The whole command on a real broker: welcome and acks over MQTT, a kill between commit and ack, the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from headoffice.cli import entry
from headoffice.store import reports
from headoffice.store.database import Database
from headoffice.store.verify import verify
from sync.group import DocumentRef, HeadClaims
from sync.messages import Ack, Welcome
from sync.notices import Head, HoState, Req, Res
from sync.signing import PinnedKeys, open_signed
from sync.topics import HO_STATE, station_topic
from tests.support.broker import Mosquitto
from tests.support.headoffice_station import STATION, Stream, event, hello, sale_data, settled_data
from tests.support.peer import Peer

DEADLINE_S = 120.0


def command(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from headoffice.cli import entry; entry()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "FORECOURT_HQ_STATE": str(folder), **environment},
    )


def run(folder: Path, *arguments: str, code: int = 0, **environment: str) -> str:
    process = command(folder, *arguments, **environment)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == code, (arguments, out, err)
    assert "Traceback" not in err
    return out if code == 0 else err


@contextmanager
def serving(folder: Path, port: int, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """``serve`` that has said that it is connected; it is ended with SIGTERM."""
    process = command(folder, "serve", "--broker", f"mqtt://127.0.0.1:{port}", "--json", **environment)
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "connected"
        yield process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_S) == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker.port


@pytest.fixture
def state(tmp_path: Path) -> Path:
    run(tmp_path / "hq", "keys")
    return tmp_path / "hq"


@pytest.fixture
def peer(port: int) -> Iterator[Peer]:
    opened = Peer(port)
    yield opened
    opened.close()


def journal() -> Stream:
    stream = Stream().begin()
    for number in range(6):
        stream.add("fc.sale.v1", sale_data(number, f"0:{number * 1_000}", f"0:{(number + 1) * 1_000}"))
        stream.add("fc.sale.settled.v1", settled_data(sale_data(number, None, None)["sale"]))
    return stream


def test_a_hand_made_station_is_welcomed_and_acknowledged(state: Path, port: int, peer: Peer) -> None:
    """[W-20] [W-21] [W-32] Hello, two batches, an answer to each; the goodbye is retained."""
    stream = journal()
    with serving(state, port):
        assert peer.wait_for(HoState, HO_STATE).online
        peer.send("up/hello", event(hello(stream, connect_n=3)))
        welcome = peer.wait_for(Welcome, station_topic(STATION, "down/welcome"))
        assert (welcome.for_connect_n, welcome.streams["L"].cum, welcome.reincarnate) == (3, 0, False)
        for first, last in ((1, 7), (8, 13)):
            peer.send("up/l", stream.payload(first, last))
            ack = peer.wait_for(Ack, station_topic(STATION, "down/ack"))
            assert (ack.cum, ack.head_hash) == (last, stream.hashes[last])
    assert not peer.wait_for(HoState, HO_STATE).online
    totals = json.loads(run(state, "totals", "--json"))
    assert (totals["sales"], totals["settled"], totals["points_issued"]) == (6, 6, 6 * 78)


def test_a_kill_between_commit_and_ack_doubles_nothing(state: Path, port: int, peer: Peer) -> None:
    """[W-20] [W-21] SIGKILL after the commit: no ack; the resend to the next process is acknowledged and stored once."""
    stream = journal()
    with serving(state, port, FORECOURT_FAILPOINT="hq.after_commit:1") as process:
        assert peer.wait_for(HoState, HO_STATE).online
        peer.send("up/l", stream.payload(1, 7))
        assert process.wait(DEADLINE_S) == -signal.SIGKILL
    assert not peer.wait_for(HoState, HO_STATE).online
    with serving(state, port):
        assert peer.wait_for(HoState, HO_STATE).online
        peer.send("up/l", stream.payload(1, 13))
        assert peer.wait_for(Ack, station_topic(STATION, "down/ack")).cum == 13
    database = Database(state / "database.sqlite")
    totals = reports.totals(database)
    assert (totals["records"], totals["sales"], totals["duplicates"]) == (13, 6, 0)
    assert verify(database).findings == ()
    database.close()


def test_a_kill_before_the_commit_loses_nothing_that_was_acknowledged(state: Path, port: int, peer: Peer) -> None:
    """[W-20] SIGKILL with the transaction open: the batch is as if it never came."""
    stream = journal()
    with serving(state, port, FORECOURT_FAILPOINT="hq.before_commit:2") as process:
        assert peer.wait_for(HoState, HO_STATE).online
        peer.send("up/l", stream.payload(1, 7))
        assert peer.wait_for(Ack, station_topic(STATION, "down/ack")).cum == 7
        peer.send("up/l", stream.payload(8, 13))
        assert process.wait(DEADLINE_S) == -signal.SIGKILL
    assert json.loads(run(state, "totals", "--json"))["records"] == 7
    assert "verified" in run(state, "verify")


def test_what_is_published_while_serving_reaches_the_stations(
    state: Path, port: int, peer: Peer, tmp_path: Path
) -> None:
    """[W-40] [W-42] `rules publish` and `members import` of another process show in the next head; bodies are fetched."""
    rules = tmp_path / "rules.json"
    program: dict[str, Any] = {"currency": "CNY", "exponent": 2}
    rules.write_text(json.dumps({"version": 4, "effective_from": "2026-11-01T00:00:00Z", "program": program}))
    people = tmp_path / "people.jsonl"
    people.write_text('{"member": "567014f1b3c2a9de", "phone": "13812345678", "name": "张三"}\n')
    with serving(state, port):
        run(state, "rules", "publish", str(rules))
        assert json.loads(run(state, "members", "import", str(people), "--json"))["changed"] == 1
        pinned = PinnedKeys.from_jwks((state / "keys" / "pinned.jwks.json").read_text())
        found: DocumentRef | None = None
        member_op = 0
        while found is None or member_op < 1:
            jws = peer.wait_for(Head, "fc/v1/g/main/head").jws
            claims = HeadClaims.from_claims(open_signed(jws, pinned, None))
            found, member_op = claims.rules, claims.member_op
        peer.send("up/req", event(Req("q1", "document", {"hash": found.hash.hex()})))
        assert peer.wait_for(Res, station_topic(STATION, "down/res")).status == "ok"
        peer.send("up/req", event(Req("q2", "members", {"have_op": 0})))
        page = peer.wait_for(Res, station_topic(STATION, "down/res"))
        assert [op["member"] for op in page.body["ops"]] == ["567014f1b3c2a9de"]
    assert found.version == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ("bogus",),
        ("verify",),
        ("sales", "--limit", "x"),
        ("members", "import", "nowhere.csv"),
        ("rules", "publish", "nowhere.json"),
        ("serve", "--broker", "http://x"),
        ("serve", "--broker", "mqtts://127.0.0.1"),
        ("serve", "--group", "a b"),
        ("stations", "unfence", "A", "B"),
    ],
)
def test_a_wrong_command_ends_with_code_2_and_two_lines(
    tmp_path: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Never a traceback: what is wrong, and what to do."""
    monkeypatch.setenv("FORECOURT_HQ_STATE", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["forecourt-hq", *arguments])
    with pytest.raises(SystemExit) as ended:
        entry()
    told = capsys.readouterr()
    lines = told.err.strip().splitlines()
    assert (ended.value.code, told.out) == (2, "")
    assert len(lines) <= 2
    assert lines[0].startswith("forecourt-hq: ")


def test_reading_commands_answer_in_json_and_in_lines(state: Path, port: int, peer: Peer) -> None:
    """Stable keys with units; tab-separated lines when piped; verify exits 1 where something is off."""
    stream = journal()
    stream.add("fc.unheard.v1", {})
    with serving(state, port):
        peer.send("up/l", stream.payload(1))
        assert peer.wait_for(Ack, station_topic(STATION, "down/ack")).rejected[0].seq == 14
        sales = json.loads(run(state, "sales", "--json", "--limit", "2"))
    assert [(row["volume_ml"], row["points_earned"]) for row in sales] == [(10_000, 78), (10_000, 78)]
    assert json.loads(run(state, "stations", "--json"))[0]["streams"][0]["cum"] == 14
    assert json.loads(run(state, "dead-letters", "list", "--json"))[0]["reason"] == "unknown_type"
    assert json.loads(run(state, "dead-letters", "replay", "--json"))["still_dead"] == 1
    assert run(state, "sales").splitlines()[0].startswith("station\t")
    assert run(state, "alerts") == "no alerts\n"
    database = Database(state / "database.sqlite")
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE sale SET amount_minor = 1 WHERE record = 2")
    database.close()
    run(state, "verify", code=1)
