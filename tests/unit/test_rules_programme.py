"""The example programme: what `make demo` runs with, and what its offers give, each just on both sides of its line."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from agent.domain.rules.facts import BudgetView, Presented, PresentedCoupon
from agent.domain.rules.lint import lint
from agent.domain.rules.load import parse
from agent.domain.rules.verdict import Code, Verdict
from tests.support.loyalty import MEMBER, instant, member, run, sale

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config" / "rules.example.toml"
TEXT = EXAMPLE.read_text(encoding="utf-8")
RULES = parse(tomllib.loads(TEXT))
TUESDAY = instant("2026-11-24T16:00:00+08:00")
WEDNESDAY = instant("2026-11-25T16:00:00+08:00")
REGULAR = member(first_fill_used=True)
GOLD = member(tier="gold", first_fill_used=True)


def test_the_demo_runs_with_the_example() -> None:
    """What a designer reads is what the demo shows: both files are one text."""
    assert (ROOT / "agent" / "demo" / "rules.toml").read_text(encoding="utf-8") == TEXT


def test_nothing_in_it_is_questionable() -> None:
    """It can be published as it is."""
    assert lint(tomllib.loads(TEXT)) == ()


@pytest.mark.parametrize(
    ("who", "at", "points"),
    [
        (REGULAR, WEDNESDAY, 276), (REGULAR, TUESDAY, 552),
        (GOLD, WEDNESDAY, 402), (GOLD, TUESDAY, 671),
        (member(tier="gold", first_fill_used=True, birthday_md="11-24"), TUESDAY, 805),
        (member(), WEDNESDAY, 476),
    ],
)  # fmt: skip
def test_points_of_300(who, at, points):
    """38.217 L for 300.00: 3.82 or 11.47 and 20.00 off; 1 point per 1.00, gold 1.5 times, Tuesday and birthday one more
    each, never above 3 times; the first fill brings 200.
    """
    evaluation = run(RULES, sale(30_000), who, at=at)
    assert evaluation.points_earned + evaluation.bonus_points == points


@pytest.mark.parametrize(("amount_minor", "off_minor"), [(19_999, 255), (20_000, 2_255)])
def test_20_off_per_200(amount_minor, off_minor):
    """A fen below 200.00 only the litres count."""
    assert run(RULES, sale(amount_minor, volume_ml=25_478), REGULAR, at=WEDNESDAY).discount_minor == off_minor


@pytest.mark.parametrize(("volume_ml", "off_minor"), [(60_000, 1_800), (60_001, 1_800), (50_000, 1_500)])
def test_030_per_litre_for_gold(volume_ml, off_minor):
    """Up to 60 litres, in place of the 0.10 of every member."""
    evaluation = run(RULES, sale(volume_ml=volume_ml, price_milli=3_000), GOLD, at=WEDNESDAY)
    assert evaluation.verdict("gold-litre").value_minor == off_minor
    assert evaluation.verdict("member-litre").code is Code.GROUP_TAKEN


@pytest.mark.parametrize(
    ("coupon", "verdict", "code"),
    [
        (PresentedCoupon("W1", "car-wash", station="SH-0421"), Verdict.APPLIED, Code.OK),
        (PresentedCoupon("W1", "car-wash", station="SH-0422"), Verdict.REJECTED, Code.WRONG_STATION),
        (PresentedCoupon("W1", "car-wash", station="SH-0422", confirmed=True), Verdict.APPLIED, Code.OK),
        (PresentedCoupon("W1", "car-wash", MEMBER, station="SH-0421", used=True), Verdict.REJECTED, Code.COUPON_USED),
        (
            PresentedCoupon("W1", "car-wash", expires_on=date(2026, 11, 24), station="SH-0421"),
            Verdict.REJECTED, Code.COUPON_EXPIRED,
        ),
    ],
)  # fmt: skip
def test_a_car_wash_coupon(coupon, verdict, code):
    """Taken at its own station or once confirmed, once, up to its last day."""
    facts = replace(sale(), presented=Presented("fm1_dynamic", coupons=(coupon,)))
    evaluation = run(RULES, facts, REGULAR, at=WEDNESDAY)
    assert (evaluation.verdict("car-wash").verdict, evaluation.verdict("car-wash").code) == (verdict, code)
    assert [gift.item for gift in evaluation.gifts] == (["car-wash"] if verdict is Verdict.APPLIED else [])


def test_points_pay_up_to_30_per_cent():
    """Of 276.18 that are left to pay, 82.00 may be paid by 8,200 points."""
    evaluation = run(
        RULES, sale(30_000, points=50_000), REGULAR, budgets=BudgetView(points_usable=50_000), at=WEDNESDAY
    )
    assert (evaluation.points_redeemed, evaluation.points_money_minor) == (8_200, 8_200)
