"""Enrolled offline, merged by head office: both ends together. No point, open price or count is lost on the way."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.domain import link_records as links
from agent.domain.identity import AuthLevel, IndexKind, blind_index
from agent.inbox import FromHeadOffice
from agent.pipeline import scanning, wallets
from agent.pipeline.step import Step
from agent.store.loyalty_queries import PointsQueries
from agent.store.member_queries import MemberQueries
from agent.store.pseudonyms import PseudonymTable
from agent.store.verify import verify
from headoffice.errors import ImportProblem
from headoffice.ingest import keep
from headoffice.members import import_file, remove_member
from headoffice.store import enrolments, members
from headoffice.store.database import Database
from headoffice.store.facts import Arrival
from headoffice.store.sheet import Sheet
from headoffice.store.streams import StreamKey
from sync import ports
from sync.records import Accepted, check_record
from tests.support import template
from tests.support.head_office_says import INDEX_KEY
from tests.support.till import EARN, MEMBER, PAY, Till, lend

PHONE = "13812345678"
DIGEST = blind_index(INDEX_KEY, IndexKind.PHONE, "+86" + PHONE)


class Group:
    """Head office and tills that speak with it when ``sync`` says so."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database: Database = template.head_office(folder / "hq.db")
        self.tills: list[Till] = []
        self.sent: list[int] = []

    def till(self) -> Till:
        """A new station of the group, with rules that earn."""
        folder = self.folder / f"till-{len(self.tills)}"
        folder.mkdir()
        template.copy_to(folder)
        till = Till(folder, seed=len(self.tills) + 1)
        till.rules(EARN, PAY)
        self.tills.append(till)
        self.sent.append(0)
        return till

    def sync(self, *tills: Till) -> None:
        """These stations send what they have; then each hears every change, the newest ones twice."""
        for till in tills:
            self._send(till)
        with self.database.read() as connection:
            ops = tuple(op.data() for op in members.ops_after(connection, 0, 1_000_000))
        for till in tills:
            for told in (ops, ops[-2:]):
                till.pipeline.handle(FromHeadOffice(ports.MembersPage(0, told)))

    def _send(self, till: Till) -> None:
        number = self.tills.index(till)
        rows = till.rows(f"SELECT seq, body FROM journal WHERE stream = 'L' AND seq > {self.sent[number]} ORDER BY seq")
        key = StreamKey(f"SH-{number:04d}", till.store.incarnation, "L")
        for row in rows:
            found = check_record(row["body"], row["seq"], "L")
            assert isinstance(found, Accepted), found
            with self.database.write() as connection:
                sheet = Sheet(connection)
                keep(sheet, Arrival(key, found.record, row["body"], (), till.clock.wall_ms()))
                sheet.flush()
            self.sent[number] = row["seq"]

    def imported(self, *rows: dict[str, Any]) -> None:
        """Head office imports members."""
        file = self.folder / "members.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        import_file(self.database, file, INDEX_KEY)

    def listed(self) -> list[dict[str, Any]]:
        """Enrolments as head office lists them, oldest first."""
        with self.database.read() as connection:
            return enrolments.listed(connection, station=None, limit=9)[::-1]

    def close(self) -> list[Any]:
        """End; what verify finds anywhere."""
        found = [finding for till in self.tills for finding in verify(till.store.path).findings]
        for till in self.tills:
            till.close()
        self.database.close()
        return found


@pytest.fixture
def group() -> Iterator[Group]:
    """A group without stations; everything adds up afterwards."""
    folder = template.new_folder()
    group = Group(folder)
    yield group
    findings = group.close()
    shutil.rmtree(folder)
    assert findings == []


def enrolled(till: Till, **more: Any) -> str:
    """The member of the phone number; returns the id that the till uses now."""
    answer = till.ask("members.enrol", role="attendant", phone=PHONE, **more)
    return str(answer["data"]["member_id"])


def bought(till: Till, member: str, volume_ml: int = 20_000) -> str:
    """A paid sale of a member; 20 litres earn 157 points."""
    sale = till.fuelled(volume_ml, member=member)
    till.settle(sale)
    return sale


def balance(till: Till, member: str) -> int:
    """What the pipeline would let a member have, which is what people are shown."""
    ref = till.do(lambda step: step.tx.members.ensure(member))
    lots: int = sum(lot.points for lot in till.do(lambda step: wallets.lots_of(step, ref)))
    now = till.do(lambda step: step.tx.members.by_id(member))["id"]
    purse = PointsQueries(till.store.path).purse(now)
    assert (
        lots == sum(lot.points for lot in purse.lots) == MemberQueries(till.store.path).member(now)["points_available"]
    )
    return lots


