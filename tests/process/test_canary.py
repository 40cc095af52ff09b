"""Canaries pushed through every door of a running station: none is found in a log, an answer, on the wire or on disk."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from select import select
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent.backup import make, packing
from agent.control import ControlError
from agent.pipeline.asking import OPERATIONS
from drivers.simulator.card import Card, link_message
from drivers.simulator.pn532_chip import Chip
from drivers.simulator.wires import PtyWire
from tests.support.backed_up import KEYS, Place
from tests.support.canary import all_secrets, found_in
from tests.support.processes import STATION, Site, eventually

SECRETS = all_secrets()
TEXTS = {name: text.decode() for name, text in SECRETS.items()}
TOKENS = [f"FM1:{text}" for name, text in TEXTS.items() if name.startswith("token")]
LINK = f"https://tap.example.net/c?e={TEXTS['tap']}&c={TEXTS['tap mac']}"
MEMBER = "0000000000000a01"
TYPED = (
    "sale",
    "card",
    "phone",
    "plate",
    "code",
    "member",
    "pin",
    "badge",
    "reason",
    "note",
    "query",
    "text",
)
"""Names of arguments that a person may put a member's number into, by mistake or not."""

ASKED = ("card", "unknown card", "phone", "payment code", "bank card", "plate", "uid")
"""Secrets that every operation is asked with."""

NOT_SEARCHED = ("members.jsonl", "/keys/", "station.toml", "/broker/")
"""What the test itself puts down, and the broker's own folder: what was said there is heard at the wire."""

PN532 = """
[[reader]]
id = "nfc"
kind = "pn532"
port = "{port}"
fuelling_points = [1]
"""


