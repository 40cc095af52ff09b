"""Signing cards from a member file to a tap: head office closes their keys, a station opens them, nobody else can."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.crypto import gcm_decrypt, gcm_encrypt
from agent.domain.codes.card_keys import CardEntry, CardKeys, CardKeysError, card_id, seal, unseal
from agent.inbox import FromHeadOffice
from agent.keyring import Keyring
from headoffice import cards
from headoffice.cards import CARDS_FILE, MASTER_FILE, CardMaker
from headoffice.errors import ImportProblem, KeyProblem
from headoffice.ingest import ingest
from headoffice.keys import make_keys
from headoffice.members import import_file
from headoffice.store import members as store
from headoffice.store import reports
from headoffice.store.database import Database
from headoffice.store.verify import verify
from sync import ports
from tests.support import template
from tests.support.head_office_says import INDEX_KEY, KEYS, card_entry, member_of, uid_index
from tests.support.headoffice_station import NOW_MS, Stream, answered, ulid
from tests.support.station_settings import Plan
from tests.support.sun_cards import Chip
from tests.support.till import Till
from tests.unit.test_cards import READER, lay

UID, OTHER = "04A1B2C3D4E580", "04A1B2C3D4E581"
KEY = bytes(range(60, 76))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of keys beside a database of head office."""
    made = template.new_folder()
    make_keys(made / "keys")
    cards.make_files(made / "keys")
    yield made
    shutil.rmtree(made)


@pytest.fixture
def database(folder: Path) -> Iterator[Database]:
    """Head office's database."""
    opened = template.head_office(folder / "hq.db")
    yield opened
    opened.close()


def ops(database: Database) -> list[dict[str, Any]]:
    """Every change that travels."""
    with database.write() as connection:
        return [op.data() for op in store.ops_after(connection, 0, 48_000)]


def imported(database: Database, folder: Path, text: str, name: str = "members.csv") -> int:
    """Import a file's text; how many members changed."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return import_file(database, path, INDEX_KEY, maker=cards.load(folder / "keys", INDEX_KEY)).changed


def test_a_card_of_a_member_file_links_at_a_station(database: Database, folder: Path) -> None:
    """The file names an id and where its key is drawn from; the station's till believes that very chip."""
    row = {"member": member_of(7), "name": "王小明", "card_uid": [UID], "card_key": ["diversified"]}
    imported(database, folder, json.dumps(row), "members.jsonl")
    maker = cards.load(folder / "keys", INDEX_KEY)
    assert maker.keys is not None
    assert maker.master is not None
    chip = Chip(bytes.fromhex(UID), maker.master.key_of(bytes.fromhex(UID)), maker.keys.meta_read)
    station = folder / "station"
    station.mkdir()
    template.copy_to(station)
    till = Till(station, keys=Keyring(KEYS.field, maker.keys), plan=Plan(settle="tender"))
    (op,) = ops(database)
    till.pipeline.handle(FromHeadOffice(ports.MembersPage(0, (op,))))
    till.sale()
    assert lay(till, chip.tap(READER, 1)) == "LINKED"
    till.close()
    held = (folder / "hq.db").read_bytes() + json.dumps(op).encode()
    for secret in (UID.encode(), chip.key, chip.key.hex().encode(), bytes.fromhex(UID)):
        assert secret not in held


def test_the_same_file_twice_changes_nothing_and_a_clearance_does(database: Database, folder: Path) -> None:
    """An envelope is the same for the same cards, so that stations are told only what is new."""
    text = f"member,card_uid,card_key\n{member_of(1)},{UID};{OTHER};0411223344,{KEY.hex()} random;diversified;-\n"
    with pytest.raises(ImportProblem, match="8, 14 or 20 hex digits"):
        imported(database, folder, text)
    text = text.replace("0411223344", "04112233")
    assert [imported(database, folder, text) for _ in range(2)] == [1, 0]
    assert imported(database, folder, text.replace("random", "random cleared=3")) == 1
    (op,) = [op for op in ops(database) if op["op"] == 2]
    keys = CardKeys.parse((folder / "keys" / CARDS_FILE).read_text())
    first, second = unseal(member_of(1), op["card_key"], keys.transport, gcm_decrypt)
    assert first == CardEntry(card_id(keys.transport, UID), KEY, random_uid=True, clearance=3)
    assert second.card == card_id(keys.transport, OTHER)
    assert (second.random_uid, second.clearance) == (False, 0)
    assert len(op["indexes"]) == 3
    assert imported(database, folder, f"member,card_uid\n{member_of(1)},{UID}\n") == 1
    assert ops(database)[-1]["card_key"] is None


