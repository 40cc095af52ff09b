"""Coupons and what is given once: claims of a token, a coupon's life, keys, grants and benefits found twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from agent.domain import coupons
from agent.domain.coupons import Claims, Coupon, CouponError, CouponState, CouponUsed, claims_of
from agent.domain.ledger import Account, LedgerError, Lot, Posting, apply_to_lots, balances
from agent.domain.once import (
    PROGRAM,
    SETTLED,
    Benefit,
    Key,
    grant,
    grant_key,
    granted_lot,
    keyed,
    overruns,
    refund_fact,
    unposted,
)
from agent.domain.rules.facts import PresentedCoupon
from tests.support.loyalty import MEMBER

CLAIMS = Claims("WASH-0001", "car-wash", MEMBER, "SH-0421", date(2026, 12, 31), 5_000)
PLAIN = Coupon(Claims("WASH-0002", "car-wash"))
NOW, LATER = 1_000, 2_000


def test_claims_travel_and_return():
    """What the token carries is read back as it was, whole or with everything left open; more members are left alone."""
    assert CLAIMS.record() == {
        "code": "WASH-0001",
        "offer": "car-wash",
        "member": MEMBER,
        "station": "SH-0421",
        "expires_on": "2026-12-31",
        "balance_minor": 5_000,
    }
    assert claims_of({**CLAIMS.record(), "iss": "head-office"}) == CLAIMS
    assert claims_of({"code": "a", "offer": "b"}) == Claims("a", "b")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("code", None), ("code", ""), ("code", "-x"), ("code", "x" * 65), ("code", 7),
        ("offer", None), ("offer", "Car"), ("offer", "x" * 41),
        ("member", "567014F1B3C2A9DE"), ("member", "567014f1b3c2a9d"), ("member", ""),
        ("station", "SH 1"), ("station", "x" * 33),
        ("expires_on", "31.12.2026"), ("expires_on", 20261231),
        ("balance_minor", 0), ("balance_minor", -1), ("balance_minor", "5"), ("balance_minor", True), ("balance_minor", 1.5),
    ],
)  # fmt: skip
def test_claims_that_cannot_be_are_refused(name, value):
    """A token whose claim is not what it should be is refused by the claim's name."""
    with pytest.raises(CouponError, match=f"coupon's {name} cannot be"):
        claims_of({**CLAIMS.record(), name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("code", "x" * 64), ("offer", "x" * 40), ("station", "x" * 32), ("balance_minor", 1)]
)
def test_longest_and_smallest_claims_are_read(name, value):
    """The last length that fits and the smallest balance are taken."""
    assert claims_of({**CLAIMS.record(), name: value}).record()[name] == value


def test_engine_sees_the_coupon():
    """The engine is told holder, station, last day, what is left, whether it is used, and a confirmation."""
    assert Coupon(CLAIMS).presented() == PresentedCoupon(
        "WASH-0001", "car-wash", MEMBER, date(2026, 12, 31), used=False, balance_minor=5_000, station="SH-0421"
    )
    spent = coupons.use(Coupon(CLAIMS), CouponUsed("S1", 5_000))
    shown = spent.presented(confirmed=True)
    assert (shown.used, shown.balance_minor, shown.confirmed) == (True, None, True)


def test_coupon_is_used_once():
    """Settled with one sale, the coupon is refused for the next and named with the first; a repeat changes nothing."""
    used = coupons.use(PLAIN, CouponUsed("S1", 300))
    assert (PLAIN.state, used.state, used.used) == (CouponState.ISSUED, CouponState.USED, True)
    assert [state.value for state in CouponState] == ["issued", "reserved", "used"]
    assert coupons.use(used, CouponUsed("S1", 300)) == used
    with pytest.raises(CouponError, match="WASH-0002: sale S1 used 300 of it already"):
        coupons.use(used, CouponUsed("S1", 301))
    with pytest.raises(CouponError, match="was used on sale S1"):
        coupons.use(used, CouponUsed("S2", 300))
    with pytest.raises(CouponError, match="was used on sale S1"):
        coupons.reserve(used, "S2", NOW, LATER)


