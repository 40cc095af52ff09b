"""Alembic's entry: runs on the connection handed over by ``agent.store.migrate``; reads no file."""

from __future__ import annotations

from alembic import context

from agent.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
