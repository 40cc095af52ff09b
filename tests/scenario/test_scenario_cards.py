"""Cards laid on a reader of a whole station: none is known yet, and each is answered."""

from __future__ import annotations

import pytest

from agent.clock import read
from agent.inbox import FromLine
from drivers.readings import CardTap
from tests.scenario.conftest import MakeStation
from tests.support.station_checks import check_invariants
from tests.support.station_plans import by_hand

UID = bytes.fromhex("04782E21801D80")


@pytest.mark.parametrize(("uid", "ndef"), [(UID, None), (UID, b"\xd1\x01\x00U"), (None, b""), (None, None)])
def test_a_card_is_refused_aloud_and_leaves_no_trace_of_itself(
    make_station: MakeStation, uid: bytes | None, ndef: bytes | None
) -> None:
    """Whatever it told of itself: one answer at once, one row without its id."""
    station = make_station(5, by_hand())
    station.run_for(1)
    station.handle(FromLine("reader-1", CardTap("reader-1", uid, ndef), read(station.clock)))
    assert [answer["outcome"] for answer in station.live.answers] == ["UNKNOWN_CARD"]
    (row,) = station.rows("SELECT * FROM scan_event")
    assert (row["reader"], row["outcome"], row["member_ref"]) == ("reader-1", "UNKNOWN_CARD", None)
    station.run_for(2)
    check_invariants(station)
    held = station.settings.store.path.read_bytes()
    assert UID not in held
    assert UID.hex().encode() not in held.lower()
