"""The Two-Wire driver at the simulated pump: a whole sale, every command, and what it must never send or believe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drivers.commands import Acknowledge, Authorise, Preset, ReadHeldSale, ReadSale, ReadTotalizer, SetPrices, Stop
from drivers.config import LineConfig, PointConfig
from drivers.errors import WiringError
from drivers.gilbarco.codec import DIALECTS
from drivers.gilbarco.driver import SPEC, make_devices
from drivers.readings import CommandOutcome, CommandResult, FuellingPointReading, HeldSale, PointState, TotalizerReading
from drivers.simulator.config import NozzleConfig
from tests.support.gilbarco_bench import Bench

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent.parent / "vectors" / "gilbarco.json").read_text())
APPLIED, REFUSED, UNKNOWN = CommandOutcome.APPLIED, CommandOutcome.REFUSED, CommandOutcome.UNKNOWN


@pytest.mark.proves("vectors", "gilbarco")
def test_golden_sale_through_the_driver() -> None:
    """The published sale: start and end totals, values and price as expected, totals before transaction, two reads."""
    (session,) = VECTORS["sessions"]
    expected = session["expected_sale"]
    price = expected["unit_price_milli"]
    one = (NozzleConfig(1, "92", 1, price),)
    bench = Bench(point={"nozzles": (1,)}, pump={"nozzles": one, "totalizer_start": 1234567})
    bench.online()
    bench.release(expected["nozzle_grade"])
    start = bench.do(ReadTotalizer, nozzle=1)
    assert start.outcome is UNKNOWN  # a pump that delivers does not tell
    bench.fuel(expected["volume_ml"] // 10)
    bench.hang_up()
    bench.port.sent.clear()
    bundle = bench.read()
    held = bundle.held
    assert held is not None
    assert (held.nozzle, held.volume_ml, held.amount_minor, held.unit_price_milli) == (
        expected["nozzle_grade"],
        expected["volume_ml"],
        expected["amount_minor"],
        price,
    )
    (end,) = bundle.after
    assert bundle.before == bundle.after
    assert f"{end.raw:08d}" == expected["totalizer_end"]
    assert (end.unit_ml, end.modulus) == (10, 10**8)
    asked = [data for _, data in bench.port.sent if data in (b"\x51", b"\x41")]
    assert asked == [b"\x51", b"\x51", b"\x41", b"\x41", b"\x51"]


def test_the_total_at_the_start_is_that_of_the_vectors() -> None:
    """A pump that stands at 01234567 tells exactly that, and its money total in minor units."""
    bench = Bench(point={"nozzles": (1,)}, pump={"totalizer_start": 1234567})
    bench.online()
    assert bench.do(ReadTotalizer, nozzle=1).outcome is APPLIED
    money = bench.head.amount_totals[1]
    assert bench.of(TotalizerReading) == [TotalizerReading(1, 1, 1234567, 10, 10**8, money % 10**8, 10**8)]


def test_nothing_is_ever_link_acknowledged() -> None:
    """No word of this protocol is acknowledged: a command ends by what was read, or as unknown."""
    bench = Bench()
    bench.online()
    bench.release()
    bench.do(Stop)
    bench.head.hang_up()
    bench.turns(5)
    bench.do(SetPrices, prices=((1, 8_000), (2, 8_100), (3, 8_200)))
    assert CommandOutcome.LINK_ACKED not in {result.outcome for result in bench.of(CommandResult)}


def test_an_authorisation_is_seen_not_believed() -> None:
    """Where the word is lost, nothing shows, nothing is sent again, and the end is unknown."""
    bench = Bench()
    bench.online()
    bench.call()
    peer = bench.port.peer
    bench.port.peer = lambda data: b"" if data == b"\x11" else peer(data)
    assert bench.do(Authorise).outcome is UNKNOWN
    assert [data for _, data in bench.port.sent].count(b"\x11") == 1
    bench.port.peer = peer
    assert bench.do(Authorise).outcome is APPLIED


@pytest.mark.parametrize("preauthorise", [False, True])
def test_a_hanging_nozzle_is_authorised_only_where_allowed(preauthorise: bool) -> None:
    """OFF takes an authorisation on some pumps only: an option, and off until somebody wants it."""
    bench = Bench({"preauthorise": preauthorise})
    bench.online()
    bench.account()
    result = bench.do(Authorise)
    assert result.outcome is (APPLIED if preauthorise else REFUSED)
    if preauthorise:
        assert bench.level().state is PointState.AUTHORISED
        assert bench.level().nozzle_out is False
    else:
        assert "preauthorise" in result.detail
        assert b"\x11" not in [data for _, data in bench.port.sent]


def test_authorise_is_refused_with_its_reason() -> None:
    """Not accounted for, another nozzle, a nozzle nobody has, a pump that delivers: refused, and nothing is sent."""
    bench = Bench()
    bench.online()
    bench.head.lift(2)
    bench.until(lambda: bench.level().state is PointState.CALLING)
    assert "accounted" in bench.do(Authorise).detail
    assert bench.do(Acknowledge, token="somebody else's").outcome is REFUSED
    bench.account()
    assert "nozzle 2 is out" in bench.do(Authorise, nozzles=(1,)).detail
    assert "not configured" in bench.do(Authorise, nozzles=(7,)).detail
    assert "AUTHORISE" not in bench.names()
    assert bench.do(Authorise, nozzles=(2,)).outcome is APPLIED
    assert "AUTHORISED" in bench.do(Authorise).detail
    assert bench.do(Acknowledge).outcome is REFUSED


def test_the_nozzle_that_is_out_is_asked_before_the_call_is_told() -> None:
    """The first level of a call names its nozzle; a hanging one names none, and its silence is no fault."""
    bench = Bench()
    bench.online()
    bench.call(3)
    first = next(reading for reading in bench.of(FuellingPointReading) if reading.state is PointState.CALLING)
    assert (first.nozzle, first.nozzle_out, first.unit_price_milli) == (3, True, 7_490)
    bench.hang_up()
    assert (bench.level().nozzle, bench.level().nozzle_out) == (None, False)
    assert bench.line.counters().get("silent_polls", 0) == 0


def test_without_the_nozzle_query_only_a_single_nozzle_is_known() -> None:
    """With the query off, several nozzles stay unknown and one is named by the call itself."""
    several, single = Bench({"nozzle_query": False}), Bench({"nozzle_query": False}, point={"nozzles": (1,)})
    for bench, nozzle in ((several, None), (single, 1)):
        bench.online()
        bench.call(1)
        assert bench.level().nozzle == nozzle
        assert "NOZZLE_QUERY" not in bench.names()


def test_a_lift_without_flow_leaves_the_previous_sale_and_its_totals() -> None:
    """The pump still tells the old sale: its totals have not moved, which is how the domain knows."""
    bench = Bench()
    bench.online()
    bench.release()
    bench.fuel(1_000)
    bench.hang_up()
    sold = bench.read()
    bench.release(2)
    bench.hang_up()
    again = bench.read()
    assert again.after == sold.after
    assert again.held is not None
    assert sold.held is not None
    assert (again.held.volume_ml, again.held.nozzle) == (sold.held.volume_ml, 1)
    assert again.held.token != sold.held.token


def test_totals_roll_over_at_ten_to_the_eight() -> None:
    """A sale across the end of the counter is told with the raw count after it."""
    bench = Bench(pump={"totalizer_start": 10**8 - 300})
    bench.online()
    bench.release()
    bench.fuel(1_000)
    bench.hang_up()
    assert bench.read().after[0].raw == 700


def test_an_end_with_the_nozzle_still_out_waits_until_totals_stand_still() -> None:
    """At its limit the pump shows PEOT: suspended at first, ended once the totals stopped, readable before the hang-up."""
    bench = Bench()
    bench.online()
    assert bench.do(Preset, amount_minor=2_000).outcome is APPLIED
    bench.release()
    bench.head.deliver(4_000)
    bench.until(lambda: bench.level().state is PointState.SUSPENDED_FUELLING)
    assert bench.level().amount_minor == 2_000
    bench.until(lambda: bench.level().state is PointState.IDLE, 3)
    assert bench.head.nozzle_out
    bundle = bench.read()
    assert bundle.held is not None
    assert bundle.held.amount_minor == 2_000
    after = bench.of(FuellingPointReading)
    bench.hang_up()
    bench.turns(3)
    since = bench.of(FuellingPointReading)[len(after) :]
    assert {reading.state for reading in since} == {PointState.IDLE}
    assert bench.read().after == bundle.after


def test_stop_is_repeated_until_its_effect_shows() -> None:
    """Three lost words, then the pump stops; a stopped pump is closed to calls until its nozzle hangs."""
    bench = Bench()
    bench.online()
    bench.release()
    bench.fuel(400)
    bench.forecourt.inject("lost-ack", point=1, times=3)
    assert bench.do(Stop).outcome is APPLIED
    assert bench.head.deliver(100) == 0
    bench.until(lambda: bench.level().state is PointState.CLOSED)
    assert bench.do(Stop).outcome is APPLIED
    held = bench.read().held
    assert held is not None
    assert held.volume_ml == 4_000
    bench.hang_up()
    assert bench.level().state is PointState.IDLE
    assert "ALL_STOP" not in bench.forecourt.log.names()


def test_a_pump_that_does_not_stop_is_told_as_unknown() -> None:
    """Where no effect shows in time, that is what is said."""
    bench = Bench({"stop_wait": "2s"})
    bench.online()
    bench.release()
    peer = bench.port.peer
    bench.port.peer = lambda data: b"" if data == b"\x31" else peer(data)
    result = bench.do(Stop)
    assert (result.outcome, "AUTHORISED" in result.detail) == (UNKNOWN, True)


def test_a_limit_is_sent_just_before_the_authorisation_and_never_left_for_another() -> None:
    """Nothing is sent while the nozzle hangs; one hung in between is not authorised, and the next sale has no limit."""
    bench = Bench({"preset_dialect": "p5_level_grade"})
    bench.online()
    assert bench.do(Preset, volume_ml=5_000).outcome is APPLIED
    bench.call(2)
    assert "PRESET" not in bench.names()
    port = bench.port
    peer = port.peer

    def hung_in_between(data: bytes) -> bytes:
        answer = peer(data)
        if data[2:3] == b"\xf1":
            bench.head.hang_up()
        return answer

    port.peer = hung_in_between
    result = bench.do(Authorise, nozzles=(2,))
    assert result.outcome is REFUSED
    assert (bench.names().count("PRESET"), bench.names().count("AUTHORISE")) == (1, 0)
    port.peer = peer
    bench.until(lambda: bench.level().state is PointState.IDLE)
    bench.release(2)
    assert bench.names().count("PRESET") == 2
    bench.fuel(2_000)
    bench.hang_up()
    assert bench.sale()["volume_ml"] == 20_000


@pytest.mark.parametrize("dialect", ["p5_level", "p5_plain", "p6_plain", "p6_level_e3", "p6_level_grade"])
@pytest.mark.parametrize("limit", [{"volume_ml": 12_000}, {"amount_minor": 9_420}])
def test_every_dialect_of_a_limit_is_understood(dialect: str, limit: dict[str, int]) -> None:
    """Volume and money, whatever shape the firmware wants: the pump stops there."""
    bench = Bench({"preset_dialect": dialect})
    bench.online()
    assert bench.do(Preset, **limit).outcome is APPLIED
    bench.release()
    bench.fuel(4_000, parts=2)
    bench.hang_up()
    sale = bench.sale()
    assert {name: sale[name] for name in limit} == limit


def test_limits_that_cannot_be_shown_are_refused() -> None:
    """Too many digits, nothing, both, neither: refused before anything is sent."""
    bench = Bench()
    bench.online()
    for wish in ({"volume_ml": 1_000_000}, {"volume_ml": 5}, {}, {"volume_ml": 1_000, "amount_minor": 5}):
        assert bench.do(Preset, **wish).outcome is REFUSED
    watched = Bench(control=False)
    watched.online()
    assert watched.do(Preset, volume_ml=1_000).outcome is REFUSED


def test_only_prices_that_differ_are_sent_and_totals_prove_them() -> None:
    """What the pump has already is not sent again; one changed price is one block."""
    bench = Bench()
    bench.online()
    same = tuple(bench.head.prices.items())
    assert bench.do(SetPrices, prices=same).outcome is APPLIED
    assert "PRICES" not in bench.names()
    assert bench.do(SetPrices, prices=((1, 7_850), (2, 8_888), (3, 7_490))).outcome is APPLIED
    assert bench.names().count("PRICES") == 1
    assert bench.head.prices == {1: 7_850, 2: 8_888, 3: 7_490}


def test_prices_of_level_two_are_another_matter() -> None:
    """With ``price_level = 2`` that level is set and proved, and level 1 is left alone."""
    bench = Bench({"price_level": 2})
    bench.online()
    assert bench.do(SetPrices, prices=((1, 6_001), (2, 6_002), (3, 6_003))).outcome is APPLIED
    assert bench.pump.level_2 == {1: 6_001, 2: 6_002, 3: 6_003}
    assert bench.head.prices == {1: 7_850, 2: 8_360, 3: 7_490}


def test_prices_are_refused_with_their_reason() -> None:
    """Incomplete, too fine, while delivering; and a pump that keeps its old price is found out."""
    bench = Bench()
    bench.online()
    assert "nozzle 3" in bench.do(SetPrices, prices=((1, 8_000), (2, 8_000))).detail
    assert "four digits" in bench.do(SetPrices, prices=((1, 8_000), (2, 80_000), (3, 8_000))).detail
    peer = bench.port.peer
    bench.port.peer = lambda data: b"" if b"\xf7" in data else peer(data)
    result = bench.do(SetPrices, prices=((1, 8_001), (2, 8_002), (3, 8_003)))
    assert (result.outcome, "still has another price" in result.detail) == (REFUSED, True)
    bench.port.peer = peer
    bench.release()
    assert bench.do(SetPrices, prices=((1, 8_001), (2, 8_002), (3, 8_003))).outcome is REFUSED


def test_lost_prices_are_a_restart_and_a_need() -> None:
    """A pump whose prices are gone has restarted; with prices it can sell again."""
    bench = Bench({"prices_every": "2s"})
    bench.online()
    bench.turns(3)
    bench.head.restart()
    bench.until(lambda: bench.level().restarts == 1)
    assert bench.level().needs_prices
    assert bench.do(SetPrices, prices=((1, 8_001), (2, 8_002), (3, 8_003))).outcome is APPLIED
    bench.until(lambda: not bench.level().needs_prices)


def test_live_volume_is_never_more_than_what_flowed() -> None:
    """It is money divided by price, for people: rounded down by more than the head may have rounded up."""
    bench = Bench({"money_after": 0})
    bench.online()
    bench.release()
    for _ in range(12):
        bench.head.deliver(137)
        bench.turns(0.5)
        level = bench.level()
        flowed_ml = bench.head.volume * 10
        assert level.state is PointState.FUELLING
        assert level.volume_ml is None or level.volume_ml <= flowed_ml
        assert level.amount_minor is None or level.amount_minor <= bench.head.amount
    assert (bench.level().volume_ml or 0) >= 137 * 10 * 10


def test_units_of_large_currencies_and_coarse_totals() -> None:
    """Digits are worth ten where configured, totals may have one decimal; all exact integers."""
    options: dict[str, object] = {"money_factor": 10, "price_factor": 10, "total_volume_decimals": 1}
    bench = Bench(options, point={"amount_decimals": 0, "unit_price_decimals": 0, "currency_exponent": 0})
    bench.online()
    bench.release()
    bench.fuel(1_000)
    bench.hang_up()
    bundle = bench.read()
    assert bundle.held is not None
    assert bundle.held.amount_minor == bench.head.amount * 10
    assert bundle.held.unit_price_milli == 7_850 * 10 * 1_000
    assert bundle.held.volume_ml == 10_000
    assert (bundle.after[0].unit_ml, bundle.after[0].amount_modulus) == (100, 10**9)


def test_lines_that_cannot_work_are_refused() -> None:
    """Numbers outside 1 to 16 or twice, nozzles that are no grade, decimals that cannot be exact, no point at all."""
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"address": 0}, "no Two-Wire pump number"),
        ({"address": 17}, "no Two-Wire pump number"),
        ({"nozzles": (11,)}, "not allowed"),
        ({"nozzles": ()}, "not allowed"),
        ({"volume_decimals": 4}, "volume_decimals"),
        ({"amount_decimals": 3}, "amount_decimals"),
    ]
    good: dict[str, Any] = {"fuelling_point": 1, "address": 16, "nozzles": (1, 2)}
    assert len(make_devices(LineConfig("a", "x", "gilbarco", points=(PointConfig(**good),)))) == 1
    for change, text in wrong:
        point = PointConfig(**{**good, **change})
        with pytest.raises(WiringError, match=text) as caught:
            make_devices(LineConfig("a", "x", "gilbarco", points=(point,)))
        assert caught.value.hint
    twice = (PointConfig(1, 3, (1,), volume_decimals=3), PointConfig(2, 3, (1,), volume_decimals=3))
    with pytest.raises(WiringError, match="share pump number"):
        make_devices(LineConfig("a", "x", "gilbarco", points=twice))
    with pytest.raises(WiringError, match="no fuelling point"):
        make_devices(LineConfig("a", "x", "gilbarco"))


def test_options_are_checked_with_a_hint() -> None:
    """A dialect nobody speaks, a time out of range, a word for a number: each with what to write."""
    wrong: dict[str, object] = {"preset_dialect": "p7", "pause": 1, "strip_echo": "yes", "price_level": 3, "still": "x"}
    problems = SPEC.check_options(wrong)
    assert [key for key, _, _ in problems] == list(wrong)
    assert all(hint for _, _, hint in problems)
    assert SPEC.check_options({"still": "2s", "reply_window": "250ms", "preset_dialect": "p6_level_e3"}) == []


def test_every_dialect_stands_in_the_installers_page() -> None:
    """Whoever wires a station finds each of them."""
    text = (Path(__file__).parents[2] / "docs" / "devices" / "gilbarco.md").read_text(encoding="utf-8")
    assert [name for name in DIALECTS if f"`{name}`" not in text] == []


def test_a_sale_that_was_never_made_is_no_sale() -> None:
    """A pump that has sold nothing tells zeros: no nozzle, no price, and an empty acknowledgement is enough."""
    bench = Bench()
    bench.online()
    assert bench.do(ReadHeldSale).outcome is APPLIED
    held = bench.of(HeldSale)[-1]
    assert (held.nozzle, held.volume_ml, held.unit_price_milli) == (None, 0, None)
    assert bench.do(Acknowledge, token="").outcome is APPLIED
    assert bench.do(ReadSale, nozzles=(1, 9)).outcome is APPLIED
