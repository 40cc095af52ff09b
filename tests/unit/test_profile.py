"""What the public may know of a station: a Feature by RFC 7946, nobody's data in it, published at a measured pace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.inbox import Ticked
from agent.settings.profile import ProfileSettings
from headoffice.hello import take_profile
from headoffice.store import reports
from sync.messages import MessageError
from sync.profile import EVERY_S, Profile, ProfileTurn
from tests.support import template
from tests.support.headoffice_station import NOW_MS, event, up_topic
from tests.support.headoffice_station import STATION as AT_HEAD_OFFICE
from tests.support.quiet import quiet_log
from tests.support.till import EARN, MEMBER, PAY, TEN, Till

OFF: dict[str, Any] = {"id": "off", "name": "5 off", "kind": "AMOUNT_OFF", "off_minor": 500, "when": {"anyone": True}}
GOLD: dict[str, Any] = {**OFF, "id": "gold", "when": {"tags": ["taxi"]}}
TRIED: dict[str, Any] = {**OFF, "id": "tried", "when": {"holdout_bp": 5_000}}
OVER: dict[str, Any] = {**OFF, "id": "over", "when": {"anyone": True, "ends_on": "2020-01-01"}}
ELSEWHERE: dict[str, Any] = {**OFF, "id": "elsewhere", "when": {"anyone": True, "stations": ["NOT-HERE"]}}


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    """A station with a place on the map."""
    with quiet_log():
        template.copy_to(tmp_path)
        opened = Till(tmp_path)
        place = {"position": ("31.2304", "-121.4737"), "services": ("shop", "car-wash"), "name": "Example Road"}
        station = opened.settings.station.model_copy(update=place)
        profile = ProfileSettings(address="1 Example Road", opening_hours="24/7")
        opened.settings = opened.settings.model_copy(update={"station": station, "profile": profile})
        opened.restart()
        yield opened
        opened.close()


def told(till: Till) -> dict[str, Any]:
    """The Feature as it stands after the next minute."""
    till.pipeline.handle(Ticked("minute"))
    feature = till.pipeline._live.profile
    assert feature is not None
    return feature


def geojson_defects(feature: dict[str, Any]) -> list[str]:
    """What RFC 7946 forbids in a Feature with a Point, 3.1.1, 3.1.2, 3.2 and 7.1."""
    defects = [] if feature.get("type") == "Feature" else ["type is not Feature (3.2)"]
    defects += [f"no member {name} (3.2)" for name in ("geometry", "properties") if name not in feature]
    if not isinstance(feature.get("id", ""), str | int):
        defects.append("id is neither text nor number (3.2)")
    if not isinstance(feature.get("properties"), dict | None):
        defects.append("properties is neither an object nor null (3.2)")
    defects += [
        f"{name} belongs to another type (7.1)" for name in ("coordinates", "geometries", "features") if name in feature
    ]
    geometry = feature.get("geometry")
    if geometry is not None:
        defects += [] if geometry.get("type") == "Point" else ["geometry is no Point (3.1.2)"]
        longitude, latitude = geometry["coordinates"]
        if not -180 <= longitude <= 180 or not -90 <= latitude <= 90:
            defects.append("position is not longitude, latitude in degrees (3.1.1, 4)")
    return defects


def test_the_profile_is_geojson_with_place_hours_prices_and_points(till: Till) -> None:
    """RFC 7946: longitude comes first; prices are those in force, in integers with their unit in the name."""
    feature = told(till)
    assert geojson_defects(feature) == []
    assert Profile.from_data(json.loads(json.dumps(feature))).feature == feature
    assert feature["geometry"] == {"type": "Point", "coordinates": [-121.4737, 31.2304]}
    properties = feature["properties"]
    assert (properties["address"], properties["opening_hours"]) == ("1 Example Road", "24/7")
    assert properties["services"] == ["shop", "car-wash"]
    assert properties["fuelling_points"] == {"total": len(till.settings.fuelling_point), "open": 0}
    assert properties["busy"] is None, "nobody knows while no fuelling point is heard"
    before = {price["grade"]: price["unit_price_milli"] for price in properties["prices"]}
    assert till.ask("prices.set", grade="92", unit_price_milli=8_010, effective_from_ms=0)["ok"]
    after = {price["grade"]: price["unit_price_milli"] for price in told(till)["properties"]["prices"]}
    assert after == {**before, "92": 8_010}


@pytest.mark.parametrize(
    ("states", "busy", "open_points"),
    [
        (["Idle", "Idle", "Offline", "Idle"], "quiet", 3),
        (["Fuelling", "Idle", "Idle", "Calling"], "some", 4),
        (["Fuelling", "Fuelling", "Closed", "Inoperative"], "busy", 2),
    ],
)
def test_how_busy_it_is_counts_open_points_only(till: Till, states: list[str], busy: str, open_points: int) -> None:
    """A third in use is some, two thirds is busy; what is shut counts neither way."""
    for number, state in enumerate(states, 1):
        shown = till.pipeline._live.points[number]
        till.pipeline._live.set_point(number, {**shown, "state": state})
    properties = told(till)["properties"]
    assert (properties["busy"], properties["fuelling_points"]["open"]) == (busy, open_points)


def test_only_what_everybody_or_every_member_may_have_is_told(till: Till) -> None:
    """No audience, trial group, coupon or offer of elsewhere; and nothing that names a member, a sale or a person."""
    till.rules(OFF, EARN, PAY, TEN, GOLD, TRIED, OVER, ELSEWHERE)
    till.member()
    till.settle(till.fuelled())
    feature = told(till)
    offers = {offer["offer"]: offer["members_only"] for offer in feature["properties"]["offers"]}
    assert offers == {"off": False, "earn": True, "pay": True}
    text = json.dumps(feature)
    assert MEMBER not in text
    assert not [row for row in till.rows("SELECT id FROM sale") if row["id"] in text]


def test_a_station_in_training_is_not_on_the_map(till: Till) -> None:
    """What is played there must not bring customers."""
    station = till.settings.station.model_copy(update={"mode": "training"})
    till.settings = till.settings.model_copy(update={"station": station})
    till.restart()
    till.pipeline.handle(Ticked("minute"))
    assert till.pipeline._live.profile is None


def test_a_profile_is_published_on_connect_and_change_at_most_once_a_minute() -> None:
    """However often the connection is made or something changes; the newest is told when its minute has come."""
    turn, one, two = ProfileTurn(), {"busy": "quiet"}, {"busy": "busy"}
    assert not turn.is_due(0.0, None)
    turn.connected()
    assert turn.is_due(0.0, one)
    turn.published(0.0, one)
    assert not turn.is_due(EVERY_S, one), "nothing is new"
    assert not turn.is_due(EVERY_S - 1, two)
    assert turn.is_due(EVERY_S, two)
    turn.connected()
    assert not turn.is_due(EVERY_S - 1, one)
    assert turn.is_due(EVERY_S, one), "a new connection: told again although it is the same"


@pytest.mark.parametrize("coordinates", [[31.2, -121.4], [200, 10], [10], "1,2", [10, True]])
def test_a_feature_that_is_none_is_refused(till: Till, coordinates: Any) -> None:
    """Latitude first where that is impossible, ranges, a missing coordinate: unreadable for head office, not stored."""
    feature = {**told(till), "geometry": {"type": "Point", "coordinates": coordinates}}
    with pytest.raises(MessageError, match="coordinates"):
        Profile.from_data(feature)


def test_head_office_keeps_the_latest_profile_of_each_station(till: Till, tmp_path: Path) -> None:
    """`forecourt-hq stations --json` shows it; a profile that names another station is noted and not kept."""
    database = template.head_office(tmp_path / "head-office.sqlite")
    feature = told(till)
    take_profile(database, up_topic("up/profile"), event(Profile(feature)), NOW_MS)
    assert [row["alert"] for row in reports.own_alerts(database, station=AT_HEAD_OFFICE, limit=9)] in (
        [],
        ["wrong_source"],
    )
    mine = {**feature, "id": AT_HEAD_OFFICE}
    for busy in ("quiet", "busy"):
        mine = {**mine, "properties": {**mine["properties"], "busy": busy}}
        take_profile(database, up_topic("up/profile"), event(Profile(mine)), NOW_MS)
    (row,) = reports.stations(database)
    assert row["profile"] == mine
    stranger = {**mine, "id": "OTHER"}
    take_profile(database, up_topic("up/profile"), event(Profile(stranger)), NOW_MS)
    assert reports.stations(database)[0]["profile"] == mine
    assert "wrong_source" in {row["alert"] for row in reports.own_alerts(database, station=AT_HEAD_OFFICE, limit=9)}
    database.close()
