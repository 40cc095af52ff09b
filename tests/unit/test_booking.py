"""Comparing a stored total with what the device tells: every row of the table, and every shared scenario."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.booking import Comparison, Evidence, Fingerprint, Meter, Rules, Verdict, compare
from agent.domain.sale import Totalizer
from drivers.readings import HeldSale, TotalizerReading

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "dispenser_sale_safety.json").read_text(encoding="utf-8"))
READABLE = [s for s in VECTORS["scenarios"] if s["device"]["state"] == "Idle"]
PRICE = 1175


def held(volume_ml: int | None, amount: int | None = None, price: int | None = PRICE, token: str = "t") -> HeldSale:
    if amount is None and volume_ml is not None:
        amount = (2 * volume_ml * PRICE * 100 + 1_000_000) // 2_000_000
    return HeldSale(1, 1, volume_ml, amount, price, token)


def meter(raw: int = 1_000, **changes: Any) -> Meter:
    values = {"unit_ml": 10, "modulus": 10**10, "unit_price_milli": PRICE, **changes}
    return Meter(nozzle=1, total=Totalizer(values.pop("epoch", 0), raw), **values)


def outcome(
    stored: Meter,
    raw: int | None,
    shown: HeldSale | None,
    amount_raw: int | None = None,
    rules: Rules | None = None,
    **evidence: Any,
) -> Comparison:
    total = None
    if raw is not None:
        total = TotalizerReading(1, 1, raw, stored.unit_ml, stored.modulus, amount_raw, stored.amount_modulus)
    return compare(stored, total, shown, Evidence(**{"unit_price_milli": PRICE, **evidence}), rules or Rules())


def told(result: Comparison) -> list[tuple[str, int, int, str, str]]:
    return [(b.kind.value, b.volume_ml, b.amount_minor, str(b.start), str(b.end)) for b in result.bookings]


@pytest.mark.parametrize("scenario", READABLE, ids=[s["name"] for s in READABLE])
def test_shared_scenarios_come_out_as_written(scenario: dict[str, Any]) -> None:
    """Each scenario at rest books exactly the sales it names, or ends in the verdict it names."""
    stored, device = scenario["stored"], scenario["device"]
    last = stored.get("last_sale")
    old = Fingerprint(1, last["volume_ml"], last["amount_minor"], None) if last else None
    modulus = int(stored["modulus"])
    known = Meter(
        nozzle=1,
        total=Totalizer(stored["epoch"], int(stored["totalizer"])),
        unit_ml=stored["totalizer_unit_ml"],
        modulus=modulus,
        amount_raw=int(stored["amount_total"]) if "amount_total" in stored else None,
        amount_modulus=modulus,
        unit_price_milli=stored["unit_price_milli"],
        last_sale=old,
    )
    shown = device["held_sale"]
    result = outcome(
        known,
        None if device["totalizer"] is None else int(device["totalizer"]),
        None if shown is None else HeldSale(1, 1, shown["volume_ml"], shown["amount_minor"], None, ""),
        int(device["amount_total"]) if "amount_total" in device else None,
        Rules(max_delta_ml=stored.get("max_delta_ml", 20_000_000)),
        unit_price_milli=stored["unit_price_milli"],
        fuelling=stored.get("open_fuelling", False),
        old=() if old is None else (old,),
    )
    booked = [
        {
            "kind": b.kind.value,
            "totalizer_start": str(b.start),
            "totalizer_end": str(b.end),
            "epoch_end": b.end.epoch if b.end else None,
            "volume_ml": b.volume_ml,
            "amount_minor": b.amount_minor,
            "amount_estimated": "amount_estimated" in b.flags,
        }
        for b in result.bookings
    ]
    assert booked == scenario["expected"]
    if "result" in scenario:
        assert result.verdict == scenario["result"]


def test_a_flow_below_the_unit_is_a_sale_with_sub() -> None:
    """A seen flow that the coarse totalizer does not show is booked with start = end and counted by sub."""
    stored = meter(unit_ml=1_000)
    first = outcome(stored, 1_000, held(400), live_ml=390)
    second = outcome(first.meter, 1_000, held(300), live_ml=300)
    assert [(b.volume_ml, b.sub, b.start == b.end) for b in (*first.bookings, *second.bookings)] == [
        (400, 1, True),
        (300, 2, True),
    ]
    third = outcome(second.meter, 1_001, held(300), live_ml=300)
    assert [(b.sub, b.volume_ml) for b in third.bookings] == [(None, 300)]
    assert third.meter.subs == 0


def test_equal_totals_without_flow_are_nothing_whatever_the_display_shows() -> None:
    """A display alone is never a sale."""
    for shown in (None, held(0), held(4), held(20_000)):
        assert outcome(meter(), 1_000, shown).verdict is Verdict.NOTHING
        assert outcome(meter(), 1_000, shown, fuelling=True).verdict is Verdict.ZERO_SALE


def test_flow_seen_but_not_counted_is_told_and_not_booked() -> None:
    """A display above the unit with equal totals raises the mismatch and books nothing."""
    result = outcome(meter(), 1_000, held(5_000), live_ml=5_000)
    assert (result.verdict, result.bookings, result.mismatch) == (Verdict.MISMATCH, (), True)


def test_the_display_is_finer_than_the_totalizer() -> None:
    """Within one unit the held values are booked as they are."""
    result = outcome(meter(unit_ml=100), 1_123, held(12_345))
    assert told(result) == [("NORMAL", 12_345, 1451, "0:1000", "0:1123")]


def test_two_sales_in_a_gap_are_split() -> None:
    """The newest is booked as held, what came before it as recovered, and the intervals join."""
    result = outcome(meter(), 3_500, held(15_000), several=True, old=(Fingerprint(1, 8_000, 940, PRICE),))
    assert told(result) == [
        ("RECOVERED", 10_000, 1175, "0:1000", "0:2000"),
        ("NORMAL", 15_000, 1763, "0:2000", "0:3500"),
    ]
    assert result.bookings[0].flags == ("amount_estimated", "covers_several")
    assert result.bookings[1].flags == ()


def test_the_rest_of_a_split_takes_the_amount_that_the_held_sale_leaves() -> None:
    """With amount totals the recovered part is exact."""
    stored = meter(amount_raw=50_000, amount_modulus=10**10)
    result = outcome(stored, 3_500, held(15_000), amount_raw=52_940)
    assert [(b.kind.value, b.amount_minor, b.flags) for b in result.bookings] == [
        ("RECOVERED", 1177, ()),
        ("NORMAL", 1763, ()),
    ]


def test_an_old_display_is_not_used() -> None:
    """Held values equal to the last sale, with nothing that proves them new, leave all litres to the totalizer."""
    old = (Fingerprint(1, 15_000, 1763, PRICE),)
    assert told(outcome(meter(), 3_500, held(15_000), old=old)) == [("RECOVERED", 25_000, 2938, "0:1000", "0:3500")]


@pytest.mark.parametrize("proof", [{"live_ml": 14_000}, {"new_sequence": True}], ids=["flow seen", "new sequence"])
def test_equal_values_that_are_proved_new_are_split(proof: dict[str, Any]) -> None:
    """A flow seen in this fuelling or a new device number makes equal values a new sale."""
    result = outcome(meter(), 3_500, held(15_000), old=(Fingerprint(1, 15_000, 1763, PRICE),), **proof)
    assert [b.kind.value for b in result.bookings] == ["RECOVERED", "NORMAL"]


def test_amount_totals_prove_a_sale_at_a_new_price() -> None:
    """Where only the split explains the amount total, equal values are new."""
    stored = meter(amount_raw=0, amount_modulus=10**10, unit_price_milli=1_000)
    old = (Fingerprint(1, 15_000, 1763, None),)
    result = outcome(stored, 3_500, held(15_000), amount_raw=1_000 + 1_763, old=old)
    assert [(b.kind.value, b.amount_minor) for b in result.bookings] == [("RECOVERED", 1_000), ("NORMAL", 1_763)]


def test_a_display_below_the_flow_seen_is_not_this_fuelling() -> None:
    """More was seen flowing than the display tells: the litres are recovered whole."""
    assert [b.kind.value for b in outcome(meter(), 3_500, held(5_000), live_ml=20_000).bookings] == ["RECOVERED"]


def test_a_display_above_the_meter_is_told_and_the_meter_booked() -> None:
    """What the pump did not count is never booked."""
    result = outcome(meter(), 2_000, held(30_000))
    assert told(result) == [("RECOVERED", 10_000, 1175, "0:1000", "0:2000")]
    assert result.mismatch


def test_rollover_raises_the_epoch() -> None:
    """A wrap inside a sale ends in the next epoch, and the next sale starts there."""
    stored = meter(99_900, modulus=100_000, epoch=4)
    result = outcome(stored, 100, held(2_000))
    assert told(result) == [("NORMAL", 2_000, 235, "4:99900", "5:100")]
    split = outcome(stored, 300, held(2_000))
    assert told(split)[0][3:] == ("4:99900", "5:100")
    assert told(split)[1][3:] == ("5:100", "5:300")


def test_amount_totals_wrap_at_their_own_modulus() -> None:
    """The amount total has its own rollover."""
    stored = meter(amount_raw=99_000, amount_modulus=100_000)
    assert outcome(stored, 2_000, None, amount_raw=175).bookings[0].amount_minor == 1_175


def test_a_replaced_amount_total_is_not_believed() -> None:
    """An absurd difference of amounts falls back to volume times price, marked as estimated."""
    stored = meter(amount_raw=99_000, amount_modulus=10**10)
    booking = outcome(stored, 2_000, None, amount_raw=5).bookings[0]
    assert (booking.amount_minor, booking.flags) == (1_175, ("amount_estimated",))


def test_recovered_litres_take_the_price_in_force_at_the_stored_total() -> None:
    """A price changed since does not reach back."""
    booking = outcome(meter(unit_price_milli=1_000), 2_000, None, unit_price_milli=2_000).bookings[0]
    assert (booking.unit_price_milli, booking.amount_minor) == (1_000, 1_000)
    unknown = outcome(meter(unit_price_milli=None), 2_000, None, unit_price_milli=2_000).bookings[0]
    assert unknown.unit_price_milli == 2_000


def test_an_amount_beyond_the_tolerance_is_booked_and_flagged() -> None:
    """The device's amount is the charge even where it is not volume times price."""
    fits = outcome(meter(), 2_000, held(10_000, 1_177)).bookings[0]
    beyond = outcome(meter(), 2_000, held(10_000, 1_178)).bookings[0]
    assert (fits.amount_minor, fits.flags) == (1_177, ())
    assert (beyond.amount_minor, beyond.flags) == (1_178, ("AMOUNT_MISMATCH",))


