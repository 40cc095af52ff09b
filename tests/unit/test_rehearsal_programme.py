"""Scripts of what head office does in memory: grants, tiers, coupons, leases and budgets, and every message twice."""

from __future__ import annotations

from agent.domain.ledger import Account, Posting
from agent.domain.pools import Pool
from agent.domain.tiers import TierState
from agent.rehearsal.reading import Setting
from agent.rehearsal.state import check
from agent.rehearsal.world import Member, World
from tests.support.loyalty import MEMBER, SHANGHAI, Table, member, rules
from tests.support.rehearsal import (
    COUPON,
    EARN,
    ISSUE,
    LEND,
    OTHER,
    PAY,
    POINTS,
    SPRING,
    VOID_1,
    joins,
    lots_of,
    member_of,
    played,
    sells,
)


def test_every_message_may_come_twice():
    """The same message again gets an answer and changes nothing, whatever its kind."""
    events = [
        joins(),
        *LEND,
        {**POINTS, "key": "g:1"},
        ISSUE,
        sells("S1", 20_000, points=100, coupons=["C-1"]),
        sells("S2", quote_only=True),
        {"kind": "settle", "sale": "S2"},
        sells("S3", member=None, quote_only=True, id="S3"),
        {"kind": "void", "sale": "S3"},
        {"kind": "refund", "sale": "S1", "amount_minor": 500},
        {"kind": "relink", "sale": "S2", "id": "moved"},
        {"kind": "late_link", "sale": "S2", "member": MEMBER},
        sells("S4", held=True),
        {"kind": "release", "sale": "S4"},
        {"kind": "expire", "at": "2027-06-01T00:00:00"},
        {"kind": "tier_evaluation"},
        {"kind": "lease", "lease": "L1", "action": "close_out"},
        {"kind": "reincarnation"},
        {"kind": "day", "at": "2027-06-02T00:00:00"},
        {"kind": "void", "sale": "S4"},
    ]
    twice = []
    for number, event in enumerate(events):
        name = event.get("id", f"m{number}")
        twice += [{**event, "id": name}, {"kind": "repeat", "id": f"{name}-again", "of": name}]
    rows = played(twice, EARN, PAY, COUPON, SPRING, program={"validity_months": 6})
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        assert not first["refused"], first
        assert second["state"] == first["state"]
        if first["kind"] in ("sale", "settle", "void", "refund", "relink", "late_link", "release"):
            assert second["answer"] == first["answer"]


def test_grants_are_given_once_per_key():
    """A second message with the same key gives nothing; a key counts per member."""
    rows = played([joins(), joins(OTHER), POINTS, {**POINTS, "id": "x"}, {**POINTS, "member": OTHER}], EARN)
    assert [row["answer"]["granted"] for row in rows[2:]] == [True, False, True]
    assert (lots_of(rows[4]), lots_of(rows[4], OTHER)) == ({"welcome": 1_000}, {"welcome": 1_000})


def test_a_gift_for_a_tier_is_due_once_per_growth_window():
    """Whatever its key: a member who lost the tier and reached it again within the window gets no second gift."""
    gift: Table = {"kind": "grant", "member": MEMBER, "points": 500, "tier": "gold"}
    rows = played(
        [
            joins(),
            {**gift, "key": "a"},
            {**gift, "key": "b"},
            {**gift, "key": "c", "at": "2027-05-02T09:00:00"},
        ],
        program={"growth_window": "ROLLING_MONTHS", "growth_length": 12},
    )
    assert [row["answer"]["granted"] for row in rows[1:]] == [True, False, True]


