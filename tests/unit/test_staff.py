"""Staff sign in: PINs that lock out, terminals and badges, and who served a sale."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from agent.clock import read
from agent.daemon import StationRefused, check_staff
from agent.domain import pins
from agent.inbox import FromLine, Person
from agent.pipeline import people
from agent.pipeline.step import RequestRefused
from agent.settings.model import ReaderSettings, ShiftSettings, StaffSettings
from agent.store.shift_queries import ShiftQueries
from drivers.readings import CodeScan
from tests.support import template
from tests.support.till import Till

PIN, WRONG = "4711", "8305"
QUARTER_S = 15 * 60
BADGE = "700011"


@pytest.fixture
def till() -> Iterator[Till]:
    """A till of one island where li (attendant) and zhao (supervisor) work."""
    folder = template.new_folder()
    template.copy_to(folder)
    made = Till(folder)
    for staff, role in (("li", "attendant"), ("zhao", "supervisor")):
        assert made.ask("staff.add", staff=staff, name=staff.title(), staff_role=role)["ok"]
    made.do(lambda step: step.tx.people.change("li", {"pin_hash": LI}))
    made.do(lambda step: step.tx.people.change("zhao", {"pin_hash": LI}))
    yield made
    made.close()
    shutil.rmtree(folder)


def cheap(pin: str) -> str:
    """A hash that is made quickly; how long a usual one takes is not what these tests are about."""
    made = pins._Hash(2, 8, 1, bytes(16), b"")
    return f"scrypt$ln=2,r=8,p=1${bytes(16).hex()}${made.of(pin).hex()}"


LI = cheap(PIN)


def sign_in(till: Till, staff: str = "li", pin: str = PIN, terminal: str | None = None) -> dict[str, Any]:
    """Sign in at the desk or a reader; the whole answer."""
    return till.ask("staff.sign-in", role="attendant", staff=staff, pin=pin, terminal=terminal)


def here(till: Till) -> dict[str, str]:
    """Who is signed in where."""
    return {row["terminal"]: row["staff"] for row in till.rows("SELECT * FROM attendance WHERE until_ms IS NULL")}


def configured(till: Till, **sections: Any) -> None:
    """Start again with another configuration."""
    till.settings = till.settings.model_copy(update=sections)
    till.restart()


def audited(till: Till, *actions: str) -> list[str]:
    """What was audited of these actions, in order."""
    return [r["action"] for r in till.records("fc.audit.v1") if r["action"] in actions]


# --- PINs -------------------------------------------------------------------------------------------------------------


def test_the_right_pin_signs_in_and_is_nowhere_kept(till: Till) -> None:
    """The person is signed in at the terminal, on record; the PIN stands in no table and in no record."""
    assert till.ask("staff.set-pin", staff="li", pin="902746")["ok"]
    answer = sign_in(till, pin="902746")
    assert answer["ok"], answer
    assert answer["data"] == {"staff": "li", "name": "Li", "role": "attendant", "terminal": "cli"}
    assert here(till) == {"cli": "li"}
    assert audited(till, "sign_in") == ["sign_in"]
    assert b"902746" not in till.store.path.read_bytes() + till.store.path.with_suffix(".db-wal").read_bytes()


def test_five_wrong_pins_lock_out_for_a_quarter_of_an_hour(till: Till) -> None:
    """Each wrong PIN is refused and kept; after the fifth the right one is refused too, until time is up."""
    hints = [sign_in(till, pin=WRONG)["hint"] for _ in range(5)]
    assert hints[0].startswith("4 more")
    locked = sign_in(till)
    assert not locked["ok"]
    assert "locked out" in locked["error"]
    assert audited(till, "pin_wrong", "pin_locked") == ["pin_wrong"] * 5 + ["pin_locked"]
    assert sign_in(till, "zhao")["ok"], "one person's mistakes lock nobody else"
    till.wait(QUARTER_S - 1)
    assert not sign_in(till)["ok"]
    till.wait(1)
    assert sign_in(till)["ok"]


def test_a_lock_out_is_told_to_head_office_and_is_over_in_time(till: Till) -> None:
    """The alert about the person's access stands while they are locked out."""
    for _ in range(5):
        sign_in(till, pin=WRONG)
    till.wait(QUARTER_S)
    told = [(r["subject"], r["alert"], r["state"]) for r in till.records("fc.security.alert.v1")]
    assert told == [("staff:li", "PIN_LOCKED", "raised"), ("staff:li", "PIN_LOCKED", "cleared")]


