"""A head office that nobody wrote with our code: MQTT.js and the pages for integrators. A real station delivers to it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.backlog import write_sales
from tests.support.processes import Site, eventually

ROOT = Path(__file__).resolve().parents[2]
SALES = 250
WITHIN_S = 60
WRITTEN = """
    SELECT body FROM journal JOIN stream_head USING (stream)
    WHERE stream = ? AND generation = (SELECT max(generation) FROM journal) AND journal.seq <= acked ORDER BY journal.seq
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A station without wires; its broker runs."""
    subprocess.run([ROOT / ".ci" / "peers"], check=True, timeout=170)
    with Site(tmp_path) as opened:
        opened.write_config(opened.no_devices())
        yield opened


def test_a_station_delivers_everything_to_a_head_office_written_from_the_pages(site: Site) -> None:
    """Hello, welcome, batches and acks with sixty lines of JavaScript: every record once, in order, byte for byte, and
    the station considers all of it delivered; it was born again before, so that the facts of its old life are among it [W-03] [W-04] [W-10] [W-20].
    """
    write_sales(site.config, SALES)
    file = site.folder / "records.jsonl"
    command = ["node", str(ROOT / "tests/peers/head_office.js"), str(ROOT / "build/peers/node_modules")]
    office = site.start("node", [*command, str(site.broker.port), str(file)])
    eventually(lambda: "ready" in office.text, WITHIN_S, "the head office of Node is ready")
    agent = site.start_agent(ready=False)
    eventually(lambda: file.exists() and site.all_delivered(), WITHIN_S, f"everything is acknowledged\n{office.text}")
    assert agent.end() == 0
    held = file.read_bytes().splitlines()
    for stream in "LAT":
        written = [bytes(row[0]) for row in site.at_station(WRITTEN, stream)]
        assert [line for line in held if line in set(written)] == written
    assert len(held) == len(set(held)) == site.at_station("SELECT sum(acked) FROM stream_head")[0][0]
    assert sum(json.loads(line)["type"] == "fc.sale.v1" for line in held) == SALES
