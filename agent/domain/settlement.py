"""Settling: commits a quoted evaluation into lines, postings and budgets, and checks that the tenders pay the net.

Pure: evaluates nothing again, writes nothing. The shape follows fc.sale.settled.v1 and fc.sale.corrected.v1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from fractions import Fraction

from agent.domain.ledger import (
    Account,
    Entry,
    Lot,
    Posting,
    Refund,
    RefundError,
    Reversal,
    SettledPoints,
    expiry_day,
    issue,
    redemption,
    reverse,
    spend,
)
from agent.domain.rules.explain import line_text
from agent.domain.rules.facts import Purpose, local_time
from agent.domain.rules.model import GrowthBase
from agent.domain.rules.verdict import BudgetUse, Evaluation, Gift, Verdict

HOUR_MS = 3_600_000
MAX_TENDERS = 8
"""Tenders of one sale: more is a broken till, and the settled record must stay below its size limit."""


MAX_LINES_SENT = 48
"""Lines of one sale that travel, budgets and coupons among them: the record must stay below its size limit."""

MAX_REF_LENGTH = 64
"""Characters of a payment's own number: those of the payment networks are shorter."""


class TenderError(ValueError):
    """Tenders that do not pay a sale; the message says what is missing or wrong."""


class TenderKind(StrEnum):
    """How a sale is paid; the last three are purposes: fuel without a customer, no points and no discount."""

    CASH = "cash"
    CARD = "card"
    WECHAT = "wechat"
    ALIPAY = "alipay"
    UNIONPAY = "unionpay"
    VOUCHER = "voucher"
    ACCOUNT = "account"
    DRIVE_OFF = "drive-off"
    METER_TEST = "meter-test"
    OWN_USE = "own-use"


PURPOSES = {
    TenderKind.DRIVE_OFF: Purpose.DRIVE_OFF,
    TenderKind.METER_TEST: Purpose.METER_TEST,
    TenderKind.OWN_USE: Purpose.OWN_USE,
}


@dataclass(frozen=True, slots=True)
class Tender:
    """One payment in minor units; ``ref``: the payment's own number, ``None`` where it has none."""

    kind: str
    amount_minor: int
    ref: str | None = None


def check_tenders(net_minor: int, tenders: Iterable[Tender]) -> None:
    """Check that tenders pay exactly the net. Raises TenderError: unknown kind, no amount, mixed purpose, or another
    sum.
    """
    paid = tuple(tenders)
    known = {kind.value for kind in TenderKind}
    if len(paid) > MAX_TENDERS:
        raise TenderError(f"{len(paid)} tenders on one sale: at most {MAX_TENDERS}, join those of one kind")
    for tender in paid:
        if tender.kind not in known:
            raise TenderError(f"unknown tender kind {tender.kind!r}: use one of {', '.join(sorted(known))}")
        if tender.ref is not None and len(tender.ref) > MAX_REF_LENGTH:
            raise TenderError(f"a reference of {len(tender.ref)} characters: at most {MAX_REF_LENGTH}")
        if tender.amount_minor < 0 or (tender.amount_minor == 0 and net_minor != 0):
            raise TenderError(f"tender {tender.kind} of {tender.amount_minor}: name an amount above 0 in minor units")
    if len(paid) > 1 and purpose_of(paid) is not None:
        raise TenderError("drive-off, meter-test and own-use stand alone: book the whole sale with one of them")
    total = sum(tender.amount_minor for tender in paid)
    if total != net_minor:
        word = "missing" if total < net_minor else "too much"
        raise TenderError(f"tenders sum to {total}, the net is {net_minor}: {abs(net_minor - total)} {word}")


def purpose_of(tenders: Iterable[Tender]) -> Purpose | None:
    """Return the purpose the tenders book the sale to, ``None`` for a customer's payment."""
    for tender in tenders:
        for kind, purpose in PURPOSES.items():
            if tender.kind == kind.value:
                return purpose
    return None


