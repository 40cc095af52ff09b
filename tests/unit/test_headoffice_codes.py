"""Keys of member codes at head office: published, rotated and withdrawn, and what they sign is what a station believes."""

from __future__ import annotations

import csv
import json
import stat
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agent.crypto import verify_ed25519
from agent.domain.codes import fm1, issuing
from agent.domain.codes.fm1 import Instant
from agent.domain.codes.keyset import KeySet, Purpose, Status, check_successor, parse
from headoffice import codes as room
from headoffice.cli.app import app
from headoffice.documents import current_head
from headoffice.errors import DocumentProblem, KeyProblem, UsageError
from headoffice.keys import load_keys, make_keys
from headoffice.members import import_file
from headoffice.store import documents as store
from sync.signing import PinnedKeys, open_signed
from tests.support import template

MEMBER = "001620c519e2a71a"
NOW_MS = 1_795_305_600_000
NOW_S = NOW_MS // 1000
DAY_S = 86_400
SEED = bytes(range(1, 33))


class Office:
    """A head office with one member, keys in a folder and its own time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = folder / "keys"
        made = make_keys(self.keys)
        self.database = template.head_office(folder / "database.sqlite")
        members = folder / "members.csv"
        members.write_text(f"member\n{MEMBER}\n", encoding="utf-8")
        import_file(self.database, members, made.index_key)

    def cli(self, *words: str) -> Result:
        """Run a command."""
        return CliRunner().invoke(app, ["codes", *words, "--state", str(self.folder)])

    def said(self, *words: str) -> Any:
        """What a command that succeeds prints as JSON."""
        done = self.cli(*words, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def published(self) -> KeySet:
        """The set as a station reads it from the document."""
        with self.database.read() as connection:
            found = store.newest(connection, "keys")
        assert found is not None
        return parse(json.loads(found.body))


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    with closing(made.database):
        yield made


def judged(text: str, keys: KeySet, now_s: int) -> fm1.Outcome:
    """What a station with this set answers."""
    return fm1.check(text, keys, Instant(now_s), verify_ed25519).outcome


def test_a_published_key_signs_what_stations_accept(office: Office) -> None:
    """Key file, document and signed head: the head names the set, the set has the key, the key opens the code."""
    key = room.make_key(office.database, office.keys, Purpose.DYNAMIC, SEED, now_s=NOW_S)
    assert room.current(office.database).version == 0
    assert room.publish(office.database, office.keys, NOW_MS).version == 1
    assert room.publish(office.database, office.keys, NOW_MS).version == 1
    head = current_head(office.database, load_keys(office.keys), "main", NOW_MS)
    pinned = PinnedKeys.from_jwks((office.keys / "pinned.jwks.json").read_text(encoding="utf-8"))
    assert open_signed(head, pinned, NOW_MS)["keys"]["version"] == 1
    ends_s = [NOW_S + 120, NOW_S + 180]
    serials = iter((b"\x00\x00\x00\x01", b"\x00\x00\x00\x02"))
    made = room.issue(
        office.database, office.keys, Purpose.DYNAMIC, MEMBER, now_s=NOW_S, ends_s=ends_s, serial=lambda: next(serials)
    )
    keys = office.published()
    assert keys.keys[key.kid].public.hex() != SEED.hex()
    assert [claims.member_hex for claims, _ in made] == [MEMBER] * 2
    for (_, text), end_s in zip(made, ends_s, strict=True):
        assert judged(text, keys, end_s - 120) is fm1.Outcome.ACCEPTED
    assert judged(made[1][1], keys, NOW_S - 1) is fm1.Outcome.TTL_TOO_LONG


def test_a_rotated_key_begins_late_and_the_old_one_outlives_its_codes(office: Office) -> None:
    """45 days between publishing and signing, and as long between the last code and the end of the old key."""
    first = room.rotate(office.database, office.keys, Purpose.PRINTED, SEED, now_ms=NOW_MS)
    assert first.not_before_s == NOW_S
    before = office.published()
    second = room.rotate(office.database, office.keys, Purpose.PRINTED, SEED[::-1], now_ms=NOW_MS)
    keys = office.published()
    check_successor(before, keys)
    begins_s = NOW_S + 45 * DAY_S
    assert keys.keys[second.kid].not_before_s == begins_s
    assert keys.keys[first.kid].not_after_s == begins_s + 94_694_400 + 45 * DAY_S
    own = room.own_keys(office.keys)
    assert issuing.signing_key(own, keys, Purpose.PRINTED, begins_s - 1).kid == first.kid
    assert issuing.signing_key(own, keys, Purpose.PRINTED, begins_s).kid == second.kid
    last = room.issue(
        office.database,
        office.keys,
        Purpose.PRINTED,
        MEMBER,
        now_s=begins_s - 1,
        ends_s=[begins_s - 1 + 94_694_400],
        serial=lambda: bytes(8),
    )
    assert judged(last[0][1], keys, begins_s - 2 + 94_694_400) is fm1.Outcome.ACCEPTED


def test_revoked_keys_and_withdrawn_cards_are_refused_at_once(office: Office) -> None:
    """A revoked key opens nothing and signs nothing; of two cards only the withdrawn one is refused."""
    office.said("rotate", "--purpose", "dynamic")
    office.said("rotate", "--purpose", "printed")
    folder = office.folder / "cards"
    assert office.said("printed-cards", "--out", str(folder), "--member", MEMBER, "--member", MEMBER)["cards"] == 2
    with (folder / "cards.csv").open(encoding="utf-8") as file:
        lost, kept = csv.DictReader(file)
    code = office.said("issue", "--member", MEMBER)[0]
    phone, now_s = code["text"], int(datetime.fromisoformat(code["expires_at"]).timestamp()) - 120
    assert {judged(text, office.published(), now_s) for text in (lost["text"], kept["text"], phone)} == {"ACCEPTED"}
    assert office.said("revoke-card", lost["kid"], lost["serial"]) == {"version": 3, "keys": 2, "cards_withdrawn": 1}
    office.said("revoke", "01")
    keys = office.published()
    assert judged(lost["text"], keys, now_s) is fm1.Outcome.REVOKED
    assert judged(kept["text"], keys, now_s) is fm1.Outcome.ACCEPTED
    assert judged(phone, keys, now_s) is fm1.Outcome.KEY_NOT_VALID
    assert keys.keys[b"\x01"].status is Status.REVOKED
    assert office.cli("issue", "--member", MEMBER).exit_code != 0
    office.said("publish")
    assert office.published().keys[b"\x01"].status is Status.REVOKED
    listed = office.said("list")
    assert [(row["kid"], row["status"], row["cards_withdrawn"]) for row in listed] == [
        ("01", "revoked", 0),
        ("02", "active", 1),
    ]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in [*folder.iterdir(), *(office.keys / "codes").iterdir()]}
    assert modes == {0o600}
    assert {path.suffix for path in folder.iterdir()} == {".csv", ".svg"}


def test_a_kid_is_never_used_twice_and_test_keys_are_never_published(office: Office) -> None:
    """Neither a second file nor a published id; and the keys of printed vectors are refused whole."""
    room.make_key(office.database, office.keys, Purpose.DYNAMIC, SEED, now_s=NOW_S, kid=b"\x07")
    with pytest.raises(UsageError, match="in use"):
        room.make_key(office.database, office.keys, Purpose.DYNAMIC, SEED, now_s=NOW_S, kid=b"\x07")
    room.publish(office.database, office.keys, NOW_MS)
    (office.keys / "codes" / "07.json").unlink()
    with pytest.raises(UsageError, match="in use"):
        room.make_key(office.database, office.keys, Purpose.PRINTED, SEED, now_s=NOW_S, kid=b"\x07")
    room.make_key(office.database, office.keys, Purpose.DYNAMIC, bytes(range(32)), now_s=NOW_S)
    with pytest.raises(DocumentProblem, match="published test vectors"):
        room.publish(office.database, office.keys, NOW_MS)
    assert office.published().version == 1


def test_a_key_file_that_others_can_read_is_not_used(office: Office) -> None:
    """Whoever reads it signs as head office."""
    room.make_key(office.database, office.keys, Purpose.DYNAMIC, SEED, now_s=NOW_S)
    (office.keys / "codes" / "01.json").chmod(0o640)
    with pytest.raises(KeyProblem, match="can be read by others"):
        room.publish(office.database, office.keys, NOW_MS)


def test_a_set_that_no_message_can_carry_is_not_published(office: Office) -> None:
    """Too many withdrawn cards are said, with a way out; the set in force stays."""
    room.rotate(office.database, office.keys, Purpose.PRINTED, SEED, now_ms=NOW_MS)
    serials = (number.to_bytes(8, "big") for number in range(15_000))
    with pytest.raises(DocumentProblem, match="bytes") as refused:
        room.revoke_cards(office.database, b"\x01", serials, NOW_MS)
    assert "rotate" in refused.value.hint
    assert office.published().version == 1


@pytest.mark.parametrize(
    "words",
    [
        ("keygen", "--purpose", "any"),
        ("keygen", "--purpose", "dynamic", "--kid", "xy"),
        ("issue", "--member", MEMBER),
        ("issue", "--member", "ffff"),
        ("printed-cards", "--out", "cards"),
        ("printed-cards", "--out", "cards", "--members", "/nowhere"),
        ("revoke", "05"),
        ("revoke-card", "05", "0000beef"),
    ],
)
def test_a_wish_that_cannot_be_is_a_usage_error_with_a_hint(office: Office, words: tuple[str, ...]) -> None:
    """Nothing is published, and somebody is told what to do."""
    done = office.cli(*words)
    assert isinstance(done.exception, UsageError), done.output
    assert done.exception.hint
    assert room.current(office.database).version == 0
