"""Points lots and double-entry postings: what is spent first, when a lot ends, and how a refund takes points back.

Pure: knows no table, no clock and no rule. Points are integers; a posting to a member's account carries its lot.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum

from agent.domain.rules.model import ReversalPolicy

MAX_LOTS_SPENT = 64
"""Lots one sale may be paid from: their legs must fit into one settled record of at most 16 KiB."""


class LedgerError(ValueError):
    """Postings or lots that must not be written; the message says which rule they break."""


class RefundError(ValueError):
    """A refund that the settled sale does not allow; the message says what is left to refund."""


class Account(StrEnum):
    """The accounts of the points ledger; the member's ones exist once per member.

    ``member:pending`` holds points kept back for review. Points that only wait for their ``usable_from`` are already in
    ``member:available``: the lot says from when they may be spent. ``member:debt`` is zero or below.
    """

    AVAILABLE = "member:available"
    PENDING = "member:pending"
    DEBT = "member:debt"
    ISSUED = "program:issued"
    REDEEMED = "program:redeemed"
    EXPIRED = "program:expired"
    ADJUSTED = "program:adjusted"
    OVERRUN = "program:overrun"

    @property
    def is_members(self) -> bool:
        """Whether the account belongs to a member."""
        return self.value.startswith("member:")


_LOT_ACCOUNTS = (Account.AVAILABLE, Account.PENDING)
"""The accounts whose points stand in lots."""


@dataclass(frozen=True, slots=True)
class Posting:
    """One leg: points added to (or taken from) an account. ``member`` only on a member's account; ``lot`` where one
    is meant.
    """

    account: Account
    points: int
    lot: str | None
    member: str | None = None

    def __post_init__(self) -> None:
        if self.points == 0:
            raise LedgerError(f"a posting of 0 points to {self.account}: leave it out")
        if self.account.is_members != (self.member is not None):
            raise LedgerError(
                f"a posting to {self.account} must {'' if self.account.is_members else 'not '}name a member"
            )


@dataclass(frozen=True, slots=True)
class Entry:
    """The postings of one fact, whose sum is 0; raises LedgerError for any other sum. An empty entry is allowed."""

    postings: tuple[Posting, ...]

    def __post_init__(self) -> None:
        total = sum(posting.points for posting in self.postings)
        if total != 0:
            raise LedgerError(f"the postings of one entry sum to {total}, not to 0: {self.postings}")


@dataclass(frozen=True, slots=True)
class Lot:
    """Points of one origin. ``points``: what is left. ``usable_from_ms``: ``None`` while held for review.

    ``expires_on``: last local day on which they may be spent, ``None`` for never. ``source``: ``sale``, ``grant``,
    ``returned``.
    """

    id: str
    points: int
    earned_at_ms: int
    usable_from_ms: int | None
    expires_on: date | None
    source: str

    def usable(self, now_ms: int, today: date) -> bool:
        """Return whether the lot may be spent at an instant whose local day is ``today``."""
        waiting = self.usable_from_ms is None or self.usable_from_ms > now_ms
        return self.points > 0 and not waiting and not self.expired(today)

    def pending(self, now_ms: int) -> bool:
        """Return whether the points still wait: held, or before their time."""
        return self.usable_from_ms is None or self.usable_from_ms > now_ms

    def expired(self, today: date) -> bool:
        """Return whether the last day has passed."""
        return self.expires_on is not None and self.expires_on < today

    @property
    def account(self) -> Account:
        """The member's account the lot stands in."""
        return Account.PENDING if self.usable_from_ms is None else Account.AVAILABLE


def expiry_day(earned_on: date, months: int) -> date:
    """Return the last day of the month that lies ``months`` after a local day ("N months to month end")."""
    month = earned_on.year * 12 + earned_on.month - 1 + months
    year, index = divmod(month, 12)
    return date(year, index + 1, monthrange(year, index + 1)[1])


def spending_order(lots: Iterable[Lot]) -> list[Lot]:
    """Return lots as they are spent: earliest expiry, then earliest earned, then id; lots without expiry last."""
    return sorted(lots, key=lambda lot: (lot.expires_on or date.max, lot.earned_at_ms, lot.id))


