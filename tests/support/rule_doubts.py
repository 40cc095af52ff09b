"""Offers with harmless terms, and what lint says of a document of them."""

from __future__ import annotations

from typing import Any

from agent.domain.rules.findings import Lint
from agent.domain.rules.lint import lint
from tests.support.loyalty import Groups, Table, document


def offer(kind: str, name: str = "x", **more: Any) -> Table:
    """An offer of a kind with harmless terms where none are given."""
    terms: dict[str, Table] = {
        "PER_LITRE": {"off_milli": 100},
        "PERCENT": {"share_bp": 500},
        "AMOUNT_OFF": {"off_minor": 500},
        "SPEND_THRESHOLD": {"off_minor": 2_000, "per_minor": 20_000},
        "FIXED_PRICE": {"price_milli": 7_000},
        "EARN": {"points": 1, "per_minor": 100},
        "MULTIPLIER": {"factor_pct": 200},
        "BONUS_POINTS": {"points": 100},
        "POINTS_AS_MONEY": {},
        "GIFT_ITEM": {"item": "water"},
        "COUPON": {"gives": "AMOUNT_OFF", "off_minor": 1_500},
        "PUMP_ROLLBACK": {"off_milli": 200},
    }
    return {"id": name, "kind": kind, **terms[kind], **more}


def found(*offers: Table, groups: Groups = (), **program: Any) -> list[tuple[Lint, str]]:
    """The findings on a document of these offers: what and where."""
    return [(one.code, one.path) for one in lint(document(*offers, groups=groups, program=program))]