def put(till: Till, member: str, *, seq: int | None, points: int, op: int) -> None:
    """Head office tells a balance that includes the till's records up to ``seq``."""
    as_of = None if seq is None else {"incarnation": till.store.incarnation, "seq": seq}
    till.member(member, op=op, lots=[(points, None, None, "HO")] if points else [], as_of=as_of)


def merge(till: Till, old: str, new: str, *, op: int) -> None:
    """Head office says that two ids are one member."""
    told = {"op": op, "kind": "ALIAS", "member": old, "to": new}
    till.pipeline.handle(FromHeadOffice(ports.MembersPage(0, (told,))))


def last_seq(till: Till) -> int:
    """The newest record of the ledger stream."""
    return int(till.one("SELECT seq FROM stream_head WHERE stream = 'L'"))


# --- head office ------------------------------------------------------------------------------------------------------


def test_a_new_member_is_confirmed_and_keeps_what_was_counted(group: Group) -> None:
    """[W-24] Nobody has the phone: the provisional id is the member's for good, with points and growth as they were."""
    till = group.till()
    member = enrolled(till)
    bought(till, member)
    group.sync(till)
    row = till.rows(f"SELECT id, mask, growth, visits, known, op FROM member WHERE id = '{member}'")[0]
    assert row == {"id": member, "mask": "138****5678", "growth": 15_700, "visits": 1, "known": 1, "op": 1}
    assert balance(till, member) == 157
    assert enrolled(till) == member
    assert [(one["member"], one["became"]) for one in group.listed()] == [(member, member)]


def test_two_stations_enrol_the_same_phone_offline(group: Group) -> None:
    """[W-40] Both ids become one at both ends, whichever came first; every station keeps the points it gave."""
    one, two = group.till(), group.till()
    first, second = enrolled(one), enrolled(two)
    sale = bought(two, second)
    bought(one, first, 10_000)
    assert first != second
    group.sync(one)
    group.sync(one, two)
    assert [one["became"] for one in group.listed()] == [first, first]
    assert (enrolled(one), enrolled(two)) == (first, first)
    assert (balance(one, first), balance(two, first), balance(two, second)) == (78, 157, 157)
    two.ask("sales.void", sale=sale, reason="wrong pump")
    assert balance(two, first) == 0


def test_a_member_whom_head_office_knew_gets_all_of_it(group: Group) -> None:
    """[W-44] Enrolled where the cache was behind: points of before and of here are one balance, refunds included."""
    till = group.till()
    member = enrolled(till)
    sale = bought(till, member)
    group.imported({"member": MEMBER, "phone": PHONE, "points": 500, "tier": "gold", "name": "张三"})
    group.sync(till)
    assert (enrolled(till), balance(till, MEMBER)) == (MEMBER, 657)
    shown = MemberQueries(till.store.path).member(MEMBER)
    assert (shown["merged"], shown["tier"], shown["visits"]) == ([member], "gold", 1)
    assert [one["sale"] for one in shown["fuellings"]] == [sale]
    till.ask("sales.void", sale=sale, reason="wrong pump")
    assert balance(till, MEMBER) == 500
    (record,) = till.records("fc.sale.corrected.v1")
    assert [leg["points"] for leg in record["postings"] if leg["account"] == "member:available"] == [-157]


def test_a_member_imported_later_takes_the_place_of_an_enrolled_one(group: Group) -> None:
    """The phone of a confirmed enrolment in a member file is no conflict: the enrolled id becomes the file's."""
    till = group.till()
    member = enrolled(till)
    bought(till, member)
    group.sync(till)
    group.imported({"member": MEMBER, "phone": PHONE, "points": 40})
    group.sync(till)
    assert (enrolled(till), balance(till, MEMBER)) == (MEMBER, 197)
    assert group.listed()[0]["became"] == MEMBER
    with pytest.raises(ImportProblem, match="merged into"):
        group.imported({"member": member, "points": 1})


def test_a_deleted_member_leaves_nothing_in_its_enrolment(group: Group) -> None:
    """Mask, indexes and the sealed number of an enrolment go with the member; the station forgets the mask as well."""
    till = group.till()
    member = enrolled(till, plate="粤B12345")
    group.sync(till)
    assert remove_member(group.database, member)
    group.sync(till)
    (row,) = group.listed()
    assert (row["mask"], row["contact"], row["became"]) == (None, None, member)
    assert till.rows("SELECT mask FROM enrolment UNION SELECT mask FROM member") == [{"mask": "****"}]
    assert till.one("SELECT count(*) FROM member_index") == 0