class Ears:
    """Everything that is said on the broker while this runs."""

    def __init__(self, port: int) -> None:
        self.heard: list[bytes] = []
        self._ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="ears")
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda _c, _d, said: self.heard.append(said.topic.encode() + b" " + said.payload)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(90)

    def _on_connect(self, *_: object) -> None:
        self._client.subscribe("#", 1)

    def close(self) -> None:
        """Hear no more."""
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def lying_on(wire: PtyWire, chip: Chip) -> Iterator[None]:
    """A reader's chip answers at its end of the wire."""
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            if select([wire], [], [], 0.05)[0]:
                wire.write(chip.receive(wire.read()))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Broker and head office with one member, whose plain numbers came from a file."""
    with Site(tmp_path) as running:
        told = {"member": MEMBER, "phone": TEXTS["phone"], "cards": [TEXTS["card"]], "plates": [TEXTS["plate"]]}
        file = tmp_path / "members.jsonl"
        file.write_text(json.dumps({**told, "name": TEXTS["name"]}, ensure_ascii=False), encoding="utf-8")
        running.said = [running.hq_command("members", "import", str(file))]  # type: ignore[attr-defined]
        running.start_hq()
        yield running


def scan_everything(site: Site, wire: PtyWire) -> None:
    """The scanner sees every secret as a code, and codes cut short and damaged."""
    texts = [*TOKENS, *TEXTS.values(), LINK, *(f"]Q1{text[:60]}" for text in TOKENS), TOKENS[0].lower()]
    for text in texts:
        wire.write(text.encode("utf-8", "replace") + b"\r")
    wire.write(TOKENS[0].encode()[:40])  # never ended: half a code is still somebody's
    eventually(
        lambda: site.at_station("SELECT count(*) FROM scan_event")[0][0] >= len(TOKENS) + 4, 30, "scans answered"
    )


def ask_everything(site: Site) -> list[str]:
    """Every operation there is, with every secret wherever one may be typed; returns the answers."""
    answers = []

    def ask(op: str, **arguments: Any) -> None:
        try:
            answers.append(json.dumps(site.ask(op, **arguments), ensure_ascii=False))
        except ControlError as refused:
            answers.append(f"{refused} {refused.hint}")

    for number, text in enumerate([TOKENS[0], LINK, *(TEXTS[name] for name in ASKED)]):
        ask("members.show", member=text)
        ask("points.show", member=text)
        for op in OPERATIONS:
            ask(op, **dict.fromkeys(TYPED, text), coupons=[text], tenders=[{"kind": text, "ref": text}])
        ask(text, number=number)
    ask("staff.add", staff="li", name="Li", pin=TEXTS["staff PIN"], badge=TEXTS["badge"])
    ask("staff.sign-in", staff="li", pin=TEXTS["staff PIN"], terminal="cli")
    ask("members.enrol", phone=TEXTS["phone of an enrolment"], plate=TEXTS["plate"][::-1])
    ask("members.find", phone=TEXTS["phone looked up"])
    ask("members.forget", member=MEMBER, reason=f"{TEXTS['phone']} asked, card {TEXTS['card']}")
    return answers


def type_everything(site: Site) -> list[str]:
    """Commands with secrets in the wrong places; returns what they print."""
    typed = (
        ("sales", "link", "X", "--card", TEXTS["unknown card"]),
        (TOKENS[0],),
        ("sales", "--limit", TEXTS["payment code"]),
    )
    done = [site.command(*words) for words in typed]
    assert all(run.returncode for run in done[:1])
    return [run.stdout + run.stderr for run in done]


def opened_backup(site: Site) -> bytes:
    """A backup made now, opened with its key."""
    plan = replace(Place(site.folder).plan, database=site.database, station=STATION)
    opened = BytesIO()
    with make.make(plan, site.clock.wall_ms()).path.open("rb") as sealed:
        packing.unseal(sealed, opened, (KEYS,), packing.never_ending)
    return opened.getvalue()


def on_disk(site: Site) -> dict[str, bytes]:
    """Every file that station and head office wrote: databases with their logs, log files, marks, backups."""
    found = {}
    for file in site.folder.rglob("*"):
        if file.is_file() and not file.is_symlink() and not any(part in str(file) for part in NOT_SEARCHED):
            with suppress(FileNotFoundError):  # it has got its final name meanwhile, under which it is read
                found[str(file)] = file.read_bytes()
    return found


def online(site: Site) -> set[str]:
    """The devices that can be reached."""
    return {found["device"] for found in site.ask("status")["devices"] if found["online"]}


def test_no_canary_is_found_anywhere(site: Site) -> None:
    """Scanned, tapped, typed, asked and imported: afterwards not a piece of them is in any place."""
    ears, scanner, nfc = Ears(site.broker.port), PtyWire(site.folder / "scanner"), PtyWire(site.folder / "nfc")
    scanner.plug()
    nfc.plug()
    reader = site.forecourt.readers[0].name
    ports = {**site.no_devices(), "readers": {reader: str(scanner.link)}}
    site.write_config(ports, control=PN532.format(port=nfc.link))
    agent = site.start_agent()
    eventually(lambda: site.at_station("SELECT 1 FROM member WHERE id = ?", MEMBER), 30, "the member is in the cache")
    eventually(lambda: f"reader:{reader}" in online(site), 30, "the scanner is listened to")
    card = Card(bytes.fromhex(TEXTS["uid"]), lambda _count: link_message(LINK))
    with lying_on(nfc, Chip(card)):
        scan_everything(site, scanner)
        answers = ask_everything(site)
        tapped = "SELECT 1 FROM scan_event WHERE reader = 'nfc'"
        eventually(lambda: site.at_station(tapped), 30, "the tap was answered")
    printed = type_everything(site)
    eventually(site.all_delivered, 30, "head office has everything")
    live = on_disk(site)
    backup = opened_backup(site)
    assert agent.end() == 0, agent.text[-2_000:]
    ears.close()
    scanner.unplug()
    nfc.unplug()
    places = {
        **{f"while running {name}": content for name, content in live.items() if "station.db" in name},
        **on_disk(site),
        "backup": backup,
        "wire": b"\n".join(ears.heard),
        "answers": "\n".join(answers).encode(),
        "commands": "\n".join([*printed, *site.said]).encode(),  # type: ignore[attr-defined]
    }
    assert len(ears.heard) > 5
    assert {"agent.log", "hq.log", "station.db", "database.sqlite"} <= {Path(name).name for name in places}
    assert found_in(places, SECRETS) == []


@pytest.mark.parametrize("name", SECRETS)
def test_a_planted_canary_is_found(name: str) -> None:
    """The search is a real one: a place with one secret in it, cut at its end, is named; another secret is not."""
    planted = {"log": b'{"event": "scan", "detail": "' + SECRETS[name][:-1] + b'"}', "other": b"nothing here"}
    found = found_in(planted, SECRETS)
    assert f"{name} in log" in found
    assert not any(told.endswith("in other") for told in found)
