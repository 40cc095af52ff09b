"""Head office's database on PostgreSQL: opened, migrated, refused, and what an operator reads where it cannot be used."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from headoffice.cli import entry
from headoffice.errors import DatabaseAway, DatabaseProblem
from headoffice.ingest import ingest
from headoffice.requests import answer_request
from headoffice.store import reports
from headoffice.store.database import SCHEMA_VERSION, Database, shown
from headoffice.store.schema import metadata
from headoffice.store.verify import verify
from sync.envelope import encode_batch
from sync.notices import Req
from tests.support.broker import free_port
from tests.support.headoffice_station import NOW_MS, TIME, Stream, answered, event, sale_data, up_topic
from tests.support.postgres import PASSWORD, USER, Postgres


def sales(count: int) -> Stream:
    stream = Stream().begin()
    for number in range(count):
        stream.add("fc.sale.v1", sale_data(number, f"0:{number * 1_000}", f"0:{(number + 1) * 1_000}"))
    return stream


def test_an_empty_database_is_migrated_and_takes_a_batch(postgres: Postgres) -> None:
    """[W-20] The migrations build exactly the tables of the schema, and a batch becomes facts as on SQLite."""
    stream = sales(3)
    with postgres.empty() as url, closing(Database(url, migrate=True)) as database:
        with database.read() as connection:
            assert MigrationContext.configure(connection).get_current_revision() == SCHEMA_VERSION
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        ack = answered(ingest(database, stream.topic, stream.payload(1), NOW_MS))
        assert (ack.cum, ack.head_hash) == (4, stream.hashes[4])
        assert reports.totals(database)["volume_ml"] == 30_000
        assert verify(database).findings == ()


def test_two_starts_at_once_migrate_once(postgres: Postgres) -> None:
    """The second waits for the first, finds everything done and goes on."""
    opened: list[str] = []

    def start(url: str) -> None:
        with closing(Database(url, migrate=True)) as database:
            opened.append(database.name)

    with postgres.empty() as url:
        threads = [threading.Thread(target=start, args=(url,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(opened) == 3


def test_a_migration_that_breaks_off_leaves_nothing_behind(postgres: Postgres) -> None:
    """All or nothing: a table in the way makes the whole migration undone, and it works once that is gone."""
    with postgres.empty() as url:
        postgres.execute(url, "CREATE TABLE head (in_the_way int)")
        with pytest.raises(DatabaseProblem):
            Database(url, migrate=True)
        tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
        assert postgres.execute(url, tables) == [(1,)]
        postgres.execute(url, "DROP TABLE head")
        Database(url, migrate=True).close()


def test_a_reader_cannot_write_and_sees_one_state(postgres_url: str) -> None:
    """What is committed while somebody reads shows at the next look."""
    with closing(Database(postgres_url)) as database:
        with pytest.raises(DatabaseProblem, match="only reads"), database.read() as connection:
            connection.execute(text("DELETE FROM station"))
        stream = sales(1)
        with database.read() as connection:
            before = connection.execute(text("SELECT count(*) FROM record")).scalar_one()
            ingest(database, stream.topic, stream.payload(1), NOW_MS)
            after = connection.execute(text("SELECT count(*) FROM record")).scalar_one()
        assert (before, after) == (0, 0)
        assert reports.totals(database)["records"] == 2


def test_a_database_that_may_forget_is_refused(postgres: Postgres) -> None:
    """As a pragma is on SQLite, what durability hangs on is read back on every connection."""
    with postgres.empty() as url:
        postgres.execute(url, f"ALTER DATABASE {url.rsplit('/', 1)[1]} SET synchronous_commit = off")
        with pytest.raises(DatabaseProblem, match="synchronous_commit=off"):
            Database(url, migrate=True)


Wrong = Callable[[Postgres], str]


@pytest.mark.parametrize(
    ("wrong", "code", "said"),
    [
        (lambda server: server.url("nowhere"), 2, "no such database"),
        (lambda server: server.url("postgres", password="wrong-horse"), 2, "does not let this user in"),
        (lambda server: server.url("postgres", user="nobody"), 2, "does not let this user in"),
        (lambda server: server.url("postgres"), 2, "schema none"),
        (lambda server: server.url("postgres").replace(str(server.port), str(free_port())), 3, "cannot be reached"),
        (lambda _server: f"mysql://{USER}:{PASSWORD}@127.0.0.1/x", 2, "neither a file nor a URL"),
        (lambda server: server.url("postgres").replace(str(server.port), "no-port"), 2, "neither a file nor a URL"),
    ],
    ids=["no database", "wrong password", "unknown user", "no tables", "no server", "another engine", "no port"],
)
def test_what_cannot_be_opened_is_told_in_two_lines_without_the_password(
    postgres: Postgres,
    wrong: Wrong,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 3 where the server is away, 2 where the words are wrong; nothing printed holds the password."""
    monkeypatch.setattr(sys, "argv", ["forecourt-hq", "totals", "--database", wrong(postgres)])
    with pytest.raises(SystemExit) as ended:
        entry()
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (code, "")
    assert said in told.err
    assert len(told.err.strip().splitlines()) == 2
    assert "horse" not in told.err