def test_a_tier_falls_after_its_grace_and_growth_keeps_it():
    """A downgrade is fixed at the evaluation, holds off for the days of grace, and growth regained cancels it."""
    program = {"growth_window": "ROLLING_DAYS", "growth_length": 30, "downgrade_grace_days": 10}
    begin = [
        joins(growth=1_000_000, tier="gold"),
        {"kind": "tier_evaluation", "at": "2026-06-10T00:05:00"},
    ]
    wait = {"kind": "day", "at": "2026-06-20T23:59:59"}
    over = {"kind": "day", "at": "2026-06-21T00:00:00"}
    rows = played([*begin, wait, over], EARN, program=program)
    assert rows[1]["answer"]["members"] == [
        {"member": MEMBER, "growth": 0, "tier": "gold", "falls_to": "silver", "falls_on": "2026-06-21"}
    ]
    assert [(member_of(row)["tier"], member_of(row)["falls_on"]) for row in rows] == [
        ("gold", None), ("gold", "2026-06-21"), ("gold", "2026-06-21"), ("silver", None)
    ]  # fmt: skip
    rows = played([*begin, sells("S1", 1_000_000, at="2026-06-15T09:00:00"), over], EARN, program=program)
    assert [(member_of(row)["tier"], member_of(row)["falls_on"]) for row in rows[2:]] == [("gold", None)] * 2


def test_a_refund_lowers_growth_and_the_tier_waits_for_its_evaluation():
    """The tier reached by a sale stays when the sale is given back, until somebody evaluates it."""
    rows = played(
        [joins(), sells("S1", 300_000), VOID_1, {"kind": "tier_evaluation"}, {"kind": "day", "at": "2026-06-01"}],
        EARN,
        program={"downgrade_grace_days": 0},
    )
    assert [(member_of(row)["tier"], member_of(row)["growth"]) for row in rows] == [
        (None, 0), ("silver", 300_000), ("silver", 0), ("silver", 0), (None, 0)
    ]  # fmt: skip


def test_points_offline_come_from_a_lease_alone():
    """Without a lease the balance is stale; with one a member spends what was lent, and what is lent is not free."""
    lend = {"kind": "lease", "lease": "P1", "member": MEMBER, "points": 600}
    ask: Table = {"points": 1_000, "at": "2026-05-02T09:00:00"}
    rows = played(
        [
            joins(),
            POINTS,
            sells("S1", offline=True, points=1_000),
            lend,
            sells("S2", offline=True, **ask),
            sells("S3", points=1_000),
            {"kind": "void", "sale": "S2"},
            {"kind": "lease", "lease": "P1", "action": "close_out"},
            sells("S4", offline=True, points=100),
            {"kind": "lease", "lease": "P2", "member": MEMBER, "points": 10_000},
        ],
        PAY,
    )
    codes = [row["answer"]["offers"][0]["code"] for row in rows if row["kind"] == "sale"]
    assert codes == ["BALANCE_STALE", "OK", "OK", "BALANCE_STALE"]
    assert [row["answer"]["points_redeemed"] for row in rows if row["kind"] == "sale"] == [0, 600, 400, 0]
    lent = [row["state"]["points_lent"][0] for row in rows[3:9]]
    assert [(pool["balance_points"], pool["free_points"]) for pool in lent] == [
        (1_000, 400), (400, 400), (0, 0), (600, 0), (600, 600), (600, 600)
    ]  # fmt: skip
    assert rows[9]["refusal"]["problem"] == "10000 points asked, 600 may be spent now"


def test_points_that_are_lent_end_once_they_are_back():
    """Head office cannot take away what a station may still spend: the lease is called in first."""
    rows = played(
        [
            joins(),
            {**POINTS, "expires_on": "2026-05-31"},
            {"kind": "lease", "lease": "P1", "member": MEMBER, "points": 600},
            {"kind": "expire", "at": "2026-06-01"},
            {"kind": "lease", "lease": "P1", "action": "close_out"},
            {"kind": "expire"},
        ],
    )
    assert [row["refused"] for row in rows] == [False, False, False, True, False, False]
    assert [member_of(row)["available_points"] for row in rows[3:]] == [1_000, 1_000, 0]
    assert rows[3]["refusal"]["problem"] == f"{MEMBER}: 600 more than is free"


