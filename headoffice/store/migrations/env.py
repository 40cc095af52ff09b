"""Alembic's entry into our migrations; the connection is handed in by ``headoffice.store.database``."""

from __future__ import annotations

from alembic import context

from headoffice.store.points_schema import lease

context.configure(connection=context.config.attributes["connection"], target_metadata=lease.metadata)
context.run_migrations()