def usable_points(lots: Iterable[Lot], now_ms: int, today: date) -> int:
    """Return how many points one sale may spend now: those of the first MAX_LOTS_SPENT usable lots."""
    return sum(lot.points for lot in _spendable(lots, now_ms, today))


def _spendable(lots: Iterable[Lot], now_ms: int, today: date) -> list[Lot]:
    return spending_order(lot for lot in lots if lot.usable(now_ms, today))[:MAX_LOTS_SPENT]


def spend(lots: Iterable[Lot], points: int, now_ms: int, today: date) -> tuple[tuple[Lot, int], ...]:
    """Return which lots give how much; raises LedgerError where the usable ones do not hold enough."""
    uses, left = [], points
    for lot in _spendable(lots, now_ms, today):
        taken = min(left, lot.points)
        if taken > 0:
            uses.append((lot, taken))
            left -= taken
    if left > 0:
        raise LedgerError(f"{points} points asked, {points - left} usable: quote the sale again")
    return tuple(uses)


def redemption(member: str, sale: str, uses: Iterable[tuple[Lot, int]]) -> tuple[Posting, ...]:
    """Return the postings that burn points of lots on a sale: one leg per lot in the order of use, one for the
    program.
    """
    postings = [Posting(Account.AVAILABLE, -points, lot.id, member) for lot, points in uses]
    if postings:
        postings.append(Posting(Account.REDEEMED, -sum(posting.points for posting in postings), sale))
    return Entry(tuple(postings)).postings


def issue(member: str, lot: Lot, debt: int = 0) -> tuple[Posting, ...]:
    """Return the postings of an earned lot of ``lot.points`` points; a debt (0 or more points) is repaid first.

    Of the lot, ``lot.points`` minus what repaid the debt remains to be spent.
    """
    repaid = min(debt, lot.points)
    postings = []
    if lot.points > repaid:
        postings.append(Posting(lot.account, lot.points - repaid, lot.id, member))
    if repaid > 0:
        postings.append(Posting(Account.DEBT, repaid, lot.id, member))
    if lot.points > 0:
        postings.append(Posting(Account.ISSUED, -lot.points, lot.id))
    return Entry(tuple(postings)).postings


def hold_back(member: str, lot: Lot) -> tuple[Lot, tuple[Posting, ...]]:
    """Return a lot whose points wait for a review from now on, and the postings from available to pending."""
    if lot.usable_from_ms is None:
        raise LedgerError(f"lot {lot.id} is held for review already")
    legs = [(Account.AVAILABLE, -lot.points, lot.id), (Account.PENDING, lot.points, lot.id)]
    return replace(lot, usable_from_ms=None), Entry(_postings(member, legs)).postings


def release(member: str, lot: Lot, usable_from_ms: int) -> tuple[Lot, tuple[Posting, ...]]:
    """Return a lot after its review was passed, and the postings from pending to available."""
    if lot.usable_from_ms is not None:
        raise LedgerError(f"lot {lot.id} is not held for review")
    legs = [(Account.PENDING, -lot.points, lot.id), (Account.AVAILABLE, lot.points, lot.id)]
    return replace(lot, usable_from_ms=usable_from_ms), Entry(_postings(member, legs)).postings


def expire(member: str, lots: Iterable[Lot], today: date) -> tuple[Posting, ...]:
    """Return the postings that end every lot whose last day has passed."""
    postings: list[Posting] = []
    for lot in spending_order(lots):
        if lot.expired(today) and lot.points > 0:
            postings.append(Posting(lot.account, -lot.points, lot.id, member))
            postings.append(Posting(Account.EXPIRED, lot.points, lot.id))
    return Entry(tuple(postings)).postings


def balances(postings: Iterable[Posting]) -> dict[tuple[Account, str | None], int]:
    """Return the sum per account and member; accounts at 0 are left out, so equal ledgers have equal projections."""
    sums: dict[tuple[Account, str | None], int] = {}
    for posting in postings:
        key = (posting.account, posting.member)
        sums[key] = sums.get(key, 0) + posting.points
    return {key: points for key, points in sums.items() if points}