def test_too_much_in_one_gap_or_another_counter_waits_for_a_supervisor() -> None:
    """Nothing is booked above max_delta, after another unit or modulus, or for a raw value beyond the counter."""
    rules = Rules(max_delta_ml=10_000)
    assert outcome(meter(), 2_000, None, rules=rules).verdict is Verdict.BOOKED
    assert outcome(meter(), 2_001, None, rules=rules).verdict is Verdict.METER_RESET
    other = TotalizerReading(1, 1, 1_010, 100, 10**10)
    assert compare(meter(), other, None, Evidence(PRICE), Rules()).verdict is Verdict.METER_RESET
    beyond = TotalizerReading(1, 1, 1_010, 10, 1_000)
    assert compare(meter(modulus=1_000), beyond, None, Evidence(PRICE), Rules()).verdict is Verdict.METER_RESET


def test_a_queue_is_emptied_from_its_oldest_sale() -> None:
    """Each record starts where the last ended; the meter keeps the rest for the next one."""
    first = outcome(meter(), 3_500, held(10_000, token="7"), oldest_first=True)
    assert told(first) == [("NORMAL", 10_000, 1175, "0:1000", "0:2000")]
    assert first.more
    second = outcome(first.meter, 3_500, held(15_000, token="8"), oldest_first=True)
    assert told(second) == [("NORMAL", 15_000, 1763, "0:2000", "0:3500")]
    assert not second.more


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (2_234, []),
        (2_235, []),
        (3_000, [("RECOVERED", 7_660, 900, "0:2234", "0:3000")]),
    ],
)
def test_after_a_sale_accepted_by_hand_only_the_rest_is_booked(raw: int, expected: list[object]) -> None:
    """The next readable total is reduced by what a supervisor accepted."""
    result = outcome(meter(accepted_ml=12_340, accepted_minor=1_450), raw, None)
    assert told(result) == expected
    assert (result.meter.total.raw, result.meter.accepted_ml) == (raw, 0)


