"""Members come down in buckets: the form of a bucket, what a station does with the manifest, the nightly comparison."""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.domain.identity import IndexKind, blind_index
from agent.inbox import AuditDue
from agent.pipeline.caching import DIFFER, GROUP, REFUSED
from headoffice import requests_members, rotation
from headoffice.members import remove_member
from headoffice.store import members
from sync import buckets as buckets_module
from sync import ports
from sync.buckets import (
    BucketError,
    Manifest,
    bucket_of,
    columns,
    pack,
    read,
    row_of,
    rows_of,
    sum_of,
)
from tests.bench import p3_members_down as weighed
from tests.support.members_link import MembersLink, name_of, phone_of
from tests.support.quiet import quiet_log

FAR = 5
"""Changes from which a station of these tests is far behind."""

PUT: dict[str, Any] = {
    "member": "567014f1b3c2a9de",
    "indexes": ["74becd2453193cb138216a722dd3f9af", "9c093c043490f663652416f95a4dceda"],
    "tier": "gold",
    "growth": 1200,
    "tags": ["taxi"],
    "lots": [{"points": 300, "usable_from": None, "expires_on": "2027-12-31"}],
    "mask": "王** 138****5678",
    "birthday_md": "05-01",
    "flags": [],
}


ELSEWHERE = {"another": {"incarnation": "0" * 32, "seq": 7}}
"""The records of another station that a balance includes."""


@pytest.fixture(autouse=True, scope="module")
def _quiet_log() -> Iterator[None]:
    with quiet_log():
        yield


@pytest.fixture
def link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MembersLink]:
    monkeypatch.setattr(requests_members, "NEAR_OPS", FAR)
    made = MembersLink(tmp_path)
    yield made
    made.close()


def put(number: int, **more: Any) -> dict[str, Any]:
    return {**PUT, "member": f"{number:016x}", "indexes": [f"{number:032x}"], **more}


def alerts(link: MembersLink, name: str) -> int:
    return int(link.till.one(f"SELECT count(*) FROM alert WHERE name = '{name}' AND cleared_ms IS NULL"))


def audits(link: MembersLink) -> list[dict[str, Any]]:
    return [record for record in link.till.records("fc.audit.v1") if record["action"] == "members_audited"]


def packed(*ops: dict[str, Any], merged: dict[str, str] | None = None) -> bytes:
    rows = rows_of(ops)
    return pack(len(rows), columns(rows, merged))


def test_a_bucket_holds_what_was_put_into_it() -> None:
    """[W-40] [W-41] Every member of a PUT that a station keeps comes out again, whatever its values."""
    odd = put(
        2**64 - 1,
        tier=None,
        growth=-3,
        tags=["b", "a"],
        lots=[
            {"points": -5, "usable_from": "2026-01-01", "expires_on": None, "lot": "L1"},
            {"points": 2**40, "usable_from": None, "expires_on": None},
        ],
        mask="王*",
        birthday_md="summer",
        flags=["first_fill_used"],
        tank_l=55,
        card_key="ck1.abc",
        as_of={"incarnation": "0" * 32, "seq": 7},
        indexes=[],
    )
    ops = (PUT, put(1), put(2, indexes=[f"{2:032x}"], indexes_next=[f"{3:032x}"], mask=None, lots=[]), odd)
    content = read(packed(*ops, merged={"00000000000000aa": "00000000000000ab"}))
    assert list(content.rows) == sorted(map(row_of, ops))
    assert content.merged == {"00000000000000aa": "00000000000000ab"}
    rows = rows_of(ops)
    assert content.sum == sum_of(len(rows), columns(rows))


def test_the_sum_knows_every_value_but_what_a_station_counts_on() -> None:
    """[W-40] Another tier, mask, lot or index is another sum; another growth, order of tags or card key is not."""
    plain = read(packed(PUT)).sum
    changes: list[dict[str, Any]] = [
        {"tier": "silver"},
        {"mask": "王** 138****5679"},
        {"birthday_md": "05-02"},
        {"tags": []},
        {"flags": ["x"]},
        {"tank_l": 40},
        {"indexes": PUT["indexes"][:1]},
        {"lots": [{"points": 301, "usable_from": None, "expires_on": "2027-12-31"}]},
        {"lots": [{"points": 300, "usable_from": None, "expires_on": "2027-12-30"}]},
        {"member": "567014f1b3c2a9df"},
    ]
    assert plain not in [read(packed({**PUT, **change})).sum for change in changes]
    same = {"growth": 7, "card_key": "ck1.x", "indexes": PUT["indexes"][::-1], "as_of": {"seq": 1}}
    assert read(packed({**PUT, **same})).sum == plain