def apply_to_lots(lots: Iterable[Lot], postings: Iterable[Posting]) -> tuple[Lot, ...]:
    """Return lots after postings to a member's available and pending accounts; raises LedgerError below 0 or without
    a lot.
    """
    found = {lot.id: lot for lot in lots}
    for posting in postings:
        if posting.account in _LOT_ACCOUNTS:
            if posting.lot is None or posting.lot not in found:
                raise LedgerError(f"a posting of {posting.points} points names no known lot: {posting.lot!r}")
            lot = found[posting.lot]
            if lot.points + posting.points < 0:
                raise LedgerError(f"lot {lot.id} holds {lot.points} points, {-posting.points} are taken")
            found[posting.lot] = replace(lot, points=lot.points + posting.points)
    return tuple(found.values())


def unbalanced(lots: Iterable[Lot], postings: Iterable[Posting]) -> list[str]:
    """Return what does not hold between the lots of one member and the whole ledger of that member, in sentences."""
    lots, postings = tuple(lots), tuple(postings)
    total = sum(posting.points for posting in postings)
    found = [f"the postings sum to {total}, not to 0"] if total else []
    found += [f"lot {lot.id} holds {lot.points} points" for lot in lots if lot.points < 0]
    for account in _LOT_ACCOUNTS:
        held, balance = sum(lot.points for lot in lots if lot.account is account), _sum(postings, account)
        if held != balance:
            found.append(f"{account} is {balance}, its lots hold {held}")
    debt = _sum(postings, Account.DEBT)
    return [*found, f"{Account.DEBT} is {debt}"] if debt > 0 else found


