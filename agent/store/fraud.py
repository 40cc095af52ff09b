"""Signs of misuse and their reviews, inside the caller's transaction."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select

from agent.store.fraud_tables import FRAUD_ALERT, FRAUD_ALERT_SALE
from agent.store.prepared import Prepared, raw

HARMLESS = "harmless"

_TOUCHING = Prepared(
    select(FRAUD_ALERT.c.rule, FRAUD_ALERT_SALE.c.effect, FRAUD_ALERT.c.verdict)
    .join(FRAUD_ALERT, FRAUD_ALERT.c.id == FRAUD_ALERT_SALE.c.alert)
    .where(FRAUD_ALERT_SALE.c.sale == bindparam("of_sale"))
)


class FraudTable:
    """Reads and writes inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw = raw(connection)

    def touching(self, sale: str) -> frozenset[str]:
        """Return the rules that touched a sale and were not reviewed as harmless."""
        return frozenset(rule for rule, _ in self._standing(sale))

    def effects(self, sale: str) -> frozenset[str]:
        """Return what those rules do to the points of a sale."""
        return frozenset(effect for _, effect in self._standing(sale))

    def _standing(self, sale: str) -> list[tuple[str, str]]:
        rows = _TOUCHING.all(self._raw, {"of_sale": sale})
        return [(row["rule"], row["effect"]) for row in rows if row["verdict"] != HARMLESS]
