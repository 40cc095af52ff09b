"""What head office answers and publishes: welcomes, states, pages of members, documents, signed heads."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.exc import OperationalError

from agent.domain.identity import IndexKind, blind_index
from headoffice.documents import HEAD_RENEW_MS, publish_rules
from headoffice.errors import DatabaseProblem, DocumentProblem, ImportProblem, KeyProblem, RulesDoubtful
from headoffice.hello import answer_hello, take_state
from headoffice.ingest import ingest
from headoffice.keys import INDEX_FILE, PUBLIC_FILE, SIGNING_FILE, Keys, load_keys, make_keys
from headoffice.members import import_file, remove_member
from headoffice.replay import replay
from headoffice.requests import answer_request
from headoffice.service import MAX_DELTA_OPS, Service
from headoffice.store import presence, reports
from headoffice.store.database import SCHEMA_VERSION, Database
from headoffice.store.schema import metadata
from headoffice.store.verify import verify
from sync.envelope import decode_as
from sync.group import MAX_PAGE_BYTES, HeadClaims, MembersAnswer, MembersDelta, read_document
from sync.messages import Hello, NozzleEnd, StreamPosition, Welcome, hash_0
from sync.notices import Head, HoState, Req, Res, State
from sync.signing import PinnedKeys, open_signed
from tests.support import template
from tests.support.headoffice_databases import BOTH, opened
from tests.support.headoffice_station import (
    INCARNATION,
    INSTALL,
    NOW_MS,
    STATION,
    TIME,
    Stream,
    answered,
    event,
    hello,
    sale_data,
    up_topic,
)

MINUTE_MS = 60_000
RULES = {
    "version": 1,
    "effective_from": "2026-11-01T00:00:00+08:00",
    "program": {"currency": "CNY", "exponent": 2},
    "offer": [],
}
PHONE = "13812345678"


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    yield from opened(request, tmp_path)


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Iterator[Database]:
    opened = template.head_office(tmp_path / "hq.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make_keys(tmp_path / "keys")


def greet(database: Database, message: Hello, now_ms: int = NOW_MS) -> Welcome:
    return answered(answer_hello(database, up_topic("up/hello"), event(message), now_ms))


def two_sales() -> Stream:
    stream = Stream().begin()
    stream.add("fc.sale.v1", sale_data(1, "0:0", "0:1000"))
    stream.add("fc.sale.v1", sale_data(2, "0:1000", "0:12000"))
    return stream


def test_a_hello_of_a_new_station_is_welcomed_at_zero(database: Database) -> None:
    """[W-32] Nothing is known: cum 0 and hash_0 on every stream, no reincarnation."""
    welcome = greet(database, hello(connect_n=7))
    assert (welcome.for_install_id, welcome.for_connect_n) == (INSTALL, 7)
    assert {name: at.cum for name, at in welcome.streams.items()} == {"L": 0, "A": 0, "T": 0}
    assert welcome.streams["L"].head_hash == hash_0(STATION, INCARNATION, "L")
    assert (welcome.reincarnate, welcome.fenced, welcome.nozzles) == (False, False, ())


def test_a_welcome_names_the_cursor_and_the_greatest_end_of_every_nozzle(database: Database) -> None:
    """[W-32] Ends compare as numbers of (epoch, raw), not as text."""
    stream = two_sales()
    ingest(database, stream.topic, stream.payload(1), NOW_MS)
    stream.add("fc.sale.v1", sale_data(3, "0:12000", "0:13000"))
    welcome = greet(database, hello(stream))
    assert (welcome.streams["L"].cum, welcome.streams["L"].head_hash) == (3, stream.hashes[3])
    assert welcome.nozzles == (NozzleEnd(1, 1, "0:12000"),)
    assert not welcome.reincarnate


def test_a_station_behind_head_office_must_reincarnate(database: Database) -> None:
    """[W-32] last_seq below cum: this PC was restored from a backup."""
    stream = two_sales()
    ingest(database, stream.topic, stream.payload(1), NOW_MS)
    welcome = greet(database, hello(Stream(raws=stream.raws[:2])))
    assert (welcome.reincarnate, welcome.streams["L"].fork) == (True, False)


def test_a_station_with_another_hash_must_reincarnate(database: Database) -> None:
    """[W-32] The hash at last_seq differs: fork true."""
    stream = two_sales()
    ingest(database, stream.topic, stream.payload(1), NOW_MS)
    welcome = greet(database, hello(L=StreamPosition(3, b"\1" * 32, 0)))
    assert (welcome.reincarnate, welcome.streams["L"].fork) == (True, True)


def test_a_hello_of_a_wrong_shard_or_source_is_not_answered(database: Database) -> None:
    """[W-20] [W-60] An alert is raised instead."""
    assert answer_hello(database, up_topic("up/hello", "OTHER"), event(hello()), NOW_MS) is None
    (row,) = reports.own_alerts(database, station="OTHER", limit=9)
    assert row["alert"] == "wrong_source"


def test_a_clone_of_a_live_installation_is_fenced_until_an_operator_lifts_it(database: Database) -> None:
    """[W-33] The install first seen keeps redemption; the other is fenced, also in its new incarnation."""
    assert not greet(database, hello()).fenced
    clone = hello(install_id="clone")
    assert greet(database, clone, NOW_MS + MINUTE_MS).fenced
    assert not greet(database, hello(), NOW_MS + 2 * MINUTE_MS).fenced
    moved = hello(Stream(incarnation="e" * 32), install_id="clone")
    assert greet(database, moved, NOW_MS + 60 * MINUTE_MS).fenced
    with database.write() as connection:
        assert presence.lift_fence(connection, STATION, "clone", NOW_MS)
    assert not greet(database, moved, NOW_MS + 61 * MINUTE_MS).fenced


def test_a_replaced_pc_is_not_a_clone_once_the_old_one_is_silent(database: Database) -> None:
    """[W-33] Live means heard from within the last 10 minutes."""
    greet(database, hello())
    assert not greet(database, hello(install_id="new-pc"), NOW_MS + 11 * MINUTE_MS).fenced


def test_a_copied_station_is_fenced_although_its_incarnation_is_its_own(database: Database) -> None:
    """[W-33] A copy on other hardware says hello in a new incarnation: it is fenced all the same, and an alert says so."""
    greet(database, hello())
    copy = hello(Stream(incarnation="e" * 32), install_id="copy")
    welcome = greet(database, copy, NOW_MS + MINUTE_MS)
    assert (welcome.fenced, welcome.reincarnate) == (True, False)
    (row,) = reports.own_alerts(database, station=STATION, limit=9)
    assert (row["alert"], row["subject"]) == ("clone", "copy")


def test_a_fenced_installation_must_leave_the_chain_of_the_other(database: Database) -> None:
    """[W-33] A copy that says hello in the incarnation of the first is asked for a new one, the first is not."""
    greet(database, hello())
    assert greet(database, hello(install_id="copy"), NOW_MS + 1).reincarnate
    assert not greet(database, hello(), NOW_MS + 2).reincarnate


def test_a_retired_pc_that_comes_back_is_the_clone(database: Database) -> None:
    """[W-33] Once another installation has taken over from a silent one, that one does not take redemption back."""
    greet(database, hello())
    replaced = hello(Stream(incarnation="e" * 32), install_id="new-pc")
    assert not greet(database, replaced, NOW_MS + 11 * MINUTE_MS).fenced
    assert greet(database, hello(), NOW_MS + 12 * MINUTE_MS).fenced
    assert not greet(database, replaced, NOW_MS + 13 * MINUTE_MS).fenced


def test_the_installation_let_in_by_an_operator_is_the_one_that_redeems(database: Database) -> None:
    """[W-33] Never two at once: where the other one still runs, it is fenced at its next hello."""
    greet(database, hello())
    copy = hello(Stream(incarnation="e" * 32), install_id="copy")
    greet(database, copy, NOW_MS + MINUTE_MS)
    with database.write() as connection:
        assert presence.lift_fence(connection, STATION, "copy", NOW_MS + 2 * MINUTE_MS)
    assert not greet(database, copy, NOW_MS + 3 * MINUTE_MS).fenced
    assert greet(database, hello(), NOW_MS + 4 * MINUTE_MS).fenced


def test_an_older_state_of_the_same_incarnation_is_ignored(database: Database) -> None:
    """A lower connect_n within one (install_id, incarnation) is old news."""
    for online, connect_n in ((True, 5), (False, 4)):
        state = State(online, "connected" if online else "lost", INSTALL, INCARNATION, connect_n, TIME)
        take_state(database, up_topic("up/state"), event(state), NOW_MS)
    (row,) = reports.stations(database)
    assert (row["state"]["online"], row["state"]["connect_n"]) == (True, 5)


def members_file(folder: Path, count: int, **more: object) -> Path:
    path = folder / "members.jsonl"
    rows = [{"member": f"{number:016x}", "points": number, "tags": ["vip"], **more} for number in range(1, count + 1)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def ask(database: Database, kind: str, body: dict[str, Any], req_id: str = "r1") -> Res:
    return answered(answer_request(database, up_topic("up/req"), event(Req(req_id, kind, body)), NOW_MS))


def test_an_import_keeps_indexes_and_masks_and_no_plain_number(on_sqlite: Database, keys: Keys, tmp_path: Path) -> None:
    """[W-40] [W-41] A CSV row becomes keyed indexes, a mask and an op; the phone is nowhere in the database."""
    path = tmp_path / "m.csv"
    path.write_text(
        "member,phone,cards,plates,name,tier,tags,points,expires_on,birthday_md\n"
        f"567014f1b3c2a9de,{PHONE},9156000012345677;9156000012345678,粤B12345,张三丰,gold,vip;night,1200,2027-12-31,02-29\n",
        encoding="utf-8",
    )
    done = import_file(on_sqlite, path, keys.index_key)
    assert (done.read, done.changed, done.last_op) == (1, 1, 1)
    page = MembersAnswer.from_body(ask(on_sqlite, "members", {"have_op": 0}).body)
    (op,) = page.ops
    assert blind_index(keys.index_key, IndexKind.PHONE, f"+86{PHONE}").hex() in op["indexes"]
    assert (len(op["indexes"]), op["mask"], op["tags"]) == (4, "张** 138****5678", ["night", "vip"])
    assert op["lots"] == [{"points": 1200, "usable_from": None, "expires_on": "2027-12-31"}]
    stored = b"".join(part.read_bytes() for part in tmp_path.glob("hq.sqlite*"))
    assert not any(plain in stored for plain in (PHONE.encode(), b"9156000012345677", "张三".encode(), b"12345"))


def test_importing_the_same_file_again_makes_no_new_op(database: Database, keys: Keys, tmp_path: Path) -> None:
    """[W-40] The import is idempotent; a changed member gets the next global op id."""
    import_file(database, members_file(tmp_path, 3), keys.index_key)
    assert import_file(database, members_file(tmp_path, 3), keys.index_key).changed == 0
    changed = import_file(database, members_file(tmp_path, 4), keys.index_key)
    assert (changed.changed, changed.last_op) == (1, 4)


@pytest.mark.parametrize(
    "line",
    [
        '{"member": "XYZ"}',
        '{"member": "567014f1b3c2a9de", "phone": "12"}',
        '{"member": "567014f1b3c2a9de", "points": -1}',
        '{"member": "567014f1b3c2a9de", "points": 1.5}',
        '{"member": "567014f1b3c2a9de", "birthday_md": "1990-01-01"}',
        '{"member": "567014f1b3c2a9de", "id_card": "1"}',
        '{"member": "567014f1b3c2a9de", "phone": "13812345678"}\n{"member": "667014f1b3c2a9de", "phone": "13812345678"}',
        "not json",
    ],
)
def test_a_wrong_line_refuses_the_whole_file(database: Database, keys: Keys, tmp_path: Path, line: str) -> None:
    """All or nothing, and the error names the line but not the number in it."""
    path = tmp_path / "m.jsonl"
    path.write_text('{"member": "0000000000000001"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(ImportProblem, match=r"line [23]") as caught:
        import_file(database, path, keys.index_key)
    assert PHONE not in str(caught.value)
    assert reports.totals(database)["members"] == 0


def test_pages_of_members_are_small_and_follow_without_a_hole(database: Database, keys: Keys, tmp_path: Path) -> None:
    """[W-40] At most 48 KiB each; asking again with the last op reaches the end."""
    import_file(database, members_file(tmp_path, 700), keys.index_key)
    have_op, seen, pages, more = 0, [], 0, True
    while more:
        res = ask(database, "members", {"have_op": have_op}, f"r{pages}")
        assert len(event(res)) <= MAX_PAGE_BYTES
        page = MembersAnswer.from_body(res.body)
        seen += [op["op"] for op in page.ops]
        have_op, pages, more = seen[-1], pages + 1, page.more
    assert seen == list(range(1, 701))
    assert pages > 2


def test_a_removed_member_travels_as_a_deletion_and_leaves_nothing_behind(
    database: Database, keys: Keys, tmp_path: Path
) -> None:
    """[W-40] DEL op; older ops of the member are erased, so a station that is behind never receives them."""
    import_file(database, members_file(tmp_path, 2), keys.index_key)
    assert remove_member(database, f"{1:016x}")
    assert not remove_member(database, f"{1:016x}")
    page = MembersAnswer.from_body(ask(database, "members", {"have_op": 0}).body)
    assert [(op["op"], op["kind"], op["member"][-1]) for op in page.ops] == [(2, "PUT", "2"), (3, "DEL", "1")]


def test_a_repeated_request_gets_the_first_answer(database: Database, keys: Keys, tmp_path: Path) -> None:
    """A repeat of req_id is answered as before, whatever changed since; another id sees the news."""
    first = ask(database, "members", {"have_op": 0})
    import_file(database, members_file(tmp_path, 1), keys.index_key)
    assert ask(database, "members", {"have_op": 0}) == first
    assert ask(database, "members", {"have_op": 0}, "r2") != first


def test_what_is_not_offered_or_not_understood_is_said(database: Database) -> None:
    """An unknown document, a kind that this head office does not offer, a wrong have_op."""
    assert ask(database, "document", {"hash": "00" * 32}, "a").reason == "unknown_document"
    assert ask(database, "lease", {}, "b").reason == "bad_body"
    assert ask(database, "members", {"have_op": "x"}, "c").status == "error"


def rules_file(folder: Path, **changes: Any) -> Path:
    path = folder / "rules.json"
    path.write_text(json.dumps({**RULES, **changes}), encoding="utf-8")
    return path


def test_a_published_rule_set_is_fetched_by_the_hash_in_the_signed_head(
    database: Database, keys: Keys, tmp_path: Path
) -> None:
    """[W-42] The head is signed with the pinned key and names version, hash and effective time."""
    document = publish_rules(database, rules_file(tmp_path), NOW_MS)
    service = Service(database, keys, "main")
    head = next(out for out in service.greeting(NOW_MS) if out.topic == "fc/v1/g/main/head")
    assert head.retain
    pinned = PinnedKeys.from_jwks((tmp_path / "keys" / PUBLIC_FILE).read_text())
    claims = HeadClaims.from_claims(open_signed(decode_as(head.payload, Head)[1].jws, pinned, NOW_MS + 1))
    assert claims.rules is not None
    assert (claims.rules.version, claims.rules.effective_from) == (1, "2026-10-31T16:00:00.000Z")
    body = ask(database, "document", {"hash": claims.rules.hash.hex()}).body
    assert json.loads(read_document(body, claims.rules.hash)) == RULES
    assert document.hash == claims.rules.hash.hex()


def test_versions_of_rule_sets_never_go_back(database: Database, tmp_path: Path) -> None:
    """[W-42] The same content again is harmless; other content needs a higher version."""
    publish_rules(database, rules_file(tmp_path, version=2), NOW_MS)
    assert publish_rules(database, rules_file(tmp_path, version=2), NOW_MS).version == 2
    for version in (1, 2):
        with pytest.raises(DocumentProblem, match="published already"):
            publish_rules(database, rules_file(tmp_path, version=version, tier=[]), NOW_MS)


def test_a_rule_set_that_the_engine_refuses_is_not_published(database: Database, tmp_path: Path) -> None:
    """Every fault is named and nothing is stored."""
    with pytest.raises(DocumentProblem, match="colour"):
        publish_rules(database, rules_file(tmp_path, colour="red"), NOW_MS)
    assert publish_rules(database, rules_file(tmp_path), NOW_MS).version == 1


def test_a_questionable_rule_set_is_published_when_somebody_accepts_it(database: Database, tmp_path: Path) -> None:
    """What never applies is told before it is handed out; accepted, or clean, it is."""
    idle = {"id": "idle", "kind": "AMOUNT_OFF", "off_minor": 100, "when": {"holdout_bp": 10_000}}
    with pytest.raises(RulesDoubtful, match=r"offer\[0\].when.holdout_bp \(idle\): NEVER_APPLIES") as caught:
        publish_rules(database, rules_file(tmp_path, offer=[idle]), NOW_MS)
    assert caught.value.exit_code == 1
    assert "--accept-warnings" in caught.value.hint
    assert publish_rules(database, rules_file(tmp_path, version=1), NOW_MS).version == 1
    doubtful = rules_file(tmp_path, version=2, offer=[idle])
    assert publish_rules(database, doubtful, NOW_MS, accept_warnings=True).version == 2
    assert publish_rules(database, doubtful, NOW_MS).version == 2


def test_a_new_head_is_signed_when_something_changed_or_a_day_passed(
    database: Database, keys: Keys, tmp_path: Path
) -> None:
    """[W-42] Versions of heads only rise; an unchanged head is not published again."""
    service = Service(database, keys, "main")
    service.greeting(NOW_MS)
    assert service.tick(NOW_MS + 1_000) == []
    publish_rules(database, rules_file(tmp_path), NOW_MS)
    (changed,) = service.tick(NOW_MS + 2_000)
    (renewed,) = service.tick(NOW_MS + 2_000 + HEAD_RENEW_MS)
    pinned = PinnedKeys.from_jwks((tmp_path / "keys" / PUBLIC_FILE).read_text())
    versions = [open_signed(decode_as(out.payload, Head)[1].jws, pinned, None)["version"] for out in (changed, renewed)]
    assert versions == [2, 3]


def test_member_changes_are_broadcast_as_deltas_and_a_large_import_only_by_the_head(
    database: Database, keys: Keys, tmp_path: Path
) -> None:
    """[W-40] A delta says after which op it follows; stations page a large import at their own pace."""
    service = Service(database, keys, "main")
    service.greeting(NOW_MS)
    import_file(database, members_file(tmp_path, 3), keys.index_key)
    delta, head = service.tick(NOW_MS)
    changes = decode_as(delta.payload, MembersDelta)[1]
    assert (changes.from_op, [op["op"] for op in changes.ops]) == (0, [1, 2, 3])
    assert head.topic == "fc/v1/g/main/head"
    import_file(database, members_file(tmp_path, MAX_DELTA_OPS + 10), keys.index_key)
    assert [out.topic for out in service.tick(NOW_MS)] == ["fc/v1/g/main/head"]


def test_the_greeting_says_that_head_office_is_there(database: Database, keys: Keys) -> None:
    """The retained state is online after every connect."""
    out = Service(database, keys, "main").greeting(NOW_MS)[0]
    assert (out.topic, out.retain, decode_as(out.payload, HoState)[1].online) == ("fc/v1/ho/state", True, True)


def test_a_topic_outside_the_contract_is_ignored_and_counted(database: Database, keys: Keys) -> None:
    """[W-60] It raises one alert however often it comes."""
    service = Service(database, keys, "main")
    for _ in range(3):
        assert service.take("fc/v1/x/s/A/up/l", b"", NOW_MS) == []
    assert reports.own_alerts(database, station="", limit=9)[0]["count"] == 3


def test_private_keys_are_private_and_never_replaced(tmp_path: Path) -> None:
    """Mode 0600; a second `keys` returns the same; a readable key is refused with what to do."""
    made = make_keys(tmp_path)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in (SIGNING_FILE, INDEX_FILE)} == {0o600}
    assert make_keys(tmp_path).index_key == made.index_key
    (tmp_path / INDEX_FILE).chmod(0o644)
    with pytest.raises(KeyProblem, match="read by others"):
        load_keys(tmp_path)


def test_the_migrations_build_exactly_the_tables_of_the_schema(database: Database) -> None:
    """Alembic finds no difference between the migrated database and the schema, and its head is the version we name."""
    with database.read() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == SCHEMA_VERSION
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_current_database_starts_without_the_migration_tool(on_sqlite: Database, tmp_path: Path) -> None:
    """Loading it would double the start of every `serve`."""
    program = (
        "import sys\nfrom headoffice.store.database import Database\n"
        f"Database({str(tmp_path / 'hq.sqlite')!r}, migrate=True).close()\nprint('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_every_connection_keeps_what_was_committed(on_sqlite: Database) -> None:
    """WAL, synchronous FULL and foreign keys on the writer; the reader cannot write."""
    with on_sqlite.write() as connection:
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
        assert (found, connection.exec_driver_sql("PRAGMA foreign_keys").scalar()) == (["wal", 2], 1)
    with pytest.raises(OperationalError, match="readonly"), on_sqlite.read() as connection:
        connection.exec_driver_sql("DELETE FROM station")


def test_a_database_of_newer_software_is_refused_and_left_alone(on_sqlite: Database, tmp_path: Path) -> None:
    """It is opened neither for reading nor for migrating."""
    with on_sqlite.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseProblem, match="9999"):
        Database(tmp_path / "hq.sqlite", migrate=True)


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        (
            "UPDATE record_bytes SET raw = (SELECT raw FROM record_bytes WHERE number = 1) WHERE number = 2",
            "their hash",
        ),
        ("UPDATE sale SET volume_ml = 1 WHERE record = 2", "its record says"),
        ("DELETE FROM record_hash WHERE seq = 2", "is missing"),
        ("UPDATE cursor SET cum = 9", "the cursor says"),
        ("UPDATE sale_interval SET start_key = '0000000000000000000:0000000000000000500' WHERE record = 3", "overlap"),
    ],
)
def test_verify_finds_what_was_changed_behind_its_back(database: Database, damage: str, finding: str) -> None:
    """A flipped value passes SQLite's own check; the chain and the sums show it."""
    stream = two_sales()
    ingest(database, stream.topic, stream.payload(1), NOW_MS)
    assert verify(database).findings == ()
    with database.write() as connection:
        connection.exec_driver_sql(damage)
    assert any(finding in text for text in verify(database).findings)


def test_replay_makes_a_fact_of_what_is_understood_now(database: Database) -> None:
    """[W-05] [W-23] A dead letter keeps its place in the chain when it becomes a fact after an upgrade."""
    stream = two_sales()
    stream.add("fc.unheard.v1", {})
    stream.add("fc.sale.v1", sale_data(4, "0:500", "0:600"))
    ingest(database, stream.topic, stream.payload(1), NOW_MS)
    assert replay(database, NOW_MS).still_dead == 2
    with database.write() as connection:
        connection.exec_driver_sql("DELETE FROM sale_interval WHERE record = 2")
    done = replay(database, NOW_MS, reason="overlap")
    assert (done.facts, done.duplicates, done.still_dead) == (1, 0, 0)
    totals = reports.totals(database)
    assert (totals["sales"], totals["dead_letters"]) == (3, 1)
    assert verify(database).findings == ()
    assert replay(database, NOW_MS, reason="overlap").facts == 0