@dataclass(frozen=True, slots=True)
class Wallet:
    """The member's points at settlement: lots, and debt as a number of points owed (0 or more)."""

    lots: tuple[Lot, ...] = ()
    debt: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One offer in the settled record; ``needed`` and ``actual`` are the numbers compared, ``text`` is for people
    (English).
    """

    offer: str
    verdict: str
    code: str
    value_minor: int
    desired_minor: int
    needed: int | None
    actual: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """A settled sale. ``postings`` sum to 0; ``net_minor + discount_minor`` is the gross; ``growth`` is in the
    program's base.

    ``points_earned`` includes ``bonus_points``. ``lot`` is the new lot with what it holds after a debt was repaid, or
    ``None``.
    """

    sale: str
    member: str | None
    rule_version: int
    rule_hash: str
    lines: tuple[Line, ...]
    gross_minor: int
    discount_minor: int
    points_redeemed: int
    points_earned: int
    bonus_points: int
    net_minor: int
    growth: int
    tenders: tuple[Tender, ...]
    postings: tuple[Posting, ...]
    lot: Lot | None
    budgets: tuple[BudgetUse, ...]
    gifts: tuple[Gift, ...]
    evaluation: Evaluation

    def record(self) -> dict[str, object]:
        """Return the ``data`` of fc.sale.settled.v1.

        At most MAX_LINES_SENT ``lines`` travel, in the order of the rules: those that gave something, then those given
        nothing after all, then refusals; ``lines_left_out`` counts the rest, which stay with the settlement at the
        station. It, ``coupons`` and ``rollback_minor`` are there only where there is something to say.
        """
        sent = _sent(self.lines, MAX_LINES_SENT - len(self.budgets) - len(self.evaluation.coupons))
        record: dict[str, object] = {
            "sale": self.sale,
            "member": self.member,
            "rule_version": self.rule_version,
            "rule_hash": self.rule_hash,
            "lines": [
                {
                    "offer": line.offer,
                    "verdict": line.verdict,
                    "code": line.code,
                    "value_minor": line.value_minor,
                    "desired_minor": line.desired_minor,
                }
                for line in sent
            ],
            "discount_minor": self.discount_minor,
            "points_redeemed": self.points_redeemed,
            "points_earned": self.points_earned,
            "net_minor": self.net_minor,
            "tenders": [
                {"kind": tender.kind, "amount_minor": tender.amount_minor, "ref": tender.ref} for tender in self.tenders
            ],
            "postings": posting_records(self.postings),
            "budgets": [
                {"campaign": use.campaign, "lease": use.lease, "amount_minor": use.amount_minor} for use in self.budgets
            ],
        }
        if len(sent) < len(self.lines):
            record["lines_left_out"] = len(self.lines) - len(sent)
        if self.evaluation.coupons:
            record["coupons"] = [asdict(use) for use in self.evaluation.coupons]
        if self.evaluation.rollback_minor:
            record["rollback_minor"] = self.evaluation.rollback_minor
        return record


def posting_records(postings: Iterable[Posting]) -> list[dict[str, object]]:
    """Return postings as the wire carries them: the account without the member's id."""
    return [{"account": leg.account.value, "points": leg.points, "lot": leg.lot} for leg in postings]


def settle(
    evaluation: Evaluation,
    *,
    rule_hash: str,
    wallet: Wallet,
    ended_ms: int,
    now_ms: int,
    tenders: Iterable[Tender] | None = None,
    held: bool = False,
    doubtful: bool = False,
    least_ms: int = 0,
) -> Settlement:
    """Commit a quote: it is not evaluated again.

    ``ended_ms``: end of the sale, from which earned points wait; ``now_ms``: this instant, at which spent lots must
    be usable;
    ``tenders``: ``None`` where this agent takes no payment; ``held``: the points wait for a review,
    ``doubtful``: as long as those of a weak link, ``least_ms``: at least so long whatever the rules say. Raises
    TenderError (also where the
    tenders book another purpose than the quote's) and LedgerError where the wallet no longer holds the quoted points.
    """
    paid = None if tenders is None else tuple(tenders)
    if paid is not None:
        check_tenders(evaluation.net_minor, paid)
        if purpose_of(paid) is not evaluation.sale.purpose:
            raise TenderError("the tenders book another purpose than the quote was made for: quote the sale again")
    member = _holder(evaluation)
    usable_ms = max(usable_from(evaluation, ended_ms, doubtful=doubtful), ended_ms + least_ms)
    lot, postings = (
        (None, ())
        if member is None
        else _points(evaluation, member, wallet, now_ms=now_ms, usable_from_ms=None if held else usable_ms)
    )
    return Settlement(
        sale=evaluation.sale.sale,
        member=member,
        rule_version=evaluation.rules.version,
        rule_hash=rule_hash,
        lines=_lines(evaluation),
        gross_minor=evaluation.gross_minor,
        discount_minor=evaluation.discount_minor,
        points_redeemed=evaluation.points_redeemed,
        points_earned=evaluation.points_earned + evaluation.bonus_points,
        bonus_points=evaluation.bonus_points,
        net_minor=evaluation.net_minor,
        growth=0 if member is None else _growth(evaluation),
        tenders=paid or (),
        postings=postings,
        lot=lot,
        budgets=evaluation.budgets,
        gifts=evaluation.gifts,
        evaluation=evaluation,
    )


def _holder(evaluation: Evaluation) -> str | None:
    """The member for whom the sale is counted; nobody where no customer bought fuel, or none flowed."""
    nobody = evaluation.sale.purpose is not None or evaluation.sale.volume_ml == 0
    return None if evaluation.member is None or nobody else evaluation.member.member


def usable_from(evaluation: Evaluation, ended_ms: int, *, doubtful: bool = False) -> int:
    """Return when points of a sale may first be spent: some hours after its end, more where the link was weak or
    something about the sale is ``doubtful``.
    """
    program, weak = evaluation.rules.program, evaluation.sale.presented.weak or doubtful
    return ended_ms + (program.pending_weak_hours if weak else program.pending_hours) * HOUR_MS


