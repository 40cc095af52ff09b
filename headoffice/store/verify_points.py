"""Recomputes leases, pools and told balances from the stored records: who took what of which lease, and what is told.

Read-only; believes the bytes of the records and the grants, nothing that was computed from them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from sqlalchemy import Connection, select

from agent.domain.leases import LeaseState
from headoffice.store import balances, pools, schema
from headoffice.store.points_schema import lease, lease_move, member_base, tell_due

ROWS_AT_ONCE = 1_000
SPENDING = ("fc.sale.settled.v1", "fc.sale.corrected.v1")


def check_leases(connection: Connection) -> Iterator[str]:
    """What the records took of each lease is what stands in it; it holds at least 0, and 0 once it is over."""
    told: Counter[str] = Counter()
    record, body = schema.record, schema.record_bytes
    question = select(body.c.raw).join(record, record.c.number == body.c.number).where(record.c.type.in_(SPENDING))
    for (raw,) in connection.execute(question.execution_options(yield_per=ROWS_AT_ONCE)):
        data = json.loads(raw)["data"]
        for use in (*data.get("points_leases", ()), *data.get("budgets", ())):
            if use.get("lease") is not None:
                told[use["lease"]] += use.get("points", use.get("amount_minor", 0))
    moved, noted = Counter[str](), Counter[str]()
    moves = select(lease_move.c.lease, lease_move.c.amount, body.c.number).where(lease_move.c.lease.is_not(None))
    for name, amount, has_bytes in connection.execute(
        moves.outerjoin(body, body.c.number == lease_move.c.record)
    ).tuples():
        moved[name] += amount
        noted[name] += amount if has_bytes is not None else 0  # the bytes of old months may be gone
    for name in sorted({name for name in {*told, *noted} if told[name] != noted[name]}):
        yield f"lease {name}: its records took {told[name]}, {noted[name]} are noted"
    for row in connection.execute(select(lease)).mappings():
        taken, left = moved[row["id"]], row["amount"] - row["spent"] - row["reclaimed"]
        if row["spent"] + row["overrun"] != taken:
            yield f"lease {row['id']}: {taken} were taken, it says {row['spent']} and {row['overrun']} beyond it"
        if left < 0 or (left and row["state"] == LeaseState.CLOSED.value):
            yield f"lease {row['id']}: it is {row['state']} and holds {left}"


def check_pools(connection: Connection) -> Iterator[str]:
    """What is free and what leases hold is the balance; no budget has lent and spent more than it is."""
    subjects = connection.execute(select(lease.c.kind, lease.c.subject).distinct()).tuples().all()
    for kind, subject in subjects:
        found = pools.figures(connection, kind, subject)
        if found.free + found.lent != found.balance or min(found.free, found.lent) < 0:
            yield f"{kind} of {subject}: {found.free} free and {found.lent} lent are not {found.balance}"
        if kind == pools.BUDGET and found.short:
            yield f"budget of {subject}: {found.short} more is spent or lent than it has"


def check_told(connection: Connection) -> Iterator[str]:
    """What a member is told to have is what was imported and posted, unless it is still to be told."""
    due = set(connection.execute(select(tell_due.c.member).distinct()).scalars())
    waiting = {balances.became(connection, name) for name in due}
    table = schema.member
    question = (
        select(table.c.member, table.c.body)
        .join(member_base, member_base.c.member == table.c.member)
        .where(table.c.gone.is_(False))
    )
    for name, body in connection.execute(question).tuples().all():
        if name not in waiting:
            told = sum(lot["points"] for lot in json.loads(body)["lots"])
            has = sum(lot.points for lot in balances.standing(connection, name).lots if lot.points > 0)
            if told != has:
                yield f"member {name[:4]}..: {told} points are told, {has} were imported and posted"
