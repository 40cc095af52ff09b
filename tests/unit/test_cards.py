"""Cards at a till: what a tap proves, how it is refused, and what is kept of a card and for how long."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.clock import read
from agent.crypto import FieldKeys
from agent.domain.codes.card_keys import CardEntry, CardKeys
from agent.inbox import FromHeadOffice, FromLine
from agent.keyring import NO_KEYS, Keyring
from agent.pipeline import watching
from drivers.readings import CardTap
from drivers.simulator.card import link_message
from sync import ports
from tests.support import template
from tests.support.head_office_says import CARDS, KEYS, card_entry, member_gone, member_of, member_with, uid_index
from tests.support.station_settings import Plan
from tests.support.sun_cards import Chip
from tests.support.till import Till

READER, OTHER_READER = "reader-1", "reader-2"
CHIP = Chip(bytes.fromhex("04A1B2C3D4E580"), bytes(range(50, 66)), CARDS.meta_read)
PLAIN = bytes.fromhex("04112233445566")
VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "nfc_sun.json").read_text("utf-8"))
MakeTill = Callable[..., Till]


@pytest.fixture
def make_till() -> Iterator[MakeTill]:
    """``make_till(keys=..., **plan)``: a till whose reader-1 serves point 1."""
    made: list[tuple[Till, Path]] = []

    def make(keys: Keyring = KEYS, **plan: Any) -> Till:
        folder = template.new_folder()
        template.copy_to(folder)
        made.append((Till(folder, keys=keys, plan=Plan(settle="tender", **plan)), folder))
        return made[-1][0]

    yield make
    for till, folder in made:
        till.close()
        shutil.rmtree(folder)


@pytest.fixture
def till(make_till: MakeTill) -> Till:
    """A till that knows member 1 and the chip, seen at count 10 before."""
    made = make_till()
    made.pipeline.handle(member_with(1, 1, card_entry(CHIP.name, CHIP.key)))
    return made


def lay(till: Till, tap: CardTap, *, after_s: float = 4.0) -> str:
    """A card is laid on a reader; returns the outcome, with a star where it was told as a repeat."""
    till.clock.now_s += after_s
    till.pipeline.handle(FromLine(tap.reader, tap, read(till.clock)))
    answer = till.pipeline._live.answers[-1]
    return f"{answer['outcome']}{'*' if answer['repeat'] else ''}"


def told(op: Mapping[str, Any]) -> FromHeadOffice:
    """One change of a member, as it arrives."""
    return FromHeadOffice(ports.MembersPage(op["op"] - 1, (op,)))


def counter(till: Till) -> int | None:
    """What is stored of the only card."""
    found = till.one("SELECT counter FROM card")
    assert found is None or isinstance(found, int)
    return found


def test_a_signed_tap_links_its_member_strongly(till: Till) -> None:
    """The sale that waits at the point is the member's, by a level that may pay, and the record names card and count."""
    sale = till.sale()
    assert lay(till, CHIP.tap(READER, 11)) == "LINKED"
    (linked,) = till.records("fc.sale.linked.v1")
    index = uid_index(CHIP.name)
    assert (linked["sale"], linked["member"], linked["level"]) == (sale, member_of(1), "sun")
    assert linked["code"] == f"sun:{index}:11"
    assert counter(till) == 11
    held = b"".join(file.read_bytes() for file in till.directory.glob("station.db*"))
    for secret in (CHIP.uid, CHIP.key, CHIP.link(11)[-16:].encode(), CHIP.name.encode(), CHIP.key.hex().encode()):
        assert secret not in held


def test_the_same_card_within_seconds_is_the_same_event(till: Till) -> None:
    """Its counter has risen and is kept; the answer is the first one, and there is one link."""
    till.sale()
    assert lay(till, CHIP.tap(READER, 11)) == "LINKED"
    assert lay(till, CHIP.tap(READER, 12), after_s=2) == "LINKED*"
    assert lay(till, CHIP.tap(READER, 13), after_s=10) == "REPEAT*"
    assert (counter(till), len(till.records("fc.sale.linked.v1"))) == (13, 1)


def test_a_replayed_message_is_refused_and_its_card_earns_only_until_it_is_cleared(till: Till) -> None:
    """Whoever plays an old message gets nothing; the true card still links, with what may not pay."""
    till.sale()
    assert lay(till, CHIP.tap(READER, 11)) == "LINKED"
    till.wait(700)
    till.sale()
    assert lay(till, CHIP.tap(READER, 11)) == "COUNTER_REPLAYED"
    assert lay(till, CHIP.tap(READER, 9)) == "COUNTER_REPLAYED"
    assert (counter(till), len(till.records("fc.sale.linked.v1"))) == (11, 1)
    assert lay(till, CHIP.tap(READER, 12)) == "LINKED_EARN_ONLY"
    till.pipeline.handle(member_with(2, 1, card_entry(CHIP.name, CHIP.key)))
    till.wait(700)
    till.sale()
    assert lay(till, CHIP.tap(READER, 13)) == "LINKED_EARN_ONLY"
    till.pipeline.handle(member_with(3, 1, card_entry(CHIP.name, CHIP.key, clearance=1)))
    till.wait(700)
    till.sale()
    assert lay(till, CHIP.tap(READER, 14)) == "LINKED"