@pytest.mark.parametrize(
    ("uid", "key", "complaint"),
    [
        ("04112233", "diversified", "id of 7 bytes"),
        ("08112233", "-", "another one at every tap"),
        (UID, "0123", "is no key"),
        (UID, "00" * 16, "everybody knows"),
        (UID, "A8DD63A3B89D54B37CA802473FDA9175", "everybody knows"),
        (UID, f"{KEY.hex()} blue", "means nothing"),
        (UID, f"{KEY.hex()} cleared=128", "0 to 127"),
        (UID, f"{KEY.hex()} cleared=x", "card_key"),
        (f"{UID};{OTHER}", "-", "one key for each"),
        ("04XX", "-", "hex digits"),
    ],
)
def test_what_is_no_card_is_refused_with_its_line(
    database: Database, folder: Path, uid: str, key: str, complaint: str
) -> None:
    """Nothing of such a file is imported, and the complaint shows no key."""
    with pytest.raises(ImportProblem, match=complaint) as refused:
        imported(database, folder, f"member,card_uid,card_key\n{member_of(1)},{uid},{key}\n")
    assert "line 2" in str(refused.value)
    assert KEY.hex() not in str(refused.value)
    assert ops(database) == []


def test_without_key_files_only_ids_are_taken(folder: Path) -> None:
    """A folder of an earlier version: cards by id as ever, and what to do for those that sign."""
    maker = CardMaker(INDEX_KEY)
    assert maker.read({"card_uid": [UID]}, member_of(1), "here") == ([uid_index(UID)], None)
    for key in ("diversified", KEY.hex()):
        with pytest.raises(ImportProblem, match="there is no"):
            maker.read({"card_uid": [UID], "card_key": [key]}, member_of(1), "here")
    before = {name: (folder / "keys" / name).read_text() for name in (CARDS_FILE, MASTER_FILE)}
    cards.make_files(folder / "keys")
    assert {name: (folder / "keys" / name).read_text() for name in before} == before
    (folder / "keys" / MASTER_FILE).write_text("{}")
    with pytest.raises(KeyProblem, match="damaged"):
        cards.load(folder / "keys", INDEX_KEY)


def test_an_envelope_holds_one_to_sixteen_cards_and_is_bound_to_its_member() -> None:
    """Sixteen fit the wire's limit; another member's, a cut or a changed one does not open."""
    entries = [card_entry(f"{number:014X}", KEY) for number in range(16)]
    transport = bytes(range(32))

    def refuses(key: bytes, nonce: bytes, data: bytes, about: bytes) -> bytes:
        raise AssertionError((key, nonce, data, about))

    for wrong in ([], [*entries, entries[0]]):
        with pytest.raises(CardKeysError, match="1 to 16"):
            seal(member_of(1), wrong, transport, refuses)
    envelope = seal(member_of(1), entries, transport, gcm_encrypt)
    assert len(envelope) < 1_024
    assert unseal(member_of(1), envelope, transport, gcm_decrypt) == tuple(entries)
    for member, text in ((2, envelope), (1, envelope[:-8]), (1, envelope[:-2] + "AA"), (1, "ck1.%%"), (1, "")):
        with pytest.raises(CardKeysError):
            unseal(member_of(member), text, transport, gcm_decrypt)


def test_the_example_of_the_page_is_what_travels() -> None:
    """docs/head-office.md shows an envelope that this code makes and opens."""
    page = (Path(__file__).parents[2] / "docs" / "head-office.md").read_text("utf-8")
    card, key = card_id(bytes(range(32)), "04A1B2C3D4E580"), bytes(range(0xA0, 0xB0))
    assert card.hex() in page
    assert key.hex() in page
    assert f"\n{seal('567014f1b3c2a9de', [CardEntry(card, key)], bytes(range(32)), gcm_encrypt)}\n" in page


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"transport": "ab", "meta_read": "cd"}', '{"transport": 1, "meta_read": 2}']
)
def test_a_key_file_is_of_its_form(text: str) -> None:
    """Anything else is refused without its content."""
    with pytest.raises(CardKeysError):
        CardKeys.parse(text)


def linked(station: str, counter: int, minute: int, *, card: str = "ab" * 16) -> Stream:
    """One link of a signing card, as a station tells it."""
    stream = Stream(station=station, incarnation=f"{counter:032x}").begin()
    data = {"sale": ulid(counter), "member": member_of(1), "level": "sun", "by": "r", "delay_s": 0}
    time = f"2026-11-21T08:{minute:02d}:00.000Z"
    stream.add("fc.sale.linked.v1", {**data, "code": f"sun:{card}:{counter}"}, time=time)
    return stream


@pytest.mark.parametrize(
    ("uses", "told"),
    [
        ([("S1", 5, 0), ("S2", 6, 40), ("S1", 7, 50)], False),
        ([("S1", 5, 0), ("S2", 4, 40)], True),
        ([("S2", 4, 40), ("S1", 5, 0)], True),
        ([("S1", 5, 0), ("S2", 4, 10)], False),
        ([("S1", 5, 0), ("S2", 5, 0)], True),
        ([("S1", 5, 0), ("S1", 4, 40)], False),
    ],
)
def test_a_counter_that_fell_between_stations_is_told(
    database: Database, uses: list[tuple[str, int, int]], told: bool
) -> None:
    """In whatever order the records come: lower at another station half an hour later is a copy; each watches its own."""
    for station, counter, minute in uses:
        stream = linked(station, counter, minute)
        assert answered(ingest(database, stream.topic, stream.payload(1), NOW_MS)).cum == 2
    found = reports.own_alerts(database, station=None, limit=10)
    assert [row["alert"] for row in found] == (["card_counter_fell"] if told else [])
    assert verify(database).findings == ()
