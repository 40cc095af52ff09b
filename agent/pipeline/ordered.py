"""What head office's commands do, one function per kind. Who may order, and how often it counts, is ``commanding``.

The same effects that people have through ``asking``, in head office's name; no kind takes a path or an expression.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agent.pipeline import alerting, fencing, leasing, pricing, rebirth, relinking, rulebook, snapshots
from agent.pipeline.step import RequestRefused, Step
from agent.store.sales import Row
from agent.store.spending import BUDGET, POINTS
from sync.commands import ALL, MAX_LISTED, OF_CAMPAIGN, OF_MEMBER, ONE, CommandClaims
from sync.records import parse_time

Effect = Callable[[Step, CommandClaims, str], dict[str, Any]]


def act(step: Step, claims: CommandClaims, who: str) -> dict[str, Any]:
    """Do what a command of a known kind orders; returns what its result tells. Raises RequestRefused."""
    return EFFECTS[claims.kind](step, claims, who)


def _reload_rules(step: Step, _claims: CommandClaims, _who: str) -> dict[str, Any]:
    station = step.settings.station
    step.memory.rules = rulebook.load_active(step.tx, station.currency, station.exponent)
    step.memory.look_at_ms = 0
    pricing.refresh(step)
    rules = step.memory.rules
    waiting = step.tx.memory.waiting_documents(rulebook.KIND, rules.version)
    return {"version": rules.version, "hash": rules.hash, "waiting": waiting[:MAX_LISTED]}


def _acknowledge_alert(step: Step, claims: CommandClaims, who: str) -> dict[str, Any]:
    subject, name = claims.args["subject"], claims.args["alert"]
    row = step.tx.alerts.open_row(subject, name)
    if row is None:
        raise RequestRefused(f"no alert {name} of {subject} stands", hint="request_snapshot lists what stands")
    changed = row["state"] != "ACTIVE_ACKED"
    if changed:
        alerting.acknowledge(step, int(row["id"]), who)
    return {"subject": subject, "alert": name, "changed": changed}


def _clear_dead_letters(step: Step, claims: CommandClaims, _who: str) -> dict[str, Any]:
    before = step.memory.device_alerts.number
    for seq in claims.args["seqs"]:
        alerting.device(step, "sync", f"DEAD_LETTER_{claims.args['stream']}_{seq}", standing=False)
    return {"cleared": step.memory.device_alerts.number - before}


def _set_price(step: Step, claims: CommandClaims, who: str) -> dict[str, Any]:
    grade, effective_at = claims.args["grade"], claims.args["effective_at"]
    for done in step.tx.commands.done(claims.kind):
        same = (done["args"]["grade"], done["args"]["effective_at"]) == (grade, effective_at)
        if same and done["cmd_id"] > claims.cmd_id:
            raise RequestRefused(
                f"superseded: {done['cmd_id']} is newer and orders a price for the same instant",
                hint="send a new command",
            )
    pricing.order_price(step, grade, claims.args["unit_price_milli"], parse_time(effective_at), who)
    return {**claims.args, "in_force_milli": step.memory.prices.get(grade)}


def _close_out_leases(step: Step, claims: CommandClaims, _who: str) -> dict[str, Any]:
    closed: list[str] = []
    waiting: list[str] = []
    for lease in _leases_meant(step, claims.args):
        (closed if leasing.close_out(step, lease) else waiting).append(lease)
    return {
        "closed": closed[:MAX_LISTED],
        "waiting": waiting[:MAX_LISTED],
        "closed_more": len(closed[MAX_LISTED:]),
        "waiting_more": len(waiting[MAX_LISTED:]),
    }


def _leases_meant(step: Step, args: Mapping[str, Any]) -> list[str]:
    which, name = args["which"], args["name"]
    if which == ONE:
        if step.tx.leases.one(name) is None:
            raise RequestRefused(f"there is no lease {name} here", hint="forecourt-hq leases lists them")
        return [name]
    rows: list[Row] = []
    if which in (ALL, OF_MEMBER):
        rows += step.tx.leases.running(POINTS, None if which == ALL else _now_named(step, name))
    if which in (ALL, OF_CAMPAIGN):
        rows += step.tx.leases.running(BUDGET, name)
    return [str(row["id"]) for row in rows]


def _now_named(step: Step, member: str) -> str:
    """Return the id of a member who may have been merged into another one since."""
    row = step.tx.members.by_id(member)
    return member if row is None else str(row["id"])


def _lift_fence(step: Step, claims: CommandClaims, who: str) -> dict[str, Any]:
    install = claims.args["install_id"]
    if step.tx.memory.meta(rebirth.INSTALL) != install:
        raise RequestRefused("this is another PC", hint="forecourt-hq stations names the one that is fenced")
    changed = fencing.lift(step, who, f"command {claims.cmd_id}")
    return {"install_id": install, "changed": changed}


def _correct_link(step: Step, claims: CommandClaims, _who: str) -> dict[str, Any]:
    args = claims.args
    told = relinking.by_head_office(step, args["sale"], args["member"], args["reason"])
    return {"sale": told["sale"], "outcome": told["outcome"]}


def _request_snapshot(step: Step, _claims: CommandClaims, _who: str) -> dict[str, Any]:
    return snapshots.snapshot(step)


def _collect_diagnostics(step: Step, _claims: CommandClaims, _who: str) -> dict[str, Any]:
    return snapshots.diagnostics(step)


EFFECTS: dict[str, Effect] = {
    "reload_rules": _reload_rules,
    "request_snapshot": _request_snapshot,
    "collect_diagnostics": _collect_diagnostics,
    "acknowledge_alert": _acknowledge_alert,
    "clear_dead_letters": _clear_dead_letters,
    "set_price": _set_price,
    "close_out_leases": _close_out_leases,
    "lift_fence": _lift_fence,
    "correct_link": _correct_link,
}