def test_a_million_members_fit_the_payload() -> None:
    """[W-41] One bucket of a million with phone and card: what its messages weigh, a million times, is below 48 MiB."""
    some = array("I", range(976))
    frame, _ = weighed.packed_of(some)
    sent = sum(map(len, weighed.messages(7, frame, 1_000_000)))
    assert sent / len(some) * 1_000_000 < 48 * 1024 * 1024


def test_the_bucket_of_the_page_is_right() -> None:
    """[W-40] docs/head-office.md tells one bucket byte by byte: it is read as told, and comes to the sum beside it."""
    page = (Path(__file__).parents[2] / "docs" / "head-office.md").read_text(encoding="utf-8")
    told = re.search(r"```\n(46434231[0-9a-f\n]+)```", page)
    assert told is not None
    content = read(bytes.fromhex(told[1].replace("\n", "")))
    assert list(content.rows) == [row_of(PUT)]
    assert content.sum.hex() in page
    assert (bucket_of(PUT["member"]), "is in bucket 989" in page) == (989, True)


@pytest.mark.long
def test_another_group_has_other_members(link: MembersLink) -> None:
    """[W-40] A station belongs to exactly one group: after a change nobody of the old one is known, and it asks anew."""
    link.import_members(range(60))
    link.settle()
    till = link.till
    till.do(lambda step: step.tx.memory.set_meta(GROUP, "another"))
    link.restart()
    assert link.found(7) is None
    assert till.one("SELECT count(*) FROM member WHERE known = 1") == 0
    assert link.outbox.member_op() == 0
    link.settle()
    assert link.found(7) == name_of(7)
    assert "members_forgotten" in [record["action"] for record in till.records("fc.audit.v1")]


def test_merged_ids_and_both_indexes_of_an_exchange_come_in_buckets(link: MembersLink) -> None:
    """[W-40] [W-44] Who is behind learns from a bucket whom an id was merged into, and recognises by either key."""
    station = f"{5:016x}"
    link.till.do(lambda step: step.tx.members.ensure(station))
    with link.database.write() as connection:
        members.merge(connection, station, name_of(3), members.next_op(connection))
    rotation.begin(link.folder / "keys")
    link.import_members(range(60), points=10)
    link.settle()
    told = link.till.do(lambda step: step.tx.members.by_id(station))
    assert (told["id"], told["base_points"]) == (name_of(3), 10)
    assert link.found(3) == name_of(3)
    digest = blind_index(link.keys.index_next or b"", IndexKind.PHONE, f"+86{phone_of(3)}")
    assert link.till.do(lambda step: step.tx.members.by_index(digest))["id"] == name_of(3)


def test_no_bytes_break_the_reading() -> None:
    """A bucket that is cut, changed or nonsense is refused, and nothing else ever happens."""
    whole = packed(*(put(number) for number in range(40)))
    for place in range(len(whole)):
        with pytest.raises(BucketError):
            read(whole[:place])
        hurt = bytearray(whole)
        hurt[place] ^= 0x41
        try:
            read(bytes(hurt))
        except BucketError:
            continue
    with pytest.raises(BucketError):
        read(whole + b"x")
    with pytest.raises(BucketError):
        Manifest.from_bytes(b"[]")


