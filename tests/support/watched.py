"""A till at which signs of misuse are looked for, and what they say; members are scanned as readers do it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

from agent.domain import link_records as links
from agent.domain.identity import AuthLevel
from agent.pipeline import scanning
from agent.pipeline.step import Step
from agent.store.verify import verify
from tests.support import template
from tests.support.station_settings import Plan
from tests.support.till import MEMBER, OFFERS, Till

HOUR_S = 3_600
CODE = "0102030405060708:567014f1b3c2a9de:{cti}:9999999999"


def watched_till(*, by_hand: bool = False, **more: Any) -> Iterator[Till]:
    """A till with offers and a member; verify must find nothing afterwards.

    ``by_hand``: no member, and not verified: the test writes rows beside the pipeline.
    """
    folder = template.new_folder()
    template.copy_to(folder)
    till = Till(folder, plan=Plan(settle="tender", watched=True, **more))
    till.rules(*OFFERS)
    if not by_hand:
        till.member()
    yield till
    findings = () if by_hand else verify(till.store.path).findings
    till.close()
    shutil.rmtree(folder)
    assert findings == ()


def scan(till: Till, reader: str = "reader-1", *, by: str = "li", cti: str | None = None, **more: Any) -> str:
    """A member's code at a reader, of a dynamic kind where ``cti`` says which; the outcome."""

    def tell(step: Step) -> str:
        who = links.Credential(
            step.new_id(),
            reader,
            by,
            more.get("member", MEMBER),
            more.get("level", AuthLevel.FM1_DYNAMIC),
            code=None if cti is None else CODE.format(cti=cti),
        )
        spent = who.code is not None and step.tx.codes.is_spent(who.code.split(":")[:3])
        event = links.MemberScanned(who.scan_id, reader, who.scan_id, who, None, spent)
        (answer,) = [one for one in scanning.tell(step, event) if isinstance(one, links.Answer)]
        return answer.outcome.value

    outcome = till.do(tell)
    assert isinstance(outcome, str)
    return outcome


def alerts(till: Till, *columns: str) -> list[tuple[Any, ...]]:
    """Every alert in the order of raising, by some of its columns."""
    return [tuple(row[name] for name in columns) for row in till.rows("SELECT * FROM fraud_alert ORDER BY rowid")]


def told(till: Till) -> list[tuple[str, str]]:
    """What head office is told: rule and state."""
    return [(record["alert"], record["state"]) for record in till.records("fc.fraud.alert.v1")]


def effects(till: Till, rule: str) -> dict[str, str]:
    """What alerts of a rule do to the points of which sale."""
    query = "SELECT s.sale, s.effect FROM fraud_alert_sale s JOIN fraud_alert a ON a.id = s.alert WHERE a.rule = '{}'"
    return {row["sale"]: row["effect"] for row in till.rows(query.format(rule))}


def held(till: Till) -> int:
    """Points that wait for a review."""
    value = till.one("SELECT coalesce(sum(points), 0) FROM posting WHERE account = 'member:pending'")
    assert isinstance(value, int)
    return value
