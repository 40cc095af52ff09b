"""Many members over a real broker to an empty station that is killed on the way: it goes on where it was."""

from __future__ import annotations

import json
import signal
from contextlib import closing
from pathlib import Path

import pytest

from agent.domain.identity import IndexKind, blind_index
from agent.store.bucket_queries import count_cache
from headoffice.keys import load_keys
from headoffice.store import buckets, members
from headoffice.store.database import Database
from tests.support.processes import Site, eventually

MEMBERS = 20_000
KILLED_AFTER = 150
"""Buckets: enough to see that the next start does not begin anew."""

KILLED = (f"members.after_commit:{KILLED_AFTER}", f"members.before_commit:{KILLED_AFTER}")
WITHIN_S = 240


@pytest.mark.long
def test_members_reach_an_empty_station_that_is_killed_twice(tmp_path: Path) -> None:
    """[W-40] [W-41] SIGKILL after and within a bucket's transaction, the broker gone in between: all of them once."""
    with Site(tmp_path) as site:
        file = tmp_path / "members.csv"
        file.write_text("member,phone\n" + "".join(f"{n:016x},138{n:08d}\n" for n in range(MEMBERS)), encoding="utf-8")
        told = json.loads(site.hq_command("members", "import", str(file), "--json"))
        assert (told["read"], told["changed"]) == (MEMBERS, MEMBERS)
        site.start_hq()
        site.write_config(site.no_devices())
        for number, failpoint in enumerate(KILLED):
            agent = site.start_agent(failpoint=failpoint, ready=False)
            assert agent.wait(WITHIN_S, failpoint) == -signal.SIGKILL, agent.text[-3_000:]
            assert site.at_station("SELECT count(*) FROM member_bucket WHERE need IS NULL")[0][0] >= (
                KILLED_AFTER * (number + 1) - number
            )
        site.broker.kill()
        agent = site.start_agent()
        site.broker.start()
        eventually(lambda: site.ask("sync")["members"]["filling"] is None, WITHIN_S, "every bucket is there")
        assert site.ask("sync")["members"]["op"] == MEMBERS
        digest = blind_index(load_keys(site.hq / "keys").index_key, IndexKind.PHONE, "+8613800012345")
        row = "SELECT m.id FROM member_index i JOIN member m ON m.ref = i.member_ref WHERE i.digest = ?"
        assert site.at_station(row, digest[:10])[0][0] == f"{12_345:016x}"
        assert agent.end() == 0
        assert (tmp_path / "agent.log").read_text(encoding="utf-8").count("members are fetched in buckets") == 1
        here = count_cache(site.database, lambda: True)
        with closing(Database(site.hq / "database.sqlite")) as database, database.read() as connection:
            there = buckets.manifest(connection, members.last_op(connection))
        assert here is not None
        assert [digest for _, digest in here.buckets.values()] == [digest for _, digest in there.buckets]
        site.verify_station()
