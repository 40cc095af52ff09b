"""Tables of what was deleted in time and of whose traces were made nameless; a part of the station's database."""

from __future__ import annotations

from sqlalchemy import Column, Integer, String, Table

from agent.store.tables import metadata

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
