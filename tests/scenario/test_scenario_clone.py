"""A whole station copied to a second PC, both at work: head office has the facts of both once, one of them redeems."""

from __future__ import annotations

import dataclasses
from collections import Counter

from agent.store.verify import verify
from headoffice.store import presence
from headoffice.store.verify import verify as verify_head_office
from tests.scenario.conftest import MakeStation
from tests.support.rebirth_checks import at_head_office, litres_at_head_office, pumped
from tests.support.station import VirtualStation
from tests.support.station_copies import database_image, is_settled, lose_database
from tests.support.station_plans import by_hand
from tests.support.station_settings import STATION

PLAN = dataclasses.replace(by_hand(has_head_office=True), has_mark=True, islands=2)
ALONE = dataclasses.replace(PLAN, has_head_office=False)
OTHER_PC = "ffeeddccbbaa99887766554433221100"


def _a_morning(station: VirtualStation) -> None:
    """The same on both: so the pumps of both stand where the copied database left them."""
    station.publish_rules_and_members()
    _open(station)
    station.fuel(1, 3_000)
    station.scan("reader-1", station.config.cards[0])


def _open(station: VirtualStation) -> None:
    """Run until every point answers lifts."""
    station.wait(lambda: all(station.live.points.get(n, {}).get("ready") for n in (1, 2, 3, 4)), "lifts", 120)


def _copied_to(there: VirtualStation, here: VirtualStation) -> None:
    """Every file of one PC onto another, which hears the same head office."""
    mark = here.settings.store.mark.read_bytes()
    image = {there.settings.store.path.with_name(file.name): content for file, content in database_image(here).items()}
    lose_database(there)
    for file, content in image.items():
        file.write_bytes(content)
    there.settings.store.mark.write_bytes(mark)
    there.install, there.head_office = OTHER_PC, here.head_office
    there.plan = PLAN
    there.start()


def _together(*stations: VirtualStation, seconds: float) -> None:
    """Time passes for all of them in steps of a quarter second, as for neighbours."""
    for _ in range(round(seconds * 4)):
        for station in stations:
            station.run_for(0.25)


def _is_fenced(station: VirtualStation) -> bool:
    return bool(station.rows("SELECT 1 FROM meta WHERE key = 'fenced_ms'"))


def test_a_copied_station_doubles_no_litre_and_no_point_and_one_of_them_redeems(make_station: MakeStation) -> None:
    """[W-31] [W-33] Both deliver what was waiting when the copy was made and what each sold since; the copy is fenced."""
    first, copy = make_station(821, PLAN), make_station(821, ALONE)
    for station in (first, copy):
        _a_morning(station)
    first.wait(lambda: is_settled(first), "delivered", 240)
    first.broker.up = False
    for station in (first, copy):
        station.run_for(2)
        station.fuel(1, 2_000)
        station.scan("reader-1", station.config.cards[0])
    _copied_to(copy, first)
    first.broker.up = True
    first.fuel(1, 1_500)
    _open(copy)
    copy.fuel(3, 2_500)
    _together(first, copy, seconds=40)
    for station in (first, copy):
        station.wait(lambda station=station: is_settled(station), "delivered", 240)  # type: ignore[misc]

    assert (_is_fenced(first), _is_fenced(copy)) == (False, True)
    alerts = [row["alert"] for row in at_head_office(first, "SELECT alert FROM own_alert")]
    assert Counter(alerts)["clone"] == 1
    assert litres_at_head_office(first) == {**pumped(first), **{n: ml for n, ml in pumped(copy).items() if n[0] == 3}}
    sold = {row["id"] for station in (first, copy) for row in station.rows("SELECT id FROM sale")}
    assert {row["sale"] for row in at_head_office(first, "SELECT sale FROM sale")} == sold
    settled = at_head_office(first, "SELECT sale, points_earned FROM settlement")
    both = [{row["sale"] for row in station.rows("SELECT sale FROM settlement")} for station in (first, copy)]
    assert both[0] == both[1], "both PCs settled what was linked before the copy was made"
    assert sorted(row["sale"] for row in settled) == sorted(both[0])
    (issued,) = at_head_office(first, "SELECT -sum(points) AS points FROM posting WHERE account = 'program:issued'")
    assert issued["points"] == sum(row["points_earned"] for row in settled) > 0
    assert not at_head_office(first, "SELECT reason FROM dead_letter")
    for station in (first, copy):
        assert verify(station.settings.store.path).findings == ()
    assert first.head_office is not None
    assert verify_head_office(first.head_office.database).findings == ()

    with first.head_office.database.write() as connection:
        assert presence.lift_fence(connection, STATION, OTHER_PC, first.clock.wall_ms())
    for station in (first, copy):
        station.broker.up = False
    _together(first, copy, seconds=2)
    for station in (copy, first):
        station.broker.up = True
        _together(first, copy, seconds=5)
    assert (_is_fenced(first), _is_fenced(copy)) == (True, False)