@pytest.mark.parametrize("jump_ms", [0, -(10**12), 34_560_000_000])
def test_a_lock_out_survives_restarts_and_clocks_that_jump(till: Till, jump_ms: int) -> None:
    """A new boot with a clock set to long ago keeps the lock, and none makes it longer than it was."""
    for _ in range(5):
        sign_in(till, pin=WRONG)
    till.clock.offset_ms += jump_ms
    assert not sign_in(till)["ok"], "within one boot only monotonic time counts"
    till.restart(seconds=10)
    is_later = jump_ms > 0
    assert sign_in(till)["ok"] is is_later, "after a boot only the wall clock can tell that time has passed"
    till.wait(QUARTER_S)
    assert sign_in(till)["ok"]


def test_wrong_pins_in_a_row_are_counted_over_a_restart_and_forgotten_after_the_right_one(till: Till) -> None:
    """Four wrong ones, a restart and a fifth lock; four wrong ones and the right one do not."""
    for _ in range(4):
        sign_in(till, pin=WRONG)
    assert sign_in(till)["ok"]
    for _ in range(4):
        sign_in(till, pin=WRONG)
    till.restart()
    assert "locked out" in sign_in(till, pin=WRONG)["error"]


def test_a_new_pin_ends_a_lock_out(till: Till) -> None:
    """A supervisor who sets a new PIN lets the person in again at once."""
    for _ in range(5):
        sign_in(till, pin=WRONG)
    assert till.ask("staff.set-pin", staff="li", pin="5093")["ok"]
    assert sign_in(till, pin="5093")["ok"]


def test_a_person_changes_only_their_own_pin_and_knows_the_present_one(till: Till) -> None:
    """Without the present PIN an attendant's account changes none; a simple one is refused for everybody."""
    assert not till.ask("staff.set-pin", role="attendant", staff="li", pin="5093", current=WRONG)["ok"]
    assert till.ask("staff.set-pin", role="attendant", staff="li", pin="5093", current=PIN)["ok"]
    simple = till.ask("staff.set-pin", staff="li", pin="1234")
    assert (simple["ok"], simple["exit"]) == (False, 2)
    assert sign_in(till, pin="5093")["ok"]


def test_who_is_disabled_unknown_or_without_a_pin_is_told_so(till: Till) -> None:
    """Each refusal says why and what to do; a disabled person is signed out at once."""
    sign_in(till)
    assert till.ask("staff.disable", staff="li")["data"]["signed_out"] == ["cli"]
    assert here(till) == {}
    assert "disabled" in sign_in(till)["error"]
    assert till.ask("staff.enable", staff="li")["ok"]
    assert sign_in(till)["ok"]
    assert "nobody" in sign_in(till, "chen")["error"]
    till.ask("staff.add", staff="chen", name="Chen")
    assert "no PIN" in sign_in(till, "chen")["error"]


def test_a_supervisor_acts_in_their_own_name_on_a_shared_account(till: Till) -> None:
    """With ``as`` the PIN decides who acts and what they may; an attendant's PIN opens no supervisor's door."""
    wish: dict[str, Any] = {"staff": "chen", "name": "Chen"}
    mine: dict[str, Any] = {"as": {"staff": "zhao", "pin": PIN}}
    wrong: dict[str, Any] = {"as": {"staff": "zhao", "pin": WRONG}}
    others: dict[str, Any] = {"as": {"staff": "li", "pin": PIN}}
    nobody: dict[str, Any] = {"as": "zhao"}
    for given in ({}, wrong, others, nobody):
        assert not till.ask("staff.add", role="attendant", **wish, **given)["ok"]
    assert till.ask("staff.add", role="attendant", **wish, **mine)["ok"]
    assert [r["who"] for r in till.records("fc.audit.v1") if r["action"] == "staff_add"][-1] == "zhao"


