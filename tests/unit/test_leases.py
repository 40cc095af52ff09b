"""Leases at both ends: what a station may spend offline, what head office lends, and what comes back when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agent.domain import leases, pools
from agent.domain.leases import Lease, LeaseError, LeaseEvent, LeaseState, Reservation, Taken
from agent.domain.pools import Granted, Pool
from agent.domain.rules.facts import BudgetView, CampaignBudget
from agent.domain.rules.verdict import Code
from tests.support.loyalty import rules, run, sale

OLD, NEW = "a" * 32, "b" * 32
NOW, LATER, END = 1_000, 2_000, 9_000


def lent(**more: Any) -> Lease:
    """A lease of 1200 that may be spent until END."""
    return replace(Lease("L1", "spring", OLD, 1_200, END), **more)


def reserved(lease: Lease, name: str, amount: int) -> Lease:
    """The lease with an amount kept for a sale until LATER."""
    return leases.reserve(lease, name, amount, now_ms=NOW, until_ms=LATER)


def spent(lease: Lease, name: str, amount: int) -> Lease:
    """The lease after a sale was quoted and settled."""
    return leases.commit(reserved(lease, name, amount), name, amount)


@pytest.mark.parametrize("mode", ["ALL_OR_NOTHING", "PARTIAL"])
def test_worked_case_of_the_budget(mode):
    """12.00 left and two sales that want 7.00 each: the first gets 7.00, the second 0 or, PARTIAL, 5.00."""
    offer = {"id": "x", "kind": "AMOUNT_OFF", "off_minor": 700, "budget": {"campaign": "spring", "mode": mode}}
    lease, given = lent(), []
    for name in ("S1", "S2"):
        evaluation = run(rules(offer), sale(30_000), budgets=BudgetView((lease.campaign(NOW),)))
        given.append((evaluation.discount_minor, evaluation.verdicts[0].code))
        for use in evaluation.budgets:
            lease = spent(lease, name, use.amount_minor)
    second = (0 if mode == "ALL_OR_NOTHING" else 500, Code.BUDGET_EXHAUSTED)
    assert given == [(700, Code.OK), second]
    assert lease.remaining == 500 - second[0]


def test_reservation_is_kept_and_settled():
    """What a quote reserves nobody else may take; its settlement takes it, and what it did not need is free again."""
    quoted = reserved(lent(), "S1", 700)
    assert (quoted.spent, quoted.remaining) == (0, 500)
    settled = leases.commit(quoted, "S1", 699)
    assert (settled.spent, settled.remaining, settled.reserved) == (699, 501, ())
    assert settled.taken == (Taken("S1", 699),)


@pytest.mark.parametrize("amount", [0, -1, 501])
def test_more_than_is_left_is_not_reserved(amount):
    """A reservation is above 0 and at most what is neither spent nor reserved."""
    quoted = reserved(lent(), "S1", 700)
    with pytest.raises(LeaseError, match=f"{amount} asked, 500 left"):
        reserved(quoted, "S2", amount)
    assert reserved(quoted, "S2", 500).remaining == 0


def test_new_quote_of_a_sale_replaces_the_old_one():
    """A sale quoted again holds the new amount only."""
    assert reserved(reserved(lent(), "S1", 1_200), "S1", 300).reserved == (Reservation("S1", 300, LATER),)


def test_repeated_settlement_takes_nothing_more():
    """The same settlement again changes nothing; with another amount, or quoted again, it is refused."""
    once = spent(lent(), "S1", 700)
    assert leases.commit(once, "S1", 700) == once
    with pytest.raises(LeaseError, match="took 700 already, not 600"):
        leases.commit(once, "S1", 600)
    with pytest.raises(LeaseError, match="S1 was settled from it"):
        reserved(once, "S1", 1)


@pytest.mark.parametrize(("name", "amount"), [("S1", 701), ("S1", 0), ("S2", 1)])
def test_settlement_takes_at_most_what_was_reserved(name, amount):
    """A sale that reserved less, or nothing, is to be quoted again."""
    with pytest.raises(LeaseError, match="quote it again"):
        leases.commit(reserved(lent(), "S1", 700), name, amount)


def test_release_and_timeout_free_the_reservation():
    """A void releases its own reservation; time releases those whose instant has come, and the next quote sees it."""
    both = leases.reserve(reserved(lent(), "S1", 700), "S2", 500, now_ms=NOW, until_ms=LATER + 1)
    assert leases.release(both, "S1").reserved == (Reservation("S2", 500, LATER + 1),)
    assert leases.timed_out(both, LATER - 1) == both
    assert leases.timed_out(both, LATER).remaining == 700
    assert leases.reserve(both, "S3", 700, now_ms=LATER, until_ms=END).remaining == 0


def test_lease_past_its_time_settles_what_is_reserved():
    """From its last instant on nothing new is reserved, while a quoted sale is settled as it was told."""
    quoted = reserved(lent(), "S1", 700)
    assert (quoted.live(END - 1), quoted.live(END)) == (True, False)
    with pytest.raises(LeaseError, match="past its time"):
        leases.reserve(quoted, "S2", 1, now_ms=END, until_ms=END + 1)
    assert leases.commit(quoted, "S1", 700).spent == 700


def test_what_the_engine_sees_of_a_lease():
    """A campaign's lease shows what is left and whether it is live; points without a live lease are unknown, not 0."""
    quoted = reserved(lent(), "S1", 1_200)
    assert quoted.campaign(NOW) == CampaignBudget("spring", "L1", 0, live=True)
    assert quoted.campaign(END) == CampaignBudget("spring", "L1", 0, live=False)
    assert (quoted.points(NOW), quoted.points(END)) == (0, None)


