"""Alerts of misuse as people ask for them; for supervisors only. Reads; a review goes to the pipeline."""

from __future__ import annotations

from typing import Any

from agent.domain.fraud import Rule
from agent.reports.arguments import BadArgument, limit, word
from agent.settings import Settings
from agent.store.fraud_alert_queries import FraudAlertQueries

SUPERVISED = frozenset({"fraud", "fraud.show", "fraud.stats"})
"""Questions that an attendant gets no answer to: alerts may be about them."""


class Frauds:
    """Questions about signs of misuse."""

    def __init__(self, settings: Settings) -> None:
        self._fraud = settings.fraud
        self._queries = FraudAlertQueries(settings.store.path)

    def listed(self, args: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the newest alerts. Raises BadArgument."""
        rule = word(args, "rule")
        if rule is not None and rule not in tuple(Rule):
            raise BadArgument(f"{rule} is no rule: R1 to R12")
        return self._queries.listed(limit=limit(args), everything=bool(args.get("all")), rule=rule)

    def shown(self, args: dict[str, Any]) -> dict[str, Any]:
        """Return one alert. Raises NotFound, BadArgument."""
        given = (word(args, "alert") or "").upper()
        if not given:
            raise BadArgument("name an alert")
        return self._queries.alert(given)

    def stats(self, _args: dict[str, Any]) -> list[dict[str, Any]]:
        """Return how good each rule is."""
        fraud = self._fraud
        return self._queries.stats(fraud.noisy_reviews, fraud.noisy_pct, frozenset(fraud.off))