# --- the list ---------------------------------------------------------------------------------------------------------


def test_the_configuration_and_the_database_are_one_list(till: Till) -> None:
    """Both kinds are listed and sign in; one of the configuration is changed there and nowhere else."""
    configured(till, staff=(StaffSettings(id="sun", name="Sun", role="technician", pin_hash=LI),))
    listed = [(p["staff"], p["role"], p["source"], p["pin"]) for p in ShiftQueries(till.settings).staff()]
    assert listed == [
        ("li", "attendant", "database", True),
        ("sun", "technician", "configuration", True),
        ("zhao", "supervisor", "database", True),
    ]
    assert sign_in(till, "sun")["ok"]
    for op in ("staff.disable", "staff.set-pin", "staff.enable"):
        refused = till.ask(op, staff="sun", pin="5093")
        assert not refused["ok"]
        assert "configuration" in refused["error"]
    assert not till.ask("staff.add", staff="sun", name="Another Sun")["ok"]
    assert not till.ask("staff.add", staff="li", name="Another Li")["ok"]


def test_a_person_who_stands_in_both_places_is_refused_at_the_start(till: Till) -> None:
    """The start names the person and both places instead of choosing one."""
    settings = till.settings.model_copy(update={"staff": (StaffSettings(id="li", name="Li"),)})
    check_staff(till.settings, till.store.staff_ids())
    with pytest.raises(StationRefused, match=r"li.*\[\[staff\]\].*database"):
        check_staff(settings, till.store.staff_ids())


# --- terminals --------------------------------------------------------------------------------------------------------


def test_one_person_at_each_terminal(till: Till) -> None:
    """Who signs in takes the place of who was there; signing out leaves the terminal empty; all of it is kept."""
    sign_in(till)
    sign_in(till)
    sign_in(till, "zhao")
    assert here(till) == {"cli": "zhao"}
    assert till.ask("staff.sign-out", role="attendant")["data"] == {"staff": "zhao", "terminals": ["cli"]}
    assert not till.ask("staff.sign-out", role="attendant")["ok"]
    assert not sign_in(till, terminal="nowhere")["ok"]
    ended = [(row["staff"], row["ended"]) for row in till.rows("SELECT * FROM attendance ORDER BY since_ms, id")]
    assert sorted(ended) == [("li", "replaced"), ("zhao", "signed_out")]


def two_readers(till: Till, **more: Any) -> None:
    """The gun of point 1 and the one that all points share."""
    configured(till, reader=(gun("gun-1", 1), gun("gun-all", 1, 2)), **more)


def gun(name: str, *points: int) -> ReaderSettings:
    """A scanner of these points."""
    return ReaderSettings(id=name, fuelling_points=points, port="socket://127.0.0.1:1")


def test_two_islands_or_one(till: Till) -> None:
    """A person may be signed in at two readers, unless the station wants them at one."""
    two_readers(till)
    sign_in(till, terminal="gun-1")
    sign_in(till, terminal="gun-all")
    assert here(till) == {"gun-1": "li", "gun-all": "li"}
    till.ask("staff.sign-out", role="attendant", staff="li")
    two_readers(till, shift=ShiftSettings(one_terminal=True))
    sign_in(till, terminal="gun-1")
    sign_in(till, terminal="gun-all")
    assert here(till) == {"gun-all": "li"}