def test_the_phone_of_a_real_member_stays_a_conflict(group: Group) -> None:
    """Two imported members never become one by a file: a person must say which number is whose."""
    group.imported({"member": MEMBER, "phone": PHONE})
    with pytest.raises(ImportProblem, match="already belongs"):
        group.imported({"member": "00000000000000aa", "phone": PHONE})


# --- the station ------------------------------------------------------------------------------------------------------


def test_a_base_counts_a_merged_id_only_from_its_own_change_on(group: Group) -> None:
    """[W-44] A balance told before the merge lacks the other id's points, one told after it has them: each once."""
    till = group.till()
    old = enrolled(till)
    bought(till, old)
    bought(till, MEMBER)
    put(till, MEMBER, seq=last_seq(till), points=157, op=1)
    merge(till, old, MEMBER, op=2)
    assert balance(till, MEMBER) == 157 + 157
    put(till, MEMBER, seq=last_seq(till), points=314, op=3)
    assert balance(till, MEMBER) == 314
    bought(till, old)
    assert balance(till, MEMBER) == 314 + 157
    put(till, MEMBER, seq=None, points=0, op=4)
    assert balance(till, MEMBER) == 471


def test_two_bases_add_up_until_a_new_one_comes(group: Group) -> None:
    """[W-44] Both ids had a balance of head office with its own place in our journal; nothing counts twice."""
    till = group.till()
    old = enrolled(till)
    bought(till, old)
    put(till, old, seq=last_seq(till), points=157, op=1)
    put(till, MEMBER, seq=1, points=1_000, op=2)
    bought(till, old)
    bought(till, MEMBER)
    merge(till, old, MEMBER, op=3)
    merge(till, old, MEMBER, op=3)
    put(till, old, seq=None, points=9_999, op=4)
    assert balance(till, MEMBER) == 157 + 157 + 1_000 + 157


def test_chains_and_circles_of_merges_end_at_one_member(group: Group) -> None:
    """A became b, b became c, and c is never merged back into a: whoever names any of them means c."""
    till = group.till()
    old, last = enrolled(till), "00000000000000aa"
    bought(till, old)
    merge(till, old, MEMBER, op=1)
    bought(till, old)
    merge(till, MEMBER, last, op=2)
    merge(till, last, old, op=3)
    assert balance(till, last) == balance(till, old) == 314
    assert (
        till.one("SELECT count(*) FROM link l JOIN member m ON m.ref = l.member_ref WHERE m.id = '00000000000000aa'")
        == 2
    )


def test_money_given_back_on_both_sides_of_the_merge(group: Group) -> None:
    """A part refunded before, the rest after, and a link that had moved between both ids: the sale ends at nothing."""
    till = group.till()
    old = enrolled(till)
    sale = till.fuelled(member=MEMBER)
    till.settle(sale)
    till.ask("sales.link", sale=sale, phone=PHONE, reason="their own card")
    assert (balance(till, old), balance(till, MEMBER)) == (157, 0)
    other = bought(till, old)
    till.ask("sales.refund", sale=other, amount_minor=5_000, reason="spilled")
    merge(till, old, MEMBER, op=1)
    assert balance(till, MEMBER) == 157 + 107
    till.ask("sales.refund", sale=other, amount_minor=5_700, reason="spilled")
    till.ask("sales.refund", sale=sale, amount_minor=10_000, reason="spilled")
    assert balance(till, MEMBER) == 57 + 50
    till.ask("sales.void", sale=other, reason="wrong pump")
    till.ask("sales.void", sale=sale, reason="wrong pump")
    assert balance(till, MEMBER) == 0
    assert till.rows(f"SELECT visits, growth FROM member WHERE id = '{MEMBER}'") == [{"visits": 0, "growth": 0}]


def test_what_is_open_goes_on_as_the_others(group: Group) -> None:
    """A held price, a lease and the points in it: settled after the merge as they were promised before it."""
    till = group.till()
    old = enrolled(till)
    put(till, old, seq=None, points=1_000, op=1)
    lend(till, "L1", "points", 800, subject=old)
    sale = till.fuelled(member=old)
    assert till.quote(sale, points=500, lock=True)["points_redeemed"] == 500
    merge(till, old, MEMBER, op=2)
    lend(till, "L1", "points", 800, subject=old)
    till.restart()
    settled = till.settle(sale)
    assert (settled["points_redeemed"], settled["net_minor"]) == (500, 15_200)
    assert till.rows("SELECT subject, spent FROM lease") == [{"subject": MEMBER, "spent": 500}]
    assert balance(till, MEMBER) == 1_000 - 500 + 152
    again = till.fuelled(member=old)
    assert till.settle(again, points=300)["points_redeemed"] == 300
    assert balance(till, MEMBER) == 652 - 300 + 154
    assert till.ask("sales.void", sale=again, reason="wrong pump")["ok"]
    assert balance(till, MEMBER) == 652