def test_without_the_driver_it_says_what_to_install(postgres_url: str) -> None:
    """A head office on SQLite needs no psycopg; one on PostgreSQL is told how to get it."""
    program = (
        "import sys\nsys.modules['psycopg'] = None\nfrom headoffice.errors import DatabaseProblem\n"
        "from headoffice.store.database import Database\n"
        f"try:\n    Database({postgres_url!r})\nexcept DatabaseProblem as error:\n    print(error, error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "psycopg, which is not installed pip install 'forecourt-edge-agent[postgresql]'" in done.stdout


def test_a_server_that_restarts_costs_nothing_that_was_acknowledged(postgres: Postgres, postgres_url: str) -> None:
    """[W-20] While it is down nothing is acknowledged; afterwards the same batch is taken on a new connection."""
    stream = sales(4)
    with closing(Database(postgres_url)) as database:
        assert answered(ingest(database, stream.topic, stream.payload(1, 2), NOW_MS)).cum == 2
        postgres.restart()
        assert answered(ingest(database, stream.topic, stream.payload(3, 4), NOW_MS)).cum == 4
        postgres.kill()
        with pytest.raises(DatabaseAway):
            ingest(database, stream.topic, stream.payload(5), NOW_MS)
        postgres.start()
        assert answered(ingest(database, stream.topic, stream.payload(3), NOW_MS)).cum == 5
        assert reports.totals(database)["sales"] == 4
        assert verify(database).findings == ()


def test_a_location_is_shown_without_its_password() -> None:
    """What `serve` and errors print: never a password, wherever in the URL it stands."""
    assert (
        shown(f"postgresql://{USER}:{PASSWORD}@db.example.net:5433/hq") == f"postgresql://{USER}@db.example.net:5433/hq"
    )
    assert shown(f"postgres://db/hq?user={USER}&password={PASSWORD}") == "postgresql://db/hq"
    assert shown("/var/lib/forecourt-hq/database.sqlite") == "/var/lib/forecourt-hq/database.sqlite"


def test_a_text_that_no_table_takes_blocks_nothing(postgres_url: str) -> None:
    """[W-23] A NUL or half a pair in what somebody sends is stored mended, answered, and never an error for ever."""
    hostile = "a\0b"
    with closing(Database(postgres_url)) as database:
        asked = event(Req(hostile, "document", {"hash": hostile}))
        answers = [answer_request(database, up_topic("up/req"), asked, NOW_MS) for _ in range(2)]
        assert [answered(answer).req_id for answer in answers] == [hostile] * 2
        stream = sales(1)
        wrong = encode_batch(stream.batch(1), source="/stations/\0\ud800", time=TIME)
        assert ingest(database, stream.topic, wrong, NOW_MS) is None
        assert [row["alert"] for row in reports.own_alerts(database, station=None, limit=9)] == ["wrong_source"]


@pytest.fixture
def hq(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """The command line on a PostgreSQL database with two sales and a dead letter; returns what it prints."""
    stream = sales(2)
    stream.add("fc.unheard.v1", {})
    with closing(Database(postgres_url)) as database:
        ingest(database, stream.topic, stream.payload(1), NOW_MS)
    monkeypatch.setenv("FORECOURT_HQ_DATABASE", postgres_url)
    monkeypatch.setenv("FORECOURT_HQ_STATE", str(tmp_path))

    def run(*words: str, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["forecourt-hq", *words])
        with pytest.raises(SystemExit) as ended:
            entry()
        told = capsys.readouterr()
        assert (ended.value.code, PASSWORD in told.out + told.err) == (code, False), told
        return told.out

    return run


def test_every_reading_command_answers_from_postgresql(hq: Callable[..., str]) -> None:
    """The same keys as on SQLite; the database is named by the environment and its password nowhere printed."""
    assert json.loads(hq("totals", "--json"))["volume_ml"] == 20_000
    assert [row["volume_ml"] for row in json.loads(hq("sales", "--json"))] == [10_000, 10_000]
    assert json.loads(hq("stations", "--json"))[0]["streams"][0]["cum"] == 4
    assert json.loads(hq("dead-letters", "list", "--json"))[0]["reason"] == "unknown_type"
    assert json.loads(hq("dead-letters", "replay", "--json"))["still_dead"] == 1
    assert json.loads(hq("alerts", "--json")) == json.loads(hq("shifts", "--json")) == []
    assert json.loads(hq("verify", "--json")) == {
        "verified": True,
        "chains": 1,
        "records": 4,
        "dropped": 0,
        "findings": [],
    }


@pytest.mark.long
def test_members_and_rules_are_handed_out_from_postgresql(hq: Callable[..., str], tmp_path: Path) -> None:
    """Imports, removals and rule sets are written there as on SQLite."""
    people, rules = tmp_path / "people.jsonl", tmp_path / "rules.json"
    people.write_text('{"member": "567014f1b3c2a9de", "phone": "13812345678", "name": "张三", "points": 5}\n')
    program = {"currency": "CNY", "exponent": 2}
    rules.write_text(json.dumps({"version": 4, "effective_from": "2026-11-01T00:00:00Z", "program": program}))
    hq("keys")
    assert json.loads(hq("members", "import", str(people), "--json"))["changed"] == 1
    assert json.loads(hq("members", "import", str(people), "--json"))["changed"] == 0
    assert json.loads(hq("rules", "publish", str(rules), "--json"))["version"] == 4
    assert json.loads(hq("totals", "--json"))["members"] == 1
    hq("members", "remove", "567014f1b3c2a9de")
    assert json.loads(hq("totals", "--json"))["members"] == 0