def test_a_badge_signs_in_where_the_station_wants_it(till: Till) -> None:
    """The badge's number finds its person only where badges sign in, and only while the person is active."""
    assert till.ask("staff.set-badge", staff="li", badge=BADGE)["ok"]
    taken = till.ask("staff.set-badge", staff="zhao", badge=BADGE)
    assert not taken["ok"]
    assert "li" in taken["error"]
    two_readers(till)
    assert answer_of_badge(till) == "NOT_A_MEMBER_CODE"
    two_readers(till, shift=ShiftSettings(badge_signs_in=True))
    assert answer_of_badge(till) == "SIGNED_IN"
    assert here(till) == {"gun-1": "li"}
    till.ask("staff.disable", staff="li")
    till.wait(60)
    assert answer_of_badge(till) == "NOT_A_MEMBER_CODE"
    assert BADGE.encode() not in till.store.path.read_bytes()


def answer_of_badge(till: Till) -> str:
    """What the gun of point 1 is told when the badge is scanned there."""
    till.pipeline.handle(FromLine("reader-gun-1", CodeScan("gun-1", BADGE), read(till.clock)))
    return str(till.pipeline._live.answers[-1]["outcome"])


def test_who_stands_in_the_configuration_gets_the_badges_index_to_write_there(till: Till) -> None:
    """The station tells the keyed index, which then signs the person in."""
    two_readers(till, staff=(StaffSettings(id="sun", name="Sun"),), shift=ShiftSettings(badge_signs_in=True))
    index = till.ask("staff.set-badge", staff="sun", badge=BADGE)["data"]["badge"]
    configured(till, staff=(StaffSettings(id="sun", name="Sun", badge=index),))
    assert answer_of_badge(till) == "SIGNED_IN"
    assert here(till) == {"gun-1": "sun"}


# --- who served -------------------------------------------------------------------------------------------------------


def served(till: Till, lifted_s_ago: float | None, *, point: int = 1, recovered: bool = False) -> str | None:
    """Who served a fuelling at a point that is booked now."""
    lifted = None if lifted_s_ago is None else till.clock.wall_ms() - round(lifted_s_ago * 1000)
    found = till.do(lambda step: people.served_by(step, point, lifted, is_recovered=recovered))
    assert found is None or isinstance(found, str)
    return found


def test_who_was_at_the_points_own_reader_when_the_nozzle_was_lifted_served(till: Till) -> None:
    """The nearest manned reader counts, at the lift; whoever comes later does not."""
    two_readers(till)
    sign_in(till, "zhao", terminal="gun-all")
    till.wait(60)
    sign_in(till, "li", terminal="gun-1")
    till.wait(60)
    assert served(till, 10) == "li"
    assert served(till, 90) == "zhao"
    assert served(till, 10, point=2) == "zhao"
    sign_in(till, "zhao", terminal="gun-1")
    assert served(till, 10) == "li", "the change came after the lift"
    assert served(till, None) == "zhao"


def test_nobody_is_named_where_nobody_can_say(till: Till) -> None:
    """Two people at readers of the same rank, or a sale recovered after an outage, have no attendant."""
    assert served(till, 10) is None
    two_readers(till)
    sign_in(till, "li")
    till.wait(60)
    assert served(till, 10) == "li", "the desk serves every point whose readers nobody mans"
    assert served(till, None, recovered=True) is None
    configured(till, reader=(*till.settings.reader, gun("gun-1b", 1)))
    sign_in(till, "li", terminal="gun-1")
    sign_in(till, "zhao", terminal="gun-1b")
    till.wait(60)
    assert served(till, 10) is None


def test_other_rooms_may_ask_who_is_at_a_terminal_and_who_somebody_is(till: Till) -> None:
    """The questions that linking and handhelds ask of this room."""
    sign_in(till)
    assert till.do(lambda step: people.attendant_at(step, "cli")) == "li"
    assert till.do(lambda step: people.attendant_at(step, "gun-9")) is None
    assert till.do(lambda step: people.staff_of(step, "zhao")).role is people.StaffRole.SUPERVISOR
    assert till.do(lambda step: people.staff_of(step, "nobody")) is None
    assert till.do(lambda step: people.acting(step, {"staff": "zhao", "pin": PIN})) == Person("zhao", "supervisor")
    with pytest.raises(RequestRefused):
        till.do(lambda step: people.acting(step, {"staff": "zhao"}))