def test_reservation_holds_the_coupon_for_one_sale():
    """While one sale is being paid no other gets the coupon; the same sale may quote again, and using it ends the hold."""
    held = coupons.reserve(PLAIN, "S1", NOW, LATER)
    assert (held.state, held.reserved_for) == (CouponState.RESERVED, "S1")
    assert coupons.reserve(held, "S1", NOW, LATER + 5).reserved_until_ms == LATER + 5
    with pytest.raises(CouponError, match="held by sale S1"):
        coupons.reserve(held, "S2", LATER - 1, LATER)
    with pytest.raises(CouponError, match="held by sale S1"):
        coupons.use(held, CouponUsed("S2", 1))
    assert coupons.use(held, CouponUsed("S1", 1)) == Coupon(PLAIN.claims, (CouponUsed("S1", 1),))


def test_reservation_ends_by_release_or_time():
    """Its own sale releases a coupon, and its instant does; nothing else does."""
    held = coupons.reserve(PLAIN, "S1", NOW, LATER)
    assert coupons.release(held, "S1") == PLAIN
    assert coupons.release(held, "S2") == held
    assert coupons.timed_out(held, LATER - 1) == held
    assert coupons.timed_out(held, LATER) == PLAIN
    assert coupons.timed_out(PLAIN, LATER) == PLAIN
    assert coupons.reserve(held, "S2", LATER, LATER + 5).reserved_for == "S2"


def test_balance_is_kept_until_it_is_spent():
    """A coupon that keeps its balance is used again until nothing is left."""
    once = coupons.use(Coupon(CLAIMS), CouponUsed("S1", 3_860, 1_140))
    assert (once.state, once.balance_minor) == (CouponState.ISSUED, 1_140)
    empty = coupons.use(once, CouponUsed("S2", 1_140, 0))
    assert (empty.state, empty.balance_minor) == (CouponState.USED, 0)


def test_full_refund_gives_the_coupon_back():
    """The use is undone: the last one restores what was left before it, an earlier one adds its value to what is left."""
    once = coupons.use(Coupon(CLAIMS), CouponUsed("S1", 2_000, 3_000))
    twice = coupons.use(once, CouponUsed("S2", 3_000, 0))
    assert coupons.give_back(twice, "S2") == once
    first = coupons.give_back(twice, "S1")
    assert (first.balance_minor, first.state, len(first.uses)) == (2_000, CouponState.ISSUED, 1)
    assert coupons.give_back(first, "S2") == Coupon(CLAIMS)
    assert coupons.give_back(twice, "S9") == twice
    thrice = replace(twice, uses=(*twice.uses[:1], CouponUsed("S2", 1_000, 2_000), CouponUsed("S3", 2_000)))
    assert [use.left_minor for use in coupons.give_back(thrice, "S1").uses] == [4_000, 2_000]


# --- once ----------------------------------------------------------------------------------------------------------

BIRTHDAY = granted_lot(grant_key("birthday", "2026"), 500, NOW, date(2027, 12, 31))
LEGS = (Posting(Account.AVAILABLE, 5, "S1", MEMBER), Posting(Account.ISSUED, -5, "S1"))


def test_legs_of_a_fact_have_their_own_keys():
    """A settlement and each refund of a sale number their legs from 1, and no two legs share a key."""
    settled, refunded = keyed("S1", SETTLED, LEGS), keyed("S1", refund_fact(500), LEGS)
    assert [key for key, _ in settled] == [Key("S1", "settled/1", "program"), Key("S1", "settled/2", "program")]
    assert [key for key, _ in refunded] == [Key("S1", "refunded:500/1", PROGRAM), Key("S1", "refunded:500/2", PROGRAM)]
    assert keyed("S1", SETTLED, LEGS[:1], "welcome")[0] == (Key("S1", "settled/1", "welcome"), LEGS[0])


