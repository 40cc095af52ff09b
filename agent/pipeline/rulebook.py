"""Rule sets in the pipeline: verified documents kept by version, activated as a whole when their time has come."""

from __future__ import annotations

import json

from agent.domain.rules.fields import RuleSetError
from agent.domain.rules.lint import lint
from agent.domain.rules.load import empty, parse
from agent.domain.rules.model import RuleSet
from agent.failpoints import failpoint
from agent.logs import get_logger
from agent.pipeline.memory import ActiveRules
from agent.pipeline.step import Step
from agent.store.store import Tx

_log = get_logger("rules")

KIND = "rules"
NO_RULES_HASH = "0" * 64
_REASON_CHARACTERS = 500
"""How much of a refusal or a doubt goes into the audit record."""


def load_active(tx: Tx, currency: str, exponent: int) -> ActiveRules:
    """Return the rule set in force as the database has it."""
    found = tx.memory.active_document(KIND)
    if found is None:
        return ActiveRules(empty(currency, exponent), 0, NO_RULES_HASH)
    version, digest, body = found
    return ActiveRules(parse(json.loads(body), kept=True), version, digest)


def of_version(step: Step, version: int) -> RuleSet:
    """Return the rules a settlement was made by."""
    if version == 0:
        return empty(step.settings.station.currency, step.settings.station.exponent)
    found = step.tx.memory.document(KIND, version)
    assert found is not None, "every rule set that priced a sale is kept"
    return parse(json.loads(found[1]), kept=True)


def arrived(step: Step, version: int, digest: str, body: bytes) -> None:
    """Keep a verified rule document until its time has come; one that cannot be used is audited, the old one stays."""
    station = step.settings.station
    try:
        rules = parse(json.loads(body))
        problem = "" if rules.version == version else f"the document says version {rules.version}"
        if (rules.program.currency, rules.program.exponent) != (station.currency, station.exponent):
            problem = f"the rules are in {rules.program.currency}, this station in {station.currency}"
    except (RuleSetError, ValueError) as failure:
        problem = str(failure)
    if problem:
        reason = problem[:_REASON_CHARACTERS]
        step.audit("head-office", "head_office", "rules_refused", f"version {version}", reason=reason, result="refused")
        return
    if step.tx.memory.add_document(KIND, version, digest, body, rules.effective_from_ms):
        step.audit("head-office", "head_office", "rules_received", f"version {version}", reason=digest)
        doubts = "; ".join(str(finding) for finding in lint(json.loads(body)))
        if doubts:
            told = doubts[:_REASON_CHARACTERS]
            step.audit("head-office", "head_office", "rules_questionable", f"version {version}", reason=told)
            step.after.append(lambda: _log.warning("rules are questionable", version=version, doubts=told))


def activate_due(step: Step) -> None:
    """Put the newest due rule set in force, as a whole."""
    due = step.tx.memory.due_document(KIND, step.stamp.wall_ms)
    if due is None:
        return
    version, digest, body = due
    step.tx.memory.activate_document(KIND, version, step.stamp.wall_ms)
    step.memory.rules = ActiveRules(parse(json.loads(body), kept=True), version, digest)
    step.audit("head-office", "head_office", "rules_activated", f"version {version}", reason=digest)
    failpoint("rules.before_commit")
    step.passed.append("rules")