@pytest.mark.parametrize("granted", [0, -5])
def test_lease_grants_something(granted):
    """A lease of nothing is no lease."""
    with pytest.raises(LeaseError, match="more than 0"):
        lent(granted=granted)


def test_refund_brings_back_what_a_sale_took():
    """Parts of a refund come back to the lease that gave them, never more than the sale holds."""
    part = leases.give_back(spent(spent(lent(), "S1", 700), "S2", 100), "S1", 300)
    assert (part.spent, part.remaining, part.taken[0].kept) == (500, 700, 400)
    assert leases.give_back(part, "S1", 400).taken == (Taken("S1", 700, 700), Taken("S2", 100))
    assert (leases.give_back(part, "S1", 1).spent, leases.give_back(part, "S1", 0)) == (499, part)
    for amount in (401, -1):
        with pytest.raises(LeaseError, match="S1 holds 400"):
            leases.give_back(part, "S1", amount)


@pytest.mark.parametrize("state", [LeaseState.CLOSED, LeaseState.VOID])
def test_refund_of_an_ended_lease_goes_to_head_office(state):
    """A lease that is closed or void gets nothing back at the station."""
    ended = replace(spent(lent(), "S1", 700), state=state)
    assert leases.give_back(ended, "S1", 700) == ended


def test_close_out_waits_for_quoted_sales():
    """A lease on its way back takes no new sale, settles the quoted ones, and is closed with the last of them."""
    quoted = leases.reserve(reserved(lent(), "S1", 700), "S2", 100, now_ms=NOW, until_ms=LATER)
    closing = leases.close_out(quoted)
    assert (closing.state, closing.live(NOW)) == (LeaseState.CLOSING, False)
    with pytest.raises(LeaseError, match="closing"):
        reserved(closing, "S3", 1)
    one = leases.commit(closing, "S1", 700)
    assert one.state is LeaseState.CLOSING
    assert leases.give_back(one, "S1", 700).spent == 0
    for end in (leases.release(one, "S2"), leases.timed_out(one, LATER), leases.commit(one, "S2", 100)):
        assert end.state is LeaseState.CLOSED
        assert leases.close_out(end) == end


def test_idle_lease_is_closed_at_once():
    """Without quoted sales the close-out is done; releasing and timing out never close an open lease."""
    assert leases.close_out(lent()).state is LeaseState.CLOSED
    assert leases.timed_out(lent(), END).state is LeaseState.OPEN


def test_states_and_events_have_their_names_on_the_wire_and_on_disk():
    """What is stored and sent keeps its name."""
    assert [state.value for state in LeaseState] == ["open", "closing", "closed", "void"]
    assert [event.value for event in LeaseEvent] == ["received", "closed_out", "void"]


def test_records_of_the_wire():
    """The record tells what was spent and what remains, reservations not counted; of a void lease nobody knows [W-52]."""
    quoted = reserved(spent(lent(), "S1", 700), "S2", 100)
    known = {"lease": "L1", "spent": 700, "remaining": 500}
    assert quoted.record(LeaseEvent.RECEIVED) == {"event": "received", **known}
    assert quoted.record(LeaseEvent.CLOSED_OUT) == {"event": "closed_out", **known}
    assert quoted.record(LeaseEvent.VOID) == {"lease": "L1", "event": "void", "spent": None, "remaining": None}


