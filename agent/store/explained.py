"""``forecourt rules explain``: why a stored sale cost what it did, and whether the same facts still say so.

Reads only. The verdicts come from what was stored; the rules of that version are asked once more and both are compared.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from agent.domain.rules.explain import explain, line_text
from agent.domain.rules.fields import RuleSetError
from agent.domain.rules.load import empty, parse
from agent.domain.rules.model import RuleSet
from agent.domain.rules.told import ToldError, recall
from agent.domain.rules.verdict import Evaluation, OfferVerdict
from agent.store.queries import NotFound, Queries, utc
from sync.group import document_hash

Json = dict[str, Any]

SUMS = ("gross_minor", "discount_minor", "net_minor", "points_redeemed", "points_earned")
COMPARED = ("verdict", "code", "value_minor", "desired_minor", "needed", "actual")
"""Of each offer's line, what must be the same; sentences may read better in a later version."""

_PRICED = """
SELECT p.source, p.what, p.rule_version, p.rule_hash, p.facts, p.lines, p.points_earned, p.at_ms, m.mask
FROM priced p LEFT JOIN member m ON m.ref = p.member_ref WHERE p.sale = ?
ORDER BY p.what <> 'settlement', p.at_ms, p.source
"""
_SETTLEMENT = """
SELECT t.*, m.mask FROM settlement t LEFT JOIN member m ON m.ref = t.member_ref WHERE t.sale = ?
"""
_RULES = "SELECT hash, CAST(body AS BLOB) AS body, effective_from_ms FROM document WHERE kind = 'rules' AND version = ?"


def as_json(database: Path, prefix: str, language: str) -> Json:
    """Return how a settled sale, named by the beginning or end of its id, was priced, and whether it would be so again.

    ``same``: ``None`` where what the rules were told was not kept. Raises NotFound, also for an unsettled sale.
    """
    sale = Queries(database).sale(prefix)
    if sale["settled_at"] is None:
        hint = f"forecourt sales quote {sale['sale']} tells what it costs now"
        raise NotFound(f"sale {sale['sale']} is not settled: no price stands yet", hint=hint)
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA query_only=1")
        settlement = dict(connection.execute(_SETTLEMENT, (sale["sale"],)).fetchone())
        rows = [dict(row) for row in connection.execute(_PRICED, (sale["sale"],))]
        if not any(row["what"] == "settlement" for row in rows):
            rows.insert(0, {**settlement, "what": "settlement", "facts": None, "at_ms": settlement["settled_ms"]})
        priced = [_priced(connection, row, settlement, sale, language) for row in rows]
    same = [one["same"] for one in priced]
    return {
        **{key: sale[key] for key in ("sale", "state", "voided", "refunded_minor", "currency", "exponent")},
        "rule_version": settlement["rule_version"],
        "rule_hash": settlement["rule_hash"],
        "same": False if False in same else None if None in same else True,
        "priced": priced,
        "corrections": [{key: one[key] for key in ("what", "at", "by", "reason")} for one in sale["corrections"]],
    }


def _priced(db: sqlite3.Connection, row: Json, settlement: Json, sale: Json, language: str) -> Json:
    settled = row["what"] == "settlement"
    lines = json.loads(settlement["lines"] if settled else row["lines"])
    stored = {key: settlement[key] if settled else None for key in SUMS}
    stored["points_earned"] = (settlement if settled else row)["points_earned"]
    rules, effective_from, problem = _rules(db, row, sale)
    again, unread = _again(row["facts"], rules)
    differences = [] if again is None else list(_differences(stored, lines, again))
    if problem is not None:
        differences.insert(0, {"where": "rules", "stored": row["rule_hash"], "again": problem})
    return {
        "what": row["what"],
        "at": utc(row["at_ms"]),
        "mask": row["mask"],
        "rule_version": row["rule_version"],
        "rule_hash": row["rule_hash"],
        "rules_effective_from": effective_from,
        "same": False if differences else None if again is None else True,
        "why_not": unread if again is None else None,
        **stored,
        "offers": [_offer(line, again, language) for line in lines],
        "text": json.loads(settlement["explanation"])[len(lines) :]
        if again is None and settled
        else _sums(again, language),
        "differences": differences,
    }


def _rules(db: sqlite3.Connection, row: Json, sale: Json) -> tuple[RuleSet | None, str | None, str | None]:
    """Return the rules of a version, from when on they held, and what is wrong with them."""
    if row["rule_version"] == 0:
        return empty(sale["currency"], sale["exponent"]), None, None
    found = db.execute(_RULES, (row["rule_version"],)).fetchone()
    if found is None:
        return None, None, "the rule set is not in this database"
    digest = document_hash(bytes(found["body"])).hex()
    if digest != row["rule_hash"]:
        return None, None, f"the rule set kept under this version has the hash {digest}"
    try:
        return parse(json.loads(found["body"]), kept=True), utc(found["effective_from_ms"]), None
    except (RuleSetError, ValueError) as failure:
        return None, None, f"the rule set cannot be read: {failure}"


def _again(facts: str | None, rules: RuleSet | None) -> tuple[Evaluation | None, str | None]:
    """Return the answer to the kept facts, or why there is none."""
    if facts is None:
        return None, "what the rules were told was not kept: priced by an earlier version, or the member was deleted"
    if rules is None:
        return None, "without its rules it cannot be priced again"
    try:
        return recall(json.loads(facts), ZoneInfo).evaluate(rules), None
    except (ToldError, ValueError) as failure:
        return None, str(failure)


def _differences(stored: Json, lines: list[Json], again: Evaluation) -> Iterator[Json]:
    answer: Mapping[str, int] = {
        "gross_minor": again.gross_minor,
        "discount_minor": again.discount_minor,
        "net_minor": again.net_minor,
        "points_redeemed": again.points_redeemed,
        "points_earned": again.points_earned + again.bonus_points,
    }
    for key in SUMS:
        if stored[key] is not None and stored[key] != answer[key]:
            yield {"where": key, "stored": stored[key], "again": answer[key]}
    verdicts = {verdict.offer: _line(verdict) for verdict in again.verdicts}
    for line in lines:
        now = verdicts.pop(line["offer"], None)
        for key in COMPARED:
            if now is None or line[key] != now[key]:
                yield {
                    "where": f"{line['offer']} {key}",
                    "stored": line[key],
                    "again": None if now is None else now[key],
                }
    for offer in verdicts:
        yield {"where": offer, "stored": None, "again": verdicts[offer]["verdict"]}


def _line(verdict: OfferVerdict) -> Json:
    return {
        "verdict": verdict.verdict.value,
        "code": verdict.code.value,
        "value_minor": verdict.value_minor,
        "desired_minor": verdict.desired_minor,
        "needed": verdict.reason.needed,
        "actual": verdict.reason.actual,
    }


def _offer(line: Json, again: Evaluation | None, language: str) -> Json:
    """Return a stored verdict with what only the evaluation knows, where it could be made again."""
    stored = {key: line[key] for key in ("offer", *COMPARED)}
    verdict = None if again is None else next((v for v in again.verdicts if v.offer == line["offer"]), None)
    if again is None or verdict is None:
        return {**stored, "points": None, "short": None, "detail": None, "by": None, "text": line["text"]}
    reason = verdict.reason
    more = {"points": verdict.points, "short": reason.short, "detail": reason.detail, "by": reason.by}
    return {**stored, **more, "text": line_text(again, verdict, language)}


def _sums(again: Evaluation | None, language: str) -> list[str]:
    return [] if again is None else explain(again, language)[len(again.verdicts) :]