def test_repeated_fact_is_posted_once():
    """A fact whose legs are all there posts nothing, a new one everything, and half of one is an error."""
    legs = keyed("S1", SETTLED, LEGS)
    first = {key for key, _ in legs}
    assert unposted(frozenset(), legs) == LEGS
    assert unposted(first, legs) == ()
    assert unposted(first, keyed("S1", refund_fact(1), LEGS)) == LEGS
    with pytest.raises(LedgerError, match="1 of 2 legs of S1"):
        unposted({legs[0][0]}, legs)


def test_grant_is_given_once_per_key():
    """A birthday is granted once a year, whoever asks again; the points may be spent at once."""
    assert (BIRTHDAY.id, BIRTHDAY.source, BIRTHDAY.usable(NOW, date(2026, 11, 22))) == ("birthday:2026", "grant", True)
    first = grant(MEMBER, BIRTHDAY, ())
    assert balances(first) == {(Account.AVAILABLE, MEMBER): 500, (Account.ISSUED, None): -500}
    assert grant(MEMBER, BIRTHDAY, {"birthday:2026"}) == ()
    assert grant(MEMBER, replace(BIRTHDAY, id="birthday:2027"), {"birthday:2026"}) != ()


def test_grant_repays_a_debt_first():
    """Of 500 granted points 120 repay what is owed."""
    made = grant(MEMBER, BIRTHDAY, (), debt=120)
    assert balances(made)[Account.AVAILABLE, MEMBER] == 380
    assert balances(made)[Account.DEBT, MEMBER] == 120
    assert apply_to_lots([replace(BIRTHDAY, points=0)], made)[0].points == 380


def test_benefit_found_twice_is_kept_and_posted_to_overrun():
    """Of three welcomes at three stations the first stands; the others move from issued to overrun, the member keeps them."""
    gifts = [
        Benefit("S3", MEMBER, 30, points=100),
        Benefit("S1", MEMBER, 10, points=100),
        Benefit("S2", MEMBER, 20, points=100),
    ]
    found = overruns("welcome", [*gifts, gifts[0]])
    assert [over.sale for over in found] == ["S2", "S3"]
    assert found[0].postings == (Posting(Account.ISSUED, 100, "welcome"), Posting(Account.OVERRUN, -100, "welcome"))
    assert overruns("welcome", gifts[:1]) == overruns("welcome", []) == ()


def test_money_and_articles_found_twice_are_told_without_postings():
    """A coupon for money, or for an article, that was used twice is told with its worth and moves no points."""
    found = overruns(
        "WASH-1", [Benefit("S2", None, 10), Benefit("S1", MEMBER, 10, 300), Benefit("S3", MEMBER, 11, 300)]
    )
    assert [(over.sale, over.member, over.value_minor, over.postings) for over in found] == [
        ("S2", None, 0, ()),
        ("S3", MEMBER, 300, ()),
    ]


def test_coupon_with_a_balance_overruns_by_what_exceeds_it():
    """50.00 used as 30.00, 20.00 and, at a third station, 0.01: only the last fen is too much."""
    gifts = [Benefit("S1", MEMBER, 1, 3_000), Benefit("S2", MEMBER, 2, 2_000)]
    assert overruns("WASH-1", gifts, 5_000) == ()
    assert [over.value_minor for over in overruns("WASH-1", [*gifts, Benefit("S3", MEMBER, 3, 1)], 5_000)] == [1]
    found = overruns("WASH-1", [*gifts, Benefit("S3", MEMBER, 3, 9)], 4_000)
    assert [(over.value_minor, over.points, over.postings) for over in found] == [(1_000, 0, ()), (9, 0, ())]


def test_a_lot_granted_without_an_end_never_ends():
    """A grant may have no last day."""
    assert granted_lot("g", 1, 0, None) == Lot("g", 1, 0, 0, None, "grant")