def test_leases_are_void_after_a_reincarnation():
    """A new incarnation spends nothing that was lent to the old one, quoted or not; what was closed stays closed [W-52]."""
    gone = leases.void(reserved(lent(), "S1", 700), NEW)
    assert (gone.state, gone.reserved, gone.live(NOW)) == (LeaseState.VOID, (), False)
    assert leases.close_out(gone) == gone
    assert leases.void(lent(), OLD) == lent()
    closed = leases.close_out(lent())
    assert leases.void(closed, NEW) == closed


# --- head office ---------------------------------------------------------------------------------------------------


def granted(name: str = "L1", amount: int = 400, **more: Any) -> Granted:
    """A lease for the old incarnation of a station, granted when its L stream stood at 7."""
    return replace(Granted(name, "SH-1", OLD, amount, 7), **more)


def pool(*leased: Granted, free: int = 1_000) -> Pool:
    """The points of a member, of which some are lent."""
    made = Pool("member", free)
    for lease in leased:
        made = pools.grant(made, lease)
    return made


def close(lending: Pool, *, said: int, incarnation: str = OLD, seq: int = 8, record: str = "close") -> Pool:
    """The pool after a close-out of L1."""
    return pools.closed_out(lending, "L1", record, incarnation=incarnation, seq=seq, spent_by_station=said)


def test_granting_moves_points_out_of_what_is_free():
    """Free and what the leases hold are the balance [W-50]; the same grant again moves nothing."""
    lending = pool(granted(), granted("L2", 600))
    assert (lending.free, lending.balance, lending.lease("L2").outstanding) == (0, 1_000, 600)
    assert pools.grant(lending, granted()) == lending


def test_last_point_is_granted_reserved_and_settled():
    """A single point may be lent, quoted and spent."""
    assert pools.grant(pool(free=1), granted(amount=1)).free == 0
    assert spent(lent(granted=1), "S1", 1).remaining == 0


@pytest.mark.parametrize("amount", [0, -1, 601])
def test_more_than_is_free_is_not_granted(amount):
    """A grant is above 0 and at most what is free: no point is lent twice."""
    with pytest.raises(LeaseError, match=f"{amount} asked, 600 free"):
        pools.grant(pool(granted()), granted("L2", amount))


@pytest.mark.parametrize("other", [{"amount": 401}, {"station": "SH-2"}, {"incarnation": NEW}])
def test_id_of_a_lease_is_used_once(other):
    """An id that stands for another lease is refused."""
    with pytest.raises(LeaseError, match="was granted to SH-1 for 400"):
        pools.grant(pool(granted()), granted(**other))


def test_unknown_lease_is_named():
    """A record of a lease that was never granted is an error with its name."""
    with pytest.raises(LeaseError, match="member has no lease L9"):
        pools.spent(pool(), "L9", "r1", Taken("S1", 1))


def test_earning_and_expiry_change_what_is_free_once():
    """Credits count once per record; what is lent cannot expire before it has come back."""
    lending = pools.credit(pools.credit(pool(granted()), "earn", 50), "earn", 50)
    assert (lending.free, lending.balance) == (650, 1_050)
    assert pools.credit(lending, "expire", -650).free == 0
    with pytest.raises(LeaseError, match="1 more than is free"):
        pools.credit(lending, "expire", -651)


def test_spending_a_lease_lowers_the_balance_once():
    """The record of a settled sale counts once, however often it arrives."""
    lending = pools.spent(pool(granted()), "L1", "r1", Taken("S1", 150))
    assert (lending.free, lending.balance, lending.lease("L1").outstanding, lending.overrun) == (600, 850, 250, 0)
    assert pools.spent(lending, "L1", "r1", Taken("S1", 150)) == lending


def test_spending_beyond_a_lease_is_overrun():
    """What a lease does not hold is the programme's loss and shown; a refund fills the lease first, then mends the loss."""
    lending = pools.spent(pool(granted()), "L1", "r1", Taken("S1", 430))
    assert (lending.balance, lending.lease("L1").outstanding, lending.overrun) == (600, 0, 30)
    part = pools.given_back(lending, "L1", "r2", "S1", 400)
    assert (part.balance, part.overrun) == (1_000, 30)
    whole = pools.given_back(part, "L1", "r3", "S1", 30)
    assert (whole.balance, whole.overrun) == (1_000, 0)