@dataclass(frozen=True, slots=True)
class SettledPoints:
    """What a refund must know of a settlement: net in minor units, its postings, and the points on a smaller net.

    ``earned_on(net_minor)`` is the recomputation with the original rule version; ``bonus_points`` come back on the full
    refund only. ``given_back``: the postings of every earlier refund of this sale. ``expired_points``: of this sale's
    lot, ended by a posting.
    """

    sale: str
    member: str
    net_minor: int
    points_earned: int
    bonus_points: int
    postings: tuple[Posting, ...]
    earned_on: Callable[[int], int]
    given_back: tuple[Posting, ...] = ()
    expired_points: int = 0

    @property
    def repaid_debt(self) -> int:
        """Points of this sale that repaid a debt."""
        return _sum(self.postings, Account.DEBT)

    @property
    def redeemed(self) -> tuple[tuple[str, int], ...]:
        """Lots the sale was paid with, in the order of use."""
        return tuple(
            (posting.lot or "", -posting.points)
            for posting in self.postings
            if posting.account is Account.AVAILABLE and posting.points < 0
        )


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund or void as asked: an amount of the net, on a local day, at an instant; what was refunded before it.

    ``debt``: points the member owes now (0 or more).
    """

    refunded_so_far_minor: int
    refund_minor: int
    now_ms: int
    today: date
    policy: ReversalPolicy
    grace_days: int
    debt: int = 0


@dataclass(frozen=True, slots=True)
class Reversal:
    """Counter-postings of a refund, the lots after it (a lot that had ended comes back as a new one), and the settled
    sale as the next refund must be told of it.

    ``points_returned`` were spent on the sale, ``points_reversed`` were earned on it. Of those, ``unrecovered`` stay
    with the member and ``debt`` is owed; both are below 0 where this part recovers what an earlier part could not.
    """

    postings: tuple[Posting, ...]
    lots: tuple[Lot, ...]
    points_returned: int
    points_reversed: int
    unrecovered: int
    debt: int
    settled: SettledPoints


def reverse(settled: SettledPoints, refund: Refund, lots: Iterable[Lot]) -> Reversal:
    """Return what a refund does to the member's points; any split of a refund ends where the full refund ends.

    The refunds of a sale are one reversal told in parts: each part works out the whole so far and posts the difference.
    ``lots``: the member's lots now, empty and ended ones of this sale included. Raises RefundError where the amount is
    not left, LedgerError where ``given_back`` lacks an earlier refund.
    """
    before, after = _checked(settled, refund)
    earlier = _earlier(settled, refund, before)
    back, lots_now = _return_redeemed(settled, refund, tuple(lots), after)
    order = _order(settled, refund, lots_now)
    gave = {lot.id: _gave(settled, before, lot) for lot in order}
    borne = earlier.taken - sum(gave.values()) + earlier.repaid
    reopened = _reopened(settled, after)
    left = _due(settled, after) - reopened - borne
    ended = min(left, _ended_points(settled, refund, lots_now))
    left -= ended
    legs = []
    for lot in order:
        give = min(left, lot.points + gave[lot.id])
        legs.append((lot.account, gave[lot.id] - give, lot.id))
        left -= give
    unrecovered, debt = -earlier.unrecovered, reopened - earlier.reopened - earlier.owed
    if refund.policy is ReversalPolicy.UNLIMITED:
        debt += left
    else:
        unrecovered += left
    due = _due(settled, after) - _due(settled, before)
    legs += [
        (Account.DEBT, -debt, settled.sale),
        (Account.ADJUSTED, -unrecovered, settled.sale),
        (Account.EXPIRED, earlier.ended - ended, settled.sale),
        (Account.ISSUED, due, settled.sale),
    ]
    took = _postings(settled.member, legs)
    postings = Entry((*back, *took)).postings
    known = replace(settled, given_back=(*settled.given_back, *postings))
    points_back = -_sum(back, Account.REDEEMED)
    return Reversal(postings, apply_to_lots(lots_now, took), points_back, due, unrecovered, debt, known)


def _postings(member: str, legs: Iterable[tuple[Account, int, str]]) -> tuple[Posting, ...]:
    return tuple(
        Posting(account, points, lot, member if account.is_members else None) for account, points, lot in legs if points
    )


def _sum(postings: Iterable[Posting], *accounts: Account) -> int:
    return sum(posting.points for posting in postings if posting.account in accounts)


def _checked(settled: SettledPoints, refund: Refund) -> tuple[int | None, int]:
    """Return what is refunded before (``None``: nothing yet) and after, in minor units of the net."""
    before, after = refund.refunded_so_far_minor, refund.refunded_so_far_minor + refund.refund_minor
    if settled.net_minor == 0 and settled.given_back:
        raise RefundError(f"sale {settled.sale}: its points were given back already, and its net is 0")
    left = settled.net_minor - before
    if not 0 <= before <= settled.net_minor or refund.refund_minor > left:
        raise RefundError(
            f"sale {settled.sale}: {refund.refund_minor} asked, {left} of {settled.net_minor} left to refund"
        )
    if refund.refund_minor < 0 or (refund.refund_minor == 0 and settled.net_minor > 0):
        raise RefundError(f"sale {settled.sale}: a refund of {refund.refund_minor}: name an amount above 0")
    return before or None, after


def _due(settled: SettledPoints, refunded: int | None) -> int:
    """Earned points to be taken back once ``refunded`` of the net is refunded."""
    if refunded is None:
        return 0
    if refunded == settled.net_minor:
        return settled.points_earned + settled.bonus_points
    return settled.points_earned - settled.earned_on(settled.net_minor - refunded)


def _reopened(settled: SettledPoints, refunded: int | None) -> int:
    """The part of that which re-opens a debt: the lot gives first, the repaid debt last."""
    kept_in_lot = settled.points_earned + settled.bonus_points - settled.repaid_debt
    return max(0, _due(settled, refunded) - kept_in_lot)


def _returned(settled: SettledPoints, refunded: int | None) -> list[tuple[str, int]]:
    """Points spent on the sale that are back once ``refunded`` of the net is refunded, by lot, last used first."""
    left = 0
    if refunded is not None:
        whole = sum(points for _, points in settled.redeemed)
        left = whole * refunded // settled.net_minor if settled.net_minor else whole
    found = []
    for lot, points in reversed(settled.redeemed):
        found.append((lot, min(points, left)))
        left -= found[-1][1]
    return found


@dataclass(frozen=True, slots=True)
class _Earlier:
    """What the earlier refunds of a sale came to: points that lots gave (``taken``), ``reopened`` and new debt.

    Of the new debt a part is ``owed`` still and a part ``repaid`` since; ``unrecovered`` stayed with the member, and
    ``ended`` had lawfully ended.
    """

    taken: int
    reopened: int
    owed: int
    repaid: int
    unrecovered: int
    ended: int


def _earlier(settled: SettledPoints, refund: Refund, before: int | None) -> _Earlier:
    legs, reopened = settled.given_back, _reopened(settled, before)
    back = sum(points for _, points in _returned(settled, before))
    if (_sum(legs, Account.ISSUED), -_sum(legs, Account.REDEEMED)) != (_due(settled, before), back):
        raise LedgerError(f"sale {settled.sale}: not all postings of its earlier refunds are given")
    owed = -_sum(legs, Account.DEBT) - reopened
    repaid = max(0, owed - refund.debt)
    return _Earlier(
        taken=back - _sum(legs, *_LOT_ACCOUNTS),
        reopened=reopened,
        owed=owed - repaid,
        repaid=repaid,
        unrecovered=-_sum(legs, Account.ADJUSTED),
        ended=-_sum(legs, Account.EXPIRED),
    )


def _gave(settled: SettledPoints, before: int | None, lot: Lot) -> int:
    """Points a lot gave to earlier refunds of the sale; 0 where points of its origin came back to more than one lot."""
    legs = [leg for leg in settled.given_back if leg.account in _LOT_ACCOUNTS and _origin(leg.lot) == _origin(lot.id)]
    if any(leg.lot != lot.id for leg in legs):
        return 0
    back = sum(points for name, points in _returned(settled, before) if _origin(name) == _origin(lot.id))
    return back - _sum(legs, *_LOT_ACCOUNTS)


def _origin(lot: str | None) -> str:
    """Return the id of the lot whose points a lot holds, which is its own unless they came back after their end."""
    return (lot or "").partition("/")[0]


def _ended_points(settled: SettledPoints, refund: Refund, lots: Iterable[Lot]) -> int:
    """Points of the sale's own lot that ended, posted or not: nobody gives them back a second time."""
    return settled.expired_points + sum(
        lot.points for lot in lots if lot.id == settled.sale and lot.expired(refund.today)
    )