def test_more_accepted_than_metered_is_told_and_never_negative() -> None:
    """An acceptance above the meter's movement is a mismatch; the meter goes on from what it reads."""
    result = outcome(meter(accepted_ml=12_340), 1_500, held(12_340))
    assert (result.verdict, result.bookings, result.meter.total.raw) == (Verdict.MISMATCH, (), 1_500)


@given(
    st.integers(0, 99_999),
    st.integers(0, 2_000),
    st.one_of(st.none(), st.integers(0, 30_000)),
    st.one_of(st.none(), st.integers(1, 30_000)),
    st.sampled_from((1, 10, 100, 1_000)),
    st.booleans(),
)
def test_bookings_always_cover_the_movement(
    start: int, moved: int, shown: int | None, live: int | None, unit_ml: int, known: bool
) -> None:
    """Whatever is shown, the booked volumes equal the movement within a unit and their intervals join."""
    stored = meter(start, unit_ml=unit_ml, modulus=100_000)
    old = (Fingerprint(1, shown or 0, None, None),) if known else ()
    result = outcome(stored, (start + moved) % 100_000, None if shown is None else held(shown), live_ml=live, old=old)
    assert abs(sum(b.volume_ml for b in result.bookings) - moved * unit_ml) <= unit_ml
    at = stored.total
    for booking in result.bookings:
        assert booking.start == at
        assert booking.volume_ml > 0
        assert (booking.sub is None) == (booking.start != booking.end)
        assert booking.end is not None
        at = booking.end
    assert at == result.meter.total
    assert at.raw == (start + moved) % 100_000