def earned_on(evaluation: Evaluation, net_minor: int) -> int:
    """Return the points the EARN rules give on a smaller net of the same sale, with the rules it was settled by."""
    if evaluation.net_minor == 0:
        return 0
    share = Fraction(net_minor, evaluation.net_minor)
    return sum(term.points_at(share) for term in evaluation.earned)


def refundable(settlement: Settlement) -> SettledPoints:
    """Return what a refund must know of a settlement. Raises RefundError for a sale without a member: it has no
    points.
    """
    if settlement.member is None:
        raise RefundError(f"sale {settlement.sale} has no member: there are no points to reverse")
    return SettledPoints(
        settlement.sale,
        settlement.member,
        settlement.net_minor,
        settlement.points_earned - settlement.bonus_points,
        settlement.bonus_points,
        settlement.postings,
        lambda net_minor: earned_on(settlement.evaluation, net_minor),
    )


@dataclass(frozen=True, slots=True)
class Relink:
    """Postings that move a settled sale's earned points to another member (or to none), and what the old member
    keeps.
    """

    postings: tuple[Posting, ...]
    reversal: Reversal | None
    corrected: Settlement


def relink(old: Settlement, corrected: Settlement, refund: Refund, old_lots: Iterable[Lot]) -> Relink:
    """Take the points of a wrongly linked sale back and post the corrected settlement's.

    ``corrected``: the same sale evaluated for the right member with the original rule version, or for nobody.
    ``refund`` carries the
    instant and the policy; its amounts must be the whole net. The money already paid does not change. Raises
    RefundError.
    """
    if old.sale != corrected.sale:
        raise RefundError(f"sale {old.sale} cannot be corrected by sale {corrected.sale}")
    if old.rule_version != corrected.rule_version:
        raise RefundError(f"sale {old.sale} was settled by rules {old.rule_version}: evaluate it with those again")
    if (refund.refunded_so_far_minor, refund.refund_minor) != (0, old.net_minor):
        raise RefundError(f"sale {old.sale}: a link moves as a whole: {old.net_minor}")
    reversal = None if old.member is None else reverse(refundable(old), refund, old_lots)
    back = () if reversal is None else reversal.postings
    return Relink(Entry((*back, *corrected.postings)).postings, reversal, corrected)


def _points(
    evaluation: Evaluation, member: str, wallet: Wallet, *, now_ms: int, usable_from_ms: int | None
) -> tuple[Lot | None, tuple[Posting, ...]]:
    """Return the new lot and the postings: what is spent, then what is earned."""
    zone = evaluation.instant.zone
    spent: tuple[Posting, ...] = ()
    if evaluation.points_redeemed:
        uses = spend(wallet.lots, evaluation.points_redeemed, now_ms, local_time(now_ms, zone).date())
        spent = redemption(member, evaluation.sale.sale, uses)
    earned = evaluation.points_earned + evaluation.bonus_points
    if earned == 0:
        return None, spent
    months = evaluation.rules.program.validity_months
    lot = Lot(
        id=evaluation.sale.sale,
        points=earned,
        earned_at_ms=evaluation.instant.unix_ms,
        usable_from_ms=usable_from_ms,
        expires_on=None if months is None else expiry_day(evaluation.instant.day, months),
        source="sale",
    )
    postings = (*spent, *issue(member, lot, wallet.debt))
    into_lot = sum(leg.points for leg in postings if leg.lot == lot.id and leg.account in _LOT_ACCOUNTS)
    return Lot(lot.id, into_lot, lot.earned_at_ms, lot.usable_from_ms, lot.expires_on, lot.source), postings


_LOT_ACCOUNTS = (Account.AVAILABLE, Account.PENDING)


def _growth(evaluation: Evaluation) -> int:
    over = evaluation.sale.presented.withheld
    if over is not None and not over.points_only:
        return 0
    base = evaluation.rules.program.growth_base
    if base is GrowthBase.NET:
        return evaluation.net_minor
    return evaluation.sale.volume_ml if base is GrowthBase.VOLUME else 1


def _lines(evaluation: Evaluation) -> tuple[Line, ...]:
    return tuple(
        Line(
            offer=verdict.offer,
            verdict=verdict.verdict.value,
            code=verdict.code.value,
            value_minor=verdict.value_minor,
            desired_minor=verdict.desired_minor,
            needed=verdict.reason.needed,
            actual=verdict.reason.actual,
            text=line_text(evaluation, verdict, "en"),
        )
        for verdict in evaluation.verdicts
    )


def _sent(lines: tuple[Line, ...], at_most: int) -> tuple[Line, ...]:
    """Return the lines that travel, in their order."""

    def weight(line: Line) -> int:
        if line.verdict == Verdict.REJECTED:
            return 2 if line.desired_minor else 3
        return 0 if line.value_minor else 1

    kept = {line.offer for line in sorted(lines, key=weight)[: max(0, at_most)]}
    return tuple(line for line in lines if line.offer in kept)