def test_a_campaign_is_never_overspent_and_its_rest_comes_back():
    """Two stations spend what each was lent; close-outs bring the rest home, a lost database keeps its lease out."""
    rows = played(
        [
            joins(),
            {"kind": "budget", "campaign": "spring", "amount_minor": 3_000},
            {"kind": "lease", "lease": "A", "campaign": "spring", "amount_minor": 1_000},
            {"kind": "lease", "lease": "B", "campaign": "spring", "amount_minor": 2_000, "station": "SH-0002"},
            {"kind": "lease", "lease": "C", "campaign": "spring", "amount_minor": 1},
            sells("S1"),
            sells("S2"),
            sells("S3", station="SH-0002"),
            {"kind": "lease", "lease": "A", "action": "close_out"},
            {"kind": "reincarnation", "station": "SH-0002"},
            sells("S4", station="SH-0002"),
            {"kind": "void", "sale": "S1"},
        ],
        SPRING,
    )
    assert rows[4]["refusal"]["problem"] == "spring: 1 asked, 0 free"
    assert [row["answer"]["discount_minor"] for row in rows if row["kind"] == "sale"] == [700, 0, 700, 0]
    pools = [row["state"]["budgets"][0] for row in rows[7:]]
    assert [(pool["balance_minor"], pool["free_minor"]) for pool in pools] == [
        (1_600, 0), (1_600, 300), (1_600, 300), (1_600, 300), (2_300, 1_000)
    ]  # fmt: skip
    assert rows[10]["answer"]["offers"][0]["code"] == "LEASE_EXPIRED"
    assert [lease["state"] for lease in rows[11]["state"]["leases"]] == ["closed", "void"]


def test_a_lease_closes_when_its_last_quote_ends():
    """Called in while a quoted sale holds a part, it takes nothing new and ends with that sale."""
    rows = played(
        [
            joins(),
            *LEND,
            sells("S1", quote_only=True),
            {"kind": "lease", "lease": "L1", "action": "close_out"},
            sells("S2"),
            {"kind": "settle", "sale": "S1"},
        ],
        SPRING,
    )
    assert [row["state"]["leases"][0]["state"] for row in rows[3:]] == ["open", "closing", "closing", "closed"]
    assert rows[5]["answer"]["offers"][0]["code"] == "LEASE_EXPIRED"
    assert rows[6]["state"]["budgets"][0]["free_minor"] == 2_000 - 700


def test_a_coupon_is_used_once_and_comes_back_with_the_whole_refund():
    """A part of the money does not bring it back; the rest does."""
    rows = played(
        [
            joins(),
            ISSUE,
            sells("S1", coupons=["C-1"]),
            sells("S2", coupons=["C-1"]),
            {"kind": "refund", "sale": "S1", "amount_minor": 8_999},
            {"kind": "refund", "sale": "S1", "amount_minor": 1},
            sells("S3", coupons=["C-1"]),
            sells("S4", coupons=["C-2"]),
        ],
        COUPON,
    )
    states = [row["state"]["coupons"][0]["state"] for row in rows[1:7]]
    assert states == ["issued", "used", "used", "used", "issued", "used"]
    assert rows[3]["answer"]["offers"][0]["code"] == "COUPON_USED"
    assert rows[7]["refusal"]["problem"] == "there is no coupon C-2"


def test_a_coupon_keeps_its_balance():
    """What a small sale cannot take stays on the coupon for the next, and comes back in the order of the refunds."""
    offer = {**COUPON, "off_minor": 5_000, "trimmed": "KEEP_BALANCE"}
    rows = played(
        [joins(), ISSUE, sells("S1", 3_000, coupons=["C-1"]), sells("S2", 3_000, coupons=["C-1"]), VOID_1],
        offer,
    )
    assert [row["state"]["coupons"][0]["balance_minor"] for row in rows[1:]] == [None, 2_000, None, 3_000]
    assert [row["answer"]["net_minor"] for row in rows[2:4]] == [0, 1_000]
    assert [row["state"]["coupons"][0]["state"] for row in rows[1:]] == ["issued", "issued", "used", "issued"]


