"""Signs of misuse and their reviews, and what the rules at a link look up, inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, delete, func, insert, select, text, update

from agent.domain.fraud import Verdict
from agent.store.fraud_tables import FRAUD_ALERT, FRAUD_ALERT_SALE, FRAUD_CODE, FRAUD_REVIEW
from agent.store.prepared import Found, Prepared, raw
from agent.store.tables import CORRECTION, LINK, MEMBER, SALE, SETTLEMENT

HARMLESS = Verdict.HARMLESS.value
MOST_FUELLINGS = 100
"""Fuellings of one member that a rule looks at: past this many a week, more of them say nothing new."""

MOST_REVERSALS = 2_000

_A, _S = FRAUD_ALERT, FRAUD_ALERT_SALE
_TOUCHING = Prepared(
    select(_A.c.rule, _S.c.effect, _A.c.verdict, _A.c.member_ref)
    .join(_A, _A.c.id == _S.c.alert)
    .where(_S.c.sale == bindparam("of_sale"))
)
_FUELLINGS = Prepared(
    select(
        LINK.c.sale,
        SALE.c.ended_ms,
        SALE.c.grade,
        SALE.c.volume_ml,
        LINK.c.level,
        LINK.c.by,
        LINK.c.delay_s,
        LINK.c.made_ms,
        LINK.c.scan,
    )
    .join(SALE, SALE.c.id == LINK.c.sale)
    .join(SETTLEMENT, SETTLEMENT.c.sale == LINK.c.sale, isouter=True)
    .where(
        (LINK.c.member_ref == bindparam("of_member"))
        & (LINK.c.made_ms >= bindparam("since_ms"))
        & (LINK.c.active == 1)
        & (SALE.c.ended_ms >= bindparam("ended_since_ms"))
        & (func.coalesce(SETTLEMENT.c.purpose, "") == "")
    )
    .order_by(LINK.c.made_ms.desc())
    .limit(MOST_FUELLINGS)
)
_REVERSALS = Prepared(
    select(CORRECTION.c.sale, CORRECTION.c.at_ms, LINK.c.member_ref, LINK.c.by, MEMBER.c.id.label("member"))
    .join(LINK, (LINK.c.sale == CORRECTION.c.sale) & (LINK.c.active == 1))
    .join(MEMBER, MEMBER.c.ref == LINK.c.member_ref)
    .join(SETTLEMENT, SETTLEMENT.c.sale == CORRECTION.c.sale)
    .where(
        (CORRECTION.c.at_ms >= bindparam("since_ms"))
        & ((CORRECTION.c.what == "void") | (CORRECTION.c.what == "refund"))
        & ((SETTLEMENT.c.points_earned > 0) | (SETTLEMENT.c.points_redeemed > 0))
    )
    .order_by(CORRECTION.c.at_ms.desc())
    .limit(MOST_REVERSALS)
)
_CODES = Prepared(select(FRAUD_CODE.c.alert).where(FRAUD_CODE.c.code == bindparam("of_code")))
_STANDING = Prepared(
    select(_A.c.id, _A.c.verdict)
    .where((_A.c.member_ref == bindparam("of_member")) & (_A.c.rule == bindparam("of_rule")))
    .where((_A.c.severity == "alert") & _A.c.verdict.is_distinct_from(HARMLESS))
)
_ALERT = Prepared(
    select(_A).where(
        (_A.c.rule == bindparam("of_rule"))
        & (_A.c.day == bindparam("of_day"))
        & (func.coalesce(_A.c.member_ref, text("0")) == bindparam("of_member"))
        & (func.coalesce(_A.c.attendant, text("''")) == bindparam("of_attendant"))
    )
)
_MERGE_SALES = """
INSERT OR IGNORE INTO fraud_alert_sale (sale, alert, effect)
SELECT s.sale, b.id, s.effect FROM fraud_alert a
JOIN fraud_alert b ON b.rule = a.rule AND b.day = a.day AND b.member_ref = ?
JOIN fraud_alert_sale s ON s.alert = a.id WHERE a.member_ref = ?
"""
"""Both had an alert of one rule and day: the one that stays names the sales of both."""


class FraudTable:
    """Reads and writes inside the caller's transaction. ``key``: (rule, local day, member's surrogate, attendant)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw = raw(connection)

    # --- what a sale has to do with ---------------------------------------------------------------------------------

    def touching(self, sale: str, member_ref: int | None) -> list[tuple[str, str]]:
        """Return (rule, effect) of what touched a sale of this member and was not reviewed as harmless."""
        rows = _TOUCHING.all(self._raw, {"of_sale": sale})
        return [
            (row["rule"], row["effect"])
            for row in rows
            if row["verdict"] != HARMLESS and row["member_ref"] in (None, member_ref)
        ]

    # --- what the rules look up -------------------------------------------------------------------------------------

    def fuellings(self, member_ref: int, since_ms: int) -> list[Found]:
        """Return a member's linked sales that ended since then, newest link first; no test, no own use."""
        return _FUELLINGS.all(self._raw, {"of_member": member_ref, "since_ms": since_ms, "ended_since_ms": since_ms})

    def reversals(self, since_ms: int) -> list[Found]:
        """Return refunds and voids since then of sales that earned or spent points, with who had linked whom."""
        return _REVERSALS.all(self._raw, {"since_ms": since_ms})

    def standing(self, member_ref: int, rule: str) -> list[str]:
        """Return the alerts of one rule about a member that were not reviewed as harmless."""
        return [row["id"] for row in _STANDING.all(self._raw, {"of_member": member_ref, "of_rule": rule})]

    # --- alerts -----------------------------------------------------------------------------------------------------

    def alert(self, key: tuple[str, str, int | None, str | None]) -> Found | None:
        """Return the alert of a rule, day and subject."""
        rule, day, member_ref, attendant = key
        values = {"of_rule": rule, "of_day": day, "of_member": member_ref or 0, "of_attendant": attendant or ""}
        return _ALERT.first(self._raw, values)

    def named(self, rule: str, but_day: str, member_ref: int | None, attendant: str | None) -> frozenset[str] | None:
        """Return the sales that alerts of other days name, ``None`` where there is no such alert."""
        subject = _A.c.attendant == attendant if member_ref is None else _A.c.member_ref == member_ref
        of_others = subject & (_A.c.rule == rule) & (_A.c.day != but_day)
        statement = select(_S.c.sale).select_from(_A).join(_S, _S.c.alert == _A.c.id, isouter=True).where(of_others)
        sales = list(self._connection.execute(statement).scalars())
        return frozenset(filter(None, sales)) if sales else None

    def like(self, start: str) -> list[str]:
        """Return up to two ids of alerts that begin like this."""
        statement = select(_A.c.id).where(_A.c.id.between(start, start + "~")).limit(2)
        return list(self._connection.execute(statement).scalars())

    def by_id(self, alert: str) -> RowMapping | None:
        """Return one alert."""
        return self._connection.execute(select(_A).where(_A.c.id == alert)).mappings().first()

    def add(self, values: Mapping[str, Any]) -> None:
        """Insert an alert."""
        self._connection.execute(insert(_A), dict(values))

    def change(self, alert: str, values: Mapping[str, Any]) -> None:
        """Change what an alert says."""
        self._connection.execute(update(_A).where(_A.c.id == alert).values(**values))

    def sales_of(self, alert: str) -> dict[str, str]:
        """Return the sales an alert names, with what it does to the points of each."""
        statement = select(_S.c.sale, _S.c.effect).where(_S.c.alert == alert).order_by(_S.c.sale)
        return dict(self._connection.execute(statement).tuples().all())

    def name_sale(self, alert: str, sale: str, effect: str) -> None:
        """An alert names a sale from now on, or does more to its points than before."""
        self._connection.execute(delete(_S).where((_S.c.alert == alert) & (_S.c.sale == sale)))
        self._connection.execute(insert(_S), {"alert": alert, "sale": sale, "effect": effect})

    def await_code(self, alert: str, code: str) -> None:
        """A one-time code was shown again before its first scan had its sale."""
        known = select(FRAUD_CODE.c.alert).where((FRAUD_CODE.c.code == code) & (FRAUD_CODE.c.alert == alert))
        if self._connection.execute(known).first() is None:
            self._connection.execute(insert(FRAUD_CODE), {"alert": alert, "code": code})

    def awaiting(self, code: str) -> list[str]:
        """Return the alerts that wait for the sale of a code."""
        return [row["alert"] for row in _CODES.all(self._raw, {"of_code": code})]

    def merged(self, here: int, there: int) -> None:
        """Two ids of a member became one: what was seen about the first adds to what was seen about the second."""
        send = self._connection.exec_driver_sql
        send("UPDATE OR IGNORE fraud_alert SET member_ref = ? WHERE member_ref = ?", (there, here))
        send("UPDATE fraud_alert SET other_ref = ? WHERE other_ref = ?", (there, here))
        send(_MERGE_SALES, (there, here))

    # --- reviews ----------------------------------------------------------------------------------------------------

    def add_review(self, values: Mapping[str, Any]) -> None:
        """Insert what a person found out."""
        self._connection.execute(insert(FRAUD_REVIEW), dict(values))

    def tally(self, rule: str) -> dict[str, int]:
        """Return how many alerts of a rule there are and were reviewed as what, by the names of ``Tally``."""
        statement = select(_A.c.verdict, func.count()).where((_A.c.rule == rule) & (_A.c.severity == "alert"))
        counts = dict(self._connection.execute(statement.group_by(_A.c.verdict)).tuples().all())
        return {"fired": sum(counts.values()), **{word.value: counts.get(word.value, 0) for word in Verdict}}

    # --- retention --------------------------------------------------------------------------------------------------

    def due(self, before_ms: int) -> int:
        """Return how many alerts were last changed before."""
        statement = select(func.count()).select_from(_A).where(_A.c.raised_ms < before_ms)
        return int(self._connection.execute(statement).scalar_one())

    def drop(self, before_ms: int, at_most: int) -> int:
        """Delete the oldest alerts with their sales and reviews."""
        oldest = select(_A.c.id).where(_A.c.raised_ms < before_ms).order_by(_A.c.raised_ms).limit(at_most)
        return self._connection.execute(delete(_A).where(_A.c.id.in_(oldest))).rowcount