def test_close_out_frees_the_unspent_rest():
    """A close-out behind the grant frees what was not spent, once [W-50]."""
    lending = close(pools.spent(pool(granted()), "L1", "r1", Taken("S1", 150)), said=150)
    assert (lending.free, lending.balance, lending.lease("L1").state) == (850, 850, LeaseState.CLOSED)
    assert close(lending, said=150) == lending
    with pytest.raises(LeaseError, match="closed out before"):
        close(lending, said=150, record="again")


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ({"said": 150, "seq": 7}, "not behind its grant"),
        ({"said": 150, "incarnation": NEW}, "not behind its grant"),
        ({"said": 149}, "counts 149 spent, its records 150"),
        ({"said": 151}, "counts 151 spent, its records 150"),
    ],
)
def test_doubtful_close_out_reclaims_nothing(case, message):
    """A close-out from before the grant, of another incarnation, or with another sum is refused: a person looks."""
    lending = pools.spent(pool(granted()), "L1", "r1", Taken("S1", 150))
    with pytest.raises(LeaseError, match=message):
        close(lending, **case)


def test_refund_goes_to_the_open_lease_or_to_free():
    """While the lease is open the station may spend the amount again; afterwards it is free. Each record counts once."""
    lending = pools.spent(pool(granted()), "L1", "r1", Taken("S1", 150))
    part = pools.given_back(lending, "L1", "r2", "S1", 50)
    assert (part.free, part.lease("L1").outstanding, part.balance) == (600, 300, 900)
    assert pools.given_back(part, "L1", "r2", "S1", 50) == part
    closed = close(part, said=100)
    whole = pools.given_back(closed, "L1", "r3", "S1", 100)
    assert (whole.free, whole.balance, whole.lease("L1").outstanding) == (1_000, 1_000, 0)


def test_new_incarnation_voids_the_leases_of_the_old_one():
    """Void leases are reclaimed by nobody on its own; later facts count, and a person may write the rest off [W-52]."""
    other = replace(granted("L3", 50), station="SH-2")
    lending = pools.voided(pool(granted(), granted("L2", 100, incarnation=NEW), other), "SH-1", NEW)
    assert [lease.state for lease in lending.leases] == [LeaseState.VOID, LeaseState.OPEN, LeaseState.OPEN]
    late = pools.spent(lending, "L1", "r1", Taken("S1", 150))
    assert (late.lease("L1").outstanding, late.free) == (250, 450)
    back = pools.given_back(late, "L1", "r2", "S1", 150)
    assert (back.free, back.lease("L1").outstanding) == (600, 250)
    freed = pools.written_off(late, "L1")
    assert (freed.free, freed.lease("L1").state, freed.balance) == (700, LeaseState.CLOSED, 850)
    with pytest.raises(LeaseError, match="L2 is open"):
        pools.written_off(freed, "L2")


def test_close_out_of_a_void_lease_in_its_own_journal_counts():
    """The old incarnation's own close-out stands behind its spending, so the rest is free although it is void."""
    lending = pools.voided(pools.spent(pool(granted()), "L1", "r1", Taken("S1", 150)), "SH-1", NEW)
    assert close(lending, said=150).free == 850


def test_pool_below_zero_cannot_be_made():
    """Neither what is free nor what a lease holds is ever below 0."""
    with pytest.raises(LeaseError, match="5 more than is free"):
        Pool("member", -5)
    with pytest.raises(LeaseError, match="L1 would hold -1"):
        Pool("member", 0, (granted(taken=(Taken("S1", 401),)),))
    assert Pool("member", 0, (granted(taken=(Taken("S1", 400),)),)).balance == 0


Step = Callable[[Lease], Lease]


def test_both_ends_agree_after_every_order_of_delivery():
    """A station spends, refunds and closes out offline; whenever its records arrive, both ends end alike, overrun 0."""
    station = replace(Lease("L1", "member", OLD, 400, END))
    steps: list[Step] = [
        lambda lease: spent(lease, "S1", 300),
        lambda lease: leases.give_back(lease, "S1", 120),
        lambda lease: spent(lease, "S2", 220),
        leases.close_out,
    ]
    for step in steps:
        station = step(station)
    assert (station.spent, station.state) == (400, LeaseState.CLOSED)
    lending = pools.grant(pool(granted(), free=1_000), granted("L2", 600))
    for _ in range(2):
        lending = pools.spent(lending, "L1", "r8", Taken("S1", 300))
        lending = pools.given_back(lending, "L1", "r9", "S1", 120)
        lending = pools.spent(lending, "L1", "r10", Taken("S2", 220))
        lending = pools.closed_out(lending, "L1", "r11", incarnation=OLD, seq=11, spent_by_station=station.spent)
    assert (lending.free, lending.balance, lending.overrun) == (0, 600, 0)