def test_a_message_on_another_chip_is_refused_whatever_its_count(till: Till) -> None:
    """A link copied to another tag; what is wrong with the signature says nothing against the card."""
    till.sale()
    assert lay(till, CHIP.tap(READER, 11, rf_uid=PLAIN)) == "UID_MISMATCH"
    assert (counter(till), till.one("SELECT held FROM card")) == (None, 1)
    till.pipeline.handle(member_with(2, 1, card_entry(CHIP.name, bytes(range(70, 86)))))
    assert till.one("SELECT held FROM card") == 0
    assert lay(till, CHIP.tap(READER, 12)) == "BAD_MAC"
    assert till.one("SELECT held FROM card") == 0


def test_only_a_chip_that_hides_its_id_may_show_a_random_one(till: Till) -> None:
    """Four bytes that begin with 08 are believed of a card that is told so."""
    shown = bytes.fromhex("08AABBCC")
    assert lay(till, CHIP.tap(READER, 11, rf_uid=shown)) == "UID_MISMATCH"
    till.pipeline.handle(member_with(2, 1, card_entry(CHIP.name, CHIP.key, random_uid=True, clearance=1)))
    till.sale()
    assert lay(till, CHIP.tap(READER, 12, rf_uid=shown)) == "LINKED"


def test_the_rules_of_misuse_are_told_of_counters_and_copies(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every refusal of a true message with its member, every accepted count with how far it moved."""
    refused: list[watching.Refusal] = []
    moved: list[tuple[str, int]] = []
    monkeypatch.setattr(watching, "after_refusal", lambda _step, refusal: refused.append(refusal))
    monkeypatch.setattr(watching, "after_counter", lambda _step, member, jump: moved.append((member, jump)))
    for count, other in ((10, None), (311, None), (311, None), (400, PLAIN)):
        lay(till, CHIP.tap(OTHER_READER, count, rf_uid=other), after_s=200)
    assert moved == [(member_of(1), 301)]
    assert [(told.outcome.value, told.reader, told.member) for told in refused] == [
        ("COUNTER_REPLAYED", OTHER_READER, member_of(1)),
        ("UID_MISMATCH", OTHER_READER, member_of(1)),
    ]
    assert lay(till, CardTap(READER, CHIP.uid, link_message(CHIP.link(500)[:-1] + "0"))) == "BAD_MAC"
    assert len(refused) == 2


@pytest.mark.parametrize("vector", VECTORS["sun"], ids=lambda vector: vector["name"])
def test_a_published_tap_comes_to_its_outcome_at_a_till(make_till: MakeTill, vector: dict[str, Any]) -> None:
    """From the bytes that a reader tells to the answer; published keys are let through in training alone."""
    wanted = vector["expect"]["outcome"]
    keys = Keyring(KEYS.field, CardKeys(CARDS.transport, bytes.fromhex(vector["k_meta_read"])))
    till = make_till(keys, mode="training", sun=vector["profile"])
    entries = [card_entry(uid, bytes.fromhex(key)) for uid, key in vector["k_file_read"].items()]
    till.pipeline.handle(member_with(1, 1, *entries))
    if "last_counter" in vector:
        at_ms = till.clock.wall_ms()
        till.do(lambda step: step.tx.cards.accept(entries[0].card, vector["last_counter"], at_ms=at_ms, scan="s"))
    rf_uid = bytes.fromhex(vector["rf_uid"]) if vector.get("rf_uid") else None
    outcome = lay(till, CardTap(READER, rf_uid, link_message(vector["text"])))
    assert outcome == ("WAITING_FOR_NOZZLE" if wanted == "ACCEPTED" else wanted)
    if wanted == "ACCEPTED":
        assert counter(till) == vector["expect"]["counter"]


def test_published_keys_are_refused_where_sales_are_real(make_till: MakeTill) -> None:
    """Zeros, and the keys of the maker's examples."""
    till = make_till()
    for op, key in ((1, bytes(16)), (2, bytes.fromhex("A8DD63A3B89D54B37CA802473FDA9175"))):
        chip = Chip(CHIP.uid, key, CARDS.meta_read)
        till.pipeline.handle(member_with(op, 1, card_entry(chip.name, key)))
        assert lay(till, chip.tap(READER, 5)) == "KEY_REFUSED"
        assert counter(till) is None


@pytest.mark.parametrize(
    ("plan", "tap", "outcome"),
    [
        ({}, CardTap(READER, PLAIN, None), "UNKNOWN_CARD"),
        ({"uid_cards": True}, CardTap(READER, PLAIN, None), "LINKED_EARN_ONLY"),
        ({"uid_cards": True}, CardTap(READER, PLAIN, b""), "LINKED_EARN_ONLY"),
        ({"uid_cards": True}, CardTap(READER, PLAIN, link_message("https://m.example.cn/x")), "LINKED_EARN_ONLY"),
        ({"uid_cards": True}, CardTap(READER, PLAIN, b"\xd1\x01\x05U\x04a"), "MALFORMED"),
        ({"uid_cards": True}, CardTap(READER, bytes.fromhex("08112233"), None), "UNKNOWN_CARD"),
        ({"uid_cards": True}, CardTap(READER, bytes.fromhex("04112233"), None), "UNKNOWN_CARD"),
        ({"uid_cards": True}, CardTap(READER, None, None), "UNKNOWN_CARD"),
        ({"uid_cards": True}, CardTap(READER, CHIP.uid, None), "MALFORMED"),
        ({"uid_cards": True}, CardTap(READER, PLAIN, link_message("https://m.example.cn/n?p=00&m=00")), "MALFORMED"),
    ],
)
def test_a_card_that_signs_nothing_names_at_most_its_member(
    make_till: MakeTill, plan: dict[str, Any], tap: CardTap, outcome: str
) -> None:
    """Only where the station wants it, never by a random id, and never for the copied id of a card that signs."""
    till = make_till(**plan)
    till.pipeline.handle(member_with(1, 1, card_entry(CHIP.name, CHIP.key), uids=[PLAIN.hex().upper(), "08112233"]))
    till.sale()
    assert lay(till, tap) == outcome
    assert [link["level"] for link in till.records("fc.sale.linked.v1")] == (["uid"] if "LINKED" in outcome else [])
    assert counter(till) is None


@pytest.mark.parametrize(
    ("keys", "fallback", "outcome"),
    [
        (NO_KEYS, False, "UNKNOWN_CARD"),
        (NO_KEYS, True, "LINKED_EARN_ONLY"),
        (KEYS, False, "UNKNOWN_CARD"),
        (KEYS, True, "LINKED_EARN_ONLY"),
    ],
)
def test_a_card_whose_key_is_not_here_falls_back_to_its_id_only_if_told_so(
    make_till: MakeTill, keys: Keyring, fallback: bool, outcome: str
) -> None:
    """No key of the card, or none of the group: it may name its member by id, where the station wants that."""
    till = make_till(keys, uid_cards=True, sun_fallback=fallback)
    till.pipeline.handle(member_with(1, 1, uids=[CHIP.name]))
    till.sale()
    assert lay(till, CHIP.tap(READER, 11)) == outcome


def test_keys_go_with_their_member_and_counters_stay_thirty_days(till: Till) -> None:
    """A deleted member's card is unknown at once; told again it does not begin anew; then it is forgotten."""
    till.sale()
    lay(till, CHIP.tap(READER, 11))
    till.pipeline.handle(member_gone(2, 1))
    (row,) = till.rows("SELECT sealed_key, member_ref, counter FROM card")
    assert tuple(row.values()) == (None, None, 11)
    assert lay(till, CHIP.tap(READER, 12)) == "UNKNOWN_CARD"
    till.pipeline.handle(member_with(3, 2, card_entry(CHIP.name, CHIP.key)))
    assert lay(till, CHIP.tap(READER, 11)) == "COUNTER_REPLAYED"
    till.pipeline.handle(member_with(4, 2))
    gone_ms = till.clock.wall_ms()
    assert till.do(lambda step: (step.tx.cards.due(gone_ms), step.tx.cards.drop(gone_ms, 9))) == (0, 0)
    assert till.do(lambda step: (step.tx.cards.due(gone_ms + 1), step.tx.cards.drop(gone_ms + 1, 9))) == (1, 1)


def test_a_chip_that_is_written_anew_begins_anew(till: Till) -> None:
    """A counter belongs to a key: with another key the old count means nothing, and old messages do not verify."""
    till.sale()
    lay(till, CHIP.tap(READER, 900))
    fresh = Chip(CHIP.uid, bytes(range(80, 96)), CARDS.meta_read)
    till.pipeline.handle(member_with(2, 1, card_entry(fresh.name, fresh.key)))
    assert lay(till, CHIP.tap(READER, 901)) == "BAD_MAC"
    assert lay(till, fresh.tap(READER, 1)) == "REPEAT*"
    assert counter(till) == 1


def test_another_index_key_changes_nothing_of_a_card_that_signs(till: Till) -> None:
    """While head office exchanges the key that members are recognised by, counters go on and copies are still told."""
    till.sale()
    assert lay(till, CHIP.tap(READER, 11)) == "LINKED"
    till.pipeline._index_key = bytes(range(32))
    assert lay(till, CHIP.tap(OTHER_READER, 11)) == "COUNTER_REPLAYED"
    assert lay(till, CHIP.tap(READER, 12)) == "REPEAT*"
    assert counter(till) == 12


def test_a_merged_member_keeps_the_card(till: Till) -> None:
    """Head office says that member 1 is member 2: the card is theirs, and it says so."""
    till.pipeline.handle(member_with(2, 2))
    till.pipeline.handle(told({"op": 3, "kind": "ALIAS", "member": member_of(1), "to": member_of(2)}))
    till.sale()
    assert lay(till, CHIP.tap(READER, 11)) == "LINKED"
    assert "****0002" in till.pipeline._live.answers[-1]["message"]
    assert till.records("fc.sale.linked.v1")[0]["member"] == member_of(2)


def test_keys_that_cannot_be_kept_are_told_and_asked_for_again(make_till: MakeTill) -> None:
    """Without a field key an alert stands; once it is there the next start asks for every member from the first on."""
    till = make_till(Keyring(None, CARDS))
    till.pipeline.handle(member_with(1, 1, card_entry(CHIP.name, CHIP.key)))
    assert till.rows("SELECT * FROM card") == []
    assert till.one("SELECT name FROM alert WHERE cleared_ms IS NULL") == "CARD_KEYS_NOT_KEPT"
    till.restart()
    assert till.one("SELECT value FROM meta WHERE key = 'member_op'") == "1"
    till.keys = KEYS
    till.restart()
    assert till.one("SELECT value FROM meta WHERE key = 'member_op'") == "0"
    assert till.rows("SELECT name FROM alert WHERE cleared_ms IS NULL") == []
    till.pipeline.handle(member_with(1, 1, card_entry(CHIP.name, CHIP.key)))
    assert lay(till, CHIP.tap(READER, 11)) == "WAITING_FOR_NOZZLE"


def test_another_field_key_opens_nothing_and_asks_again(till: Till) -> None:
    """The file was lost and made anew: the card is unknown, that is said, and the keys come again."""
    till.keys = Keyring(FieldKeys({1: bytes(32)}), CARDS)
    till.restart()
    assert till.one("SELECT value FROM meta WHERE key = 'member_op'") == "0"
    assert lay(till, CHIP.tap(READER, 11)) == "UNKNOWN_CARD"
    assert till.one("SELECT name FROM alert WHERE cleared_ms IS NULL") == "CARD_KEYS_NOT_KEPT"
    till.pipeline.handle(member_with(1, 1, card_entry(CHIP.name, CHIP.key)))
    assert lay(till, CHIP.tap(READER, 11)) == "WAITING_FOR_NOZZLE"


@pytest.mark.parametrize("wrong", ["transport", "member", "text"])
def test_an_envelope_that_does_not_open_costs_no_member(make_till: MakeTill, wrong: str) -> None:
    """Closed by another key, made for another member, or no envelope: the member is kept, and an alert tells."""
    till = make_till()
    transport = bytes(32) if wrong == "transport" else CARDS.transport
    page = member_with(1, 1, card_entry(CHIP.name, CHIP.key), transport=transport).event
    assert isinstance(page, ports.MembersPage)
    changed = {"member": {"member": member_of(2)}, "text": {"card_key": "ck2.AAAA"}}.get(wrong, {})
    till.pipeline.handle(told({**page.ops[0], **changed}))
    assert till.rows("SELECT * FROM card") == []
    assert till.one("SELECT count(*) FROM member WHERE known = 1") == 1
    assert till.one("SELECT name FROM alert WHERE cleared_ms IS NULL") == "CARD_KEYS_NOT_KEPT"


def test_a_card_may_have_two_owners_only_one_after_the_other(till: Till) -> None:
    """Told with another member, it is theirs from then on; its first owner loses nothing else."""
    till.pipeline.handle(member_with(2, 2, card_entry(CHIP.name, CHIP.key)))
    till.pipeline.handle(member_with(3, 1))
    till.sale()
    assert lay(till, CHIP.tap(READER, 11)) == "LINKED"
    assert till.records("fc.sale.linked.v1")[0]["member"] == member_of(2)


def test_an_entry_is_of_exact_sizes() -> None:
    """What is no index and no key does not travel."""
    for index, key, clearance in ((15, 16, 0), (16, 17, 0), (16, 16, 128), (16, 16, -1)):
        with pytest.raises(ValueError, match="16 bytes"):
            CardEntry(bytes(index), bytes(key), clearance=clearance)