def test_a_coupon_taken_twice_offline_is_kept_by_the_customer_and_borne_by_the_programme():
    """Two stations that cannot ask each take it; the second is an overrun, in money or in points."""
    risky = {"checking": "OFFLINE_WITH_RISK", "risk_up_to_minor": 1_000}
    money = {**COUPON, **risky}
    points = {"id": "ten", "kind": "COUPON", "gives": "BONUS_POINTS", "points": 50, **risky}
    far: Table = {"offline": True, "coupons": ["C-1"], "station": "SH-0002"}
    near: Table = {"offline": True, "coupons": ["C-1"]}
    for offer, value, issued in ((money, 1_000, 0), (points, 0, 50)):
        rows = played(
            [
                joins(),
                ISSUE,
                sells("S1", **near),
                sells("S2", **far),
                sells("S3", **far),
                {"kind": "void", "sale": "S1"},
                sells("S4", **near),
                {"kind": "void", "sale": "S4"},
                {"kind": "void", "sale": "S2"},
            ],
            offer,
        )
        over = {"benefit": "C-1", "member": MEMBER, "value_minor": value, "points": issued}
        assert rows[3]["state"]["overruns"] == [{"sale": "S2", **over}]
        assert rows[3]["state"]["program"]["overrun"] == -issued
        assert rows[4]["answer"]["offers"][0]["code"] == "COUPON_USED"
        assert [row["state"]["overruns"] for row in rows[4:]] == [
            [{"sale": "S2", **over}], [], [{"sale": "S4", **over}], [], []
        ]  # fmt: skip
        assert [row["state"]["coupons"][0]["used_on"] for row in rows[2:]] == [
            ["S1"], ["S1"], ["S1"], ["S2"], ["S2"], ["S2"], []
        ]  # fmt: skip
        assert set(rows[8]["state"]["program"].values()) == {0}


def test_a_first_fill_given_twice_offline_is_kept_and_borne_by_the_programme():
    """A station without a connection knows its own first fills alone; points are moved to overrun, money is told."""
    points = {"id": "welcome", "kind": "BONUS_POINTS", "points": 200, "when": {"first_fill": True}}
    money = {"id": "welcome", "kind": "AMOUNT_OFF", "off_minor": 500, "when": {"first_fill": True}}
    far: Table = {"station": "SH-0002", "offline": True}
    for offer, worth in ((points, (0, 200)), (money, (500, 0))):
        rows = played(
            [joins(), sells("S1"), sells("S2"), sells("S3", **far), sells("S4", **far), VOID_1],
            offer,
        )
        verdicts = [row["answer"]["offers"][0]["verdict"] for row in rows[1:5]]
        assert verdicts == ["APPLIED", "REJECTED", "APPLIED", "REJECTED"]
        (over,) = rows[4]["state"]["overruns"]
        assert (over["sale"], over["benefit"], over["member"]) == ("S3", f"welcome:{MEMBER}", MEMBER)
        assert (over["value_minor"], over["points"]) == worth
        program = rows[4]["state"]["program"]
        assert (program["overrun"], program["issued"]) == (-worth[1], -worth[1])
        assert rows[5]["state"]["overruns"] == []


def test_the_proof_names_what_does_not_agree():
    """A leg too many, a lot that holds what nobody posted, and free points that are not there are all named."""
    at = Setting(rules(EARN), SHANGHAI, "SH-0001", {})
    world = World(at, "0" * 64, "en", 0, members={MEMBER: Member(member(), TierState())})
    assert check(world)["agrees"]
    world.ledger = ((MEMBER, Posting(Account.AVAILABLE, 5, "x", MEMBER)),)
    world.points[MEMBER] = Pool(MEMBER, 7)
    assert check(world)["problems"] == [
        "the postings sum to 5",
        "the balances are not those of the postings",
        f"{MEMBER}: the postings sum to 5, not to 0",
        f"{MEMBER}: member:available is 5, its lots hold 0",
        f"{MEMBER}: free and leases hold 7, the balance is 0",
    ]
