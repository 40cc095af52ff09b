"""The agent killed again and again at random moments while people fuel: every millilitre once at head office."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from random import Random, SystemRandom

import pytest

from agent.control import ControlError
from tests.support.processes import Site, eventually

KILLS = int(os.environ.get("FORECOURT_KILLS", "5"))
SPEED = 12
FLOWING = {"Started", "Fuelling"}


def fuelling(site: Site) -> bool:
    """Whether the agent sees somebody fuel right now."""
    try:
        return any(point["state"] in FLOWING for point in site.ask("pumps"))
    except ControlError:
        return False


@pytest.mark.long
def test_kills_while_people_fuel_lose_and_double_nothing(tmp_path: Path) -> None:
    """I1, I3-I5 after SIGKILLs at random times; the seed is printed and replays the times."""
    seed = SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    rng = Random(seed)
    with Site(tmp_path, speed=SPEED, seed=seed) as site:
        site.start_hq()
        forecourt = site.start_forecourt()
        site.configure(sales='link_after = "20s"\nsettle_after = "10s"')
        for _ in range(KILLS):
            agent = site.start_agent()
            eventually(lambda: fuelling(site), 40, "somebody fuels")
            threading.Event().wait(rng.uniform(0, 1.0))  # the random moment itself, nothing is awaited
            agent.kill()
        agent = site.start_agent()
        site.close_forecourt(forecourt)
        eventually(lambda: site.sums_at_hq() == site.sums_at_pumps(), 40, "head office has what the pumps counted")
        eventually(site.all_delivered, 20, "the journal is delivered")
        assert site.sums_at_pumps()
        assert agent.end() == 0
        site.verify_station()
        site.verify_hq()