@pytest.mark.parametrize(
    "wrong",
    [{"tier": 5}, {"tags": (["x"],)}, {"tank_l": "55"}, {"mask": None}, {"lots": ((300, ["x"], None, None),)}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_bucket_says_nothing_of_another_kind(monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]) -> None:
    """A number for a text, a list in a list: refused while it is read, never given to the database."""
    monkeypatch.setattr(buckets_module, "_masks", lambda rows: ([json.dumps(row.mask) for row in rows], [0]))
    with pytest.raises(BucketError, match="not what stands here"):
        read(pack(1, columns([row_of(PUT)._replace(**wrong)])))


def test_an_empty_station_is_filled_by_buckets(link: MembersLink) -> None:
    """[W-40] Far behind: the manifest, then only the buckets in which there is somebody; every member is found."""
    link.import_members(range(60), tier="gold")
    link.turn_until(lambda: link.till.one("SELECT count(*) FROM member_index_waiting") > 0)
    link.settle()
    assert link.till.one("SELECT count(*) FROM member_index_waiting") == 0
    wanted = {bucket_of(name_of(number)) for number in range(60)}
    assert sorted(body["bucket"] for body in link.asked if "bucket" in body) == sorted(wanted)
    assert [body for body in link.asked if "have_op" in body] == [{"have_op": 0}, {"have_op": 0, "manifest": True}]
    assert [link.found(number) for number in range(60)] == [name_of(number) for number in range(60)]


def test_a_station_that_is_near_takes_pages(link: MembersLink) -> None:
    """[W-40] A few changes come one by one; no bucket is asked for."""
    link.import_members(range(FAR))
    link.settle()
    assert not any("bucket" in body for body in link.asked)
    assert link.found(0) == name_of(0)


def test_a_station_long_away_fetches_only_what_differs(link: MembersLink) -> None:
    """[W-40] Its own sums are compared with the manifest; deleted members go, the others stay where they are."""
    link.import_members(range(60))
    link.settle()
    link.asked.clear()
    link.import_members(range(7), tier="silver")
    assert remove_member(link.database, name_of(30))
    link.head()
    link.settle()
    wanted = {bucket_of(name_of(number)) for number in (*range(7), 30)}
    assert sorted(body["bucket"] for body in link.asked if "bucket" in body) == sorted(wanted)
    assert link.found(30) is None


def test_changes_go_on_while_buckets_are_missing(link: MembersLink) -> None:
    """[W-40] A change in a bucket that is there is stored at once; the one that is missing comes with its change."""
    link.import_members(range(60))
    link.turn_until(lambda: any("bucket" in body for body in link.asked))
    for _ in range(12):
        link.turn()
    there = next(number for number in range(60) if link.found(number) is not None)
    away = next(number for number in range(60) if link.found(number) is None)
    link.import_members([there, away], tier="gold")
    link.publish()
    link.settle()
    tiers = link.till.rows(f"SELECT tier FROM member WHERE id IN ('{name_of(there)}', '{name_of(away)}')")
    assert {row["tier"] for row in tiers} == {"gold"}


@pytest.mark.long
def test_the_night_finds_one_altered_row_and_repairs_its_bucket(link: MembersLink) -> None:
    """[W-40] A byte of one mask changed in the database: the audit names the bucket, an alert stands until it is there."""
    link.import_members(range(60))
    link.settle()
    link.asked.clear()
    link.till.do(
        lambda step: step.tx.connection.exec_driver_sql(
            "UPDATE member SET base_points = base_points, mask = 'x' WHERE id = ?", (name_of(7),)
        )
    )
    link.handle(AuditDue("2026-11-22"))
    link.turn_until(lambda: alerts(link, DIFFER) == 1)
    link.settle()
    assert [body["bucket"] for body in link.asked if "bucket" in body] == [bucket_of(name_of(7))]
    assert alerts(link, DIFFER) == 0
    (audit,) = audits(link)
    assert (audit["result"], "1 differ" in audit["reason"]) == ("failed", True)


@pytest.mark.parametrize(("as_of", "stands"), [(ELSEWHERE, 5_000), (None, 1_200)], ids=["included", "imported"])
def test_growth_counted_here_stands_where_head_office_tells_a_balance(
    link: MembersLink, as_of: dict[str, Any] | None, stands: int
) -> None:
    """[W-44] A bucket that is fetched again resets growth only of members whom no station has touched."""
    link.import_members(range(60))
    link.settle()
    number = bucket_of(name_of(7))
    (op,) = link.till.rows(f"SELECT op FROM member_bucket WHERE bucket = {number}")[0].values()
    counted = f"UPDATE member SET growth = 5000 WHERE id = '{name_of(7)}'"
    missing = f"UPDATE member_bucket SET need = op, sum = NULL WHERE bucket = {number}"
    link.till.do(lambda step: step.tx.connection.exec_driver_sql(counted))
    link.till.do(lambda step: step.tx.connection.exec_driver_sql(missing))
    link.handle(ports.BucketArrived(number, op, op, packed({**PUT, "member": name_of(7), "as_of": as_of})))
    (row,) = link.till.rows(f"SELECT growth, tier FROM member WHERE id = '{name_of(7)}'")
    assert (row["growth"], row["tier"]) == (stands, "gold")


def test_a_clean_night_is_on_record(link: MembersLink) -> None:
    """[W-40] 1,024 sums are compared and nothing is fetched."""
    link.import_members(range(20))
    link.settle()
    link.asked.clear()
    link.handle(AuditDue("2026-11-22"))
    link.turn_until(lambda: len(audits(link)) == 1)
    (audit,) = audits(link)
    assert (audit["result"], audit["reason"]) == ("done", "1024 buckets compared with the manifest, 0 differ")
    assert not any("bucket" in body for body in link.asked)


def test_a_bucket_that_is_not_what_was_signed_is_refused(link: MembersLink) -> None:
    """[W-42] Members of another bucket, or another sum than the manifest's: nothing is stored, and an alert says so."""
    link.import_members(range(60))
    link.turn_until(lambda: any("bucket" in body for body in link.asked))
    wanted = min(bucket_of(name_of(number)) for number in range(60))
    op, changed = link.till.rows(f"SELECT need, need AS changed FROM member_bucket WHERE bucket = {wanted}")[0].values()
    link.handle(ports.BucketArrived(wanted, op, changed, packed()))
    link.handle(ports.BucketArrived(wanted, op, changed, packed(put(1), put(2), put(3))))
    assert alerts(link, REFUSED) == 1
    assert link.till.one("SELECT count(*) FROM member WHERE known = 1") == 0
    link.settle()
    assert alerts(link, REFUSED) == 0