def _return_redeemed(
    settled: SettledPoints, refund: Refund, lots: tuple[Lot, ...], after: int
) -> tuple[tuple[Posting, ...], tuple[Lot, ...]]:
    """Return the postings that give spent points back to their lots, last used first, and the lots with them."""
    before = dict(_returned(settled, refund.refunded_so_far_minor or None))
    found = {lot.id: lot for lot in lots}
    legs = []
    for lot_id, points in _returned(settled, after):
        back = points - before[lot_id]
        if back > 0:
            lot = _home(found, lot_id, refund)
            found[lot.id] = replace(lot, points=lot.points + back)
            legs.append((lot.account, back, lot.id))
    legs.append((Account.REDEEMED, -sum(points for _, points, _ in legs), settled.sale))
    return _postings(settled.member, legs), tuple(found.values())


def _home(found: dict[str, Lot], lot_id: str, refund: Refund) -> Lot:
    """Return the lot points go back to: the original one, or a new one with days of grace where that has ended."""
    original = found.get(lot_id)
    if original is not None and not original.expired(refund.today):
        return original
    last_day = refund.today + timedelta(days=refund.grace_days)
    new_id = f"{_origin(lot_id)}/{last_day:%Y%m%d}"
    earned_at_ms = refund.now_ms if original is None else original.earned_at_ms
    return found.get(new_id) or Lot(new_id, 0, earned_at_ms, refund.now_ms, last_day, "returned")


def _order(settled: SettledPoints, refund: Refund, lots: tuple[Lot, ...]) -> list[Lot]:
    """Return the lots that may give earned points back: this sale's own, then the others as they would be spent."""
    live = [lot for lot in lots if not lot.expired(refund.today)]
    own = [lot for lot in live if lot.id == settled.sale]
    if refund.policy is ReversalPolicy.ONLY_PENDING:
        return [lot for lot in own if lot.pending(refund.now_ms)]
    return own + spending_order(lot for lot in live if lot.id != settled.sale)
