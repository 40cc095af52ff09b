"""Coupons at a till: checked by signature, refused with what to do, used once, kept or brought back as the rules say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sync.signing import new_key
from tests.support.till import MEMBER, OTHER, Till, asked, loyal_till, token


@pytest.fixture
def till() -> Iterator[Till]:
    """A till with a coupon offer; everything adds up afterwards."""
    yield from loyal_till()


def test_a_signed_coupon_is_worth_what_it_says_and_is_used_once(till: Till) -> None:
    """Checked by head office's signature alone; the second time it is refused, by token and by code."""
    settled = till.settle(till.fuelled(), coupons=[token("C-1", "ten")])
    assert (settled["net_minor"], asked(settled)) == (14_700, [("APPLIED", "OK", 1_000)])
    for again in (token("C-1", "ten"), "C-1"):
        assert "COUPON_USED" in till.settle(till.fuelled(), coupons=[again])["error"]
    assert till.records("fc.sale.settled.v1")[0]["coupons"] == [
        {"code": "C-1", "offer": "ten", "value_minor": 1_000, "left_minor": None, "used": True}
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("C-9", "not known at this station"),
        (token("C-1", "ten", key=new_key("ho-1")), "bad_signature"),
        (token("C-1", "ten", key=new_key("ho-2")), "unknown_key"),
        (token("C-1", "ten")[:-2], "bad_signature"),
        ("a.b.c", "malformed"),
        (token("C-1", "ten", not_after="2020-01-02T00:00:00.000Z"), "expired"),
        (token("C-1", "ten", balance_minor=-5), "balance_minor"),
        (token("C-1", "camp"), "do not have as a coupon"),
        (token("C-1", "gone"), "do not have as a coupon"),
    ],
)
def test_what_is_no_coupon_of_ours_is_refused_with_what_to_do(till: Till, given: str, said: str) -> None:
    """Each refusal says what is wrong and a next step; nothing is settled and nothing is learned."""
    sale = till.fuelled()
    for refused in (till.quote(sale, coupons=[given]), till.settle(sale, coupons=[given])):
        assert said in refused["error"]
        assert refused["hint"]
    assert till.state(("coupon", "settlement")) == {"coupon": [], "settlement": []}


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"member": OTHER}, "COUPON_NOT_HOLDER"),
        ({"expires_on": "2026-01-04"}, "COUPON_EXPIRED"),
        ({"expires_on": "2026-01-05"}, "OK"),
        ({"member": MEMBER, "station": "SIM-0001"}, "OK"),
    ],
)
def test_a_coupon_is_for_its_holder_and_its_days(till: Till, claims: dict[str, Any], code: str) -> None:
    """Holder and last day come from the token, and the quote tells the verdict."""
    assert [told[1] for told in asked(till.quote(till.fuelled(), coupons=[token("C-1", "ten", **claims)]))] == [code]


def test_a_coupon_in_a_held_quote_is_not_given_to_another_sale(till: Till) -> None:
    """One coupon, two sales at two tills: the second is told which sale holds it."""
    first, second = till.fuelled(), till.fuelled()
    till.quote(first, coupons=[token("C-1", "ten")], lock=True)
    assert f"held by sale {first}" in till.settle(second, coupons=["C-1"])["error"]
    till.ask("sales.unlock", sale=first)
    assert till.settle(second, coupons=["C-1"])["discount_minor"] == 1_000


def test_a_coupon_that_keeps_its_balance_is_used_up_by_and_by(till: Till) -> None:
    """What a small sale leaves on it the next one takes; a void of the first gives its part back to the coupon."""
    small, large = till.fuelled(800), till.fuelled()
    assert asked(till.settle(small, coupons=[token("C-1", "ten")])) == [("CAPPED", "CAPPED_AMOUNT", 628)]
    assert asked(till.settle(large, coupons=["C-1"])) == [("APPLIED", "OK", 372)]
    assert "COUPON_USED" in till.settle(till.fuelled(), coupons=["C-1"])["error"]
    assert till.ask("sales.void", sale=small, reason="spilled")["data"]["coupons"] == ["C-1"]
    assert till.settle(till.fuelled(), coupons=["C-1"])["discount_minor"] == 628


def test_a_coupon_comes_back_with_the_full_refund_only(till: Till) -> None:
    """Half the money leaves the coupon used; the rest brings it back, and it can be used again."""
    sale = till.fuelled()
    till.settle(sale, coupons=[token("C-1", "ten")])
    assert till.ask("sales.refund", sale=sale, amount_minor=700, reason="spilled")["ok"]
    assert "COUPON_USED" in till.quote(till.fuelled(), coupons=["C-1"])["asked"][0]["code"]
    assert till.ask("sales.void", sale=sale, reason="wrong pump")["data"]["coupons"] == ["C-1"]
    assert till.records("fc.sale.corrected.v1")[-1]["coupons"] == ["C-1"]
    assert till.settle(till.fuelled(), coupons=["C-1"])["discount_minor"] == 1_000
