"""Tables of what was deleted in time and of whose traces were made nameless; a part of the station's database."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKeyConstraint, Index, Integer, String, Table

from agent.store.tables import LINK, SCAN_EVENT, metadata

SCANS_BY_TIME = Index("scan_event_by_time", SCAN_EVENT.c.at_ms)
NAMED_LINKS = Index("link_named", LINK.c.made_ms, sqlite_where=LINK.c.member_ref > 0)
"""Links that name a member and no pseudonym, oldest first."""

RETENTION_RUN = Table(
    "retention_run",
    metadata,
    Column("name", String, primary_key=True, nullable=False),
    Column("night", String, nullable=True),
    Column("finished_ms", Integer, nullable=True),
    Column("dropped", Integer, nullable=False),
    Column("going", Integer, nullable=False),
)
"""When each kind of data was last looked through for what is too old.

``dropped``: rows then; ``going``: rows since, of a look that is not through yet.
"""

DELIVERED_BY = Table(
    "delivered_by",
    metadata,
    Column("at_ms", Integer, primary_key=True, nullable=False),
    Column("until_ms", Integer, nullable=False),
)
"""One row a night: at ``at_ms`` head office had everything of stream L that was written up to ``until_ms``."""

PSEUDONYM = Table(
    "pseudonym",
    metadata,
    Column("member_ref", Integer, primary_key=True, nullable=False),
    Column("month", String, primary_key=True, nullable=False),
    Column("ref", Integer, nullable=False),
    ForeignKeyConstraint(["member_ref"], ["member.ref"]),
    ForeignKeyConstraint(["ref"], ["member.ref"]),
)
"""Who a member is in a month of which not every sale is old enough yet; gone with its last one.

A pseudonym is a row of ``member`` with a surrogate below 0 and an id that head office never gives.
"""

CARRIED_USE = Table(
    "carried_use",
    metadata,
    Column("member_ref", Integer, primary_key=True, nullable=False),
    Column("offer", String, primary_key=True, nullable=False),
    Column("window", String, primary_key=True, nullable=False),
    Column("period", String, primary_key=True, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("amount", Integer, nullable=False),
    ForeignKeyConstraint(["member_ref"], ["member.ref"]),
)
"""Uses of offers that count for a member and whose sales do not name it any more."""
