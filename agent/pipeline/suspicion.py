"""What a rule found, as it is kept and told: one alert per rule, subject and day; more of the same adds to it.

Carries into the transaction what a finding does to points. Knows no rule; never says anything to an attendant.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agent.domain.fraud import Effect, Finding, Rule, Severity, Subject, SubjectKind, effect_on
from agent.logs import get_logger
from agent.pipeline import holding
from agent.pipeline.step import Step
from agent.store.sales import Row

_log = get_logger("fraud")

RECORD = "fc.fraud.alert.v1"
MAX_SALES_TOLD = 40
"""Sales one record names: it stays far below its size limit; the alert at the station has all of them."""

_STRENGTH = {effect.value: place for place, effect in enumerate((Effect.NONE, Effect.DOUBTFUL, Effect.HOLD))}
_STRENGTH[Effect.NO_POINTS.value] = len(_STRENGTH)
_WEIGHT = {Severity.INFO.value: 0, Severity.ALERT.value: 1}


def keep(step: Step, finding: Finding) -> str:
    """Raise an alert or add to the one there is; returns its id. Nothing is written where it says nothing new."""
    member_ref, attendant = _parts(step, finding.subject)
    known = step.tx.fraud.alert((finding.rule.value, finding.day, member_ref, attendant))
    if known is None:
        alert = step.new_id()
        step.tx.fraud.add(_fresh(step, alert, finding))
        _name(step, alert, {}, finding.sales)
        _told(step, alert, "raised")
        return alert
    alert = str(known["id"])
    named = _name(step, alert, step.tx.fraud.sales_of(alert), finding.sales)
    weightier = _weight(finding.severity, finding.observed) > _weight(known["severity"], known["observed"])
    if weightier or named:
        changes = _seen(step, finding) if weightier else {}
        _add(step, known, {**changes, "from_ms": min(known["from_ms"], finding.from_ms)}, finding.to_ms)
    return alert


def says_more(step: Step, finding: Finding) -> bool:
    """Return whether a finding names a sale that alerts of other days about the same do not name, or there is none."""
    named = step.tx.fraud.named(finding.rule.value, finding.day, *_parts(step, finding.subject))
    return named is None or any(sale not in named for sale, _ in finding.sales)


def today(step: Step, rule: Rule, subject: Subject, day: str) -> Row | None:
    """Return the alert of a rule about a subject on a day."""
    return step.tx.fraud.alert((rule.value, day, *_parts(step, subject)))


def name_sale(step: Step, alert: str, sale: str, effect: Effect) -> None:
    """A sale turns out to belong to an alert that stands."""
    known = step.tx.fraud.by_id(alert)
    assert known is not None
    if _name(step, alert, step.tx.fraud.sales_of(alert), ((sale, effect),)):
        _add(step, known, {}, step.stamp.wall_ms)


def _add(step: Step, known: Row, changes: dict[str, Any], to_ms: int) -> None:
    """Write what is new of an alert: it has to be looked at again."""
    was_info = known["severity"] == Severity.INFO.value
    fresh = {
        **changes,
        "to_ms": max(known["to_ms"], to_ms),
        "updated_ms": step.stamp.wall_ms,
        "updates": known["updates"] + 1,
        "verdict": None,
    }
    step.tx.fraud.change(known["id"], fresh)
    _told(step, known["id"], "raised" if was_info else "updated")


def _weight(severity: str, observed: int) -> tuple[int, int]:
    return _WEIGHT[severity], observed


def _fresh(step: Step, alert: str, finding: Finding) -> dict[str, Any]:
    member_ref, attendant = _parts(step, finding.subject)
    return {
        "id": alert,
        "rule": finding.rule.value,
        "member_ref": member_ref,
        "attendant": attendant,
        "day": finding.day,
        "from_ms": finding.from_ms,
        "to_ms": finding.to_ms,
        **_seen(step, finding),
        "raised_ms": step.stamp.wall_ms,
        "updated_ms": step.stamp.wall_ms,
        "updates": 0,
        "verdict": None,
        "reviewed_ms": None,
    }


def _seen(step: Step, finding: Finding) -> dict[str, Any]:
    other_ref, other = (None, None) if finding.other is None else _parts(step, finding.other)
    return {
        "severity": finding.severity.value,
        "observed": finding.observed,
        "threshold": finding.threshold,
        "median": finding.median,
        "unit": finding.unit.value,
        "other_ref": other_ref,
        "other": other,
    }


def _parts(step: Step, subject: Subject) -> tuple[int | None, str | None]:
    if subject.kind is SubjectKind.MEMBER:
        return step.tx.members.ensure(subject.id), None
    return None, subject.id


def _name(step: Step, alert: str, known: dict[str, str], sales: Iterable[tuple[str, Effect]]) -> bool:
    """Name the sales an alert does not name yet, or not so strongly; returns whether there was any."""
    changed = False
    for sale, effect in sales:
        if sale in known and _STRENGTH[known[sale]] >= _STRENGTH[effect.value]:
            continue
        changed = True
        step.tx.fraud.name_sale(alert, sale, effect.value)
        if effect in (Effect.HOLD, Effect.NO_POINTS):  # what is not settled yet is asked about when it is
            holding.hold(step, sale)
        elif effect is Effect.DOUBTFUL:
            holding.postpone(step, sale)
    return changed


def _told(step: Step, alert: str, state: str) -> None:
    """Tell head office what stands, where it is more than a note."""
    row = step.tx.fraud.by_id(alert)
    assert row is not None
    if row["severity"] != Severity.ALERT.value:
        return
    step.journal(RECORD, record(step, row, state))
    rule, subject = row["rule"], row["attendant"] or "member"
    step.after.append(lambda: _log.info("fraud alert", rule=rule, subject=subject, state=state, alert=alert))
    step.passed.append("fraud")


def record(step: Step, row: Row, state: str, **more: Any) -> dict[str, Any]:
    """Return the data of the record of an alert."""
    sales = step.tx.fraud.sales_of(row["id"])
    newest = [sale for sale, _ in effect_on(sales, Effect.NONE)][-MAX_SALES_TOLD:]
    evidence: dict[str, Any] = {
        "id": row["id"],
        "day": row["day"],
        "from_ms": row["from_ms"],
        "to_ms": row["to_ms"],
        "observed": row["observed"],
        "threshold": row["threshold"],
        "median": row["median"],
        "unit": row["unit"],
        "other": subject_of(step, row["other_ref"], row["other"]),
        "sales": newest,
        "sales_left_out": len(sales) - len(newest),
        **more,
    }
    subject = subject_of(step, row["member_ref"], row["attendant"])
    return {"subject": subject, "alert": row["rule"], "state": state, "evidence": evidence}


def subject_of(step: Step, member_ref: int | None, attendant: str | None) -> str | None:
    """Return a subject as records and people read it: ``member:<id>`` or ``attendant:<id>``."""
    if member_ref is not None:
        row = step.tx.members.by_ref(member_ref)
        assert row is not None, "a surrogate names a member"
        return f"member:{row['id']}"
    return None if attendant is None else f"attendant:{attendant}"