def test_a_first_fill_is_used_under_either_id(group: Group) -> None:
    """Use counts follow: what was given once to the provisional id is not given again to the member."""
    till = group.till()
    first = {"id": "first", "kind": "BONUS_POINTS", "points": 50, "when": {"first_fill": True}}
    till.rules(EARN, first, version=2)
    old = enrolled(till)
    assert till.settle(till.fuelled(member=old))["points_earned"] == 207
    merge(till, old, MEMBER, op=1)
    assert till.settle(till.fuelled(member=MEMBER))["points_earned"] == 157


def test_an_open_scan_is_the_members(group: Group) -> None:
    """Somebody scanned under the old id waits for a pump: the link is made for the member, after a restart as well."""
    till = group.till()
    old = enrolled(till)

    def scan(step: Step) -> None:
        who = links.Credential(step.new_id(), "cli", "li", old, AuthLevel.FM1_DYNAMIC)
        scanning.tell(step, links.MemberScanned(who.scan_id, "cli", None, who))

    till.do(scan)
    merge(till, old, MEMBER, op=1)
    till.restart()
    waiting = till.pipeline._memory.desk.pending.values()
    assert [found.who.member for found in waiting] == [MEMBER]


def test_an_old_sale_of_a_merged_member_loses_its_name_and_no_point(group: Group) -> None:
    """When its term is over a sale names a pseudonym: points, debt and uses of both ids stay the member's."""
    till = group.till()
    till.rules(EARN, {"id": "third", "kind": "BONUS_POINTS", "points": 9, "when": {"visit_every": 3}}, version=2)
    old = enrolled(till)
    sales = [bought(till, old), bought(till, MEMBER)]
    merge(till, old, MEMBER, op=1)
    put(till, MEMBER, seq=last_seq(till), points=314, op=2)
    sales.append(bought(till, old))
    before = balance(till, MEMBER)

    def part(step: Step) -> None:
        table = PseudonymTable(step.tx.connection)
        for sale in sales:
            for ref in table.members_of(sale):
                table.part(sale, ref, table.pseudonym(ref, "2026-01", step.random_bits(63)))

    till.do(part)
    assert balance(till, MEMBER) == before == 314 + 157 + 9
    assert MemberQueries(till.store.path).member(MEMBER)["fuellings"] == []


def test_deleting_a_merged_id_deletes_nobody(group: Group) -> None:
    """DEL of an id that is another member's by now leaves that member alone; DEL of the member erases both."""
    till = group.till()
    old = enrolled(till)
    till.member(MEMBER, op=1, mask="张** 138****5678", tier="gold")
    merge(till, old, MEMBER, op=2)
    for op, gone, masks in ((3, old, {"张** 138****5678", "138****5678"}), (4, MEMBER, {"****"})):
        told = {"op": op, "kind": "DEL", "member": gone}
        till.pipeline.handle(FromHeadOffice(ports.MembersPage(0, (told,))))
        seen = till.rows(f"SELECT mask FROM member WHERE id = '{MEMBER}' UNION SELECT mask FROM enrolment")
        assert {row["mask"] for row in seen} == masks


def test_verify_names_what_a_merge_left_behind(group: Group) -> None:
    """A link, an index or a count that still names a merged id, and an enrolment without its record, are findings."""
    till = group.till()
    old = enrolled(till)
    bought(till, MEMBER)
    merge(till, old, MEMBER, op=1)
    copy = group.folder / "copy.db"
    wrong = {
        "UPDATE link SET member_ref = (SELECT ref FROM member_alias)": "1 x link",
        "UPDATE member_index SET member_ref = (SELECT ref FROM member_alias)": "1 x blind index",
        "UPDATE enrolment SET source = 'x'": "is in no journal record",
        "DELETE FROM enrolment": "the enrolment has no row",
    }
    for statement, problem in wrong.items():
        with closing(sqlite3.connect(till.store.path)) as db, closing(sqlite3.connect(copy)) as target:
            db.backup(target)
            target.execute(statement)
            target.commit()
        assert [found for found in verify(copy).findings if problem in found.problem], problem
